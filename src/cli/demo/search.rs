//! The search: simulated annealing over tours. Pure: a seed and a number of steps determine
//! everything; no clock, no NATS.
//!
//! Two moves: a part of the tour is walked in the other direction (2-opt), or two neighbouring
//! parts change places, one of them at most three places long (or-opt). A longer tour is accepted
//! the more rarely the longer it is and the lower the temperature.

use super::berlin52::{OPTIMUM, PLACES, distance};

/// Moves tried in the whole search, however many steps it is told in.
const MOVES: u64 = 1_000_000;
/// Temperature at the start: longer tours by a place or two are still common.
const HOTTEST: f64 = 200.0;
/// Temperature when cooling ends: nearly nothing longer is accepted.
const COLDEST: f64 = 2.0;
/// Share of the search after which what is accepted gets noticeably stricter.
const EXPLORING: f64 = 0.25;
/// Share of the search after which only improvements of the best tour are accepted.
const POLISHING: f64 = 0.9;

/// What the search is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Hot: nearly every tour is accepted.
    Exploring,
    /// The temperature falls.
    Cooling,
    /// Only improvements of the best tour.
    Polishing,
}

impl Stage {
    /// The name in events.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Exploring => "exploring",
            Self::Cooling => "cooling",
            Self::Polishing => "polishing",
        }
    }
}

/// A tour and its length. Places are counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tour {
    /// The places in the order of the visits.
    pub(super) places: Vec<usize>,
    /// Length of the way round.
    pub(super) length: u32,
}

impl Tour {
    fn random(random: &mut fastrand::Rng) -> Self {
        let mut places: Vec<_> = (0..PLACES.len()).collect();
        random.shuffle(&mut places);
        let length = length(&places);
        Self { places, length }
    }

    /// `optimum / length`: 1 is a shortest tour.
    pub(super) fn score(&self) -> f64 {
        f64::from(OPTIMUM) / f64::from(self.length)
    }

    /// The place at a position, counted round the tour.
    fn at(&self, position: usize) -> (u16, u16) {
        place(&self.places, position)
    }

    fn distance(&self, from: usize, to: usize) -> i64 {
        distance(self.at(from), self.at(to)).into()
    }

    /// How much longer a move makes the tour.
    fn change(&self, a_move: Move) -> i64 {
        let count = self.places.len();
        match a_move {
            Move::Reverse { from, to } => {
                let (before, last) = (from + count - 1, to - 1);
                self.distance(before, last) + self.distance(from, to)
                    - self.distance(before, from)
                    - self.distance(last, to)
            }
            Move::Exchange { from, middle, to } => {
                let (before, last) = (from + count - 1, to - 1);
                self.distance(before, middle)
                    + self.distance(last, from)
                    + self.distance(middle - 1, to)
                    - self.distance(before, from)
                    - self.distance(middle - 1, middle)
                    - self.distance(last, to)
            }
        }
    }

    fn make(&mut self, a_move: Move, change: i64) {
        match a_move {
            Move::Reverse { from, to } => {
                self.places.get_mut(from..to).unwrap_or_default().reverse();
            }
            Move::Exchange { from, middle, to } => {
                self.places.get_mut(from..to).unwrap_or_default().rotate_left(middle - from);
            }
        }
        self.length = self.length.saturating_add_signed(change.try_into().unwrap_or(0));
    }
}

fn place(places: &[usize], position: usize) -> (u16, u16) {
    let index = places.get(position % places.len());
    index.and_then(|index| PLACES.get(*index)).copied().unwrap_or_default()
}

fn length(places: &[usize]) -> u32 {
    (0..places.len()).map(|at| distance(place(places, at), place(places, at + 1))).sum()
}

/// A change of a tour, in positions; `to` is the first one after the part. A part never is the
/// whole tour: then there would be no edge to exchange.
#[derive(Debug, Clone, Copy)]
enum Move {
    Reverse { from: usize, to: usize },
    Exchange { from: usize, middle: usize, to: usize },
}

impl Move {
    fn random(random: &mut fastrand::Rng) -> Self {
        let count = PLACES.len();
        if random.bool() {
            let from = random.usize(..count - 1);
            let longest = (count - from).min(count - 1);
            return Self::Reverse { from, to: from + random.usize(2..=longest) };
        }
        let part = random.usize(1..=3);
        let from = random.usize(..count - part - 1);
        let longest = (count - from - part).min(count - 1 - part);
        let other = random.usize(1..=longest);
        let first = if random.bool() { part } else { other };
        Self::Exchange { from, middle: from + first, to: from + part + other }
    }
}

/// A search under way.
#[derive(Debug, Clone)]
pub(super) struct Search {
    random: fastrand::Rng,
    current: Tour,
    best: Tour,
    step: u32,
    steps: u32,
}

impl Search {
    /// A search from a random tour, in this many steps (at least 1).
    pub(super) fn new(seed: u64, steps: u32) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let current = Tour::random(&mut random);
        Self { random, best: current.clone(), current, step: 0, steps: steps.max(1) }
    }

    /// The tour the search is at.
    pub(super) fn current(&self) -> &Tour {
        &self.current
    }

    /// The shortest tour so far.
    pub(super) fn best(&self) -> &Tour {
        &self.best
    }

    /// Steps taken.
    pub(super) fn step_number(&self) -> u32 {
        self.step
    }

    /// Steps of the whole search.
    pub(super) fn steps(&self) -> u32 {
        self.steps
    }

    /// Whether all steps are taken.
    pub(super) fn is_done(&self) -> bool {
        self.step >= self.steps
    }

    /// What the next step belongs to.
    pub(super) fn stage(&self) -> Stage {
        match self.progress() {
            early if early < EXPLORING => Stage::Exploring,
            late if late >= POLISHING => Stage::Polishing,
            _ => Stage::Cooling,
        }
    }

    /// Falls evenly in proportion until polishing begins, where it is 0.
    pub(super) fn temperature(&self) -> f64 {
        match self.stage() {
            Stage::Polishing => 0.0,
            _ => HOTTEST * (COLDEST / HOTTEST).powf(self.progress() / POLISHING),
        }
    }

    /// Takes one step; nothing when all are taken.
    pub(super) fn advance(&mut self) {
        if self.is_done() {
            return;
        }
        let temperature = self.temperature();
        if self.stage() == Stage::Polishing && self.current.length > self.best.length {
            self.current = self.best.clone();
        }
        for _ in 0..(MOVES / u64::from(self.steps)).max(1) {
            self.try_move(temperature);
        }
        self.step += 1;
    }

    fn progress(&self) -> f64 {
        f64::from(self.step) / f64::from(self.steps)
    }

    fn try_move(&mut self, temperature: f64) {
        let a_move = Move::random(&mut self.random);
        let change = self.current.change(a_move);
        if !self.accepts(change, temperature) {
            return;
        }
        self.current.make(a_move, change);
        if self.current.length < self.best.length {
            self.best = self.current.clone();
        }
    }

    fn accepts(&mut self, change: i64, temperature: f64) -> bool {
        change <= 0
            || temperature > 0.0 && self.random.f64() < (-(change as f64) / temperature).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(seed: u64, steps: u32) -> Search {
        let mut search = Search::new(seed, steps);
        while !search.is_done() {
            search.advance();
        }
        search
    }

    #[test]
    fn a_move_changes_the_length_by_what_was_said_and_keeps_every_place() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut tour = Tour::random(&mut random);
        for _ in 0..20_000 {
            let a_move = Move::random(&mut random);
            let change = tour.change(a_move);
            tour.make(a_move, change);
            assert_eq!(tour.length, length(&tour.places), "{a_move:?}");
        }
        tour.places.sort_unstable();
        assert!(tour.places.into_iter().eq(0..PLACES.len()));
    }

    #[test]
    fn the_same_seed_gives_the_same_search() {
        let (one, two) = (finished(3, 50), finished(3, 50));
        assert_eq!((one.best(), one.current()), (two.best(), two.current()));
        assert_ne!(finished(4, 50).current().places, one.current().places);
    }

    #[test]
    fn a_search_ends_near_the_optimum_and_never_below_it() {
        for seed in 0..3 {
            let length = finished(seed, 480).best().length;
            assert!((OPTIMUM..=OPTIMUM * 103 / 100).contains(&length), "{seed}: {length}");
        }
    }

    #[test]
    fn the_best_never_gets_worse_and_the_score_is_between_0_and_1() {
        let mut search = Search::new(1, 200);
        while !search.is_done() {
            let before = search.best().length;
            search.advance();
            assert!(search.best().length <= before);
            assert!(search.best().length <= search.current().length);
            let score = search.current().score();
            assert!(score > 0.0 && score <= 1.0, "{score}");
        }
    }

    #[test]
    fn a_search_explores_then_cools_then_polishes() {
        let mut search = Search::new(1, 100);
        let mut stages = Vec::new();
        let mut last_temperature = f64::INFINITY;
        while !search.is_done() {
            assert!(search.temperature() <= last_temperature);
            last_temperature = search.temperature();
            stages.push(search.stage());
            search.advance();
        }
        stages.dedup();
        assert_eq!(stages, [Stage::Exploring, Stage::Cooling, Stage::Polishing]);
    }

    #[test]
    fn a_search_of_one_step_ends() {
        assert_eq!(finished(1, 0).step_number(), 1);
    }
}
