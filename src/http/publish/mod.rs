//! Publishing over HTTP, for producers that do not speak NATS.
//!
//! All events of a request are checked before the first is sent: a wrong one stores nothing. They
//! are stored one after the other, each acknowledged before the next is sent, so that what is
//! stored of a request is always its beginning.

pub mod batch;
mod intake;
mod metrics;

use async_nats::HeaderMap;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Request, StatusCode};
use serde::Serialize;
use serde_json::json as object;

use super::access;
use super::answer::{Answer, HttpError, json, set};
use super::server::Public;
use crate::event::JobKey;
use crate::journal::publish::{PublishError, Publisher};
use batch::{BatchError, CheckedEvent};
pub use intake::Intake;
use intake::Received;
pub use metrics::PublishMetrics;

/// Bytes of an `Idempotency-Key`; a line's number is appended to it.
const MAX_IDEMPOTENCY_KEY: usize = 200;
/// Bytes of a header of trace context (W3C Trace Context, section 3.3.1.5).
const MAX_TRACE: usize = 512;

/// What publishing needs, where it is on.
#[derive(Clone)]
pub struct Publishing {
    /// Who publishes to each stream, in the order of the sources.
    pub publishers: Vec<Publisher>,
    /// Room for bodies.
    pub intake: Intake,
    /// What is counted.
    pub metrics: PublishMetrics,
}

/// How a body holds events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// One JSON object.
    One,
    /// One in each line.
    Lines,
}

/// An event that the stream has.
#[derive(Serialize)]
struct Stored {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    id: u64,
    /// It was there before: the same key had stored it.
    duplicate: bool,
}

/// Publishes the events of a request to a job.
///
/// # Errors
/// The refusal to send.
pub async fn answer(
    public: &Public,
    job: &JobKey,
    mut request: Request<Incoming>,
) -> Result<Answer, Answer> {
    let received = receive(public, job, &mut request).await;
    if received.is_err() {
        intake::discard(request.body_mut()).await;
    }
    let (publishing, publisher, terms, received) = received?;
    let events = match terms.format {
        Format::One => batch::one(received.body.clone()),
        Format::Lines => batch::lines(&received.body),
    };
    let events = events.map_err(|error| {
        publishing.metrics.invalid();
        refusal(&error)
    })?;
    Batch { publisher, job, terms }.publish(events, &publishing.metrics).await
}

/// What a request says of its body, and the body, if it may be published.
async fn receive<'a>(
    public: &'a Public,
    job: &JobKey,
    request: &mut Request<Incoming>,
) -> Result<(&'a Publishing, &'a Publisher, Terms, Received), Answer> {
    let publishing = public.publishing.as_ref().ok_or(HttpError::PublishingOff)?;
    if public.drain.borrow().spread().is_some() {
        return Err(HttpError::Draining.into());
    }
    let route = public.routes.events_of(job).ok_or(HttpError::NoStream)?;
    let publisher = publishing.publishers.get(route.source).ok_or(HttpError::Internal)?;
    let grant = access::authenticate(public, route, request).await?;
    if grant.is_some_and(|grant| !grant.may_publish(job)) {
        return Err(HttpError::Forbidden.into());
    }
    let terms = Terms::of(request)?;
    let received = publishing.intake.receive(request.body_mut()).await?;
    Ok((publishing, publisher, terms, received))
}

/// What the headers say of the events.
struct Terms {
    format: Format,
    key: Key,
    trace: HeaderMap,
}

impl Terms {
    fn of(request: &Request<Incoming>) -> Result<Self, HttpError> {
        Ok(Self { format: format(request)?, key: Key::of(request)?, trace: trace_context(request) })
    }
}

/// Events of one request on their way to the stream.
struct Batch<'a> {
    publisher: &'a Publisher,
    job: &'a JobKey,
    terms: Terms,
}

impl Batch<'_> {
    async fn publish(
        &self,
        events: Vec<CheckedEvent>,
        metrics: &PublishMetrics,
    ) -> Result<Answer, Answer> {
        let mut stored = Vec::with_capacity(events.len());
        for event in events {
            let line = (self.terms.format == Format::Lines).then_some(event.line);
            let key = self.terms.key.of_line(line);
            let (headers, payload) = (self.terms.trace.clone(), event.payload);
            let published = self
                .publisher
                .publish_payload(self.job, &event.event_type, payload, &key, headers)
                .await
                .map_err(|error| {
                    metrics.failed(&error);
                    self.failure(&error, event.line, &stored)
                })?;
            metrics.stored(published.duplicate);
            stored.push(Stored { line, id: published.id, duplicate: published.duplicate });
        }
        Ok(match (self.terms.format, stored.as_slice()) {
            (Format::One, [one]) => json(StatusCode::CREATED, one),
            _ => json(StatusCode::CREATED, &object!({ "events": stored })),
        })
    }

    /// What is said when the stream did not take an event: which lines it has, and which not.
    fn failure(&self, error: &PublishError, line: usize, stored: &[Stored]) -> Answer {
        tracing::warn!(%error, job = %self.job, "an event could not be published");
        let (status, code, sentence) = match error {
            PublishError::Unacknowledged { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "UNAVAILABLE",
                "The stream did not acknowledge the event: it may be stored or not. The same \
                 request with the same Idempotency-Key settles it",
            ),
            _ => (
                StatusCode::BAD_GATEWAY,
                "REFUSED_BY_STREAM",
                "The stream does not take the event: the log of the gateway says why",
            ),
        };
        let mut body = object!({ "error": sentence, "code": code });
        if let (Format::Lines, Some(fields)) = (self.terms.format, body.as_object_mut()) {
            fields.insert("line".into(), line.into());
            fields.insert("events".into(), object!(stored));
        }
        let mut answer = json(status, &body);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            set(&mut answer, header::RETRY_AFTER, "1");
        }
        answer
    }
}

/// What tells this request's events from all others of the job.
struct Key(String);

impl Key {
    fn of(request: &Request<Incoming>) -> Result<Self, HttpError> {
        let Some(value) = request.headers().get("idempotency-key") else {
            // Our own attempts at one event must not store it twice.
            return Ok(Self(format!("{:032x}", fastrand::u128(..))));
        };
        let key = value.to_str().map_err(|_| HttpError::InvalidIdempotencyKey)?;
        let fits = (1..=MAX_IDEMPOTENCY_KEY).contains(&key.len());
        if !fits || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(HttpError::InvalidIdempotencyKey);
        }
        Ok(Self(key.to_owned()))
    }

    fn of_line(&self, line: Option<usize>) -> String {
        line.map_or_else(|| self.0.clone(), |line| format!("{}/{line}", self.0))
    }
}

fn format(request: &Request<Incoming>) -> Result<Format, HttpError> {
    if request.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(HttpError::UnsupportedBody);
    }
    let told = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = told.and_then(|told| told.split(';').next()).unwrap_or_default().trim();
    match media_type.to_ascii_lowercase().as_str() {
        "application/json" => Ok(Format::One),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Format::Lines),
        _ => Err(HttpError::UnsupportedBody),
    }
}

/// The trace that the request is part of, if its headers can be passed on.
fn trace_context(request: &Request<Incoming>) -> HeaderMap {
    let passes = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        bytes.len() <= MAX_TRACE && bytes.iter().all(|byte| (b' '..=b'~').contains(byte))
    };
    let mut trace = HeaderMap::new();
    for name in ["traceparent", "tracestate"] {
        let value = request.headers().get(name).filter(passes);
        if let Some(value) = value.and_then(|value| value.to_str().ok()) {
            trace.insert(name, value);
        }
    }
    trace
}

fn refusal(error: &BatchError) -> Answer {
    let status = match error {
        BatchError::TooMany => StatusCode::PAYLOAD_TOO_LARGE,
        BatchError::Event { error: batch::EventError::TooLarge(_), .. } => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        BatchError::Empty | BatchError::Event { .. } => StatusCode::BAD_REQUEST,
    };
    let mut body = object!({
        "error": format!("{error}; nothing of this request was stored"),
        "code": "INVALID_EVENT",
    });
    if let (BatchError::Event { line, error }, Some(fields)) = (error, body.as_object_mut()) {
        fields.insert("line".into(), (*line).into());
        fields.insert("pointer".into(), error.pointer().into());
    }
    json(status, &body)
}
