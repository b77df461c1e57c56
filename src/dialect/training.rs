//! The `training` dialect: the job is in the path, and every message carries its numbers, since
//! some clients read them from each without looking. PROTOCOLS section 3.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::message::{Message, json_number};
use super::occurrence::Occurrence;
use super::optimization::Naming;
use super::table::{Happening, TrainingMessage};
use crate::event::{JobKey, JobStatus, LifeCycle, StoredBody, StoredEvent};
use crate::fields::{Fields, decoded};
use crate::progress::{Progress, Standing, Told};

/// The largest number that JavaScript counts exactly: 2^53 − 1.
const LAST_EXACT: u64 = (1 << 53) - 1;

/// A stored event as a whole WebSocket text frame. `None`: this dialect says nothing of it.
pub fn encode(occurrence: &Occurrence<'_>) -> Option<Bytes> {
    let kind = occurrence.happening().row().training?;
    let data = occurrence.data();
    let told = occurrence.told(&data);
    let progress = occurrence.progress_after;
    let mut message = Message::begin();
    message.word("type", type_of(kind));
    push_job(&mut message, occurrence.job, occurrence.naming);
    match kind {
        TrainingMessage::Status(status) => message.word("status", status),
        TrainingMessage::Progress => push_status(&mut message, &data, &progress),
        TrainingMessage::Log => {
            message.text_or("level", data.string("level"), "info");
            message.text_or("message", data.string("message"), "");
        }
        TrainingMessage::Complete => {
            message.word("status", "succeeded");
            message.json("model_id", model_id(&data));
            message.json("final_metrics", &final_metrics(&data));
        }
        TrainingMessage::Error => {
            message.word("status", "failed");
            message.json("error_message", error_message(&data));
        }
    }
    push_numbers(&mut message, &progress, Some(&told));
    message.json("timestamp", &occurrence.timestamp());
    Some(message.finish())
}

/// The first message of a connection: where the job stands. `timestamp` is ISO 8601.
pub fn initial(job: &JobKey, naming: Naming, progress: &Progress, timestamp: &str) -> Bytes {
    let mut message = Message::begin();
    message.word("type", "progress");
    push_job(&mut message, job, naming);
    message.word("status", status_name(progress.status));
    push_numbers(&mut message, progress, None);
    message.word("timestamp", timestamp);
    message.finish()
}

/// The answer to a polling GET, from the job's events (at least the last one of every type) in the
/// order of their ids. `current_loss` is `null` while none is known.
pub fn resource(job: &JobKey, naming: Naming, events: &[StoredEvent]) -> Value {
    let progress = Progress::of_state(events);
    let number = |value: f64| Value::Number(json_number(value));
    let mut resource = Map::new();
    let id = if is_number(job.id()) { job.id().parse().map(Value::Number).ok() } else { None };
    resource.insert("job_id".into(), id.unwrap_or_else(|| job.id().into()));
    if naming.with_kind {
        resource.insert("kind".into(), job.kind().into());
    }
    resource.insert("status".into(), status_name(progress.status).into());
    resource.insert("progress".into(), number(progress.fraction_or_zero()));
    resource.insert("current_epoch".into(), number(progress.iteration_or_zero()));
    resource.insert("total_epochs".into(), number(progress.total_or_zero()));
    resource.insert("current_loss".into(), progress.loss.map_or(Value::Null, number));
    insert_final_fields(&mut resource, events);
    Value::Object(resource)
}

fn insert_final_fields(resource: &mut Map<String, Value>, events: &[StoredEvent]) {
    let is_life_cycle = |event: &&StoredEvent| LifeCycle::of(&event.event_type).is_some();
    let Some(newest) = events.iter().rfind(is_life_cycle) else { return };
    // An ending that cannot be read has no fields.
    let body = StoredBody::parse(&newest.payload).unwrap_or_default();
    let data = Fields::of(body.data);
    let value = |json: &str| serde_json::from_str(json).unwrap_or(Value::Null);
    match Happening::of(&newest.event_type, body.data, Standing::Newest) {
        Happening::Completed => {
            resource.insert("model_id".into(), value(model_id(&data)));
            resource.insert("final_metrics".into(), value(&final_metrics(&data)));
        }
        Happening::Failed => {
            resource.insert("error_message".into(), value(error_message(&data)));
        }
        _ => {}
    }
}

fn type_of(kind: TrainingMessage) -> &'static str {
    match kind {
        TrainingMessage::Status(_) | TrainingMessage::Progress => "progress",
        TrainingMessage::Log => "log",
        TrainingMessage::Complete => "complete",
        TrainingMessage::Error => "error",
    }
}

/// The status on the wire. A job whose newest life-cycle event is not known is under way.
fn status_name(status: Option<JobStatus>) -> &'static str {
    let known = status.filter(|status| *status != JobStatus::Unknown);
    known.unwrap_or(JobStatus::Running).as_str()
}

/// The status that the producer wrote into a `progress` event, unless it claims an ending: that is
/// for the life cycle to say. Else the job's.
fn push_status(message: &mut Message, data: &Fields<'_>, progress: &Progress) {
    let is_ending = |status: &str| ["succeeded", "failed", "stopped"].contains(&status);
    let told = (data.string("status"))
        .filter(|raw| decoded(raw).is_some_and(|status| !is_ending(&status)));
    message.text_or("status", told, status_name(progress.status));
}

fn push_numbers(message: &mut Message, progress: &Progress, told: Option<&Told<'_>>) {
    message.number("progress", told.and_then(|told| told.progress), progress.fraction_or_zero());
    let epoch = told.and_then(|told| told.iteration);
    message.number("current_epoch", epoch, progress.iteration_or_zero());
    message.number("total_epochs", told.and_then(|told| told.total), progress.total_or_zero());
    if let Some(loss) = progress.loss {
        message.number("current_loss", told.and_then(|told| told.loss), loss);
    }
}

fn push_job(message: &mut Message, job: &JobKey, naming: Naming) {
    if is_number(job.id()) {
        message.json("job_id", job.id());
        message.kind(job, naming);
    } else {
        message.job("job_id", job, naming);
    }
}

/// Whether an id is a canonical decimal that every client can hold as a number.
fn is_number(id: &str) -> bool {
    id.parse().is_ok_and(|number: u64| number <= LAST_EXACT && number.to_string() == id)
}

/// The model, else what the optimisation system calls its result, else `null`.
fn model_id<'a>(data: &Fields<'a>) -> &'a str {
    let id = data.identifier("model_id").or_else(|| data.identifier("resultPromptId"));
    id.map_or("null", |id| id.get())
}

/// The metrics, else the one that the optimisation system ends with, else none.
fn final_metrics(data: &Fields<'_>) -> String {
    match (data.object("final_metrics"), data.number("finalScore")) {
        (Some(metrics), _) => metrics.get().to_owned(),
        (None, Some(score)) => format!(r#"{{"finalScore":{}}}"#, score.raw),
        (None, None) => "{}".to_owned(),
    }
}

fn error_message<'a>(data: &Fields<'a>) -> &'a str {
    data.string("error").map_or(r#""Job failed""#, |error| error.get())
}

#[cfg(test)]
mod tests;
