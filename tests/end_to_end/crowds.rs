//! Many watchers: what they cost NATS, and that the slow ones do not hold up the quick ones.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::harness::client::{Client, id_of};
use crate::harness::deployment::Deployment;
use crate::harness::publisher::{Publisher, ids};
use crate::harness::{eventually, within};

/// Watchers of one job.
const WATCHERS: usize = 2_000;

/// Consumers that the live events of a gateway may cost the stream, whoever watches.
const CONSUMERS: usize = 2;

/// Watchers that do not read.
const IDLERS: usize = 200;

/// How long a quick watcher may take for a thousand events among idle ones.
const QUICK: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_watchers_of_one_job_share_one_consumer() {
    let deployment = Deployment::start().await;
    let publisher = &deployment.publisher;
    deployment.publish_history("job", 0..1, 0).await;
    let (subscribed, mut count) = watch::channel(0);
    let mut watchers = JoinSet::new();
    for _ in 0..WATCHERS {
        let client = deployment.client().await;
        watchers.spawn(watch_50_events(client, subscribed.clone()));
    }
    let all = count.wait_for(|count| *count == WATCHERS);
    within("every watcher is subscribed", all).await.expect("watchers at work");

    let first = ids(&publisher.publish_numbered("job", 1..26).await);
    assert_few_consumers(publisher).await;
    let second = ids(&publisher.publish_numbered("job", 26..51).await);
    let expected = [first, second].concat();
    let seen = within("every watcher has seen every event", watchers.join_all()).await;
    assert!(seen.iter().all(|seen| *seen == expected), "somebody saw something else");
    assert_few_consumers(publisher).await;
}

#[tokio::test]
async fn watchers_who_do_not_read_do_not_delay_one_who_does() {
    let deployment = Deployment::with_arguments(&["--window", "4MiB"]).await;
    let publisher = &deployment.publisher;
    let quick = ids(&publisher.publish_numbered("quick", 0..1_000).await);
    let jobs: Vec<String> = (0..IDLERS).map(|number| format!("idle-{number}")).collect();
    let events = (0..3 * IDLERS as u64).map(|at| (jobs[at as usize % IDLERS].clone(), at));
    publisher.publish_all(events.collect(), &"x".repeat(200 << 10)).await;
    deployment.publish_other_jobs(0).await;

    let mut idle = Vec::new();
    for job in &jobs {
        let mut client = Client::connect_with_a_small_buffer(deployment.gateway.address).await;
        client.subscribed(job, 0).await;
        idle.push(client);
    }
    let mut client = deployment.client().await;
    let started = Instant::now();
    let transcript = client.collect_until("quick", 0, *quick.last().unwrap()).await;
    let taken = started.elapsed();
    assert_eq!(transcript.ids(), quick);
    assert!(taken < QUICK, "a thousand events took {taken:?}");

    for mut client in idle {
        client.skip_to("replay").await;
    }
}

#[tokio::test]
async fn many_watchers_of_one_old_job_get_its_history_and_leave_no_consumers() {
    let deployment = Deployment::with_arguments(&["--window", "4MiB"]).await;
    let publisher = &deployment.publisher;
    let history = ids(&publisher.publish_padded("job", 0..200, 5_000).await);
    deployment.publish_other_jobs(8 << 20).await;
    let last = *history.last().unwrap();

    let mut watchers = JoinSet::new();
    for _ in 0..100 {
        let mut client = deployment.client().await;
        watchers.spawn(async move { client.collect_until("job", 0, last).await.ids() });
    }
    let seen = within("every watcher has the history", watchers.join_all()).await;
    assert!(seen.iter().all(|seen| *seen == history), "somebody saw something else");
    let gone = async || (publisher.stream_state().await.consumer_count <= CONSUMERS).then_some(());
    eventually("consumers of finished reads are gone", gone).await;
}

async fn watch_50_events(mut client: Client, subscribed: watch::Sender<usize>) -> Vec<u64> {
    client.send(&json!({ "type": "subscribe", "jobId": "job" })).await;
    client.expect("subscribed").await;
    subscribed.send_modify(|count| *count += 1);
    let mut seen = Vec::new();
    while seen.len() < 50 {
        seen.push(id_of(&client.expect("event").await["event"]));
    }
    seen
}

async fn assert_few_consumers(publisher: &Publisher) {
    let consumers = publisher.stream_state().await.consumer_count;
    assert!(consumers <= CONSUMERS, "{consumers} consumers for {WATCHERS} watchers");
}
