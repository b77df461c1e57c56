//! What is stored: jobs, events, and their names.
//!
//! One JetStream message is one event; its sequence in the stream is its id. How a subject names
//! a job is [`crate::subject`]'s business. Nothing here does I/O, and nothing here looks at JSON
//! but [`StoredBody`], which does it only when somebody watches.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Longest job id and kind, in bytes.
pub const MAX_NAME: usize = 128;
/// Longest event type, in bytes.
pub const MAX_EVENT_TYPE: usize = 64;
/// Largest event, in bytes of payload.
pub const MAX_EVENT: usize = 512 * 1024;

/// Why a name cannot stand in a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing at all.
    #[error("is empty")]
    Empty,
    /// More bytes than allowed.
    #[error("has more than {0} characters")]
    TooLong(usize),
    /// A character outside letters, digits, `_` and `-`.
    #[error("has a character other than A-Z, a-z, 0-9, _ and -")]
    Forbidden,
}

/// Checks that a text is one literal subject token of at most `longest` bytes.
///
/// # Errors
/// [`NameError`] with the rule that is broken. Dots, wildcards and white space would otherwise
/// reach subjects, and async-nats lets `*` and `>` pass.
pub fn check_name(text: &str, longest: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > longest {
        return Err(NameError::TooLong(longest));
    }
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
        Ok(())
    } else {
        Err(NameError::Forbidden)
    }
}

/// A job: its kind and its id within the kind. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobKey {
    /// `kind.id`, as in the subject: neither part can hold a dot.
    text: Arc<str>,
    kind_length: u8,
}

impl JobKey {
    /// A job by kind and id.
    ///
    /// # Errors
    /// [`NameError`] if either is not one subject token.
    pub fn new(kind: &str, id: &str) -> Result<Self, NameError> {
        check_name(kind, MAX_NAME)?;
        check_name(id, MAX_NAME)?;
        let kind_length = u8::try_from(kind.len()).map_err(|_| NameError::TooLong(MAX_NAME))?;
        Ok(Self { text: format!("{kind}.{id}").into(), kind_length })
    }

    /// What system the job belongs to.
    pub fn kind(&self) -> &str {
        self.text.split_at(usize::from(self.kind_length)).0
    }

    /// The job's id within its kind.
    pub fn id(&self) -> &str {
        self.text.get(usize::from(self.kind_length) + 1..).unwrap_or_default()
    }

    /// `kind.id`: the two subject tokens.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// As the text hashes, so that a table can be asked with a borrowed `kind.id`.
impl std::hash::Hash for JobKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl std::borrow::Borrow<str> for JobKey {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for JobKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Display for JobKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// An event as the stream holds it, without its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Sequence in the stream.
    pub id: u64,
    /// Last token of the subject.
    pub event_type: Box<str>,
    /// When the stream took it, in nanoseconds since 1970.
    pub stored_at: i64,
    /// One JSON object, if it is well formed.
    pub payload: Bytes,
    /// The trace that it belongs to; see [`traceparent`].
    pub traceparent: Option<Box<str>>,
}

impl StoredEvent {
    /// Borrows the event for encoding.
    pub fn as_view(&self) -> EventView<'_> {
        EventView {
            id: self.id,
            event_type: &self.event_type,
            stored_at: self.stored_at,
            payload: &self.payload,
            traceparent: self.traceparent.as_deref(),
        }
    }

    /// Bytes this event costs in memory, roughly.
    pub fn cost(&self) -> usize {
        let traceparent = self.traceparent.as_deref().map_or(0, str::len);
        size_of::<Self>() + self.event_type.len() + self.payload.len() + traceparent
    }
}

/// An event where it lies, in the window or in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventView<'a> {
    /// Sequence in the stream.
    pub id: u64,
    /// Last token of the subject.
    pub event_type: &'a str,
    /// When the stream took it, in nanoseconds since 1970.
    pub stored_at: i64,
    /// One JSON object, if it is well formed.
    pub payload: &'a [u8],
    /// The trace that it belongs to; see [`traceparent`].
    pub traceparent: Option<&'a str>,
}

/// Bytes of a [`traceparent`].
pub const TRACEPARENT: usize = 55;

/// A `traceparent` header that can be passed on: version 00 of W3C Trace Context, hexadecimal digits and
/// hyphens. `None` for anything else, which is nobody's trace.
pub fn traceparent(header: &str) -> Option<&str> {
    let is_digits = |part: &str, length: usize| {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        part.len() == length && part.bytes().all(digit)
    };
    let mut parts = header.split('-');
    let parts = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let [version, trace, parent, flags] = parts;
    let is_valid = header.len() == TRACEPARENT
        && version == "00"
        && is_digits(trace, 32)
        && is_digits(parent, 16)
        && is_digits(flags, 2);
    is_valid.then_some(header)
}

/// The fields of a stored event's payload, each as the producer wrote it.
#[derive(Debug, Default, Deserialize)]
pub struct StoredBody<'a> {
    /// What happened; the subject rules when the two differ.
    #[serde(borrow, rename = "eventType", default)]
    pub event_type: Option<&'a RawValue>,
    /// A number.
    #[serde(borrow, default)]
    pub iteration: Option<&'a RawValue>,
    /// A string.
    #[serde(borrow, default)]
    pub stage: Option<&'a RawValue>,
    /// An object.
    #[serde(borrow, default)]
    pub data: Option<&'a RawValue>,
    /// A string, ISO 8601.
    #[serde(borrow, default)]
    pub timestamp: Option<&'a RawValue>,
}

/// Why a stored payload is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedEvent {
    /// Not JSON, or not an object.
    #[error("the payload is not a JSON object")]
    NotAnObject,
    /// A field of another type than the contract's.
    #[error("the field {0} has another type than it should")]
    WrongType(&'static str),
}

impl<'a> StoredBody<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// [`MalformedEvent`] if it is no JSON object or a field has a type outside the contract.
    pub fn parse(payload: &'a [u8]) -> Result<Self, MalformedEvent> {
        // serde would read an array as a struct too.
        if payload.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(MalformedEvent::NotAnObject);
        }
        let body: Self =
            serde_json::from_slice(payload).map_err(|_| MalformedEvent::NotAnObject)?;
        let starts = |field: Option<&RawValue>, allowed: fn(u8) -> bool| {
            field.and_then(|raw| raw.get().bytes().next()).is_none_or(allowed)
        };
        let string = |byte| byte == b'"';
        if !starts(body.iteration, |byte| byte == b'-' || byte.is_ascii_digit()) {
            return Err(MalformedEvent::WrongType("iteration"));
        }
        if !starts(body.stage, string) {
            return Err(MalformedEvent::WrongType("stage"));
        }
        if !starts(body.data, |byte| byte == b'{') {
            return Err(MalformedEvent::WrongType("data"));
        }
        if !starts(body.timestamp, string) {
            return Err(MalformedEvent::WrongType("timestamp"));
        }
        Ok(body)
    }

    /// Whether the payload tells another type than the subject.
    pub fn differs_from(&self, event_type: &str) -> bool {
        self.event_type.is_some_and(|told| {
            told.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) != Some(event_type)
        })
    }
}

/// The part an event type plays in a job's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifeCycle {
    /// `job_created`.
    Created,
    /// `job_started`.
    Started,
    /// `job_paused`.
    Paused,
    /// `job_resumed`.
    Resumed,
    /// `job_completed`.
    Completed,
    /// `job_failed`: final unless `data.willRetry` is true.
    Failed,
    /// `job_cancelled`.
    Cancelled,
}

impl LifeCycle {
    /// The life-cycle meaning of a type, if it has one. `iteration_completed` is in the
    /// contract's table, but changes no status.
    pub fn of(event_type: &str) -> Option<Self> {
        Some(match event_type {
            "job_created" => Self::Created,
            "job_started" => Self::Started,
            "job_paused" => Self::Paused,
            "job_resumed" => Self::Resumed,
            "job_completed" => Self::Completed,
            "job_failed" => Self::Failed,
            "job_cancelled" => Self::Cancelled,
            _ => return None,
        })
    }
}

/// How a job stands, by its newest life-cycle event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// Created, or about to be tried again.
    Pending,
    /// Started or resumed.
    Running,
    /// Paused.
    Paused,
    /// Completed.
    Succeeded,
    /// Failed, and not tried again.
    Failed,
    /// Cancelled.
    Stopped,
    /// Its newest life-cycle event is not known.
    #[serde(other)]
    Unknown,
}

impl JobStatus {
    /// The word for it, in answers and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a job that stands so has ended.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Stopped)
    }

    /// The status after a life-cycle event with this payload.
    pub fn after(event: LifeCycle, payload: &[u8]) -> Self {
        match event {
            LifeCycle::Created => Self::Pending,
            LifeCycle::Started | LifeCycle::Resumed => Self::Running,
            LifeCycle::Paused => Self::Paused,
            LifeCycle::Completed => Self::Succeeded,
            LifeCycle::Cancelled => Self::Stopped,
            LifeCycle::Failed if will_retry(payload) => Self::Pending,
            LifeCycle::Failed => Self::Failed,
        }
    }
}

fn will_retry(payload: &[u8]) -> bool {
    StoredBody::parse(payload).is_ok_and(|body| is_tried_again(body.data))
}

/// Whether a failure with this data says that it is not the end.
pub fn is_tried_again(data: Option<&RawValue>) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failure {
        will_retry: Option<serde_json::Value>,
    }
    data.and_then(|data| serde_json::from_str::<Failure>(data.get()).ok())
        .is_some_and(|failure| failure.will_retry == Some(true.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_is_one_literal_subject_token() {
        for good in ["a", "A-Z_09", &"x".repeat(128)] {
            assert_eq!(check_name(good, MAX_NAME), Ok(()), "{good}");
        }
        assert_eq!(check_name("", MAX_NAME), Err(NameError::Empty));
        assert_eq!(check_name(&"x".repeat(129), MAX_NAME), Err(NameError::TooLong(128)));
        for bad in ["a.b", "*", ">", "a b", "a\n", "ä", "\0"] {
            assert_eq!(check_name(bad, MAX_NAME), Err(NameError::Forbidden), "{bad:?}");
        }
    }

    #[test]
    fn only_what_is_surely_a_trace_context_is_passed_on() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(traceparent(good), Some(good));
        let upper = good.to_uppercase();
        let (longer, shorter) = (format!("{good}-00"), good.get(..54).unwrap());
        let quoted = good.replace('c', "\"");
        let later = good.replace("00-0a", "01-0a");
        for bad in ["", "---", &upper, &longer, shorter, &quoted, &later] {
            assert_eq!(traceparent(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_payload_keeps_its_fields_as_the_producer_wrote_them() {
        let body = StoredBody::parse(br#" {"iteration":1.50,"data":{"b":1,"a":[ 2 ]},"x":0}"#)
            .expect("an event");
        assert_eq!(body.iteration.map(RawValue::get), Some("1.50"));
        assert_eq!(body.data.map(RawValue::get), Some(r#"{"b":1,"a":[ 2 ]}"#));
        assert!(body.stage.is_none() && body.timestamp.is_none());
    }

    #[test]
    fn a_failure_that_is_tried_again_is_not_the_end() {
        let status = |payload: &str| JobStatus::after(LifeCycle::Failed, payload.as_bytes());
        assert_eq!(status(r#"{"data":{"willRetry":true}}"#), JobStatus::Pending);
        for payload in [r#"{"data":{"willRetry":false}}"#, r#"{"data":{}}"#, "{}", "", "[]"] {
            assert_eq!(status(payload), JobStatus::Failed, "{payload}");
        }
    }

    #[test]
    fn a_payload_outside_the_contract_is_malformed() {
        for payload in ["", "7", "null", "[]", "{", "{\"a\":}", "\u{0}", "[1,2,3,4,5]"] {
            assert_eq!(
                StoredBody::parse(payload.as_bytes()).map(|_| ()),
                Err(MalformedEvent::NotAnObject),
                "{payload:?}"
            );
        }
        for (payload, field) in [
            (r#"{"data":[]}"#, "data"),
            (r#"{"stage":1}"#, "stage"),
            (r#"{"iteration":"1"}"#, "iteration"),
            (r#"{"timestamp":5}"#, "timestamp"),
        ] {
            assert_eq!(
                StoredBody::parse(payload.as_bytes()).map(|_| ()),
                Err(MalformedEvent::WrongType(field))
            );
        }
    }
}
