//! Events as they go over the wire, made once and shared by any number of sockets.

use bytes::Bytes;

use crate::progress::Progress;

/// One event in one wire format.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedEvent {
    /// A whole message, framing included; empty where the format hides the event.
    pub message: Bytes,
    /// Where in `message` the bare event lies, for messages that hold several.
    pub body: std::ops::Range<usize>,
    /// Where the job stood before the event, as far as its encoding depends on that.
    pub before: Progress,
    /// Where the job stands after the event.
    pub after: Progress,
    /// The job has ended with this event: the newest of its life cycle, and final.
    pub ends: bool,
    /// The payload tells another type than the subject, which rules.
    pub types_differ: bool,
}

impl EncodedEvent {
    /// The bare event.
    pub fn body(&self) -> &[u8] {
        self.message.get(self.body.clone()).unwrap_or_default()
    }

    /// Bytes it costs in memory, roughly.
    pub fn cost(&self) -> usize {
        size_of::<Self>() + self.message.len()
    }
}
