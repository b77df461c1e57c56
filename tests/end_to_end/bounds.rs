//! What stays within bounds: memory, whatever clients ask for, and time, whatever NATS does.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use async_nats::jetstream::stream;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::harness::client::{Client, events_in, id_of, subscribe_request};
use crate::harness::deployment::{Backend, Deployment};
use crate::harness::gateway::Gateway;
use crate::harness::publisher::{Publisher, ids, job_stream};
use crate::harness::{within, within_time};

/// Events of a stream that is there before its gateway is.
const LONG: u64 = 60_000;

/// How long the gateway may take to read them.
const READ_WITHIN: Duration = Duration::from_secs(4);

/// Ticks of live events: a hundred in a second, with so many events each.
const TICKS: u64 = 400;
const EVENTS_PER_TICK: u64 = 20;

/// The slowest of a hundred live events may take so long.
const SLOW: Duration = Duration::from_millis(250);

/// Requests of one client for one job, and of another before it that warms the memory up.
const REQUESTS: usize = 60_000;
const FEW_REQUESTS: usize = 2_000;

/// Lets a client send them as fast as it can.
const ANY_RATE: [&str; 2] = ["--max-message-rate", "0"];

/// What the gateway's memory may grow by meanwhile.
const GROWTH: usize = 8 << 20;

/// How long ten jobs may take to be served from memory while NATS stands still.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test]
async fn the_tail_reads_a_long_stream_of_small_events_quickly_and_in_one_go() {
    let backend = Backend::start().await;
    let published = backend.publisher.publish_numbered("job", 0..LONG).await;
    let last = published.last().unwrap().id;
    let gateway = backend.gateway_command(&[]).launch().await;
    let started = Instant::now();
    gateway.ready().await;
    let mut client = Client::connect(gateway.address).await;
    assert_eq!(client.subscribed("job", None).await["lastEventId"], last);

    let taken = started.elapsed();
    assert!(taken < READ_WITHIN, "{LONG} events were read in {taken:?}");
    assert_never_restarted(&gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_events_in_a_second_come_live_without_delay_and_in_one_go() {
    let deployment = Deployment::start().await;
    deployment.publish_history("job", 0..1, 0).await;
    let mut client = deployment.client().await;
    client.subscribed("job", None).await;
    let watching = tokio::spawn(async move {
        let mut arrivals = HashMap::new();
        while arrivals.len() < (TICKS * EVENTS_PER_TICK) as usize {
            let event = client.expect("event").await;
            arrivals.insert(event["event"]["data"]["number"].as_u64().unwrap(), Instant::now());
        }
        arrivals
    });

    let sent = publish_in_ticks(&deployment.publisher).await;
    let arrivals = within("every event comes", watching).await.expect("a watcher without a panic");
    let mut delays: Vec<Duration> = sent.iter().map(|(at, sent)| arrivals[at] - *sent).collect();
    delays.sort_unstable();
    let slow = delays[delays.len() * 99 / 100];
    assert!(slow < SLOW, "one in a hundred took {slow:?} or longer");
    assert_never_restarted(&deployment.gateway).await;
}

#[tokio::test]
async fn subscribing_to_a_job_again_and_again_leaves_nothing_in_memory() {
    let deployment = Deployment::with_arguments(&ANY_RATE).await;
    let events = deployment.publish_history("job", 0..10, 0).await;
    assert_a_flood_leaves_nothing(&deployment, &events, |_| subscribe_request("job", Some(0)))
        .await;
}

#[tokio::test]
async fn subscribing_to_an_old_job_and_leaving_it_again_and_again_leaves_nothing_in_memory() {
    let (deployment, events) = deployment_with_an_old_job(10, 1_000).await;
    assert_a_flood_leaves_nothing(&deployment, &events, |at| match at % 2 {
        0 => subscribe_request("job", Some(0)),
        _ => json!({ "type": "unsubscribe", "jobId": "job" }),
    })
    .await;
}

#[tokio::test]
async fn asking_again_and_again_for_the_history_of_an_old_job_is_answered_and_then_forgotten() {
    let (deployment, events) = deployment_with_an_old_job(10, 1_000).await;
    let replay = json!({ "type": "replay", "jobId": "job", "afterEventId": events[8] });
    for count in [FEW_REQUESTS, REQUESTS] {
        let before = deployment.gateway.begin_memory_peak();
        let mut client = deployment.client().await;
        client.subscribed("job", None).await;
        let mut answers = Vec::with_capacity(count);
        let requests = std::iter::repeat_n(replay.clone(), count);
        client.send_all(requests, |answer| answers.push(answer)).await;
        while answers.len() < count {
            answers.push(client.next_message().await);
        }
        let (served, refused): (Vec<Value>, Vec<Value>) =
            answers.into_iter().partition(|answer| answer["type"] == "replay");
        assert!(!served.is_empty(), "every replay was refused");
        assert!(served.iter().all(|batch| events_in(batch).iter().map(id_of).eq([events[9]])));
        assert!(refused.iter().all(|answer| answer["code"] == "LIMIT"), "{:?}", refused[0]);
        client.expect_nothing_but_a_pong().await;
        assert_memory_has_hardly_grown(&deployment.gateway, before);
    }
}

#[tokio::test]
async fn the_window_keeps_to_its_budget_while_readers_read_a_quiet_stream() {
    const BUDGET: f64 = (8 << 20) as f64;
    let deployment = Deployment::with_arguments(&["--window", "8MiB"]).await;
    let last = *deployment.publish_history("job", 0..40_000, 250).await.last().unwrap();
    let mut readers = JoinSet::new();
    for _ in 0..4 {
        let mut client = deployment.client().await;
        readers.spawn(async move { client.collect_until("job", 0, last).await.ids().len() });
    }
    let (mut most, mut read) = (0.0, Vec::new());
    while !readers.is_empty() {
        most = deployment.gateway.metric("jobwire_window_bytes").await.max(most);
        let finished = tokio::time::timeout(Duration::from_millis(20), readers.join_next()).await;
        read.extend(finished.ok().flatten().map(|finished| finished.expect("a reader")));
    }
    most = deployment.gateway.metric("jobwire_window_bytes").await.max(most);
    assert_eq!(read, [40_000; 4]);
    assert!(most > 0.7 * BUDGET, "the window was not full: {most} bytes");
    assert!(most <= BUDGET, "{most} bytes of {BUDGET}");
}

#[tokio::test]
async fn recent_jobs_are_served_soon_while_nats_stands_still() {
    let backend = Backend::start().await;
    let gateways = [(); 2].map(|()| backend.gateway_command(&["--window", "4MiB"]));
    let gateways = [gateways[0].start().await, gateways[1].start().await];
    backend.publisher.publish_other_jobs(8 << 20).await;
    let marker = backend.publisher.publish("marker", "progress", &json!({})).await;
    let mut clients = Vec::new();
    for gateway in &gateways {
        let mut client = Client::connect(gateway.address).await;
        client.collect_until("marker", 0, marker).await;
        clients.push(client);
    }
    let jobs: Vec<String> = (0..10).map(|number| format!("recent-{number}")).collect();
    let events = (0..30).map(|at| (jobs[at as usize % 10].clone(), at)).collect();
    let events = ids(&backend.publisher.publish_all(events, "").await);
    backend.publisher.publish("marker", "progress", &json!({})).await;
    // An event that comes live shows that the window has everything before it.
    for client in &mut clients {
        client.expect("event").await;
    }
    backend.nats.freeze().await;

    let [live_only, with_cursors] = clients.as_mut_slice() else { panic!("two clients") };
    let serving = subscribe_to_all(live_only, &jobs, |_| None);
    assert_eq!(within_time(SOON, "who wants live events is served", serving).await, [0; 0]);
    let serving = subscribe_to_all(with_cursors, &jobs, |job| Some(events[job]));
    let missed = within_time(SOON, "who has cursors is served", serving).await;
    assert_eq!(missed, events[10..], "what each had not seen");
}

#[tokio::test]
async fn an_old_job_with_more_than_a_thousand_types_of_events_comes_as_a_whole() {
    let deployment = Deployment::with_arguments(&["--window", "4MiB"]).await;
    let mut events = Vec::new();
    for number in 0..1_100 {
        let event_type = format!("type-{number}");
        let payload = json!({ "eventType": event_type });
        events.push(deployment.publisher.publish("job", &event_type, &payload).await);
    }
    deployment.publish_other_jobs(8 << 20).await;
    let mut client = deployment.client().await;
    let mut transcript = client.collect_until("job", 0, events[1_099]).await;

    events.push(deployment.publisher.publish("job", "type-0", &json!({})).await);
    client.follow(&mut transcript, |transcript| transcript.events.len() > 1_100).await;
    assert_eq!(transcript.ids(), events);
    assert_eq!(transcript.events[1_050]["eventType"], "type-1050");
}

#[tokio::test]
async fn who_wants_all_or_nothing_of_an_old_job_gets_one_or_the_other() {
    let definition = stream::Config { max_messages: 700, ..job_stream() };
    let backend = Backend::with_stream(definition).await;
    let deployment = backend.deploy(&["--window", "4MiB"]).await;
    let events = ids(&deployment.publisher.publish_numbered("job", 0..500).await);
    deployment.publish_other_jobs(8 << 20).await;
    let first = deployment.publisher.stream_state().await.first_sequence;
    let (lost, kept) = events.split_at(events.partition_point(|id| *id < first));
    assert!(!lost.is_empty() && !kept.is_empty(), "{} lost, {} kept", lost.len(), kept.len());

    let mut client = deployment.client().await;
    let mut request = subscribe_request("job", Some(kept[0] - 2));
    request["onTruncated"] = "fail".into();
    client.send(&request).await;
    let error = client.expect_error("HISTORY_TRUNCATED").await;
    assert_eq!(
        (&error["requestedAfter"], &error["firstAvailable"]),
        (&json!(kept[0] - 2), &json!(kept[0]))
    );
    client.expect_nothing_but_a_pong().await;

    request["afterEventId"] = (kept[0] - 1).into();
    client.subscribed_with(&request).await;
    let seen = events_in(&client.expect("replay").await);
    assert_eq!(seen.iter().map(id_of).collect::<Vec<_>>(), kept);
}

#[tokio::test]
async fn an_event_that_tells_another_type_than_its_subject_is_counted() {
    const DIFFER: &str = "jobwire_event_types_differ_total";
    let deployment = Deployment::start().await;
    deployment.publish_history("job", 0..1, 0).await;
    let mut client = deployment.client().await;
    client.subscribed("job", None).await;
    for (told, count) in [("progress", 0.0), ("something_else", 1.0), ("progress", 1.0)] {
        deployment.publisher.publish("job", "progress", &json!({ "eventType": told })).await;
        assert_eq!(client.expect("event").await["event"]["eventType"], "progress");
        assert_eq!(deployment.gateway.metric(DIFFER).await, count, "after {told}");
    }
}

/// A gateway with a small window, and a job that is older than it.
async fn deployment_with_an_old_job(events: u64, size: usize) -> (Deployment, Vec<u64>) {
    let deployment = Deployment::with_arguments(&[ANY_RATE, ["--window", "4MiB"]].concat()).await;
    let events = ids(&deployment.publisher.publish_padded("job", 0..events, size).await);
    deployment.publish_other_jobs(8 << 20).await;
    (deployment, events)
}

async fn assert_never_restarted(gateway: &Gateway) {
    assert_eq!(gateway.metric("jobwire_tail_restarts_total").await, 0.0, "restarts of the tail");
}

/// Publishes numbered events at an even rate, and tells when each was sent.
async fn publish_in_ticks(publisher: &Publisher) -> Vec<(u64, Instant)> {
    let mut sent = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for tick in 0..TICKS {
        ticks.tick().await;
        let numbers = 1 + tick * EVENTS_PER_TICK..1 + (tick + 1) * EVENTS_PER_TICK;
        sent.extend(numbers.clone().map(|number| (number, Instant::now())));
        publisher.publish_numbered("job", numbers).await;
    }
    sent
}

/// Floods the gateway with requests about a job, from a client that reads and from one that does
/// not; afterwards a subscribe must be served, and memory be as it was.
async fn assert_a_flood_leaves_nothing(
    deployment: &Deployment,
    events: &[u64],
    request: impl Fn(usize) -> Value,
) {
    let (but_one, last) = (events[events.len() - 2], events[events.len() - 1]);
    for reads in [true, false] {
        for count in [FEW_REQUESTS, REQUESTS] {
            let before = deployment.gateway.begin_memory_peak();
            let mut client = deployment.client().await;
            let mut requests = (0..count).map(&request);
            if !reads {
                client.send_without_reading(&mut requests).await;
            }
            client.send_all(requests, |message| assert_ne!(message["type"], "error")).await;
            client.subscribe("job", but_one).await;
            wait_until_served(&mut client, last).await;
            client.expect_nothing_but_a_pong().await;
            assert_memory_has_hardly_grown(&deployment.gateway, before);
        }
    }
}

/// Reads until `subscribed` is followed by history that begins with this event.
async fn wait_until_served(client: &mut Client, first: u64) {
    let mut subscribed = false;
    loop {
        let message = client.next_message().await;
        if subscribed && message["data"][0]["id"] == first {
            return;
        }
        subscribed = message["type"] == "subscribed";
    }
}

fn assert_memory_has_hardly_grown(gateway: &Gateway, before: usize) {
    let peak = gateway.peak_memory();
    let grown = peak.saturating_sub(before);
    assert!(grown < GROWTH, "from {before} to {peak} bytes, by {grown}");
}

/// Subscribes to jobs and reads until each is served; tells the events that were missed.
async fn subscribe_to_all(
    client: &mut Client,
    jobs: &[String],
    cursor: impl Fn(usize) -> Option<u64>,
) -> Vec<u64> {
    for (at, job) in jobs.iter().enumerate() {
        client.subscribe(job, cursor(at)).await;
    }
    let expected = if cursor(0).is_some() { 2 * jobs.len() } else { 0 };
    let (mut subscribed, mut missed) = (0, Vec::new());
    while subscribed < jobs.len() || missed.len() < expected {
        let message = client.next_message().await;
        assert_ne!(message["type"], "error", "{message}");
        subscribed += usize::from(message["type"] == "subscribed");
        missed.extend(events_in(&message).iter().map(id_of));
    }
    missed.sort_unstable();
    missed
}
