//! The ring: segments in stream order, and who reads what from them. Pure; no locks, no waking.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::census::Census;
use super::exclusion::AtomicUsize;
use super::frames::{FrameBudget, FrameVariant};
use super::jobs::{JOB_COST, JobIndex, JobSlot, JobSummary, LOCATED_COST, Located};
use super::segment::{Segment, Slot};
use super::{Arrival, JobView, StreamState, View};
use crate::encoded::EncodedEvent;
use crate::event::{EventView, JobKey, JobStatus, LifeCycle, MAX_EVENT, TRACEPARENT};
use crate::recent::Recent;
use crate::subject::{SubjectParts, SubjectTemplate};

/// Payload bytes of a segment; eviction drops a whole one.
pub const SEGMENT: usize = 1024 * 1024;
/// Share of the budget for the last ids of older jobs: one part in this many.
const LAST_IDS_SHARE: usize = 8;
/// Rough cost of one remembered last id.
const LAST_ID_COST: usize = 160;
/// Share of the budget that is kept for encoded frames: one part in this many.
const FRAMES_SHARE: usize = 4;

/// Jobs that a list looks at under one lock, wanted or not.
const JOBS_LOOKED_AT: usize = 10_000;

/// An event in the window, borrowed while the lock is held.
pub struct Entry<'a> {
    /// The job.
    pub job: &'a JobKey,
    /// The event.
    pub event: EventView<'a>,
    /// The job's newest life-cycle event in the window; 0: none.
    pub newest_life_cycle: u64,
    segment: &'a Segment,
    index: u32,
    frames: FrameBudget<'a>,
}

impl Entry<'_> {
    /// The event's encoding in one variant, made at most once while it is kept.
    pub fn encoded(
        &self,
        variant: FrameVariant,
        encode: impl FnOnce(&JobKey, EventView<'_>) -> Option<EncodedEvent>,
    ) -> Option<EncodedEvent> {
        self.segment
            .frames
            .get_or_encode(self.index, variant, self.frames, || encode(self.job, self.event))
    }
}

/// What one read may hand out at most. At least one event is handed out.
#[derive(Debug, Clone, Copy)]
pub struct ReadBound {
    /// Last id to read.
    pub through: u64,
    /// Events.
    pub events: usize,
    /// Payload bytes.
    pub bytes: usize,
}

/// How a read of one job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobRead {
    /// The position is older than the window.
    Behind,
    /// Every event of the job up to this id was handed out.
    Through(u64),
}

/// How a read of the whole log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogRead {
    /// The position is older than the window, or of another incarnation.
    Behind,
    /// Every event up to this id was shown.
    Through(u64),
}

/// One contiguous run of the stream. See the module's text.
pub struct Ring {
    generation: u64,
    epoch: Arc<str>,
    floor: u64,
    head: u64,
    stream: Option<StreamState>,
    segments: VecDeque<Segment>,
    next_ordinal: u64,
    jobs: JobIndex,
    located: usize,
    older: Recent<JobKey, u64>,
    frame_bytes: AtomicUsize,
    budget: usize,
    segment: usize,
    subjects: Arc<SubjectTemplate>,
    last_ids_capacity: usize,
    census: Census,
}

impl Ring {
    /// An empty ring of at most `budget` bytes, of no incarnation yet.
    pub fn new(budget: usize, subjects: Arc<SubjectTemplate>) -> Self {
        Self::with_segments(budget, SEGMENT, subjects)
    }

    /// As [`Ring::new`], with segments of another size.
    pub fn with_segments(budget: usize, segment: usize, subjects: Arc<SubjectTemplate>) -> Self {
        let share = budget / LAST_IDS_SHARE;
        let last_ids_capacity = share / LAST_ID_COST / 2;
        Self {
            generation: 0,
            epoch: "".into(),
            floor: 0,
            head: 0,
            stream: None,
            segments: VecDeque::new(),
            next_ordinal: 0,
            jobs: JobIndex::default(),
            located: 0,
            older: Recent::new(last_ids_capacity),
            frame_bytes: AtomicUsize::new(0),
            budget: budget - share,
            segment,
            subjects,
            last_ids_capacity,
            census: Census::default(),
        }
    }

    /// From now on events are counted by these kinds of jobs.
    pub fn count_kinds(&mut self, kinds: impl IntoIterator<Item = Arc<str>>) {
        self.census = Census::of(kinds);
    }

    /// Events by kind and meaning, counted since the window was filled.
    pub fn census(&self) -> &Census {
        &self.census
    }

    /// When the oldest event in the window was stored, in nanoseconds since 1970.
    pub fn oldest_stored_at(&self) -> Option<i64> {
        Some(self.segments.front()?.slots.first()?.stored_at)
    }

    /// Starts a new incarnation of the stream: everything that was known is discarded, and the
    /// run begins after `floor`.
    pub fn begin(&mut self, epoch: &str, floor: u64) {
        self.generation += 1;
        self.epoch = epoch.into();
        self.stream = None;
        self.census.begin();
        self.empty_at(floor);
    }

    /// Notes what the leader said.
    pub fn observe(&mut self, state: StreamState) {
        self.stream = Some(state);
        self.census.count_after(state.last);
    }

    /// Takes the next message of the stream. Ids up to the head are dropped; a hole in the
    /// sequence empties the window, because nobody knows what the hole held.
    pub fn append(&mut self, arrival: &Arrival<'_>) {
        if arrival.id <= self.head {
            return;
        }
        if arrival.id != self.head + 1 {
            self.empty_at(arrival.id - 1);
        }
        self.head = arrival.id;
        let subjects = Arc::clone(&self.subjects);
        if let Some(parts) = subjects.split(arrival.subject) {
            let event_type = subjects.event_type(&parts, arrival.payload);
            self.census.note(arrival.id, parts.kind(), &event_type);
            self.store(arrival, &parts, &event_type);
        }
    }

    /// Moves on to where the stream now begins, when retention has overtaken the tail.
    pub fn skip_to(&mut self, floor: u64) {
        if floor > self.head {
            self.empty_at(floor);
        }
    }

    /// The bounds, with one job in view.
    pub fn view(&self, job: &JobKey) -> View {
        View {
            generation: self.generation,
            epoch: Arc::clone(&self.epoch),
            floor: self.floor,
            head: self.head,
            job: self.job_view(job.as_str()),
            newest_life_cycle: self.jobs.find(job.as_str()).map_or(0, JobSlot::newest_life_cycle),
            stream: self.stream,
        }
    }

    /// Which incarnation of the stream this is; 0: none yet.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Everything after this id is in the window.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// The newest id seen.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// What the leader last said.
    pub fn stream(&self) -> Option<StreamState> {
        self.stream
    }

    /// The identity of the incarnation.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Events in the window.
    pub fn events(&self) -> usize {
        self.located
    }

    /// Jobs in the window.
    pub fn job_count(&self) -> usize {
        self.jobs.len()
    }

    /// Bytes the ring may take.
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// Bytes that count against the budget.
    pub fn cost(&self) -> usize {
        self.events_cost() + self.frame_bytes.load(Ordering::Relaxed)
    }

    fn events_cost(&self) -> usize {
        self.segments.iter().map(Segment::cost).sum::<usize>()
            + self.jobs.len() * JOB_COST
            + self.located * LOCATED_COST
    }

    /// Hands out the events of one job after `after`, oldest first, within a bound.
    pub fn read_job(
        &self,
        job: &str,
        after: u64,
        bound: ReadBound,
        mut take: impl FnMut(&Entry<'_>),
    ) -> JobRead {
        if after < self.floor {
            return JobRead::Behind;
        }
        let end = bound.through.min(self.head);
        let Some(slot) = self.jobs.find(job) else { return JobRead::Through(end.max(after)) };
        let first = slot.events.partition_point(|located| located.id <= after);
        let (mut events, mut bytes, mut last) = (0, 0, after);
        for located in slot.events.iter().skip(first).take_while(|located| located.id <= end) {
            let Some(entry) = self.entry(*located, slot) else { break };
            let size = entry.event.payload.len();
            if events > 0 && (events >= bound.events || bytes + size > bound.bytes) {
                return JobRead::Through(last);
            }
            take(&entry);
            events += 1;
            bytes += size;
            last = located.id;
        }
        JobRead::Through(end.max(after))
    }

    /// Shows the log after `after` entry by entry, until `take` returns `false` or the head is
    /// reached. The entry that `take` refused counts as shown.
    pub fn read_log(
        &self,
        generation: u64,
        after: u64,
        mut take: impl FnMut(&Entry<'_>) -> bool,
    ) -> LogRead {
        if generation != self.generation || after < self.floor {
            return LogRead::Behind;
        }
        let segment = self
            .segments
            .partition_point(|segment| segment.slots.last().is_none_or(|slot| slot.id <= after));
        for segment in self.segments.iter().skip(segment) {
            let first = segment.slots.partition_point(|slot| slot.id <= after);
            for (index, slot) in segment.slots.iter().enumerate().skip(first) {
                let Some(job) = self.jobs.slot(slot.job) else { continue };
                if !take(&self.entry_at(segment, index, slot, job)) {
                    return LogRead::Through(slot.id);
                }
            }
        }
        LogRead::Through(self.head)
    }

    /// The job's newest life-cycle event in the window, and whether it is final.
    pub fn life_cycle(&self, job: &str) -> Option<(u64, bool)> {
        let slot = self.jobs.find(job)?;
        let event = self.entry(slot.life_cycle?, slot)?.event;
        let status = JobStatus::after(LifeCycle::of(event.event_type)?, event.payload);
        Some((event.id, status.is_final()))
    }

    /// The wanted jobs in the window, those that began last first, at most `limit` of those that
    /// began before a position; and from where to go on, if there are more.
    pub fn summaries(
        &self,
        began_before: Option<u64>,
        limit: usize,
        wanted: impl Fn(&JobKey) -> bool,
    ) -> (Vec<JobSummary>, Option<u64>) {
        let (mut summaries, mut seen, mut oldest) = (Vec::new(), 0, None);
        for slot in self.jobs.newest_first(began_before) {
            if summaries.len() == limit || seen == JOBS_LOOKED_AT {
                return (summaries, oldest);
            }
            (seen, oldest) = (seen + 1, Some(slot.first_seen));
            if wanted(&slot.key) {
                summaries.extend(self.summary(slot));
            }
        }
        (summaries, None)
    }

    fn summary(&self, slot: &JobSlot) -> Option<JobSummary> {
        let last = self.entry(*slot.events.back()?, slot)?;
        let life_cycle = slot.life_cycle.and_then(|located| {
            let entry = self.entry(located, slot)?;
            let kind = LifeCycle::of(entry.event.event_type)?;
            Some((kind, bytes::Bytes::copy_from_slice(entry.event.payload)))
        });
        Some(JobSummary {
            job: slot.key.clone(),
            first_id: slot.events.front().map(|first| first.id).filter(|_| self.holds_all()),
            last_id: last.event.id,
            last_type: last.event.event_type.into(),
            last_at: last.event.stored_at,
            life_cycle,
        })
    }

    /// Whether the window holds everything that the stream still stores.
    fn holds_all(&self) -> bool {
        self.stream.is_some_and(|stream| stream.first > self.floor)
    }

    fn job_view(&self, job: &str) -> JobView {
        if let Some(slot) = self.jobs.find(job)
            && let (Some(oldest), Some(last)) = (slot.events.front(), slot.events.back())
        {
            return JobView::InWindow { oldest: oldest.id, last: last.id };
        }
        match self.older.get(job) {
            Some(last) => JobView::Older { last },
            None => JobView::Unknown,
        }
    }

    fn entry<'a>(&'a self, located: Located, slot: &'a JobSlot) -> Option<Entry<'a>> {
        let place = self
            .segments
            .partition_point(|segment| segment.base <= located.ordinal)
            .checked_sub(1)?;
        let segment = self.segments.get(place)?;
        let index = usize::try_from(located.ordinal - segment.base).ok()?;
        Some(self.entry_at(segment, index, segment.slots.get(index)?, slot))
    }

    fn entry_at<'a>(
        &'a self,
        segment: &'a Segment,
        index: usize,
        slot: &Slot,
        job: &'a JobSlot,
    ) -> Entry<'a> {
        Entry {
            job: &job.key,
            newest_life_cycle: job.newest_life_cycle(),
            event: segment.view(slot),
            segment,
            index: u32::try_from(index).unwrap_or(u32::MAX),
            frames: FrameBudget { bytes: &self.frame_bytes, most: self.frames_share() },
        }
    }

    fn empty_at(&mut self, floor: u64) {
        self.floor = floor;
        self.head = floor;
        self.segments.clear();
        self.jobs = JobIndex::default();
        self.located = 0;
        self.older = Recent::new(self.last_ids_capacity);
        self.frame_bytes.store(0, Ordering::Relaxed);
    }

    fn store(&mut self, arrival: &Arrival<'_>, parts: &SubjectParts<'_>, event_type: &str) {
        // A larger event is outside the contract; it is kept empty, and so told as malformed.
        let payload = if arrival.payload.len() > MAX_EVENT { &[] } else { arrival.payload };
        let located = Located { id: arrival.id, ordinal: self.next_ordinal };
        let life_cycle = LifeCycle::of(event_type).is_some();
        let noted = self.jobs.note(&parts.job, || parts.job_key().ok(), located, life_cycle);
        let Some((job, is_new)) = noted else { return };
        if is_new {
            self.older.remove(&*parts.job);
        }
        let traceparent = arrival.traceparent.filter(|text| text.len() == TRACEPARENT);
        let length = event_type.len() + payload.len() + traceparent.map_or(0, str::len);
        let segment = self.segment_for(length);
        let slot = Slot {
            id: arrival.id,
            stored_at: arrival.stored_at,
            job,
            // A segment holds at most 1 MiB and a name at most 64 bytes.
            offset: u32::try_from(segment.bytes.len()).unwrap_or(u32::MAX),
            payload: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            event_type: u8::try_from(event_type.len()).unwrap_or(u8::MAX),
            is_traced: traceparent.is_some(),
        };
        segment.slots.push(slot);
        segment.bytes.extend_from_slice(event_type.as_bytes());
        segment.bytes.extend_from_slice(payload);
        segment.bytes.extend_from_slice(traceparent.unwrap_or_default().as_bytes());
        self.next_ordinal += 1;
        self.located += 1;
        self.keep_to_budget();
    }

    fn segment_for(&mut self, bytes: usize) -> &mut Segment {
        let full =
            self.segments.back().is_none_or(|segment| segment.bytes.len() + bytes > self.segment);
        if full {
            self.segments.push_back(Segment {
                base: self.next_ordinal,
                bytes: Vec::with_capacity(self.segment),
                ..Segment::default()
            });
        }
        #[expect(clippy::expect_used, reason = "one was pushed above if there was none")]
        self.segments.back_mut().expect("a segment")
    }

    /// Events and index have their part of the budget, encoded frames theirs: readers add
    /// frames when nothing is appended, so that their part must be free at any time.
    fn keep_to_budget(&mut self) {
        self.shed_frames();
        let share = self.frames_share();
        while self.segments.len() > 1 && self.events_cost() + share > self.budget {
            self.evict_oldest();
        }
    }

    fn frames_share(&self) -> usize {
        self.budget / FRAMES_SHARE
    }

    /// Drops the oldest encodings when little room is left for new ones.
    fn shed_frames(&mut self) {
        let enough = self.frames_share() / 4 * 3;
        for segment in &mut self.segments {
            if self.frame_bytes.load(Ordering::Relaxed) <= enough {
                return;
            }
            let freed = segment.frames.clear();
            self.frame_bytes.fetch_sub(freed, Ordering::Relaxed);
        }
    }

    fn evict_oldest(&mut self) {
        let Some(mut segment) = self.segments.pop_front() else { return };
        let freed = segment.frames.clear();
        self.frame_bytes.fetch_sub(freed, Ordering::Relaxed);
        for slot in &segment.slots {
            self.floor = slot.id;
            self.located -= 1;
            if let Some((job, last)) = self.jobs.forget_oldest(slot.job) {
                self.older.insert(job, last);
            }
        }
    }
}

#[cfg(test)]
mod tests;
