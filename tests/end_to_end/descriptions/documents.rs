//! What can be said of the documents without a gateway.

use std::collections::BTreeSet;

use jobwire::dialect::optimization::Code;
use jobwire::http::HttpError;
use jobwire::session::Ending;
use serde_json::{Value, json};

use super::conversing::Speaker;
use super::description::{Description, escaped};

/// Codes of answers that are made elsewhere than the others.
const OTHER_CODES: [(u16, &str); 6] = [
    (400, "INVALID_EVENT"),
    (401, "UNAUTHORIZED"),
    (410, "HISTORY_TRUNCATED"),
    (410, "CURSOR_INVALID"),
    (413, "INVALID_EVENT"),
    (502, "REFUSED_BY_STREAM"),
];

#[test]
fn every_message_of_the_golden_conversations_is_described() {
    let description = Description::of_web_sockets();
    for (channel, text) in [
        ("beamSearch", include_str!("../../golden/beam_search.json")),
        ("training", include_str!("../../golden/training.json")),
        ("agent", include_str!("../../golden/agent.json")),
    ] {
        for message in golden_messages(text) {
            description.check_message(channel, Speaker::Gateway, &message);
        }
    }
    for event in golden_messages(include_str!("../../golden/optimization.json")) {
        description.check("/components/schemas/Event", &event);
        Description::of_http().check("/components/schemas/Event", &event);
    }
}

fn golden_messages(text: &str) -> Vec<Value> {
    let text = text.replace("<time>", "2026-03-01T10:00:00.25Z");
    let conversations: Vec<Value> = serde_json::from_str(&text).expect("conversations");
    let messages =
        conversations.iter().filter_map(|conversation| conversation["messages"].as_array());
    let messages: Vec<Value> = messages.flatten().cloned().collect();
    assert!(!messages.is_empty(), "a file without a message");
    messages
}

#[test]
fn every_example_is_one() {
    let description = Description::of_web_sockets();
    for channel in description.names("/channels") {
        for message in description.names(&format!("/channels/{channel}/messages")) {
            let place = format!("/channels/{channel}/messages/{message}");
            let examples = description.at(&place)["examples"].as_array().expect("examples");
            assert!(!examples.is_empty(), "{place} has no example");
            for example in examples {
                description.check(&format!("{place}/payload"), &example["payload"]);
            }
        }
    }
    let description = Description::of_http();
    let mut checked = 0;
    for content in places_with(description.document(), "examples") {
        for example in description.names(&format!("{content}/examples")) {
            let value = &description.at(&format!("{content}/examples/{example}"))["value"];
            description.check(&format!("{content}/schema"), value);
            checked += 1;
        }
    }
    assert!(checked > 5, "{checked} examples");
}

#[test]
fn every_error_of_the_wire_format_is_described_and_no_other() {
    let description = Description::of_web_sockets();
    let messages = description.at("/channels/optimization/messages");
    let described = messages.as_object().expect("messages").values();
    let described: BTreeSet<&str> = described
        .flat_map(|message| values_of(&message["payload"]["properties"]["code"]))
        .collect();
    assert_eq!(described, Code::ALL.iter().map(|code| code.as_str()).collect());
}

#[test]
fn every_error_over_http_is_described_with_its_status_and_no_other() {
    let description = Description::of_http();
    let operations = description.operations().into_iter();
    let places = operations.map(|operation| format!("{operation}/responses"));
    let mut described = BTreeSet::new();
    for responses in places.chain(["/x-everywhere".to_owned()]) {
        for status in description.names(&responses) {
            let schema = format!("{responses}/{status}");
            let schema =
                format!("{}/content/application~1json/schema", description.resolve(&schema));
            let Some(_) = description.document().pointer(&schema) else { continue };
            let schemas: Vec<&Value> = match description.at(&schema)["oneOf"].as_array() {
                Some(branches) => (0..branches.len())
                    .map(|number| description.at(&format!("{schema}/oneOf/{number}")))
                    .collect(),
                None => vec![description.at(&schema)],
            };
            let codes = schemas.into_iter().flat_map(|of| values_of(&of["properties"]["code"]));
            let status: u16 = status.parse().expect("a status");
            described.extend(codes.map(|code| (status, code)));
        }
    }
    let known = HttpError::ALL.iter().map(|error| (error.status().as_u16(), error.code()));
    assert_eq!(described, known.chain(OTHER_CODES).collect());
}

/// The strings that a schema allows.
fn values_of(schema: &Value) -> Vec<&str> {
    let listed = schema["enum"].as_array().into_iter().flatten().chain(schema.get("const"));
    listed.filter_map(Value::as_str).collect()
}

#[test]
fn every_close_code_is_described_with_its_reason_and_no_other() {
    let description = Description::of_web_sockets();
    let text = description.at("/info/description").as_str().expect("a text");
    let described: BTreeSet<(u16, &str)> = text
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let code = cells.next()?.parse().ok()?;
            Some((code, cells.next()?.trim_matches('`')))
        })
        .collect();
    let farewells: Vec<_> = Ending::ALL.iter().filter_map(Ending::farewell).collect();
    let known = farewells.iter().map(|farewell| (farewell.code.0, &*farewell.reason));
    assert_eq!(described, known.collect());
}

#[test]
fn what_both_documents_describe_they_describe_alike() {
    let (web_sockets, http) = (Description::of_web_sockets(), Description::of_http());
    let mut shared = 0;
    for name in web_sockets.names("/components/schemas") {
        let place = format!("/components/schemas/{name}");
        if http.document().pointer(&place).is_none() {
            continue;
        }
        shared += 1;
        let (mut one, mut other) = (web_sockets.at(&place).clone(), http.at(&place).clone());
        // What the same thing is for may be said where it is used.
        for schema in [&mut one, &mut other] {
            schema.as_object_mut().expect("a schema").remove("description");
        }
        assert_eq!(one, other, "{name}");
    }
    assert!(shared > 5, "{shared} schemas in both");
    for description in [&web_sockets, &http] {
        assert_eq!(description.at("/info/version"), &json!(env!("CARGO_PKG_VERSION")));
    }
}

/// The places of all objects that have a field.
fn places_with(part: &Value, field: &str) -> Vec<String> {
    let mut places = Vec::new();
    if let Value::Object(fields) = part {
        if fields.get(field).is_some_and(Value::is_object) {
            places.push(String::new());
        }
        for (name, value) in fields {
            let below = places_with(value, field).into_iter();
            places.extend(below.map(|place| format!("/{}{place}", escaped(name))));
        }
    }
    places
}
