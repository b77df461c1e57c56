//! What a browser, a probe and a metrics collector find, and what is refused before the upgrade.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::client::PATH;
use crate::harness::deployment::Deployment;
use crate::harness::plain_http::{Response, exchange, request};
use crate::harness::within_time;

/// The header fields of an upgrade, with the key that RFC 6455 has as its example.
const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

#[tokio::test]
async fn the_root_is_a_page() {
    let deployment = Deployment::start().await;
    let page = deployment.gateway.public_get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"), "{page:?}");
    assert!(page.body.to_ascii_lowercase().contains("<html"), "{page:?}");
}

#[tokio::test]
async fn jobs_are_listed_with_those_that_began_last_first() {
    let deployment = Deployment::start().await;
    let publisher = &deployment.publisher;
    let first = publisher.publish("done", "job_started", &json!({})).await;
    let payload = json!({ "data": { "progress": 0.5 } }).to_string();
    let middle = publisher.publish_bytes("jobs.training.7.progress", payload).await;
    let last = publisher.publish("done", "job_completed", &json!({ "data": {} })).await;
    let newest = publisher.publish("running", "job_started", &json!({})).await;
    deployment.client().await.collect_until("running", 0, newest).await;

    let answer = deployment.gateway.public_get("/api/v1/jobs").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/json"), "{answer:?}");
    let answer = answer.json();
    let jobs = answer["jobs"].as_array().expect("a list of jobs");
    assert_eq!(jobs.len(), 3, "{answer}");
    assert_job(&jobs[0], ("optimization", "running"), (newest, newest), "job_started");
    assert_job(&jobs[1], ("training", "7"), (middle, middle), "progress");
    assert_job(&jobs[2], ("optimization", "done"), (first, last), "job_completed");
    assert_eq!((&jobs[0]["status"], &jobs[2]["status"]), (&json!("running"), &json!("succeeded")));
}

#[tokio::test]
async fn the_job_list_of_an_empty_stream_is_empty() {
    let deployment = Deployment::start().await;
    let answer = deployment.gateway.public_get("/api/v1/jobs").await;
    assert_eq!(answer.json(), json!({ "jobs": [], "next": null }));
}

#[tokio::test]
async fn an_operator_finds_liveness_readiness_and_metrics_at_the_admin_address() {
    let deployment = Deployment::start().await;
    let _client = deployment.client().await;
    assert_eq!(deployment.gateway.admin_get("/livez").await.status, 200);
    assert_eq!(deployment.gateway.admin_get("/readyz").await.status, 200);

    let metrics = deployment.gateway.admin_get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").starts_with("text/plain"), "{metrics:?}");
    assert!(metrics.body.contains("# TYPE jobwire_"), "{}", metrics.body);
    for line in metrics.body.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit(' ').next().map(str::parse::<f64>);
        assert!(matches!(value, Some(Ok(_))), "not a sample: {line:?}");
    }
}

#[tokio::test]
async fn what_is_for_operators_is_not_at_the_public_address() {
    let deployment = Deployment::start().await;
    assert_eq!(deployment.gateway.public_get("/metrics").await.status, 404);
}

#[tokio::test]
async fn an_unknown_path_is_a_json_error() {
    let deployment = Deployment::start().await;
    let Deployment { gateway, .. } = &deployment;
    for answer in [
        gateway.public_get("/no/such").await,
        gateway.public_get("/api/v1/jobs-of-mine").await,
        gateway.admin_get("/no/such").await,
    ] {
        assert_eq!(answer.status, 404);
        assert!(answer.header("content-type").starts_with("application/json"), "{answer:?}");
        assert!(answer.json()["error"].is_string(), "{answer:?}");
    }
    assert_eq!(upgrade(gateway.address, "/ws/no-such", &UPGRADE).await.status, 404);
}

#[cfg(not(feature = "conformance"))]
#[tokio::test]
async fn the_echo_for_test_suites_is_not_in_what_is_shipped() {
    let deployment = Deployment::start().await;
    let gateway = &deployment.gateway;
    assert_eq!(upgrade(gateway.address, "/__echo", &UPGRADE).await.status, 404);
    assert_eq!(gateway.public_get("/__echo").await.status, 404);
}

#[tokio::test]
async fn an_upgrade_is_accepted_as_the_standard_wants_it() {
    let deployment = Deployment::start().await;
    let answer = upgrade(deployment.gateway.address, PATH, &UPGRADE).await;
    assert_eq!(answer.status, 101);
    assert!(answer.header("upgrade").eq_ignore_ascii_case("websocket"), "{answer:?}");
    assert_eq!(answer.header("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[tokio::test]
async fn an_upgrade_to_another_version_is_refused() {
    let deployment = Deployment::start().await;
    for version in ["12", "", "x"] {
        let mut fields = UPGRADE;
        fields[2].1 = version;
        let answer = upgrade(deployment.gateway.address, PATH, &fields).await;
        assert!([400, 426].contains(&answer.status), "{version:?}: {answer:?}");
    }
    let answer = upgrade(deployment.gateway.address, PATH, &UPGRADE[..2]).await;
    assert!([400, 426].contains(&answer.status), "{answer:?}");
}

#[tokio::test]
async fn an_upgrade_without_a_key_is_refused() {
    let deployment = Deployment::start().await;
    let answer = upgrade(deployment.gateway.address, PATH, &UPGRADE[..3]).await;
    assert!([400, 426].contains(&answer.status), "{answer:?}");
}

#[tokio::test]
async fn a_plain_request_for_a_websocket_path_is_told_to_upgrade() {
    let deployment = Deployment::start().await;
    let answer = deployment.gateway.public_get(PATH).await;
    assert_eq!(answer.status, 426);
    assert!(answer.header("upgrade").eq_ignore_ascii_case("websocket"), "{answer:?}");
}

#[tokio::test]
async fn who_sends_header_fields_too_slowly_is_cut() {
    let deployment = Deployment::start().await;
    let started = Instant::now();
    let connection = TcpStream::connect(deployment.gateway.address).await.expect("a connection");
    let (mut reader, mut writer) = connection.into_split();
    writer.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.expect("a start");
    let dripping = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });

    let mut answer = Vec::new();
    let cut = reader.read_to_end(&mut answer);
    // Whether the cut is a clean end or a reset is the same to us.
    let _ = within_time(Duration::from_secs(13), "the cut", cut).await;
    dripping.abort();
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "half a request was answered");
    assert!(started.elapsed() >= Duration::from_secs(3), "slow is not that quick");
}

async fn upgrade(address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Response {
    exchange(address, &request(address, path, fields)).await
}

fn assert_job(job: &Value, (kind, id): (&str, &str), (first, last): (u64, u64), event_type: &str) {
    assert_eq!((&job["kind"], &job["jobId"]), (&json!(kind), &json!(id)), "{job}");
    assert_eq!(job["lastEventId"], last, "{job}");
    assert_eq!(job["lastEventType"], event_type, "{job}");
    if let Some(told) = job.get("firstEventId") {
        assert_eq!(*told, first, "{job}");
    }
    let at = job["lastEventAt"].as_str().expect("a time");
    OffsetDateTime::parse(at, &Rfc3339).expect("ISO 8601 with a zone");
    assert!(job["status"].as_str().is_some_and(|status| !status.is_empty()), "{job}");
}
