//! Clients that ask faster than they listen.

use std::time::Duration;

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
