//! The kept corpus of every fuzz target, through the same functions, on every run of the tests.

#![allow(clippy::expect_used, reason = "a broken expectation is how a test fails")]

#[path = "../fuzz/properties.rs"]
mod properties;

fn replay(target: &str, property: impl Fn(&[u8])) {
    let corpus = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut inputs = 0;
    for entry in std::fs::read_dir(&corpus).expect(&corpus) {
        let path = entry.expect("an entry").path();
        property(&std::fs::read(&path).expect("an input"));
        inputs += 1;
    }
    assert!(inputs > 0, "{corpus} is empty");
}

#[test]
fn client_messages_are_understood_or_refused() {
    replay("client_messages", properties::client_messages);
}

#[test]
fn names_are_literal_tokens_or_refused() {
    replay("names", properties::names);
}

#[test]
fn tokens_without_a_signature_grant_nothing() {
    replay("tokens", properties::tokens);
}

#[test]
fn cursors_are_whole_numbers_or_refused() {
    replay("cursors", properties::cursors);
}

#[test]
fn stored_events_are_told_in_every_form_or_in_none() {
    replay("stored_events", properties::stored_events);
}

#[test]
fn what_is_published_can_be_told() {
    replay("publishing", properties::publishing);
}
