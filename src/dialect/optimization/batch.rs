//! A `replay` message: a run of a job's history.

use bytes::Bytes;

use super::{Naming, push_job};
use crate::dialect::frame::TextFrame;
use crate::event::JobKey;

/// Bytes of a `replay` message at most, unless one event alone is larger: common clients stop at
/// 1 MiB.
pub const BATCH: usize = 256 * 1024;

/// A `replay` message under construction.
pub struct Batch {
    frame: TextFrame,
    events: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new(job: &JobKey, naming: Naming) -> Self {
        let mut frame = TextFrame::with_capacity(1_024);
        frame.push("{\"type\":\"replay\"");
        push_job(&mut frame, job, naming);
        frame.push(",\"data\":[");
        Self { frame, events: 0 }
    }

    /// Whether one more event of this length keeps the message within `limit` bytes. The first
    /// one always does.
    pub fn has_room(&self, body: usize, limit: usize) -> bool {
        self.events == 0 || self.frame.len() + body + 3 <= limit.min(BATCH)
    }

    /// Adds a bare event.
    pub fn push(&mut self, body: &[u8]) {
        if self.events > 0 {
            self.frame.push(",");
        }
        self.frame.push_bytes(body);
        self.events += 1;
    }

    /// How many events it holds.
    pub fn events(&self) -> usize {
        self.events
    }

    /// The whole message.
    pub fn finish(mut self) -> Bytes {
        self.frame.push("]}");
        self.frame.finish().0
    }
}
