//! Networks that are slow, lose, cut, or stand still.
//!
//! The faults are made by a proxy, so that they need no rights and are the same everywhere. A
//! lost packet shows to TCP's users as bytes that come late, and that is what the proxy does. One
//! test loses packets in the kernel instead.

use std::time::Duration;

use tokio::time::sleep;

use crate::chaos::{Chaos, Least};
use crate::harness::deployment::Backend;
use crate::harness::eventually;
use crate::harness::packet_filter::PacketFilter;
use crate::stage::link::{Link, random_pause};
use crate::stage::{addresses, gateway, two_gateways};

/// 100 ms, more or less.
const DELAY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(150));

/// Share of pieces that are lost at first.
const LOSS: f64 = 0.05;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_network_that_cuts_every_connection_after_a_while_loses_nothing() {
    let backend = Backend::start().await;
    let to_nats = Link::to(&[backend.nats.address()]).await;
    let gateways = two_gateways(&to_nats.nats_url()).await;
    let balancer = Link::to(&addresses(&gateways)).await;
    let mut chaos = Chaos::begin("slow-and-cut", &backend.nats.url(), balancer.address).await;
    let life = chaos.either(Duration::from_secs(3), Duration::from_secs(30));
    to_nats.change(|weather| weather.delay = Some(DELAY));
    balancer.change(|weather| (weather.delay, weather.life) = (Some(DELAY), Some(life)));
    while chaos.goes_on() {
        chaos.inflict("delay, and an early end", async || sleep(life).await).await;
    }
    assert!(balancer.connections_cut() >= 20, "{} were cut", balancer.connections_cut());
    chaos.finish(Least { faults: 2, closed: 20, ..Least::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_loses_packets_loses_no_events() {
    let backend = Backend::start().await;
    let to_nats = Link::to(&[backend.nats.address()]).await;
    let gateway = gateway(&to_nats.nats_url()).await;
    let to_gateway = Link::to(&[gateway.address]).await;
    let mut chaos = Chaos::begin("packet-loss", &backend.nats.url(), to_gateway.address).await;
    let lose = |share| {
        to_nats.change(|weather| weather.loss = share);
        to_gateway.change(|weather| weather.loss = share);
    };
    while chaos.goes_on() {
        chaos.calm().await;
        chaos
            .inflict("5 % loss", async || {
                lose(LOSS);
                sleep(Duration::from_secs(3)).await;
                lose(0.0);
            })
            .await;
    }
    let lost = (to_nats.pieces_lost(), to_gateway.pieces_lost());
    assert!(lost.0 >= 5 && lost.1 >= 50, "only {lost:?} pieces were lost");
    chaos.finish(Least { faults: 2, ..Least::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_that_the_kernel_loses_lose_no_events() {
    let backend = Backend::start().await;
    let gateway = gateway(&backend.nats.url()).await;
    let ports = [backend.nats.address().port(), gateway.address.port()];
    let mut chaos = Chaos::begin("kernel-loss", &backend.nats.url(), gateway.address).await;
    // `None`: without the right to filter, which was told.
    let mut lost = Some(0);
    while chaos.goes_on() {
        chaos.calm().await;
        chaos
            .inflict("5 % loss in the kernel", async || {
                let filter = PacketFilter::losing(5, &ports);
                sleep(Duration::from_secs(3)).await;
                lost = filter.and_then(|filter| Some(lost? + filter.lost()));
            })
            .await;
    }
    assert!(lost.is_none_or(|lost| lost >= 50), "only {lost:?} packets were lost");
    chaos.finish(Least { faults: 2, ..Least::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_whose_connections_to_nats_are_cut_loses_nothing() {
    let backend = Backend::start().await;
    let to_nats = Link::to(&[backend.nats.address()]).await;
    let gateway = gateway(&to_nats.nats_url()).await;
    let mut chaos = Chaos::begin("nats-cut-off", &backend.nats.url(), gateway.address).await;
    while chaos.goes_on() {
        chaos.calm().await;
        chaos
            .inflict("silence, then a cut", async || {
                to_nats.change(|weather| weather.holds = true);
                random_pause(Duration::ZERO, Duration::from_secs(3)).await;
                to_nats.cut();
                to_nats.change(|weather| weather.holds = false);
            })
            .await;
    }
    assert!(to_nats.connections_cut() >= 2, "{} were cut", to_nats.connections_cut());
    chaos.finish(Least { faults: 2, ..Least::default() }).await;
}

/// Watchers are cut off one gateway and find another one that does not know yet what they have
/// seen; some begin with a cursor that the stream has yet to reach.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_who_move_to_a_gateway_that_lags_lose_nothing() {
    let backend = Backend::start().await;
    let to_nats = Link::to(&[backend.nats.address()]).await;
    let gateways = [gateway(&backend.nats.url()).await, gateway(&to_nats.nats_url()).await];
    let balancer = Link::to(&addresses(&gateways)).await;
    let mut chaos = Chaos::begin("lagging-gateway", &backend.nats.url(), balancer.address).await;
    let mut job = 0;
    while chaos.goes_on() {
        chaos.calm().await;
        chaos.begins("one gateway lags, all watchers move");
        to_nats.change(|weather| weather.holds = true);
        for _ in 0..4 {
            random_pause(Duration::from_millis(200), Duration::from_secs(1)).await;
            balancer.cut();
        }
        let ahead = chaos.bounds().await.1 + 100;
        chaos.watch_some(job, ahead);
        job += 1;
        to_nats.change(|weather| weather.holds = false);
        eventually("the stream reaches the cursor", async || {
            (chaos.bounds().await.1 > ahead).then_some(())
        })
        .await;
        chaos.ends("one gateway lags, all watchers move");
    }
    chaos.finish(Least { faults: 2, closed: 40, ..Least::default() }).await;
}
