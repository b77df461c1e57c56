//! Reading without a stream of any sort: a job's state, its events in pages, a list of jobs.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use async_nats::jetstream::stream;
use serde_json::{Value, json};

use crate::harness::deployment::{Backend, Deployment};
use crate::harness::plain_http::{Response, exchange, request};
use crate::harness::publisher::{ids, job_stream};
use crate::harness::within;

const SMALL_WINDOW: [&str; 2] = ["--window", "4MiB"];

impl Deployment {
    async fn get(&self, path: &str) -> Response {
        self.gateway.public_get(path).await
    }

    /// A page of a job's events; `job` is `kind/id`.
    async fn page(&self, job: &str, query: &str) -> Response {
        let path = format!("/api/v1/jobs/{job}/events{query}");
        let json = [("Accept", "application/json")];
        exchange(self.gateway.address, &request(self.gateway.address, &path, &json)).await
    }

    /// Every page of a job's events after a cursor, each of at most `limit`.
    async fn pages(&self, job: &str, mut after: u64, limit: usize) -> Vec<u64> {
        let mut told = Vec::new();
        loop {
            let page = self.page(job, &format!("?after={after}&limit={limit}")).await.json();
            let events = ids_of(&page);
            assert!(events.len() <= limit, "{page}");
            told.extend(events);
            let position = page["position"].as_u64().expect("a position");
            if page["caughtUp"] == true {
                return told;
            }
            assert!(position > after, "a page that leads nowhere: {page}");
            after = position;
        }
    }

    /// The whole list of jobs, page by page, as `kind/id`.
    async fn list(&self, query: &str) -> Vec<String> {
        let (mut listed, mut cursor) = (Vec::new(), String::new());
        for _ in 0..1_000 {
            let answer = self.get(&format!("/api/v1/jobs?{query}{cursor}")).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let answer = answer.json();
            listed.extend(answer["jobs"].as_array().expect("jobs").iter().map(name_of));
            match answer["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return listed,
            }
        }
        panic!("a list without an end");
    }
}

fn ids_of(page: &Value) -> Vec<u64> {
    let events = page["events"].as_array().unwrap_or_else(|| panic!("no events in {page}"));
    events.iter().map(|event| event["id"].as_u64().expect("an id")).collect()
}

fn name_of(job: &Value) -> String {
    format!("{}/{}", job["kind"].as_str().unwrap_or("?"), job["jobId"].as_str().unwrap_or("?"))
}

#[tokio::test]
async fn the_state_of_a_job_is_told_as_of_a_position_that_a_watcher_goes_on_from() {
    let deployment = Deployment::start().await;
    let progress = |part: f64| json!({ "data": { "progress": part } });
    let events = [
        ("job_started", json!({ "data": { "config": { "lr": 1e-3 } } })),
        ("progress", progress(0.25)),
        ("progress", progress(0.5)),
    ];
    let told = deployment.tell("training/42", &events).await;
    deployment.tell("training/other", &[("progress", progress(0.1))]).await;
    let state = deployment.get("/api/v1/jobs/training/42").await.json();
    assert_eq!((&state["kind"], &state["jobId"]), (&json!("training"), &json!("42")));
    assert_eq!((&state["status"], &state["progress"]), (&json!("running"), &json!(0.5)));
    assert_eq!(state["lastEventId"], json!(told[2]));
    let last_events = state["lastEvents"].as_array().expect("the last event of every type");
    assert_eq!(
        last_events,
        &vec![
            {
                let mut started = last_events[0].clone();
                started["data"] = json!({ "config": { "lr": 1e-3 } });
                started
            },
            json!({
                "id": told[2], "eventType": "progress", "data": { "progress": 0.5 },
                "timestamp": last_events[1]["timestamp"],
            }),
        ]
    );

    let position = state["position"].as_u64().expect("a position");
    assert!(position > told[2], "the other job's event was before it: {state}");
    let next = deployment.tell("training/42", &[("progress", progress(0.75))]).await[0];
    let query = format!("?after={position}&epoch={}", state["epoch"].as_str().expect("an epoch"));
    assert_eq!(ids_of(&deployment.page("training/42", &query).await.json()), [next]);
    assert_eq!(deployment.events("training/42", &query).await.ids(1).await, [next]);
    let mut client = deployment.client().await;
    let subscribe = json!({ "type": "subscribe", "jobId": "42", "kind": "training",
        "afterEventId": position, "epoch": state["epoch"] });
    client.subscribed_with(&subscribe).await;
    let replay = client.expect("replay").await;
    assert_eq!(replay["data"][0]["id"], json!(next), "{replay}");
}

#[tokio::test]
async fn the_state_follows_every_step_of_a_life() {
    let deployment = Deployment::start().await;
    for (event, data, status) in [
        ("job_created", json!({}), "pending"),
        ("job_started", json!({}), "running"),
        ("job_paused", json!({}), "paused"),
        ("job_resumed", json!({}), "running"),
        ("job_failed", json!({ "error": "x", "willRetry": true }), "pending"),
        ("job_started", json!({}), "running"),
        ("job_completed", json!({}), "succeeded"),
    ] {
        deployment.tell("any/job", &[(event, json!({ "data": data }))]).await;
        let state = deployment.get("/api/v1/jobs/any/job").await.json();
        assert_eq!(state["status"], status, "after {event}");
    }
}

#[tokio::test]
async fn a_job_that_nobody_knows_has_no_state_and_an_impossible_one_is_told_apart() {
    let deployment = Deployment::start().await;
    for path in ["/api/v1/jobs/training/404", "/api/v1/training-jobs/404"] {
        let answer = deployment.get(path).await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("JOB_NOT_FOUND")));
    }
    for path in ["/api/v1/jobs/training/a.b", "/api/v1/jobs/*/x", "/api/v1/training-jobs/a%20b"] {
        let answer = deployment.get(path).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("INVALID_JOB_ID")));
    }
}

#[tokio::test]
async fn the_polling_resource_of_a_training_job_says_what_its_clients_read() {
    let deployment = Deployment::start().await;
    let started = json!({ "data": { "config": { "iterations": 40 } } });
    let progress = json!({ "iteration": 10, "data": { "current_loss": 0.5, "total_epochs": 40 } });
    deployment.tell("training/7", &[("job_started", started), ("progress", progress)]).await;
    let running = deployment.get("/api/v1/training-jobs/7").await.json();
    assert_eq!(
        running,
        json!({ "job_id": 7, "status": "running", "progress": 0.25, "current_epoch": 10,
            "total_epochs": 40, "current_loss": 0.5 })
    );
    let completed = json!({ "data": { "model_id": "m-1", "final_metrics": { "loss": 0.125 } } });
    deployment.tell("training/7", &[("job_completed", completed)]).await;
    let ended = deployment.get("/api/v1/training-jobs/7").await.json();
    assert_eq!((&ended["status"], &ended["model_id"]), (&json!("succeeded"), &json!("m-1")));
    assert_eq!(ended["final_metrics"], json!({ "loss": 0.125 }));

    let failed = json!({ "data": { "error": "out of memory" } });
    deployment.tell("training/a-b", &[("job_failed", failed)]).await;
    let failed = deployment.get("/api/v1/training-jobs/a-b").await.json();
    assert_eq!((&failed["job_id"], &failed["status"]), (&json!("a-b"), &json!("failed")));
    assert_eq!(failed["error_message"], "out of memory");
    deployment.tell("other/9", &[("job_cancelled", json!({}))]).await;
    let other = deployment.get("/api/v1/training-jobs/9?kind=other").await.json();
    assert_eq!((&other["kind"], &other["status"]), (&json!("other"), &json!("stopped")));
}

#[tokio::test]
async fn pages_hold_every_event_once_wherever_the_window_ends() {
    let deployment = Deployment::with_arguments(&SMALL_WINDOW).await;
    let older = deployment.publish_history("job", 0..150, 1_000).await;
    deployment.publish_other_jobs(6 << 20).await;
    let newer = deployment.publish_history("job", 150..200, 1_000).await;
    let all = [older, newer].concat();
    for limit in [1, 7, 1_000] {
        assert_eq!(deployment.pages("optimization/job", 0, limit).await, all, "limit {limit}");
    }
    for (index, id) in all.iter().enumerate().step_by(31) {
        assert_eq!(deployment.pages("optimization/job", *id, 1_000).await, all[index + 1..]);
    }
}

#[tokio::test]
async fn a_page_has_the_events_as_every_other_client_gets_them() {
    let deployment = Deployment::start().await;
    let body = json!({ "iteration": 1.5, "stage": "a", "data": { "n": 1e2 }, "extra": 1,
        "timestamp": "2026-03-01T10:00:00Z" });
    let id = deployment.tell("training/job", &[("progress", body)]).await[0];
    let page = deployment.page("training/job", "").await;
    assert!(page.header("content-type").starts_with("application/json"), "{page:?}");
    let page = page.json();
    let streamed = deployment.events("training/job", "").await.event().await.expect("an event");
    assert_eq!(page["events"], json!([streamed.data]));
    assert_eq!((&page["kind"], &page["jobId"]), (&json!("training"), &json!("job")));
    assert_eq!((&page["caughtUp"], &page["ended"]), (&json!(true), &json!(false)));
    assert!(page["position"].as_u64() >= Some(id), "{page}");
}

#[tokio::test]
async fn a_page_has_at_most_a_quarter_of_a_mebibyte_unless_one_event_is_larger() {
    let deployment = Deployment::start().await;
    let large = json!({ "data": { "text": "x".repeat(400 << 10) } });
    let small = json!({ "data": { "text": "x".repeat(50 << 10) } });
    let events: Vec<(&str, Value)> =
        (0..12).map(|number| ("progress", [&small, &large][number % 4 / 3].clone())).collect();
    let all = deployment.tell("training/job", &events).await;
    assert_eq!(deployment.pages("training/job", 0, 1_000).await, all);
    let first = deployment.page("training/job", "").await;
    assert!(first.body.len() < 700 << 10, "{} bytes", first.body.len());
    assert_eq!(first.json()["caughtUp"], json!(false));
}

#[tokio::test]
async fn a_long_poll_waits_for_the_next_event_and_no_longer_than_asked() {
    let deployment = Deployment::start().await;
    let id = deployment.tell("training/job", &[("progress", json!({}))]).await[0];
    let started = Instant::now();
    let empty = deployment.page("training/job", &format!("?after={id}&wait=1")).await.json();
    assert_eq!((ids_of(&empty), &empty["caughtUp"]), (vec![], &json!(true)));
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());

    let query = format!("?after={id}&wait=30");
    let polls =
        futures_util::future::join_all((0..20).map(|_| deployment.page("training/job", &query)));
    let publishing = async {
        // Not before all of them wait; an earlier event would only be answered sooner.
        tokio::time::sleep(Duration::from_millis(500)).await;
        deployment.tell("training/other", &[("progress", json!({}))]).await;
        deployment.tell("training/job", &[("progress", json!({}))]).await[0]
    };
    let started = Instant::now();
    let (answers, next) = within("long polls end", async { tokio::join!(polls, publishing) }).await;
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    for answer in answers {
        assert_eq!(ids_of(&answer.json()), [next]);
    }
}

#[tokio::test]
async fn a_long_poll_of_a_job_that_has_ended_does_not_wait() {
    let deployment = Deployment::with_arguments(&SMALL_WINDOW).await;
    let ids =
        deployment.tell("k/done", &[("progress", json!({})), ("job_completed", json!({}))]).await;
    let check = async || {
        let started = Instant::now();
        let whole = deployment.page("k/done", "?wait=30").await.json();
        assert_eq!((ids_of(&whole), &whole["ended"]), (ids.clone(), &json!(true)));
        let rest = deployment.page("k/done", &format!("?after={}&wait=30", ids[1])).await.json();
        assert_eq!((ids_of(&rest), &rest["ended"]), (vec![], &json!(true)));
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    };
    check().await;
    deployment.publish_other_jobs(6 << 20).await;
    check().await;
    let retried = json!({ "data": { "willRetry": true } });
    let id = deployment.tell("k/retried", &[("job_failed", retried)]).await[0];
    let page = deployment.page("k/retried", &format!("?after={}", id - 1)).await.json();
    assert_eq!((ids_of(&page), &page["ended"]), (vec![id], &json!(false)));
}

#[tokio::test]
async fn a_long_poll_ends_when_the_gateway_stops() {
    let deployment = Deployment::start().await;
    let id = deployment.tell("k/job", &[("progress", json!({}))]).await[0];
    let query = format!("?after={id}&wait=50");
    let polling = deployment.page("k/job", &query);
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        deployment.gateway.terminate();
    };
    let (answer, ()) = within("the poll ends", async { tokio::join!(polling, stopping) }).await;
    assert_eq!((answer.status, ids_of(&answer.json())), (200, vec![]));
}

#[tokio::test]
async fn history_that_is_gone_is_410_and_says_what_there_is() {
    let definition = stream::Config { max_messages: 50, ..job_stream() };
    let backend = Backend::with_stream(definition).await;
    // Before the gateway is there: its window would hold what the stream has let go.
    let told = ids(&backend.publisher.publish_numbered("job", 0..120).await);
    let deployment = backend.deploy(&[]).await;
    let gone = deployment.page("optimization/job", &format!("?after={}", told[9])).await;
    assert_eq!(gone.status, 410);
    let gone = gone.json();
    let expected = json!({ "error": gone["error"], "code": "HISTORY_TRUNCATED",
        "requestedAfter": told[9], "firstAvailable": told[70], "lastEventId": told[119] });
    assert_eq!(gone, expected);
    // Who asks for what there is gets it.
    assert_eq!(deployment.pages("optimization/job", 0, 1_000).await, told[70..]);
}

#[tokio::test]
async fn a_cursor_of_another_stream_is_410_on_pages_and_on_streams_of_events() {
    let deployment = Deployment::start().await;
    let id = deployment.tell("k/job", &[("progress", json!({}))]).await[0];
    let query = format!("?after={id}&epoch=other");
    let page = deployment.page("k/job", &query).await;
    let path = format!("/api/v1/jobs/k/job/events{query}");
    for answer in [page, deployment.get(&path).await] {
        assert_eq!((answer.status, &answer.json()["code"]), (410, &json!("CURSOR_INVALID")));
    }
}

#[tokio::test]
async fn a_wish_out_of_bounds_is_answered_with_the_bounds() {
    let deployment = Deployment::start().await;
    deployment.tell("k/job", &[("progress", json!({}))]).await;
    for (query, code, says) in [
        ("?after=-1", "INVALID_CURSOR", "whole number"),
        ("?after=x", "INVALID_CURSOR", "whole number"),
        ("?limit=0", "INVALID_LIMIT", "1 to 1000"),
        ("?limit=1001", "INVALID_LIMIT", "1 to 1000"),
        ("?wait=56", "INVALID_WAIT", "0 to 55"),
        ("?wait=1s", "INVALID_WAIT", "0 to 55"),
    ] {
        let answer = deployment.page("k/job", query).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(code)), "{query}");
        assert!(answer.body.contains(says), "{answer:?}");
    }
    for (query, code) in [
        ("limit=501", "INVALID_LIMIT"),
        ("cursor=7", "INVALID_CURSOR"),
        ("kind=a.b", "INVALID_JOB_ID"),
    ] {
        let answer = deployment.get(&format!("/api/v1/jobs?{query}")).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(code)), "{query}");
    }
}

#[tokio::test]
async fn the_list_goes_on_below_the_window_and_names_every_job_once() {
    let deployment = Deployment::with_arguments(&SMALL_WINDOW).await;
    let ends = [
        ("job_completed", "succeeded"),
        ("job_failed", "failed"),
        ("progress", "unknown"),
        ("job_started", "running"),
    ];
    let mut expected = Vec::new();
    for number in 0..60 {
        let job = format!("old/job-{number}");
        deployment.publisher.publish_of(&job, ends[number % 4].0, &json!({})).await;
        expected.push(job);
    }
    // One of them lives on in the window; it belongs there.
    deployment.publish_other_jobs(6 << 20).await;
    deployment.tell("old/job-17", &[("progress", json!({}))]).await;
    let listed = deployment.list("limit=25&").await;
    let distinct: BTreeSet<&String> = listed.iter().collect();
    assert_eq!(distinct.len(), listed.len(), "a job stands twice");
    let mut old: Vec<&String> = listed.iter().filter(|job| job.starts_with("old/")).collect();
    assert_eq!(old.remove(0), "old/job-17", "it is the newest of them");
    expected.retain(|job| job != "old/job-17");
    expected.reverse();
    assert_eq!(old, expected.iter().collect::<Vec<_>>(), "those with the newest events first");

    let of_kind = deployment.list("kind=old&limit=7&").await;
    assert_eq!(of_kind.len(), 60);
    assert!(of_kind.iter().all(|job| job.starts_with("old/")), "{of_kind:?}");

    let (mut cursor, mut statuses) = (String::new(), Vec::new());
    while statuses.len() < 59 {
        let answer = deployment.get(&format!("/api/v1/jobs?kind=old&{cursor}")).await.json();
        let jobs = answer["jobs"].as_array().expect("jobs");
        statuses.extend(jobs.iter().map(|job| (name_of(job), job["status"].clone())));
        let Some(next) = answer["next"].as_str() else { break };
        cursor = format!("cursor={next}");
    }
    for (job, status) in statuses.iter().filter(|(job, _)| job != "old/job-17") {
        let number: usize = job.rsplit('-').next().expect("a number").parse().expect("a number");
        assert_eq!(status, ends[number % 4].1, "{job}");
    }
}

#[tokio::test]
async fn a_job_with_many_types_is_listed_and_the_others_around_it_too() {
    let deployment = Deployment::with_arguments(&SMALL_WINDOW).await;
    for number in 0..1_100 {
        let event_type = format!("type-{number}");
        deployment.publisher.publish_of("many/types", &event_type, &json!({})).await;
    }
    for number in 0..5 {
        deployment.publisher.publish_of(&format!("few/{number}"), "progress", &json!({})).await;
    }
    deployment.publish_other_jobs(6 << 20).await;
    let listed = deployment.list("kind=few&").await;
    assert_eq!(listed, ["few/4", "few/3", "few/2", "few/1", "few/0"]);
    let all = deployment.list("").await;
    assert!(listed.iter().all(|job| all.contains(job)), "{all:?}");
}

#[tokio::test]
async fn without_nats_the_window_still_lists_and_what_needs_nats_says_so() {
    let mut deployment = Deployment::with_arguments(&SMALL_WINDOW).await;
    deployment.tell("k/old", &[("progress", json!({}))]).await;
    deployment.publish_other_jobs(6 << 20).await;
    let id = deployment.tell("k/new", &[("job_started", json!({}))]).await[0];
    let next = deployment.get("/api/v1/jobs?limit=500").await.json()["next"].clone();
    deployment.nats.stop();
    let listed = deployment.get("/api/v1/jobs?limit=500").await;
    assert_eq!((listed.status, &listed.json()["next"]), (200, &next));
    let page = deployment.page("k/new", &format!("?after={}", id - 1)).await;
    assert_eq!(ids_of(&page.json()), [id]);
    let next = next.as_str().expect("there is more");
    for path in [format!("/api/v1/jobs?cursor={next}"), "/api/v1/jobs/k/old".to_owned()] {
        let answer = deployment.get(&path).await;
        assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("UNAVAILABLE")), "{path}");
        assert_eq!(answer.header("retry-after"), "1");
    }
}
