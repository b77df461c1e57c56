//! What a subscription brings, how it changes and how it ends.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::harness::client::{Client, events_in, id_of, shortened, subscribe_request};
use crate::harness::deployment::Deployment;
use crate::harness::publisher::{ids, subject};
use crate::harness::transcript::Transcript;

#[tokio::test]
async fn a_subscriber_from_zero_gets_history_in_batches_and_then_each_event() {
    let deployment = Deployment::start().await;
    let mut expected = deployment.publish_history("job", 0..300, 5_000).await;
    let mut client = deployment.client().await;

    let mut transcript = client.collect_until("job", 0, *expected.last().unwrap()).await;
    assert!(transcript.batches >= 6, "1.5 MB in {} batches", transcript.batches);
    assert_eq!(transcript.live, 0);
    assert_eq!(transcript.last_event_id, *expected.last().unwrap());

    expected.extend(ids(&deployment.publisher.publish_numbered("job", 300..310).await));
    client.follow(&mut transcript, |transcript| transcript.live == 10).await;
    assert_eq!(transcript.ids(), expected);
}

#[tokio::test]
async fn an_event_larger_than_a_batch_comes_in_a_batch_of_its_own() {
    let deployment = Deployment::start().await;
    let mut expected = ids(&deployment.publisher.publish_numbered("job", 0..5).await);
    expected.extend(ids(&deployment.publisher.publish_padded("job", 5..7, 400 << 10).await));
    expected.extend(ids(&deployment.publisher.publish_numbered("job", 7..10).await));

    let mut client = deployment.client().await;
    let transcript = client.collect_until("job", 0, *expected.last().unwrap()).await;
    assert_eq!(transcript.ids(), expected);
}

#[tokio::test]
async fn a_subscriber_without_a_cursor_gets_only_what_happens_from_now_on() {
    let deployment = Deployment::start().await;
    let before = deployment.publish_history("job", 0..50, 0).await;
    let mut absent = deployment.client().await;
    let mut null = deployment.client().await;
    let null_request = json!({ "type": "subscribe", "jobId": "job", "afterEventId": null });

    let told = absent.subscribed("job", None).await;
    assert_eq!(told["lastEventId"], *before.last().unwrap());
    let told = null.subscribed_with(&null_request).await;
    assert_eq!(told["lastEventId"], *before.last().unwrap());

    let after = ids(&deployment.publisher.publish_numbered("job", 50..60).await);
    for client in [&mut absent, &mut null] {
        for id in &after {
            assert_eq!(id_of(&client.expect("event").await["event"]), *id);
        }
    }
}

#[tokio::test]
async fn a_subscriber_who_missed_nothing_gets_no_batch() {
    let deployment = Deployment::start().await;
    let before = deployment.publish_history("job", 0..50, 0).await;
    let mut client = deployment.client().await;

    client.subscribed("job", *before.last().unwrap()).await;
    client.expect_nothing_but_a_pong().await;
    let next = deployment.publisher.publish("job", "progress", &json!({})).await;
    assert_eq!(id_of(&client.expect("event").await["event"]), next);
}

#[tokio::test]
async fn subscribed_tells_the_job_its_first_and_last_event_and_the_epoch() {
    let deployment = Deployment::start().await;
    deployment.publisher.publish_numbered("another", 0..7).await;
    let events = ids(&deployment.publisher.publish_numbered("job", 0..20).await);
    deployment.publish_history("another", 7..10, 0).await;

    let subscribed = deployment.client().await.subscribed("job", 0).await;
    assert_eq!(subscribed["jobId"], "job");
    assert_eq!(subscribed["firstEventId"], *events.first().unwrap());
    assert_eq!(subscribed["lastEventId"], *events.last().unwrap());
    assert!(!subscribed["epoch"].is_null(), "{subscribed}");

    let later = deployment.client().await.subscribed("another", None).await;
    assert_eq!(later["epoch"], subscribed["epoch"], "one stream has one epoch");
}

#[tokio::test]
async fn an_event_has_the_fields_of_the_contract_and_no_others() {
    let deployment = Deployment::start().await;
    let publisher = &deployment.publisher;
    let complete = json!({
        "eventType": "iteration_completed", "iteration": 3, "stage": "mutate",
        "data": { "score": 0.75, "list": [1, null, { "ü": "\u{1F41D}" }], "id": 5 },
        "timestamp": "2026-03-04T05:06:07.89+02:00",
        "id": 4_242, "jobId": "elsewhere", "extra": true,
    });
    let id = publisher.publish("job", "iteration_completed", &complete).await;
    let bare = publisher.publish("job", "note", &json!({})).await;

    let mut client = deployment.client().await;
    let transcript = client.collect_until("job", 0, bare).await;
    let expected = json!({
        "id": id, "eventType": "iteration_completed", "iteration": 3, "stage": "mutate",
        "data": complete["data"], "timestamp": "2026-03-04T05:06:07.89+02:00",
    });
    assert_eq!(transcript.events[0], expected);
    assert_eq!(field_names(&transcript.events[1]), ["eventType", "id", "timestamp"]);

    let live = publisher.publish("job", "iteration_completed", &complete).await;
    let mut expected = expected;
    expected["id"] = live.into();
    assert_eq!(client.expect("event").await["event"], expected);
}

#[tokio::test]
async fn the_subject_rules_when_the_payload_names_another_type() {
    let deployment = Deployment::start().await;
    let payload = json!({ "eventType": "job_completed", "data": {} });
    let id = deployment.publisher.publish("job", "job_started", &payload).await;

    let transcript = deployment.client().await.collect_until("job", 0, id).await;
    assert_eq!(transcript.events[0]["eventType"], "job_started");
}

#[tokio::test]
async fn an_event_without_a_timestamp_gets_the_time_it_was_stored() {
    let deployment = Deployment::start().await;
    let publisher = &deployment.publisher;
    let without = publisher.publish("job", "progress", &json!({ "data": {} })).await;
    let zoneless = json!({ "timestamp": "2026-03-04T05:06:07.123456" });
    let last = publisher.publish("job", "progress", &zoneless).await;

    let transcript = deployment.client().await.collect_until("job", 0, last).await;
    let told = transcript.events[0]["timestamp"].as_str().expect("a timestamp");
    let told = OffsetDateTime::parse(told, &Rfc3339).expect("ISO 8601 with a zone");
    let stored = publisher.stored_at(without).await;
    assert!((told - stored).abs() <= time::Duration::MILLISECOND, "{told} instead of {stored}");
    assert_eq!(transcript.events[1]["timestamp"], zoneless["timestamp"], "passed on unchanged");
}

#[tokio::test]
async fn one_connection_follows_many_jobs() {
    let deployment = Deployment::start().await;
    let jobs: Vec<String> = (0..50).map(|number| format!("job-{number}")).collect();
    let mut client = deployment.client().await;
    for job in &jobs {
        deployment.publish_history(job, 0..1, 0).await;
        client.subscribed(job, None).await;
    }

    let events = (0..1_000_u64).map(|at| (jobs[at as usize % 50].clone(), at)).collect();
    let published = deployment.publisher.publish_all(events, "").await;
    let mut seen = BTreeSet::new();
    while seen.len() < published.len() {
        let message = client.expect("event").await;
        let number = message["event"]["data"]["number"].as_u64().expect("a number");
        assert_eq!(message["jobId"], jobs[number as usize % 50]);
        assert!(seen.insert(id_of(&message["event"])), "twice: {}", shortened(&message));
    }
    assert_eq!(Vec::from_iter(seen), ids(&published));
}

#[tokio::test]
async fn a_job_of_another_kind_is_watched_by_naming_its_kind() {
    let deployment = Deployment::start().await;
    let payload = json!({ "data": { "progress": 0.5 } }).to_string();
    let foreign = "jobs.training.job.progress";
    let first = deployment.publisher.publish_bytes(foreign, payload.clone()).await;
    deployment.publisher.publish_numbered("job", 0..1).await;

    let mut client = deployment.client().await;
    let mut request = subscribe_request("job", Some(0));
    request["kind"] = "training".into();
    let subscribed = client.subscribed_with(&request).await;
    assert_eq!(subscribed["kind"], "training");
    let replay = client.expect("replay").await;
    assert_eq!(replay["kind"], "training");
    assert_eq!(events_in(&replay).iter().map(id_of).collect::<Vec<_>>(), [first]);

    let second = deployment.publisher.publish_bytes(foreign, payload).await;
    let event = client.expect("event").await;
    assert_eq!((&event["kind"], id_of(&event["event"])), (&json!("training"), second));
    let own = client.subscribed("job", None).await;
    assert_eq!(own["kind"], Value::Null, "the route's own kind is not told: {own}");
}

#[tokio::test]
async fn nothing_follows_unsubscribed() {
    let deployment = Deployment::start().await;
    deployment.publish_history("job", 0..10, 0).await;
    let mut leaving = deployment.client().await;
    let mut staying = deployment.client().await;
    leaving.subscribed("job", None).await;
    staying.subscribed("job", None).await;

    leaving.send(&json!({ "type": "unsubscribe", "jobId": "job" })).await;
    let unsubscribed = leaving.expect("unsubscribed").await;
    assert_eq!(unsubscribed["jobId"], "job");

    let last = *ids(&deployment.publisher.publish_numbered("job", 10..60).await).last().unwrap();
    while id_of(&staying.expect("event").await["event"]) < last {}
    leaving.expect_nothing_but_a_pong().await;
}

#[tokio::test]
async fn unsubscribing_in_the_middle_of_history_ends_it() {
    let deployment = Deployment::start().await;
    deployment.publish_history("job", 0..1_000, 10_000).await;
    let mut client = Client::connect_with_a_small_buffer(deployment.gateway.address).await;
    client.subscribed("job", 0).await;
    client.expect("replay").await;

    client.send(&json!({ "type": "unsubscribe", "jobId": "job" })).await;
    client.skip_to("unsubscribed").await;
    deployment.publisher.publish_numbered("job", 1_000..1_010).await;
    client.expect_nothing_but_a_pong().await;
}

#[tokio::test]
async fn subscribing_again_moves_the_subscription_and_leaves_nothing_of_the_old_one() {
    let deployment = Deployment::start().await;
    let events = deployment.publish_history("job", 0..1_000, 10_000).await;
    let (middle, last) = (events[900], *events.last().unwrap());
    let mut client = deployment.client().await;
    client.subscribed("job", 0).await;
    client.expect("replay").await;

    client.subscribe("job", middle).await;
    let subscribed = client.skip_to("subscribed").await;
    let mut transcript = Transcript::open("job", middle, &subscribed);
    client.follow(&mut transcript, |transcript| transcript.position() >= last).await;
    assert_eq!(transcript.ids(), &events[901..]);

    let next = deployment.publisher.publish("job", "progress", &json!({})).await;
    assert_eq!(id_of(&client.expect("event").await["event"]), next, "and each event only once");
    client.expect_nothing_but_a_pong().await;
}

#[tokio::test]
async fn a_filter_lets_only_its_event_types_through() {
    let deployment = Deployment::start().await;
    let wanted = publish_types(&deployment, "score").await;
    let mut client = deployment.client().await;
    let mut request = subscribe_request("job", Some(0));
    request["eventTypes"] = json!(["score"]);

    let subscribed = client.subscribed_with(&request).await;
    let mut transcript = Transcript::open("job", 0, &subscribed);
    client.follow(&mut transcript, |transcript| transcript.events.len() == wanted.len()).await;
    assert_eq!(transcript.ids(), wanted);

    let wanted = publish_types(&deployment, "score").await;
    client.follow(&mut transcript, |transcript| transcript.live == wanted.len()).await;
    assert_eq!(transcript.ids()[wanted.len()..], wanted);
    client.expect_nothing_but_a_pong().await;
}

#[tokio::test]
async fn a_later_subscribe_changes_the_filter() {
    let deployment = Deployment::start().await;
    let scores = publish_types(&deployment, "score").await;
    let mut client = deployment.client().await;
    let mut request = subscribe_request("job", Some(scores[9] + 2));
    request["eventTypes"] = json!(["score"]);
    client.subscribed_with(&request).await;

    request["eventTypes"] = json!(["note"]);
    client.subscribed_with(&request).await;
    let notes = publish_types(&deployment, "note").await;
    for id in notes {
        let event = client.expect("event").await["event"].take();
        assert_eq!((&event["eventType"], id_of(&event)), (&json!("note"), id));
    }
    client.expect_nothing_but_a_pong().await;
}

#[tokio::test]
async fn a_position_comes_after_history_and_can_be_used_as_a_cursor() {
    let deployment = Deployment::start().await;
    let events = deployment.publish_history("job", 0..200, 5_000).await;
    let last = *events.last().unwrap();
    let mut client = deployment.client().await;
    let mut request = subscribe_request("job", Some(0));
    request["position"] = true.into();

    let subscribed = client.subscribed_with(&request).await;
    let mut transcript = Transcript::open("job", 0, &subscribed);
    client.follow(&mut transcript, |transcript| transcript.position() >= last).await;
    let position = client.expect("position").await;
    assert_eq!((&position["jobId"], &position["caughtUp"]), (&json!("job"), &json!(true)));
    let cursor = position["id"].as_u64().expect("an id in position");
    assert!(cursor >= last, "{position} after the event {last}");

    let next = deployment.publisher.publish("job", "progress", &json!({})).await;
    let mut later = deployment.client().await;
    assert_eq!(later.collect_until("job", cursor, next).await.ids(), [next]);
}

#[tokio::test]
async fn a_position_moves_on_over_what_a_filter_hides() {
    let deployment = Deployment::start().await;
    let events = deployment.publish_history("job", 0..200, 0).await;
    let mut client = deployment.client().await;
    let mut request = subscribe_request("job", Some(0));
    request["position"] = true.into();
    request["eventTypes"] = json!(["nothing_of_this_type"]);

    client.subscribed_with(&request).await;
    let position = client.expect("position").await;
    assert!(position["id"].as_u64() >= events.last().copied(), "{position}");
}

#[tokio::test]
async fn nobody_is_told_a_position_who_has_not_asked() {
    let deployment = Deployment::start().await;
    let events = deployment.publish_history("job", 0..20, 0).await;
    let mut client = deployment.client().await;
    client.collect_until("job", 0, *events.last().unwrap()).await;
    client.expect_nothing_but_a_pong().await;
}

#[tokio::test]
async fn a_ping_is_answered_without_any_subscription() {
    let deployment = Deployment::start().await;
    let mut client = Client::connect(deployment.gateway.address).await;
    for _ in 0..10 {
        client.expect_nothing_but_a_pong().await;
    }
}

/// Publishes 30 events in three types in turn, and tells the ids of the one type
/// once the gateway knows them all.
async fn publish_types(deployment: &Deployment, wanted: &str) -> Vec<u64> {
    let mut ids = Vec::new();
    let mut last = 0;
    for number in 0..30 {
        let event_type = ["score", "note", "progress"][number % 3];
        let payload = json!({ "data": { "number": number } }).to_string();
        last = deployment.publisher.publish_bytes(&subject("job", event_type), payload).await;
        if event_type == wanted {
            ids.push(last);
        }
    }
    deployment.knows("job", last).await;
    ids
}

fn field_names(event: &Value) -> Vec<&str> {
    let mut names: Vec<&str> =
        event.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}
