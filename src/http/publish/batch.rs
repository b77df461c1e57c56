//! Events as they come in a request's body, checked before any of them is published. Pure.
//!
//! They are stored as they were sent: nothing is rewritten, so that numbers stay as they were
//! written.

use bytes::Bytes;

use crate::event::{MAX_EVENT, MAX_EVENT_TYPE, MalformedEvent, StoredBody, check_name};

/// Events in one request.
pub const MAX_LINES: usize = 1_000;

/// An event that can be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedEvent {
    /// Its line in the body, from 1; blank lines count.
    pub line: usize,
    /// Its type.
    pub event_type: Box<str>,
    /// What is stored.
    pub payload: Bytes,
}

/// Why an event cannot be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// No JSON, or no object. The position is the parser's, within the event.
    #[error("not a JSON object: {0}")]
    NotAnObject(String),
    /// No type.
    #[error("eventType is missing")]
    NoType,
    /// A type that cannot be one.
    #[error(
        "eventType has to be a string of 1 to {MAX_EVENT_TYPE} characters of A-Z, a-z, 0-9, _ and -"
    )]
    Type,
    /// A field of another type than it should have.
    #[error("{0} has to be {wanted}", wanted = wanted(.0))]
    Field(&'static str),
    /// Too many bytes.
    #[error("the event has {0} bytes, {MAX_EVENT} are allowed")]
    TooLarge(usize),
}

impl EventError {
    /// The field that is wrong, as a JSON Pointer (RFC 6901); the whole event is "".
    pub fn pointer(&self) -> String {
        match self {
            Self::NotAnObject(_) | Self::TooLarge(_) => String::new(),
            Self::NoType | Self::Type => "/eventType".to_owned(),
            Self::Field(field) => format!("/{field}"),
        }
    }
}

/// Why the events of a request cannot be published; none of them is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// There is none.
    #[error("the body has no event")]
    Empty,
    /// There are too many.
    #[error("the body has more than {MAX_LINES} events")]
    TooMany,
    /// One of them is wrong, the first that is.
    #[error("{error}")]
    Event {
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        error: EventError,
    },
}

fn wanted(field: &str) -> &'static str {
    match field {
        "iteration" => "a number",
        "data" => "an object",
        "timestamp" => "a string, a time in ISO 8601",
        _ => "a string",
    }
}

/// The one event of a body.
///
/// # Errors
/// [`BatchError`].
pub fn one(body: Bytes) -> Result<Vec<CheckedEvent>, BatchError> {
    if is_blank(&body) {
        return Err(BatchError::Empty);
    }
    Ok(vec![check(1, body)?])
}

/// The events of a body, one in each line.
///
/// # Errors
/// [`BatchError`], about the first line that is wrong.
pub fn lines(body: &Bytes) -> Result<Vec<CheckedEvent>, BatchError> {
    let mut events = Vec::new();
    let mut start = 0;
    for (number, line) in body.split(|byte| *byte == b'\n').enumerate() {
        let payload = body.slice(start..start + line.len());
        start += line.len() + 1;
        if is_blank(&payload) {
            continue;
        }
        if events.len() == MAX_LINES {
            return Err(BatchError::TooMany);
        }
        events.push(check(number + 1, payload)?);
    }
    if events.is_empty() { Err(BatchError::Empty) } else { Ok(events) }
}

fn is_blank(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_whitespace)
}

fn check(line: usize, payload: Bytes) -> Result<CheckedEvent, BatchError> {
    let refuse = |error| BatchError::Event { line, error };
    if payload.len() > MAX_EVENT {
        return Err(refuse(EventError::TooLarge(payload.len())));
    }
    // The parser does not look at what it leaves out.
    if let Err(error) = std::str::from_utf8(&payload) {
        return Err(refuse(EventError::NotAnObject(error.to_string())));
    }
    let body = StoredBody::parse(&payload).map_err(|error| {
        refuse(match error {
            MalformedEvent::NotAnObject => EventError::NotAnObject(why_no_object(&payload)),
            MalformedEvent::WrongType(field) => EventError::Field(field),
        })
    })?;
    let told = body.event_type.ok_or_else(|| refuse(EventError::NoType))?;
    let event_type = serde_json::from_str::<String>(told.get())
        .ok()
        .filter(|event_type| check_name(event_type, MAX_EVENT_TYPE).is_ok())
        .ok_or_else(|| refuse(EventError::Type))?;
    Ok(CheckedEvent { line, event_type: event_type.into(), payload })
}

/// The parser's words, which name the place.
fn why_no_object(payload: &[u8]) -> String {
    match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(payload) {
        Err(error) => error.to_string(),
        // What only the reading of single fields finds: one that stands twice.
        Ok(_) => match serde_json::from_slice::<StoredBody<'_>>(payload) {
            Err(error) => error.to_string(),
            Ok(_) => "it cannot be read".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: impl AsRef<[u8]>) -> (usize, EventError) {
        match lines(&Bytes::copy_from_slice(body.as_ref())) {
            Err(BatchError::Event { line, error }) => (line, error),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_utf_8_is_refused_wherever_it_stands() {
        let (line, error) = refusal(b"{\"eventType\":\"a\",\"x\":\"\xff\"}");
        assert_eq!((line, &*error.pointer()), (1, ""));
    }

    #[test]
    fn an_event_is_stored_byte_for_byte() {
        let body = r#" {"eventType":"score", "iteration": 1.50e0,"data":{"a":1e400},"x":[]} "#;
        let events = one(Bytes::from_static(body.as_bytes())).unwrap();
        assert_eq!((events[0].line, &*events[0].event_type), (1, "score"));
        assert_eq!(events[0].payload, body);
    }

    #[test]
    fn lines_keep_their_numbers_over_blank_ones() {
        let body = Bytes::from_static(b"\n{\"eventType\":\"a\"}\r\n\n  \n{\"eventType\":\"b\"}");
        let events = lines(&body).unwrap();
        let told: Vec<(usize, &str)> = events.iter().map(|e| (e.line, &*e.event_type)).collect();
        assert_eq!(told, [(2, "a"), (5, "b")]);
    }

    #[test]
    fn a_field_that_is_wrong_is_pointed_at() {
        for (body, pointer) in [
            (r#"{"data":{}}"#, "/eventType"),
            (r#"{"eventType":7}"#, "/eventType"),
            (r#"{"eventType":null}"#, "/eventType"),
            (r#"{"eventType":""}"#, "/eventType"),
            (r#"{"eventType":"a.b"}"#, "/eventType"),
            (r#"{"eventType":"\ud800"}"#, "/eventType"),
            (r#"{"eventType":"a","iteration":"1"}"#, "/iteration"),
            (r#"{"eventType":"a","stage":1}"#, "/stage"),
            (r#"{"eventType":"a","data":[]}"#, "/data"),
            (r#"{"eventType":"a","timestamp":0}"#, "/timestamp"),
            (r#"["a"]"#, ""),
            (r#"{"eventType":"a""#, ""),
            (r#"{"eventType":"a","eventType":"b"}"#, ""),
            ("7", ""),
        ] {
            let (line, error) = refusal(body);
            assert_eq!((line, &*error.pointer()), (1, pointer), "{body}: {error}");
            assert!(error.to_string().len() > 10, "{error}");
        }
        let (line, error) = refusal("{\"eventType\":\"a\"}\n\n{\"eventType\":\"a\",\"data\":1}");
        assert_eq!((line, error.to_string()), (3, "data has to be an object".to_owned()));
    }

    #[test]
    fn too_much_or_nothing_is_refused() {
        assert_eq!(lines(&Bytes::from_static(b" \n\r\n")), Err(BatchError::Empty));
        assert_eq!(one(Bytes::new()), Err(BatchError::Empty));
        let event = "{\"eventType\":\"a\"}\n";
        assert_eq!(
            lines(&event.repeat(MAX_LINES).into()).map(|events| events.len()),
            Ok(MAX_LINES)
        );
        assert_eq!(lines(&event.repeat(MAX_LINES + 1).into()), Err(BatchError::TooMany));
        let large = format!(r#"{{"eventType":"a","data":{{"x":"{}"}}}}"#, "x".repeat(MAX_EVENT));
        assert!(matches!(
            one(large.into()),
            Err(BatchError::Event { line: 1, error: EventError::TooLarge(_) })
        ));
    }
}
