//! What a history proves: every promise of the gateway, checked over all that was recorded.
//!
//! The checker knows nothing of how the gateway works. It compares what publishers were promised
//! with what watchers got, and what the stream holds at the end.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::history::{Record, What};

/// How long after the last fault, or after it was published, a job's last event may take.
pub const LIVE_WITHIN: u64 = 30_000_000;
/// Examples that a verdict shows of each violation.
const EXAMPLES: usize = 10;

/// A promise that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Violation {
    /// An acknowledged event never came, and nobody said so.
    Lost,
    /// An event came twice.
    Duplicated,
    /// An event came after a later one.
    Reordered,
    /// An event that nobody published, or of another job.
    Phantom,
    /// Two payloads for one id.
    Disagreement,
    /// A loss was told that the stream knows nothing of.
    UnjustifiedTruncation,
    /// A cursor was called invalid although the stream is the same.
    UnjustifiedReset,
    /// A position was told before everything up to it had come.
    EarlyPosition,
    /// The last event did not come in time.
    Late,
}

/// The verdict on a history.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    /// How often each promise was broken.
    pub violations: BTreeMap<Violation, usize>,
    /// Some of the breaks, in words.
    pub examples: Vec<String>,
    /// Events that were acknowledged.
    pub acknowledged: usize,
    /// Events that watchers got, all of them together.
    pub delivered: usize,
    /// Connections that ended.
    pub closed: usize,
    /// Acknowledged events that the stream no longer holds although it should: lost by NATS.
    pub lost_by_nats: usize,
    /// Told losses that the stream confirms.
    pub truncations: usize,
    /// The longest time from the last fault, or the publish if that was later, to the arrival of
    /// a job's last event, in microseconds.
    pub slowest: u64,
    /// From the end of a connection to the next thing that its watcher was told, in microseconds,
    /// of all connections that ended; in order.
    #[serde(skip)]
    pub gaps: Vec<u64>,
}

impl Verdict {
    /// The gap that this share of the gaps is not longer than; nothing without gaps.
    pub fn gap(&self, share: f64) -> Option<Duration> {
        let rank = (self.gaps.len() as f64 * share).ceil() as usize;
        self.gaps.get(rank.saturating_sub(1)).map(|gap| Duration::from_micros(*gap))
    }

    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    fn note(&mut self, violation: Violation, words: impl FnOnce() -> String) {
        let count = self.violations.entry(violation).or_default();
        *count += 1;
        if *count <= EXAMPLES {
            self.examples.push(format!("{violation:?}: {}", words()));
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{} acknowledged, {} delivered, {} connections ended, {} told truncations, {} lost by \
             NATS, slowest end {:.1} s",
            self.acknowledged,
            self.delivered,
            self.closed,
            self.truncations,
            self.lost_by_nats,
            self.slowest as f64 / 1e6,
        )?;
        if let (Some(half), Some(most)) = (self.gap(0.5), self.gap(0.99)) {
            writeln!(formatter, "gaps of watchers: p50 {half:.1?}, p99 {most:.1?}")?;
        }
        if self.is_clean() {
            return write!(formatter, "nothing lost, doubled, reordered or invented");
        }
        for (violation, count) in &self.violations {
            writeln!(formatter, "{violation:?}: {count}")?;
        }
        for example in &self.examples {
            writeln!(formatter, "  {example}")?;
        }
        Ok(())
    }
}

/// Checks a history.
pub fn judge(history: &[Record]) -> Verdict {
    let mut verdict = Verdict::default();
    let facts = Facts::gather(history, &mut verdict);
    let mut watches: BTreeMap<(&str, &str), Watch> = BTreeMap::new();
    let mut told: HashMap<u64, (&String, &String)> = HashMap::new();
    for record in history {
        match &record.what {
            What::Subscribing { watcher, job, after } => {
                watches.entry((watcher, job)).or_insert_with(|| Watch::new(*after));
            }
            What::Delivered { watcher, job, id, hash } => {
                verdict.delivered += 1;
                facts.check_payload(job, *id, hash, watcher, &mut verdict);
                let agreed = told.entry(*id).or_insert((job, hash));
                if !facts.replaced && *agreed != (job, hash) {
                    verdict.note(Violation::Disagreement, || {
                        format!("{watcher} alone got {job}#{id} so")
                    });
                }
                if let Some(watch) = watches.get_mut(&(watcher.as_str(), job.as_str())) {
                    watch.delivered(record.at, *id, hash, watcher, job, &mut verdict);
                } else {
                    let words = || format!("{watcher} got {job}#{id} without asking for it");
                    verdict.note(Violation::Phantom, words);
                }
            }
            What::Position { watcher, job, id } => {
                if let Some(watch) = watches.get_mut(&(watcher.as_str(), job.as_str())) {
                    watch.positions.push((*id, watch.seen.len()));
                }
            }
            What::Truncated { watcher, job, after, first_available } => {
                if let Some(watch) = watches.get_mut(&(watcher.as_str(), job.as_str())) {
                    watch.gaps.push((*after, *first_available));
                }
            }
            What::CursorInvalid { watcher, job } => {
                if !facts.replaced {
                    let words = || format!("{watcher} was told so of {job}");
                    verdict.note(Violation::UnjustifiedReset, words);
                }
                if let Some(watch) = watches.get_mut(&(watcher.as_str(), job.as_str())) {
                    watch.restart();
                }
            }
            What::Closed { .. } => verdict.closed += 1,
            _ => {}
        }
    }
    for ((watcher, job), watch) in &watches {
        facts.check_watch(watcher, job, watch, &mut verdict);
    }
    verdict.gaps = gaps(history);
    verdict
}

fn gaps(history: &[Record]) -> Vec<u64> {
    let mut ended: HashMap<&str, u64> = HashMap::new();
    let mut gaps = Vec::new();
    for record in history {
        match &record.what {
            What::Closed { watcher, .. } => {
                // Who was turned away in between is in the same gap.
                ended.entry(watcher).or_insert(record.at);
            }
            What::Delivered { watcher, .. } | What::Position { watcher, .. } => {
                let ended = ended.remove(watcher.as_str());
                gaps.extend(ended.map(|ended| record.at.saturating_sub(ended)));
            }
            _ => {}
        }
    }
    gaps.sort_unstable();
    gaps
}

/// What publishers and the stream say.
struct Facts<'a> {
    /// Per job: what was sent, acknowledged or not.
    intended: HashMap<&'a str, HashSet<&'a str>>,
    /// Per job: what the present stream acknowledged, and what it holds at the end.
    due: HashMap<&'a str, BTreeSet<u64>>,
    /// What the present stream acknowledged.
    acknowledged: HashSet<u64>,
    /// What the stream holds at the end, by id.
    stored: HashMap<u64, (&'a str, &'a str)>,
    first: u64,
    sentinels: HashMap<&'a str, (u64, u64)>,
    replaced: bool,
    last_fault: u64,
}

impl<'a> Facts<'a> {
    fn gather(history: &'a [Record], verdict: &mut Verdict) -> Self {
        let mut facts = Self {
            intended: HashMap::new(),
            due: HashMap::new(),
            acknowledged: HashSet::new(),
            stored: HashMap::new(),
            first: 1,
            sentinels: HashMap::new(),
            replaced: false,
            last_fault: 0,
        };
        for record in history {
            match &record.what {
                What::Intent { job, hash } => {
                    facts.intended.entry(job).or_default().insert(hash);
                }
                What::Acknowledged { job, id, .. } => {
                    verdict.acknowledged += 1;
                    facts.due.entry(job).or_default().insert(*id);
                    facts.acknowledged.insert(*id);
                }
                // What an earlier stream acknowledged is gone with it.
                What::StreamReplaced => {
                    facts.replaced = true;
                    facts.due.clear();
                    facts.acknowledged.clear();
                }
                What::Stored { job, id, hash } => {
                    facts.stored.insert(*id, (job, hash));
                    facts.due.entry(job).or_default().insert(*id);
                }
                What::StreamBounds { first, .. } => facts.first = *first,
                What::Sentinel { job, id } => {
                    facts.sentinels.insert(job, (*id, record.at));
                }
                What::FaultEnds { .. } | What::FaultBegins { .. } => facts.last_fault = record.at,
                _ => {}
            }
        }
        let still_due = facts.acknowledged.iter().filter(|id| **id >= facts.first);
        let missing = still_due.filter(|id| !facts.stored.contains_key(id));
        verdict.lost_by_nats = missing.count();
        facts
    }

    fn check_payload(&self, job: &str, id: u64, hash: &str, who: &str, verdict: &mut Verdict) {
        if !self.intended.get(job).is_some_and(|hashes| hashes.contains(hash)) {
            verdict.note(Violation::Phantom, || format!("{who} got {job}#{id}, never sent"));
        }
        if !self.replaced
            && let Some((stored_job, stored)) = self.stored.get(&id)
            && (*stored_job != job || *stored != hash)
        {
            verdict.note(Violation::Disagreement, || {
                format!("{who} got {job}#{id} otherwise than the stream holds it")
            });
        }
    }

    fn check_watch(&self, watcher: &str, job: &str, watch: &Watch, verdict: &mut Verdict) {
        let nothing = BTreeSet::new();
        let of_job = self.due.get(job).unwrap_or(&nothing);
        for (id, seen_then) in &watch.positions {
            let seen: HashSet<u64> =
                watch.seen.iter().take(*seen_then).map(|(id, _)| *id).collect();
            let due = of_job.range(watch.start + 1..=(*id).max(watch.start + 1));
            for missing in due
                .filter(|due| **due <= *id && !seen.contains(due) && !self.is_excused(watch, **due))
            {
                verdict.note(Violation::EarlyPosition, || {
                    format!("{watcher} was at {job}#{id} without #{missing}")
                });
            }
        }
        // Nothing of the job lies between the stream's first event and the job's.
        let first_of_job = of_job.range(self.first..).next().copied().unwrap_or(self.first);
        for (after, first_available) in &watch.gaps {
            let nothing_is_gone = self.first <= after + 1 || *first_available <= after + 1;
            if nothing_is_gone || *first_available > first_of_job {
                verdict.note(Violation::UnjustifiedTruncation, || {
                    format!(
                        "{watcher} was told that {job} has a gap from {after} to \
                         {first_available}; the stream begins at {}, the job at {first_of_job}",
                        self.first
                    )
                });
            } else {
                verdict.truncations += 1;
            }
        }
        let Some((sentinel, published_at)) = self.sentinels.get(job) else { return };
        for id in of_job.iter().filter(|id| **id > watch.start && *id <= sentinel) {
            if !watch.ids.contains(id) && !self.is_excused(watch, *id) {
                verdict.note(Violation::Lost, || format!("{watcher} never got {job}#{id}"));
            }
        }
        let due = self.last_fault.max(*published_at);
        match watch.seen.iter().find(|(id, _)| id == sentinel) {
            Some((_, at)) => {
                let took = at.saturating_sub(due);
                verdict.slowest = verdict.slowest.max(took);
                if took > LIVE_WITHIN {
                    verdict.note(Violation::Late, || {
                        format!("{watcher} got the last event of {job} after {took} µs")
                    });
                }
            }
            None => verdict
                .note(Violation::Late, || format!("{watcher} never got the last event of {job}")),
        }
    }

    /// Whether a loss was told and the stream confirms it, or the stream itself lost the event.
    fn is_excused(&self, watch: &Watch, id: u64) -> bool {
        let was_told = || watch.gaps.iter().any(|(after, first)| *after < id && id < *first);
        let is_retired = id < self.first;
        if is_retired { was_told() } else { !self.stored.contains_key(&id) }
    }
}

/// One watcher of one job, over all its connections, since ids began.
struct Watch {
    start: u64,
    last: u64,
    /// In the order of arrival, with the time.
    seen: Vec<(u64, u64)>,
    ids: BTreeSet<u64>,
    hashes: HashMap<u64, String>,
    gaps: Vec<(u64, u64)>,
    /// Positions, and how much had been seen then.
    positions: Vec<(u64, usize)>,
}

impl Watch {
    fn new(start: u64) -> Self {
        Self {
            start,
            last: start,
            seen: Vec::new(),
            ids: BTreeSet::new(),
            hashes: HashMap::new(),
            gaps: Vec::new(),
            positions: Vec::new(),
        }
    }

    fn restart(&mut self) {
        *self = Self::new(0);
    }

    fn delivered(
        &mut self,
        at: u64,
        id: u64,
        hash: &str,
        watcher: &str,
        job: &str,
        verdict: &mut Verdict,
    ) {
        if self.ids.contains(&id) {
            verdict.note(Violation::Duplicated, || format!("{watcher} got {job}#{id} again"));
        } else if id <= self.last {
            verdict.note(Violation::Reordered, || {
                format!("{watcher} got {job}#{id} after #{}", self.last)
            });
        }
        if self.hashes.insert(id, hash.to_owned()).is_some_and(|before| before != hash) {
            verdict
                .note(Violation::Disagreement, || format!("{watcher} got {job}#{id} in two ways"));
        }
        self.last = self.last.max(id);
        self.seen.push((id, at));
        self.ids.insert(id);
    }
}
