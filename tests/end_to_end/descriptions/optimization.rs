//! The channel of many jobs, from the first word to the last error.

use async_nats::jetstream::stream;
use serde_json::{Value, json};

use super::TRACEPARENT;
use super::conversing::Conversation;
use super::description::Description;
use super::tokens::{WITH_TOKENS, token};
use crate::harness::deployment::{Backend, Deployment};
use crate::harness::publisher::job_stream;

#[tokio::test]
async fn everything_that_is_said_of_many_jobs_is_described_and_the_other_way_round() {
    let description = Description::of_web_sockets();
    let mut deployment = deployment_that_forgot_something().await;
    watch_and_go(&description, &deployment, None).await;
    watch_and_go(&description, &deployment, Some("training")).await;
    say_what_is_no_request(&description, &deployment).await;
    ask_with_tokens(&description).await;
    deployment.nats.stop();
    let mut client = connect(&description, &deployment, "?kind=training", "").await;
    client.say(json!({ "type": "subscribe", "jobId": "cold" })).await;
    assert_eq!(client.message().await["code"], "UNAVAILABLE");
    description.assert_met(&description.parts_of_channel("optimization"));
}

/// A stream with 30 events of each of two jobs, which had more.
async fn deployment_that_forgot_something() -> Deployment {
    let definition = stream::Config { max_messages: 60, ..job_stream() };
    let backend = Backend::with_stream(definition).await;
    for number in 0..100 {
        let payload = json!({ "iteration": number, "stage": "score", "data": { "score": 0.5 } });
        for job in ["optimization/job", "training/job"] {
            let publisher = &backend.publisher;
            publisher.publish_traced(job, "iteration_completed", &payload, TRACEPARENT).await;
        }
    }
    backend.deploy(&["--max-subscriptions", "1", "--job-grace", "100ms"]).await
}

async fn connect<'a>(
    description: &'a Description,
    deployment: &Deployment,
    query: &str,
    protocols: &str,
) -> Conversation<'a> {
    let path = format!("/ws/optimization{query}");
    let address = deployment.gateway.address;
    Conversation::open(description, "optimization", address, &path, protocols).await
}

/// A request about a job, of a kind if that is not the route's.
fn request(request: &str, job: &str, kind: Option<&str>) -> Value {
    let mut request = json!({ "type": request, "jobId": job });
    if let Some(kind) = kind {
        request["kind"] = kind.into();
    }
    request
}

async fn watch_and_go(description: &Description, deployment: &Deployment, kind: Option<&str>) {
    let name = format!("{}/job", kind.unwrap_or("optimization"));
    let mut client = connect(description, deployment, "", "").await;
    let mut subscribe = request("subscribe", "job", kind);
    subscribe["afterEventId"] = json!(7);
    subscribe["eventTypes"] = json!(["iteration_completed", "progress"]);
    subscribe["onTruncated"] = json!("earliest");
    subscribe["position"] = json!(true);
    client.say(subscribe.clone()).await;
    let epoch = client.message().await["epoch"].clone();
    assert_eq!(client.message().await["code"], "HISTORY_TRUNCATED");
    client.until("type", "position").await;
    deployment.publisher.publish_of(&name, "progress", &json!({})).await;
    client.until("type", "event").await;
    let subject = format!("jobs.{}.progress", name.replace('/', "."));
    deployment.publisher.publish_bytes(&subject, "no event").await;
    client.until("code", "EVENT_MALFORMED").await;

    let mut replay = request("replay", "job", kind);
    replay["afterEventId"] = json!(180);
    client.say(replay.clone()).await;
    client.until("type", "replay").await;
    client.say(request("subscribe", "another", kind)).await;
    client.until("code", "LIMIT").await;
    subscribe["epoch"] = json!("0123abcd");
    client.say(subscribe.clone()).await;
    client.until("code", "CURSOR_INVALID").await;
    subscribe["epoch"] = epoch;
    subscribe["onTruncated"] = json!("fail");
    client.say(subscribe).await;
    client.until("code", "HISTORY_TRUNCATED").await;
    client.say(replay).await;
    client.until("code", "NOT_SUBSCRIBED").await;
    client.say(request("unsubscribe", "job", kind)).await;
    client.until("type", "unsubscribed").await;
    client.say(request("subscribe", "nobody", kind)).await;
    client.until("code", "JOB_NOT_FOUND").await;
}

async fn say_what_is_no_request(description: &Description, deployment: &Deployment) {
    let mut client = connect(description, deployment, "", "").await;
    client.blurt("hello").await;
    assert_eq!(client.message().await["code"], "INVALID_MESSAGE");
    client.blurt(&request("subscribe", "a.b", None).to_string()).await;
    assert_eq!(client.message().await["code"], "INVALID_JOB_ID");
    client.say(json!({ "type": "ping" })).await;
    assert_eq!(client.message().await["type"], "pong");
    client.say(json!({ "type": "auth", "token": "any" })).await;
    assert_eq!(client.message().await["type"], "authenticated");
}

async fn ask_with_tokens(description: &Description) {
    let deployment = Deployment::configured(WITH_TOKENS).await;
    let protocols = format!("Bearer, {}", token(&["optimization/mine"]));
    let mut client = connect(description, &deployment, "", &protocols).await;
    client.say(json!({ "type": "auth", "token": "stolen" })).await;
    assert_eq!(client.message().await["code"], "FORBIDDEN");
    for kind in [None, Some("training")] {
        client.say(request("subscribe", "yours", kind)).await;
        let told = client.message().await;
        assert_eq!((&told["code"], &told["jobId"]), (&json!("FORBIDDEN"), &json!("yours")));
    }
}
