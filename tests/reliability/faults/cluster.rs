//! Three servers with three copies of the stream: elections, deaths and partitions.

use std::time::Duration;

use tokio::time::sleep;

use crate::chaos::{Chaos, Least};
use crate::stage::cluster::Cluster;
use crate::stage::gateway;
use crate::stage::link::random_pause;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_that_step_down_lose_nothing() {
    let cluster = Cluster::start().await;
    let gateway = gateway(&cluster.url()).await;
    let mut chaos = Chaos::begin("leader-steps-down", &cluster.url(), gateway.address).await;
    while chaos.goes_on() {
        chaos.calm().await;
        chaos.inflict("step down", async || cluster.step_down().await).await;
    }
    chaos.finish(Least { faults: 3, ..Least::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_killed_loses_nothing() {
    kill_nodes("leader-killed", async |cluster| cluster.leader().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_whose_node_is_killed_loses_nothing() {
    kill_nodes("own-node-killed", async |cluster| cluster.node_of_the_tail().await).await;
}

async fn kill_nodes(name: &'static str, choose: impl AsyncFn(&Cluster) -> usize) {
    let mut cluster = Cluster::start().await;
    let gateway = gateway(&cluster.url()).await;
    let mut chaos = Chaos::begin(name, &cluster.url(), gateway.address).await;
    while chaos.goes_on() {
        chaos.calm().await;
        let node = choose(&cluster).await;
        let cluster = &mut cluster;
        chaos
            .inflict("one of three killed and started", async || {
                cluster.nodes[node].kill();
                random_pause(Duration::from_secs(1), Duration::from_secs(4)).await;
                cluster.nodes[node].restart().await;
            })
            .await;
        // Two dead at once would be another fault.
        cluster.whole().await;
    }
    chaos.finish(Least { faults: 1, ..Least::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_loses_nothing() {
    let cluster = Cluster::start().await;
    let gateway = gateway(&cluster.url()).await;
    let mut chaos = Chaos::begin("partition", &cluster.url(), gateway.address).await;
    let apart = chaos.either(Duration::from_secs(6), Duration::from_secs(15));
    let mut turns = 0;
    while chaos.goes_on() {
        chaos.calm().await;
        // In turn the node that the gateway reads from, and the one that leads.
        let node = match turns % 2 {
            0 => cluster.node_of_the_tail().await,
            _ => cluster.leader().await,
        };
        turns += 1;
        chaos
            .inflict("one of three cut off", async || {
                cluster.set_apart(node, true);
                sleep(apart).await;
                cluster.set_apart(node, false);
            })
            .await;
        cluster.whole().await;
    }
    chaos.finish(Least { faults: 1, ..Least::default() }).await;
}
