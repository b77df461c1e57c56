//! The beam-search dialect at the root: clients that end at any error, and speak no other word.

use async_nats::jetstream::stream;
use serde_json::{Value, json};

use crate::harness::client::id_of;
use crate::harness::deployment::{Backend, Deployment};
use crate::harness::publisher::{SteadyPublisher, job_stream};
use crate::harness::raw_client::RawClient;

#[tokio::test]
async fn the_root_is_a_page_for_people_and_a_websocket_for_clients() {
    let deployment = Deployment::start().await;
    deployment.tell("beam-search/image", &[started()]).await;
    let page = deployment.gateway.public_get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"), "{page:?}");

    let mut client = subscribed(&deployment, "image").await;
    assert_eq!(client.message().await["type"], "started");
}

#[tokio::test]
async fn subscribing_again_to_the_same_job_does_nothing() {
    let deployment = Deployment::start().await;
    deployment.tell("beam-search/image", &[started(), iteration(1)]).await;
    let mut client = subscribed(&deployment, "image").await;
    client.messages(2).await;
    subscribe(&mut client, "image").await;
    subscribe(&mut client, "image").await;
    deployment.tell("beam-search/image", &[iteration(2), completed()]).await;

    let told = client.messages(2).await;
    assert_eq!((&told[0]["iteration"], &told[1]["type"]), (&json!(2), &json!("complete")));
    client.hears_nothing().await;
}

#[tokio::test]
async fn a_job_that_does_not_exist_yet_is_waited_for() {
    let deployment = Deployment::with_arguments(&["--job-grace", "100ms"]).await;
    let mut client = subscribed(&deployment, "image").await;
    // Another dialect says when a job is known to be none.
    let mut other = deployment.client().await;
    other.send(&json!({ "type": "subscribe", "jobId": "image", "kind": "beam-search" })).await;
    other.expect_error("JOB_NOT_FOUND").await;
    client.hears_nothing().await;

    deployment.tell("beam-search/image", &[started(), completed()]).await;
    let told = client.messages(2).await;
    assert_eq!((&told[0]["type"], &told[1]["type"]), (&json!("started"), &json!("complete")));
}

#[tokio::test]
async fn one_job_too_many_is_an_error_in_the_words_of_this_dialect() {
    let deployment = Deployment::with_arguments(&["--max-subscriptions", "1"]).await;
    let mut client = deployment.raw_client("/").await;
    for job in ["first", "second"] {
        client.say(json!({ "type": "subscribe", "jobId": job }).to_string()).await;
    }
    let told = client.message().await;
    let expected = json!({ "type": "error", "jobId": "second", "timestamp": told["timestamp"],
        "error": { "message": told["error"]["message"], "code": "LIMIT" } });
    assert_eq!(told, expected);
}

#[tokio::test]
async fn an_invalid_id_is_an_error_message_and_nothing_else() {
    let deployment = Deployment::start().await;
    deployment.tell("beam-search/image", &[started()]).await;
    let mut client = deployment.raw_client("/").await;
    let long = "x".repeat(129);
    for id in [json!("a.b"), json!(""), json!("*"), json!("a b"), json!(long), json!(7)] {
        client.say(json!({ "type": "subscribe", "jobId": id }).to_string()).await;
        let error = client.message().await;
        assert_eq!(error["type"], "error", "{id}");
        assert_eq!(error["error"]["code"], "INVALID_JOB_ID", "{id}");
        assert!(error["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
        assert!(error["timestamp"].is_string() && error.get("jobId").is_some(), "{error}");
        client.hears_nothing().await;
    }
    subscribe(&mut client, "image").await;
    assert_eq!(client.message().await["type"], "started", "the connection lives on");
}

#[tokio::test]
async fn other_bad_messages_are_ignored() {
    let deployment = Deployment::start().await;
    deployment.tell("beam-search/image", &[started()]).await;
    let mut client = deployment.raw_client("/").await;
    for text in [
        "",
        "subscribe",
        "[]",
        "null",
        r#"{"type":"subscribe"}"#,
        r#"{"jobId":"image"}"#,
        r#"{"type":7,"jobId":"image"}"#,
        r#"{"type":"ping","jobId":"image"}"#,
        r#"{"type":"unsubscribe","jobId":"a.b"}"#,
        r#"{"type":"unsubscribe","jobId":"image"}"#,
    ] {
        client.say(text).await;
    }
    client.hears_nothing().await;
    subscribe(&mut client, "image").await;
    assert_eq!(client.message().await["type"], "started");
}

#[tokio::test]
async fn no_error_comes_before_the_end_of_a_job_that_is_tried_again() {
    let deployment = Deployment::start().await;
    let mut early = subscribed(&deployment, "image").await;
    let failed = json!({ "data": { "error": "no image came", "code": "X", "willRetry": true } });
    deployment.tell("beam-search/image", &[started(), ("job_failed", failed)]).await;
    let mut between = subscribed(&deployment, "image").await;
    assert_eq!(early.message().await["type"], "started");
    assert_eq!(between.message().await["type"], "started");

    deployment.tell("beam-search/image", &[started(), completed()]).await;
    let late = subscribed(&deployment, "image").await;
    for (mut client, read) in [(early, 1), (between, 1), (late, 0)] {
        let rest = client.messages(3 - read).await;
        let types: Vec<&Value> = rest.iter().map(|message| &message["type"]).collect();
        assert_eq!(types, ["started", "started", "complete"][read..]);
        client.hears_nothing().await;
    }
}

#[tokio::test]
async fn a_final_failure_is_told_with_its_words_and_code() {
    let deployment = Deployment::start().await;
    let failed = json!({ "data": { "error": "no credit", "code": "QUOTA", "willRetry": false } });
    deployment.tell("beam-search/image", &[("job_failed", failed)]).await;
    let mut client = subscribed(&deployment, "image").await;
    let error = client.message().await;
    assert_eq!(error["error"], json!({ "message": "no credit", "code": "QUOTA" }));
    client.hears_nothing().await;
}

#[tokio::test]
async fn history_that_is_gone_stands_in_the_first_message_and_only_there() {
    let definition = stream::Config { max_messages: 20, ..job_stream() };
    let backend = Backend::with_stream(definition).await;
    for number in 0..40 {
        let (event_type, payload) = if number == 0 { started() } else { iteration(number) };
        backend.publisher.publish_of("beam-search/image", event_type, &payload).await;
    }
    let first = backend.publisher.stream_state().await.first_sequence;
    let deployment = backend.deploy(&[]).await;
    deployment.lists("beam-search/image", 40).await;

    let mut client = subscribed(&deployment, "image").await;
    let told = client.messages(20).await;
    assert_eq!(told[0]["truncatedBefore"], first, "{}", told[0]);
    assert_eq!(told[0]["iteration"], first - 1, "the first one that there is");
    deployment.tell("beam-search/image", &[iteration(40)]).await;
    let live = client.message().await;
    for message in told[1..].iter().chain([&live]) {
        assert_eq!(message.get("truncatedBefore"), None, "{message}");
    }
}

#[tokio::test]
async fn a_job_that_began_after_the_loss_is_told_as_whole() {
    let definition = stream::Config { max_messages: 20, ..job_stream() };
    let backend = Backend::with_stream(definition).await;
    for number in 0..40 {
        backend.publisher.publish_of("beam-search/old", "iteration", &iteration(number).1).await;
    }
    let deployment = backend.deploy(&[]).await;
    deployment.tell("beam-search/new", &[started(), completed()]).await;
    let mut client = subscribed(&deployment, "new").await;
    for message in client.messages(2).await {
        assert_eq!(message.get("truncatedBefore"), None, "{message}");
    }
}

#[tokio::test]
async fn nothing_is_told_of_a_job_after_unsubscribe() {
    let deployment = Deployment::start().await;
    deployment.tell("beam-search/image", &[started()]).await;
    let mut leaving = subscribed(&deployment, "image").await;
    let mut staying = subscribed(&deployment, "image").await;
    leaving.message().await;
    staying.message().await;
    leaving.say(json!({ "type": "unsubscribe", "jobId": "image" }).to_string()).await;
    leaving.hears_nothing().await;

    deployment.tell("beam-search/image", &[iteration(1), completed()]).await;
    staying.messages(2).await;
    leaving.hears_nothing().await;
    subscribe(&mut leaving, "image").await;
    assert_eq!(leaving.messages(3).await[2]["type"], "complete", "it can come back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_come_while_events_pour_in_stop_nobody() {
    let deployment = Deployment::start().await;
    deployment.tell("beam-search/image", &[started(), iteration(1), iteration(2)]).await;
    let mut steady = SteadyPublisher::start(&deployment.publisher, "another", 0, 2_000);
    let mut newest = 0;
    for _ in 0..20 {
        let comers = (0..40).map(async |_| {
            let mut client = subscribed(&deployment, "image").await;
            assert_eq!(client.messages(3).await[2]["iteration"], 2);
        });
        futures_util::future::join_all(comers).await;
        newest = steady.past(newest).await;
    }
    let published = steady.finish().await;
    deployment.lists("optimization/another", published.last().expect("an event").id).await;
}

#[tokio::test]
async fn the_kind_in_the_query_is_that_of_every_job_named_without_one() {
    let deployment = Deployment::start().await;
    let ids = deployment.tell("training/image", &[started()]).await;
    let mut client = deployment.raw_client("/?kind=training").await;
    subscribe(&mut client, "image").await;
    let told = client.message().await;
    assert_eq!((&told["type"], &told["kind"]), (&json!("started"), &json!("training")));

    let mut other = deployment.client().await;
    let request =
        json!({ "type": "subscribe", "jobId": "image", "kind": "training", "afterEventId": 0 });
    other.subscribed_with(&request).await;
    assert_eq!(id_of(&other.expect("replay").await["data"][0]), ids[0], "the same event");
}

fn started() -> (&'static str, Value) {
    ("job_started", json!({ "data": { "config": { "prompt": "a lighthouse", "iterations": 3 } } }))
}

fn iteration(number: u64) -> (&'static str, Value) {
    let data = json!({ "totalIterations": 3, "dimension": "what", "status": "started" });
    ("iteration", json!({ "iteration": number, "data": data }))
}

fn completed() -> (&'static str, Value) {
    let best = json!({ "imagePath": "out/0.png", "totalScore": 71.5 });
    ("job_completed", json!({ "data": { "result": { "bestCandidate": best } } }))
}

async fn subscribe(client: &mut RawClient, job: &str) {
    client.say(json!({ "type": "subscribe", "jobId": job }).to_string()).await;
}

async fn subscribed(deployment: &Deployment, job: &str) -> RawClient {
    let mut client = deployment.raw_client("/").await;
    subscribe(&mut client, job).await;
    client
}
