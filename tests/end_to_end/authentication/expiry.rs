//! The end of a token ends a connection, unless a new one comes in time.

use std::time::Duration;

use serde_json::{Value, json};

use super::ask;
use crate::harness::deployment::Deployment;
use crate::harness::event_reader::EventReader;
use crate::harness::issuer::*;
use crate::harness::raw_client::RawClient;

/// How soon after a token's end its connection must be closed.
const SOON: Duration = Duration::from_secs(5);
/// What a busy machine may add.
const BUSY: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_connection_is_closed_with_4001_soon_after_its_token_has_expired() {
    let deployment = guarded().await;
    assert_closed_at_expiry(&deployment).await;
}

#[tokio::test]
async fn clocks_that_may_differ_by_much_do_not_keep_a_connection_open() {
    let deployment = guarded_with("leeway = \"30s\"", &[]).await;
    assert_closed_at_expiry(&deployment).await;
}

async fn assert_closed_at_expiry(deployment: &Deployment) {
    let expiry = Duration::from_secs(now() + 3);
    let protocols = offered(&watching_until(&["*/*"], expiry.as_secs()));
    let mut watching = Vec::new();
    for path in ["/ws/optimization", "/", "/ws/agent-progress/7"] {
        let mut client = RawClient::offering(deployment.gateway.address, path, &protocols).await;
        let closing = tokio::spawn(async move { (client.rest().await, since_1970()) });
        watching.push((path, closing));
    }
    for (path, closing) in watching {
        let ((told, code, reason), at) = closing.await.expect("a client without a panic");
        assert_eq!(code, 4001, "{path}: {reason} after {told:?}");
        assert!(reason.contains("expired"), "{reason}");
        assert!(at >= expiry, "{path}: before its end");
        assert!(at < expiry + SOON + BUSY, "{path}: only {:?} after", at - expiry);
    }
}

#[tokio::test]
async fn a_training_client_stays_beyond_the_end_of_its_token() {
    let deployment = guarded().await;
    deployment.publisher.publish_of("training/7", "job_started", &json!({})).await;
    let expires = now() + 2;
    let mut clients = Vec::new();
    for path in ["/api/v1/training-jobs/7/ws", "/api/v1/training-jobs/7/stream"] {
        let protocols = offered(&watching_until(&["training/7"], expires));
        let mut client = RawClient::offering(deployment.gateway.address, path, &protocols).await;
        assert_eq!(client.message().await["status"], "running");
        clients.push(client);
    }
    pass(expires + 2).await;
    deployment.publisher.publish_of("training/7", "job_completed", &json!({})).await;
    for mut client in clients {
        let (told, code, reason) = client.rest().await;
        assert_eq!(code, 1000, "{reason}");
        assert_eq!(told.last().expect("a last message")["type"], "complete");
    }
}

#[tokio::test]
async fn a_route_may_keep_connections_whose_token_expires_and_another_may_not() {
    let route = |path: &str, dialect: &str, rule: &str| {
        format!("\n[[route]]\npath = {path:?}\ndialect = {dialect:?}\non_token_expiry = {rule:?}\n")
    };
    let routes = [
        route("/ws/agent-progress/{job}", "agent", "keep"),
        route("/api/v1/training-jobs/{job}/ws", "training", "close"),
    ];
    let deployment = guarded_with(&format!("leeway = \"0s\"\n{}", routes.concat()), &[]).await;
    deployment.publisher.publish_of("training/7", "job_started", &json!({})).await;
    let expires = now() + 2;
    let protocols = offered(&watching_until(&["*/*"], expires));
    let address = deployment.gateway.address;
    let mut kept = RawClient::offering(address, "/ws/agent-progress/7", &protocols).await;
    let path = "/api/v1/training-jobs/7/ws";
    let mut closed = RawClient::offering(address, path, &protocols).await;
    assert_eq!(closed.rest().await.1, 4001);
    pass(expires + 1).await;
    assert_eq!(kept.message().await["step"], "connected");
    kept.hears_nothing().await;
}

#[tokio::test]
async fn a_renewed_token_keeps_a_connection_open_beyond_the_end_of_the_first() {
    let deployment = guarded().await;
    let first = now() + 4;
    let mut client = subscribed(&deployment, first, &["a"]).await;
    let renewed = token(&watching_until(&["*/*"], now() + 600));
    assert_eq!(say_token(&mut client, &renewed).await, json!({ "type": "authenticated" }));
    pass(first + 2).await;
    deployment.publisher.publish("a", "progress", &json!({})).await;
    assert_eq!(client.message().await["jobId"], "a");
}

#[tokio::test]
async fn a_renewed_token_that_ends_sooner_ends_the_connection_sooner() {
    let deployment = guarded().await;
    let mut client = subscribed(&deployment, now() + 600, &["a"]).await;
    let renewed = token(&watching_until(&["*/*"], now() + 2));
    assert_eq!(say_token(&mut client, &renewed).await["type"], "authenticated");
    assert_eq!(client.closed().await.0, 4001);
}

#[tokio::test]
async fn a_renewed_token_with_fewer_rights_ends_what_it_no_longer_allows() {
    let deployment = guarded().await;
    let mut client = subscribed(&deployment, now() + 600, &["a", "b", "c"]).await;
    let renewed = token(&watching(&["optimization/b"]));
    client.say(json!({ "type": "auth", "token": renewed }).to_string()).await;
    let mut dropped = Vec::new();
    for _ in 0..2 {
        let told = client.message().await;
        assert_eq!(
            (&told["type"], &told["code"]),
            (&json!("error"), &json!("FORBIDDEN")),
            "{told}"
        );
        dropped.push(told["jobId"].as_str().expect("the job").to_owned());
    }
    dropped.sort_unstable();
    assert_eq!(dropped, ["a", "c"]);
    assert_eq!(client.message().await["type"], "authenticated");

    for job in ["a", "c", "b"] {
        deployment.publisher.publish(job, "progress", &json!({})).await;
    }
    assert_eq!(client.message().await["jobId"], "b");
    client.hears_nothing().await;
    for request in ["subscribe", "replay"] {
        client.say(json!({ "type": request, "jobId": "a", "afterEventId": 0 }).to_string()).await;
        let code = if request == "subscribe" { "FORBIDDEN" } else { "NOT_SUBSCRIBED" };
        assert_eq!(client.message().await["code"], code);
    }
}

#[tokio::test]
async fn a_bad_renewal_changes_nothing() {
    let deployment = guarded().await;
    let expires = now() + 4;
    let mut client = subscribed(&deployment, expires, &["a"]).await;
    let forever = watching_until(&["*/*"], now() + 600);
    for bad in [
        String::new(),
        "garbage".into(),
        token(&watching_until(&["*/*"], now() - 1)),
        token_of([7; 40], HS256, &forever.to_string()),
        token_of(RS256.pem.as_bytes(), HS256, &forever.to_string()),
        token(&watching(&[])),
    ] {
        let told = say_token(&mut client, &bad).await;
        assert_eq!((&told["type"], &told["code"]), (&json!("error"), &json!("FORBIDDEN")), "{bad}");
        assert!(bad.is_empty() || !told.to_string().contains(&bad), "{told}");
    }
    for bad in [json!({ "type": "auth" }), json!({ "type": "auth", "token": 7 })] {
        client.say(bad.to_string()).await;
        assert_eq!(client.message().await["code"], "INVALID_MESSAGE");
    }
    deployment.publisher.publish("a", "progress", &json!({})).await;
    assert_eq!(client.message().await["jobId"], "a", "what there was goes on");
    let (code, _) = client.closed().await;
    assert_eq!(code, 4001);
    assert!(since_1970() < Duration::from_secs(expires) + SOON + BUSY, "at the first token's end");
}

#[tokio::test]
async fn a_stream_of_events_ends_with_its_token_and_does_not_come_back_with_it() {
    let deployment = guarded().await;
    deployment.publisher.publish("a", "job_started", &json!({})).await;
    let expires = now() + 2;
    let authorization = bearer(&token(&watching_until(&["optimization/a"], expires)));
    let path = "/api/v1/jobs/optimization/a/events";
    let fields = [("Authorization", authorization.as_str())];
    let mut reader = EventReader::open(deployment.gateway.address, path, &fields).await;
    let told = reader.rest().await;
    assert_eq!(told.len(), 1, "{told:?}");
    let at = since_1970();
    let expiry = Duration::from_secs(expires);
    assert!(at >= expiry && at < expiry + SOON + BUSY, "{at:?}");
    assert_eq!(ask(deployment.gateway.address, path, &fields).await.status, 401);
}

fn offered(claims: &Value) -> String {
    format!("Bearer, {}", token(claims))
}

/// Waits until a second after 1970 has come.
async fn pass(second: u64) {
    tokio::time::sleep(Duration::from_secs(second).saturating_sub(since_1970())).await;
}

/// A connection on which jobs are watched, with a token that ends at this second.
async fn subscribed(deployment: &Deployment, expires: u64, jobs: &[&str]) -> RawClient {
    let protocols = offered(&watching_until(&["*/*"], expires));
    let address = deployment.gateway.address;
    let mut client = RawClient::offering(address, "/ws/optimization", &protocols).await;
    for job in jobs {
        deployment.publisher.publish(job, "job_started", &json!({})).await;
        client
            .say(json!({ "type": "subscribe", "jobId": job, "afterEventId": 0 }).to_string())
            .await;
        assert_eq!(client.message().await["type"], "subscribed");
        // As history or live, as it happens.
        assert_eq!(client.message().await["jobId"], *job);
    }
    client
}

async fn say_token(client: &mut RawClient, token: &str) -> Value {
    client.say(json!({ "type": "auth", "token": token }).to_string()).await;
    client.message().await
}
