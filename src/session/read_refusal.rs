//! Why a job's events cannot be read over plain HTTP, as a stream or as a page.

use crate::subscription::Notice;

/// See the module's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadRefusal {
    /// There is no such job.
    NotFound,
    /// Events after the cursor are gone.
    Gone {
        /// The cursor.
        requested_after: u64,
        /// The first id that is surely there.
        first_available: u64,
        /// The job's newest event.
        last: u64,
    },
    /// The cursor is of another incarnation of the stream.
    CursorInvalid {
        /// The one that now holds.
        epoch: Box<str>,
    },
    /// NATS does not answer.
    Unavailable,
}

impl ReadRefusal {
    /// What a notice refuses; `None`: nothing.
    pub fn of(notice: &Notice) -> Option<Self> {
        Some(match notice {
            Notice::NotFound => Self::NotFound,
            Notice::Unavailable => Self::Unavailable,
            Notice::Truncated { requested_after, first_available, last } => Self::Gone {
                requested_after: *requested_after,
                first_available: *first_available,
                last: *last,
            },
            Notice::CursorInvalid { epoch } => Self::CursorInvalid { epoch: (&**epoch).into() },
            Notice::Subscribed { .. } | Notice::Position { .. } | Notice::ReplayDone { .. } => {
                return None;
            }
        })
    }
}
