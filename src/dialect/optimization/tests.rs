use serde_json::{Value, json};

use super::*;

const HERE: Naming = Naming { with_kind: false };
const ELSEWHERE: Naming = Naming { with_kind: true };

fn job() -> JobKey {
    JobKey::new("optimization", "a-1").unwrap()
}

/// The payload of a frame, read by a real WebSocket.
fn payload(frame: &Bytes) -> Value {
    use hyper_tungstenite::tungstenite::{WebSocket, protocol::Role};
    let stream = std::io::Cursor::new(frame.to_vec());
    let message = WebSocket::from_raw_socket(stream, Role::Client, None).read().unwrap();
    serde_json::from_str(message.to_text().unwrap()).unwrap()
}

fn encode(payload: &str) -> Result<EncodedEvent, MalformedEvent> {
    let event = EventView {
        id: 42,
        event_type: "iteration_completed",
        stored_at: 1_790_230_470_084_404_000,
        payload: payload.as_bytes(),
        traceparent: None,
    };
    encode_event(&job(), event, HERE)
}

#[test]
fn an_event_has_the_contracts_fields_and_no_other() {
    let stored = r#"{"id":7,"eventType":"other","iteration":3,"stage":"cooling",
        "data":{"score":0.50,"id":9},"timestamp":"2026-01-02T03:04:05","extra":true}"#;
    let encoded = encode(stored).unwrap();
    let expected = json!({"id":42,"eventType":"iteration_completed","iteration":3,
        "stage":"cooling","data":{"score":0.5,"id":9},"timestamp":"2026-01-02T03:04:05"});
    assert_eq!(payload(&encoded.message), json!({"type":"event","jobId":"a-1","event":expected}));
    assert_eq!(serde_json::from_slice::<Value>(encoded.body()).unwrap(), expected);
    assert!(std::str::from_utf8(encoded.body()).unwrap().contains("0.50"), "numbers stay");
}

#[test]
fn absent_fields_are_left_out_and_the_store_time_stands_in() {
    let encoded = encode(r#"{"stage":null}"#).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(encoded.body()).unwrap(),
        json!({"id":42,"eventType":"iteration_completed",
            "timestamp":"2026-09-24T06:14:30.084404Z"})
    );
}

#[test]
fn a_stored_message_that_is_no_event_is_told_from_one() {
    assert_eq!(encode("[]"), Err(MalformedEvent::NotAnObject));
    assert_eq!(encode("{\"data\":1}"), Err(MalformedEvent::WrongType("data")));
}

#[test]
fn the_kind_is_written_where_it_is_not_the_routes() {
    assert_eq!(Naming::on_route(&job(), "optimization"), HERE);
    assert_eq!(Naming::on_route(&job(), "training"), ELSEWHERE);
    assert_eq!(
        payload(&unsubscribed(&job(), ELSEWHERE)),
        json!({"type":"unsubscribed","jobId":"a-1","kind":"optimization"})
    );
}

#[test]
fn a_batch_holds_events_in_order_and_keeps_its_bound() {
    let mut batch = Batch::new(&job(), HERE);
    let body = format!("{{\"id\":1,\"x\":\"{}\"}}", "y".repeat(1_000));
    while batch.has_room(body.len(), BATCH) {
        batch.push(body.as_bytes());
    }
    let events = batch.events();
    let frame = batch.finish();
    assert!(frame.len() <= BATCH + 10 && frame.len() > BATCH - 2_000, "{}", frame.len());
    let message = payload(&frame);
    assert_eq!((&message["type"], &message["jobId"]), (&json!("replay"), &json!("a-1")));
    assert_eq!(message["data"].as_array().unwrap().len(), events);
}

#[test]
fn an_event_larger_than_a_batch_travels_alone() {
    let mut batch = Batch::new(&job(), HERE);
    assert!(batch.has_room(500_000, 1_000));
    batch.push(format!("{{\"x\":\"{}\"}}", "y".repeat(500_000)).as_bytes());
    assert!(!batch.has_room(10, BATCH));
}

#[test]
fn an_empty_batch_is_a_valid_message() {
    assert_eq!(
        payload(&Batch::new(&job(), HERE).finish()),
        json!({"type":"replay","jobId":"a-1","data":[]})
    );
}

#[test]
fn the_other_messages_are_as_the_contract_says() {
    assert_eq!(
        payload(&subscribed(&job(), HERE, 9, Some(2), "e5")),
        json!({"type":"subscribed","jobId":"a-1","lastEventId":9,"firstEventId":2,"epoch":"e5"})
    );
    assert_eq!(payload(&pong()), json!({"type":"pong"}));
    assert_eq!(
        payload(&position(&job(), HERE, 17)),
        json!({"type":"position","jobId":"a-1","id":17,"caughtUp":true})
    );
    assert_eq!(
        payload(&error(&job(), HERE, Code::JobNotFound, "Job not found", &[], None)),
        json!({"type":"error","error":"Job not found","jobId":"a-1","code":"JOB_NOT_FOUND"})
    );
}

#[test]
fn a_client_is_understood() {
    let parsed = parse(
        r#"{"type":"subscribe","jobId":"a","afterEventId":5,"kind":"k","epoch":"e",
            "eventTypes":["x"],"onTruncated":"fail","position":true,"unknown":[]}"#,
    );
    let job = JobName { kind: Some("k".into()), id: json!("a") };
    assert_eq!(
        parsed,
        Ok(Command::Subscribe {
            job: job.clone(),
            after: Some(5),
            epoch: Some("e".into()),
            event_types: Some(vec!["x".into()]),
            fail_if_truncated: true,
            position: true,
        })
    );
    assert_eq!(parse(r#"{"type":"ping"}"#), Ok(Command::Ping));
    let bare = JobName { kind: None, id: json!("a") };
    assert_eq!(
        parse(r#"{"type":"replay","jobId":"a"}"#),
        Ok(Command::Replay { job: bare.clone(), after: 0 })
    );
    for absent in [r#","afterEventId":null"#, ""] {
        let text = format!(r#"{{"type":"subscribe","jobId":"a"{absent}}}"#);
        assert!(matches!(parse(&text), Ok(Command::Subscribe { after: None, .. })), "{text}");
    }
    for (number, expected) in [("5.0", 5), ("1e3", 1_000), ("9007199254740991", (1 << 53) - 1)] {
        let text = format!(r#"{{"type":"replay","jobId":"a","afterEventId":{number}}}"#);
        assert_eq!(parse(&text), Ok(Command::Replay { job: bare.clone(), after: expected }));
    }
}

#[test]
fn a_message_outside_the_contract_is_refused_with_a_sentence() {
    for message in [
        "",
        "x",
        "7",
        "[]",
        "null",
        "{",
        "[\"ping\"]",
        r#"{"type":7}"#,
        r#"{"type":"Ping"}"#,
        r#"{"jobId":"a"}"#,
        r#"{"type":"subscribe","jobId":"a","afterEventId":-1}"#,
        r#"{"type":"subscribe","jobId":"a","afterEventId":1.5}"#,
        r#"{"type":"subscribe","jobId":"a","afterEventId":"5"}"#,
        r#"{"type":"subscribe","jobId":"a","afterEventId":9007199254740992}"#,
        r#"{"type":"subscribe","jobId":"a","afterEventId":1e300}"#,
        r#"{"type":"subscribe","jobId":"a","kind":1}"#,
        r#"{"type":"subscribe","jobId":"a","eventTypes":"x"}"#,
        r#"{"type":"subscribe","jobId":"a","eventTypes":["a.b"]}"#,
        r#"{"type":"subscribe","jobId":"a","onTruncated":"maybe"}"#,
        r#"{"type":"subscribe","jobId":"a","position":"yes"}"#,
        r#"{"type":"subscribe","jobId":"a","epoch":1}"#,
    ] {
        let (refusal, _) = parse(message).expect_err(message);
        assert_eq!(refusal.code, Code::InvalidMessage, "{message}");
        assert!(!refusal.sentence.is_empty());
    }
}

#[test]
fn a_job_id_that_is_no_subject_token_is_refused() {
    let long = "x".repeat(200);
    for id in [
        json!("a.b"),
        json!("*"),
        json!(">"),
        json!("a b"),
        json!(""),
        json!(42),
        json!(null),
        json!(["a"]),
        json!(long),
    ] {
        let refusal = JobName { kind: None, id }.resolve("optimization").expect_err("refused");
        assert_eq!(refusal.code, Code::InvalidJobId);
    }
    let kind = JobName { kind: Some("a.*".into()), id: json!("a") };
    assert_eq!(kind.resolve("optimization").expect_err("refused").code, Code::InvalidJobId);
}
