use serde_json::json;

use super::*;
use crate::dialect::rehearsal::{Rehearsal, STORED, payload, stored, text};

fn told(rehearsal: &mut Rehearsal, event_type: &str, stored: &Value) -> Option<Value> {
    rehearsal
        .play(event_type, &stored.to_string(), Standing::Newest, encode)
        .map(|frame| payload(&frame))
}

/// A job that has told all its numbers.
fn running() -> Rehearsal {
    let mut rehearsal = Rehearsal::of("training", "42");
    told(&mut rehearsal, "job_started", &json!({}));
    let data = json!({"progress":0.25,"total_epochs":8,"current_loss":0.5});
    told(&mut rehearsal, "progress", &json!({"iteration":2,"data":data}));
    rehearsal
}

/// A message with the numbers of [`running`] and its other fields.
fn with_numbers(fields: &Value) -> Value {
    let mut message = json!({"job_id":42,"progress":0.25,"current_epoch":2,"total_epochs":8,
        "current_loss":0.5,"timestamp":STORED});
    message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    message
}

#[test]
fn progress_is_told_in_the_producers_own_spelling() {
    let data = r#"{"progress":0.50,"total_epochs":8.0,"current_loss":1.25e-1,"status":"running"}"#;
    let stored = format!(r#"{{"iteration":4,"data":{data},"timestamp":"2026-01-02T03:04:05"}}"#);
    let frame = Rehearsal::of("training", "42")
        .play("progress", &stored, Standing::Newest, encode)
        .unwrap();
    assert_eq!(
        text(&frame),
        r#"{"type":"progress","job_id":42,"status":"running","progress":0.50,"current_epoch":4,"#
            .to_owned()
            + r#""total_epochs":8.0,"current_loss":1.25e-1,"timestamp":"2026-01-02T03:04:05"}"#
    );
}

#[test]
fn every_message_carries_the_jobs_numbers() {
    for (event_type, data, expected) in [
        ("progress", json!({}), json!({"type":"progress","status":"running"})),
        (
            "log",
            json!({"level":"warning","message":"slow\n"}),
            json!({"type":"log","level":"warning","message":"slow\n"}),
        ),
        ("log", json!({}), json!({"type":"log","level":"info","message":""})),
        ("job_paused", json!({}), json!({"type":"progress","status":"paused"})),
        ("job_resumed", json!({}), json!({"type":"progress","status":"running"})),
        ("job_cancelled", json!({}), json!({"type":"progress","status":"stopped"})),
        (
            "job_failed",
            json!({"error":"diverged"}),
            json!({"type":"error","status":"failed","error_message":"diverged"}),
        ),
        (
            "job_failed",
            json!({"error":"diverged","willRetry":true}),
            json!({"type":"progress","status":"pending"}),
        ),
        (
            "job_completed",
            json!({"model_id":"m-1","final_metrics":{"loss":0.1}}),
            json!({"type":"complete","status":"succeeded","model_id":"m-1",
                "final_metrics":{"loss":0.1}}),
        ),
    ] {
        let message = told(&mut running(), event_type, &json!({"data":data}));
        assert_eq!(message, Some(with_numbers(&expected)), "{event_type} {data}");
    }
}

#[test]
fn numbers_that_nobody_told_are_zero() {
    let mut rehearsal = Rehearsal::of("training", "42");
    assert_eq!(
        told(&mut rehearsal, "log", &json!({"data":{"progress":"half","current_loss":null}})),
        Some(json!({"type":"log","job_id":42,"level":"info","message":"","progress":0,
            "current_epoch":0,"total_epochs":0,"timestamp":STORED}))
    );
}

#[test]
fn a_job_id_is_a_number_exactly_if_it_is_a_canonical_decimal_that_clients_can_hold() {
    let id_of = |id: &str| {
        let job = JobKey::new("training", id).unwrap();
        let naming = Naming { with_kind: false };
        let told = payload(&initial(&job, naming, &Progress::default(), STORED))["job_id"].clone();
        assert_eq!(resource(&job, naming, &[])["job_id"], told, "polling says the same");
        told
    };
    for number in [0_u64, 7, 42, LAST_EXACT] {
        assert_eq!(id_of(&number.to_string()), json!(number));
    }
    for text in ["007", "00", "-1", "1e3", "9007199254740992", "99999999999999999999", "a1", "4_2"]
    {
        assert_eq!(id_of(text), json!(text));
    }
}

#[test]
fn a_status_in_the_data_is_passed_on_unless_it_claims_an_ending() {
    for (status, expected) in [
        (json!("warming up"), "warming up"),
        (json!("pending"), "pending"),
        (json!("succeeded"), "running"),
        (json!("failed"), "running"),
        (json!("stopped"), "running"),
        (json!(3), "running"),
    ] {
        let message = told(&mut running(), "progress", &json!({"data":{"status":status}})).unwrap();
        assert_eq!(message["status"], json!(expected), "{status}");
    }
    let mut paused = running();
    told(&mut paused, "job_paused", &json!({}));
    assert_eq!(told(&mut paused, "progress", &json!({})).unwrap()["status"], json!("paused"));
}

#[test]
fn an_ending_that_the_job_outlived_is_progress_of_a_job_to_be_tried_again() {
    for ending in ["job_completed", "job_failed", "job_cancelled"] {
        let frame = running().play(ending, "{}", Standing::Superseded, encode).unwrap();
        assert_eq!(
            payload(&frame),
            with_numbers(&json!({"type":"progress","status":"pending"})),
            "{ending}"
        );
    }
}

#[test]
fn types_that_this_dialect_does_not_know_are_not_sent() {
    for event_type in ["iteration", "candidate", "scam_db", "complete"] {
        assert_eq!(told(&mut running(), event_type, &json!({})), None, "{event_type}");
    }
}

#[test]
fn a_job_of_another_kind_completes_with_the_result_it_has() {
    let mut rehearsal = running();
    rehearsal.naming = Naming { with_kind: true };
    let stored = json!({"data":{"resultPromptId":"p-9","finalScore":0.75}});
    let message = told(&mut rehearsal, "job_completed", &stored).unwrap();
    assert_eq!(message["kind"], json!("training"));
    assert_eq!(message["model_id"], json!("p-9"));
    assert_eq!(message["final_metrics"], json!({"finalScore":0.75}));
    let message = told(&mut rehearsal, "job_completed", &json!({})).unwrap();
    assert_eq!((&message["model_id"], &message["final_metrics"]), (&json!(null), &json!({})));
}

#[test]
fn the_first_message_says_where_the_job_stands() {
    let rehearsal = running();
    assert_eq!(
        payload(&initial(&rehearsal.job, rehearsal.naming, &rehearsal.progress, STORED)),
        with_numbers(&json!({"type":"progress","status":"running"}))
    );
}

#[test]
fn every_status_has_its_name() {
    for (status, name) in [
        (None, "running"),
        (Some(JobStatus::Unknown), "running"),
        (Some(JobStatus::Pending), "pending"),
        (Some(JobStatus::Running), "running"),
        (Some(JobStatus::Paused), "paused"),
        (Some(JobStatus::Succeeded), "succeeded"),
        (Some(JobStatus::Failed), "failed"),
        (Some(JobStatus::Stopped), "stopped"),
    ] {
        assert_eq!(status_name(status), name);
    }
}

#[test]
fn polling_shows_the_state_and_when_ended_the_final_fields() {
    let job = JobKey::new("training", "run-7").unwrap();
    let naming = Naming { with_kind: false };
    let mut events = vec![
        stored(3, "job_started", r#"{"data":{"config":{"iterations":8}}}"#),
        stored(9, "progress", r#"{"iteration":2,"data":{"current_loss":0.5}}"#),
    ];
    let state = json!({"job_id":"run-7","status":"running","progress":0.25,"current_epoch":2,
        "total_epochs":8,"current_loss":0.5});
    assert_eq!(resource(&job, naming, &events), state);
    for (ending, payload, fields) in [
        (
            "job_completed",
            r#"{"data":{"model_id":5,"final_metrics":{"a":1}}}"#,
            json!({"status":"succeeded","model_id":5,"final_metrics":{"a":1}}),
        ),
        (
            "job_failed",
            r#"{"data":{"error":"diverged"}}"#,
            json!({"status":"failed","error_message":"diverged"}),
        ),
        ("job_failed", r#"{"data":{"willRetry":true}}"#, json!({"status":"pending"})),
        ("job_cancelled", "{}", json!({"status":"stopped"})),
    ] {
        events.push(stored(12, ending, payload));
        let mut expected = state.clone();
        expected.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        assert_eq!(resource(&job, naming, &events), expected, "{ending}");
        events.pop();
    }
    let outlived =
        [stored(3, "job_completed", r#"{"data":{"model_id":5}}"#), stored(4, "job_started", "{}")];
    assert_eq!(
        resource(&job, Naming { with_kind: true }, &outlived),
        json!({"job_id":"run-7","kind":"training","status":"running","progress":0,
            "current_epoch":0,"total_epochs":0,"current_loss":null})
    );
}
