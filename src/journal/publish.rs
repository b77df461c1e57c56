//! Publishing: an event counts as published when the stream has acknowledged it, not before.
//!
//! An attempt whose fate is unknown is repeated with the same key; within the stream's duplicate
//! window (2 minutes in our definition) the stream keeps only one of them.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::header::{HeaderMap, NATS_EXPECTED_STREAM, NATS_MESSAGE_ID};
use async_nats::jetstream::context::{PublishError as AttemptError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, publish::PublishAck};
use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;

use super::denials::Denials;
use super::request_counts::{Outcome, RequestCounts, RequestKind};
use crate::event::{JobKey, MAX_EVENT, MAX_EVENT_TYPE, NameError, check_name};
use crate::subject::SubjectTemplate;
use crate::traces::{Parent, ShortSpan};

/// Longest de-duplication key, in bytes.
pub const MAX_KEY: usize = 256;
/// How long a publish is tried again unless told otherwise. Well below the duplicate window,
/// so that a repeated event is always recognised.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);
/// How long one attempt waits for its acknowledgement. What was sent to a server in the moment
/// it died is never answered, and sending again is harmless.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// An event the stream has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The event's id: its sequence in the stream.
    pub id: u64,
    /// The stream already had an event with this key; `id` is then that event's.
    pub duplicate: bool,
}

/// Why an event is not in the stream, as far as we know.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The event type cannot be part of a subject.
    #[error("event type {event_type:?} {reason}")]
    EventType {
        /// The type as it was given.
        event_type: String,
        /// The rule it breaks.
        reason: NameError,
    },
    /// The key cannot be a header.
    #[error("the key has to be 1 to {MAX_KEY} visible ASCII characters")]
    Key,
    /// The body is not a JSON object.
    #[error("the event is not a JSON object")]
    NotAnObject,
    /// More payload than an event may have.
    #[error("the event has {size} bytes, {MAX_EVENT} are allowed")]
    TooLarge {
        /// Bytes of its payload.
        size: usize,
    },
    /// The stream does not want it, and would not want it later.
    #[error("stream {stream} refused the event: {reason}")]
    Refused {
        /// The stream's name.
        stream: String,
        /// What the server said.
        reason: String,
    },
    /// No acknowledgement in time. The event may or may not be in the stream: the same key
    /// again settles it.
    #[error("stream {stream} did not acknowledge the event within {patience:?}: {reason}")]
    Unacknowledged {
        /// The stream's name.
        stream: String,
        /// How long it was tried.
        patience: Duration,
        /// How the last attempt ended.
        reason: String,
    },
}

/// Publishes events to one stream. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Publisher {
    context: jetstream::Context,
    stream: String,
    subjects: Arc<SubjectTemplate>,
    patience: Duration,
    denials: Denials,
    requests: RequestCounts,
}

impl Publisher {
    /// A publisher to the stream of this name, which tries for 30 s.
    pub fn new(context: jetstream::Context, stream: impl Into<String>) -> Self {
        Self {
            context,
            stream: stream.into(),
            subjects: Arc::default(),
            patience: DEFAULT_PATIENCE,
            denials: Denials::default(),
            requests: RequestCounts::default(),
        }
    }

    /// Knows what is denied on the connection it publishes over, and does not wait for it.
    pub fn with_denials(mut self, denials: Denials) -> Self {
        self.denials = denials;
        self
    }

    /// Counts what it asks for among the requests of the connection.
    pub fn with_counts(mut self, requests: RequestCounts) -> Self {
        self.requests = requests;
        self
    }

    /// Publishes on subjects of another template.
    pub fn with_subjects(mut self, subjects: Arc<SubjectTemplate>) -> Self {
        self.subjects = subjects;
        self
    }

    /// Changes how long one event is tried. Keep it below the stream's duplicate window.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Publishes one event and waits for its acknowledgement.
    ///
    /// `key` tells this event from any other of its job: the same key again, within the stream's
    /// duplicate window, is the same event.
    ///
    /// # Errors
    /// Any [`PublishError`]; after [`PublishError::Unacknowledged`] the event may be stored.
    pub async fn publish(
        &self,
        job: &JobKey,
        event_type: &str,
        body: &impl Serialize,
        key: &str,
    ) -> Result<Published, PublishError> {
        let payload = serde_json::to_vec(body).map_err(|_| PublishError::NotAnObject)?;
        self.publish_payload(job, event_type, payload.into(), key, HeaderMap::new()).await
    }

    /// Publishes a payload that is JSON already, with further headers such as `traceparent`.
    ///
    /// Only the first character of the payload is looked at; whoever takes payloads from
    /// outside checks them with [`crate::event::StoredBody::parse`].
    ///
    /// # Errors
    /// As for [`Publisher::publish`].
    pub async fn publish_payload(
        &self,
        job: &JobKey,
        event_type: &str,
        payload: Bytes,
        key: &str,
        headers: HeaderMap,
    ) -> Result<Published, PublishError> {
        check(event_type, &payload, key)?;
        let mut span = ShortSpan::producing("publish", &Parent::of_message(&headers));
        span.note("messaging.system", "nats");
        span.note_job(job);
        let mut headers = self.with_our_headers(headers, job, key);
        span.write_to(&mut headers);
        let message = PublishMessage::build().payload(payload).headers(headers);
        let subject = self.subjects.event_subject(job, event_type);
        match self.until_acknowledged(subject, message).await {
            Ok(PublishAck { sequence, duplicate, .. }) => {
                span.note("jobwire.event.id", i64::try_from(sequence).unwrap_or(i64::MAX));
                Ok(Published { id: sequence, duplicate })
            }
            Err(error) => {
                span.fail(error.to_string());
                Err(error)
            }
        }
    }

    fn with_our_headers(&self, mut headers: HeaderMap, job: &JobKey, key: &str) -> HeaderMap {
        headers.insert(NATS_MESSAGE_ID, message_id(job, key));
        headers.insert(NATS_EXPECTED_STREAM, self.stream.as_str());
        headers
    }

    async fn until_acknowledged(
        &self,
        subject: String,
        message: PublishMessage,
    ) -> Result<PublishAck, PublishError> {
        let deadline = Instant::now() + self.patience;
        let mut attempts = 0;
        loop {
            let sending = self.attempt(&subject, &message, deadline);
            let answered = self.denials.begin(subject.as_str()).answered(sending).await;
            let outcome = match &answered {
                Ok(Ok(_)) => Outcome::Ok,
                Ok(Err(error)) => Outcome::of(error),
                Err(_) => Outcome::Denied,
            };
            self.requests.count(RequestKind::Publish, outcome);
            let error = match answered {
                Ok(Ok(acknowledgement)) => return Ok(acknowledgement),
                Ok(Err(error)) => error,
                Err(denial) => return Err(self.refused(denial.to_string())),
            };
            if !may_pass(&error) {
                return Err(self.refused(reason(&error)));
            }
            attempts += 1;
            let again = Instant::now() + pause(attempts);
            if again >= deadline {
                return Err(PublishError::Unacknowledged {
                    stream: self.stream.clone(),
                    patience: self.patience,
                    reason: reason(&error),
                });
            }
            tokio::time::sleep_until(again).await;
        }
    }
}

impl Publisher {
    fn refused(&self, reason: String) -> PublishError {
        PublishError::Refused { stream: self.stream.clone(), reason }
    }

    async fn attempt(
        &self,
        subject: &str,
        message: &PublishMessage,
        deadline: Instant,
    ) -> Result<PublishAck, AttemptError> {
        // The library would keep it and send it when a server is back, however late: after the
        // caller was told of a failure, and perhaps after newer events of the job.
        if self.context.client().connection_state() != State::Connected {
            return Err(AttemptError::new(PublishErrorKind::BrokenPipe));
        }
        let attempt =
            async { self.context.send_publish(subject.to_owned(), message.clone()).await?.await };
        let until = deadline.min(Instant::now() + ATTEMPT_TIMEOUT);
        tokio::time::timeout_at(until, attempt)
            .await
            .unwrap_or_else(|_| Err(AttemptError::new(PublishErrorKind::TimedOut)))
    }
}

fn check(event_type: &str, payload: &[u8], key: &str) -> Result<(), PublishError> {
    check_name(event_type, MAX_EVENT_TYPE)
        .map_err(|reason| PublishError::EventType { event_type: event_type.to_owned(), reason })?;
    // async-nats panics at a line break in a header.
    let key_fits = (1..=MAX_KEY).contains(&key.len());
    if !key_fits || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(PublishError::Key);
    }
    if payload.len() > MAX_EVENT {
        return Err(PublishError::TooLarge { size: payload.len() });
    }
    match payload.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Ok(()),
        _ => Err(PublishError::NotAnObject),
    }
}

/// De-duplication keys are one space for the whole stream, so the job is part of it.
fn message_id(job: &JobKey, key: &str) -> String {
    format!("{}/{}/{key}", job.kind(), job.id())
}

/// Whether the same attempt may succeed a little later.
fn may_pass(error: &AttemptError) -> bool {
    match error.kind() {
        // "No stream" is also what an election looks like from here: nobody answers.
        PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::StreamNotFound
        | PublishErrorKind::MaxAckPending => true,
        // 409: our own first attempt is still being stored. 408, 429 and 503: overload.
        PublishErrorKind::Other => {
            server_code(error).is_none_or(|code| matches!(code, 408 | 409 | 429 | 503))
        }
        _ => false,
    }
}

/// The server's status, where it answered with an error.
fn server_code(error: &AttemptError) -> Option<usize> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<jetstream::Error>().map(jetstream::Error::code)
}

fn reason(error: &AttemptError) -> String {
    match error.kind() {
        PublishErrorKind::StreamNotFound => "no stream takes this subject at the moment".into(),
        PublishErrorKind::TimedOut => "no answer from NATS".into(),
        PublishErrorKind::BrokenPipe => "no connection to NATS".into(),
        _ => error.to_string(),
    }
}

/// Doubles from 50 ms to [`LONGEST_PAUSE`]; half of it is random.
fn pause(attempts: u32) -> Duration {
    let longest = LONGEST_PAUSE.min(Duration::from_millis(25) * 2_u32.pow(attempts.min(8)));
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_on_two_jobs_is_two_events() {
        let first = JobKey::new("training", "a").expect("a job");
        let second = JobKey::new("training", "b").expect("a job");
        assert_eq!(message_id(&first, "1"), "training/a/1");
        assert_ne!(message_id(&first, "1"), message_id(&second, "1"));
    }

    #[test]
    fn what_cannot_be_stored_is_refused_before_it_is_sent() {
        assert!(check("progress", b" {}", "1").is_ok());
        assert!(matches!(check("a.b", b"{}", "1"), Err(PublishError::EventType { .. })));
        assert!(matches!(check("progress", b"[]", "1"), Err(PublishError::NotAnObject)));
        assert!(matches!(check("progress", b"", "1"), Err(PublishError::NotAnObject)));
        for key in ["", "a b", "a\r\nb", "\u{e4}", &"x".repeat(MAX_KEY + 1)] {
            assert!(matches!(check("progress", b"{}", key), Err(PublishError::Key)), "{key:?}");
        }
        let large = vec![b' '; MAX_EVENT + 1];
        assert!(matches!(check("progress", &large, "1"), Err(PublishError::TooLarge { .. })));
    }

    #[test]
    fn an_unknown_fate_is_tried_again_and_a_refusal_is_not() {
        for kind in [PublishErrorKind::TimedOut, PublishErrorKind::StreamNotFound] {
            assert!(may_pass(&AttemptError::new(kind)), "{kind:?}");
        }
        for kind in [PublishErrorKind::MaxPayloadExceeded, PublishErrorKind::WrongLastSequence] {
            assert!(!may_pass(&AttemptError::new(kind)), "{kind:?}");
        }
        let answer = |code: u16| {
            let text = format!(r#"{{"code":{code},"err_code":10000,"description":"no"}}"#);
            let error: jetstream::Error = serde_json::from_str(&text).expect("an answer");
            AttemptError::with_source(PublishErrorKind::Other, error)
        };
        assert!(may_pass(&answer(503)), "overload passes");
        assert!(!may_pass(&answer(400)), "a refusal stays");
    }

    #[test]
    fn pauses_grow_to_two_seconds() {
        assert!((25..=50).contains(&pause(1).as_millis()));
        assert!((1000..=2000).contains(&pause(u32::MAX).as_millis()));
    }
}
