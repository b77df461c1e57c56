//! A job played to the dialects in tests: events one after the other, and what a client reads.

use bytes::Bytes;
use serde_json::Value;

use super::Occurrence;
use super::optimization::Naming;
use crate::event::{JobKey, StoredBody, StoredEvent};
use crate::progress::{Progress, Standing};

/// When the stream took every event of a rehearsal, in nanoseconds since 1970.
pub(super) const STORED_AT: i64 = 1_790_230_470_084_404_000;
/// The same, as messages write it.
pub(super) const STORED: &str = "2026-09-24T06:14:30.084404Z";

/// The payload of a frame, read by a real WebSocket.
pub(super) fn payload(frame: &Bytes) -> Value {
    serde_json::from_str(&text(frame)).unwrap()
}

/// The text of a frame, read by a real WebSocket.
pub(super) fn text(frame: &Bytes) -> String {
    use hyper_tungstenite::tungstenite::{WebSocket, protocol::Role};
    let stream = std::io::Cursor::new(frame.to_vec());
    let message = WebSocket::from_raw_socket(stream, Role::Client, None).read().unwrap();
    message.to_text().unwrap().to_owned()
}

/// An event as it is stored.
pub(crate) fn stored(id: u64, event_type: &str, payload: &str) -> StoredEvent {
    StoredEvent {
        id,
        event_type: event_type.into(),
        stored_at: STORED_AT,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        traceparent: None,
    }
}

/// A job whose events are told as they happen.
pub(super) struct Rehearsal {
    pub(super) job: JobKey,
    pub(super) naming: Naming,
    pub(super) progress: Progress,
    pub(super) last_id: u64,
}

impl Rehearsal {
    pub(super) fn of(kind: &str, id: &str) -> Self {
        Self {
            job: JobKey::new(kind, id).unwrap(),
            naming: Naming { with_kind: false },
            progress: Progress::default(),
            last_id: 0,
        }
    }

    /// One more event, told by `tell`. A malformed one tells nothing.
    pub(super) fn play<T>(
        &mut self,
        event_type: &str,
        payload: &str,
        standing: Standing,
        tell: impl FnOnce(&Occurrence<'_>) -> Option<T>,
    ) -> Option<T> {
        self.last_id += 1;
        let event = stored(self.last_id, event_type, payload);
        let body = StoredBody::parse(&event.payload).ok()?;
        self.progress = self.progress.after(event_type, &body);
        tell(&Occurrence {
            job: &self.job,
            naming: self.naming,
            event: event.as_view(),
            body: &body,
            progress_after: self.progress,
            standing,
        })
    }
}
