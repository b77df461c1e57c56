//! The training dialect: a job in the path, its status first, and an end that says why.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite;

use crate::harness::deployment::Deployment;
use crate::harness::eventually;
use crate::harness::raw_client::{Heard, RawClient};

/// What "at once" may take on a busy machine; the grace of other dialects is 2 s.
const AT_ONCE: Duration = Duration::from_millis(1_500);

#[tokio::test]
async fn the_first_message_is_where_the_job_stands_on_both_paths() {
    let deployment = Deployment::start().await;
    for (number, (event, status)) in [
        ("job_created", "pending"),
        ("job_started", "running"),
        ("job_paused", "paused"),
        ("job_resumed", "running"),
    ]
    .into_iter()
    .enumerate()
    {
        let job = format!("{}", 10 + number);
        let progress = json!({ "iteration": 3, "data": { "progress": 0.3, "total_epochs": 10 } });
        let events = [("progress", progress), (event, json!({}))];
        deployment.tell(&format!("training/{job}"), &events).await;
        for path in ["ws", "stream"] {
            let mut client = watching(&deployment, &job, path).await;
            let told = client.message().await;
            assert_eq!((&told["type"], &told["status"]), (&json!("progress"), &json!(status)));
            assert_eq!((&told["job_id"], &told["progress"]), (&json!(10 + number), &json!(0.3)));
            assert_eq!(
                (&told["current_epoch"], &told["total_epochs"]),
                (&json!(3), &json!(10)),
                "{told}"
            );
            client.hears_nothing().await;
        }
    }
}

#[tokio::test]
async fn an_unknown_job_is_accepted_and_closed_with_1008_at_once() {
    let deployment = Deployment::start().await;
    for path in ["ws", "stream"] {
        let started = Instant::now();
        let (code, reason) = watching(&deployment, "404", path).await.closed().await;
        assert_eq!(code, 1008, "{reason}");
        assert!(!reason.is_empty() && started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn an_id_that_is_no_jobs_is_refused_before_the_upgrade() {
    let deployment = Deployment::start().await;
    for id in ["a.b", "a%20b", "*", &"x".repeat(129)] {
        let path = format!("/api/v1/training-jobs/{id}/ws");
        match RawClient::try_connect(deployment.gateway.address, &path).await {
            Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 400, "{id}"),
            Err(error) => panic!("an answer for {id}, not {error}"),
            Ok(_) => panic!("{id} was accepted"),
        }
    }
}

#[tokio::test]
async fn after_the_final_message_the_connection_is_closed_with_1000() {
    let deployment = Deployment::start().await;
    deployment.tell("training/1", &[("job_started", json!({}))]).await;
    let mut live = watching(&deployment, "1", "ws").await;
    assert_eq!(live.message().await["status"], "running");
    let data = json!({ "model_id": "m-1", "final_metrics": { "loss": 0.5 } });
    deployment.tell("training/1", &[("job_completed", json!({ "data": data }))]).await;
    let (told, code, _) = live.rest().await;
    assert_eq!((told.len(), code), (1, 1000), "{told:?}");
    assert_eq!((&told[0]["type"], &told[0]["model_id"]), (&json!("complete"), &json!("m-1")));

    for path in ["ws", "stream"] {
        let (late, code, _) = watching(&deployment, "1", path).await.rest().await;
        assert_eq!((late.len(), code), (2, 1000), "{late:?}");
        assert_eq!(
            (&late[0]["type"], &late[0]["status"]),
            (&json!("progress"), &json!("succeeded"))
        );
        assert_eq!(late[1], told[0], "the same final message");
    }
}

#[tokio::test]
async fn a_cancelled_job_is_stopped_and_closed_with_1000() {
    let deployment = Deployment::start().await;
    deployment.tell("training/1", &[("job_started", json!({}))]).await;
    let mut live = watching(&deployment, "1", "ws").await;
    live.message().await;
    deployment.tell("training/1", &[("job_cancelled", json!({}))]).await;
    let late = watching(&deployment, "1", "ws").await;
    for mut client in [live, late] {
        let (told, code, _) = client.rest().await;
        let last = told.last().expect("a last message");
        assert_eq!((&last["type"], &last["status"]), (&json!("progress"), &json!("stopped")));
        assert_eq!(code, 1000);
    }
}

#[tokio::test]
async fn an_id_is_a_number_where_every_client_can_hold_it() {
    let deployment = Deployment::start().await;
    for (id, told) in [
        ("0", json!(0)),
        ("42", json!(42)),
        ("9007199254740991", json!(9_007_199_254_740_991_u64)),
        ("9007199254740992", json!("9007199254740992")),
        ("99999999999999999999", json!("99999999999999999999")),
        ("007", json!("007")),
        ("-1", json!("-1")),
        ("1e3", json!("1e3")),
        ("run-7", json!("run-7")),
    ] {
        deployment.tell(&format!("training/{id}"), &[("job_started", json!({}))]).await;
        let mut client = watching(&deployment, id, "ws").await;
        assert_eq!(client.message().await["job_id"], told);
        let log = json!({ "data": { "message": "x" } });
        deployment.tell(&format!("training/{id}"), &[("log", log)]).await;
        assert_eq!(client.message().await["job_id"], told);
    }
}

#[tokio::test]
async fn every_message_has_the_numbers_that_clients_read_without_looking() {
    let deployment = Deployment::start().await;
    deployment.tell("training/1", &[("log", json!({}))]).await;
    let mut client = watching(&deployment, "1", "ws").await;
    let mut told = client.messages(1).await;
    let failed = json!({ "data": { "error": "no memory" } });
    let events = [
        ("log", json!({ "data": { "message": "hello" } })),
        ("progress", json!({})),
        ("progress", json!({ "iteration": 2, "data": { "total_epochs": 4 } })),
        ("log", json!({})),
        ("job_failed", failed),
    ];
    deployment.tell("training/1", &events).await;
    let (rest, code, _) = client.rest().await;
    told.extend(rest);
    assert_eq!((told.len(), code), (6, 1000), "{told:?}");
    for message in &told {
        for field in ["progress", "current_epoch", "total_epochs"] {
            assert!(message[field].is_number(), "{field} in {message}");
        }
    }
    assert_eq!(told[4]["progress"], 0.5, "the job's last where the event tells none: {}", told[4]);
    assert_eq!(
        (&told[5]["type"], &told[5]["status"], &told[5]["error_message"]),
        (&json!("error"), &json!("failed"), &json!("no memory"))
    );
}

#[tokio::test]
async fn what_one_client_knows_of_a_job_is_not_lost_because_another_knows_less() {
    let deployment = Deployment::with_arguments(&["--workers", "1"]).await;
    deployment.tell("training/7", &[("progress", json!({ "data": { "progress": 0.5 } }))]).await;
    let first = admitted(&deployment, "7").await;
    let mut knows = admitted(&deployment, "7").await;
    deployment.tell("training/7", &[("progress", json!({ "data": { "current_loss": 2 } }))]).await;
    assert_eq!(knows.message().await["progress"], 0.5);
    // The state that this one begins with is the last event of every type.
    let mut knows_less = watching(&deployment, "7", "ws").await;
    assert_eq!(knows_less.message().await["progress"], 0);
    drop(first);
    eventually("the first is gone", async || {
        (deployment.metric("jobwire_connections").await < 3.0).then_some(())
    })
    .await;
    for loss in [1.0, 0.5] {
        let told = json!({ "data": { "current_loss": loss } });
        deployment.tell("training/7", &[("progress", told)]).await;
        let told = knows.message().await;
        assert_eq!((&told["progress"], &told["current_loss"]), (&json!(0.5), &json!(loss)));
        assert_eq!(knows_less.message().await["current_loss"], json!(loss));
    }
}

#[tokio::test]
async fn ten_connections_may_watch_a_job_and_a_place_that_is_left_is_free() {
    let deployment = Deployment::start().await;
    deployment.tell("training/1", &[("job_started", json!({}))]).await;
    deployment.tell("training/2", &[("job_started", json!({}))]).await;
    let mut clients = Vec::new();
    for number in 0..10 {
        let path = ["ws", "stream"][number % 2];
        let mut client = watching(&deployment, "1", path).await;
        client.message().await;
        clients.push(client);
    }
    for path in ["ws", "stream"] {
        let (code, reason) = watching(&deployment, "1", path).await.closed().await;
        assert_eq!(code, 1013);
        assert!(!reason.is_empty(), "a reason is told");
    }
    assert_eq!(watching(&deployment, "2", "ws").await.message().await["job_id"], 2);

    clients.remove(3).leave().await;
    clients.push(admitted(&deployment, "1").await);
    deployment.tell("training/1", &[("job_completed", json!({}))]).await;
    for mut client in clients {
        let (told, code, _) = client.rest().await;
        assert_eq!((&told[0]["type"], code), (&json!("complete"), 1000));
    }
}

#[tokio::test]
async fn how_many_connections_may_watch_a_job_can_be_configured() {
    let deployment = Deployment::configured(
        r#"
        [[route]]
        path = "/api/v1/training-jobs/{job}/ws"
        dialect = "training"
        max_connections_per_job = 2
        "#,
    )
    .await;
    deployment.tell("training/1", &[("job_started", json!({}))]).await;
    let mut clients = [admitted(&deployment, "1").await, admitted(&deployment, "1").await];
    assert_eq!(watching(&deployment, "1", "ws").await.closed().await.0, 1013);
    for client in &mut clients {
        client.hears_nothing().await;
    }
}

#[tokio::test]
async fn a_connection_without_events_is_closed_with_1001_whatever_the_client_says() {
    let deployment = Deployment::configured(
        r#"
        [[route]]
        path = "/api/v1/training-jobs/{job}/ws"
        dialect = "training"
        idle_timeout = "1s"
        "#,
    )
    .await;
    deployment.tell("training/1", &[("job_started", json!({}))]).await;
    let started = Instant::now();
    let mut client = watching(&deployment, "1", "ws").await;
    client.message().await;
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    for number in 0..8 {
        ticks.tick().await;
        let progress = json!({ "iteration": number });
        deployment.publisher.publish_of("training/1", "progress", &progress).await;
        assert_eq!(client.message().await["current_epoch"], number, "events keep it open");
    }
    let last_event = Instant::now();
    assert!(last_event - started > Duration::from_millis(1_500));

    let end = loop {
        tokio::select! {
            heard = client.hear() => break heard,
            _ = ticks.tick() => {}
        }
        client.say("still here").await;
    };
    let Heard::Closed(code, reason) = end else { panic!("a message: {end:?}") };
    let idle = last_event.elapsed();
    assert_eq!(code, 1001, "{reason}");
    assert!(idle >= Duration::from_millis(800) && idle < Duration::from_secs(4), "{idle:?}");
}

#[tokio::test]
async fn what_a_client_says_is_ignored() {
    let deployment = Deployment::start().await;
    deployment.tell("training/1", &[("job_started", json!({}))]).await;
    let mut client = watching(&deployment, "1", "ws").await;
    client.message().await;
    for text in ["", "ping", "{", r#"{"type":"ping"}"#, r#"{"type":"subscribe","jobId":"2"}"#] {
        client.say(text).await;
    }
    client.hears_nothing().await;
    deployment.tell("training/1", &[("log", json!({ "data": { "message": "on" } }))]).await;
    assert_eq!(client.message().await["message"], "on");
}

#[tokio::test]
async fn bearer_is_selected_whenever_it_is_offered_on_every_route() {
    let deployment = Deployment::start().await;
    for path in [
        "/",
        "/ws/optimization",
        "/api/v1/training-jobs/1/ws",
        "/api/v1/training-jobs/1/stream",
        "/ws/agent-progress/1",
    ] {
        for offer in ["Bearer, a.b.c", "a.b.c, Bearer", "Bearer"] {
            let client = RawClient::offering(deployment.gateway.address, path, offer).await;
            assert_eq!(client.selected, "Bearer", "{path} with {offer}");
        }
        assert_eq!(deployment.raw_client(path).await.selected, "", "{path} without an offer");
    }
}

#[tokio::test]
async fn a_job_of_another_kind_is_watched_with_the_kind_in_the_query() {
    let deployment = Deployment::start().await;
    deployment.tell("agent/1", &[("job_paused", json!({}))]).await;
    let mut client = deployment.raw_client("/api/v1/training-jobs/1/ws?kind=agent").await;
    let told = client.message().await;
    assert_eq!((&told["status"], &told["kind"]), (&json!("paused"), &json!("agent")));
    assert_eq!(watching(&deployment, "1", "ws").await.closed().await.0, 1008, "another job");
}

async fn watching(deployment: &Deployment, job: &str, path: &str) -> RawClient {
    deployment.raw_client(&format!("/api/v1/training-jobs/{job}/{path}")).await
}

/// A client that has a place, once there is one.
async fn admitted(deployment: &Deployment, job: &str) -> RawClient {
    eventually("there is a place", async || {
        let mut client = watching(deployment, job, "ws").await;
        match client.hear().await {
            Heard::Message(Value::Object(_)) => Some(client),
            Heard::Message(other) => panic!("not an object: {other}"),
            Heard::Closed(code, _) => {
                assert_eq!(code, 1013);
                None
            }
        }
    })
    .await
}
