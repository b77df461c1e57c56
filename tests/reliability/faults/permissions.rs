//! A gateway whose rights are taken away for a while, as by a mistake in a configuration.

use std::time::Duration;

use tokio::time::sleep;

use crate::chaos::{Chaos, Least};
use crate::harness::nats::{NatsServer, User};
use crate::harness::publisher::{Publisher, job_stream};
use crate::stage::gateway;

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
    let mut gateway = gateway(&nats.url()).await;
    gateway.expect_denials();
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

/// The test may do everything, and the gateway has these rights.
fn with_rights(rights: &str) -> String {
    let user = |user: User, rights: &str| {
        format!("{{ user: {}, password: {}{rights} }}", user.name, user.password())
    };
    let permissions = format!(", permissions: {{ {rights} }}");
    format!(
        "jetstream {{}}\nauthorization {{ users: [\n  {}\n  {}\n] }}\n",
        user(User::STAGE, ""),
        user(User::GATEWAY, &permissions)
    )
}
