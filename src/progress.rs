//! What the dialects that promise numbers in every message remember of a job between two events.

use crate::event::{JobStatus, StoredBody};

/// Where a job stands, folded from its events in order. Small, and copied freely: an encoded
/// event carries the progress after it, so that every watcher knows it without reading JSON.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Progress {
    /// Fraction done, 0 to 1, if any event told it.
    pub fraction: Option<f64>,
    /// Iteration or epoch.
    pub iteration: Option<f64>,
    /// How many iterations or epochs there will be.
    pub total: Option<f64>,
    /// Training loss.
    pub loss: Option<f64>,
    /// The status after the newest life-cycle event.
    pub status: Option<JobStatus>,
}

/// Whether an ending is the newest life-cycle event of its job. One that is not ends nobody's
/// connection and is told as something that was tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Nothing of the life cycle came after it.
    Newest,
    /// The job went on.
    Superseded,
}

impl Progress {
    /// The progress after one more event.
    pub fn after(self, _event_type: &str, _body: &StoredBody<'_>) -> Self {
        self
    }
}
