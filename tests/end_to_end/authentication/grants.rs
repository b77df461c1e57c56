//! A job outside the claims is never delivered, whatever its name looks like.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{ask, ask_with};
use crate::harness::client::{events_in, id_of};
use crate::harness::deployment::Deployment;
use crate::harness::eventually;
use crate::harness::issuer::*;
use crate::harness::raw_client::RawClient;

/// A set of claims, a job that they allow, and names of jobs that they do not.
struct Case {
    watch: &'static [&'static str],
    allowed: (&'static str, &'static str),
    others: &'static [(&'static str, &'static str)],
}

const CASES: [Case; 5] = [
    Case {
        watch: &["training/team7-*"],
        allowed: ("training", "team7-a"),
        others: &[
            ("training", "team7"),
            ("training", "team70-a"),
            ("training", "team"),
            ("training", "TEAM7-a"),
            ("training", "Team7-a"),
            ("training", "xteam7-a"),
            ("training", "-team7-a"),
            ("training", "team7_a"),
            ("training", "team7%2Da"),
            ("training", "team7%2da"),
            ("training", "%74eam7-a"),
            ("training", "team7-%61"),
            ("training", "team7-a.x"),
            ("training", "team7-.a"),
            ("training", "team7-*"),
            ("training", "team7-a*"),
            ("training", "*"),
            ("training", ">"),
            ("training", "team7-a.>"),
            ("training", "team7-a\u{0}"),
            ("training", "team7-a\n"),
            ("training", " team7-a"),
            ("training", "team7-a "),
            ("training", "team7\u{2010}a"),
            ("training", "team7\u{2212}a"),
            ("training", "team\u{ff17}-a"),
            ("training", "tеam7-a"),
            ("training", "team7-\u{200b}a"),
            ("training", "../training/team7-a"),
            ("training", "team7-a/../../x"),
            ("training", ""),
            ("agent", "team7-a"),
            ("optimization", "team7-a"),
            ("Training", "team7-a"),
            ("training-2", "team7-a"),
            ("train", "team7-a"),
            ("*", "team7-a"),
            ("training.team7-a", "team7-a"),
            ("training/team7-a", "team7-a"),
            ("training ", "team7-a"),
            ("", "team7-a"),
        ],
    },
    Case {
        watch: &["training/exact"],
        allowed: ("training", "exact"),
        others: &[
            ("training", "exact-"),
            ("training", "exac"),
            ("training", "Exact"),
            ("training", "exact0"),
            ("training", "exact.exact"),
            ("agent", "exact"),
        ],
    },
    Case {
        watch: &["training/*"],
        allowed: ("training", "team7"),
        others: &[
            ("agent", "team7"),
            ("trainings", "team7"),
            ("TRAINING", "team7"),
            ("training", "*"),
            ("training", "a.b"),
        ],
    },
    Case {
        watch: &["*/*"],
        allowed: ("anything", "at-all"),
        others: &[("*", "at-all"), ("anything", "*"), ("anything", ">"), ("anything", "at.all")],
    },
    Case {
        watch: &["*/shared", "agent*/a-*", "not a pattern", "training/x/y", "beam-search/*x"],
        allowed: ("whatever", "shared"),
        others: &[
            ("whatever", "shared-"),
            ("agent", "a"),
            ("training", "x"),
            ("beam-search", "zx"),
            ("beam-search", "*x"),
            ("not a pattern", "x"),
        ],
    },
];

#[tokio::test]
async fn no_job_outside_the_claims_is_delivered_on_the_shared_connection() {
    let deployment = guarded().await;
    for case in &CASES {
        let mut client = connected(&deployment, "/ws/optimization", case.watch).await;
        publish(&deployment, case).await;
        for (kind, id) in case.others {
            let about = json!({ "jobId": id, "kind": kind, "afterEventId": 0 });
            assert_refused_with(&mut client, "subscribe", about.clone(), "FORBIDDEN").await;
            // It was never subscribed, so there is nothing to tell again.
            assert_refused_with(&mut client, "replay", about, "NOT_SUBSCRIBED").await;
        }
        let (kind, id) = case.allowed;
        let request = json!({ "type": "subscribe", "jobId": id, "kind": kind, "afterEventId": 0 });
        client.say(request.to_string()).await;
        assert_eq!(client.message().await["type"], "subscribed");
        let last = publish(&deployment, case).await;
        assert_only_of(&mut client, id, last).await;
    }
}

#[tokio::test]
async fn an_id_that_is_no_name_or_of_a_wrong_type_is_refused_and_nothing_is_delivered() {
    let deployment = guarded().await;
    let mut client = connected(&deployment, "/ws/optimization", &["optimization/a"]).await;
    deployment.publisher.publish_of("optimization/a", "progress", &json!({})).await;
    for id in [json!(null), json!(7), json!(["a"]), json!({ "a": 1 }), json!(true), json!("")] {
        for request in ["subscribe", "replay", "unsubscribe"] {
            let about = json!({ "jobId": id, "afterEventId": 0 });
            assert_refused_with(&mut client, request, about, "INVALID_JOB_ID").await;
        }
    }
    for kind in [json!(7), json!(["optimization"]), json!({})] {
        let about = json!({ "jobId": "a", "kind": kind, "afterEventId": 0 });
        assert_refused_with(&mut client, "subscribe", about, "INVALID_MESSAGE").await;
    }
    let about = json!({ "type": "replay", "jobId": "a", "afterEventId": 0 });
    client.say(about.to_string()).await;
    let told = client.message().await;
    assert_eq!((&told["type"], &told["code"]), (&json!("error"), &json!("NOT_SUBSCRIBED")));
    client.hears_nothing().await;
}

#[tokio::test]
async fn a_kind_in_the_query_is_judged_like_any_other() {
    let deployment = guarded().await;
    let mut client =
        connected(&deployment, "/ws/optimization?kind=training", &["optimization/a", "agent/b"])
            .await;
    deployment.publisher.publish_of("training/a", "progress", &json!({})).await;
    let last = deployment.publisher.publish_of("agent/b", "progress", &json!({})).await;
    let about = json!({ "jobId": "a", "afterEventId": 0 });
    assert_refused_with(&mut client, "subscribe", about, "FORBIDDEN").await;
    let request = json!({ "type": "subscribe", "jobId": "b", "kind": "agent", "afterEventId": 0 });
    client.say(request.to_string()).await;
    assert_eq!(client.message().await["type"], "subscribed");
    assert_only_of(&mut client, "b", last).await;
}

#[tokio::test]
async fn a_path_of_another_job_is_403_before_the_upgrade() {
    let deployment = guarded().await;
    let address = deployment.gateway.address;
    let token = token(&watching(&["training/team7-*", "agent/team7-*"]));
    for path in [
        "/api/v1/training-jobs/team7/ws",
        "/api/v1/training-jobs/team70-a/ws",
        "/api/v1/training-jobs/TEAM7-a/stream",
        "/api/v1/training-jobs/team7-a/ws?kind=optimization",
        "/api/v1/training-jobs/team7-a/stream?a=b&kind=Training",
        "/api/v1/training-jobs/team7-a/ws?kind=other&kind=training",
        "/ws/agent-progress/team7",
        "/ws/agent-progress/7",
        "/ws/agent-progress/team7-a?kind=beam-search",
        "/api/v1/jobs/optimization/team7-a/events",
        "/api/v1/jobs/agent/team7/events",
        "/api/v1/jobs/agent/team8-a/events?kind=training",
        "/api/v1/jobs/agent/team8-a/events?after=0&limit=5",
        "/api/v1/jobs/agent/team8-a",
        "/api/v1/training-jobs/team8-a",
        "/api/v1/training-jobs/team7-a?kind=agent2",
        "/api/v1/training-jobs/team7-a/ws?kind=%6fptimization",
    ] {
        let answer = ask_with(address, path, &token).await;
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
        assert_eq!(answer.json()["code"], "FORBIDDEN", "{path}");
    }
    for path in [
        "/api/v1/training-jobs/team7-%61/ws",
        "/api/v1/training-jobs/team7-a.b/ws",
        "/api/v1/training-jobs/*/ws",
        "/api/v1/training-jobs/team7-a/ws?kind=*",
        "/api/v1/training-jobs/team7-a/ws?kind=",
        "/api/v1/training-jobs/team7-a/ws?kind=training%00",
        "/api/v1/training-jobs/team7-a/ws?kind=train%2A",
        "/api/v1/training-jobs/team7-*",
        "/api/v1/jobs/agent/team7-*",
        "/ws/agent-progress/team7-*",
        "/ws/agent-progress/%2e%2e",
        "/api/v1/jobs/agent/team7-*/events",
        "/api/v1/jobs/*/team7-a/events",
    ] {
        let answer = ask_with(address, path, &token).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert_eq!(answer.json()["code"], "INVALID_JOB_ID", "{path}");
    }
    for path in [
        "/api/v1/training-jobs/team7-a/ws",
        "/api/v1/training-jobs/team7-a/ws?kind=train%69ng",
        "/ws/agent-progress/team7-b?kind=training",
    ] {
        assert_eq!(ask_with(address, path, &token).await.status, 101, "{path}");
    }
}

#[tokio::test]
async fn a_beam_search_client_is_told_by_its_own_error() {
    let deployment = guarded().await;
    deployment.publisher.publish_of("beam-search/team8-a", "job_started", &json!({})).await;
    for (request, code) in [
        (json!({ "type": "subscribe", "jobId": "team8-a" }), "FORBIDDEN"),
        (json!({ "type": "subscribe", "jobId": "TEAM7-a" }), "FORBIDDEN"),
        (json!({ "type": "subscribe", "jobId": "team7-a", "kind": "agent" }), "FORBIDDEN"),
        (json!({ "type": "subscribe", "jobId": "team7-*" }), "INVALID_JOB_ID"),
        (json!({ "type": "subscribe", "jobId": "" }), "INVALID_JOB_ID"),
    ] {
        let mut client = connected(&deployment, "/", &["beam-search/team7-*"]).await;
        client.say(request.to_string()).await;
        let told = client.message().await;
        assert_eq!(
            (&told["type"], &told["error"]["code"]),
            (&json!("error"), &json!(code)),
            "{told}"
        );
        assert!(told["error"]["message"].is_string(), "{told}");
        assert_eq!(told["jobId"], request["jobId"], "{told}");
        client.hears_nothing().await;
    }
}

#[tokio::test]
async fn events_are_streamed_only_of_jobs_that_the_claims_name() {
    let deployment = guarded().await;
    for job in ["agent/team7-a", "agent/team8-a"] {
        deployment.publisher.publish_of(job, "job_completed", &json!({})).await;
    }
    let token = token(&watching(&["agent/team7-*"]));
    let address = deployment.gateway.address;
    let events = |job: &str| format!("/api/v1/jobs/agent/{job}/events");
    assert_eq!(ask_with(address, &events("team8-a"), &token).await.status, 403);
    let granted = ask_with(address, &events("team7-a"), &token).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    assert!(granted.body.contains("job_completed"), "{granted:?}");
    // A job that is not there and one that is not allowed look the same without the right.
    assert_eq!(ask_with(address, &events("team8-nothing"), &token).await.status, 403);
}

#[tokio::test]
async fn the_list_shows_no_job_outside_the_claims_however_many_there_are() {
    let deployment = guarded().await;
    let publisher = &deployment.publisher;
    let ours = ["training/team7-a", "training/team7-b", "agent/shared"];
    for job in ours {
        publisher.publish_of(job, "job_started", &json!({})).await;
    }
    // More than the list has room for, and newer.
    for number in 0..150 {
        publisher.publish_of(&format!("training/team8-{number}"), "job_started", &json!({})).await;
    }
    let everything = token(&watching(&["*/*"]));
    let address = deployment.gateway.address;
    eventually("the gateway has them all", async || {
        let listed = ask_with(address, "/api/v1/jobs", &everything).await.json();
        names(&listed).contains("training/team8-149").then_some(())
    })
    .await;
    let token = token(&watching(&["training/team7-*", "agent/shared"]));
    let listed = ask_with(address, "/api/v1/jobs", &token).await;
    assert_eq!(listed.status, 200);
    assert_eq!(names(&listed.json()), ours.map(str::to_owned).into());
    assert_eq!(ask(address, "/api/v1/jobs", &[]).await.status, 401);
}

fn names(listed: &Value) -> HashSet<String> {
    let name = |job: &Value| {
        format!(
            "{}/{}",
            job["kind"].as_str().expect("a kind"),
            job["jobId"].as_str().expect("an id")
        )
    };
    listed["jobs"].as_array().expect("a list of jobs").iter().map(name).collect()
}

async fn connected(deployment: &Deployment, path: &str, watch: &[&str]) -> RawClient {
    let protocols = format!("Bearer, {}", token(&watching(watch)));
    RawClient::offering(deployment.gateway.address, path, &protocols).await
}

/// Asks for something that is refused with this code, or as a name that no job can have.
async fn assert_refused_with(client: &mut RawClient, request: &str, mut about: Value, code: &str) {
    about["type"] = request.into();
    client.say(about.to_string()).await;
    let told = client.message().await;
    assert_eq!(told["type"], "error", "{about}: {told}");
    assert!(told["code"] == code || told["code"] == "INVALID_JOB_ID", "{about}: {told}");
    if let (Some(told), Some(asked)) = (told.get("jobId"), about.get("jobId")) {
        assert_eq!(told, asked);
    }
}

/// Publishes an event of each of a case's jobs that can exist; the last one is the allowed job's.
async fn publish(deployment: &Deployment, case: &Case) -> u64 {
    let is_name = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let others = case.others.iter().filter(|(kind, id)| is_name(kind) && is_name(id));
    let mut last = 0;
    for (kind, id) in others.chain([&case.allowed]) {
        let job = format!("{kind}/{id}");
        let payload = json!({ "data": { "job": job } });
        last = deployment.publisher.publish_of(&job, "progress", &payload).await;
    }
    last
}

/// Reads up to an event, and asserts that all are of one job.
async fn assert_only_of(client: &mut RawClient, job: &str, last: u64) {
    let mut newest = 0;
    while newest < last {
        let message = client.message().await;
        assert_eq!(message["jobId"], job, "{message}");
        newest = events_in(&message).iter().map(id_of).max().unwrap_or(newest);
    }
    client.hears_nothing().await;
}
