//! The events a demo job tells, in order, each acknowledged before the next.

use std::time::Duration;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::berlin52::{OPTIMUM, PLACES};
use super::search::Search;
use crate::event::JobKey;
use crate::journal::publish::{PublishError, Publisher};

/// How long the last words of a job that ends badly may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Publishes the events of one run of one job.
#[derive(Debug)]
pub(super) struct Report {
    publisher: Publisher,
    job: JobKey,
    /// Part of every key, so that a second run of the same job is not taken for a repetition.
    run: u64,
    count: u64,
    last_id: u64,
}

impl Report {
    pub(super) fn new(publisher: Publisher, job: JobKey) -> Self {
        Self { publisher, job, run: fastrand::u64(..), count: 0, last_id: 0 }
    }

    /// Id of the last event the stream has acknowledged; 0 before the first.
    pub(super) fn last_id(&self) -> u64 {
        self.last_id
    }

    pub(super) async fn created(&mut self, config: &Value) -> Result<(), PublishError> {
        self.tell("job_created", None, json!({ "config": config })).await
    }

    pub(super) async fn started(&mut self, config: &Value) -> Result<(), PublishError> {
        self.tell("job_started", None, json!({ "config": config })).await
    }

    /// One step. `score` and `length` are the tour's the search is at, `best` and `bestLength`
    /// the shortest one's so far; the tour itself only when asked for.
    pub(super) async fn iteration(
        &mut self,
        search: &Search,
        stage: &'static str,
        with_tour: bool,
    ) -> Result<(), PublishError> {
        let done = f64::from(search.step_number()) / f64::from(search.steps());
        let mut data = json!({
            "progress": rounded(done),
            "score": rounded(search.current().score()),
            "best": rounded(search.best().score()),
            "length": search.current().length,
            "bestLength": search.best().length,
            "temperature": rounded(search.temperature()),
        });
        if with_tour && let Some(fields) = data.as_object_mut() {
            fields.insert("tour".into(), json!(search.best().places));
        }
        self.tell("iteration_completed", Some((search.step_number(), stage)), data).await
    }

    pub(super) async fn paused(&mut self, iteration: u32) -> Result<(), PublishError> {
        let data = json!({ "pausedAt": now(), "currentIteration": iteration });
        self.tell("job_paused", None, data).await
    }

    pub(super) async fn resumed(&mut self, iteration: u32) -> Result<(), PublishError> {
        let data = json!({ "resumedAt": now(), "resumeFromIteration": iteration });
        self.tell("job_resumed", None, data).await
    }

    pub(super) async fn completed(&mut self, search: &Search) -> Result<(), PublishError> {
        let best = search.best();
        let data = json!({
            "finalScore": rounded(best.score()),
            "length": best.length,
            "tour": best.places,
        });
        self.tell("job_completed", None, data).await
    }

    pub(super) async fn cancelled(&mut self, iteration: u32) -> Result<(), PublishError> {
        let data = json!({ "cancelledAt": now(), "finalIteration": iteration });
        self.tell("job_cancelled", None, data).await
    }

    /// Tries to tell why the job ends, for 5 s.
    pub(super) async fn failed(&mut self, error: &PublishError) -> Result<(), PublishError> {
        self.publisher = self.publisher.clone().with_patience(LAST_WORDS);
        let causes =
            std::iter::successors(std::error::Error::source(error), |cause| cause.source());
        let causes: Vec<_> = causes.map(ToString::to_string).collect();
        let mut data = json!({ "error": error.to_string(), "willRetry": false });
        if !causes.is_empty()
            && let Some(fields) = data.as_object_mut()
        {
            fields.insert("errorStack".into(), causes.join("\n").into());
        }
        self.tell("job_failed", None, data).await
    }

    async fn tell(
        &mut self,
        event_type: &str,
        position: Option<(u32, &'static str)>,
        data: Value,
    ) -> Result<(), PublishError> {
        self.count += 1;
        let key = format!("{:016x}-{}", self.run, self.count);
        let body = body(event_type, position, data);
        let published = self.publisher.publish(&self.job, event_type, &body, &key).await?;
        self.last_id = published.id;
        Ok(())
    }
}

fn body(event_type: &str, position: Option<(u32, &'static str)>, data: Value) -> Value {
    let mut body = Map::new();
    body.insert("eventType".into(), event_type.into());
    if let Some((iteration, stage)) = position {
        body.insert("iteration".into(), iteration.into());
        body.insert("stage".into(), stage.into());
    }
    body.insert("data".into(), data);
    body.insert("timestamp".into(), now().into());
    Value::Object(body)
}

/// What `job_created` and `job_started` tell about a run.
pub(super) fn config(seed: u64, seconds: u32, steps: u32) -> Value {
    let places: Vec<_> = PLACES.iter().map(|(x, y)| [x, y]).collect();
    json!({
        "instance": "berlin52",
        "optimum": OPTIMUM,
        "places": places,
        "seconds": seconds,
        "seed": seed,
        "iterations": steps,
    })
}

/// Now in UTC, ISO 8601, to the millisecond.
fn now() -> String {
    let now = OffsetDateTime::now_utc();
    let whole = now.replace_millisecond(now.millisecond()).unwrap_or(now);
    whole.format(&Rfc3339).unwrap_or_default()
}

/// Six digits after the point are plenty for a chart.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::StoredBody;

    #[test]
    fn an_event_is_within_the_contract() {
        let body = body("iteration_completed", Some((3, "cooling")), json!({"score": 0.5}));
        let payload = body.to_string();
        let parsed = StoredBody::parse(payload.as_bytes()).expect("an event");
        assert_eq!(parsed.iteration.map(|raw| raw.get()), Some("3"));
        assert_eq!(parsed.stage.map(|raw| raw.get()), Some("\"cooling\""));
    }

    #[test]
    fn a_timestamp_is_utc_with_milliseconds_at_most() {
        let now = now();
        assert!(now.ends_with('Z') && now.len() <= "2026-01-01T00:00:00.000Z".len(), "{now}");
        assert!(OffsetDateTime::parse(&now, &Rfc3339).is_ok(), "{now}");
    }

    #[test]
    fn the_configuration_names_every_place() {
        let config = config(1, 60, 480);
        assert_eq!(config["places"].as_array().map(Vec::len), Some(52));
        assert_eq!(config["places"][1], json!([25, 185]));
    }
}
