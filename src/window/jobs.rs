//! Which jobs are in the window, and where their events lie.

use std::collections::{BTreeMap, VecDeque};

use foldhash::HashMap;

use crate::event::{JobKey, LifeCycle};

/// Where an event lies: its id, and its running number in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    /// Sequence in the stream.
    pub id: u64,
    /// Running number of the entry since the ring was made.
    pub ordinal: u64,
}

/// One job in the window.
#[derive(Debug)]
pub struct JobSlot {
    /// The job.
    pub key: JobKey,
    /// Its events in the window, oldest first; never empty.
    pub events: VecDeque<Located>,
    /// The first event that was seen of it since it came into the window.
    pub first_seen: u64,
    /// Its newest life-cycle event that the window has seen.
    pub life_cycle: Option<Located>,
}

impl JobSlot {
    /// Id of the newest life-cycle event; 0: none.
    pub fn newest_life_cycle(&self) -> u64 {
        self.life_cycle.map_or(0, |located| located.id)
    }
}

/// A job as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSummary {
    /// The job.
    pub job: JobKey,
    /// Its first stored event, where that is known.
    pub first_id: Option<u64>,
    /// Newest event.
    pub last_id: u64,
    /// Type of the newest event.
    pub last_type: Box<str>,
    /// When the stream took it, in nanoseconds since 1970.
    pub last_at: i64,
    /// The newest life-cycle event: its type and payload, if the window still holds it.
    pub life_cycle: Option<(LifeCycle, bytes::Bytes)>,
}

/// Rough cost of a job in the index: key, slot, table entry and the first events.
pub const JOB_COST: usize = 320;
/// Rough cost of one more event in the index.
pub const LOCATED_COST: usize = size_of::<Located>();

/// The jobs in the window, by key and by slot number.
#[derive(Default)]
pub struct JobIndex {
    by_key: HashMap<JobKey, u32>,
    slots: Vec<Option<JobSlot>>,
    free: Vec<u32>,
    /// By the first event that was seen of each.
    by_age: BTreeMap<u64, u32>,
}

impl JobIndex {
    /// How many jobs are in the window.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The slot of a job by `kind.id`.
    pub fn find(&self, job: &str) -> Option<&JobSlot> {
        self.slot(*self.by_key.get(job)?)
    }

    /// The slot by number.
    pub fn slot(&self, number: u32) -> Option<&JobSlot> {
        self.slots.get(number as usize)?.as_ref()
    }

    /// Every job that began before a position, those that began last first.
    pub fn newest_first(&self, began_before: Option<u64>) -> impl Iterator<Item = &JobSlot> {
        let before = began_before.unwrap_or(u64::MAX);
        self.by_age
            .range(..before)
            .map(|(_, number)| number)
            .rev()
            .filter_map(|number| self.slot(*number))
    }

    /// Notes an event of a job and gives the job's slot; `true` if the job is new here. `None`
    /// if the job cannot be named.
    pub fn note(
        &mut self,
        job: &str,
        new_key: impl FnOnce() -> Option<JobKey>,
        located: Located,
        life_cycle: bool,
    ) -> Option<(u32, bool)> {
        let (number, is_new) = match self.by_key.get(job) {
            Some(number) => (*number, false),
            None => (self.open(new_key()?, located.id), true),
        };
        if let Some(Some(slot)) = self.slots.get_mut(number as usize) {
            slot.events.push_back(located);
            if life_cycle {
                slot.life_cycle = Some(located);
            }
        }
        Some((number, is_new))
    }

    /// Takes a job's oldest event out; gives the job back when that was its last.
    pub fn forget_oldest(&mut self, number: u32) -> Option<(JobKey, u64)> {
        let place = self.slots.get_mut(number as usize)?;
        let slot = place.as_mut()?;
        let gone = slot.events.pop_front()?;
        if !slot.events.is_empty() {
            return None;
        }
        let slot = place.take()?;
        self.by_key.remove(slot.key.as_str());
        self.by_age.remove(&slot.first_seen);
        self.free.push(number);
        Some((slot.key, gone.id))
    }

    fn open(&mut self, key: JobKey, first_seen: u64) -> u32 {
        let slot =
            JobSlot { key: key.clone(), events: VecDeque::new(), first_seen, life_cycle: None };
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                self.slots.push(None);
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(place) = self.slots.get_mut(number as usize) {
            *place = Some(slot);
        }
        self.by_key.insert(key, number);
        self.by_age.insert(first_seen, number);
        number
    }
}
