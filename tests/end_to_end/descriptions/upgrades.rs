//! What answers an upgrade, and a plain request in its place.

use std::net::SocketAddr;

use super::description::Description;
use super::tokens::{WITH_TOKENS, WITHOUT_KEYS, token};
use crate::harness::deployment::{Backend, Deployment};
use crate::harness::eventually;
use crate::harness::plain_http::Response;
use crate::harness::raw_client::RawClient;

/// Every path at which there is a WebSocket.
const PATHS: [&str; 5] = [
    "/",
    "/ws/optimization",
    "/ws/agent-progress/7",
    "/api/v1/training-jobs/7/ws",
    "/api/v1/training-jobs/7/stream",
];

#[tokio::test]
async fn every_answer_to_an_upgrade_is_described_and_the_other_way_round() {
    let description = Description::of_http();
    let deployment = Deployment::start().await;
    let address = deployment.gateway.address;
    for path in PATHS {
        let plain = if path == "/" { 200 } else { 426 };
        assert_eq!(description.get(address, path).await.status, plain, "{path}");
        assert_eq!(
            upgrade(&description, address, &format!("{path}?kind=other"), &[]).await.status,
            101
        );
        assert_eq!(
            upgrade(&description, address, &format!("{path}?kind=a.b"), &[]).await.status,
            400
        );
        let without_key = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
        assert_eq!(description.get_with(address, path, &without_key).await.status, 400);
    }
    ask_with_tokens(&description).await;
    ask_without_keys(&description).await;
    ask_one_that_stops(&description, &deployment).await;
    description.assert_met(&description.parts_of_operations("upgrade"));
}

async fn upgrade(
    description: &Description,
    address: SocketAddr,
    path: &str,
    more: &[(&str, &str)],
) -> Response {
    let fields = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    description.get_with(address, path, &[&fields, more].concat()).await
}

async fn ask_with_tokens(description: &Description) {
    let deployment = Deployment::configured(WITH_TOKENS).await;
    let address = deployment.gateway.address;
    let carried = |watch: &[&str]| format!("Bearer, {}", token(watch));
    let (nothing, mine, all) = (carried(&[]), carried(&["any/mine"]), carried(&["*/*"]));
    for path in PATHS {
        assert_eq!(upgrade(description, address, path, &[]).await.status, 401, "{path}");
        for (token, status) in [
            (&nothing, 403),
            (&mine, if path.ends_with("/optimization") || path == "/" { 101 } else { 403 }),
            (&all, 101),
        ] {
            let offer = [("Sec-WebSocket-Protocol", &**token)];
            let answer = upgrade(description, address, path, &offer).await;
            assert_eq!(answer.status, status, "{path}");
        }
    }
}

async fn ask_without_keys(description: &Description) {
    let backend = Backend::start().await;
    // It is not ready without keys.
    let gateway = backend.gateway_command(&WITHOUT_KEYS).launch().await;
    let bearer = format!("Bearer {}", token(&["*/*"]));
    for path in PATHS {
        let header = [("Authorization", &*bearer)];
        let answer = upgrade(description, gateway.address, path, &header).await;
        assert_eq!(answer.json()["code"], "UNAVAILABLE", "{path}");
    }
}

async fn ask_one_that_stops(description: &Description, deployment: &Deployment) {
    let address = deployment.gateway.address;
    let _staying = stay(address).await;
    deployment.gateway.terminate();
    eventually("upgrades are refused", async || {
        let answer = upgrade(description, address, PATHS[0], &[]).await;
        (answer.status == 503).then_some(())
    })
    .await;
    for path in PATHS {
        let answer = upgrade(description, address, path, &[]).await;
        assert_eq!(answer.json()["code"], "DRAINING", "{path}");
    }
}

/// Connections that are let go one after the other when the gateway stops: until then it is there.
pub async fn stay(address: SocketAddr) -> Vec<RawClient> {
    let mut staying = Vec::new();
    for _ in 0..20 {
        staying.push(RawClient::connect(address, "/ws/agent-progress/7").await);
    }
    staying
}
