//! Tokens: who is let in, what they may see, and how long.

mod bad_tokens;
mod carriage;
mod expiry;
mod grants;
mod key_sets;
mod refusals;

use std::net::SocketAddr;

use crate::harness::plain_http::{Response, exchange, request};

/// The header fields of an upgrade, with the key that RFC 6455 has as its example.
const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// Every path that asks for a token, each of a job that the tests' tokens allow.
const PLACES: [&str; 9] = [
    "/ws/optimization",
    "/",
    "/api/v1/training-jobs/7/ws",
    "/api/v1/training-jobs/7/stream",
    "/ws/agent-progress/7",
    "/api/v1/training-jobs/7",
    "/api/v1/jobs/agent/7/events",
    "/api/v1/jobs/agent/7",
    "/api/v1/jobs",
];

/// What a place answers to a request with these header fields: an upgrade where it is a
/// WebSocket.
async fn ask(address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Response {
    let upgrade = if is_websocket(path) { UPGRADE.as_slice() } else { &[] };
    exchange(address, &request(address, path, &[upgrade, fields].concat())).await
}

fn is_websocket(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    path == "/" || path.starts_with("/ws/") || path.ends_with("/ws") || path.ends_with("/stream")
}

/// What a place answers to a request with a token.
async fn ask_with(address: SocketAddr, path: &str, token: &str) -> Response {
    ask(address, path, &[("Authorization", &format!("Bearer {token}"))]).await
}

/// Asserts that a request went no further, and that the answer says how to do better.
fn assert_refused(answer: &Response, what: &str) {
    assert_eq!(answer.status, 401, "{what}: {answer:?}");
    let challenge = answer.header("www-authenticate");
    assert!(challenge.starts_with("Bearer"), "{what}: {answer:?}");
    assert_eq!(answer.header("upgrade"), "", "{what}: {answer:?}");
    assert_eq!(answer.header("sec-websocket-accept"), "", "{what}: {answer:?}");
    let told = answer.json();
    assert_eq!(told["code"], "UNAUTHORIZED", "{what}: {told}");
    assert!(told["error"].as_str().is_some_and(|sentence| !sentence.is_empty()), "{what}: {told}");
}
