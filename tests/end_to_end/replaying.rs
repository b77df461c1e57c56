//! History: complete from every cursor, in batches, and again when asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::client::{Client, events_in, id_of};
use crate::harness::deployment::Deployment;
use crate::harness::publisher::{Published, SteadyPublisher, ids};
use crate::harness::transcript::Transcript;

/// A window that is smaller than what the tests publish.
const SMALL_WINDOW: [&str; 2] = ["--window", "4MiB"];

/// Connections on which the cursors of a job are tried.
const CONNECTIONS: usize = 16;

/// What may still come of a history before something else is answered.
const ON_ITS_WAY: usize = 4 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cursor_of_a_job_in_memory_brings_exactly_what_follows_it() {
    let deployment = Deployment::start().await;
    let history = deployment.publisher.publish_numbered("job", 0..1_000).await;
    every_cursor_brings_exactly_what_follows_it(&deployment, history).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cursor_of_a_job_older_than_the_window_brings_exactly_what_follows_it() {
    let deployment = Deployment::with_arguments(&SMALL_WINDOW).await;
    let history = deployment.publisher.publish_numbered("job", 0..1_000).await;
    deployment.publish_other_jobs(22 << 20).await;
    every_cursor_brings_exactly_what_follows_it(&deployment, history).await;
}

#[tokio::test]
async fn a_history_of_many_pages_is_complete_when_it_is_older_than_the_window() {
    let deployment = Deployment::with_arguments(&SMALL_WINDOW).await;
    let publisher = &deployment.publisher;
    let mut published = Vec::new();
    for first in (0..2_000).step_by(100) {
        published.extend(publisher.publish_padded("job", first..first + 100, 3_000).await);
        publisher.publish_other_jobs(1 << 20).await;
    }
    deployment.publish_other_jobs(8 << 20).await;

    let mut client = deployment.client().await;
    let last = published.last().unwrap().id;
    let transcript = client.collect_until("job", 0, last).await;
    assert_eq!(transcript.ids(), ids(&published));
    assert!(transcript.batches > 6_000_000 / (256 << 10), "{} batches", transcript.batches);
}

#[tokio::test]
async fn events_larger_than_a_page_are_read_in_the_middle_of_a_long_history() {
    let deployment = Deployment::with_arguments(&SMALL_WINDOW).await;
    let publisher = &deployment.publisher;
    let mut published = Vec::new();
    for first in (0..1_200).step_by(400) {
        published.extend(publisher.publish_padded("job", first..first + 397, 3_000).await);
        published.extend(publisher.publish_padded("job", first + 397..first + 400, 400_000).await);
    }
    deployment.publish_other_jobs(22 << 20).await;

    let mut client = deployment.client().await;
    let started = Instant::now();
    let transcript = client.collect_until("job", 0, published.last().unwrap().id).await;
    assert_eq!(transcript.ids(), ids(&published));
    // A pull that nobody answers would be waited for so long.
    assert!(started.elapsed() < Duration::from_millis(2_500), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_slow_reader_of_a_long_history_in_memory_is_answered_in_between() {
    a_slow_reader_of_a_long_history_is_answered_in_between(&[]).await;
}

#[tokio::test]
async fn a_slow_reader_of_a_long_history_from_the_stream_is_answered_in_between() {
    a_slow_reader_of_a_long_history_is_answered_in_between(&SMALL_WINDOW).await;
}

#[tokio::test]
async fn a_long_history_does_not_hold_up_live_events_of_the_same_connection() {
    let deployment = Deployment::with_arguments(&SMALL_WINDOW).await;
    deployment.publisher.publish_padded("long", 0..2_000, 20_000).await;
    deployment.publish_history("live", 0..1, 0).await;
    let mut client = Client::connect_with_a_small_buffer(deployment.gateway.address).await;
    client.subscribed("live", None).await;
    client.subscribe("long", 0).await;
    client.skip_to("replay").await;

    let id = deployment.publisher.publish("live", "progress", &json!({})).await;
    let before = client.received_bytes;
    let event = client.skip_to("event").await;
    assert_eq!((&event["jobId"], id_of(&event["event"])), (&json!("live"), id));
    let between = client.received_bytes - before;
    assert!(between < ON_ITS_WAY, "{between} bytes of history came before the live event");
}

#[tokio::test]
async fn a_replay_request_brings_history_again_before_the_next_event() {
    let deployment = Deployment::start().await;
    let history = deployment.publish_history("job", 0..200, 5_000).await;
    let last = *history.last().unwrap();
    let mut client = deployment.client().await;
    client.subscribed("job", None).await;

    for after in [None, Some(0), Some(history[99])] {
        client.send(&replay_request("job", after)).await;
        let replayed = replayed_until(&mut client, last).await;
        let skipped = after.map_or(0, |after| history.iter().filter(|id| **id <= after).count());
        assert_eq!(replayed, history[skipped..], "after {after:?}");
    }
    client.expect_nothing_but_a_pong().await;

    let next = deployment.publisher.publish("job", "progress", &json!({})).await;
    assert_eq!(id_of(&client.expect("event").await["event"]), next);
}

#[tokio::test]
async fn a_replay_request_with_nothing_to_bring_is_answered_by_an_empty_batch() {
    let deployment = Deployment::start().await;
    let last = *deployment.publish_history("job", 0..20, 0).await.last().unwrap();
    let mut client = deployment.client().await;
    client.subscribed("job", None).await;

    client.send(&replay_request("job", Some(last))).await;
    let batch = client.expect("replay").await;
    assert_eq!((&batch["jobId"], &batch["data"]), (&json!("job"), &json!([])));
    client.expect_nothing_but_a_pong().await;
}

#[tokio::test]
async fn replay_requests_among_live_events_neither_lose_nor_repeat_any() {
    let deployment = Deployment::start().await;
    let first = deployment.publish_history("job", 0..500, 0).await;
    let mut client = deployment.client().await;
    let subscribed = client.subscribed("job", None).await;
    let steady = SteadyPublisher::start(&deployment.publisher, "job", 500, 200);

    let mut live = LiveAndReplayed::open(&subscribed);
    for round in 0..20 {
        live.read_live(&mut client, 10).await;
        client.send(&replay_request("job", Some(first[round * 20]))).await;
        live.read_replay(&mut client, first[round * 20]).await;
    }
    live.read_live(&mut client, 10).await;
    let mut published = first;
    published.extend(ids(&steady.finish().await));
    live.assert_complete(&published);
}

#[tokio::test]
async fn a_replay_request_for_a_job_that_is_not_watched_is_refused() {
    let deployment = Deployment::start().await;
    deployment.publisher.publish_numbered("job", 0..5).await;
    deployment.publish_history("other", 0..5, 0).await;
    let mut client = deployment.client().await;
    client.subscribed("other", None).await;

    client.send(&replay_request("job", Some(0))).await;
    let error = client.expect_error("NOT_SUBSCRIBED").await;
    assert_eq!(error["error"], "Not subscribed to job");
    assert_eq!(error["jobId"], "job");

    client.send(&json!({ "type": "unsubscribe", "jobId": "other" })).await;
    client.expect("unsubscribed").await;
    client.send(&replay_request("other", Some(0))).await;
    client.expect_error("NOT_SUBSCRIBED").await;
}

/// Subscribes once from every event's id and from 0, while events keep coming.
async fn every_cursor_brings_exactly_what_follows_it(
    deployment: &Deployment,
    history: Vec<Published>,
) {
    let steady = SteadyPublisher::start(&deployment.publisher, "job", 1_000, 60);
    let cursors: Arc<[u64]> = [0].into_iter().chain(ids(&history)).collect();
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let client = deployment.client().await;
        connections.spawn(try_cursors(client, cursors.clone(), next.clone()));
    }
    let tried = connections.join_all().await;

    let mut published = ids(&history);
    published.extend(ids(&steady.finish().await));
    let mut count = 0;
    for (cursor, seen) in tried.into_iter().flatten() {
        count += 1;
        let last = *seen.last().expect("at least one live event");
        let expected: Vec<u64> =
            published.iter().copied().filter(|id| (cursor + 1..=last).contains(id)).collect();
        assert_eq!(seen, expected, "after {cursor}");
    }
    assert_eq!(count, cursors.len(), "every cursor was tried");
}

/// Takes cursors until none is left, and tells what each brought up to the first live event.
async fn try_cursors(
    mut client: Client,
    cursors: Arc<[u64]>,
    next: Arc<AtomicUsize>,
) -> Vec<(u64, Vec<u64>)> {
    let mut tried = Vec::new();
    while let Some(cursor) = cursors.get(next.fetch_add(1, Ordering::Relaxed)) {
        client.subscribe("job", *cursor).await;
        let subscribed = client.skip_to("subscribed").await;
        let mut transcript = Transcript::open("job", *cursor, &subscribed);
        client.follow(&mut transcript, |transcript| transcript.live > 0).await;
        tried.push((*cursor, transcript.ids()));
    }
    tried
}

async fn a_slow_reader_of_a_long_history_is_answered_in_between(arguments: &[&str]) {
    let deployment =
        Deployment::with_arguments(&[arguments, &["--stuck-timeout", "2s"]].concat()).await;
    deployment.publish_history("job", 0..3_000, 20_000).await;
    let mut client = Client::connect_with_a_small_buffer(deployment.gateway.address).await;
    client.subscribed("job", 0).await;
    for _ in 0..60 {
        read_slowly(&mut client).await;
    }

    client.send(&json!({ "type": "ping" })).await;
    history_before(&mut client, "pong").await;
    client.send(&json!({ "type": "unsubscribe", "jobId": "job" })).await;
    history_before(&mut client, "unsubscribed").await;
    client.expect_nothing_but_a_pong().await;
    assert!(client.received_bytes < 40_000_000, "the history was still under way");
}

/// Reads slowly until an answer comes, which must not wait for the whole history.
async fn history_before(client: &mut Client, answer: &str) {
    let before = client.received_bytes;
    while read_slowly(client).await["type"] != answer {
        let between = client.received_bytes - before;
        assert!(between < ON_ITS_WAY, "{between} bytes of history before {answer}");
    }
}

/// Reads one message and then takes a rest: being slow is what this reader is for.
async fn read_slowly(client: &mut Client) -> Value {
    let message = client.next_message().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    message
}

fn replay_request(job: &str, after: Option<u64>) -> Value {
    let mut request = json!({ "type": "replay", "jobId": job });
    if let Some(after) = after {
        request["afterEventId"] = after.into();
    }
    request
}

/// Reads batches, and nothing else, until one ends with the event `last`.
async fn replayed_until(client: &mut Client, last: u64) -> Vec<u64> {
    let mut replayed = Vec::new();
    while replayed.last() != Some(&last) {
        let batch = client.expect("replay").await;
        replayed.extend(events_in(&batch).iter().map(id_of));
    }
    replayed
}

/// A live subscription with replays in between: each step goes on where the last one ended.
struct LiveAndReplayed {
    opened_at: u64,
    position: u64,
    seen: Vec<u64>,
    replayed: Vec<(u64, Vec<u64>)>,
}

impl LiveAndReplayed {
    fn open(subscribed: &Value) -> Self {
        let opened_at = subscribed["lastEventId"].as_u64().expect("lastEventId");
        Self { opened_at, position: opened_at, seen: Vec::new(), replayed: Vec::new() }
    }

    async fn read_live(&mut self, client: &mut Client, count: usize) {
        for _ in 0..count {
            let event = client.expect("event").await;
            self.take_live(&event);
        }
    }

    /// Reads the batches that answer a request: they end where the live events are.
    async fn read_replay(&mut self, client: &mut Client, after: u64) {
        let mut replayed: Vec<u64> = Vec::new();
        loop {
            let message = client.next_message().await;
            if message["type"] == "event" {
                assert!(replayed.is_empty(), "a live event before its replay was complete");
                self.take_live(&message);
                continue;
            }
            assert_eq!(message["type"], "replay", "{message}");
            replayed.extend(events_in(&message).iter().map(id_of));
            if replayed.last().is_some_and(|last| *last >= self.position) {
                break;
            }
        }
        self.take_replayed(after, replayed);
    }

    fn take_live(&mut self, message: &Value) {
        let id = id_of(&message["event"]);
        assert!(id > self.position, "{id} came after {}", self.position);
        self.position = id;
        self.seen.push(id);
    }

    /// A replay may bring the position forward: what it shows beyond it counts as seen.
    fn take_replayed(&mut self, after: u64, replayed: Vec<u64>) {
        self.seen.extend(replayed.iter().filter(|id| **id > self.position));
        self.position = self.position.max(*replayed.last().expect("an event"));
        self.replayed.push((after, replayed));
    }

    fn assert_complete(&self, published: &[u64]) {
        let between = |after: u64, last: u64| -> Vec<u64> {
            published.iter().copied().filter(|id| (after + 1..=last).contains(id)).collect()
        };
        assert_eq!(self.seen, between(self.opened_at, self.position), "live");
        for (after, replayed) in &self.replayed {
            let last = *replayed.last().expect("an event");
            assert_eq!(*replayed, between(*after, last), "replayed after {after}");
        }
    }
}
