//! What was done and seen while faults were injected: one record a line, as JSON.

use serde::{Deserialize, Serialize};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Microseconds since the run began, by one clock.
    pub at: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// See [`Record`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// A publisher is about to send an event; it may arrive whether acknowledged or not.
    Intent {
        /// The job.
        job: String,
        /// Hash of what it carries.
        hash: String,
    },
    /// The stream took it.
    Acknowledged {
        /// The job.
        job: String,
        /// Hash of what it carries.
        hash: String,
        /// Its id.
        id: u64,
    },
    /// A watcher is about to subscribe; `after` is the last event that it has seen.
    Subscribing {
        /// Who.
        watcher: String,
        /// The job.
        job: String,
        /// The cursor.
        after: u64,
    },
    /// A watcher got an event.
    Delivered {
        /// Who.
        watcher: String,
        /// The job that the message names.
        job: String,
        /// Its id.
        id: u64,
        /// Hash of what it carries.
        hash: String,
    },
    /// A watcher was told that everything of the job up to here was sent.
    Position {
        /// Who.
        watcher: String,
        /// The job.
        job: String,
        /// The position.
        id: u64,
    },
    /// A watcher was told that events are gone.
    Truncated {
        /// Who.
        watcher: String,
        /// The job.
        job: String,
        /// Events after this one may be gone,
        after: u64,
        /// up to the one before this.
        first_available: u64,
    },
    /// A watcher was told that its cursor is of another stream; ids begin anew for it.
    CursorInvalid {
        /// Who.
        watcher: String,
        /// The job.
        job: String,
    },
    /// A watcher's connection ended.
    Closed {
        /// Who.
        watcher: String,
        /// Close code; 1006 if there was none.
        code: u16,
    },
    /// A fault begins.
    FaultBegins {
        /// Its name.
        fault: String,
    },
    /// A fault is over.
    FaultEnds {
        /// Its name.
        fault: String,
    },
    /// The stream was made anew, or set back: ids begin anew.
    StreamReplaced,
    /// The last event of a job, published after the last fault.
    Sentinel {
        /// The job.
        job: String,
        /// Its id.
        id: u64,
    },
    /// An event that the stream holds at the end.
    Stored {
        /// The job.
        job: String,
        /// Its id.
        id: u64,
        /// Hash of what it carries.
        hash: String,
    },
    /// The bounds of the stream at the end.
    StreamBounds {
        /// Its first sequence.
        first: u64,
        /// Its last.
        last: u64,
    },
}
