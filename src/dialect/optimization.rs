//! The `optimization` dialect: many jobs on one connection, JSON messages with a `type`.
//! PROTOCOLS section 1.

mod batch;

use serde::Deserialize;
use serde_json::value::RawValue;

use bytes::Bytes;

use super::frame::{TextFrame, text};
use super::iso8601;
use crate::encoded::EncodedEvent;
use crate::event::{EventView, JobKey, MalformedEvent, StoredBody};
use crate::progress::Progress;
pub use batch::{BATCH, Batch};

/// What a client says.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Watch a job.
    Subscribe {
        /// The job, as the client names it.
        job: JobName,
        /// The last event it saw.
        after: Option<u64>,
        /// The incarnation the cursor belongs to.
        epoch: Option<String>,
        /// Only these types.
        event_types: Option<Vec<String>>,
        /// Refuse rather than deliver an incomplete history.
        fail_if_truncated: bool,
        /// Tell positions.
        position: bool,
    },
    /// Stop watching a job.
    Unsubscribe {
        /// The job.
        job: JobName,
    },
    /// History of a watched job once more.
    Replay {
        /// The job.
        job: JobName,
        /// The position after which it begins.
        after: u64,
    },
    /// Keepalive.
    Ping,
    /// Another token, before the present one expires.
    Authenticate {
        /// The token.
        token: String,
    },
}

/// A job as a client names it: not checked yet.
#[derive(Debug, Clone, PartialEq)]
pub struct JobName {
    /// The kind; `None`: the route's.
    pub kind: Option<String>,
    /// The id; a JSON value of any type.
    pub id: serde_json::Value,
}

impl JobName {
    /// The checked job.
    ///
    /// # Errors
    /// [`Code::InvalidJobId`] with a sentence that says what is wrong.
    pub fn resolve(&self, route_kind: &str) -> Result<JobKey, Refusal> {
        let refuse = |sentence: String| Refusal::new(Code::InvalidJobId, sentence);
        let id = self
            .id
            .as_str()
            .ok_or_else(|| refuse("Invalid job id: jobId must be a string".into()))?;
        let kind = self.kind.as_deref().unwrap_or(route_kind);
        JobKey::new(kind, id).map_err(|error| refuse(format!("Invalid job id: it {error}")))
    }

    /// The id for an answer, if it is short enough to be repeated.
    pub fn echo(&self) -> Option<&str> {
        self.id.as_str().filter(|id| id.len() <= crate::event::MAX_NAME)
    }
}

/// The closed list of error codes of this dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Confirmed by the stream's leader.
    JobNotFound,
    /// The job is not watched on this connection.
    NotSubscribed,
    /// The id is not one subject token.
    InvalidJobId,
    /// Not JSON, not an object, no known type, or a field of a wrong type.
    InvalidMessage,
    /// The token does not allow it.
    Forbidden,
    /// A limit of the gateway.
    Limit,
    /// Events after the cursor may be gone.
    HistoryTruncated,
    /// The cursor is of another incarnation of the stream.
    CursorInvalid,
    /// A stored message is no event.
    EventMalformed,
    /// NATS is away.
    Unavailable,
}

impl Code {
    /// Every code there is.
    pub const ALL: [Self; 10] = [
        Self::JobNotFound,
        Self::NotSubscribed,
        Self::InvalidJobId,
        Self::InvalidMessage,
        Self::Forbidden,
        Self::Limit,
        Self::HistoryTruncated,
        Self::CursorInvalid,
        Self::EventMalformed,
        Self::Unavailable,
    ];

    /// The code on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JobNotFound => "JOB_NOT_FOUND",
            Self::NotSubscribed => "NOT_SUBSCRIBED",
            Self::InvalidJobId => "INVALID_JOB_ID",
            Self::InvalidMessage => "INVALID_MESSAGE",
            Self::Forbidden => "FORBIDDEN",
            Self::Limit => "LIMIT",
            Self::HistoryTruncated => "HISTORY_TRUNCATED",
            Self::CursorInvalid => "CURSOR_INVALID",
            Self::EventMalformed => "EVENT_MALFORMED",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

/// Why something a client asked for is refused: a code and a sentence that it may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: Code,
    /// The sentence.
    pub sentence: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: Code, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawCommand {
    #[serde(rename = "type")]
    command: Option<serde_json::Value>,
    #[serde(default)]
    job_id: serde_json::Value,
    kind: Option<serde_json::Value>,
    after_event_id: Option<serde_json::Value>,
    epoch: Option<serde_json::Value>,
    event_types: Option<serde_json::Value>,
    on_truncated: Option<serde_json::Value>,
    position: Option<serde_json::Value>,
    token: Option<serde_json::Value>,
}

/// Reads a client's message.
///
/// # Errors
/// [`Code::InvalidMessage`] with a sentence, and the job id if there was one to name.
pub fn parse(message: &str) -> Result<Command, (Refusal, Option<String>)> {
    // serde would read an array as the fields in their order.
    if !message.trim_start().starts_with('{') {
        let sentence = match serde_json::from_str::<&RawValue>(message) {
            Ok(_) => "The message must be a JSON object",
            Err(_) => "The message is not JSON",
        };
        return Err((Refusal::new(Code::InvalidMessage, sentence), None));
    }
    let raw: RawCommand = serde_json::from_str(message)
        .map_err(|_| (Refusal::new(Code::InvalidMessage, "The message is not JSON"), None))?;
    let named = raw.job_id.as_str().filter(|id| id.len() <= crate::event::MAX_NAME);
    let named = named.map(str::to_owned);
    raw.into_command().map_err(|sentence| (Refusal::new(Code::InvalidMessage, sentence), named))
}

impl RawCommand {
    fn into_command(self) -> Result<Command, &'static str> {
        let command = self.command.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
        match command {
            "ping" => Ok(Command::Ping),
            "unsubscribe" => Ok(Command::Unsubscribe { job: self.job()? }),
            "replay" => Ok(Command::Replay { after: self.after()?.unwrap_or(0), job: self.job()? }),
            "subscribe" => self.subscribe(),
            "auth" => Ok(Command::Authenticate { token: self.token()? }),
            _ => Err("The type must be subscribe, unsubscribe, replay, ping or auth"),
        }
    }

    fn subscribe(self) -> Result<Command, &'static str> {
        let fail_if_truncated = match &self.on_truncated {
            None => false,
            Some(value) => match value.as_str() {
                Some("earliest") => false,
                Some("fail") => true,
                _ => return Err("onTruncated must be \"earliest\" or \"fail\""),
            },
        };
        let position = match &self.position {
            None => false,
            Some(value) => value.as_bool().ok_or("position must be true or false")?,
        };
        let epoch = match &self.epoch {
            None => None,
            Some(value) => Some(value.as_str().ok_or("epoch must be a string")?.to_owned()),
        };
        Ok(Command::Subscribe {
            after: self.after()?,
            event_types: self.event_types()?,
            epoch,
            fail_if_truncated,
            position,
            job: self.job()?,
        })
    }

    fn token(&self) -> Result<String, &'static str> {
        let token = self.token.as_ref().and_then(serde_json::Value::as_str);
        token.map(str::to_owned).ok_or("token must be a string")
    }

    fn job(&self) -> Result<JobName, &'static str> {
        let kind = match &self.kind {
            None => None,
            Some(value) => Some(value.as_str().ok_or("kind must be a string")?.to_owned()),
        };
        Ok(JobName { kind, id: self.job_id.clone() })
    }

    fn after(&self) -> Result<Option<u64>, &'static str> {
        const RULE: &str = "afterEventId must be a whole number from 0 to 9007199254740991";
        let Some(value) = &self.after_event_id else { return Ok(None) };
        // JavaScript writes 1e3 and 5.0 for whole numbers too; beyond 2^53 it cannot count.
        const LAST_EXACT: u64 = (1 << 53) - 1;
        let number = match (value.as_u64(), value.as_f64()) {
            (Some(number), _) => number,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole, not negative, and bounded by the check below"
            )]
            (None, Some(number)) if number >= 0.0 && number.fract() == 0.0 => number as u64,
            _ => return Err(RULE),
        };
        if number > LAST_EXACT { Err(RULE) } else { Ok(Some(number)) }
    }

    fn event_types(&self) -> Result<Option<Vec<String>>, &'static str> {
        const RULE: &str = "eventTypes must be an array of at most 64 event types";
        let Some(value) = &self.event_types else { return Ok(None) };
        let types = value.as_array().filter(|types| types.len() <= 64).ok_or(RULE)?;
        types
            .iter()
            .map(|event_type| {
                event_type
                    .as_str()
                    .filter(|name| {
                        crate::event::check_name(name, crate::event::MAX_EVENT_TYPE).is_ok()
                    })
                    .map(str::to_owned)
                    .ok_or(RULE)
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Some)
    }
}

/// How a job is named in messages: the kind only where it is not the route's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Naming {
    /// Write the kind.
    pub with_kind: bool,
}

impl Naming {
    /// The naming of a job on a route of this kind.
    pub fn on_route(job: &JobKey, route_kind: &str) -> Self {
        Self { with_kind: job.kind() != route_kind }
    }
}

/// `,"jobId":…` and, where needed, `,"kind":…`. Names hold nothing to escape.
fn push_job(frame: &mut TextFrame, job: &JobKey, naming: Naming) {
    frame.push(",\"jobId\":");
    frame.push_plain_string(job.id());
    if naming.with_kind {
        frame.push(",\"kind\":");
        frame.push_plain_string(job.kind());
    }
}

fn push_field(frame: &mut TextFrame, name: &str, value: Option<&RawValue>) {
    if let Some(value) = value {
        frame.push(name);
        frame.push(value.get());
    }
}

/// An `event` message, and in it the bare event for `replay` batches.
///
/// # Errors
/// [`MalformedEvent`] if the stored message is no event.
pub fn encode_event(
    job: &JobKey,
    event: EventView<'_>,
    naming: Naming,
) -> Result<EncodedEvent, MalformedEvent> {
    let parsed = StoredBody::parse(event.payload)?;
    let mut frame = TextFrame::with_capacity(event.payload.len() + 2 * job.as_str().len() + 192);
    frame.push("{\"type\":\"event\"");
    push_job(&mut frame, job, naming);
    frame.push(",\"event\":");
    let start = frame.len();
    frame.push("{\"id\":");
    frame.push_number(event.id);
    frame.push(",\"eventType\":");
    frame.push_plain_string(event.event_type);
    push_field(&mut frame, ",\"iteration\":", parsed.iteration);
    push_field(&mut frame, ",\"stage\":", parsed.stage);
    push_field(&mut frame, ",\"data\":", parsed.data);
    frame.push(",\"timestamp\":");
    match parsed.timestamp {
        Some(timestamp) => frame.push(timestamp.get()),
        None => frame.push_plain_string(&iso8601(event.stored_at)),
    }
    if let Some(traceparent) = event.traceparent {
        frame.push(",\"traceparent\":");
        frame.push_plain_string(traceparent);
    }
    frame.push("}");
    let end = frame.len();
    frame.push("}");
    let (message, header) = frame.finish();
    // Every stored event is shown as it is: nothing is remembered, and nothing ends anything.
    let body = header + start..header + end;
    Ok(EncodedEvent {
        message,
        body,
        before: Progress::default(),
        after: Progress::default(),
        ends: false,
        types_differ: parsed.differs_from(event.event_type),
    })
}

/// The `subscribed` message.
pub fn subscribed(
    job: &JobKey,
    naming: Naming,
    last: u64,
    first: Option<u64>,
    epoch: &str,
) -> Bytes {
    let mut frame = TextFrame::with_capacity(256);
    frame.push("{\"type\":\"subscribed\"");
    push_job(&mut frame, job, naming);
    frame.push(",\"lastEventId\":");
    frame.push_number(last);
    if let Some(first) = first {
        frame.push(",\"firstEventId\":");
        frame.push_number(first);
    }
    frame.push(",\"epoch\":");
    frame.push_plain_string(epoch);
    frame.push("}");
    frame.finish().0
}

/// The `unsubscribed` message.
pub fn unsubscribed(job: &JobKey, naming: Naming) -> Bytes {
    let mut frame = TextFrame::with_capacity(192);
    frame.push("{\"type\":\"unsubscribed\"");
    push_job(&mut frame, job, naming);
    frame.push("}");
    frame.finish().0
}

/// The `pong` message.
pub fn pong() -> Bytes {
    text("{\"type\":\"pong\"}")
}

/// The answer to a token that was taken.
pub fn authenticated() -> Bytes {
    text("{\"type\":\"authenticated\"}")
}

/// The `position` message: everything up to `id` is sent or filtered out.
pub fn position(job: &JobKey, naming: Naming, id: u64) -> Bytes {
    let mut frame = TextFrame::with_capacity(192);
    frame.push("{\"type\":\"position\"");
    push_job(&mut frame, job, naming);
    frame.push(",\"id\":");
    frame.push_number(id);
    frame.push(",\"caughtUp\":true}");
    frame.finish().0
}

/// An `error` message that names no checked job.
pub fn refusal(refusal: &Refusal, job_id: Option<&str>) -> Bytes {
    let mut message = serde_json::Map::new();
    message.insert("type".into(), "error".into());
    message.insert("error".into(), refusal.sentence.as_str().into());
    message.insert("code".into(), refusal.code.as_str().into());
    if let Some(job_id) = job_id {
        message.insert("jobId".into(), job_id.into());
    }
    text(&serde_json::Value::Object(message).to_string())
}

/// An `error` message about a job, with further fields.
pub fn error(
    job: &JobKey,
    naming: Naming,
    code: Code,
    sentence: &str,
    numbers: &[(&str, u64)],
    epoch: Option<&str>,
) -> Bytes {
    let mut frame = TextFrame::with_capacity(256);
    frame.push("{\"type\":\"error\",\"error\":");
    frame.push(&serde_json::Value::from(sentence).to_string());
    push_job(&mut frame, job, naming);
    frame.push(",\"code\":");
    frame.push_plain_string(code.as_str());
    for (name, number) in numbers {
        frame.push(",");
        frame.push_plain_string(name);
        frame.push(":");
        frame.push_number(*number);
    }
    if let Some(epoch) = epoch {
        frame.push(",\"epoch\":");
        frame.push_plain_string(epoch);
    }
    frame.push("}");
    frame.finish().0
}

#[cfg(test)]
mod tests;
