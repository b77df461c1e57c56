//! A server whose storage is full.

use std::time::Duration;

use tokio::time::sleep;

use crate::chaos::{Chaos, Least};
use crate::harness::nats::NatsServer;
use crate::harness::publisher::{Publisher, job_stream};
use crate::stage::gateway;

/// So little that it is full at once, and more than is ever needed.
const LITTLE: &str = "jetstream { max_file_store: 300KB }";
const PLENTY: &str = "jetstream { max_file_store: 64GB }";

/// Producers get errors until there is room again; what was acknowledged stays, and arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_storage_is_full_loses_nothing() {
    let mut nats = NatsServer::configured(PLENTY).await;
    Publisher::connect(&nats).await.create_stream(job_stream()).await;
    let gateway = gateway(&nats.url()).await;
    let mut chaos = Chaos::begin("storage-full", &nats.url(), gateway.address).await;
    while chaos.goes_on() {
        chaos.calm().await;
        let nats = &mut nats;
        chaos
            .inflict("full, then with room again", async || {
                for room in [LITTLE, PLENTY] {
                    nats.stop();
                    nats.configure(room);
                    nats.restart().await;
                    sleep(Duration::from_secs(3)).await;
                }
            })
            .await;
    }
    assert!(chaos.publishes_refused() >= 10, "{} were refused", chaos.publishes_refused());
    chaos.finish(Least { faults: 1, ..Least::default() }).await;
}
