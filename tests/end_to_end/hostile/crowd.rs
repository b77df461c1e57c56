//! A crowd that never reads, beside a crowd that does, in a gateway with little memory.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::harness::client::{Client, events_in, id_of};
use crate::harness::deployment::Deployment;
use crate::harness::memory_limit::MemoryLimit;
use crate::harness::publisher::{Publisher, ids};
use crate::harness::{eventually_within, within_time};

/// Jobs that the healthy ones watch, each its share.
const JOBS: usize = 10;

/// Events of each measurement, one after the other, so far apart.
const EVENTS: u64 = 60;
const APART: Duration = Duration::from_millis(40);

/// History of those that never read: more than any socket's buffers take.
const STUCK_HISTORY: u64 = 12;
const STUCK_EVENT: usize = 100 << 10;

/// Time without progress after which one is reset.
const STUCK_TIMEOUT: Duration = Duration::from_secs(10);

/// The process may have so much resident memory; in full the kernel kills it if it has more.
const MEMORY: usize = 256 << 20;

/// The 99th percentile may double, on a machine whose own noise is about so large.
const NOISE: Duration = Duration::from_millis(50);

/// Sockets that take nothing for so long take nothing.
const LOOK: Duration = Duration::from_millis(200);

/// Longest that everything of one phase may take.
const PHASE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_who_never_read_cost_the_others_nothing_and_resume_without_loss() {
    assert_a_stuck_crowd_is_harmless(if in_full() { 1_000 } else { 200 }).await;
}

fn in_full() -> bool {
    std::env::var("JOBWIRE_CHAOS").is_ok_and(|chaos| chaos == "long")
}

async fn assert_a_stuck_crowd_is_harmless(size: usize) {
    let timeout = format!("{}s", STUCK_TIMEOUT.as_secs());
    // Between the measurements the healthy ones do not read, and would not answer pings.
    let patient = ["--window", "32MiB", "--send-buffer", "16KiB", "--ping-interval", "10m"];
    let arguments = [patient.as_slice(), &["--stuck-timeout", &timeout]].concat();
    let deployment = Deployment::with_arguments(&arguments).await;
    let publisher = &deployment.publisher;
    let history = publisher.publish_padded("stuck", 0..STUCK_HISTORY, STUCK_EVENT).await;
    let history = ids(&history);
    for job in 0..JOBS {
        deployment.publish_history(&healthy_job(job), 0..1, 0).await;
    }
    deployment.gateway.begin_memory_peak();
    let _limit = in_full().then(|| MemoryLimit::of(deployment.gateway.process_id(), MEMORY));
    let mut healthy = Vec::with_capacity(size);
    for number in 0..size {
        let mut client = deployment.client().await;
        client.subscribed(&healthy_job(number % JOBS), None).await;
        healthy.push(client);
    }
    let (alone, healthy) = measure_twice(publisher, healthy).await;

    let mut stuck = Vec::with_capacity(size);
    for _ in 0..size {
        stuck.push(Client::connect_with_a_small_buffer(deployment.gateway.address).await);
    }
    let beginning = async {
        for client in &mut stuck {
            client.subscribe("stuck", 0).await;
        }
        Instant::now()
    };
    let ((meanwhile, healthy), began) = tokio::join!(measure(publisher, healthy), beginning);
    take_nothing_more(&deployment).await;
    let (beside, healthy) = measure_twice(publisher, healthy).await;
    reset_all(&deployment, size).await;
    let reset = began.elapsed();
    assert!(reset + Duration::from_secs(1) >= STUCK_TIMEOUT, "all were reset after {reset:?}");
    println!(
        "{size} + {size}: p99 {alone:?} alone, {meanwhile:?} while the others begin, \
         {beside:?} beside the stuck, \
         {} MiB at most, all reset {reset:?} after the last came",
        deployment.gateway.peak_memory() >> 20,
    );
    assert!(beside <= 2 * alone + NOISE, "p99 {alone:?} alone, {beside:?} beside the stuck");
    assert!(deployment.gateway.peak_memory() < MEMORY, "{}", deployment.gateway.peak_memory());

    assert_resume_without_loss(&deployment, stuck, &history).await;
    // Whoever was closed would not hear of this.
    measure(publisher, healthy).await;
}

fn healthy_job(number: usize) -> String {
    format!("healthy-{number}")
}

/// The better of two measurements: others on the machine make one slower, never quicker.
async fn measure_twice(publisher: &Publisher, clients: Vec<Client>) -> (Duration, Vec<Client>) {
    let (first, clients) = measure(publisher, clients).await;
    let (second, clients) = measure(publisher, clients).await;
    (first.min(second), clients)
}

/// Publishes events of the healthy jobs, which all their watchers must get; tells the 99th
/// percentile of the time from before the publish to the watcher.
async fn measure(publisher: &Publisher, clients: Vec<Client>) -> (Duration, Vec<Client>) {
    let started = Instant::now();
    let mut watching = JoinSet::new();
    for (number, mut client) in clients.into_iter().enumerate() {
        watching.spawn(async move {
            let mut arrivals = Vec::new();
            while arrivals.len() < (EVENTS as usize) / JOBS {
                let event = client.expect("event").await;
                arrivals.push((sent_after(&event), started.elapsed()));
            }
            (number, arrivals, client)
        });
    }
    for number in 0..EVENTS {
        let job = healthy_job(number as usize % JOBS);
        let sent = started.elapsed().as_micros() as u64;
        publisher.publish_numbered(&job, sent..sent + 1).await;
        tokio::time::sleep(APART).await;
    }
    let mut seen = within_time(PHASE, "every event comes", watching.join_all()).await;
    seen.sort_unstable_by_key(|(number, ..)| *number);
    let arrivals = seen.iter().flat_map(|(_, arrivals, _)| arrivals);
    let mut delays: Vec<Duration> =
        arrivals.map(|(sent, arrived)| arrived.saturating_sub(*sent)).collect();
    delays.sort_unstable();
    let slow = delays[delays.len() * 99 / 100];
    (slow, seen.into_iter().map(|(_, _, client)| client).collect())
}

/// When an event was sent, as its number tells it.
fn sent_after(event: &Value) -> Duration {
    Duration::from_micros(event["event"]["data"]["number"].as_u64().expect("a number"))
}

/// Waits until nobody's socket takes anything: all that have history to come are stuck.
async fn take_nothing_more(deployment: &Deployment) {
    let mut before = -1.0;
    eventually_within(PHASE, "the stuck ones are stuck", async || {
        let sent = deployment.gateway.metric("jobwire_sent_bytes_total").await;
        let rests = std::mem::replace(&mut before, sent) == sent;
        tokio::time::sleep(LOOK).await;
        rests.then_some(())
    })
    .await;
}

/// Waits until so many connections were reset as stuck.
async fn reset_all(deployment: &Deployment, count: usize) {
    const STUCK: &str =
        "jobwire_connections_closed_total{dialect=\"optimization\",reason=\"stuck\"}";
    eventually_within(PHASE, "the stuck ones are reset", async || {
        let metrics = deployment.gateway.admin_get("/metrics").await.body;
        metrics.contains(&format!("{STUCK} {count}\n")).then_some(())
    })
    .await;
}

/// What each got before it was reset and what it gets afterwards is everything, once.
async fn assert_resume_without_loss(deployment: &Deployment, stuck: Vec<Client>, history: &[u64]) {
    let address = deployment.gateway.address;
    let newest = history[history.len() - 1];
    let mut resuming = JoinSet::new();
    for mut client in stuck {
        resuming.spawn(async move {
            let mut seen = Vec::new();
            while let Ok(message) = client.read().await {
                seen.extend(events_in(&message).iter().map(id_of));
            }
            let before = seen.len();
            let last = seen.last().copied().unwrap_or(0);
            let mut again = Client::connect(address).await;
            seen.extend(again.collect_until("stuck", last, newest).await.ids());
            (before, seen)
        });
    }
    for (before, seen) in within_time(PHASE, "all resume", resuming.join_all()).await {
        assert!(before < history.len(), "it was not stuck");
        assert_eq!(seen, history);
    }
}
