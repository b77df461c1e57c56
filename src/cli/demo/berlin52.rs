//! The instance: 52 places in Berlin from TSPLIB, with TSPLIB's way to measure distances.

/// Length of the shortest tour, proven.
pub(super) const OPTIMUM: u32 = 7542;

/// Places as x and y.
pub(super) const PLACES: [(u16, u16); 52] = [
    (565, 575),
    (25, 185),
    (345, 750),
    (945, 685),
    (845, 655),
    (880, 660),
    (25, 230),
    (525, 1000),
    (580, 1175),
    (650, 1130),
    (1605, 620),
    (1220, 580),
    (1465, 200),
    (1530, 5),
    (845, 680),
    (725, 370),
    (145, 665),
    (415, 635),
    (510, 875),
    (560, 365),
    (300, 465),
    (520, 585),
    (480, 415),
    (835, 625),
    (975, 580),
    (1215, 245),
    (1320, 315),
    (1250, 400),
    (660, 180),
    (410, 250),
    (420, 555),
    (575, 665),
    (1150, 1160),
    (700, 580),
    (685, 595),
    (685, 610),
    (770, 610),
    (795, 645),
    (720, 635),
    (760, 650),
    (475, 960),
    (95, 260),
    (875, 920),
    (700, 500),
    (555, 815),
    (830, 485),
    (1170, 65),
    (830, 610),
    (605, 625),
    (595, 360),
    (1340, 725),
    (1740, 245),
];

/// The straight line between two places, to the nearest integer (TSPLIB's `EUC_2D`).
pub(super) fn distance(from: (u16, u16), to: (u16, u16)) -> u32 {
    let across = f64::from(from.0.abs_diff(to.0));
    let along = f64::from(from.1.abs_diff(to.1));
    // At most 92,682, so the conversion loses nothing.
    across.hypot(along).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An optimal tour as TSPLIB publishes it: places counted from 1.
    const OPTIMAL_TOUR: [usize; 52] = [
        1, 49, 32, 45, 19, 41, 8, 9, 10, 43, 33, 51, 11, 52, 14, 13, 47, 26, 27, 28, 12, 25, 4, 6,
        15, 5, 24, 48, 38, 37, 40, 39, 36, 35, 34, 44, 46, 16, 29, 50, 20, 23, 30, 2, 7, 42, 21,
        17, 3, 18, 31, 22,
    ];

    #[test]
    fn a_known_optimal_tour_has_the_proven_length() {
        let mut visited = OPTIMAL_TOUR;
        visited.sort_unstable();
        assert!(visited.into_iter().eq(1..=52), "every place once");

        let next = OPTIMAL_TOUR.iter().cycle().skip(1);
        let length: u32 = OPTIMAL_TOUR
            .iter()
            .zip(next)
            .map(|(from, to)| distance(PLACES[from - 1], PLACES[to - 1]))
            .sum();
        assert_eq!(length, OPTIMUM);
    }

    #[test]
    fn distances_are_rounded_to_the_nearest_integer() {
        assert_eq!(distance((0, 0), (3, 4)), 5);
        assert_eq!(distance((0, 0), (1, 1)), 1);
        assert_eq!(distance((0, 0), (2, 2)), 3);
        assert_eq!(distance((5, 9), (2, 5)), distance((2, 5), (5, 9)));
    }
}
