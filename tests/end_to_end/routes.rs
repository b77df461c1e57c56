//! Streams that were not made for jobwire, served by configuration alone.

use std::io::Write;

use async_nats::jetstream::stream;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite;

use crate::harness::client::{events_in, id_of};
use crate::harness::deployment::{Backend, Deployment};
use crate::harness::gateway::{GatewayCommand, Outcome};
use crate::harness::publisher::job_stream;
use crate::harness::raw_client::RawClient;

/// Two streams whose subjects are their own, next to the one of jobwire.
const FOREIGN: &str = r#"
    [[route]]
    path = "/orders/{job}"
    dialect = "agent"
    kind = "orders"
    stream = "ORDERS"
    subject = "orders.{job}.evt.{type}"

    [[route]]
    path = "/ws/tasks"
    dialect = "optimization"
    kind = "tasks"
    stream = "TASKS"
    subject = "tasks.{job}"
"#;

#[tokio::test]
async fn a_stream_with_subjects_of_its_own_is_served_from_history_and_live() {
    let backend = foreign_streams().await;
    let publisher = backend.publisher.clone();
    publisher.publish_bytes("orders.17.evt.packed", "{}").await;
    publisher.publish_bytes("orders.17.cmd.pack", r#"{"data":{}}"#).await;
    let other = publisher.publish_bytes("orders.18.evt.packed", "{}").await;
    let deployment = backend.deploy_configured(FOREIGN).await;
    deployment.lists("orders/18", other).await;

    let mut client = deployment.raw_client("/orders/17").await;
    let mut reader = deployment.events("orders/17", "").await;
    assert_eq!(steps(&client.messages(2).await), ["connected", "packed"]);
    publisher.publish_bytes("orders.17.cmd.ship", "{}").await;
    publisher.publish_bytes("orders.18.evt.shipped", "{}").await;
    publisher.publish_bytes("orders.17.evt.shipped", "{}").await;
    publisher.publish_bytes("orders.17.evt.job_completed", "{}").await;
    let (told, code, _) = client.rest().await;
    assert_eq!((steps(&told), code), (vec!["shipped", "completed"], 1000));
    let told = reader.rest().await;
    let names: Vec<&str> = told.iter().map(|event| &*event.name).collect();
    assert_eq!(names, ["packed", "shipped", "job_completed"]);
    assert_eq!(told[0].id, Some(1), "ids are those of the stream");
}

#[tokio::test]
async fn a_stream_that_tells_types_in_its_payloads_is_served_from_history_and_live() {
    let backend = foreign_streams().await;
    let publisher = backend.publisher.clone();
    let task = |name: &str| json!({ "eventType": name, "data": { "of": name } }).to_string();
    let mut ids = vec![publisher.publish_bytes("tasks.9", task("begun")).await];
    let other = publisher.publish_bytes("tasks.10", task("begun")).await;
    let deployment = backend.deploy_configured(FOREIGN).await;
    deployment.lists("tasks/10", other).await;

    let mut client = deployment.raw_client("/ws/tasks").await;
    let subscribe = json!({ "type": "subscribe", "jobId": "9", "afterEventId": 0 });
    client.say(subscribe.to_string()).await;
    let first = client.messages(2).await;
    assert_eq!(
        (&first[0]["type"], &first[0]["lastEventId"]),
        (&json!("subscribed"), &json!(ids[0]))
    );
    ids.push(publisher.publish_bytes("tasks.9", task("score")).await);
    publisher.publish_bytes("tasks.10", task("score")).await;
    ids.push(publisher.publish_bytes("tasks.9", task("job_completed")).await);
    let live = client.messages(2).await;
    let events: Vec<Value> = first.iter().chain(&live).flat_map(events_in).collect();
    assert_eq!(events.iter().map(id_of).collect::<Vec<_>>(), ids);
    for (event, name) in events.iter().zip(["begun", "score", "job_completed"]) {
        assert_eq!((&event["eventType"], &event["data"]["of"]), (&json!(name), &json!(name)));
        assert!(event["timestamp"].is_string(), "{event}");
    }
    assert_eq!(deployment.events("tasks/9", "").await.rest().await.len(), 3, "and ends there");
}

#[tokio::test]
async fn foreign_history_that_the_gateway_does_not_hold_is_read_from_its_stream() {
    const EVENTS: usize = 400;
    let backend = foreign_streams().await;
    let text = "x".repeat(20_000);
    let payload = json!({ "eventType": "note", "data": { "message": text } }).to_string();
    for _ in 0..EVENTS {
        backend.publisher.publish_bytes("orders.17.evt.note", payload.clone()).await;
        backend.publisher.publish_bytes("tasks.9", payload.clone()).await;
    }
    let configuration = format!("window = \"4MiB\"\n{FOREIGN}");
    let deployment = backend.deploy_configured(&configuration).await;
    let last = EVENTS as u64;
    deployment.lists("orders/17", last).await;
    deployment.lists("tasks/9", last).await;

    let mut orders = deployment.raw_client("/orders/17").await;
    let told = orders.messages(EVENTS + 1).await;
    assert!(told[1..].iter().all(|message| message["step"] == "note"));
    orders.hears_nothing().await;
    for job in ["orders/17", "tasks/9"] {
        let mut reader = deployment.events(job, "").await;
        assert_eq!(reader.ids(EVENTS).await, Vec::from_iter(1..=last), "{job}");
    }
}

#[tokio::test]
async fn the_default_stream_is_served_next_to_the_others() {
    let backend = foreign_streams().await;
    let deployment = backend.deploy_configured(FOREIGN).await;
    deployment.publisher.publish_bytes("orders.17.evt.packed", "{}").await;
    let ids = deployment.tell("agent/17", &[("progress", json!({ "stage": "reasoning" }))]).await;
    let mut agent = deployment.raw_client("/ws/agent-progress/17").await;
    assert_eq!(steps(&agent.messages(2).await), ["connected", "reasoning"]);
    let mut orders = deployment.raw_client("/orders/17").await;
    assert_eq!(steps(&orders.messages(2).await), ["connected", "packed"]);
    agent.hears_nothing().await;
    orders.hears_nothing().await;

    let mut client = deployment.client().await;
    let mut request = json!({ "type": "subscribe", "jobId": "17", "kind": "agent" });
    request["afterEventId"] = json!(0);
    client.subscribed_with(&request).await;
    assert_eq!(id_of(&events_in(&client.expect("replay").await)[0]), ids[0]);
}

#[tokio::test]
async fn without_the_default_routes_only_the_configured_ones_are_there() {
    let backend = foreign_streams().await;
    let deployment = backend.deploy_configured(&format!("default_routes = false\n{FOREIGN}")).await;
    for path in [
        "/",
        "/ws/optimization",
        "/api/v1/training-jobs/1/ws",
        "/api/v1/training-jobs/1/stream",
        "/ws/agent-progress/1",
    ] {
        match RawClient::try_connect(deployment.gateway.address, path).await {
            Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 404, "{path}"),
            Err(error) => panic!("an answer at {path}, not {error}"),
            Ok(_) => panic!("somebody speaks at {path}"),
        }
    }
    let mut orders = deployment.raw_client("/orders/17").await;
    assert_eq!(steps(&orders.messages(1).await), ["connected"]);
    assert_eq!(deployment.gateway.public_get("/").await.status, 200, "the page stays");
}

#[tokio::test]
async fn a_route_says_where_its_subscribers_begin_and_whether_they_wait() {
    let deployment = Deployment::configured(
        r#"
        [[route]]
        path = "/ws/all"
        dialect = "optimization"
        start = "start"
        unknown_job = "wait"

        [[route]]
        path = "/known/{job}"
        dialect = "agent"
        unknown_job = "reject"
        job_grace = "100ms"
        "#,
    )
    .await;
    let ids = deployment.tell("optimization/job", &[("note", json!({}))]).await;
    let mut all = deployment.raw_client("/ws/all").await;
    all.say(r#"{"type":"subscribe","jobId":"job"}"#).await;
    assert_eq!(id_of(&all.messages(2).await[1]["data"][0]), ids[0]);
    all.say(r#"{"type":"subscribe","jobId":"later"}"#).await;
    deployment.tell("optimization/later", &[("note", json!({}))]).await;
    assert_eq!(all.message().await["type"], "subscribed");

    let mut unknown = deployment.raw_client("/known/nobody").await;
    let (told, code, _) = unknown.rest().await;
    assert_eq!((steps(&told), code), (vec!["connected"], 1008));
}

#[tokio::test]
async fn a_mistake_in_a_route_ends_the_program_with_code_2_and_names_the_setting() {
    let agent = |more: &str| format!("[[route]]\ndialect = \"agent\"\n{more}");
    for (configuration, named) in [
        (agent("path = \"/x\""), "route.path"),
        (agent("path = \"x/{job}\""), "route.path"),
        (agent("path = \"/x{job}\""), "route.path"),
        (agent("path = \"/x/{job}y\""), "route.path"),
        (agent("path = \"/x/{task}\""), "route.path"),
        (agent("path = \"/{job}/{job}\""), "route.path"),
        ("[[route]]\ndialect = \"optimization\"\npath = \"/{job}\"".into(), "route.path"),
        (
            agent("path = \"/x/{job}\"\n[[route]]\ndialect = \"training\"\npath = \"/x/{job}\""),
            "route.path",
        ),
        (agent("path = \"/x/{job}\"\nkind = \"a.b\""), "route.kind"),
        (agent("path = \"/x/{job}\"\nsubject = \"orders.*\""), "route.subject"),
        (agent("path = \"/x/{job}\"\nsubject = \"orders.{type}\""), "route.subject"),
        (agent("path = \"/x/{job}\"\njob_grace = \"9s\""), "route.job_grace"),
        (agent("path = \"/x/{job}\"\nheartbeat = \"often\""), "heartbeat"),
        (agent("path = \"/x/{job}\"\nheart_beat = \"5s\""), "heart_beat"),
        (agent("path = \"/x/{job}\"\nstart = \"middle\""), "start"),
        (agent(""), "path"),
        ("[[route]]\npath = \"/x/{job}\"".into(), "dialect"),
        ("[[route]]\npath = \"/x/{job}\"\ndialect = \"klingon\"".into(), "dialect"),
        ("default_routes = \"no\"".into(), "default_routes"),
    ] {
        let outcome = run_with(&configuration).await;
        assert_eq!(outcome.code, Some(2), "{configuration}: {outcome:?}");
        assert!(outcome.stderr.contains(named), "{configuration}: {}", outcome.stderr);
    }
}

async fn run_with(configuration: &str) -> Outcome {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(configuration.as_bytes()).expect("a written file");
    let path = file.path().to_str().expect("a path in UTF-8");
    let arguments = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--config", path];
    GatewayCommand::bare(&arguments).run().await
}

/// A server with the stream of jobwire and two others.
async fn foreign_streams() -> Backend {
    let backend = Backend::for_foreign_streams().await;
    backend.publisher.create_stream(job_stream()).await;
    for (name, subject) in [("ORDERS", "orders.>"), ("TASKS", "tasks.*")] {
        let (name, subjects) = (name.to_owned(), vec![subject.to_owned()]);
        let definition = stream::Config { name, subjects, ..job_stream() };
        backend.publisher.create_stream(definition).await;
    }
    backend
}

fn steps(messages: &[Value]) -> Vec<&str> {
    messages.iter().filter_map(|message| message["step"].as_str()).collect()
}
