//! Clients that ask faster than they listen.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Neighbourhood;
use crate::harness::eventually;
use crate::harness::raw_socket::{FIN, PING, RawSocket, TEXT, frame};

/// Clients that flood.
const FLOODERS: usize = 4;

/// Frames that each of them sends at most, many more than are ever answered.
const FRAMES: usize = 2_000_000;

/// Frames in one write.
const TOGETHER: usize = 1_000;

/// What is not taken within so long is not wanted.
const TAKES_NO_MORE: Duration = Duration::from_secs(2);

/// What the gateway's memory may grow by for all of them.
const GROWTH: usize = 12 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_of_clients_who_read_no_pongs_are_no_longer_taken_and_cost_little() {
    assert_a_flood_is_bounded(&frame(FIN | PING, b"")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_clients_who_read_no_answers_are_no_longer_taken_and_cost_little() {
    assert_a_flood_is_bounded(&frame(FIN | TEXT, br#"{"type":"ping"}"#)).await;
}

/// How long one client subscribes and leaves, as fast as it is answered.
const RESTLESS: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_who_subscribes_and_leaves_without_end_disturbs_nobody() {
    let mut neighbourhood = Neighbourhood::start(&["--max-message-rate=0"]).await;
    neighbourhood.deployment.publish_history("busy", 0..200, 100).await;
    let before = neighbourhood.deployment.gateway.begin_memory_peak();
    let mut restless = neighbourhood.deployment.client().await;
    let until = Instant::now() + RESTLESS;
    let flood = tokio::spawn(async move {
        let mut rounds = 0;
        while Instant::now() < until {
            restless.subscribe("busy", rounds % 200).await;
            restless.send(&json!({ "type": "unsubscribe", "jobId": "busy" })).await;
            while restless.next_message().await["type"] != "unsubscribed" {}
            rounds += 1;
        }
        rounds
    });
    while !flood.is_finished() {
        neighbourhood.assert_undisturbed().await;
    }
    let rounds = flood.await.unwrap();
    assert!(rounds > 100, "only {rounds} rounds");
    let grown = neighbourhood.deployment.gateway.peak_memory().saturating_sub(before);
    assert!(grown < GROWTH, "by {grown} bytes");
    assert_eq!(neighbourhood.deployment.metric("jobwire_subscriptions").await, 1.0);
    neighbourhood.assert_unharmed().await;
}

/// What bounds memory where no rate bounds the messages.
async fn assert_a_flood_is_bounded(frame: &[u8]) {
    let mut neighbourhood =
        Neighbourhood::start(&["--send-buffer=4KiB", "--max-message-rate=0"]).await;
    let before = neighbourhood.deployment.gateway.begin_memory_peak();
    let address = neighbourhood.deployment.gateway.address;
    let mut flooders = Vec::new();
    for _ in 0..FLOODERS {
        let mut socket = RawSocket::connect_with_a_small_buffer(address).await;
        let frames = frame.repeat(TOGETHER);
        flooders.push(tokio::spawn(async move {
            let sent = socket.flood(&frames, FRAMES / TOGETHER, TAKES_NO_MORE).await;
            (sent, socket)
        }));
    }
    while flooders.iter().any(|flooder| !flooder.is_finished()) {
        neighbourhood.assert_undisturbed().await;
    }
    for flooder in flooders {
        let (sent, _socket) = flooder.await.unwrap();
        assert!(sent < FRAMES / TOGETHER, "everything was taken");
    }
    let grown = neighbourhood.deployment.gateway.peak_memory().saturating_sub(before);
    assert!(grown < GROWTH, "by {grown} bytes");
    let gone = async || {
        let connections = neighbourhood.deployment.metric("jobwire_connections").await;
        (connections == 1.0).then_some(())
    };
    eventually("only the neighbour is left", gone).await;
    neighbourhood.assert_unharmed().await;
}
