//! What an operator's monitoring sees.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::harness::deployment::{Backend, Deployment};
use crate::harness::eventually;
use crate::harness::gateway::Gateway;
use crate::harness::issuer;
use crate::harness::plain_http::{exchange, request};

/// Every sample: its name with its labels, and its value.
type Samples = BTreeMap<String, f64>;

async fn samples(gateway: &Gateway) -> Samples {
    let text = gateway.admin_get("/metrics").await.body;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').expect("a value in every sample");
        (series.to_owned(), value.parse().expect("a number in every sample"))
    };
    lines.map(sample).collect()
}

/// The sum over a family's samples whose labels contain a text.
fn sum(samples: &Samples, family: &str, labels: &str) -> f64 {
    let of_family = samples
        .iter()
        .filter(|(series, _)| series.split('{').next() == Some(family) && series.contains(labels));
    of_family.map(|(_, value)| value).sum()
}

/// Every value of every label, but for bounds of buckets.
fn label_values(samples: &Samples) -> BTreeSet<String> {
    let labels = samples.keys().filter_map(|series| series.split_once('{'));
    let pairs = labels.flat_map(|(_, labels)| labels.trim_end_matches('}').split(','));
    let values = pairs.filter_map(|pair| pair.split_once('=')).filter(|(label, _)| *label != "le");
    values.map(|(_, value)| value.trim_matches('"').to_owned()).collect()
}

#[tokio::test]
async fn ten_thousand_jobs_add_no_series_and_no_value_of_a_label() {
    const JOBS: u64 = 10_000;
    let deployment = Deployment::with_arguments(&["--publish"]).await;
    let before = samples(&deployment.gateway).await;
    let jobs = (0..JOBS).map(|number| (format!("job-{number}"), number));
    deployment.publisher.publish_all(jobs.collect(), "").await;
    for number in [1, 5_000, JOBS] {
        let mut client = deployment.client().await;
        client.subscribed(&format!("job-{}", number - 1), 0).await;
        client.subscribe(&format!("unheard-of-{number}"), None).await;
    }
    deployment.gateway.public_get("/api/v1/jobs/optimization/job-7").await;
    deployment.gateway.public_get("/no/such/path").await;
    let read = async || {
        let now = samples(&deployment.gateway).await;
        (sum(&now, "jobwire_window_jobs", "") >= JOBS as f64).then_some(now)
    };
    let after = eventually("all jobs are in the window", read).await;

    assert!(after.len() < 500, "{} series", after.len());
    let (old, new): (Vec<_>, Vec<_>) = (before.keys().collect(), after.keys().collect());
    assert_eq!(old, new, "series came or went");
    let kind = r#"kind="optimization""#;
    assert_eq!(sum(&after, "jobwire_job_events_total", kind), JOBS as f64);
    assert_eq!(sum(&after, "jobwire_events_received_total", r#"stream="JOBS""#), JOBS as f64);
    let found = r#"resource="job",status="2xx""#;
    assert_eq!(sum(&after, "jobwire_http_requests_total", found), 1.0);
    assert_eq!(sum(&after, "jobwire_http_requests_total", r#"resource="other""#), 1.0);
}

#[tokio::test]
async fn no_label_tells_who_watches_or_what() {
    let deployment = issuer::guarded().await;
    let token = issuer::token(&issuer::watching(&["optimization/private-job"]));
    let authorization = format!("Bearer {token}");
    let path = "/api/v1/jobs/optimization/private-job";
    let headers = [("authorization", authorization.as_str())];
    exchange(deployment.gateway.address, &request(deployment.gateway.address, path, &headers))
        .await;
    let bad = [("authorization", "Bearer mallory")];
    exchange(deployment.gateway.address, &request(deployment.gateway.address, path, &bad)).await;

    let now = samples(&deployment.gateway).await;
    assert_eq!(sum(&now, "jobwire_auth_tokens_total", r#"outcome="accepted""#), 1.0);
    assert_eq!(sum(&now, "jobwire_auth_tokens_total", ""), 2.0);
    for value in label_values(&now) {
        let told = ["private", "ann", "mallory", "127.0.0.1", "Bearer"];
        assert!(!told.iter().any(|secret| value.contains(secret)), "{value}");
    }
}

#[tokio::test]
async fn what_was_opened_less_what_was_closed_is_what_is_open() {
    let deployment = Deployment::start().await;
    let ids = deployment.tell("optimization/a", &[("job_started", json!({}))]).await;
    deployment.tell("training/b", &[("job_completed", json!({}))]).await;
    let (mut stays, mut goes) = (deployment.client().await, deployment.client().await);
    for client in [&mut stays, &mut goes] {
        client.subscribed("a", ids[0]).await;
        client.subscribed("a", ids[0]).await;
        client.subscribe("nowhere", None).await;
        client.expect_error("JOB_NOT_FOUND").await;
    }
    goes.send(&json!({ "type": "unsubscribe", "jobId": "a" })).await;
    goes.expect("unsubscribed").await;
    drop(goes);
    let mut ended = deployment.raw_client("/api/v1/training-jobs/b/ws").await;
    ended.rest().await;
    drop(deployment.events("optimization/a", "").await);

    let settled = async || {
        let now = samples(&deployment.gateway).await;
        let closed = sum(&now, "jobwire_connections_closed_total", "");
        let not_found = sum(&now, "jobwire_subscriptions_closed_total", r#"reason="not_found""#);
        (closed == 3.0 && not_found == 2.0 && now["jobwire_connections"] == 1.0).then_some(now)
    };
    let now = eventually("three are gone and one stays", settled).await;
    for what in ["connections", "subscriptions"] {
        let opened = sum(&now, &format!("jobwire_{what}_opened_total"), "");
        let closed = sum(&now, &format!("jobwire_{what}_closed_total"), "");
        assert_eq!((opened - closed, now[&format!("jobwire_{what}")]), (1.0, 1.0), "{what}");
    }
    assert_eq!(now["jobwire_subscriptions_catching_up"], 0.0);
    assert_eq!(sum(&now, "jobwire_subscriptions_closed_total", r#"reason="replaced""#), 2.0);
    assert_eq!(sum(&now, "jobwire_subscriptions_closed_total", r#"reason="client""#), 1.0);
    let of_job = r#"dialect="training",reason="job_ended""#;
    assert_eq!(sum(&now, "jobwire_connections_closed_total", of_job), 1.0);
    assert!(now["jobwire_caught_up_seconds_count"] >= 2.0, "{now:?}");
}

#[tokio::test]
async fn a_nats_server_that_stops_is_seen_and_so_is_its_return() {
    let mut deployment = Deployment::start().await;
    let state = async |gateway: &Gateway| {
        let now = samples(gateway).await;
        (now["jobwire_nats_connected"], sum(&now, "jobwire_tail_ready", r#"stream="JOBS""#))
    };
    assert_eq!(state(&deployment.gateway).await, (1.0, 1.0));
    deployment.nats.stop();
    let gone = async || {
        let now = samples(&deployment.gateway).await;
        let unanswered = r#"kind="stream_info",outcome="timeout""#;
        let asked = sum(&now, "jobwire_nats_requests_total", unanswered) >= 1.0;
        (asked && state(&deployment.gateway).await == (0.0, 0.0)).then_some(())
    };
    eventually("NATS is away", gone).await;
    deployment.nats.restart().await;
    let back = async || (state(&deployment.gateway).await == (1.0, 1.0)).then_some(());
    eventually("NATS is back", back).await;

    deployment.tell("optimization/a", &[("job_started", json!({}))]).await;
    let followed = async || {
        let now = samples(&deployment.gateway).await;
        let first = sum(&now, "jobwire_stream_first_sequence", "");
        (sum(&now, "jobwire_stream_sequence", "") == 1.0 && first == 1.0).then_some(now)
    };
    let now = eventually("the leader tells of the event", followed).await;
    assert!(now["jobwire_nats_reconnects_total"] >= 2.0, "{now:?}");
    assert!(sum(&now, "jobwire_tail_restarts_total", "") >= 1.0);
    assert_eq!(sum(&now, "jobwire_tail_lag_events", ""), 0.0);
    assert!(sum(&now, "jobwire_stream_bytes", "") > 0.0);
    assert_eq!(sum(&now, "jobwire_stream_consumers", ""), 1.0, "that of the tail");
    let answered = r#"kind="stream_info",outcome="ok""#;
    assert!(sum(&now, "jobwire_nats_requests_total", answered) >= 1.0);
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_by_how_far_they_are_behind() {
    let backend = Backend::start().await;
    let deployment = backend.deploy(&["--send-buffer", "4KiB", "--window", "4MiB"]).await;
    let address = deployment.gateway.address;
    let mut slow = crate::harness::client::Client::connect_with_a_small_buffer(address).await;
    deployment.publisher.publish_numbered("job", 0..1).await;
    slow.subscribed("job", None).await;
    let followed = async || {
        let now = samples(&deployment.gateway).await;
        (now["jobwire_caught_up_seconds_count"] == 1.0).then_some(now)
    };
    let now = eventually("it has caught up", followed).await;
    assert_eq!(now["jobwire_slowest_reader_behind_events"], 0.0);
    deployment.publisher.publish_padded("job", 1..200, 50_000).await;
    let behind = async || {
        let now = samples(&deployment.gateway).await;
        (now["jobwire_slowest_reader_behind_events"] >= 100.0).then_some(())
    };
    eventually("it is behind", behind).await;
    drop(slow);
    let nobody = async || {
        let now = samples(&deployment.gateway).await;
        (now["jobwire_slowest_reader_behind_events"] == 0.0).then_some(())
    };
    eventually("nobody is behind", nobody).await;
}

#[tokio::test]
async fn open_metrics_are_given_to_those_who_accept_them() {
    let deployment = Deployment::start().await;
    let admin = deployment.gateway.admin;
    let accept = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3";
    let answer = exchange(admin, &request(admin, "/metrics", &[("accept", accept)])).await;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), content_type);
    assert!(answer.body.ends_with("\n# EOF\n"), "{}", answer.body);
    for line in ["# TYPE jobwire_connections_opened counter", "# TYPE jobwire_draining gauge"] {
        assert!(answer.body.contains(line), "no {line}");
    }
}

#[tokio::test]
async fn a_drain_is_seen_with_those_who_were_asked_to_leave() {
    let mut deployment = Deployment::with_arguments(&["--drain", "3s"]).await;
    deployment.publisher.publish_numbered("job", 0..1).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = deployment.client().await;
        client.subscribed("job", None).await;
        clients.push(client);
    }
    assert_eq!(deployment.metric("jobwire_draining").await, 0.0);
    deployment.gateway.terminate();
    let asked = async || {
        let now = samples(&deployment.gateway).await;
        let asked = now["jobwire_drained_connections_total"];
        (now["jobwire_draining"] == 1.0 && asked >= 1.0).then_some(())
    };
    eventually("the drain is under way", asked).await;
    for client in &mut clients {
        assert_eq!(client.closed().await.0, 1012);
    }
    deployment.gateway.exit(crate::harness::PATIENCE).await;
}
