//! Plain HTTP: jobs, their events, and what operators read.

use std::net::SocketAddr;

use async_nats::jetstream::stream;
use serde_json::json;

use super::TRACEPARENT;
use super::description::Description;
use super::tokens::{WITH_TOKENS, token};
use super::upgrades::stay;
use crate::harness::deployment::{Backend, Deployment};
use crate::harness::event_reader::EventReader;
use crate::harness::eventually;
use crate::harness::publisher::job_stream;

const JSON: (&str, &str) = ("Accept", "application/json");

#[tokio::test]
async fn everything_that_is_read_over_http_is_described_and_the_other_way_round() {
    let description = Description::of_http();
    let mut deployment = deployment_with_jobs().await;
    read_states(&description, &deployment).await;
    read_events(&description, &deployment).await;
    list_jobs(&description, &deployment).await;
    ask_for_what_cannot_be(&description, &deployment).await;
    ask_with_tokens(&description).await;
    find_history_gone(&description).await;
    find_no_place(&description).await;
    ask_without_nats(&description, &mut deployment).await;
    description.assert_met(&description.parts_of_operations("read"));
}

/// A window of the smallest size, with one job of every status in or below it.
async fn deployment_with_jobs() -> Deployment {
    let backend = Backend::start().await;
    let progress = json!({ "iteration": 3, "stage": "train",
        "data": { "progress": 0.3, "total_epochs": 10, "current_loss": 0.5 } });
    for kind in ["training", "other"] {
        for life in [
            "job_created",
            "job_started",
            "job_paused",
            "job_completed",
            "job_failed",
            "job_cancelled",
        ] {
            let job = format!("{kind}/{life}");
            backend.publisher.publish_traced(&job, "progress", &progress, TRACEPARENT).await;
            backend.publisher.publish_of(&job, life, &json!({})).await;
        }
    }
    backend.publisher.publish_of("training/7", "progress", &progress).await;
    backend.publisher.publish_other_jobs(6 << 20).await;
    let deployment = backend.deploy(&["--window", "4MiB", "--job-grace", "100ms"]).await;
    deployment.tell("training/new", &[("job_started", json!({})), ("message", progress)]).await;
    deployment
}

async fn read_states(description: &Description, deployment: &Deployment) {
    let address = deployment.gateway.address;
    for (life, status) in [
        ("job_created", "pending"),
        ("job_started", "running"),
        ("job_paused", "paused"),
        ("job_completed", "succeeded"),
        ("job_failed", "failed"),
        ("job_cancelled", "stopped"),
    ] {
        for path in [
            format!("/api/v1/jobs/training/{life}"),
            format!("/api/v1/training-jobs/{life}?kind=other"),
        ] {
            assert_eq!(description.get(address, &path).await.json()["status"], status, "{path}");
        }
    }
    description.get(address, "/api/v1/jobs/training/7").await;
    description.get(address, "/api/v1/training-jobs/7").await;
}

async fn read_events(description: &Description, deployment: &Deployment) {
    let address = deployment.gateway.address;
    let path = "/api/v1/jobs/training/job_completed/events";
    let first = description.get_with(address, &format!("{path}?limit=1"), &[JSON]).await.json();
    let (after, epoch) = (&first["position"], first["epoch"].as_str().expect("an epoch"));
    let query = format!("{path}?after={after}&epoch={epoch}&wait=1");
    let rest = description.get_with(address, &query, &[JSON]).await.json();
    assert_eq!((&first["ended"], &rest["ended"]), (&json!(false), &json!(true)));

    for path in [path, "/api/v1/jobs/training/new/events"] {
        let mut reader = EventReader::open(address, path, &[]).await;
        for _ in 0..2 {
            description.check_block(path, &reader.event().await.expect("an event"));
        }
    }
    let seen = rest["position"].to_string();
    let answer = description.get_with(address, path, &[("Last-Event-ID", &*seen)]).await;
    assert_eq!(answer.status, 204);
    let query = format!("{path}?after={after}&epoch=0123abcd");
    assert_eq!(description.get(address, &query).await.json()["code"], "CURSOR_INVALID");
}

async fn list_jobs(description: &Description, deployment: &Deployment) {
    let address = deployment.gateway.address;
    for query in ["?limit=500", "?limit=5", "?kind=training&limit=1"] {
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/jobs{query}{cursor}");
            let answer = description.get(address, &path).await.json();
            let Some(next) = answer["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
    }
}

async fn ask_for_what_cannot_be(description: &Description, deployment: &Deployment) {
    let address = deployment.gateway.address;
    let events = "/api/v1/jobs/training/7/events";
    for (path, status) in [
        ("/api/v1/jobs?kind=a.b".to_owned(), 400),
        ("/api/v1/jobs?limit=501".to_owned(), 400),
        ("/api/v1/jobs?cursor=7".to_owned(), 400),
        ("/api/v1/jobs/training/a.b".to_owned(), 400),
        ("/api/v1/jobs/training/a.b/events".to_owned(), 400),
        ("/api/v1/training-jobs/a.b".to_owned(), 400),
        (format!("{events}?after=x"), 400),
        (format!("{events}?limit=1001"), 400),
        (format!("{events}?wait=56"), 400),
        ("/api/v1/jobs/training/nobody".to_owned(), 404),
        ("/api/v1/jobs/training/nobody/events".to_owned(), 404),
        ("/api/v1/training-jobs/nobody".to_owned(), 404),
    ] {
        let answer = description.get_with(address, &path, &[JSON]).await;
        assert_eq!(answer.status, status, "{path}");
    }
}

async fn ask_with_tokens(description: &Description) {
    let deployment = Deployment::configured(WITH_TOKENS).await;
    let address = deployment.gateway.address;
    let paths = [
        "/api/v1/jobs",
        "/api/v1/jobs/training/yours",
        "/api/v1/jobs/training/yours/events",
        "/api/v1/training-jobs/yours",
    ];
    let (nothing, mine) = (token(&[]), token(&["training/mine"]));
    for path in paths {
        assert_eq!(description.get(address, path).await.status, 401, "{path}");
        let query = format!("{path}?token={nothing}");
        assert_eq!(description.get(address, &query).await.status, 403, "{path}");
        let bearer = format!("Bearer {mine}");
        let answer = description.get_with(address, path, &[("Authorization", &bearer)]).await;
        assert_eq!(answer.status, if path == paths[0] { 200 } else { 403 }, "{path}");
    }
}

async fn find_history_gone(description: &Description) {
    let definition = stream::Config { max_messages: 20, ..job_stream() };
    let backend = Backend::with_stream(definition).await;
    backend.publisher.publish_numbered("job", 0..40).await;
    let deployment = backend.deploy(&[]).await;
    deployment.lists("optimization/job", 40).await;
    let path = "/api/v1/jobs/optimization/job/events?after=5";
    let answer = description.get(deployment.gateway.address, path).await;
    assert_eq!(answer.json()["code"], "HISTORY_TRUNCATED");
    // The window holds all that there is, so that it knows the first event of each job.
    let list = description.get(deployment.gateway.address, "/api/v1/jobs").await.json();
    assert_eq!(list["jobs"][0]["firstEventId"], 21);
}

async fn find_no_place(description: &Description) {
    let path = "/api/v1/jobs/training/7/events";
    for (limit, status) in [("--max-connections=1", 503), ("--max-connects-per-address=1", 429)] {
        let deployment = Deployment::with_arguments(&[limit]).await;
        deployment.tell("training/7", &[("job_started", json!({}))]).await;
        let address = deployment.gateway.address;
        let _staying = stay(address).await;
        eventually("there is no place", async || {
            let answer = description.get(address, path).await;
            assert_eq!(answer.json()["code"], "LIMIT");
            (answer.status == status).then_some(())
        })
        .await;
    }
}

async fn ask_without_nats(description: &Description, deployment: &mut Deployment) {
    let address = deployment.gateway.address;
    let list = description.get(address, "/api/v1/jobs?limit=500").await.json();
    let next = list["next"].as_str().expect("more below the window");
    deployment.nats.stop();
    let list = format!("/api/v1/jobs?cursor={next}");
    let paths = [
        &list,
        "/api/v1/jobs/training/7",
        "/api/v1/jobs/training/7/events",
        "/api/v1/training-jobs/7",
    ];
    let asking = paths.map(async |path| {
        let answer = description.get(address, path).await;
        assert_eq!(answer.json()["code"], "UNAVAILABLE", "{path}");
    });
    futures_util::future::join_all(asking).await;
    let _staying = stay(address).await;
    deployment.gateway.terminate();
    eventually("the gateway says that it stops", async || {
        (deployment.gateway.readiness().await?.status == 503).then_some(())
    })
    .await;
    let answer = description.get(address, "/api/v1/jobs/training/7/events").await;
    assert_eq!(answer.json()["code"], "DRAINING");
}

#[tokio::test]
async fn everything_that_operators_read_is_described_and_the_other_way_round() {
    let description = Description::of_http();
    let backend = Backend::without_a_stream().await;
    let gateway = backend.gateway_command(&[]).launch().await;
    assert_eq!(description.get(gateway.admin, "/readyz").await.status, 503);
    let deployment = Deployment::start().await;
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(description.get(deployment.gateway.admin, path).await.status, 200, "{path}");
    }
    description.assert_met(&description.parts_of_operations("operate"));

    for address in [deployment.gateway.address, deployment.gateway.admin] {
        assert_eq!(description.get(address, "/no/such/path").await.status, 404);
        let answer = description.ask_anywhere(address, "DELETE", "/api/v1/jobs", &[]).await;
        assert_eq!(answer.status, 405);
    }
    come_from_a_page(&description, deployment.gateway.address).await;
    let mut parts = description.parts_of_everywhere();
    // Nothing that a client can do leads there.
    parts.retain(|part| !part.ends_with("/500") && !part.contains("/Internal/"));
    description.assert_met(&parts);
}

async fn come_from_a_page(description: &Description, address: SocketAddr) {
    let (own, other) = (format!("http://{address}"), "https://elsewhere.example");
    let options = |headers| description.ask_anywhere(address, "OPTIONS", "/api/v1/jobs", headers);
    assert_eq!(options(&[]).await.status, 204);
    let asks = [
        ("Origin", &*own),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Private-Network", "true"),
    ];
    assert_eq!(options(&asks).await.status, 204);
    for path in ["/api/v1/jobs", "/no/such/path"] {
        let answer = description.get_with(address, path, &[("Origin", other)]).await;
        assert_eq!(answer.status, 403);
    }
}
