//! What arrived: each event once and in its place, or not, and how long it took.

use hdrhistogram::Histogram;

use super::figures::{self, Round, count};

/// The longest time that is told apart, in nanoseconds: ten minutes.
const LONGEST: u64 = 600_000_000_000;

/// How an event came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// As the next one.
    InOrder,
    /// After a later one.
    Late,
    /// Not for the first time.
    Again,
}

/// Which events of its job a connection has got.
#[derive(Debug, Clone)]
pub(super) struct Sequence {
    next: u32,
    /// Ranges below `next` that have not come. Nothing is allocated while there is none.
    holes: Vec<std::ops::Range<u32>>,
}

impl Sequence {
    /// Expects that one as the first.
    pub(super) fn from(first: u32) -> Self {
        Self { next: first, holes: Vec::new() }
    }

    /// The one after the newest that came.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// Takes an event.
    pub(super) fn arrive(&mut self, number: u32) -> Arrival {
        if number >= self.next {
            if number > self.next {
                self.holes.push(self.next..number);
            }
            self.next = number + 1;
            return Arrival::InOrder;
        }
        let Some(place) = self.holes.iter().position(|hole| hole.contains(&number)) else {
            return Arrival::Again;
        };
        let hole = self.holes.swap_remove(place);
        let parts = [hole.start..number, number + 1..hole.end];
        self.holes.extend(parts.into_iter().filter(|part| !part.is_empty()));
        Arrival::Late
    }

    /// How many up to `end`, which is not expected itself, have not come.
    pub(super) fn missing(&self, end: u32) -> u64 {
        let holes = self.holes.iter().map(|hole| u64::from(hole.end - hole.start));
        holes.sum::<u64>() + u64::from(end.saturating_sub(self.next))
    }
}

/// Everything that the connections of one measurement got.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// Different events, each counted once for each connection that should have it.
    pub(super) delivered: u64,
    /// Events that came once more.
    pub(super) duplicates: u64,
    /// Events that came after a later one.
    pub(super) reordered: u64,
    /// Events of a job that the connection does not watch.
    pub(super) misdelivered: u64,
    /// Events that have not come.
    pub(super) lost: u64,
    /// From the time an event was due to its arrival, in nanoseconds; only what was measured.
    pub(super) latency: Histogram<u64>,
}

impl Tally {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self {
            delivered: 0,
            duplicates: 0,
            reordered: 0,
            misdelivered: 0,
            lost: 0,
            latency: histogram(),
        }
    }

    /// Counts an event.
    pub(super) fn count(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::InOrder => self.delivered += 1,
            Arrival::Late => {
                self.delivered += 1;
                self.reordered += 1;
            }
            Arrival::Again => self.duplicates += 1,
        }
    }

    /// Counts what another one has counted, but not its times.
    pub(super) fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.duplicates += other.duplicates;
        self.reordered += other.reordered;
        self.misdelivered += other.misdelivered;
        self.lost += other.lost;
    }

    /// Adds what came of so many events that should have.
    pub(super) fn tell(&self, expected: u64, round: &mut Round) {
        round.add(&figures::DELIVERY_RATIO, count(self.delivered) / count(expected.max(1)));
        self.tell_faults(round);
    }

    /// Adds what did not come as it should have.
    fn tell_faults(&self, round: &mut Round) {
        round.add(&figures::LOST, count(self.lost));
        round.add(&figures::DUPLICATES, count(self.duplicates));
        round.add(&figures::REORDERED, count(self.reordered));
        round.add(&figures::MISDELIVERED, count(self.misdelivered));
    }
}

/// Times in nanoseconds up to ten minutes, to three digits; longer ones count as that.
pub(super) fn histogram() -> Histogram<u64> {
    let times = Histogram::new_with_bounds(1_000, LONGEST, 3);
    // These bounds are right, see the test.
    #[expect(clippy::expect_used, reason = "constants")]
    times.expect("bounds of a histogram")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(numbers: &[u32]) -> (Tally, Sequence) {
        let (mut tally, mut sequence) = (Tally::new(), Sequence::from(1));
        for number in numbers {
            tally.count(sequence.arrive(*number));
        }
        tally.lost = sequence.missing(6);
        (tally, sequence)
    }

    #[test]
    fn all_events_in_order_are_clean() {
        let (tally, sequence) = arrivals(&[1, 2, 3, 4, 5]);
        assert_eq!((tally.lost, tally.reordered, tally.duplicates), (0, 0, 0));
        assert_eq!((tally.delivered, sequence.next()), (5, 6));
    }

    #[test]
    fn what_did_not_come_is_lost_in_the_middle_and_at_the_end() {
        assert_eq!(arrivals(&[1, 3, 4, 5]).0.lost, 1);
        assert_eq!(arrivals(&[4, 5]).0.lost, 3);
        assert_eq!(arrivals(&[1, 2]).0.lost, 3);
        assert_eq!(arrivals(&[]).0.lost, 5);
        assert_eq!(arrivals(&[2, 4]).0.lost, 3);
    }

    #[test]
    fn an_event_that_comes_late_is_out_of_order_and_not_lost() {
        let (tally, _) = arrivals(&[1, 5, 3, 2, 4]);
        assert_eq!((tally.lost, tally.reordered, tally.duplicates), (0, 3, 0));
        assert_eq!(tally.delivered, 5);
    }

    #[test]
    fn an_event_that_comes_again_is_a_duplicate_however_it_came_before() {
        let (tally, _) = arrivals(&[1, 3, 2, 2, 3, 4, 5, 1]);
        assert_eq!((tally.lost, tally.reordered, tally.duplicates), (0, 1, 3));
        assert_eq!(tally.delivered, 5);
    }

    #[test]
    fn times_are_kept_to_three_digits_and_never_refused() {
        let mut times = histogram();
        times.saturating_record(1_234_000);
        times.saturating_record(u64::MAX);
        let middle = times.value_at_quantile(0.5);
        assert!((1_233_000..=1_235_000).contains(&middle), "{middle}");
        assert!(times.max() >= LONGEST);
    }
}
