//! Publishing over HTTP.

use std::net::SocketAddr;

use async_nats::jetstream::stream;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::description::Description;
use super::tokens::{WITH_TOKENS, producer_token, token};
use super::upgrades::stay;
use crate::harness::deployment::{Backend, Deployment};
use crate::harness::eventually;
use crate::harness::publisher::job_stream;

const PATH: &str = "/api/v1/jobs/training/7/events";
const JSON: (&str, &str) = ("Content-Type", "application/json");
const LINES: (&str, &str) = ("Content-Type", "application/x-ndjson");

/// What is described, and takes too long to be met, or cannot be.
const NOT_MET: [&str; 3] = [
    // 30 s.
    "/408",
    // The default stream holds jobs of any kind.
    "/404",
    // Only who is gone already is told.
    "\"BODY_BROKEN\"",
];

#[tokio::test]
async fn everything_that_is_said_of_publishing_is_described_and_the_other_way_round() {
    let description = Description::of_http();
    let definition = stream::Config { max_message_size: 100_000, ..job_stream() };
    let backend = Backend::with_stream(definition).await;
    let mut deployment = backend.deploy(&["--publish"]).await;
    let address = deployment.gateway.address;
    publish(&description, address).await;
    publish_what_cannot_be(&description, address).await;
    hold_all_the_room(&description, address).await;
    ask_with_tokens(&description).await;

    deployment.nats.stop();
    let body = "{\"eventType\":\"progress\"}";
    let answer = description.post(address, PATH, &[LINES], body).await.json();
    assert_eq!((&answer["code"], &answer["line"]), (&json!("UNAVAILABLE"), &json!(1)));
    let _staying = stay(address).await;
    deployment.gateway.terminate();
    eventually("the gateway says that it stops", async || {
        (deployment.gateway.readiness().await?.status == 503).then_some(())
    })
    .await;
    let answer = description.post(address, PATH, &[JSON], body).await;
    assert_eq!(answer.json()["code"], "DRAINING");

    let mut parts = description.parts_of_operations("publish");
    parts.retain(|part| !NOT_MET.iter().any(|not_met| part.contains(not_met)));
    description.assert_met(&parts);
}

async fn publish(description: &Description, address: SocketAddr) {
    let event = json!({ "eventType": "progress", "iteration": 7, "stage": "train",
        "data": { "progress": 0.35 }, "timestamp": "2026-03-01T10:00:00Z" });
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (duplicate, media_type) in [(false, JSON), (true, JSON), (false, LINES)] {
        let key = ("Idempotency-Key", media_type.1);
        let headers = [media_type, key, ("traceparent", trace), ("tracestate", "a=b")];
        let answer = description.post(address, PATH, &headers, &event.to_string()).await.json();
        let stored = if media_type == LINES { &answer["events"][0] } else { &answer };
        assert_eq!(stored["duplicate"], duplicate, "{answer}");
    }
}

async fn publish_what_cannot_be(description: &Description, address: SocketAddr) {
    let event = "{\"eventType\":\"progress\"}\n";
    let large = |size| format!("{{\"eventType\":\"a\",\"stage\":\"{}\"}}", "x".repeat(size));
    let long_key = "x".repeat(201);
    for (path, headers, body, status, code) in [
        (PATH, &[LINES][..], format!("{event}{{\"data\":1}}"), 400, "INVALID_EVENT"),
        ("/api/v1/jobs/training/a.b/events", &[JSON], event.into(), 400, "INVALID_JOB_ID"),
        (
            PATH,
            &[JSON, ("Idempotency-Key", &*long_key)],
            event.into(),
            400,
            "INVALID_IDEMPOTENCY_KEY",
        ),
        (PATH, &[JSON], large(600 << 10), 413, "INVALID_EVENT"),
        (PATH, &[JSON], large(5 << 20), 413, "BODY_TOO_LARGE"),
        (PATH, &[("Content-Type", "text/plain")], event.into(), 415, "UNSUPPORTED_BODY"),
        (PATH, &[LINES], format!("{event}{}", large(200_000)), 502, "REFUSED_BY_STREAM"),
    ] {
        let answer = description.post(address, path, headers, &body).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)));
    }
}

/// Sends so many bodies, but for their last bytes, that there is no room for a large one more.
async fn hold_all_the_room(description: &Description, address: SocketAddr) {
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        4 << 20
    );
    let mut holding = Vec::new();
    eventually("there is no more room", async || {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(head.as_bytes()).await.expect("a head is sent");
        // Who finds no room is answered and not read to the end.
        let _ = stream.write_all(&vec![b' '; (4 << 20) - 100]).await;
        holding.push(stream);
        let large = format!("{}{{\"eventType\":\"a\"}}", " ".repeat(3 << 20));
        let answer = description.post(address, PATH, &[LINES], &large).await;
        (answer.status == 503 && answer.json()["code"] == "LIMIT").then_some(())
    })
    .await;
    drop(holding);
    eventually("there is room again", async || {
        let answer = description.post(address, PATH, &[JSON], "{\"eventType\":\"a\"}").await;
        (answer.status == 201).then_some(())
    })
    .await;
}

async fn ask_with_tokens(description: &Description) {
    let deployment =
        Backend::start().await.deploy_configured_with(WITH_TOKENS, &["--publish"]).await;
    let address = deployment.gateway.address;
    let body = "{\"eventType\":\"progress\"}";
    assert_eq!(description.post(address, PATH, &[JSON], body).await.status, 401);
    for (token, status) in
        [(token(&["*/*"]), 403), (producer_token(&[]), 403), (producer_token(&["training/*"]), 201)]
    {
        let bearer = format!("Bearer {token}");
        let headers = [JSON, ("Authorization", &*bearer)];
        assert_eq!(description.post(address, PATH, &headers, body).await.status, status);
    }
    let deployment = Deployment::start().await;
    let answer = description.post(deployment.gateway.address, PATH, &[JSON], body).await;
    assert_eq!(answer.json()["code"], "PUBLISHING_OFF");
}
