//! The world of the simulation: a stream, its replicas, a tail, and a window.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::event::StoredEvent;
use crate::journal::{Answer, Bounds, LeaderView, Page, PageRead, Question};
use crate::window::{Arrival, Ring, StreamState};

pub const TYPES: [&str; 2] = ["progress", "log"];
const JOBS: u64 = 3;
pub const WATCHED: u64 = 1;

pub struct Model {
    pub rng: fastrand::Rng,
    pub now: Instant,
    /// id → (job, type); every event of the present incarnation, trimmed ones included.
    pub stored: BTreeMap<u64, (u64, usize)>,
    pub first: u64,
    pub last: u64,
    pub epoch: u64,
    pub replica: u64,
    pub ring: Ring,
    pub cursor: u64,
    pub cursor_generation: u64,
    pub calm: bool,
}

impl Model {
    pub fn new(seed: u64, now: Instant) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let budget = 2_000 + rng.usize(0..6_000);
        Self {
            now,
            stored: BTreeMap::new(),
            first: 1,
            last: 0,
            epoch: 0,
            replica: 0,
            ring: Ring::with_segments(budget, 64 + rng.usize(0..256), Arc::default()),
            cursor: 0,
            cursor_generation: 0,
            calm: false,
            rng,
        }
    }

    pub fn append(&mut self, count: u64) {
        for _ in 0..count {
            self.last += 1;
            let job = self.rng.u64(0..JOBS);
            self.stored.insert(self.last, (job, self.rng.usize(0..TYPES.len())));
        }
    }

    pub fn trim(&mut self) {
        self.first = (self.first + self.rng.u64(0..12)).min(self.last + 1);
    }

    pub fn recreate(&mut self) {
        self.stored.clear();
        self.epoch += 1;
        let start = if self.rng.bool() { 0 } else { self.rng.u64(0..20) };
        (self.first, self.last, self.replica) = (start + 1, start, start);
    }

    /// The tail begins, or notices another incarnation.
    pub fn tail_begins(&mut self) {
        let back = self.rng.u64(0..30);
        let floor = self.last.saturating_sub(back).max(self.first - 1);
        self.ring.begin(&self.epoch.to_string(), floor);
    }

    pub fn tail_is_of_this_incarnation(&self) -> bool {
        self.ring.generation() > 0 && self.ring.epoch() == self.epoch.to_string()
    }

    pub fn tail_reads(&mut self, count: u64) {
        for _ in 0..count {
            let from = (self.ring.head() + 1).max(self.first);
            let Some((id, (job, kind))) =
                self.stored.range(from..).next().map(|(id, event)| (*id, *event))
            else {
                return self.ring.skip_to(self.first - 1);
            };
            let subject = format!("jobs.k.j{job}.{}", TYPES[kind]);
            self.ring.append(&Arrival {
                id,
                stored_at: 0,
                subject: &subject,
                payload: b"{}",
                traceparent: None,
            });
        }
    }

    pub fn observe(&mut self) {
        let state = StreamState {
            first: self.first,
            last: self.last,
            bytes: 0,
            consumers: 0,
            checked_at: self.now,
        };
        self.ring.observe(state);
    }

    pub fn of_watched(&self, from: u64, through: u64) -> Vec<StoredEvent> {
        let from = from.max(self.first);
        if from > through {
            return Vec::new();
        }
        self.stored
            .range(from..=through)
            .filter(|(_, (job, _))| *job == WATCHED)
            .map(|(id, (_, kind))| StoredEvent {
                id: *id,
                event_type: TYPES[*kind].into(),
                stored_at: 0,
                payload: bytes::Bytes::from_static(b"{}"),
                traceparent: None,
            })
            .collect()
    }

    pub fn answer(&mut self, epoch: &str, question: &Question) -> Answer {
        if !self.calm && self.rng.u8(0..10) == 0 {
            return Answer::Unavailable;
        }
        if *epoch != self.epoch.to_string() {
            return Answer::OtherEpoch;
        }
        match question {
            Question::Bounds(_) => {
                let seen = self.of_watched(0, self.replica);
                Answer::Bounds(Bounds {
                    up_to: seen.last().map(|_| self.replica),
                    last: seen.last().map(|event| event.id),
                    first: seen.first().map(|event| event.id),
                    stream_first: self.first,
                    state: seen.into(),
                })
            }
            Question::First(_) => {
                Answer::First(self.of_watched(0, self.replica).first().map(|event| event.id))
            }
            Question::Leader(_) => Answer::Leader(LeaderView {
                stream_last: self.last,
                stream_first: self.first,
                last: self.of_watched(0, self.last).last().map(|event| event.id),
            }),
            Question::Page { after, through, .. } => self.page(*after, *through),
        }
    }

    pub fn page(&mut self, after: u64, through: u64) -> Answer {
        // A shared page may begin earlier than asked, and a bound may end it earlier.
        let early = self.rng.u64(0..3);
        let from = after.saturating_sub(early).max(self.first.saturating_sub(1).min(after));
        let mut events = self.of_watched(from + 1, through);
        let bound = 1 + self.rng.usize(0..5);
        let mut end = through;
        if events.iter().filter(|event| event.id > after).count() > bound {
            let keep = events.iter().position(|event| event.id > after).unwrap() + bound;
            events.truncate(keep);
            end = events.last().unwrap().id;
        }
        // Retention does not wait until the page has arrived.
        if !self.calm && self.rng.u8(0..4) == 0 {
            self.trim();
        }
        let page = Arc::new(Page { after: from, through: end, events });
        Answer::Page(PageRead { page, stream_first: self.first })
    }
}
