//! A gateway that is asked to end lets its clients go one after the other.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite;

use crate::harness::client::Client;
use crate::harness::deployment::{Backend, Deployment};
use crate::harness::gateway::{Gateway, GatewayCommand};
use crate::harness::publisher::SteadyPublisher;
use crate::harness::watcher::{WatchPlan, Watcher, assert_saw_everything_once};
use crate::harness::{eventually_within, free_address};

/// What "at once" may take on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Connections that are let go.
const CONNECTIONS: usize = 60;

#[tokio::test]
async fn connections_are_closed_one_after_the_other_with_a_time_to_wait() {
    let mut deployment = Deployment::with_arguments(&["--drain", "3s"]).await;
    deployment.publisher.publish_numbered("job", 0..1).await;
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let mut client = deployment.client().await;
        client.subscribed("job", None).await;
        connections.spawn(async move { (client.closed().await, Instant::now()) });
    }

    let told = Instant::now();
    deployment.gateway.terminate();
    let mut moments = Vec::new();
    for ((code, reason), moment) in connections.join_all().await {
        assert_eq!(code, 1012);
        let wait: u64 = reason.parse().expect("milliseconds to wait as the reason");
        assert!(wait <= 60_000, "a wait of {wait} ms");
        moments.push(moment - told);
    }
    moments.sort_unstable();
    let spread = moments[CONNECTIONS - 1] - moments[0];
    assert!(spread >= Duration::from_secs(1), "all within {spread:?}");
    assert!(moments[CONNECTIONS - 1] < Duration::from_secs(5), "the last after {moments:?}");
    assert_eq!(deployment.gateway.exit(Duration::from_secs(3)).await.code(), Some(0));
}

#[tokio::test]
async fn a_gateway_that_drains_is_not_ready_and_takes_nobody_new() {
    let mut deployment = Deployment::with_arguments(&["--drain", "4s"]).await;
    deployment.publisher.publish_numbered("job", 0..1).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = deployment.client().await;
        client.subscribed("job", None).await;
        clients.push(client);
    }

    deployment.gateway.terminate();
    not_ready(&deployment.gateway).await;
    match Client::try_connect(deployment.gateway.address).await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 503),
        Err(error) => panic!("an answer, not {error}"),
        Ok(_) => panic!("a gateway that ends took a new connection"),
    }
    assert_eq!(deployment.gateway.admin_get("/livez").await.status, 200, "it is still alive");
    assert!(deployment.gateway.is_running());
}

#[tokio::test]
async fn a_second_signal_ends_the_drain_at_once() {
    let mut deployment = Deployment::with_arguments(&["--drain", "60s"]).await;
    deployment.publisher.publish_numbered("job", 0..1).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = deployment.client().await;
        client.subscribed("job", None).await;
        clients.push(client);
    }

    deployment.gateway.terminate();
    not_ready(&deployment.gateway).await;
    deployment.gateway.terminate();
    deployment.gateway.exit(3 * AT_ONCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_two_gateways_loses_nothing() {
    let backend = Backend::start().await;
    let commands = [(); 2].map(|()| {
        let arguments = ["--drain", "1s"];
        GatewayCommand::listening_at(free_address(), &backend.nats.url(), &arguments)
    });
    let mut gateways = [commands[0].start().await, commands[1].start().await];
    let addresses: Vec<SocketAddr> = gateways.iter().map(|gateway| gateway.address).collect();
    let mut published = backend.publisher.publish_numbered("job", 0..1).await;
    let watchers: Vec<Watcher> = (0..10)
        .map(|_| WatchPlan { gateways: addresses.clone(), ..WatchPlan::new("job", addresses[0]) })
        .map(Watcher::start)
        .collect();
    let steady = SteadyPublisher::start(&backend.publisher, "job", 1, 300);

    for round in 0..4 {
        let gateway = &mut gateways[round % 2];
        gateway.terminate();
        assert_eq!(gateway.exit(Duration::from_secs(6)).await.code(), Some(0));
        *gateway = commands[round % 2].start().await;
    }

    published.extend(steady.finish().await);
    for mut watcher in watchers {
        watcher.reached(published.last().unwrap().id).await;
        let record = watcher.finish().await;
        assert_saw_everything_once(&record, &published);
        assert!(record.connections > 1, "nobody was let go");
    }
}

async fn not_ready(gateway: &Gateway) {
    let refusing = async || (gateway.readiness().await?.status == 503).then_some(());
    eventually_within(AT_ONCE, "the gateway is not ready any more", refusing).await;
}
