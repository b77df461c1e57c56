//! Broken connections, killed gateways, and a NATS server that goes away or comes back changed.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::client::{Client, Ended, events_in, id_of, shortened};
use crate::harness::cut_proxy::CutProxy;
use crate::harness::deployment::{Backend, Deployment};
use crate::harness::gateway::{Gateway, GatewayCommand};
use crate::harness::publisher::{Published, SteadyPublisher, ids, job_stream};
use crate::harness::watcher::{WatchPlan, Watcher, assert_saw_everything_once};
use crate::harness::{eventually, free_address, within, within_time};

/// Where random moments come from; the same in every run.
const SEED: u64 = 20_260_301;

/// Connections cut while events flow, and gateways killed.
const CUTS: usize = 100;
const KILLS: usize = 10;

/// Connections of each watcher that goes from gateway to gateway.
const HOPS: usize = 60;

/// Events that are published at once, and most that such a watcher stays for.
const BURST: u64 = 300;

/// Bursts that such a watcher may be behind.
const BURSTS_BEHIND: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_that_were_cut_and_whose_gateway_was_killed_get_every_event_once_and_in_order() {
    let backend = Backend::start().await;
    let command = GatewayCommand::listening_at(free_address(), &backend.nats.url(), &[]);
    let mut gateway = command.start().await;
    let proxy = CutProxy::start(gateway.address).await;
    let first = backend.publisher.publish_numbered("job", 0..1).await;
    let watchers = start_watchers(6, || WatchPlan::new("job", proxy.address));
    let steady = SteadyPublisher::start(&backend.publisher, "job", 1, 500);

    inflict_faults(&mut gateway, &proxy).await;

    let published = [first, steady.finish().await].concat();
    assert!(published.len() > 3_000, "only {} events were published", published.len());
    let connections = assert_all_saw_everything_once(watchers, &published).await;
    assert!(connections > 2 * CUTS, "only {connections} connections were subscribed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_that_hop_between_two_gateways_at_full_rate_miss_nothing() {
    let backend = Backend::start().await;
    let gateways = [backend.gateway(&[]).await, backend.gateway(&[]).await];
    let addresses: Vec<SocketAddr> = gateways.iter().map(|gateway| gateway.address).collect();
    let mut published = backend.publisher.publish_numbered("job", 0..1).await;
    let mut seed = SEED;
    let mut watchers = start_watchers(4, || {
        seed += 1;
        WatchPlan {
            gateways: addresses.clone(),
            delay: Duration::ZERO,
            leaves_after: Some((BURST, seed)),
            ..WatchPlan::new("job", addresses[0])
        }
    });

    // A watcher leaves after a burst's worth of events at the latest: so many bursts, so many hops.
    for hop in 0..HOPS {
        let numbers = 1 + hop as u64 * BURST..1 + (hop as u64 + 1) * BURST;
        published.extend(backend.publisher.publish_numbered("job", numbers).await);
        for watcher in &mut watchers {
            watcher.connected(hop.saturating_sub(BURSTS_BEHIND)).await;
        }
    }
    assert_all_saw_everything_once(watchers, &published).await;
}

#[tokio::test]
async fn a_nats_restart_leaves_sockets_open_and_events_resume_by_themselves() {
    let mut deployment = Deployment::start().await;
    let history = ids(&deployment.publisher.publish_numbered("job", 0..100).await);
    let mut watching = deployment.client().await;
    watching.collect_until("job", 0, *history.last().unwrap()).await;
    let mut steady = SteadyPublisher::start(&deployment.publisher, "job", 100, 100);
    let mut before = steady.past(0).await;
    before = steady.past(before + 20).await;
    let mut position = read_events_up_to(&mut watching, *history.last().unwrap(), before).await;

    deployment.nats.stop();
    let returns = tokio::time::Instant::now() + Duration::from_secs(3);
    let late = deployment.client().await.collect_until("job", history[10], history[99]).await;
    assert_eq!(late.ids()[..89], history[11..], "the window serves without NATS");
    watching.send(&json!({ "type": "ping" })).await;
    position = read_events_up_to_pong(&mut watching, position).await;
    tokio::time::sleep_until(returns).await;
    deployment.nats.restart().await;

    let after = steady.past(position).await;
    position = read_events_up_to(&mut watching, position, after).await;
    let newest = ids(&steady.finish().await);
    read_events_up_to(&mut watching, position, *newest.last().unwrap()).await;
    let mut everything = history;
    everything.extend(newest);
    let last = *everything.last().unwrap();
    let again = deployment.client().await.collect_until("job", 0, last).await;
    assert_eq!(again.ids(), everything);
}

#[tokio::test]
async fn what_needs_nats_is_told_unavailable_while_nats_is_away() {
    let mut deployment = Deployment::with_arguments(&["--window", "4MiB"]).await;
    let old = ids(&deployment.publisher.publish_padded("old", 0..100, 5_000).await);
    deployment.publisher.publish_other_jobs(8 << 20).await;
    let recent = deployment.publish_history("recent", 0..10, 0).await;
    let mut client = deployment.client().await;
    client.subscribed("recent", recent[9]).await;

    deployment.nats.kill();
    client.subscribe("old", 0).await;
    let error = client.next_message_within(Duration::from_secs(12)).await;
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("UNAVAILABLE")));
    assert_eq!(error["jobId"], "old");
    client.expect_nothing_but_a_pong().await;

    deployment.nats.restart().await;
    let served = async || subscribed_unless_unavailable(&mut client, "old").await.then_some(());
    eventually("the old job is served again", served).await;
    let mut seen = Vec::new();
    while seen.len() < old.len() {
        seen.extend(events_in(&client.expect("replay").await).iter().map(id_of));
    }
    assert_eq!(seen, old);
}

#[tokio::test]
async fn a_nats_server_that_stands_still_is_told_and_events_resume_when_it_goes_on() {
    let deployment = Deployment::with_arguments(&["--window", "4MiB"]).await;
    let publisher = &deployment.publisher;
    publisher.publish_padded("old", 0..100, 5_000).await;
    publisher.publish_other_jobs(8 << 20).await;
    deployment.publish_history("recent", 0..10, 0).await;
    let mut client = deployment.client().await;
    client.subscribed("recent", None).await;

    deployment.nats.freeze().await;
    client.subscribe("old", 0).await;
    let error = client.next_message_within(Duration::from_secs(12)).await;
    assert_eq!((&error["code"], &error["jobId"]), (&json!("UNAVAILABLE"), &json!("old")));
    deployment.nats.thaw();

    let id = publisher.publish("recent", "progress", &json!({})).await;
    let event = client.next_message_within(Duration::from_secs(30)).await;
    assert_eq!((&event["type"], id_of(&event["event"])), (&json!("event"), id));
}

#[tokio::test]
async fn a_stream_that_was_deleted_and_created_again_is_told_and_followed() {
    let deployment = Deployment::start().await;
    let publisher = &deployment.publisher;
    let old = ids(&publisher.publish_numbered("job", 0..50).await);
    let mut client = deployment.client().await;
    client.collect_until("job", 0, *old.last().unwrap()).await;

    publisher.delete_stream().await;
    publisher.create_stream(job_stream()).await;
    let mut new = ids(&publisher.publish_numbered("job", 50..60).await);
    let error = within_time(Duration::from_secs(40), "the loss is told", client.read()).await;
    let error = error.expect("an open connection");
    assert_eq!((&error["code"], &error["jobId"]), (&json!("CURSOR_INVALID"), &json!("job")));

    new.extend(ids(&publisher.publish_numbered("job", 60..70).await));
    let mut seen = Vec::new();
    while seen.len() < new.len() {
        let message = client.next_message().await;
        let events = events_in(&message);
        assert!(!events.is_empty(), "{}", shortened(&message));
        seen.extend(events.iter().map(id_of));
    }
    assert_eq!(seen, new, "everything of the new stream");
}

#[tokio::test]
async fn a_peer_that_no_longer_answers_pings_is_let_go_with_4002() {
    let arguments = ["--ping-interval", "1s", "--pong-timeout", "1s"];
    let deployment = Deployment::with_arguments(&arguments).await;
    deployment.publish_history("job", 0..1, 0).await;
    let proxy = CutProxy::start(deployment.gateway.address).await;
    let mut client = Client::connect(proxy.address).await;
    client.subscribed("job", None).await;

    proxy.hold_what_clients_send();
    assert_eq!(client.closed().await.0, 4002);
}

#[tokio::test]
async fn a_peer_that_answers_pings_stays() {
    let arguments = ["--ping-interval", "1s", "--pong-timeout", "1s"];
    let deployment = Deployment::with_arguments(&arguments).await;
    deployment.publish_history("job", 0..1, 0).await;
    let mut client = deployment.client().await;
    client.subscribed("job", None).await;

    let idle = tokio::time::timeout(Duration::from_secs(4), client.read()).await;
    assert!(idle.is_err(), "nothing is told to an idle client: {idle:?}");
    client.expect_nothing_but_a_pong().await;
}

#[tokio::test]
async fn a_socket_that_accepts_nothing_is_cut_after_its_time() {
    let arguments = ["--stuck-timeout", "1s", "--ping-interval", "1s", "--pong-timeout", "1s"];
    let deployment = Deployment::with_arguments(&arguments).await;
    deployment.publisher.publish_padded("job", 0..1_000, 20_000).await;
    let mut client = Client::connect_with_a_small_buffer(deployment.gateway.address).await;
    client.subscribed("job", 0).await;

    tokio::time::sleep(Duration::from_secs(5)).await;
    let reading = async { while client.read().await.is_ok() {} };
    within("the cut is noticed", reading).await;
    assert!(client.received_bytes < 10_000_000, "{} bytes came", client.received_bytes);
}

/// Cuts connections and kills the gateway at random moments, until all have been.
async fn inflict_faults(gateway: &mut Gateway, proxy: &CutProxy) {
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut faults = [vec![false; CUTS], vec![true; KILLS]].concat();
    random.shuffle(&mut faults);
    for kill in faults {
        tokio::time::sleep(Duration::from_millis(random.u64(20..260))).await;
        if kill {
            gateway.replace().await;
        } else {
            proxy.cut();
        }
    }
    gateway.ready().await;
}

fn start_watchers(count: usize, mut plan: impl FnMut() -> WatchPlan) -> Vec<Watcher> {
    (0..count).map(|_| Watcher::start(plan())).collect()
}

/// Waits until all have seen the last event, and tells how often they were connected.
async fn assert_all_saw_everything_once(watchers: Vec<Watcher>, published: &[Published]) -> usize {
    let last = published.last().expect("an event").id;
    let mut connections = 0;
    for mut watcher in watchers {
        watcher.reached(last).await;
        let record = watcher.finish().await;
        assert_saw_everything_once(&record, published);
        connections += record.connections;
    }
    connections
}

/// Reads live events, which must follow each other, up to the event `last` at least.
async fn read_events_up_to(client: &mut Client, mut position: u64, last: u64) -> u64 {
    while position < last {
        let event = within_time(Duration::from_secs(30), "an event", client.read()).await;
        position = next_position(position, &event);
    }
    position
}

/// Reads live events, which must follow each other, until a pong comes.
async fn read_events_up_to_pong(client: &mut Client, mut position: u64) -> u64 {
    loop {
        let message = within("a pong", client.read()).await;
        if message.as_ref().is_ok_and(|message| message["type"] == "pong") {
            return position;
        }
        position = next_position(position, &message);
    }
}

/// The position after a message: only this job is in the stream, so ids are contiguous.
fn next_position(position: u64, message: &Result<Value, Ended>) -> u64 {
    let message = message.as_ref().expect("the socket stays open");
    assert_eq!(message["type"], "event", "{}", shortened(message));
    let id = id_of(&message["event"]);
    assert_eq!(id, position + 1, "events follow each other");
    id
}

/// Subscribes from the beginning; false if NATS is still away.
async fn subscribed_unless_unavailable(client: &mut Client, job: &str) -> bool {
    client.subscribe(job, 0).await;
    let answer = client.next_message().await;
    if answer["type"] == "error" {
        assert_eq!(answer["code"], "UNAVAILABLE", "{answer}");
    }
    answer["type"] == "subscribed"
}
