//! The `agent` dialect: the task is in the path, and every message but a heartbeat has a step, a
//! text and a whole percentage. PROTOCOLS section 4.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::message::Message;
use super::occurrence::Occurrence;
use super::optimization::Naming;
use super::table::Happening;
use crate::event::JobKey;
use crate::fields::{Fields, decoded};

/// Steps at which clients take a task as connected or ended: no other event may have them.
const RESERVED: [&str; 3] = ["connected", "completed", "failed"];

/// A stored event as a whole WebSocket text frame. `None`: this dialect says nothing of it.
pub fn encode(occurrence: &Occurrence<'_>) -> Option<Bytes> {
    let happening = occurrence.happening();
    let row = happening.row().agent?;
    let data = occurrence.data();
    let mut message = Message::begin();
    match row.step {
        Some(step) => message.word("step", step),
        None => message.json("step", &own_step(occurrence, &data)),
    }
    if let Some(tool) = data.string("tool") {
        message.raw("tool", tool);
    }
    push_message(&mut message, happening, occurrence, &data);
    let percent = row.percent.unwrap_or_else(|| percent(occurrence, &data));
    message.json("percent", &percent.to_string());
    message.json("timestamp", &occurrence.timestamp());
    // A tool that failed is told as an error by its producer, without an end of the task.
    if row.error || (row.step.is_none() && data.is_true("error")) {
        message.json("error", "true");
    }
    message.kind(occurrence.job, occurrence.naming);
    Some(message.finish())
}

/// The first message of a connection. `timestamp` is ISO 8601.
pub fn connected(job: &JobKey, naming: Naming, timestamp: &str) -> Bytes {
    let mut message = Message::begin();
    message.word("step", "connected");
    message.word("message", "Connected to agent progress stream");
    message.json("percent", "0");
    message.word("timestamp", timestamp);
    message.kind(job, naming);
    message.finish()
}

/// A sign of life, every 15 s. `timestamp` is ISO 8601.
pub fn heartbeat(timestamp: &str) -> Bytes {
    let mut message = Message::begin();
    message.json("heartbeat", "true");
    message.word("timestamp", timestamp);
    message.finish()
}

/// The event's stage, else its type, as JSON; neither may be a reserved step.
fn own_step<'a>(occurrence: &Occurrence<'a>, data: &Fields<'a>) -> Cow<'a, str> {
    let is_free = |raw: &&RawValue| {
        decoded(raw).is_some_and(|step| !step.is_empty() && !RESERVED.contains(&step.as_ref()))
    };
    let stage = occurrence.body.stage.filter(is_free);
    if let Some(stage) = stage.or_else(|| data.string("stage").filter(is_free)) {
        return Cow::Borrowed(stage.get());
    }
    let event_type = occurrence.event.event_type;
    let step = if RESERVED.contains(&event_type) { "progress" } else { event_type };
    Cow::Owned(format!("\"{step}\""))
}

/// Percent done as the event itself says it, else the job's; whole, 0 to 100.
fn percent(occurrence: &Occurrence<'_>, data: &Fields<'_>) -> u8 {
    let told = occurrence.told(data).percent.map(|percent| percent.value);
    let percent = told.unwrap_or_else(|| occurrence.progress_after.fraction_or_zero() * 100.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, and from 0 to 100"
    )]
    let whole = percent.round().clamp(0.0, 100.0) as u8;
    whole
}

/// What the producer wrote for people, else a short sentence.
fn push_message(
    message: &mut Message,
    happening: Happening,
    occurrence: &Occurrence<'_>,
    data: &Fields<'_>,
) {
    let is_superseded_success =
        happening == Happening::Retrying && occurrence.event.event_type != "job_failed";
    let told = data.string("message").or_else(|| data.string("error"));
    let told = told.filter(|_| !is_superseded_success);
    let iteration = occurrence.told(data).iteration;
    match (happening, iteration) {
        (Happening::IterationCompleted, Some(iteration)) => {
            message.text_or("message", told, &format!("Iteration {} completed", iteration.raw));
        }
        _ => message.text_or("message", told, sentence(happening)),
    }
}

fn sentence(happening: Happening) -> &'static str {
    match happening {
        Happening::Created => "Job created",
        Happening::Started => "Job started",
        Happening::IterationCompleted => "Iteration completed",
        Happening::Log => "Log",
        Happening::Paused => "Job paused",
        Happening::Resumed => "Job resumed",
        Happening::Retrying => "Trying again",
        Happening::Completed => "Job completed",
        Happening::Failed => "Job failed",
        Happening::Cancelled => "Job cancelled",
        Happening::Progress | Happening::Iteration | Happening::Candidate | Happening::Other => {
            "In progress"
        }
    }
}

#[cfg(test)]
mod tests;
