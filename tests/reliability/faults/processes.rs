//! Processes that are killed, restarted, or stand still.

use std::time::Duration;

use tokio::time::sleep;

use crate::chaos::{Chaos, Least, Length};
use crate::harness::deployment::Backend;
use crate::harness::nats::NatsServer;
use crate::stage::clock::Clock;
use crate::stage::link::{Link, random_pause};
use crate::stage::{addresses, gateway, three_gateways, two_gateways};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_are_killed_lose_nothing() {
    let backend = Backend::start().await;
    let mut gateways = two_gateways(&backend.nats.url()).await;
    let balancer = Link::to(&addresses(&gateways)).await;
    let mut chaos = Chaos::begin("gateway-killed", &backend.nats.url(), balancer.address).await;
    while chaos.goes_on() {
        chaos.calm().await;
        let which = fastrand::usize(0..gateways.len());
        chaos.inflict("kill", async || gateways[which].replace().await).await;
    }
    chaos.finish(Least { faults: 3, closed: 20, ..Least::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_are_asked_to_end_lose_nothing() {
    let backend = Backend::start().await;
    let mut gateways = two_gateways(&backend.nats.url()).await;
    let balancer = Link::to(&addresses(&gateways)).await;
    let mut chaos = Chaos::begin("gateway-restarted", &backend.nats.url(), balancer.address).await;
    let mut turns = 0;
    while chaos.goes_on() {
        chaos.calm().await;
        let gateway = &mut gateways[turns % 2];
        turns += 1;
        chaos
            .inflict("rolling restart", async || {
                gateway.terminate();
                gateway.exit(Duration::from_secs(20)).await;
                gateway.replace().await;
                gateway.ready().await;
            })
            .await;
    }
    chaos.finish(Least { faults: 2, closed: 20, ..Least::default() }).await;
}

/// As Kubernetes does it: one after the other, each with its own time to say farewell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_a_crowd_loses_nothing_and_leaves_nobody_waiting() {
    let backend = Backend::start().await;
    let length = Length::from_environment().of_a_crowd();
    let drain = if length.is_long { "20s" } else { "2s" };
    let mut gateways = three_gateways(&backend.nats.url(), drain).await;
    let balancer = Link::to(&addresses(&gateways)).await;
    let url = backend.nats.url();
    let mut chaos = Chaos::begin_with("rolling-restart", &url, balancer.address, length).await;
    chaos.calm().await;
    for gateway in &mut gateways {
        chaos
            .inflict("restart of one of three", async || {
                gateway.terminate();
                gateway.exit(Duration::from_secs(40)).await;
                gateway.replace().await;
                gateway.ready().await;
            })
            .await;
    }
    let gap = Some(Duration::from_secs(3));
    chaos.finish(Least { faults: 3, closed: 20, gap, ..Least::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_server_that_is_killed_loses_nothing() {
    restart_nats("nats-killed", NatsServer::kill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_server_that_is_asked_to_end_loses_nothing() {
    restart_nats("nats-restarted", NatsServer::stop).await;
}

async fn restart_nats(name: &'static str, end: fn(&mut NatsServer)) {
    let mut backend = Backend::start().await;
    let gateway = gateway(&backend.nats.url()).await;
    let mut chaos = Chaos::begin(name, &backend.nats.url(), gateway.address).await;
    while chaos.goes_on() {
        chaos.calm().await;
        let nats = &mut backend.nats;
        chaos
            .inflict("server gone and back", async || {
                end(nats);
                sleep(Duration::from_millis(fastrand::u64(0..2_000))).await;
                nats.restart().await;
            })
            .await;
    }
    chaos.finish(Least { faults: 2, ..Least::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_server_that_stands_still_loses_nothing() {
    let backend = Backend::start().await;
    let gateway = gateway(&backend.nats.url()).await;
    let mut chaos = Chaos::begin("nats-frozen", &backend.nats.url(), gateway.address).await;
    let still = chaos.either(Duration::from_secs(5), Duration::from_secs(15));
    while chaos.goes_on() {
        chaos.calm().await;
        let nats = &backend.nats;
        chaos
            .inflict("SIGSTOP", async || {
                nats.freeze().await;
                sleep(still).await;
                nats.thaw();
            })
            .await;
    }
    chaos.finish(Least { faults: 1, ..Least::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stands_still_loses_nothing() {
    let backend = Backend::start().await;
    let gateways = two_gateways(&backend.nats.url()).await;
    let balancer = Link::to(&addresses(&gateways)).await;
    let mut chaos = Chaos::begin("gateway-frozen", &backend.nats.url(), balancer.address).await;
    let still = chaos.either(Duration::from_secs(5), Duration::from_secs(15));
    while chaos.goes_on() {
        chaos.calm().await;
        let gateway = &gateways[fastrand::usize(0..gateways.len())];
        chaos
            .inflict("SIGSTOP", async || {
                gateway.freeze();
                sleep(still).await;
                gateway.thaw();
            })
            .await;
    }
    chaos.finish(Least { faults: 1, ..Least::default() }).await;
}

/// An hour back, an hour ahead, and right again. Watchers are cut off in between, and new ones
/// begin, so that much is begun under each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_whose_clock_is_set_loses_nothing() {
    const HOUR: i64 = 3_600;
    let backend = Backend::start().await;
    let clock = Clock::new();
    let gateway = clock.gateway(&backend.nats.url()).await;
    let network = Link::to(&[gateway.address]).await;
    let mut chaos = Chaos::begin("clock-set", &backend.nats.url(), network.address).await;
    while chaos.goes_on() {
        chaos
            .inflict("the clock jumps", async || {
                for seconds in [-HOUR, HOUR, 0] {
                    clock.set(seconds);
                    random_pause(Duration::from_millis(200), Duration::from_secs(1)).await;
                    network.cut();
                }
            })
            .await;
        chaos.calm().await;
    }
    // By a clock that is ahead every event has been under way for an hour.
    let late = gateway.metric("jobwire_delivery_latency_seconds_sum").await;
    assert!(late > HOUR as f64, "the gateway goes by another clock: {late} s");
    chaos.finish(Least { faults: 2, closed: 20, ..Least::default() }).await;
}
