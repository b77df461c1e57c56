//! What is refused, how it is told, and that everything else lives on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::harness::client::{Client, events_in, id_of, subscribe_request};
use crate::harness::deployment::Deployment;
use crate::harness::publisher::{Publisher, subject};
use crate::harness::transcript::Transcript;

/// Largest message a client may send.
const LARGEST_REQUEST: usize = 64 << 10;

#[tokio::test]
async fn a_job_id_that_is_not_one_plain_token_is_refused() {
    let deployment = Deployment::start().await;
    let mut client = client_with_a_subscription(&deployment).await;
    for job in unusable_job_ids() {
        for request in ["subscribe", "unsubscribe", "replay"] {
            client.send(&json!({ "type": request, "jobId": job, "afterEventId": 0 })).await;
            client.expect_error("INVALID_JOB_ID").await;
        }
    }
    client.send(&json!({ "type": "subscribe" })).await;
    client.expect_error("INVALID_JOB_ID").await;
    assert_subscription_lives_on(&deployment.publisher, &mut client).await;
}

#[tokio::test]
async fn a_job_id_of_128_characters_is_accepted() {
    let deployment = Deployment::start().await;
    let job = format!("A-z_0{}", "9".repeat(123));
    let id = deployment.publisher.publish(&job, "progress", &json!({})).await;
    assert_eq!(deployment.client().await.collect_until(&job, 0, id).await.ids(), [id]);
}

#[tokio::test]
async fn a_message_that_is_no_request_is_refused() {
    let deployment = Deployment::start().await;
    let mut client = client_with_a_subscription(&deployment).await;
    let bodies =
        ["", " ", "{", "hello", "42", "null", "[]", r#""ping""#, r#"[{"type":"ping"}]"#, "{}"];
    let types = [r#"{"type":"shout"}"#, r#"{"type":null}"#, r#"{"type":7}"#, r#"{"type":""}"#];
    for body in bodies.into_iter().chain(types) {
        client.send_text(body).await;
        client.expect_error("INVALID_MESSAGE").await;
    }
    client.send_text("[".repeat(60_000)).await;
    client.expect_error("INVALID_MESSAGE").await;
    assert_subscription_lives_on(&deployment.publisher, &mut client).await;
}

#[tokio::test]
async fn a_cursor_that_is_no_event_id_is_refused() {
    let deployment = Deployment::start().await;
    let mut client = client_with_a_subscription(&deployment).await;
    for cursor in [json!(-1), json!(1.5), json!("x"), json!([]), json!({}), json!(true)] {
        client.send(&json!({ "type": "subscribe", "jobId": "job", "afterEventId": cursor })).await;
        client.expect_error("INVALID_MESSAGE").await;
    }
    assert_subscription_lives_on(&deployment.publisher, &mut client).await;
}

#[tokio::test]
async fn a_request_may_have_fields_that_nobody_knows() {
    let deployment = Deployment::start().await;
    let mut client = client_with_a_subscription(&deployment).await;
    client.send(&json!({ "type": "ping", "sentAt": 7, "nested": { "type": "shout" } })).await;
    client.expect("pong").await;
}

#[tokio::test]
async fn a_message_of_63_kib_is_read() {
    let deployment = Deployment::start().await;
    let mut client = client_with_a_subscription(&deployment).await;
    let padding = "x".repeat(LARGEST_REQUEST - 1_024);
    client.send(&json!({ "type": "ping", "padding": padding })).await;
    client.expect("pong").await;
    client.send_text(padding).await;
    client.expect_error("INVALID_MESSAGE").await;
    assert_subscription_lives_on(&deployment.publisher, &mut client).await;
}

#[tokio::test]
async fn a_message_over_64_kib_ends_the_connection_with_1009() {
    let deployment = Deployment::start().await;
    for size in [LARGEST_REQUEST + 1_024, 1 << 20] {
        let mut client = client_with_a_subscription(&deployment).await;
        client.send_unwelcome(Message::text("x".repeat(size))).await;
        assert_eq!(client.closed().await.0, 1009, "{size} bytes");
    }
    assert_eq!(deployment.gateway.admin_get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_message_over_64_kib_in_small_fragments_ends_the_connection_with_1009() {
    let deployment = Deployment::start().await;
    let mut client = client_with_a_subscription(&deployment).await;
    for part in 0..5 {
        let code = OpCode::Data(if part == 0 { Data::Text } else { Data::Continue });
        let frame = Frame::message("x".repeat(20 << 10), code, false);
        client.send_unwelcome(Message::Frame(frame)).await;
    }
    assert_eq!(client.closed().await.0, 1009);
}

#[tokio::test]
async fn a_binary_message_ends_the_connection_with_1003() {
    let deployment = Deployment::start().await;
    let mut client = client_with_a_subscription(&deployment).await;
    client.send_unwelcome(Message::binary(r#"{"type":"ping"}"#)).await;
    assert_eq!(client.closed().await.0, 1003);
}

#[tokio::test]
async fn text_that_is_not_utf_8_ends_the_connection_with_1007() {
    let deployment = Deployment::start().await;
    let mut client = client_with_a_subscription(&deployment).await;
    let frame = Frame::message(vec![b'"', 0xff, b'"'], OpCode::Data(Data::Text), true);
    client.send_unwelcome(Message::Frame(frame)).await;
    assert_eq!(client.closed().await.0, 1007);
}

#[tokio::test]
async fn an_unknown_job_is_told_in_the_words_that_clients_look_for() {
    let deployment = Deployment::start().await;
    let mut client = client_with_a_subscription(&deployment).await;
    for after in [Some(0), None] {
        let started = Instant::now();
        client.subscribe("no-such-job", after).await;
        let error = client.expect_error("JOB_NOT_FOUND").await;
        assert_eq!(
            (&error["error"], &error["jobId"]),
            (&json!("Job not found"), &json!("no-such-job"))
        );
        let grace = started.elapsed();
        assert!(grace >= Duration::from_millis(1_900), "told already after {grace:?}");
        assert!(grace < Duration::from_secs(5), "told only after {grace:?}");
    }
    assert_subscription_lives_on(&deployment.publisher, &mut client).await;
}

#[tokio::test]
async fn the_grace_for_an_unknown_job_can_be_configured() {
    let deployment = Deployment::with_arguments(&["--job-grace", "100ms"]).await;
    let mut client = client_with_a_subscription(&deployment).await;
    let started = Instant::now();
    client.subscribe("no-such-job", 0).await;
    client.expect_error("JOB_NOT_FOUND").await;
    assert!(started.elapsed() < Duration::from_millis(1_500), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_job_that_appears_within_the_grace_is_subscribed() {
    let deployment = Deployment::with_arguments(&["--job-grace", "8s"]).await;
    let mut client = deployment.client().await;
    client.subscribe("late", 0).await;
    client.expect_nothing_but_a_pong().await;

    let id = deployment.publisher.publish("late", "job_created", &json!({})).await;
    let subscribed = client.expect("subscribed").await;
    let mut transcript = Transcript::open("late", 0, &subscribed);
    client.follow(&mut transcript, |transcript| transcript.position() >= id).await;
    assert_eq!(transcript.ids(), [id]);
}

#[tokio::test]
async fn malformed_stored_events_are_told_with_their_ids_and_skipped() {
    let deployment = Deployment::start().await;
    let publisher = &deployment.publisher;
    let in_history = publish_malformed(publisher).await;
    let mut client = deployment.client().await;

    client.subscribed("job", 0).await;
    assert_eq!(told(&mut client, in_history.len()).await, in_history);
    let live = publish_malformed(publisher).await;
    assert_eq!(told(&mut client, live.len()).await, live);
}

#[tokio::test]
async fn a_subscribe_whose_fields_have_wrong_types_is_refused() {
    let deployment = Deployment::start().await;
    let mut client = client_with_a_subscription(&deployment).await;
    for (field, value) in [
        ("eventTypes", json!("score")),
        ("eventTypes", json!([1])),
        ("onTruncated", json!("shrug")),
        ("position", json!("yes")),
    ] {
        let mut request = subscribe_request("steady", Some(0));
        request[field] = value;
        client.send(&request).await;
        client.expect_error("INVALID_MESSAGE").await;
    }
    assert_subscription_lives_on(&deployment.publisher, &mut client).await;
}

#[tokio::test]
async fn more_subscriptions_than_a_connection_may_have_are_refused() {
    let deployment = Deployment::with_arguments(&["--max-subscriptions", "3"]).await;
    let mut client = client_with_a_subscription(&deployment).await;
    for job in ["a", "b", "c"] {
        deployment.publish_history(job, 0..1, 0).await;
    }
    client.subscribed("a", None).await;
    client.subscribed("b", None).await;
    client.subscribe("c", None).await;
    let error = client.expect_error("LIMIT").await;
    assert_eq!(error["jobId"], "c");

    client.send(&json!({ "type": "unsubscribe", "jobId": "a" })).await;
    client.expect("unsubscribed").await;
    client.subscribed("c", None).await;
    assert_subscription_lives_on(&deployment.publisher, &mut client).await;
}

/// A connection that is subscribed to a job that exists.
async fn client_with_a_subscription(deployment: &Deployment) -> Client {
    deployment.publish_history("steady", 0..1, 0).await;
    let mut client = deployment.client().await;
    client.subscribed("steady", None).await;
    client
}

async fn assert_subscription_lives_on(publisher: &Publisher, client: &mut Client) {
    let id = publisher.publish("steady", "progress", &json!({})).await;
    let event = client.expect("event").await;
    assert_eq!((&event["jobId"], id_of(&event["event"])), (&json!("steady"), id));
}

fn unusable_job_ids() -> Vec<Value> {
    let texts = ["a.b", "*", ">", "a b", "", "a\n", "a\u{0}", "ä", "a/b"];
    let mut unusable: Vec<Value> = texts.into_iter().map(Value::from).collect();
    unusable.extend([json!(42), json!("x".repeat(200)), json!("x".repeat(129))]);
    unusable.extend([json!(null), json!(true), json!(["job"]), json!({ "id": "job" })]);
    unusable
}

/// Publishes events in turn with payloads that are none; tells the ids and which are events.
async fn publish_malformed(publisher: &Publisher) -> Vec<(u64, bool)> {
    let payloads = ["", "not json", "[]", "7", r#"{"data":[]}"#, r#"{"iteration":"x"}"#, "\u{0}"];
    let mut published = Vec::new();
    for payload in payloads {
        let id = publisher.publish_bytes(&subject("job", "progress"), payload).await;
        published.push((id, false));
        published.push((publisher.publish("job", "progress", &json!({})).await, true));
    }
    published
}

/// Reads so many ids, and tells of each whether it came with an event or with an error.
///
/// A batch may come before or after the errors of its time, so ids are put in order.
async fn told(client: &mut Client, count: usize) -> Vec<(u64, bool)> {
    let mut told = Vec::new();
    while told.len() < count {
        let message = client.next_message().await;
        if message["type"] == "error" {
            assert_eq!(message["code"], "EVENT_MALFORMED", "{message}");
            assert_eq!(message["jobId"], "job", "{message}");
            told.push((message["id"].as_u64().expect("the id of the event"), false));
        }
        told.extend(events_in(&message).iter().map(|event| (id_of(event), true)));
    }
    told.sort_unstable();
    told
}
