//! The golden conversations of `tests/golden/` with a running gateway, as a client has them who
//! comes before the job, at the moment that the file means, or at any later one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::harness::client::{events_in, id_of};
use crate::harness::deployment::Deployment;
use crate::harness::raw_client::{Heard, RawClient};

/// Types of which a training client is told (PROTOCOLS section 5).
const TOLD_IN_TRAINING: [&str; 10] = [
    "job_created",
    "job_started",
    "iteration_completed",
    "progress",
    "log",
    "job_paused",
    "job_resumed",
    "job_completed",
    "job_failed",
    "job_cancelled",
];

#[tokio::test]
async fn an_optimization_client_reads_the_golden_conversations() {
    Dialect::Optimization.replay_all().await;
}

#[tokio::test]
async fn a_beam_search_client_reads_the_golden_conversations() {
    Dialect::BeamSearch.replay_all().await;
}

#[tokio::test]
async fn a_training_client_reads_the_golden_conversations() {
    Dialect::Training.replay_all().await;
}

#[tokio::test]
async fn an_agent_client_reads_the_golden_conversations() {
    Dialect::Agent.replay_all().await;
}

#[tokio::test]
async fn a_failure_that_is_tried_again_ends_nobodys_connection() {
    let deployment = Deployment::start().await;
    for dialect in Dialect::ALL {
        let job = Job { kind: dialect.kind().into(), id: "retried".into() };
        let first = [
            ("job_started", json!({})),
            ("job_failed", json!({ "data": { "error": "a node died", "willRetry": true } })),
        ];
        deployment.tell(&job.name(), &first).await;
        let mut watching = vec![dialect.connect(&deployment, &job).await];
        let mut reader = deployment.events(&job.name(), "").await;
        deployment.tell(&job.name(), &[("job_started", json!({}))]).await;
        watching.push(dialect.connect(&deployment, &job).await);
        let again = [
            ("job_failed", json!({ "data": { "error": "twice", "willRetry": true } })),
            ("job_started", json!({})),
            ("iteration_completed", json!({ "iteration": 7 })),
        ];
        let ids = deployment.tell(&job.name(), &again).await;
        watching.push(dialect.connect(&deployment, &job).await);

        let last = json!({ "data": { "message": "at last", "model_id": "at last" } });
        let end = deployment.tell(&job.name(), &[("job_completed", last)]).await[0];
        for mut client in watching {
            let told = dialect.hear_until_complete(&mut client).await;
            assert!(!told.iter().any(is_an_error), "{dialect:?}: {told:?}");
        }
        let seen: Vec<u64> = reader.rest().await.iter().filter_map(|event| event.id).collect();
        assert!(seen.contains(&ids[2]) && seen.last() == Some(&end), "{seen:?}");
    }
}

#[tokio::test]
async fn an_end_that_the_job_outlived_is_none_for_those_who_come_later() {
    let deployment = Deployment::start().await;
    for dialect in Dialect::ALL {
        let job = Job { kind: dialect.kind().into(), id: "outlived".into() };
        let events = [
            ("job_started", json!({})),
            ("job_failed", json!({ "data": { "error": "stopped by hand" } })),
            ("job_started", json!({})),
        ];
        deployment.tell(&job.name(), &events).await;
        let mut late = dialect.connect(&deployment, &job).await;
        let mut reader = deployment.events(&job.name(), "").await;
        assert_eq!(reader.ids(3).await.len(), 3);
        deployment.tell(&job.name(), &[("job_completed", json!({}))]).await;
        let told = dialect.hear_until_complete(&mut late).await;
        assert!(!told.iter().any(is_an_error), "{dialect:?}: {told:?}");
        assert_eq!(reader.rest().await.len(), 1);
    }
}

#[derive(Deserialize)]
struct Conversation {
    name: String,
    job: Job,
    before: Vec<Event>,
    after: Vec<Event>,
    messages: Vec<Value>,
    close: Option<u16>,
}

#[derive(Deserialize)]
struct Job {
    kind: String,
    id: String,
}

impl Job {
    fn name(&self) -> String {
        format!("{}/{}", self.kind, self.id)
    }
}

#[derive(Clone, Deserialize)]
struct Event {
    #[serde(rename = "type")]
    event_type: String,
    payload: Value,
}

impl Event {
    fn is_told_in_training(&self) -> bool {
        self.payload.is_object() && TOLD_IN_TRAINING.contains(&&*self.event_type)
    }

    fn is_final(&self) -> bool {
        ["job_completed", "job_failed", "job_cancelled"].contains(&&*self.event_type)
            && self.payload["data"]["willRetry"] != true
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Dialect {
    Optimization,
    BeamSearch,
    Training,
    Agent,
}

impl Dialect {
    const ALL: [Self; 4] = [Self::Optimization, Self::BeamSearch, Self::Training, Self::Agent];

    fn kind(self) -> &'static str {
        match self {
            Self::Optimization => "optimization",
            Self::BeamSearch => "beam-search",
            Self::Training => "training",
            Self::Agent => "agent",
        }
    }

    fn conversations(self) -> Vec<Conversation> {
        let text = match self {
            Self::Optimization => include_str!("../golden/optimization.json"),
            Self::BeamSearch => include_str!("../golden/beam_search.json"),
            Self::Training => include_str!("../golden/training.json"),
            Self::Agent => include_str!("../golden/agent.json"),
        };
        serde_json::from_str(text).expect("conversations")
    }

    /// Connects to a job from its beginning, as `tests/golden/README.md` says.
    async fn connect(self, deployment: &Deployment, job: &Job) -> RawClient {
        let query =
            if job.kind == self.kind() { String::new() } else { format!("?kind={}", job.kind) };
        let mut subscribe = json!({ "type": "subscribe", "jobId": job.id });
        if job.kind != self.kind() {
            subscribe["kind"] = json!(job.kind);
        }
        let path = match self {
            Self::Optimization => {
                subscribe["afterEventId"] = json!(0);
                "/ws/optimization".to_owned()
            }
            Self::BeamSearch => "/".to_owned(),
            Self::Training => format!("/api/v1/training-jobs/{}/ws{query}", job.id),
            Self::Agent => format!("/ws/agent-progress/{}{query}", job.id),
        };
        let mut client = deployment.raw_client(&path).await;
        if matches!(self, Self::Optimization | Self::BeamSearch) {
            client.say(subscribe.to_string()).await;
        }
        client
    }

    async fn replay_all(self) {
        let deployment = Deployment::start().await;
        for conversation in self.conversations() {
            conversation.replay(self, &deployment).await;
        }
    }

    /// Everything up to the message that the job is complete, and the end where there is one.
    async fn hear_until_complete(self, client: &mut RawClient) -> Vec<Value> {
        if matches!(self, Self::Training | Self::Agent) {
            let (told, code, reason) = client.rest().await;
            assert_eq!(code, 1000, "{reason}");
            let last = told.last().expect("a message before the end");
            assert!(last["type"] == "complete" || last["step"] == "completed", "{last}");
            return told;
        }
        let mut told = Vec::new();
        loop {
            let message = client.message().await;
            let is_complete = message["type"] == "complete"
                || events_in(&message).iter().any(|event| event["eventType"] == "job_completed");
            told.push(message);
            if is_complete {
                client.hears_nothing().await;
                return told;
            }
        }
    }
}

impl Conversation {
    /// Tells the job event by event, with a client more at each step, and lets them all compare.
    async fn replay(&self, dialect: Dialect, deployment: &Deployment) {
        let mut clients = BTreeMap::new();
        let waits_for_jobs = matches!(dialect, Dialect::BeamSearch | Dialect::Agent);
        if waits_for_jobs && !self.outlives_an_end() {
            let early = dialect.connect(deployment, &self.job).await;
            clients.insert(None, (early, Vec::new()));
        }
        let mut ids = self.tell(deployment, &self.before).await;
        for step in 0..=self.after.len() {
            if dialect == Dialect::Training && self.is_silent_in_training(step) {
                ids.extend(self.tell(deployment, &self.after[step..=step]).await);
                continue;
            }
            let mut client = dialect.connect(deployment, &self.job).await;
            let mut told = Vec::new();
            if matches!(dialect, Dialect::Training | Dialect::Agent) {
                told.push(client.message().await);
            }
            clients.insert(Some(step), (client, told));
            if let Some(event) = self.after.get(step) {
                ids.extend(self.tell(deployment, std::slice::from_ref(event)).await);
            }
        }
        for (step, (mut client, mut told)) in clients {
            let came = format!("{}, {step:?}", self.name);
            let expected = match (dialect, step) {
                (Dialect::Training, Some(step)) => self.beginning_with_state(step),
                (Dialect::Optimization, _) => self.with_ids(&ids),
                _ => self.messages.clone(),
            };
            match (dialect, self.close) {
                (Dialect::Optimization, _) => told = events_of(&mut client, expected.len()).await,
                (_, Some(expected)) => {
                    let (rest, code, reason) = client.rest().await;
                    assert_eq!(code, expected, "{came}: {reason}");
                    told.extend(rest.into_iter().filter(|message| message["heartbeat"] != true));
                }
                (_, None) => {
                    told.extend(client.messages(expected.len() - told.len()).await);
                    client.hears_nothing().await;
                }
            }
            for (place, (told, expected)) in told.iter().zip(&expected).enumerate() {
                assert_eq!(with_any_time(told, expected), *expected, "{came}, {place}");
            }
            assert_eq!(told.len(), expected.len(), "{came}: {told:#?}");
        }
    }

    async fn tell(&self, deployment: &Deployment, events: &[Event]) -> Vec<u64> {
        if events.is_empty() {
            return Vec::new();
        }
        let events: Vec<(&str, Value)> =
            events.iter().map(|event| (&*event.event_type, event.payload.clone())).collect();
        deployment.tell(&self.job.name(), &events).await
    }

    /// Whether one who was there before the job would have been told an end that the others
    /// were not.
    fn outlives_an_end(&self) -> bool {
        let end = self.before.iter().position(Event::is_final);
        end.is_some_and(|end| end + 1 < self.before.len())
    }

    /// Whether the event before a step is not told, so that no message shows where the job stands.
    fn is_silent_in_training(&self, step: usize) -> bool {
        let before = step.checked_sub(1).and_then(|place| self.after.get(place));
        before.is_some_and(|event| !event.is_told_in_training())
    }

    /// Whether any event says by itself how much of the job is done.
    fn tells_fractions(&self) -> bool {
        let mut events = self.before.iter().chain(&self.after);
        events.any(|event| {
            let data = &event.payload["data"];
            data["progress"].is_number() || data["percent"].is_number()
        })
    }

    fn with_ids(&self, ids: &[u64]) -> Vec<Value> {
        let mut messages = self.messages.clone();
        for message in &mut messages {
            let place = usize::try_from(id_of(message)).expect("a small number") - 1;
            message["id"] = ids[place].into();
        }
        messages
    }

    /// What a training client reads who comes after so many events of `after`: where the job
    /// stands by the messages that it has missed, then the others, or the last one again.
    fn beginning_with_state(&self, step: usize) -> Vec<Value> {
        if step == 0 {
            return self.messages.clone();
        }
        let told = self.after[..step].iter().filter(|event| event.is_told_in_training()).count();
        let (missed, to_come) = self.messages.split_at(told + 1);
        let status = missed.iter().rev().find_map(|message| message.get("status"));
        let mut state = json!({
            "type": "progress", "status": status.expect("a status"), "timestamp": "<time>",
        });
        for field in ["job_id", "kind", "progress", "current_epoch", "total_epochs", "current_loss"]
        {
            if let Some(value) = missed[told].get(field) {
                state[field] = shortest(value);
            }
        }
        if !self.tells_fractions() && state["total_epochs"] != 0 {
            // Who comes now knows the present total only, not the one that an earlier try had.
            let epochs = |field: &str| state[field].as_f64().expect("a number");
            let fraction = epochs("current_epoch") / epochs("total_epochs");
            state["progress"] = shortest(&json!(fraction));
        }
        let has_ended = to_come.is_empty() && self.close.is_some();
        let rest = if has_ended { &missed[told..] } else { to_come };
        [&[state], rest].concat()
    }
}

/// A number as the gateway writes its own: without a fraction if it has none.
fn shortest(value: &Value) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "whole and small")]
    match value.as_f64() {
        Some(number) if number.fract() == 0.0 => json!(number as i64),
        _ => value.clone(),
    }
}

/// Reads so many events, and makes sure that no more came with them.
async fn events_of(client: &mut RawClient, count: usize) -> Vec<Value> {
    let mut events = Vec::new();
    let mut asked = false;
    loop {
        if events.len() >= count && !asked {
            client.say(json!({ "type": "ping" }).to_string()).await;
            asked = true;
        }
        match client.hear().await {
            Heard::Message(message) if message["type"] == "pong" => return events,
            Heard::Message(message) => events.extend(events_in(&message)),
            Heard::Closed(code, reason) => panic!("closed: {code} {reason:?}"),
        }
    }
}

/// What was told, with `<time>` for a time where any will do.
fn with_any_time(told: &Value, expected: &Value) -> Value {
    let mut told: Map<String, Value> = told.as_object().expect("an object").clone();
    for (field, _) in expected.as_object().into_iter().flatten().filter(|(_, v)| *v == "<time>") {
        if let Some(value) = told.get_mut(field) {
            let time = OffsetDateTime::parse(value.as_str().expect("a time"), &Rfc3339);
            assert!(time.expect("ISO 8601").offset().is_utc(), "{value}");
            *value = json!("<time>");
        }
    }
    told.into()
}

fn is_an_error(message: &Value) -> bool {
    message["type"] == "error" || message["error"] == true
}
