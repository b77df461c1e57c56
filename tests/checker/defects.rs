//! The checker checked: histories that are in order, and defects put into them. What the checker
//! does not catch here it would not catch in a gateway either.

use std::collections::HashSet;

use crate::history::{Record, What};
use crate::verdict::{Verdict, Violation, judge};

const SEEDS: u64 = 20;
const JOBS: usize = 5;
const WATCHERS: usize = 4;
const ROUNDS: u64 = 60;

/// A stream, its watchers, and everything that they did: nothing is wrong with it.
struct World {
    rng: fastrand::Rng,
    records: Vec<Record>,
    at: u64,
    stored: Vec<(u64, usize)>,
    /// Position of each watcher in each job, and whether it is connected.
    positions: Vec<(u64, bool)>,
    first: u64,
}

fn job(number: usize) -> String {
    format!("job-{number}")
}

fn watcher(number: usize) -> String {
    format!("watcher-{number}")
}

fn hash(id: u64) -> String {
    format!("hash-{id}")
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            records: Vec::new(),
            at: 0,
            stored: Vec::new(),
            positions: vec![(0, false); JOBS * WATCHERS],
            first: 1,
        }
    }

    fn history(seed: u64) -> Vec<Record> {
        let mut world = Self::new(seed);
        world.record(What::FaultBegins { fault: "restart".into() });
        for _ in 0..ROUNDS {
            world.publish();
            world.watch();
        }
        world.record(What::FaultEnds { fault: "restart".into() });
        world.end();
        world.records
    }

    fn record(&mut self, what: What) {
        self.at += self.rng.u64(1..1_000);
        self.records.push(Record { at: self.at, what });
    }

    fn publish(&mut self) -> u64 {
        for _ in 0..self.rng.usize(1..6) {
            let (id, of) = (self.stored.len() as u64 + 1, self.rng.usize(0..JOBS));
            self.publish_of(id, of);
        }
        self.stored.len() as u64
    }

    fn publish_of(&mut self, id: u64, of: usize) {
        self.record(What::Intent { job: job(of), hash: hash(id) });
        self.stored.push((id, of));
        // Some acknowledgements are lost on the way; the event is there all the same.
        if self.rng.u8(0..20) > 0 {
            self.record(What::Acknowledged { job: job(of), hash: hash(id), id });
        }
    }

    fn watch(&mut self) {
        for who in 0..WATCHERS {
            for of in 0..JOBS {
                let (position, connected) = self.positions[who * JOBS + of];
                if !connected {
                    let (watcher, job) = (watcher(who), job(of));
                    self.record(What::Subscribing { watcher, job, after: position });
                    self.positions[who * JOBS + of].1 = true;
                }
                self.deliver(who, of, 5);
                if self.rng.u8(0..30) == 0 {
                    self.record(What::Closed { watcher: watcher(who), code: 1006 });
                    self.positions[who * JOBS + of].1 = false;
                }
            }
        }
    }

    fn deliver(&mut self, who: usize, of: usize, most: usize) {
        let position = self.positions[who * JOBS + of].0;
        let due = self.stored.iter().filter(|(id, job)| *id > position && *job == of);
        let due: Vec<u64> = due.map(|(id, _)| *id).take(most).collect();
        for id in due {
            let (watcher, job) = (watcher(who), job(of));
            self.record(What::Delivered { watcher, job, id, hash: hash(id) });
            self.positions[who * JOBS + of].0 = id;
        }
        let seen_all = !self
            .stored
            .iter()
            .any(|(id, job)| *id > self.positions[who * JOBS + of].0 && *job == of);
        if seen_all && self.rng.u8(0..10) == 0 {
            let id = self.stored.len() as u64;
            self.record(What::Position { watcher: watcher(who), job: job(of), id });
        }
    }

    fn end(&mut self) {
        for of in 0..JOBS {
            let id = self.stored.len() as u64 + 1;
            self.record(What::Intent { job: job(of), hash: hash(id) });
            self.stored.push((id, of));
            self.record(What::Acknowledged { job: job(of), hash: hash(id), id });
            self.record(What::Sentinel { job: job(of), id });
        }
        for who in 0..WATCHERS {
            for of in 0..JOBS {
                self.deliver(who, of, usize::MAX);
            }
        }
        for (id, of) in self.stored.clone() {
            self.record(What::Stored { job: job(of), id, hash: hash(id) });
        }
        let last = self.stored.len() as u64;
        self.record(What::StreamBounds { first: self.first, last });
    }
}

/// A delivery that is not among the last of its job, so that the defect is no late end.
fn any_delivery(records: &[Record], rng: &mut fastrand::Rng) -> usize {
    let last = sentinels(records);
    let deliveries: Vec<usize> = (0..records.len())
        .filter(|at| match &records[*at].what {
            What::Delivered { id, .. } => !last.contains(id),
            _ => false,
        })
        .collect();
    deliveries[rng.usize(0..deliveries.len())]
}

fn sentinels(records: &[Record]) -> HashSet<u64> {
    let of = |record: &Record| match &record.what {
        What::Sentinel { id, .. } => Some(*id),
        _ => None,
    };
    records.iter().filter_map(of).collect()
}

fn delivery(record: &Record) -> Option<(&str, &str, u64)> {
    match &record.what {
        What::Delivered { watcher, job, id, .. } => Some((watcher, job, *id)),
        _ => None,
    }
}

/// The same, of an event whose acknowledgement arrived.
fn any_acknowledged_delivery(records: &[Record], rng: &mut fastrand::Rng) -> usize {
    loop {
        let at = any_delivery(records, rng);
        let (.., delivered) = delivery(&records[at]).expect("a delivery");
        let of_it = |record: &Record| matches!(record.what, What::Acknowledged { id, .. } if id == delivered);
        if records.iter().any(of_it) {
            return at;
        }
    }
}

/// Every history is in order without the defect, and with it the violation is found.
fn is_caught(violation: Violation, defect: impl Fn(&mut Vec<Record>, &mut fastrand::Rng)) {
    for seed in 0..SEEDS {
        let mut records = World::history(seed);
        let verdict = judge(&records);
        assert!(verdict.is_clean(), "seed {seed}: {verdict}");
        assert!(verdict.delivered > 500 && verdict.closed > 5, "seed {seed}: {verdict}");
        defect(&mut records, &mut fastrand::Rng::with_seed(seed));
        let verdict = judge(&records);
        assert!(verdict.violations.contains_key(&violation), "seed {seed}: {verdict}");
    }
}

#[test]
fn an_event_that_is_dropped_is_caught() {
    is_caught(Violation::Lost, |records, rng| {
        let at = any_delivery(records, rng);
        records.remove(at);
    });
}

#[test]
fn an_event_that_comes_twice_is_caught() {
    is_caught(Violation::Duplicated, |records, rng| {
        let at = any_delivery(records, rng);
        let again = rng.usize(at + 1..records.len());
        records.insert(again, records[at].clone());
    });
}

#[test]
fn two_events_in_the_wrong_order_are_caught() {
    is_caught(Violation::Reordered, |records, rng| {
        loop {
            let at = any_delivery(records, rng);
            let (watcher, job, id) = delivery(&records[at]).expect("a delivery");
            let next = (at + 1..records.len()).find(|next| {
                delivery(&records[*next])
                    .is_some_and(|(w, j, i)| (w, j) == (watcher, job) && i > id)
            });
            if let Some(next) = next {
                let what = records[at].what.clone();
                records[at].what = std::mem::replace(&mut records[next].what, what);
                return;
            }
        }
    });
}

#[test]
fn events_skipped_where_history_and_live_meet_are_caught() {
    is_caught(Violation::Lost, |records, rng| {
        let seams: Vec<usize> = (0..records.len())
            .filter(
                |at| matches!(&records[*at].what, What::Subscribing { after, .. } if *after > 0),
            )
            .collect();
        loop {
            let seam = seams[rng.usize(0..seams.len())];
            let What::Subscribing { watcher, job, .. } = records[seam].what.clone() else {
                continue;
            };
            let last = sentinels(records);
            let of_it = |at: &usize| {
                delivery(&records[*at])
                    .is_some_and(|(w, j, id)| (w, j) == (&*watcher, &*job) && !last.contains(&id))
            };
            let skipped: Vec<usize> = (seam..records.len()).filter(of_it).take(2).collect();
            if skipped.is_empty() {
                continue;
            }
            for at in skipped.into_iter().rev() {
                records.remove(at);
            }
            return;
        }
    });
}

#[test]
fn an_event_that_nobody_sent_is_caught() {
    is_caught(Violation::Phantom, |records, rng| {
        let at = any_delivery(records, rng);
        if let What::Delivered { hash, .. } = &mut records[at].what {
            *hash = "another".into();
        }
    });
}

#[test]
fn an_event_of_another_job_is_caught() {
    is_caught(Violation::Phantom, |records, rng| {
        let at = any_delivery(records, rng);
        if let What::Delivered { job: told, .. } = &mut records[at].what {
            let other = (0..JOBS).map(job).find(|other| other != told).expect("another job");
            *told = other;
        }
    });
}

#[test]
fn an_id_that_carries_two_things_is_caught() {
    is_caught(Violation::Disagreement, |records, rng| {
        let at = any_delivery(records, rng);
        let (_, of, wrong) = delivery(&records[at]).expect("a delivery");
        let others = records.iter().filter_map(delivery);
        let other =
            others.filter(|(_, job, id)| *job == of && *id != wrong).map(|(.., id)| id).next();
        let other = hash(other.expect("another event of the job"));
        if let What::Delivered { hash, .. } = &mut records[at].what {
            *hash = other;
        }
    });
}

#[test]
fn a_loss_that_the_stream_knows_nothing_of_is_caught() {
    is_caught(Violation::UnjustifiedTruncation, |records, rng| {
        let at = any_delivery(records, rng);
        let (watcher, job, id) = delivery(&records[at]).expect("a delivery");
        let (watcher, job) = (watcher.to_owned(), job.to_owned());
        let told = What::Truncated { watcher, job, after: id - 1, first_available: id + 1 };
        records[at].what = told;
    });
}

#[test]
fn a_reset_without_a_cause_is_caught() {
    is_caught(Violation::UnjustifiedReset, |records, rng| {
        let at = any_delivery(records, rng);
        let (watcher, job, _) = delivery(&records[at]).expect("a delivery");
        let (watcher, job) = (watcher.to_owned(), job.to_owned());
        let told = Record { at: records[at].at, what: What::CursorInvalid { watcher, job } };
        records.insert(at, told);
    });
}

#[test]
fn a_position_that_is_ahead_of_its_events_is_caught() {
    is_caught(Violation::EarlyPosition, |records, rng| {
        let at = any_delivery(records, rng);
        let (watcher, job, id) = delivery(&records[at]).expect("a delivery");
        let (watcher, job) = (watcher.to_owned(), job.to_owned());
        let told = Record { at: records[at].at, what: What::Position { watcher, job, id } };
        records.insert(at, told);
    });
}

#[test]
fn an_end_that_comes_late_or_never_is_caught() {
    let last_of = |records: &[Record]| {
        let last = sentinels(records);
        (0..records.len())
            .rev()
            .find(|at| delivery(&records[*at]).is_some_and(|(.., id)| last.contains(&id)))
            .expect("the delivery of a last event")
    };
    is_caught(Violation::Late, |records, _| {
        let last = last_of(records);
        records[last].at += 31_000_000;
    });
    is_caught(Violation::Late, |records, _| {
        records.remove(last_of(records));
    });
}

#[test]
fn what_retention_took_is_no_loss_when_it_was_told_and_one_when_it_was_not() {
    for seed in 0..SEEDS {
        let mut records = World::history(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let at = any_acknowledged_delivery(&records, &mut rng);
        let (watcher, job, id) = delivery(&records[at]).expect("a delivery");
        let (watcher, job) = (watcher.to_owned(), job.to_owned());
        let trimmed =
            |record: &Record| matches!(&record.what, What::Stored { id: s, .. } if *s <= id);
        records.retain(|record| !trimmed(record));
        let at = records.iter().position(|record| delivery(record) == Some((&*watcher, &*job, id)));
        let at = at.expect("the delivery again");
        for record in &mut records {
            if let What::StreamBounds { first, .. } = &mut record.what {
                *first = id + 1;
            }
        }
        let mut silent = records.clone();
        silent.remove(at);
        assert!(judge(&silent).violations.contains_key(&Violation::Lost), "seed {seed}");
        records[at].what = What::Truncated { watcher, job, after: id - 1, first_available: id + 1 };
        let verdict = judge(&records);
        assert!(verdict.is_clean() && verdict.truncations == 1, "seed {seed}: {verdict}");
    }
}

/// A watcher that comes after #4 to a stream that begins at 10, and whose job begins at 12.
fn told_of_a_gap(stream_first: u64, first_available: u64) -> Verdict {
    let (job, watcher, hash) = (job(0), watcher(0), hash(12));
    let history = [
        What::Intent { job: job.clone(), hash: hash.clone() },
        What::Acknowledged { job: job.clone(), hash: hash.clone(), id: 12 },
        What::Sentinel { job: job.clone(), id: 12 },
        What::Subscribing { watcher: watcher.clone(), job: job.clone(), after: 4 },
        What::Truncated { watcher: watcher.clone(), job: job.clone(), after: 4, first_available },
        What::Delivered { watcher, job: job.clone(), id: 12, hash: hash.clone() },
        What::Stored { job, id: 12, hash },
        What::StreamBounds { first: stream_first, last: 12 },
    ];
    let timed = history.into_iter().zip(0..).map(|(what, at)| Record { at, what });
    judge(&timed.collect::<Vec<_>>())
}

#[test]
fn a_gap_may_be_told_up_to_the_first_event_of_the_job_and_no_further() {
    for first_available in [10, 11, 12] {
        let verdict = told_of_a_gap(10, first_available);
        assert!(verdict.is_clean() && verdict.truncations == 1, "{first_available}: {verdict}");
    }
    for (stream_first, first_available) in [(10, 13), (5, 12), (1, 12), (10, 5)] {
        let verdict = told_of_a_gap(stream_first, first_available);
        let unjustified = verdict.violations.get(&Violation::UnjustifiedTruncation);
        assert_eq!(unjustified, Some(&1), "{stream_first}, {first_available}: {verdict}");
    }
}

#[test]
fn what_nats_lost_is_counted_apart() {
    for seed in 0..SEEDS {
        let mut records = World::history(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let at = any_acknowledged_delivery(&records, &mut rng);
        let (_, _, gone) = delivery(&records[at]).expect("a delivery");
        records.retain(|record| match &record.what {
            What::Stored { id, .. } | What::Delivered { id, .. } => *id != gone,
            _ => true,
        });
        let verdict = judge(&records);
        assert!(verdict.is_clean(), "seed {seed}: {verdict}");
        assert_eq!(verdict.lost_by_nats, 1, "seed {seed}");
    }
}
