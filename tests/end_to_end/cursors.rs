//! Cursors that point where history is gone, where it never was, or into another stream.

use std::time::{Duration, Instant};

use async_nats::jetstream::stream;
use serde_json::{Value, json};

use crate::harness::client::{Client, events_in, id_of, shortened, subscribe_request};
use crate::harness::deployment::{Backend, Deployment};
use crate::harness::publisher::{ids, job_stream};

/// How long the end of the stream must stay below a cursor before the cursor is refused.
const PROVEN_AFTER: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_cursor_before_what_the_stream_still_has_is_told_and_the_rest_follows() {
    let (deployment, kept) = deployment_that_kept_only_100_events().await;
    let mut client = deployment.client().await;

    client.subscribed("job", 50).await;
    let error = client.expect_error("HISTORY_TRUNCATED").await;
    assert_eq!(error["jobId"], "job");
    assert_eq!(error["requestedAfter"], 50);
    assert_eq!(error["firstAvailable"], kept[0]);
    assert_eq!(error["lastEventId"], *kept.last().unwrap());
    assert_eq!(next_events(&mut client, kept.len()).await, kept);
    client.expect_nothing_but_a_pong().await;
}

#[tokio::test]
async fn the_newest_cursor_that_misses_nothing_is_told_nothing() {
    let (deployment, kept) = deployment_that_kept_only_100_events().await;
    for cursor in [kept[0] - 1, kept[0], 0] {
        let mut client = deployment.client().await;
        client.subscribed("job", cursor).await;
        let expected: Vec<u64> = kept.iter().copied().filter(|id| *id > cursor).collect();
        assert_eq!(next_events(&mut client, expected.len()).await, expected, "after {cursor}");
        client.expect_nothing_but_a_pong().await;
    }
}

#[tokio::test]
async fn the_oldest_cursor_that_misses_something_is_told() {
    let (deployment, kept) = deployment_that_kept_only_100_events().await;
    let mut client = deployment.client().await;
    client.subscribed("job", kept[0] - 2).await;
    client.expect_error("HISTORY_TRUNCATED").await;
    assert_eq!(next_events(&mut client, kept.len()).await, kept);
}

#[tokio::test]
async fn who_wants_all_or_nothing_gets_the_error_instead_of_a_subscription() {
    let (deployment, kept) = deployment_that_kept_only_100_events().await;
    let mut client = deployment.client().await;
    let mut request = subscribe_request("job", Some(50));
    request["onTruncated"] = "fail".into();

    client.send(&request).await;
    client.expect_error("HISTORY_TRUNCATED").await;
    deployment.publisher.publish_numbered("job", 0..1).await;
    client.expect_nothing_but_a_pong().await;
    client.send(&json!({ "type": "replay", "jobId": "job" })).await;
    client.expect_error("NOT_SUBSCRIBED").await;

    request["afterEventId"] = kept[50].into();
    client.subscribed_with(&request).await;
}

#[tokio::test]
async fn history_that_goes_away_while_it_is_read_is_told() {
    let definition = stream::Config { max_bytes: 30 << 20, ..job_stream() };
    let backend = Backend::with_stream(definition).await;
    let history = ids(&backend.publisher.publish_padded("job", 0..1_000, 20_000).await);
    backend.publisher.publish_other_jobs(6 << 20).await;
    let deployment = backend.deploy(&["--window", "4MiB", "--page-cache", "1MiB"]).await;
    let mut client = Client::connect_with_a_small_buffer(deployment.gateway.address).await;
    client.subscribed("job", history[0]).await;
    let mut before = ids_in(&client.expect("replay").await);

    deployment.publisher.publish_other_jobs(40 << 20).await;
    let last = deployment.publisher.publish("job", "progress", &json!({})).await;
    let mut message = client.next_message().await;
    while message["type"] != "error" {
        before.extend(ids_in(&message));
        assert!(before.last() < Some(&last), "the loss was not told");
        message = client.next_message().await;
    }
    assert_eq!(message["code"], "HISTORY_TRUNCATED", "{message}");
    assert_eq!(before, history[1..=before.len()], "nothing was left out before it was told");

    let mut after = Vec::new();
    while after.last() != Some(&last) {
        after.extend(ids_in(&client.next_message().await));
    }
    assert!(after[0] > *before.last().unwrap() && after.is_sorted(), "{after:?}");
}

#[tokio::test]
async fn a_cursor_of_another_epoch_begins_again() {
    let deployment = Deployment::start().await;
    let events = deployment.publish_history("job", 0..50, 0).await;
    let mut client = deployment.client().await;
    let epoch = client.subscribed("job", None).await["epoch"].take();

    let mut request = subscribe_request("job", Some(events[40]));
    request["epoch"] = another_epoch(&epoch);
    client.send(&request).await;
    let (error, seen) = error_and_events(&mut client, events.len()).await;
    assert_eq!(error["code"], "CURSOR_INVALID");
    assert_eq!(error["jobId"], "job");
    assert_eq!(seen, events);
}

#[tokio::test]
async fn a_cursor_of_this_epoch_goes_on() {
    let deployment = Deployment::start().await;
    let events = deployment.publish_history("job", 0..50, 0).await;
    let mut client = deployment.client().await;
    let epoch = client.subscribed("job", None).await["epoch"].take();

    let mut request = subscribe_request("job", Some(events[40]));
    request["epoch"] = epoch;
    client.subscribed_with(&request).await;
    assert_eq!(next_events(&mut client, 9).await, &events[41..]);
}

#[tokio::test]
async fn a_cursor_beyond_the_end_is_refused_only_after_ten_seconds() {
    let deployment = Deployment::start().await;
    let events = deployment.publish_history("job", 0..50, 0).await;
    let mut client = deployment.client().await;
    let started = Instant::now();
    client.subscribe("job", 100_000).await;

    let (error, seen) = error_and_events(&mut client, events.len()).await;
    assert_eq!(error["code"], "CURSOR_INVALID");
    assert!(started.elapsed() >= PROVEN_AFTER, "already after {:?}", started.elapsed());
    assert_eq!(seen, events, "everything from the beginning");

    let next = deployment.publisher.publish("job", "progress", &json!({})).await;
    assert_eq!(id_of(&client.expect("event").await["event"]), next);
}

#[tokio::test]
async fn a_cursor_that_the_stream_grows_past_is_simply_served() {
    let deployment = Deployment::start().await;
    let last = *ids(&deployment.publisher.publish_numbered("job", 0..10).await).last().unwrap();
    let mut client = deployment.client().await;
    client.subscribe("job", last + 5).await;
    client.send(&json!({ "type": "ping" })).await;
    client.skip_to("pong").await;

    let later = ids(&deployment.publisher.publish_numbered("job", 10..20).await);
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let message = client.next_message().await;
        assert_ne!(message["type"], "error", "{message}");
        seen.extend(ids_in(&message));
    }
    assert_eq!(seen, &later[5..]);
}

/// A stream that dropped 200 of 300 events before the gateway came, and the ids it has.
async fn deployment_that_kept_only_100_events() -> (Deployment, Vec<u64>) {
    let definition = stream::Config { max_messages: 100, ..job_stream() };
    let backend = Backend::with_stream(definition).await;
    let published = ids(&backend.publisher.publish_numbered("job", 0..300).await);
    let kept = published[200..].to_vec();
    assert_eq!(backend.publisher.stream_state().await.first_sequence, kept[0]);
    (backend.deploy(&[]).await, kept)
}

/// Reads so many events, in history or live, with nothing in between.
async fn next_events(client: &mut Client, count: usize) -> Vec<u64> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let message = client.next_message().await;
        let events = events_in(&message);
        assert!(!events.is_empty(), "instead of events: {message}");
        seen.extend(events.iter().map(id_of));
    }
    seen
}

/// Reads one error and then so many events; `subscribed` may come before either.
async fn error_and_events(client: &mut Client, count: usize) -> (Value, Vec<u64>) {
    let mut error = Value::Null;
    let mut seen = Vec::new();
    while seen.len() < count {
        let message = client.next_message().await;
        let events = events_in(&message);
        if message["type"] == "error" {
            assert!(error.is_null() && seen.is_empty(), "{message}");
            error = message;
        } else if message["type"] != "subscribed" {
            assert!(!error.is_null() && !events.is_empty(), "{}", shortened(&message));
        }
        seen.extend(events.iter().map(id_of));
    }
    (error, seen)
}

fn ids_in(message: &Value) -> Vec<u64> {
    events_in(message).iter().map(id_of).collect()
}

/// An epoch of the same form that is not this one.
fn another_epoch(epoch: &Value) -> Value {
    match epoch {
        Value::Number(number) => (number.as_u64().expect("a whole number") + 1).into(),
        Value::String(text) => {
            let last = if text.ends_with('0') { "1" } else { "0" };
            format!("{}{last}", &text[..text.len() - 1]).into()
        }
        other => panic!("an epoch is a number or a string: {other}"),
    }
}
