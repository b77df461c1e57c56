//! The agent dialect: steps with whole percentages, heartbeats between them, and late clients.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::harness::deployment::{Backend, Deployment};
use crate::harness::raw_client::RawClient;

#[tokio::test]
async fn the_first_message_is_connected_whether_the_task_exists_or_not() {
    let deployment = Deployment::start().await;
    let mut early = watching(&deployment, "task").await;
    assert_connected(&early.message().await);
    early.hears_nothing().await;

    deployment.tell("agent/task", &[step("scam_db", 40)]).await;
    let mut late = watching(&deployment, "task").await;
    assert_connected(&late.message().await);
    for client in [&mut early, &mut late] {
        let told = client.message().await;
        assert_eq!((&told["step"], &told["percent"]), (&json!("scam_db"), &json!(40)));
        assert_eq!(told.get("error"), None, "{told}");
    }
}

#[tokio::test]
async fn heartbeats_come_until_the_end_and_are_nothing_but_a_time() {
    let deployment = configured("heartbeat = \"300ms\"").await;
    let mut client = watching(&deployment, "task").await;
    assert_connected(&client.message().await);
    let started = Instant::now();
    for heartbeat in client.messages(4).await {
        assert_heartbeat(&heartbeat);
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(5), "{took:?}");

    deployment.tell("agent/task", &[step("reasoning", 80), ("job_completed", json!({}))]).await;
    let (told, code, reason) = client.rest().await;
    assert_eq!(code, 1000, "{reason}");
    assert_eq!(told.last().expect("a last message")["step"], "completed", "{told:?}");
    let steps: Vec<&Value> = told.iter().filter_map(|message| message.get("step")).collect();
    assert_eq!(steps, ["reasoning", "completed"]);
}

#[tokio::test]
async fn a_task_without_events_is_closed_with_1001_although_heartbeats_flow() {
    let deployment = configured("heartbeat = \"200ms\"\nidle_timeout = \"1s\"").await;
    let mut client = watching(&deployment, "task").await;
    let started = Instant::now();
    let (told, code, reason) = client.rest().await;
    assert_eq!(code, 1001, "{reason}");
    let idle = started.elapsed();
    assert!(idle >= Duration::from_millis(800) && idle < Duration::from_secs(5), "{idle:?}");
    assert_connected(&told[0]);
    assert!(told.len() >= 3, "heartbeats came: {told:?}");
    told[1..].iter().for_each(assert_heartbeat);
}

#[tokio::test]
async fn an_event_keeps_a_task_from_being_idle() {
    let deployment = configured("heartbeat = \"0s\"\nidle_timeout = \"1s\"").await;
    let mut client = watching(&deployment, "task").await;
    assert_connected(&client.message().await);
    let started = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    for percent in 0..8 {
        ticks.tick().await;
        let (event_type, payload) = step("reasoning", percent);
        deployment.publisher.publish_of("agent/task", event_type, &payload).await;
        assert_eq!(client.message().await["percent"], percent);
    }
    assert!(started.elapsed() > Duration::from_millis(1_500));
    assert_eq!(client.closed().await.0, 1001);
}

#[tokio::test]
async fn one_who_comes_after_the_end_gets_everything_and_the_end() {
    const STEPS: usize = 1_500;
    let backend = Backend::start().await;
    for number in 0..STEPS {
        let (event_type, mut payload) = step("tool_execution", number % 100);
        payload["data"]["message"] = json!(format!("{number} {}", "x".repeat(4_000)));
        backend.publisher.publish_of("agent/task", event_type, &payload).await;
    }
    let end = backend.publisher.publish_of("agent/task", "job_completed", &json!({})).await;
    // Most of it is older than what the gateway holds.
    let deployment = backend.deploy(&["--window", "4MiB"]).await;
    deployment.lists("agent/task", end).await;

    let (told, code, _) = watching(&deployment, "task").await.rest().await;
    assert_eq!((told.len(), code), (STEPS + 2, 1000));
    assert_connected(&told[0]);
    for (number, message) in told[1..=STEPS].iter().enumerate() {
        let text = message["message"].as_str().expect("a text");
        assert!(text.starts_with(&format!("{number} ")), "{number}: {text:.20}");
    }
    assert_eq!(
        (&told[STEPS + 1]["step"], &told[STEPS + 1]["percent"]),
        (&json!("completed"), &json!(100))
    );
}

#[tokio::test]
async fn a_failed_task_says_so_and_ends_for_those_who_watch_and_those_who_come() {
    let deployment = Deployment::start().await;
    deployment.tell("agent/task", &[step("exa_search", 50)]).await;
    let live = watching(&deployment, "task").await;
    let failed = json!({ "data": { "error": "no model answered", "percent": 50 } });
    deployment.tell("agent/task", &[("job_failed", failed)]).await;
    let late = watching(&deployment, "task").await;
    for mut client in [live, late] {
        let (told, code, _) = client.rest().await;
        assert_eq!((told.len(), code), (3, 1000), "{told:?}");
        let last = &told[2];
        assert_eq!((&last["step"], &last["error"]), (&json!("failed"), &json!(true)));
        assert_eq!((&last["percent"], &last["message"]), (&json!(0), &json!("no model answered")));
    }
}

#[tokio::test]
async fn percentages_are_whole_numbers_from_0_to_100() {
    let deployment = Deployment::start().await;
    let mut client = watching(&deployment, "task").await;
    assert_connected(&client.message().await);
    for (data, percent) in [
        (json!({ "percent": 33.4 }), 33),
        (json!({ "percent": 99.6 }), 100),
        (json!({ "percent": 12.0 }), 12),
        (json!({ "percent": 250 }), 100),
        (json!({ "percent": -3 }), 0),
        (json!({ "progress": 0.5 }), 50),
        (json!({ "percent": "70" }), 50),
        (json!({}), 50),
    ] {
        let payload = json!({ "stage": "reasoning", "data": data });
        deployment.publisher.publish_of("agent/task", "progress", &payload).await;
        let told = client.message().await;
        assert!(told["percent"].is_u64(), "an integer: {told}");
        assert_eq!(told["percent"], percent, "{payload}");
        for field in ["step", "message", "timestamp"] {
            assert!(told[field].is_string(), "{field} in {told}");
        }
    }
}

#[tokio::test]
async fn those_who_come_in_the_moment_of_an_event_are_told_the_right_percentage() {
    let deployment = Deployment::start().await;
    for task in (0..200).map(|number| format!("task-{number}")) {
        let name = format!("agent/{task}");
        let coming = async {
            let mut early = watching(&deployment, &task).await;
            early.messages(1).await;
            early
        };
        let publishing = async {
            let started = json!({ "data": { "config": { "iterations": 10 } } });
            deployment.publisher.publish_of(&name, "job_started", &started).await;
            for iteration in 1..=10 {
                let payload = json!({ "iteration": iteration });
                deployment.publisher.publish_of(&name, "iteration_completed", &payload).await;
            }
        };
        let (mut early, ()) = tokio::join!(coming, publishing);
        let mut late = watching(&deployment, &task).await;
        late.messages(1).await;
        for client in [&mut early, &mut late] {
            let told = client.messages(11).await;
            let percentages: Vec<&Value> = told.iter().map(|message| &message["percent"]).collect();
            assert_eq!(percentages, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100], "{task}");
        }
    }
}

#[tokio::test]
async fn what_a_client_says_is_ignored() {
    let deployment = Deployment::start().await;
    let mut client = watching(&deployment, "task").await;
    assert_connected(&client.message().await);
    for text in ["", "{", "ping", r#"{"type":"subscribe","jobId":"other"}"#] {
        client.say(text).await;
    }
    client.hears_nothing().await;
    deployment.tell("agent/task", &[step("reasoning", 80)]).await;
    assert_eq!(client.message().await["step"], "reasoning");
}

#[tokio::test]
async fn the_raw_publish_of_the_contract_is_told_as_it_is_written_there() {
    let deployment = Deployment::start().await;
    let payload = r#"{"eventType":"progress","stage":"scam_db","data":{"tool":"scam_database","message":"Looking","percent":40},"timestamp":"2026-03-01T10:00:01Z"}"#;
    deployment.publisher.publish_bytes("jobs.agent.task.progress", payload).await;
    let mut client = watching(&deployment, "task").await;
    assert_connected(&client.message().await);
    let expected = json!({
        "step": "scam_db", "tool": "scam_database", "message": "Looking", "percent": 40,
        "timestamp": "2026-03-01T10:00:01Z",
    });
    assert_eq!(client.message().await, expected);
}

fn step(name: &str, percent: impl Into<Value>) -> (&'static str, Value) {
    let data = json!({ "message": "at work", "percent": percent.into() });
    ("progress", json!({ "eventType": "progress", "stage": name, "data": data }))
}

fn assert_connected(message: &Value) {
    assert_eq!(
        (&message["step"], &message["percent"], &message["message"]),
        (&json!("connected"), &json!(0), &json!("Connected to agent progress stream"))
    );
    assert_is_time(&message["timestamp"]);
}

fn assert_heartbeat(message: &Value) {
    assert_eq!(message["heartbeat"], true, "{message}");
    assert_is_time(&message["timestamp"]);
    assert_eq!(message.as_object().map(serde_json::Map::len), Some(2), "{message}");
}

fn assert_is_time(value: &Value) {
    let text = value.as_str().expect("a time");
    OffsetDateTime::parse(text, &Rfc3339).expect("ISO 8601 with a zone");
}

async fn watching(deployment: &Deployment, task: &str) -> RawClient {
    deployment.raw_client(&format!("/ws/agent-progress/{task}")).await
}

async fn configured(settings: &str) -> Deployment {
    let route = "[[route]]\npath = \"/ws/agent-progress/{job}\"\ndialect = \"agent\"\n";
    Deployment::configured(&format!("{route}{settings}")).await
}
