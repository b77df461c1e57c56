//! Server-Sent Events: any job over plain HTTP, with ids by which a browser goes on by itself.

use std::time::{Duration, Instant};

use async_nats::jetstream::stream;
use serde_json::json;

use crate::harness::deployment::{Backend, Deployment};
use crate::harness::event_reader::{Block, EventReader};
use crate::harness::gateway::GatewayCommand;
use crate::harness::plain_http::{Response, exchange, request};
use crate::harness::publisher::{ids, job_stream};
use crate::harness::{eventually, free_address, within};

#[tokio::test]
async fn every_event_comes_with_its_id_its_type_and_the_whole_event() {
    let deployment = Deployment::start().await;
    let first = json!({ "iteration": 1, "data": { "text": "two\nlines" }, "timestamp": "2026-03-01T10:00:00Z" });
    let ids = deployment.tell("training/job", &[("progress", first.clone())]).await;
    let mut reader = deployment.events("training/job", "").await;
    assert!(reader.head.contains("content-type: text/event-stream"), "{}", reader.head);
    assert!(reader.head.contains("cache-control: no-cache"), "{}", reader.head);

    let told = reader.event().await.expect("history");
    assert_eq!((told.id, &*told.name), (Some(ids[0]), "progress"));
    let expected = json!({
        "id": ids[0], "eventType": "progress", "iteration": 1, "data": { "text": "two\nlines" },
        "timestamp": "2026-03-01T10:00:00Z",
    });
    assert_eq!(told.data, expected);

    let next = deployment.tell("training/job", &[("score", first)]).await[0];
    let live = reader.event().await.expect("a live event");
    assert_eq!((live.id, &*live.name, &live.data["id"]), (Some(next), "score", &json!(next)));
}

#[tokio::test]
async fn an_event_written_over_several_lines_arrives_as_the_same_event() {
    let deployment = Deployment::start().await;
    let text = "{\r\n \"data\": {\n  \"a\": [1,\r 2]\n }\n}";
    let id = deployment.publisher.publish_bytes("jobs.training.job.progress", text).await;
    deployment.lists("training/job", id).await;
    let told = deployment.events("training/job", "").await.event().await.expect("an event");
    assert_eq!(told.data["data"], json!({ "a": [1, 2] }));
}

#[tokio::test]
async fn types_that_browsers_use_themselves_get_a_prefix() {
    let deployment = Deployment::start().await;
    let types = ["open", "error", "message", "progress", "job_started"];
    let events = types.map(|name| (name, json!({})));
    deployment.tell("training/job", &events).await;
    let mut reader = deployment.events("training/job", "").await;
    for (name, told) in
        types.iter().zip(["job-open", "job-error", "job-message", "progress", "job_started"])
    {
        let event = reader.event().await.expect("an event");
        assert_eq!((&*event.name, &event.data["eventType"]), (told, &json!(name)));
    }
}

#[tokio::test]
async fn a_reader_goes_on_after_its_cursor_and_the_header_wins_over_the_query() {
    let deployment = Deployment::start().await;
    let events = vec![("progress", json!({})); 5];
    let told = deployment.tell("training/job", &events).await;
    assert_eq!(deployment.events("training/job", "").await.ids(5).await, told);
    assert_eq!(deployment.events("training/job", "?after=0").await.ids(5).await, told);
    let query = format!("?after={}", told[1]);
    assert_eq!(deployment.events("training/job", &query).await.ids(3).await, told[2..]);

    let path = format!("/api/v1/jobs/training/job/events{query}");
    let cursor = told[3].to_string();
    let headers = [("Last-Event-ID", &*cursor)];
    let mut reader = EventReader::open(deployment.gateway.address, &path, &headers).await;
    assert_eq!(reader.ids(1).await, told[4..]);
    // An EventSource that has seen no event yet may send it empty.
    let mut reader =
        EventReader::open(deployment.gateway.address, &path, &[("Last-Event-ID", "")]).await;
    assert_eq!(reader.ids(3).await, told[2..]);
}

#[tokio::test]
async fn the_answer_ends_after_the_final_event_live_and_from_history() {
    let deployment = Deployment::start().await;
    deployment.tell("training/job", &[("job_started", json!({}))]).await;
    let live = deployment.events("training/job", "").await;
    deployment.tell("training/job", &[("log", json!({})), ("job_cancelled", json!({}))]).await;
    let late = deployment.events("training/job", "").await;
    for mut reader in [live, late] {
        let names: Vec<String> = reader.rest().await.into_iter().map(|event| event.name).collect();
        assert_eq!(names, ["job_started", "log", "job_cancelled"]);
    }
}

#[tokio::test]
async fn one_who_has_seen_the_end_is_told_not_to_come_again() {
    let deployment = Deployment::start().await;
    let events = [("job_started", json!({})), ("job_completed", json!({}))];
    let ids = deployment.tell("training/job", &events).await;
    let later = deployment.tell("training/other", &[("progress", json!({}))]).await[0];
    for after in [ids[1], later] {
        let answer = refused(&deployment, "training/job", &after.to_string()).await;
        assert_eq!((answer.status, &*answer.body), (204, ""));
    }
    let mut before = deployment.events("training/job", &format!("?after={}", ids[0])).await;
    assert_eq!(before.rest().await.len(), 1, "the end itself is told");

    // With the job running again there is something to come.
    deployment.tell("training/job", &[("job_started", json!({}))]).await;
    let mut reader = deployment.events("training/job", &format!("?after={}", ids[1])).await;
    assert_eq!(reader.event().await.expect("an event").name, "job_started");
}

#[tokio::test]
async fn one_who_has_seen_the_end_is_told_so_by_a_gateway_that_was_not_there() {
    let backend = Backend::start().await;
    let end = backend.publisher.publish_of("training/job", "job_completed", &json!({})).await;
    backend.publisher.publish_other_jobs(6 << 20).await;
    let deployment = backend.deploy(&["--window", "4MiB"]).await;
    let answer = refused(&deployment, "training/job", &end.to_string()).await;
    assert_eq!(answer.status, 204, "{answer:?}");
}

#[tokio::test]
async fn history_that_is_gone_is_410_with_what_there_is() {
    let definition = stream::Config { max_messages: 20, ..job_stream() };
    let backend = Backend::with_stream(definition).await;
    for _ in 0..40 {
        backend.publisher.publish_of("training/job", "progress", &json!({})).await;
    }
    let deployment = backend.deploy(&[]).await;
    deployment.lists("training/job", 40).await;
    let answer = refused(&deployment, "training/job", "5").await;
    assert_eq!(answer.status, 410, "{answer:?}");
    let told = answer.json();
    assert_eq!(told["code"], "HISTORY_TRUNCATED", "{told}");
    assert!(told["error"].as_str().is_some_and(|sentence| !sentence.is_empty()), "{told}");
    assert_eq!(
        (&told["requestedAfter"], &told["firstAvailable"], &told["lastEventId"]),
        (&json!(5), &json!(21), &json!(40))
    );
    let mut reader = deployment.events("training/job", "?after=20").await;
    assert_eq!(reader.ids(20).await, Vec::from_iter(21..=40), "nothing is gone after 20");
    let mut reader = deployment.events("training/job", "").await;
    assert_eq!(reader.ids(20).await, Vec::from_iter(21..=40), "all that there is was asked for");
}

#[tokio::test]
async fn a_reader_whose_stream_is_made_anew_is_told_before_the_answer_ends() {
    let deployment = Deployment::start().await;
    let old = deployment.tell("training/job", &[("job_started", json!({}))]).await;
    let mut reader = deployment.events("training/job", "").await;
    assert_eq!(reader.ids(1).await, old);

    deployment.publisher.delete_stream().await;
    deployment.publisher.create_stream(job_stream()).await;
    assert_told_of_an_invalid_cursor(&mut reader).await;
}

#[tokio::test]
async fn a_reader_with_a_cursor_that_the_stream_never_reaches_is_told() {
    let deployment = Deployment::start().await;
    deployment.tell("training/job", &[("job_started", json!({}))]).await;
    let mut reader = deployment.events("training/job", "?after=1000").await;
    assert_told_of_an_invalid_cursor(&mut reader).await;
}

async fn assert_told_of_an_invalid_cursor(reader: &mut EventReader) {
    let error = reader.event().await.expect("a word before the end");
    assert_eq!((error.id, &*error.name), (None, "error"));
    assert_eq!(error.data["code"], "CURSOR_INVALID");
    assert!(error.data["epoch"].is_string(), "{error:?}");
    assert_eq!(reader.rest().await, [], "a proper end of the answer");
}

#[tokio::test]
async fn an_unknown_job_is_404_after_the_grace_in_which_it_may_appear() {
    let deployment = Deployment::with_arguments(&["--job-grace", "1s"]).await;
    let started = Instant::now();
    let answer = deployment.gateway.public_get("/api/v1/jobs/training/none/events").await;
    assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("JOB_NOT_FOUND")));
    let grace = started.elapsed();
    assert!(grace >= Duration::from_millis(900) && grace < Duration::from_secs(5), "{grace:?}");
}

#[tokio::test]
async fn a_job_that_appears_within_the_grace_is_streamed() {
    let deployment = Deployment::with_arguments(&["--job-grace", "8s"]).await;
    let address = deployment.gateway.address;
    let path = "/api/v1/jobs/training/late/events";
    let reading = tokio::spawn(async move {
        EventReader::open(address, path, &[]).await.event().await.expect("an event")
    });
    counts_connections(&deployment, 1).await;
    let id = deployment.publisher.publish_of("training/late", "job_created", &json!({})).await;
    assert_eq!(within("the job is streamed", reading).await.expect("a reader").id, Some(id));
}

#[tokio::test]
async fn what_is_no_cursor_or_no_job_is_400() {
    let deployment = Deployment::start().await;
    deployment.tell("training/job", &[("progress", json!({}))]).await;
    for cursor in ["x", "-1", "1.5", "", "18446744073709551616"] {
        let path = format!("/api/v1/jobs/training/job/events?after={cursor}");
        let answer = deployment.gateway.public_get(&path).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("INVALID_CURSOR")));
    }
    for cursor in ["seven", "+7"] {
        let answer = refused(&deployment, "training/job", cursor).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("INVALID_CURSOR")));
    }
    for job in ["training/a.b", "a.b/job", "training/*", "training/a%20b"] {
        let answer = deployment.gateway.public_get(&format!("/api/v1/jobs/{job}/events")).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &json!("INVALID_JOB_ID")),
            "{job}"
        );
    }
}

#[tokio::test]
async fn a_quiet_stream_is_kept_open_by_comments() {
    let deployment = Deployment::with_arguments(&["--ping-interval", "1s"]).await;
    let ids = deployment.tell("training/job", &[("job_started", json!({}))]).await;
    let mut reader = deployment.events("training/job", "").await;
    assert_eq!(reader.ids(1).await, ids);
    let started = Instant::now();
    for _ in 0..3 {
        let comment = reader.block().await.expect("a comment");
        assert_eq!(comment, Block { is_comment: true, ..Block::default() });
    }
    assert!(started.elapsed() >= Duration::from_millis(1_500), "{:?}", started.elapsed());
    let next = deployment.tell("training/job", &[("log", json!({}))]).await;
    assert_eq!(reader.ids(1).await, next, "and it still tells events");
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed() {
    let deployment = Deployment::start().await;
    deployment.tell("training/job", &[("job_started", json!({}))]).await;
    let mut readers = Vec::new();
    for _ in 0..5 {
        let mut reader = deployment.events("training/job", "").await;
        reader.event().await;
        readers.push(reader);
    }
    counts_connections(&deployment, 5).await;
    drop(readers);
    counts_connections(&deployment, 0).await;
    assert!(deployment.metric("jobwire_subscriptions").await < 0.5, "nor is its subscription held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_loses_nothing_and_holds_up_nobody() {
    const EVENTS: u64 = 1_000;
    let deployment = Deployment::start().await;
    let mut expected = ids(&deployment.publisher.publish_padded("job", 0..10, 10_000).await);
    deployment.lists("optimization/job", expected[9]).await;
    let path = "/api/v1/jobs/optimization/job/events";
    let mut slow = EventReader::open_with_a_small_buffer(deployment.gateway.address, path).await;
    let mut quick = deployment.events("optimization/job", "").await;
    assert_eq!(slow.ids(1).await, expected[..1]);

    expected.extend(ids(&deployment.publisher.publish_padded("job", 10..EVENTS, 10_000).await));
    assert_eq!(quick.ids(expected.len()).await, expected);
    let end = deployment.publisher.publish("job", "job_completed", &json!({})).await;
    assert_eq!(quick.rest().await.len(), 1);
    expected.push(end);
    let rest: Vec<u64> = slow.rest().await.iter().filter_map(|event| event.id).collect();
    assert_eq!(rest, expected[1..]);
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was_after_the_gateway_was_killed() {
    let backend = Backend::start().await;
    let command = GatewayCommand::listening_at(free_address(), &backend.nats.url(), &[]);
    let mut gateway = command.start().await;
    let mut expected = ids(&backend.publisher.publish_numbered("job", 0..20).await);
    let path = "/api/v1/jobs/optimization/job/events";
    let mut reader = EventReader::open(gateway.address, path, &[]).await;
    let mut seen = reader.ids(15).await;

    gateway.kill().await;
    while let Ok(Some(block)) = reader.try_block().await {
        seen.extend(block.id);
    }
    expected.extend(ids(&backend.publisher.publish_numbered("job", 20..40).await));
    expected.push(backend.publisher.publish("job", "job_completed", &json!({})).await);
    let gateway = command.start().await;
    let cursor = seen.last().expect("an event").to_string();
    let headers = [("Last-Event-ID", &*cursor)];
    let mut reader = EventReader::open(gateway.address, path, &headers).await;
    seen.extend(reader.rest().await.iter().filter_map(|event| event.id));
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_reader_of_a_gateway_that_is_asked_to_end_is_let_go() {
    let mut deployment = Deployment::with_arguments(&["--drain", "1s"]).await;
    deployment.tell("training/job", &[("job_started", json!({}))]).await;
    let mut reader = deployment.events("training/job", "").await;
    reader.event().await.expect("an event");
    deployment.gateway.terminate();
    assert_eq!(reader.rest().await, [], "a proper end of the answer");
    assert_eq!(deployment.gateway.exit(Duration::from_secs(5)).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_encoded_once_for_each_form_however_many_watch() {
    const EVENTS: usize = 40;
    /// The four dialects and server-sent events.
    const FORMS: usize = 5;
    let deployment = Deployment::start().await;
    deployment.tell("training/job", &[("job_started", json!({}))]).await;
    let (mut clients, mut readers) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let mut reader = deployment.events("training/job", "").await;
        assert_eq!(reader.ids(1).await.len(), 1);
        readers.push(reader);
        let subscribe = json!({ "type": "subscribe", "jobId": "job", "afterEventId": 0 });
        for (path, asks, first_words) in [
            ("/api/v1/training-jobs/job/ws", false, 1),
            ("/ws/agent-progress/job?kind=training", false, 2),
            ("/?kind=training", true, 1),
            ("/ws/optimization?kind=training", true, 2),
        ] {
            let mut client = deployment.raw_client(path).await;
            if asks {
                client.say(subscribe.to_string()).await;
            }
            client.messages(first_words).await;
            clients.push(client);
        }
    }
    counts_connections(&deployment, 50).await;

    let before = deployment.metric("jobwire_events_encoded_total").await;
    let mut events = vec![("iteration_completed", json!({ "iteration": 1 })); EVENTS - 1];
    events.push(("job_completed", json!({})));
    let published = deployment.tell("training/job", &events).await;
    for mut reader in readers {
        let told: Vec<u64> = reader.rest().await.iter().filter_map(|event| event.id).collect();
        assert_eq!(told, published);
    }
    for mut client in clients {
        client.messages(EVENTS).await;
    }
    let encoded = deployment.metric("jobwire_events_encoded_total").await - before;
    let (least, most) = (f64_of(EVENTS), f64_of(EVENTS * FORMS));
    assert!(encoded >= least && encoded <= most, "{encoded} encodings, at most {most}");
}

fn f64_of(count: usize) -> f64 {
    u32::try_from(count).expect("a small number").into()
}

/// Asks for a job's events after a cursor, which is refused or brings nothing.
async fn refused(deployment: &Deployment, job: &str, cursor: &str) -> Response {
    let address = deployment.gateway.address;
    let path = format!("/api/v1/jobs/{job}/events");
    exchange(address, &request(address, &path, &[("Last-Event-ID", cursor)])).await
}

/// Waits until so many connections are open.
async fn counts_connections(deployment: &Deployment, count: usize) {
    eventually(&format!("{count} connections are counted"), async || {
        let counted = deployment.metric("jobwire_connections").await;
        ((counted - f64_of(count)).abs() < 0.5).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_gateway_that_stops_says_when_to_come_back() {
    let deployment = Deployment::with_arguments(&["--drain", "200ms"]).await;
    let told = deployment.tell("training/job", &[("progress", json!({}))]).await;
    let mut reader = deployment.events("training/job", "").await;
    assert_eq!(reader.ids(1).await, told);
    deployment.gateway.terminate();
    let last = reader.block().await.expect("a last word");
    assert!(last.retry.is_some_and(|wait| wait <= 2_000), "{last:?}");
    assert_eq!(reader.block().await, None);
}
