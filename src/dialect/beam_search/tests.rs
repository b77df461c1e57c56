use serde_json::json;

use super::*;
use crate::dialect::optimization::{Code, Naming};
use crate::dialect::rehearsal::{Rehearsal, STORED, payload, text};
use crate::progress::Standing;

fn told(rehearsal: &mut Rehearsal, event_type: &str, stored: &Value) -> Option<Value> {
    let stored = stored.to_string();
    rehearsal
        .play(event_type, &stored, Standing::Newest, |occurrence| encode(occurrence, None))
        .map(|frame| payload(&frame))
}

/// What is told of a job's only event, without what every message has.
fn content(event_type: &str, stored: &Value) -> Option<Value> {
    let mut message = told(&mut Rehearsal::of("beam-search", "image-1"), event_type, stored)?;
    let fields = message.as_object_mut().unwrap();
    assert_eq!(fields.remove("jobId"), Some(json!("image-1")));
    assert_eq!(fields.remove("timestamp"), Some(json!(STORED)));
    Some(message)
}

#[test]
fn a_start_has_a_config_even_if_none_is_stored() {
    let config = json!({"prompt":"a cat","N":6,"M":2,"iterations":4});
    assert_eq!(
        content("job_started", &json!({"data":{"config":config}})),
        Some(json!({"type":"started","config":config}))
    );
    assert_eq!(content("job_started", &json!({})), Some(json!({"type":"started","config":{}})));
}

#[test]
fn an_iteration_has_the_contracts_fields_and_no_other() {
    let data =
        json!({"totalIterations":4,"dimension":"how","status":"started","x":1,"iteration":9});
    assert_eq!(
        content("iteration", &json!({"iteration":2,"data":data})),
        Some(json!({"type":"iteration","iteration":2,"totalIterations":4,"dimension":"how",
            "status":"started"}))
    );
}

#[test]
fn an_iteration_of_another_kind_of_job_is_one_that_is_completed() {
    let mut rehearsal = Rehearsal::of("optimization", "a");
    rehearsal.naming = Naming { with_kind: true };
    told(&mut rehearsal, "job_started", &json!({"data":{"config":{"iterations":40}}}));
    assert_eq!(
        told(&mut rehearsal, "iteration_completed", &json!({"iteration":7,"timestamp":"noon"})),
        Some(json!({"type":"iteration","jobId":"a","kind":"optimization","iteration":7,
            "totalIterations":40,"dimension":"what","status":"completed","timestamp":"noon"}))
    );
}

#[test]
fn a_candidate_is_told_as_stored() {
    let score = json!({"totalScore":0.5,"alignmentScore":70,"aestheticScore":6.25});
    let data = json!({"candidateId":"c-1","totalCandidates":6,"score":score});
    assert_eq!(
        content("candidate", &json!({"iteration":1,"data":data})),
        Some(json!({"type":"candidate","iteration":1,"candidateId":"c-1","totalCandidates":6,
            "score":score}))
    );
    let only_score = json!({"data":{"score":{"totalScore":1}}});
    assert_eq!(
        content("candidate", &only_score),
        Some(json!({"type":"candidate","iteration":0,"candidateId":1,"totalCandidates":0,
            "score":{"totalScore":1}})),
        "the event's id names a candidate that has no other name"
    );
}

#[test]
fn a_candidate_without_a_total_score_is_left_out() {
    for score in [json!(null), json!({}), json!({"totalScore":"0.5"}), json!({"totalScore":null})] {
        let stored = json!({"iteration":1,"data":{"candidateId":1,"score":score}});
        assert_eq!(content("candidate", &stored), None, "{score}");
    }
    assert_eq!(content("candidate", &json!({})), None);
}

#[test]
fn a_whole_result_is_told_letter_by_letter() {
    let result = r#"{"bestCandidate": {"whatPrompt":"a","howPrompt":"b","combinedPrompt":"c",
        "imagePath":"/i.png","totalScore":0.50,"seed":[ 1 ]},"iterations":4,"duration":1.0e3}"#;
    let stored = format!(r#"{{"data":{{"result":{result}}}}}"#);
    let frame = Rehearsal::of("beam-search", "i")
        .play("job_completed", &stored, Standing::Newest, |occurrence| encode(occurrence, None))
        .unwrap();
    assert!(text(&frame).contains(result), "{}", text(&frame));
}

#[test]
fn every_result_has_a_best_candidate_with_every_field_that_clients_read() {
    let minimal = |score: f64| {
        json!({"whatPrompt":"","howPrompt":"","combinedPrompt":"","imagePath":"",
            "totalScore":score})
    };
    let mut rehearsal = Rehearsal::of("optimization", "a");
    told(&mut rehearsal, "iteration_completed", &json!({"iteration":7}));
    let message = told(
        &mut rehearsal,
        "job_completed",
        &json!({"data":{"resultPromptId":"p","finalScore":0.75}}),
    );
    assert_eq!(
        message.unwrap()["result"],
        json!({"bestCandidate":minimal(0.75),"iterations":7,"duration":0})
    );
    for result in [json!(null), json!([]), json!({"bestCandidate":null})] {
        let message = content("job_completed", &json!({"data":{"result":result}})).unwrap();
        assert_eq!(message["result"]["bestCandidate"]["imagePath"], json!(""), "{result}");
    }
    let partial = json!({"bestCandidate":{"imagePath":"/i.png","seed":5},"duration":12,"more":[1]});
    let message = content("job_completed", &json!({"data":{"result":partial}})).unwrap();
    assert_eq!(
        message["result"],
        json!({"more":[1],"duration":12,"iterations":0,"bestCandidate":{"whatPrompt":"",
            "howPrompt":"","combinedPrompt":"","imagePath":"/i.png","totalScore":0,"seed":5}})
    );
}

#[test]
fn a_final_failure_is_an_error_with_a_message_and_a_code() {
    let data = json!({"error":"out of \"memory\"","code":"OOM","errorStack":"…"});
    assert_eq!(
        content("job_failed", &json!({"data":data})),
        Some(json!({"type":"error","error":{"message":"out of \"memory\"","code":"OOM"}}))
    );
    assert_eq!(
        content("job_failed", &json!({"data":{"error":{"a":1}}})),
        Some(json!({"type":"error","error":{"message":"Job failed","code":"JOB_FAILED"}}))
    );
    assert_eq!(
        content("job_cancelled", &json!({"data":{"finalIteration":3}})),
        Some(json!({"type":"error","error":{"message":"Job cancelled","code":"CANCELLED"}}))
    );
}

#[test]
fn what_would_make_a_client_close_too_early_is_hidden() {
    assert_eq!(content("job_failed", &json!({"data":{"willRetry":true}})), None);
    for ending in ["job_completed", "job_failed", "job_cancelled"] {
        let mut rehearsal = Rehearsal::of("beam-search", "i");
        let frame = rehearsal
            .play(ending, "{}", Standing::Superseded, |occurrence| encode(occurrence, None));
        assert_eq!(frame, None, "{ending}");
    }
}

#[test]
fn a_first_message_after_a_gap_says_where_history_begins() {
    let frame = Rehearsal::of("beam-search", "i")
        .play("iteration", "{}", Standing::Newest, |occurrence| encode(occurrence, Some(90)))
        .unwrap();
    assert_eq!(payload(&frame)["truncatedBefore"], json!(90));
}

#[test]
fn a_client_is_understood() {
    let job = |kind: Option<&str>, id| JobName { kind: kind.map(str::to_owned), id };
    for (message, expected) in [
        (
            r#"{"type":"subscribe","jobId":"a","x":1}"#,
            Command::Subscribe { job: job(None, json!("a")) },
        ),
        (
            r#" {"jobId":7,"kind":"optimization","type":"subscribe"}"#,
            Command::Subscribe { job: job(Some("optimization"), json!(7)) },
        ),
        (
            r#"{"type":"unsubscribe","jobId":"a","kind":null}"#,
            Command::Unsubscribe { job: job(None, json!("a")) },
        ),
    ] {
        assert_eq!(parse(message), Some(expected), "{message}");
    }
}

#[test]
fn a_message_that_is_not_understood_is_ignored() {
    for message in [
        "",
        "x",
        "7",
        "null",
        "{",
        r#"["subscribe","a"]"#,
        r#"{"type":"ping"}"#,
        r#"{"type":7,"jobId":"a"}"#,
        r#"{"type":"Subscribe","jobId":"a"}"#,
        r#"{"jobId":"a"}"#,
        r#"{"type":"subscribe"}"#,
        r#"{"type":"subscribe","jobId":"a","kind":7}"#,
    ] {
        assert_eq!(parse(message), None, "{message}");
    }
}

#[test]
fn an_id_that_is_no_jobs_is_answered_with_an_error_that_names_it() {
    for (id, named) in [
        (json!("a.b"), json!("a.b")),
        (json!(7), json!(7)),
        (json!("\"\n"), json!("\"\n")),
        (json!("x".repeat(129)), json!(null)),
        (json!({"a":"b"}), json!(null)),
        (json!(null), json!(null)),
    ] {
        let why = JobName { kind: None, id: id.clone() }.resolve("beam-search").unwrap_err();
        assert_eq!(
            payload(&refusal(&id, &why, STORED)),
            json!({"type":"error","jobId":named,"timestamp":STORED,
                "error":{"message":why.sentence,"code":"INVALID_JOB_ID"}})
        );
    }
    let forbidden = Refusal::new(Code::Forbidden, "Not allowed");
    assert_eq!(
        payload(&refusal(&json!("a"), &forbidden, STORED))["error"],
        json!({"message":"Not allowed","code":"FORBIDDEN"})
    );
}
