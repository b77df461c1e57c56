use serde_json::json;

use super::*;
use crate::dialect::rehearsal::{STORED, stored};

fn job() -> JobKey {
    JobKey::new("optimization", "a-1").unwrap()
}

/// What an `EventSource` makes of a block: id, event and data.
fn received(block: &[u8]) -> (Option<String>, String, String) {
    let text = std::str::from_utf8(block).unwrap();
    let (mut id, mut event, mut data) = (None, String::new(), Vec::new());
    let block = text.strip_suffix("\n\n").expect("a block that is finished");
    for line in block.split(['\n', '\r']) {
        match line.split_once(": ").expect("a field") {
            ("id", value) => id = Some(value.to_owned()),
            ("event", value) => value.clone_into(&mut event),
            ("data", value) => data.push(value),
            (other, _) => panic!("{other}"),
        }
    }
    (id, event, data.join("\n"))
}

fn encoded(event_type: &str, payload: &str) -> Bytes {
    encode(&job(), stored(42, event_type, payload).as_view()).unwrap()
}

#[test]
fn an_event_comes_with_its_id_its_type_and_the_same_object_as_over_websocket() {
    let stored = r#"{"iteration":3,"data":{"score":0.50}}"#;
    assert_eq!(
        encoded("iteration_completed", stored),
        format!(
            "id: 42\nevent: iteration_completed\ndata: {{\"id\":42,\"eventType\":\
             \"iteration_completed\",\"iteration\":3,\"data\":{{\"score\":0.50}},\
             \"timestamp\":\"{STORED}\"}}\n\n"
        )
    );
}

#[test]
fn types_that_browsers_use_themselves_get_a_prefix() {
    for event_type in ["open", "error", "message"] {
        let (_, event, data) = received(&encoded(event_type, "{}"));
        assert_eq!(event, format!("job-{event_type}"));
        let data: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(data["eventType"], json!(event_type), "only the name of the block changes");
    }
    assert_eq!(received(&encoded("progress", "{}")).1, "progress");
}

#[test]
fn a_payload_of_several_lines_arrives_whole() {
    let stored = "{\n  \"data\": {\r\n    \"a\":\r1,\n\n\"b\":\"id: 7\\n\\n\"\n}}";
    let (id, _, data) = received(&encoded("progress", stored));
    assert_eq!(id.as_deref(), Some("42"));
    let data: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(data["data"], json!({"a":1,"b":"id: 7\n\n"}));
}

#[test]
fn a_stored_message_that_is_no_event_is_told_from_one() {
    let event = stored(1, "progress", "[]");
    assert_eq!(encode(&job(), event.as_view()), Err(MalformedEvent::NotAnObject));
}

#[test]
fn an_error_moves_no_position() {
    let block = error(
        Code::HistoryTruncated,
        "Events are missing:\nsome",
        &[("requestedAfter", json!(5)), ("firstAvailable", json!(90))],
    );
    let (id, event, data) = received(&block);
    assert_eq!((id, event.as_str()), (None, "error"));
    assert_eq!(
        serde_json::from_str::<Value>(&data).unwrap(),
        json!({"error":"Events are missing:\nsome","code":"HISTORY_TRUNCATED",
            "requestedAfter":5,"firstAvailable":90})
    );
}

#[test]
fn a_reconnect_delay_is_in_milliseconds_and_keep_alive_is_a_comment() {
    assert_eq!(retry(2_000), "retry: 2000\n\n");
    assert!(KEEP_ALIVE.starts_with(b":") && KEEP_ALIVE.ends_with(b"\n\n"));
}
