use serde_json::{Value, json};

use super::*;
use crate::dialect::rehearsal::{Rehearsal, STORED, payload, text};
use crate::progress::Standing;

fn told(rehearsal: &mut Rehearsal, event_type: &str, stored: &Value) -> Option<Value> {
    rehearsal
        .play(event_type, &stored.to_string(), Standing::Newest, encode)
        .map(|frame| payload(&frame))
}

/// What is told of a task's only event.
fn message(event_type: &str, stored: &Value) -> Option<Value> {
    told(&mut Rehearsal::of("agent", "task-1"), event_type, stored)
}

#[test]
fn a_step_is_told_as_its_producer_published_it() {
    let stored = r#"{"eventType":"progress","stage":"scam_db","data":{"tool":"scam_database",
        "message":"Schl\u00fcssel \"x\"","percent":40},"timestamp":"2026-01-02T03:04:05Z"}"#;
    let frame =
        Rehearsal::of("agent", "t").play("progress", stored, Standing::Newest, encode).unwrap();
    assert_eq!(
        text(&frame),
        r#"{"step":"scam_db","tool":"scam_database","message":"Schl\u00fcssel \"x\"","percent":40,"#
            .to_owned() + r#""timestamp":"2026-01-02T03:04:05Z"}"#
    );
}

#[test]
fn every_event_has_step_message_percent_and_timestamp() {
    for (event_type, stored, step, sentence, percent) in [
        ("job_created", json!({"data":{"percent":9}}), "created", "Job created", 0),
        ("job_started", json!({}), "started", "Job started", 0),
        (
            "iteration_completed",
            json!({"iteration":3,"data":{"totalIterations":4}}),
            "iteration_completed",
            "Iteration 3 completed",
            75,
        ),
        ("iteration_completed", json!({"stage":"hot"}), "hot", "Iteration completed", 0),
        ("progress", json!({}), "progress", "In progress", 0),
        ("job_paused", json!({}), "paused", "Job paused", 0),
        ("job_resumed", json!({"data":{"progress":0.5}}), "resumed", "Job resumed", 50),
        ("job_failed", json!({"data":{"willRetry":true}}), "retrying", "Trying again", 0),
        (
            "job_failed",
            json!({"data":{"willRetry":true,"error":true,"percent":20}}),
            "retrying",
            "Trying again",
            20,
        ),
        ("job_completed", json!({}), "completed", "Job completed", 100),
        ("tool_execution", json!({}), "tool_execution", "In progress", 0),
    ] {
        assert_eq!(
            message(event_type, &stored),
            Some(json!({"step":step,"message":sentence,"percent":percent,"timestamp":STORED})),
            "{event_type}"
        );
    }
    assert_eq!(message("log", &json!({"data":{"message":"x"}})), None);
}

#[test]
fn a_failure_is_told_with_its_reason_as_an_error_at_zero_percent() {
    for (event_type, data, sentence) in [
        ("job_failed", json!({"error":"no key","percent":60}), "no key"),
        ("job_failed", json!({"error":"no key","message":"Analysis failed"}), "Analysis failed"),
        ("job_failed", json!({"error":{"code":7}}), "Job failed"),
        ("job_cancelled", json!({}), "Job cancelled"),
    ] {
        assert_eq!(
            message(event_type, &json!({"data":data})),
            Some(json!({"step":"failed","message":sentence,"percent":0,"timestamp":STORED,
                "error":true})),
            "{event_type} {data}"
        );
    }
}

#[test]
fn the_percentage_is_whole_and_from_0_to_100() {
    for (data, expected) in [
        (json!({"percent":40}), 40),
        (json!({"percent":40.0}), 40),
        (json!({"percent":29.6}), 30),
        (json!({"percent":-5}), 0),
        (json!({"percent":1e300}), 100),
        (json!({"progress":0.29}), 29),
        (json!({"progress":0.9,"percent":40}), 40),
        (json!({"percent":"40"}), 0),
    ] {
        let message = message("progress", &json!({"data":data})).unwrap();
        assert_eq!(message["percent"], json!(expected), "{data}");
    }
}

#[test]
fn a_step_without_a_percentage_keeps_the_last_one() {
    let mut rehearsal = Rehearsal::of("agent", "t");
    told(&mut rehearsal, "progress", &json!({"stage":"reasoning","data":{"percent":80}}));
    let message = told(&mut rehearsal, "progress", &json!({"stage":"reasoning"})).unwrap();
    assert_eq!(message["percent"], json!(80));
}

#[test]
fn no_event_before_the_end_looks_like_the_end() {
    for reserved in RESERVED {
        let staged = message("progress", &json!({"stage":reserved})).unwrap();
        assert_eq!(staged["step"], json!("progress"));
        let other = message("tick", &json!({"stage":reserved,"data":{"stage":reserved}})).unwrap();
        assert_eq!(other["step"], json!("tick"));
        assert_eq!(message(reserved, &json!({})).unwrap()["step"], json!("progress"));
    }
    let escaped = r#"{"stage":"\u0063ompleted"}"#;
    let frame = Rehearsal::of("agent", "t").play("tick", escaped, Standing::Newest, encode);
    assert_eq!(payload(&frame.unwrap())["step"], json!("tick"));
    assert_eq!(message("tick", &json!({"stage":""})).unwrap()["step"], json!("tick"));
}

#[test]
fn a_tool_that_failed_is_an_error_but_no_end() {
    let stored = json!({"stage":"exa_search","data":{"message":"timed out","error":true}});
    let message = message("progress", &stored).unwrap();
    assert_eq!((&message["step"], &message["error"]), (&json!("exa_search"), &json!(true)));
}

#[test]
fn an_ending_that_the_task_outlived_is_told_as_trying_again() {
    for (ending, data, sentence) in [
        ("job_completed", json!({"message":"All done"}), "Trying again"),
        ("job_cancelled", json!({}), "Trying again"),
        ("job_failed", json!({"error":"no key"}), "no key"),
    ] {
        let stored = json!({"data":data}).to_string();
        let frame = Rehearsal::of("agent", "t").play(ending, &stored, Standing::Superseded, encode);
        assert_eq!(
            payload(&frame.unwrap()),
            json!({"step":"retrying","message":sentence,"percent":0,"timestamp":STORED}),
            "{ending}"
        );
    }
}

#[test]
fn what_a_strict_client_could_not_decode_is_replaced() {
    let stored = r#"{"stage":"\udc00","data":{"message":"\ud800","tool":7},"timestamp":"\udfff"}"#;
    let frame = Rehearsal::of("agent", "t").play("progress", stored, Standing::Newest, encode);
    assert_eq!(
        payload(&frame.unwrap()),
        json!({"step":"progress","message":"In progress","percent":0,"timestamp":STORED})
    );
}

#[test]
fn a_connection_begins_with_connected_and_lives_by_heartbeats() {
    let job = JobKey::new("agent", "t").unwrap();
    assert_eq!(
        payload(&connected(&job, Naming { with_kind: false }, STORED)),
        json!({"step":"connected","message":"Connected to agent progress stream","percent":0,
            "timestamp":STORED})
    );
    assert_eq!(
        payload(&connected(&job, Naming { with_kind: true }, STORED))["kind"],
        json!("agent")
    );
    assert_eq!(payload(&heartbeat(STORED)), json!({"heartbeat":true,"timestamp":STORED}));
}
