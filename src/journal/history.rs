//! What can be asked of the stream's history, and the answers. Types only: the subscription
//! asks, [`super::CatchUp`] and the tests' model answer.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::event::{JobKey, LifeCycle, StoredEvent};

/// A question that the window cannot answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    /// Where the job begins and ends, as of a position of the replica that answers.
    Bounds(JobKey),
    /// The same of the leader, after it was asked for its last sequence.
    Leader(JobKey),
    /// The job's first event, as far as it can be had cheaply.
    First(JobKey),
    /// Events after one id, up to and including another, as many as fit in a page.
    Page {
        /// The job.
        job: JobKey,
        /// Id of the last event that is not wanted.
        after: u64,
        /// Id of the last event that is wanted: the job has an event with this id.
        through: u64,
    },
}

/// The answer to a [`Question`] of the same name.
#[derive(Debug, Clone)]
pub enum Answer {
    /// To [`Question::Bounds`].
    Bounds(Bounds),
    /// To [`Question::Leader`].
    Leader(LeaderView),
    /// To [`Question::First`]; `None`: not known.
    First(Option<u64>),
    /// To [`Question::Page`].
    Page(PageRead),
    /// The stream is another incarnation than the one asked about.
    OtherEpoch,
    /// NATS is away, or did not answer in time. Proves nothing.
    Unavailable,
}

/// Where a job begins and ends, and its state: the last event of every type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Everything up to this stream position is taken into account; `None` where the replica
    /// had no event of the job, because it then does not tell its position.
    pub up_to: Option<u64>,
    /// The job's last event as of that position.
    pub last: Option<u64>,
    /// The job's first event that is still stored, if it could be had.
    pub first: Option<u64>,
    /// The stream's first sequence, asked of the leader.
    pub stream_first: u64,
    /// The job's last event of every type as of that position, oldest first.
    pub state: Arc<[StoredEvent]>,
}

impl Bounds {
    /// The newest life-cycle event as of that position; 0: none.
    pub fn newest_life_cycle(&self) -> u64 {
        let of_life_cycle = |event: &&StoredEvent| LifeCycle::of(&event.event_type).is_some();
        self.state.iter().filter(of_life_cycle).map(|event| event.id).max().unwrap_or(0)
    }
}

/// What the leader says of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaderView {
    /// The stream's last sequence, asked for before the job.
    pub stream_last: u64,
    /// The stream's first sequence.
    pub stream_first: u64,
    /// The job's last event.
    pub last: Option<u64>,
}

/// A page, and what was true after it was read.
#[derive(Debug, Clone)]
pub struct PageRead {
    /// The page; it covers the asked position, but may begin earlier and end earlier.
    pub page: Arc<Page>,
    /// The stream's first sequence, asked of the leader after the page was read.
    pub stream_first: u64,
}

/// Every event of one job with `after` < id ≤ `through`.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// Nothing up to this id is in the page.
    pub after: u64,
    /// Everything up to this id is in the page, or was never stored, or is gone.
    pub through: u64,
    /// The events, oldest first.
    pub events: Vec<StoredEvent>,
}

impl Page {
    /// The page's events after a position.
    pub fn events_after(&self, position: u64) -> &[StoredEvent] {
        let first = self.events.partition_point(|event| event.id <= position);
        self.events.get(first..).unwrap_or_default()
    }

    /// Bytes the page costs in memory, roughly.
    pub fn cost(&self) -> usize {
        size_of::<Self>() + self.events.iter().map(StoredEvent::cost).sum::<usize>()
    }
}

/// Which incarnation of the stream a question is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Incarnation {
    /// Its identity, the same for every pod.
    pub epoch: Arc<str>,
    /// Counts the incarnations that this process has seen: a stream that was rewound keeps its
    /// identity, but nothing that was read before may be served as part of it.
    pub generation: u64,
}

/// Whoever answers questions about history.
pub trait History: Send + Sync {
    /// Answers in bounded time; [`Answer::Unavailable`] where it cannot, and
    /// [`Answer::OtherEpoch`] where the stream was made anew since: ids of two incarnations
    /// must never mix.
    fn ask(&self, incarnation: Incarnation, question: Question) -> BoxFuture<'static, Answer>;
}
