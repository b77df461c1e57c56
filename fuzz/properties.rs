//! What must hold for any bytes from outside: one function for each fuzz target. None of them may
//! panic but by an assertion of its own. `tests/fuzz_corpus.rs` runs them over the kept corpus.

#![allow(dead_code, reason = "each target uses one of them")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use hyper::Request;
use jobwire::auth::{Algorithm, AuthMetrics, Key, Keys, Policy, Verifier};
use jobwire::dialect::optimization::{self, JobName};
use jobwire::dialect::{Form, beam_search, encode};
use jobwire::event::{EventView, JobKey, MAX_EVENT_TYPE, MAX_NAME, StoredBody, check_name};
use jobwire::http::{PlaceInList, batch, cursor};
use jobwire::progress::{Progress, Standing};
use jobwire::subject::SubjectTemplate;
use serde_json::value::RawValue;

/// Whatever a client says is understood or refused, in words that are JSON.
pub fn client_messages(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match optimization::parse(text) {
        Ok(
            optimization::Command::Subscribe { job, .. }
            | optimization::Command::Unsubscribe { job }
            | optimization::Command::Replay { job, .. },
        ) => resolve(&job),
        Ok(_) => {}
        Err((refusal, job)) => json_in(&optimization::refusal(&refusal, job.as_deref())),
    }
    if let Some(
        beam_search::Command::Subscribe { job } | beam_search::Command::Unsubscribe { job },
    ) = beam_search::parse(text)
    {
        resolve(&job);
        if let Err(refusal) = job.resolve("beam-search") {
            json_in(&beam_search::refusal(&job.id, &refusal, "2026-01-02T03:04:05Z"));
        }
    }
}

fn resolve(job: &JobName) {
    match job.resolve("optimization") {
        Ok(key) => assert_literal(&key),
        Err(refusal) => json_in(&optimization::refusal(&refusal, job.echo())),
    }
}

/// Names become literal tokens of a subject or are refused, and a subject gives back its names.
pub fn names(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut parts = text.split('\n');
    let mut next = || parts.next().unwrap_or_default();
    let (kind, id, event_type, subject) = (next(), next(), next(), next());
    let templates = [
        SubjectTemplate::default(),
        SubjectTemplate::parse("orders.{job}.{kind}.evt.{type}", "orders").expect("a template"),
        SubjectTemplate::parse("orders.{job}.evt", "orders").expect("a template"),
    ];
    if let Ok(key) = JobKey::new(kind, id) {
        assert_literal(&key);
        for template in &templates {
            assert_names_only(template, &key, event_type);
        }
    }
    for template in &templates {
        let Some(parts) = template.split(subject) else { continue };
        let key = parts.job_key().expect("a job of a subject");
        assert_literal(&key);
        assert_eq!(template.event_subject(&key, parts.event_type.unwrap_or_default()), subject);
    }
    if let Ok(template) = SubjectTemplate::parse(subject, "kind")
        && let Ok(key) = JobKey::new("kind", "id")
    {
        assert_names_only(&template, &key, "type");
    }
}

fn assert_literal(key: &JobKey) {
    for name in [key.kind(), key.id()] {
        assert!(check_name(name, MAX_NAME).is_ok(), "{name:?}");
        assert!(!name.contains(['.', '*', '>', ' ', '\t', '\r', '\n', '\0']), "{name:?}");
    }
    assert_eq!(key.as_str().split('.').count(), 2);
}

fn assert_names_only(template: &SubjectTemplate, key: &JobKey, event_type: &str) {
    if !template.covers(key) || check_name(event_type, MAX_EVENT_TYPE).is_err() {
        return;
    }
    let subject = template.event_subject(key, event_type);
    assert!(!subject.contains(['*', '>', ' ', '\t', '\r', '\n']), "{subject:?}");
    let parts = template.split(&subject).expect("an event's subject");
    assert_eq!(parts.job_key().as_ref(), Ok(key));
    let filter = template.job_filter(key);
    let tokens: Vec<&str> = filter.split('.').collect();
    assert_eq!(tokens.len(), subject.split('.').count(), "{filter:?} for {subject:?}");
    let wild = tokens.iter().filter(|token| matches!(**token, "*" | ">")).count();
    assert!(wild <= 1, "{filter:?} is about more than one job");
}

/// Nobody without a key makes a token that is granted anything.
pub fn tokens(input: &[u8]) {
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAERnsIrQAoD+kxfbUT+LutE7Rrxrf6\n\
        ENBf2c+BmL3GVaMfAknQAKpSVMEt/O9VLlPkFv0eQemESyY8Ra9LA1MEYw==\n\
        -----END PUBLIC KEY-----\n";
    static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
        let public = Key::from_pem(Algorithm::ES256, Some("public"), PUBLIC).expect("a key");
        let secret = Key::from_secret(b"nobody who fuzzes will find it!!").expect("a key");
        let policy = Policy {
            audience: Vec::new(),
            issuer: Vec::new(),
            leeway: Duration::from_secs(30),
            default_watch: Vec::new(),
            default_publish: Vec::new(),
            max_token: 8 << 10,
        };
        let registry = prometheus::Registry::new();
        let metrics = AuthMetrics::register(&registry).expect("metrics");
        Verifier::with_keys(Keys::fixed(vec![public, secret]), policy, metrics)
    });
    let Ok(text) = std::str::from_utf8(input) else { return };
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let refusal = VERIFIER.verify(text, now).expect_err("a token that nobody signed");
    assert!(!refusal.to_string().is_empty());
}

/// A cursor is a whole number in digits, or refused; a place in a list is what was given out.
pub fn cursors(input: &[u8]) {
    let is_digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if let Ok(request) = Request::get("/").header("last-event-id", input).body(()) {
        let read = cursor(&request);
        assert!(matches!(read, Ok(Some(_))) <= is_digits(input), "{read:?}");
        assert!(matches!(read, Ok(None)) <= input.is_empty(), "{read:?}");
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(request) = Request::get(format!("/?{text}")).body(()) {
        let _ = cursor(&request);
    }
    if let Ok(place) = text.parse::<PlaceInList>() {
        assert_eq!(place.to_string().parse(), Ok(place));
    }
}

/// Whatever is stored is told in every form as JSON, or is no event in all of them.
pub fn stored_events(input: &[u8]) {
    const TYPES: [&str; 12] = [
        "job_created",
        "job_started",
        "job_completed",
        "job_failed",
        "job_cancelled",
        "job_paused",
        "progress",
        "candidate",
        "iteration_completed",
        "error",
        "stage_started",
        "anything",
    ];
    let Some((first, payload)) = input.split_first() else { return };
    let event_type = TYPES[usize::from(first % 16).min(TYPES.len() - 1)];
    let standing = if first & 16 == 0 { Standing::Newest } else { Standing::Superseded };
    assert_told(event_type, payload, standing);
}

fn assert_told(event_type: &str, payload: &[u8], standing: Standing) -> bool {
    let job = JobKey::new("optimization", "job").expect("a job");
    let event = EventView {
        id: 7,
        event_type,
        stored_at: 1_790_230_470_084_404_000,
        payload,
        traceparent: None,
    };
    let is_event = StoredBody::parse(payload).is_ok();
    let _ = jobwire::dialect::is_final(event);
    for form in (0..Form::COUNT).filter_map(Form::of_number) {
        let Ok(encoded) = encode(form, &job, event, Progress::default(), standing) else {
            assert!(!is_event, "{form:?} refuses an event");
            continue;
        };
        assert!(is_event, "{form:?} tells what is no event");
        if form == Form::EventStream {
            json_in_block(&encoded.message);
        } else if !encoded.message.is_empty() {
            json_in(&encoded.message);
        }
    }
    is_event
}

/// What is accepted for publishing is told in every form later.
pub fn publishing(input: &[u8]) {
    let body = Bytes::copy_from_slice(input);
    let (one, lines) = (batch::one(body.clone()), batch::lines(&body));
    for events in [one, lines].into_iter().flatten() {
        assert!((1..=batch::MAX_LINES).contains(&events.len()));
        for event in events {
            assert!(check_name(&event.event_type, MAX_EVENT_TYPE).is_ok());
            assert!(assert_told(&event.event_type, &event.payload, Standing::Newest));
        }
    }
}

/// Asserts that a whole, unmasked text frame holds a JSON object.
fn json_in(frame: &[u8]) {
    assert_eq!(frame[0], 0x81);
    let (header, length) = match frame[1] {
        126 => (4, u64::from(u16::from_be_bytes([frame[2], frame[3]]))),
        127 => (10, u64::from_be_bytes(frame[2..10].try_into().expect("eight bytes"))),
        length => (2, u64::from(length)),
    };
    assert_eq!(frame.len() as u64, header as u64 + length);
    assert_object(std::str::from_utf8(&frame[header..]).expect("UTF-8"));
}

/// Asserts that a block of Server-Sent Events, put together as browsers do it, holds one.
fn json_in_block(block: &[u8]) {
    let text = std::str::from_utf8(block).expect("UTF-8");
    let block = text.strip_suffix("\n\n").expect("one block");
    assert!(!block.contains("\n\n"), "one block");
    let data: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_object(&data.join("\n"));
}

/// Not a `Value`: numbers are told as they were stored, however large they are.
fn assert_object(text: &str) {
    let json: &RawValue = serde_json::from_str(text).expect("JSON");
    assert!(json.get().starts_with('{'), "{text}");
}
