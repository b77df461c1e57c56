//! Where a request may carry its token, and that it is never shown.

use serde_json::json;

use super::{PLACES, ask, assert_refused};
use crate::harness::deployment::Deployment;
use crate::harness::issuer::*;
use crate::harness::plain_http::{Response, exchange, request};
use crate::harness::raw_client::RawClient;

const TRAINING: &str = "/api/v1/training-jobs/7/ws";
const WEBSOCKETS: [&str; 5] =
    ["/ws/optimization", "/", TRAINING, "/api/v1/training-jobs/7/stream", "/ws/agent-progress/7"];

#[tokio::test]
async fn a_browsers_pair_of_subprotocols_is_taken_and_bearer_selected() {
    let deployment = guarded().await;
    let good = token(&watching(&["*/*"]));
    for path in WEBSOCKETS {
        for (pair, selected) in [
            (format!("Bearer, {good}"), "Bearer"),
            (format!("Bearer,{good}"), "Bearer"),
            (format!("bearer, {good}"), "bearer"),
            (format!("chat, Bearer, {good}"), "Bearer"),
        ] {
            let answer = offer(&deployment, path, &pair).await;
            assert_eq!(answer.status, 101, "{path}, {pair}: {answer:?}");
            assert_eq!(answer.header("sec-websocket-protocol"), selected, "{path}");
        }
        for pair in [format!("{good}, Bearer"), good.clone(), "Bearer".into(), "Bearer, x".into()] {
            assert_refused(&offer(&deployment, path, &pair).await, path);
        }
    }
}

#[tokio::test]
async fn bearer_is_selected_where_nobody_asks_for_tokens() {
    let deployment = Deployment::start().await;
    for path in WEBSOCKETS {
        let client =
            RawClient::offering(deployment.gateway.address, path, "Bearer, whatever").await;
        assert_eq!(client.selected, "Bearer", "{path}");
        let plain = ask(deployment.gateway.address, path, &[]).await;
        assert_eq!((plain.status, plain.header("sec-websocket-protocol")), (101, ""), "{path}");
    }
}

#[tokio::test]
async fn the_header_goes_before_the_subprotocol_and_that_before_the_query() {
    let deployment = guarded().await;
    let good = token(&watching(&["training/7"]));
    let bad = token(&watching_until(&["training/7"], now() - 1));
    // In the order header, subprotocol, query.
    for (carried, status) in [
        ([Some(&good), Some(&bad), Some(&bad)], 101),
        ([Some(&bad), Some(&good), Some(&good)], 401),
        ([Some(&good), None, Some(&bad)], 101),
        ([Some(&bad), None, Some(&good)], 401),
        ([None, Some(&good), Some(&bad)], 101),
        ([None, Some(&bad), Some(&good)], 401),
        ([None, None, Some(&good)], 101),
        ([None, None, Some(&bad)], 401),
        ([None, None, None], 401),
    ] {
        let [header, protocol, query] = carried;
        let header = header.map(|token| bearer(token));
        let protocol = protocol.map(|token| format!("Bearer, {token}"));
        let mut fields = Vec::new();
        fields.extend(header.as_deref().map(|value| ("Authorization", value)));
        fields.extend(protocol.as_deref().map(|value| ("Sec-WebSocket-Protocol", value)));
        let path = query.map_or(TRAINING.into(), |token| format!("{TRAINING}?token={token}"));
        let answer = ask(deployment.gateway.address, &path, &fields).await;
        assert_eq!(answer.status, status, "{carried:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_token_in_the_query_counts_only_where_the_route_allows_it() {
    let deployment = guarded().await;
    // Ended jobs, whose streams of events end too.
    for job in ["agent/7", "training/7"] {
        deployment.publisher.publish_of(job, "job_completed", &json!({})).await;
    }
    let good = token(&watching(&["*/*"]));
    let address = deployment.gateway.address;
    for path in PLACES {
        let answer = ask(address, &format!("{path}?token={good}"), &[]).await;
        match path {
            TRAINING | "/api/v1/training-jobs/7/stream" => assert_eq!(answer.status, 101, "{path}"),
            // A browser's EventSource and its page can send no header.
            _ if path.starts_with("/api/") => assert_eq!(answer.status, 200, "{path}: {answer:?}"),
            _ => assert_refused(&answer, path),
        }
    }
    for query in [
        format!("token={good}&token={good}"),
        format!("Token={good}"),
        format!("access_token={good}"),
        format!("token=Bearer%20{good}"),
        format!("token={}", good.replace('.', "%2E")),
        format!("token%3D{good}"),
        "token=".into(),
        "token".into(),
    ] {
        assert_refused(&ask(address, &format!("{TRAINING}?{query}"), &[]).await, &query);
    }
    let route = "\n[[route]]\npath = \"/ws/optimization\"\ndialect = \"optimization\"\n\
                 token_in_query = true\n\n[[route]]\npath = \"/api/v1/training-jobs/{job}/ws\"\n\
                 dialect = \"training\"\ntoken_in_query = false\n";
    let other = guarded_with(route, &[]).await;
    let address = other.gateway.address;
    assert_eq!(ask(address, &format!("/ws/optimization?token={good}"), &[]).await.status, 101);
    assert_refused(&ask(address, &format!("{TRAINING}?token={good}"), &[]).await, TRAINING);
}

#[tokio::test]
async fn no_token_is_ever_logged_or_repeated() {
    let deployment = guarded_with("", &["--log", "trace"]).await;
    deployment.publisher.publish_of("agent/7", "job_completed", &json!({})).await;
    let good = token(&watching(&["*/*"]));
    let expired = token(&watching_until(&["*/*"], now() - 1));
    let forged = token_of([7; 40], HS256, &watching(&["*/*"]).to_string());
    for token in [&good, &expired, &forged, &"eyJ-no-token-at-all.x.y".to_owned()] {
        for path in PLACES.iter().chain(&["/ws/nothing", "/api/v1/nothing"]) {
            let query = format!("{path}?a=b&token={token}&access_token={token}");
            let header = bearer(token);
            let protocol = format!("Bearer, {token}");
            for answer in [
                ask(deployment.gateway.address, &query, &[]).await,
                plainly(&deployment, &query).await,
                offer(&deployment, path, &protocol).await,
                refused_upgrade(&deployment, &header).await,
            ] {
                assert_not_in(token, &format!("{answer:?}"));
            }
            assert_not_logged(&deployment, token);
        }
    }
    let mut client = RawClient::offering(
        deployment.gateway.address,
        "/ws/optimization",
        &format!("Bearer, {good}"),
    )
    .await;
    for token in [&good, &expired, &forged] {
        client.say(json!({ "type": "auth", "token": token }).to_string()).await;
        assert_not_in(token, &client.message().await.to_string());
        client.say(json!({ "type": token, "jobId": token }).to_string()).await;
        client.message().await;
        client.say(format!("{{\"type\":\"auth\",\"token\":\"{token}\"")).await;
        assert_not_in(token, &client.message().await.to_string());
        assert_not_logged(&deployment, token);
    }
    assert!(deployment.gateway.times_logged("DEBUG") > 0, "there is a log to look at");
}

fn assert_not_in(token: &str, text: &str) {
    // Header and claims alone could be repeated as well; each part is looked for.
    for part in token.split('.').filter(|part| part.len() > 30) {
        assert!(!text.contains(part), "a token stands in {text}");
    }
}

fn assert_not_logged(deployment: &Deployment, token: &str) {
    for part in token.split('.').filter(|part| part.len() > 10) {
        assert_eq!(deployment.gateway.times_logged(part), 0, "a part of a token was logged");
    }
}

async fn offer(deployment: &Deployment, path: &str, protocols: &str) -> Response {
    let fields = [("Sec-WebSocket-Protocol", protocols)];
    ask(deployment.gateway.address, path, &fields).await
}

/// What is answered to a request that is no upgrade.
async fn plainly(deployment: &Deployment, path: &str) -> Response {
    let address = deployment.gateway.address;
    exchange(address, &request(address, path, &[])).await
}

/// An upgrade that breaks the rules, so that the gateway has something to tell of it.
async fn refused_upgrade(deployment: &Deployment, authorization: &str) -> Response {
    let address = deployment.gateway.address;
    let fields = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "12"),
        ("Authorization", authorization),
    ];
    exchange(address, &request(address, "/ws/optimization", &fields)).await
}
