//! The window: the newest run of the stream, in memory, shared by all workers.
//!
//! It holds every event with floor < id ≤ head, and knows which job each belongs to. The tail
//! appends to it, workers read from it by position. Nobody has a queue here, nothing pins what
//! is evicted, and no JSON is looked at. It knows no NATS, no sockets and no wire format: an
//! event is encoded by a function that its reader brings, and the result is kept beside it.

mod census;
mod exclusion;
mod frames;
#[cfg(test)]
pub mod interleaving;
mod jobs;
#[cfg(all(test, feature = "shuttle"))]
mod races;
mod ring;
mod segment;

use std::sync::Arc;

use tokio::sync::Notify;

use crate::event::JobKey;
use crate::journal::Incarnation;
use crate::journal::tail::Follower;
pub use crate::journal::tail::{Arrival, StreamState};
use crate::subject::SubjectTemplate;
pub use census::{Census, Meaning, OTHER_KIND};
use exclusion::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use frames::{FRAME_VARIANTS, FrameVariant};
pub use jobs::JobSummary;
pub use ring::{Entry, JobRead, LogRead, ReadBound, Ring};

/// What the window knows of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobView {
    /// The newest event lies in the window.
    InWindow {
        /// Oldest event of the job in the window.
        oldest: u64,
        /// Newest event of the job.
        last: u64,
    },
    /// The newest event is older than the window.
    Older {
        /// Newest event of the job.
        last: u64,
    },
    /// Not known: the job may or may not exist.
    Unknown,
}

impl JobView {
    /// The job's newest event, where it is known.
    pub fn last(self) -> Option<u64> {
        match self {
            Self::InWindow { last, .. } | Self::Older { last } => Some(last),
            Self::Unknown => None,
        }
    }
}

/// The window's bounds at one moment, with one job in view.
#[derive(Debug, Clone)]
pub struct View {
    /// Counts the incarnations of the stream that this process has seen; 0: none yet.
    pub generation: u64,
    /// Identity of the stream's incarnation, the same in every pod.
    pub epoch: Arc<str>,
    /// Everything after this id, up to `head`, is in the window.
    pub floor: u64,
    /// The newest id that the tail has seen.
    pub head: u64,
    /// The job in view.
    pub job: JobView,
    /// The job's newest life-cycle event in the window; 0: none.
    pub newest_life_cycle: u64,
    /// What the leader last said.
    pub stream: Option<StreamState>,
}

impl View {
    /// The incarnation that the bounds are of.
    pub fn incarnation(&self) -> Incarnation {
        Incarnation { epoch: Arc::clone(&self.epoch), generation: self.generation }
    }
}

/// The shared window. Cheap to clone.
#[derive(Clone)]
pub struct Window {
    shared: Arc<Shared>,
}

struct Shared {
    ring: RwLock<Ring>,
    listeners: RwLock<Vec<Arc<Notify>>>,
}

impl Window {
    /// An empty window of at most `budget` bytes, of a stream whose subjects name jobs so.
    pub fn new(budget: usize, subjects: Arc<SubjectTemplate>) -> Self {
        Self {
            shared: Arc::new(Shared {
                ring: RwLock::new(Ring::new(budget, subjects)),
                listeners: RwLock::default(),
            }),
        }
    }

    /// From now on events are counted by these kinds of jobs.
    pub fn count_kinds(&self, kinds: impl IntoIterator<Item = Arc<str>>) {
        self.write().count_kinds(kinds);
    }

    /// As [`Window::new`], with segments so small that little is evicted at once.
    #[cfg(test)]
    pub fn with_segments(budget: usize, segment: usize) -> Self {
        let ring = RwLock::new(Ring::with_segments(budget, segment, Arc::default()));
        Self { shared: Arc::new(Shared { ring, listeners: RwLock::default() }) }
    }

    /// Whoever waits on the returned handle is woken when the window has changed.
    pub fn listen(&self) -> Arc<Notify> {
        let listener = Arc::new(Notify::new());
        let mut listeners =
            self.shared.listeners.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        listeners.push(Arc::clone(&listener));
        listener
    }

    /// Reads under a shared lock: keep it short.
    pub fn read(&self) -> RwLockReadGuard<'_, Ring> {
        #[cfg(test)]
        interleaving::run();
        // A reader that panicked cannot have left the ring half changed.
        self.shared.ring.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Changes the ring and wakes the listeners.
    pub fn change<T>(&self, change: impl FnOnce(&mut Ring) -> T) -> T {
        let result = change(&mut self.write());
        let listeners =
            self.shared.listeners.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        for listener in listeners.iter() {
            listener.notify_one();
        }
        result
    }

    /// The bounds, with one job in view.
    pub fn view(&self, job: &JobKey) -> View {
        self.read().view(job)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Ring> {
        self.shared.ring.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Follower for Window {
    fn begin(&self, epoch: &str, floor: u64) {
        self.change(|ring| ring.begin(epoch, floor));
    }

    fn take(&self, arrivals: &[Arrival<'_>]) {
        self.change(|ring| {
            for arrival in arrivals {
                ring.append(arrival);
            }
        });
    }

    fn skip_to(&self, floor: u64) {
        self.change(|ring| ring.skip_to(floor));
    }

    fn observe(&self, state: StreamState) {
        self.write().observe(state);
    }

    fn appetite(&self) -> u64 {
        self.read().budget() as u64
    }
}
