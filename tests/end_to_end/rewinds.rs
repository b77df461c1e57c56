//! A stream that was set back to an older copy, and gives out the same ids again.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::client::{Client, events_in, id_of, shortened};
use crate::harness::deployment::{Backend, Deployment};
use crate::harness::publisher::{Published, Publisher, ids};
use crate::harness::within_time;

/// How long it may take until a watcher is told.
const TOLD_WITHIN: Duration = Duration::from_secs(40);

/// Events of the job that is older than the window, and of the job that is in it.
const OLD: u64 = 100;
const RECENT: u64 = 10;

#[tokio::test]
async fn ids_that_a_restored_stream_gives_out_again_bring_its_own_events() {
    let (mut deployment, copy) = deployment_with_a_copy_of_its_stream().await;
    let before = publish_jobs(&deployment.publisher, 1_000).await;
    let [mut old, mut recent] = watchers_of(&deployment, &before).await;

    let publisher = restore(&mut deployment, &copy).await;
    let after = publish_jobs(&publisher, 2_000).await;
    assert_eq!(after.each_ref().map(|job| ids(job)), before.each_ref().map(|job| ids(job)));

    assert_told_and_begun_again(&mut old, "old", &after[0]).await;
    assert_told_and_begun_again(&mut recent, "recent", &after[1]).await;
    for (job, events) in [("old", &after[0]), ("recent", &after[1])] {
        assert_eq!(history_of(&deployment, job, events.last().unwrap().id).await, *events);
    }
}

#[tokio::test]
async fn a_restored_stream_that_stays_behind_what_was_served_brings_its_own_events() {
    let (mut deployment, copy) = deployment_with_a_copy_of_its_stream().await;
    let before = publish_jobs(&deployment.publisher, 1_000).await;
    let [mut old, mut recent] = watchers_of(&deployment, &before).await;

    let publisher = restore(&mut deployment, &copy).await;
    let again = publisher.publish_padded("old", 2_000..2_000 + OLD, 5_000).await;
    let anew = publisher.publish_numbered("recent", 2_000..2_000 + RECENT).await;
    assert_eq!(ids(&again), ids(&before[0]));
    assert!(anew.last().unwrap().id < before[1][0].id);

    assert_told_and_begun_again(&mut old, "old", &again).await;
    assert_told_and_begun_again(&mut recent, "recent", &anew).await;
    for (job, events) in [("old", again), ("recent", anew)] {
        assert_eq!(history_of(&deployment, job, events.last().unwrap().id).await, events);
    }
}

/// A gateway with a small window, and what its stream had stored when it began.
async fn deployment_with_a_copy_of_its_stream() -> (Deployment, TempDir) {
    let mut backend = Backend::start().await;
    backend.publisher.publish_numbered("first", 0..5).await;
    backend.nats.stop();
    let copy = backend.nats.copy_of_storage();
    backend.nats.restart().await;
    backend.publisher = Publisher::connect(&backend.nats).await;
    (backend.deploy(&["--window", "4MiB"]).await, copy)
}

/// Sets the stream back while its gateway is at work, and tells a publisher to what is there now.
async fn restore(deployment: &mut Deployment, copy: &TempDir) -> Publisher {
    deployment.nats.stop();
    deployment.nats.restore_storage(copy);
    deployment.nats.restart().await;
    Publisher::connect(&deployment.nats).await
}

/// Publishes a job, so much of others that it is older than the window, and another job.
async fn publish_jobs(publisher: &Publisher, first: u64) -> [Vec<Published>; 2] {
    let old = publisher.publish_padded("old", first..first + OLD, 5_000).await;
    publisher.publish_other_jobs(8 << 20).await;
    let recent = publisher.publish_numbered("recent", first..first + RECENT).await;
    [old, recent]
}

/// Watchers that have read each job to its end, the old one twice.
async fn watchers_of(deployment: &Deployment, jobs: &[Vec<Published>; 2]) -> [Client; 2] {
    let [old, recent] = jobs;
    let end = recent.last().unwrap().id;
    deployment.knows("recent", end).await;
    assert_eq!(history_of(deployment, "old", old.last().unwrap().id).await, *old);
    let (mut first, mut second) = (deployment.client().await, deployment.client().await);
    first.collect_until("old", 0, old.last().unwrap().id).await;
    second.collect_until("recent", 0, end).await;
    [first, second]
}

/// Reads until the watcher is told that its position means nothing, and then everything anew.
async fn assert_told_and_begun_again(client: &mut Client, job: &str, events: &[Published]) {
    let told = within_time(TOLD_WITHIN, "the watcher is told", client.read()).await;
    let told = told.expect("an open connection");
    assert_eq!(
        (told["code"].as_str(), told["jobId"].as_str()),
        (Some("CURSOR_INVALID"), Some(job))
    );
    let mut seen = Vec::new();
    while seen.len() < events.len() {
        let message = client.next_message().await;
        assert!(!events_in(&message).is_empty(), "{}", shortened(&message));
        seen.extend(events_in(&message).iter().map(numbered));
    }
    assert_eq!(seen, events, "{job}");
}

/// A job's events up to this one, as somebody gets them who comes now.
async fn history_of(deployment: &Deployment, job: &str, last: u64) -> Vec<Published> {
    let transcript = deployment.client().await.collect_until(job, 0, last).await;
    transcript.events.iter().map(numbered).collect()
}

fn numbered(event: &Value) -> Published {
    Published { id: id_of(event), number: event["data"]["number"].as_u64().expect("a number") }
}
