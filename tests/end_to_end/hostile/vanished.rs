//! Clients whose machine is gone without a word: nothing comes back, not even from its kernel.

use std::time::Duration;

use serde_json::json;

use super::Neighbourhood;
use crate::harness::deployment::Deployment;
use crate::harness::eventually;
use crate::harness::packet_filter::PacketFilter;
use crate::harness::raw_socket::{FIN, RawSocket, TEXT, frame};

/// Silences that end a connection, each so short that the test need not wait for long.
const SHORT: [&str; 3] = ["--ping-interval=1s", "--pong-timeout=1s", "--stuck-timeout=2s"];

/// Events come more often than pings would.
const APART: Duration = Duration::from_millis(300);

/// Without its own rule TCP tries for a quarter of an hour.
const SOON: u32 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_who_vanished_is_noticed_though_events_are_still_sent_to_it() {
    let mut neighbourhood = Neighbourhood::start(&SHORT).await;
    let mut vanished = RawSocket::connect(neighbourhood.deployment.gateway.address).await;
    let subscribe = json!({ "type": "subscribe", "jobId": "steady" }).to_string();
    vanished.send(&frame(FIN | TEXT, subscribe.as_bytes())).await;
    assert!(vanished.next().await.is_some(), "the subscription is answered");
    let gateway = neighbourhood.deployment.gateway.address.port();
    let Some(filter) = PacketFilter::cutting_off(vanished.port(), gateway) else { return };

    for round in 0..SOON {
        neighbourhood.assert_undisturbed().await;
        tokio::time::sleep(APART).await;
        if neighbourhood.deployment.metric("jobwire_connections").await == 1.0 {
            assert!(round >= 5, "it was given up at once");
            assert!(filter.lost() > 0);
            return neighbourhood.assert_unharmed().await;
        }
    }
    panic!("it is still served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_who_vanished_is_noticed_where_nothing_is_sent() {
    let deployment = Deployment::with_arguments(&SHORT).await;
    let address = deployment.gateway.address;
    let vanished = RawSocket::connect(address).await;
    let filter = PacketFilter::cutting_off(vanished.port(), address.port());
    let Some(_filter) = filter else { return };
    let gone = async || (deployment.metric("jobwire_connections").await == 0.0).then_some(());
    eventually("it is given up", gone).await;
}
