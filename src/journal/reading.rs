//! One page on its way from a consumer into memory.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use super::consumer::{Consumer, ConsumerEnd, Delivered, Pull, Signal, traceparent_of};
use crate::event::{JobKey, MAX_EVENT, StoredEvent};
use crate::subject::SubjectTemplate;

/// Bytes of a page, as NATS counts them.
const PAGE: usize = 256 * 1024;
/// Events of a page.
const PAGE_EVENTS: usize = 4_096;
/// How long a pull of a page waits at the server.
const PULL_EXPIRES: Duration = Duration::from_secs(2);
/// The pull of a page.
pub(super) const PAGE_PULL: Pull =
    Pull { messages: PAGE_EVENTS, bytes: Some(PAGE), expires: PULL_EXPIRES };
/// Least and most memory that is taken at once for payloads.
const PIECE: (usize, usize) = (256, 32 * 1024);

/// A page while it is being read.
pub(super) struct Reading<'a> {
    subjects: &'a SubjectTemplate,
    job: &'a JobKey,
    through: u64,
    /// What was read so far.
    pub(super) events: Vec<StoredEvent>,
    /// Bytes of their payloads.
    pub(super) bytes: usize,
    /// Memory for the next payloads.
    room: BytesMut,
}

impl<'a> Reading<'a> {
    /// An empty page of events up to `through`.
    pub(super) fn new(subjects: &'a SubjectTemplate, job: &'a JobKey, through: u64) -> Self {
        Self { subjects, job, through, events: Vec::new(), bytes: 0, room: BytesMut::new() }
    }

    /// Reads until the page is full or complete; `true`: complete. It must have been pulled. Of the
    /// pages that were pulled after it, those are taken out that ended without an event.
    pub(super) async fn fill(
        &mut self,
        consumer: &mut Consumer,
        ahead: &mut Vec<OwnedSemaphorePermit>,
    ) -> Result<bool, ConsumerEnd> {
        let mut alone = false;
        loop {
            // What is there already needs no timer.
            let signal = match consumer.next_ready() {
                Some(signal) => signal?,
                None => consumer.next().await?,
            };
            match signal {
                Signal::Delivered(delivered) if delivered.id > self.through => return Ok(true),
                Signal::Delivered(delivered) => {
                    let id = delivered.id;
                    self.push(&delivered);
                    if id == self.through {
                        return Ok(true);
                    }
                    if alone {
                        return Ok(false);
                    }
                }
                Signal::Alive => {}
                Signal::PullOver { .. } if self.events.is_empty() && !alone => {
                    // The next event alone may be larger than a page.
                    alone = true;
                    let pull = Pull { messages: 1, bytes: None, expires: PULL_EXPIRES };
                    consumer.pull(pull).await?;
                }
                // For pages that were pulled already the event is too large as well.
                Signal::PullOver { .. } if self.events.is_empty() && ahead.pop().is_some() => {}
                Signal::PullOver { .. } => return Ok(false),
            }
        }
    }

    fn push(&mut self, delivered: &Delivered) {
        let message = &delivered.message;
        let Some(parts) = self.subjects.split(message.subject.as_str()) else { return };
        if parts.job != self.job.as_str() {
            return;
        }
        self.bytes += message.payload.len();
        // A larger event than the contract's is kept empty, and so told as malformed.
        let payload = if message.payload.len() > MAX_EVENT {
            Bytes::new()
        } else {
            self.copy(&message.payload)
        };
        self.events.push(StoredEvent {
            id: delivered.id,
            event_type: self.subjects.event_type(&parts, &message.payload).into(),
            stored_at: delivered.stored_at,
            payload,
            traceparent: traceparent_of(message).map(Box::from),
        });
    }

    /// Copied, because the library's payloads hold its whole read buffer; into few pieces of
    /// memory, because a page has a thousand events and they are freed together.
    fn copy(&mut self, payload: &[u8]) -> Bytes {
        if self.room.capacity() < payload.len() {
            // No more room than was needed so far: a small page stays small.
            let (least, most) = PIECE;
            let piece = self.bytes.clamp(least, most).max(payload.len());
            self.room = BytesMut::with_capacity(piece);
        }
        self.room.extend_from_slice(payload);
        self.room.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_keep_their_bytes_and_a_small_page_stays_small() {
        let subjects = SubjectTemplate::default();
        let job = JobKey::new("k", "a").unwrap();
        let mut reading = Reading::new(&subjects, &job, 1);
        let lengths = [1, 0, 300, 100, 100_000, 7];
        let copies: Vec<(Vec<u8>, Bytes)> = lengths
            .iter()
            .enumerate()
            .map(|(number, length)| {
                let payload = vec![u8::try_from(number).unwrap(); *length];
                reading.bytes += length;
                let copy = reading.copy(&payload);
                assert!(reading.room.capacity() <= PIECE.0.max(reading.bytes), "{length}");
                (payload, copy)
            })
            .collect();
        for (payload, copy) in copies {
            assert_eq!(payload, copy);
        }
    }
}
