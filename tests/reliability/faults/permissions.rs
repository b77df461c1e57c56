//! A gateway whose rights are taken away for a while, as by a mistake in a configuration.

use std::time::Duration;

use tokio::time::sleep;

use crate::chaos::{Chaos, Least};
use crate::harness::nats::NatsServer;
use crate::harness::publisher::{Publisher, job_stream};
use crate::stage::gateway_with;

const IDENTITY: [&str; 4] = ["--nats-user", "gateway", "--nats-password", "secret"];
const ALL: &str = "publish: \">\", subscribe: \">\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_may_not_ask_for_a_while_loses_nothing() {
    take_rights_away("may-not-ask", "publish: { deny: \"$JS.>\" }, subscribe: \">\"").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_may_not_hear_for_a_while_loses_nothing() {
    take_rights_away("may-not-hear", "publish: \">\", subscribe: { deny: \">\" }").await;
}

async fn take_rights_away(name: &'static str, few: &str) {
    let mut nats = NatsServer::configured(&with_rights(ALL)).await;
    Publisher::connect(&nats).await.create_stream(job_stream()).await;
    let gateway = gateway_with(&nats.url(), &IDENTITY).await;
    let mut chaos = Chaos::begin(name, &nats.url(), gateway.address).await;
    while chaos.goes_on() {
        chaos.calm().await;
        let nats = &mut nats;
        chaos
            .inflict("rights taken away and given back", async || {
                nats.configure(&with_rights(few));
                nats.reload();
                sleep(Duration::from_secs(5)).await;
                nats.configure(&with_rights(ALL));
                nats.reload();
            })
            .await;
    }
    assert!(gateway.metric("jobwire_tail_restarts_total").await >= 1.0, "nothing was taken away");
    chaos.finish(Least { faults: 2, ..Least::default() }).await;
}

/// Publishers need no password; the gateway has one, and these rights.
fn with_rights(rights: &str) -> String {
    format!(
        "jetstream {{}}\nno_auth_user: publisher\nauthorization {{ users: [\n  {{ user: publisher, \
         password: other }}\n  {{ user: gateway, password: secret, permissions: {{ {rights} }} \
         }}\n] }}\n"
    )
}
