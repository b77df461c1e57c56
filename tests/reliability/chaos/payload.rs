//! Events that can be told apart by what they carry, and recognised wherever they turn up.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

/// The event with this number of a job, and up to `padding` bytes more.
pub fn event(job: &str, number: u64, padding: usize) -> Value {
    let padding = "x".repeat(fastrand::usize(0..=padding));
    json!({
        "eventType": "progress",
        "iteration": number,
        "data": { "value": format!("{job}-{number}"), "padding": padding },
        "timestamp": "2026-01-02T03:04:05.678Z",
    })
}

/// A hash of all that an event carries, whatever the order of its fields; its id is not part of
/// it.
pub fn hash_of(event: &Value) -> String {
    let mut event = event.clone();
    if let Some(fields) = event.as_object_mut() {
        fields.remove("id");
    }
    let mut hasher = DefaultHasher::new();
    // Objects keep their fields sorted.
    event.to_string().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The subject of a job's event.
pub fn subject(job: &str) -> String {
    format!("jobs.optimization.{job}.progress")
}

/// The job in such a subject.
pub fn job_of(subject: &str) -> Option<&str> {
    subject.split('.').nth(2)
}
