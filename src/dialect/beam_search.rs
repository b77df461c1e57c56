//! The `beam-search` dialect: some jobs on one connection, without acknowledgements. Its clients
//! close at `complete` and at any `error`. PROTOCOLS section 2.
//!
//! What a stored event lacks of a message's fields is filled in with the job's numbers or with
//! something of the right type, since these clients read fields without looking.

mod completion;

use bytes::Bytes;
use serde_json::Value;

use super::frame::TextFrame;
use super::message::Message;
use super::occurrence::Occurrence;
use super::optimization::{JobName, Refusal};
use super::table::BeamSearchMessage;
use crate::fields::Fields;

/// What a client says.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Watch a job from its beginning; again for the same job: nothing.
    Subscribe {
        /// The job, not checked yet. An id that is no job's is answered by [`refusal`].
        job: JobName,
    },
    /// Stop watching a job; one that is not watched, or no job's id: nothing.
    Unsubscribe {
        /// The job, not checked yet.
        job: JobName,
    },
}

/// Reads a client's message. `None`: it is to be ignored, being no JSON object, of another type,
/// or without a `jobId`.
pub fn parse(message: &str) -> Option<Command> {
    let mut fields: serde_json::Map<String, Value> = serde_json::from_str(message).ok()?;
    let kind = match fields.remove("kind") {
        None | Some(Value::Null) => None,
        Some(Value::String(kind)) => Some(kind),
        Some(_) => return None,
    };
    let job = JobName { kind, id: fields.remove("jobId")? };
    match fields.get("type")?.as_str()? {
        "subscribe" => Some(Command::Subscribe { job }),
        "unsubscribe" => Some(Command::Unsubscribe { job }),
        _ => None,
    }
}

/// A stored event as a whole WebSocket text frame. `None`: this dialect says nothing of it.
///
/// `truncated_before` is for the first message of a job whose history is not all there: the id of
/// the first event that can be shown.
pub fn encode(occurrence: &Occurrence<'_>, truncated_before: Option<u64>) -> Option<Bytes> {
    let kind = occurrence.happening().row().beam_search?;
    let data = occurrence.data();
    if kind == BeamSearchMessage::Candidate && !has_total_score(&data) {
        return None;
    }
    let mut message = Message::begin();
    message.word("type", type_of(kind));
    message.job("jobId", occurrence.job, occurrence.naming);
    push_content(&mut message, kind, occurrence, &data);
    message.json("timestamp", &occurrence.timestamp());
    if let Some(first) = truncated_before {
        message.json("truncatedBefore", &first.to_string());
    }
    Some(message.finish())
}

/// A message of a shared frame, with what its receiver must know of missing history. `None` if
/// the frame is none of [`encode`]'s.
pub fn with_truncation(frame: &[u8], first: u64) -> Option<Bytes> {
    let start = frame.iter().position(|byte| *byte == b'{')?;
    let object = frame.get(start..)?.strip_suffix(b"}")?;
    let mut message = TextFrame::with_capacity(object.len() + 48);
    message.push_bytes(object);
    message.push(",\"truncatedBefore\":");
    message.push_number(first);
    message.push("}");
    Some(message.finish().0)
}

fn type_of(kind: BeamSearchMessage) -> &'static str {
    match kind {
        BeamSearchMessage::Started => "started",
        BeamSearchMessage::Iteration | BeamSearchMessage::IterationCompleted => "iteration",
        BeamSearchMessage::Candidate => "candidate",
        BeamSearchMessage::Complete => "complete",
        BeamSearchMessage::Failed | BeamSearchMessage::Cancelled => "error",
    }
}

fn push_content(
    message: &mut Message,
    kind: BeamSearchMessage,
    occurrence: &Occurrence<'_>,
    data: &Fields<'_>,
) {
    match kind {
        BeamSearchMessage::Started => {
            message.json("config", data.object("config").map_or("{}", |config| config.get()));
        }
        BeamSearchMessage::Iteration => {
            push_iteration(message, occurrence, data);
            message.text_or("status", data.string("status"), "started");
        }
        BeamSearchMessage::IterationCompleted => {
            push_iteration(message, occurrence, data);
            message.word("status", "completed");
        }
        BeamSearchMessage::Candidate => push_candidate(message, occurrence, data),
        BeamSearchMessage::Complete => {
            message.json("result", &completion::result(data, &occurrence.progress_after));
        }
        BeamSearchMessage::Failed => message.json("error", &failure(data)),
        BeamSearchMessage::Cancelled => {
            message.json("error", r#"{"message":"Job cancelled","code":"CANCELLED"}"#);
        }
    }
}

fn push_iteration(message: &mut Message, occurrence: &Occurrence<'_>, data: &Fields<'_>) {
    let (told, progress) = (occurrence.told(data), occurrence.progress_after);
    message.number("iteration", told.iteration, progress.iteration_or_zero());
    message.number("totalIterations", told.total, progress.total_or_zero());
    // One of the two that there are; other kinds of job have no dimension.
    message.text_or("dimension", data.string("dimension"), "what");
}

fn push_candidate(message: &mut Message, occurrence: &Occurrence<'_>, data: &Fields<'_>) {
    let (told, progress) = (occurrence.told(data), occurrence.progress_after);
    message.number("iteration", told.iteration, progress.iteration_or_zero());
    match data.identifier("candidateId") {
        Some(id) => message.raw("candidateId", id),
        None => message.json("candidateId", &occurrence.event.id.to_string()),
    }
    let candidates = data.number("totalCandidates");
    message.number("totalCandidates", candidates, candidates.map_or(0.0, |number| number.value));
    if let Some(score) = data.object("score") {
        message.raw("score", score);
    }
}

fn has_total_score(data: &Fields<'_>) -> bool {
    Fields::of(data.object("score")).number("totalScore").is_some()
}

fn failure(data: &Fields<'_>) -> String {
    let message = data.string("error").map_or(r#""Job failed""#, |message| message.get());
    let code = data.string("code").map_or(r#""JOB_FAILED""#, |code| code.get());
    format!(r#"{{"message":{message},"code":{code}}}"#)
}

/// The answer to a subscribe with an id that is no job's, or to a job that the token does not
/// allow. The client closes after it.
///
/// `timestamp` is ISO 8601. The id is repeated as the client wrote it if it is a number or a
/// string no longer than an id may be, else it is `null`.
pub fn refusal(job_id: &Value, refusal: &Refusal, timestamp: &str) -> Bytes {
    let repeated = match job_id {
        Value::Number(_) => true,
        Value::String(id) => id.len() <= crate::event::MAX_NAME,
        _ => false,
    };
    let error = serde_json::json!({
        "message": refusal.sentence,
        "code": refusal.code.as_str(),
    });
    let mut message = Message::begin();
    message.word("type", "error");
    message.json("jobId", &if repeated { job_id.to_string() } else { "null".to_owned() });
    message.json("error", &error.to_string());
    message.word("timestamp", timestamp);
    message.finish()
}

#[cfg(test)]
mod tests;
