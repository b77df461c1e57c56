//! The channels of beam search, of training and of agents.

use async_nats::jetstream::stream;
use serde_json::{Value, json};

use super::conversing::Conversation;
use super::description::Description;
use super::tokens::{WITH_TOKENS, token};
use crate::harness::deployment::{Backend, Deployment};
use crate::harness::publisher::job_stream;

#[tokio::test]
async fn everything_that_is_said_of_a_beam_search_is_described_and_the_other_way_round() {
    let description = Description::of_web_sockets();
    let deployment = Deployment::start().await;
    deployment.tell("beam-search/image", &images()).await;
    let mut client = beam_search(&description, &deployment, "?kind=beam-search", "").await;
    client.say(json!({ "type": "subscribe", "jobId": "image" })).await;
    client.until("type", "complete").await;
    client.say(json!({ "type": "unsubscribe", "jobId": "image", "kind": "beam-search" })).await;
    for (event, job) in [("job_failed", "failed"), ("job_cancelled", "cancelled")] {
        deployment.tell(&format!("beam-search/{job}"), &[(event, json!({}))]).await;
        client.say(json!({ "type": "subscribe", "jobId": job })).await;
        client.until("type", "error").await;
    }
    for id in [json!("a.b"), json!(7), json!(["image"])] {
        client.blurt(&json!({ "type": "subscribe", "jobId": id }).to_string()).await;
        assert_eq!(client.message().await["error"]["code"], "INVALID_JOB_ID");
    }
    find_history_gone(&description).await;

    let deployment = Deployment::configured(WITH_TOKENS).await;
    let protocols = format!("Bearer, {}", token(&["beam-search/mine"]));
    let mut client = beam_search(&description, &deployment, "", &protocols).await;
    client.say(json!({ "type": "subscribe", "jobId": "yours" })).await;
    assert_eq!(client.message().await["error"]["code"], "FORBIDDEN");
    description.assert_met(&description.parts_of_channel("beamSearch"));
}

/// Jobs of another kind, the beginnings of which are all gone.
async fn find_history_gone(description: &Description) {
    let events = [("note", json!({}))].into_iter().chain(images());
    let events: Vec<_> = events.chain([("job_failed", json!({}))]).collect();
    let definition = stream::Config { max_messages: 6, ..job_stream() };
    let backend = Backend::with_stream(definition).await;
    backend.publisher.publish_numbered("other", 0..10).await;
    let mut last = 0;
    for (event, payload) in &events {
        // One that begins its job shows by itself that nothing is gone before it.
        let job =
            if *event == "job_started" { "training/note" } else { &format!("training/{event}") };
        last = backend.publisher.publish_of(job, event, payload).await;
    }
    let deployment = backend.deploy(&[]).await;
    deployment.lists("training/job_failed", last).await;
    for job in ["note", "iteration", "candidate", "job_completed", "job_failed"] {
        let mut client = beam_search(description, &deployment, "", "").await;
        client.say(json!({ "type": "subscribe", "jobId": job, "kind": "training" })).await;
        assert!(client.message().await["truncatedBefore"].is_u64(), "{job}");
    }
}

fn images() -> [(&'static str, Value); 4] {
    let config = json!({ "prompt": "a lighthouse", "N": 4, "M": 2, "iterations": 3 });
    let score = json!({ "totalScore": 71.5, "alignmentScore": 80, "aestheticScore": 6.1 });
    let candidate = json!({ "candidateId": "c-3", "totalCandidates": 8, "score": score });
    let iteration = json!({ "dimension": "how", "status": "started", "totalIterations": 3 });
    [
        ("job_started", json!({ "data": { "config": config } })),
        ("iteration", json!({ "iteration": 1, "data": iteration })),
        ("candidate", json!({ "iteration": 1, "data": candidate })),
        ("job_completed", json!({ "data": { "result": {} } })),
    ]
}

async fn beam_search<'a>(
    description: &'a Description,
    deployment: &Deployment,
    query: &str,
    protocols: &str,
) -> Conversation<'a> {
    let address = deployment.gateway.address;
    Conversation::open(description, "beamSearch", address, &format!("/{query}"), protocols).await
}

#[tokio::test]
async fn everything_that_is_said_of_a_training_is_described_and_the_other_way_round() {
    let description = Description::of_web_sockets();
    let deployment = Deployment::start().await;
    let numbers = json!({ "current_loss": 0.5, "total_epochs": 40, "message": "half" });
    let progress = json!({ "iteration": 20, "data": numbers });
    for (job, query) in [("training/7", ""), ("other/seven", "?kind=other")] {
        for end in ["job_completed", "job_failed"] {
            deployment
                .tell(job, &[("job_started", json!({})), ("progress", progress.clone())])
                .await;
            let (_, id) = job.split_once('/').expect("kind/id");
            let path = format!("/api/v1/training-jobs/{id}/ws{query}");
            let address = deployment.gateway.address;
            let mut client =
                Conversation::open(&description, "training", address, &path, "Bearer, any").await;
            client.message().await;
            deployment.tell(job, &[("log", progress.clone()), (end, json!({}))]).await;
            let (told, code) = client.rest().await;
            assert_eq!((told.len(), code), (2, 1000), "{told:?}");
        }
    }
    let address = deployment.gateway.address;
    let path = "/api/v1/training-jobs/404/stream?token=any";
    let client = Conversation::open(&description, "training", address, path, "").await;
    assert_eq!(client.rest().await, (vec![], 1008));
    description.assert_met(&description.parts_of_channel("training"));
}

#[tokio::test]
async fn everything_that_is_said_of_an_agent_is_described_and_the_other_way_round() {
    let description = Description::of_web_sockets();
    let route = "[[route]]\npath = \"/ws/agent-progress/{job}\"\ndialect = \"agent\"\n";
    let deployment = Deployment::configured(&format!("{route}heartbeat = \"200ms\"")).await;
    for end in ["job_completed", "job_failed"] {
        let path = format!("/ws/agent-progress/{end}?kind=other");
        let address = deployment.gateway.address;
        let mut client =
            Conversation::open(&description, "agent", address, &path, "Bearer, any").await;
        client.until("heartbeat", true).await;
        let data = json!({ "tool": "exa", "message": "Searching", "percent": 50, "error": true });
        let step = json!({ "stage": "exa_search", "data": data });
        let job = format!("other/{end}");
        deployment.tell(&job, &[("progress", step.clone()), (end, step)]).await;
        assert_eq!(client.rest().await.1, 1000);
    }
    description.assert_met(&description.parts_of_channel("agent"));
}
