//! Publishing over HTTP, for producers that do not speak NATS.
//!
//! All events of a request are checked before the first is sent: a wrong one stores nothing. They
//! are stored one after the other, each acknowledged before the next is sent, so that what is
//! stored of a request is always its beginning.

pub mod batch;
mod intake;
mod metrics;

use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use bytes::Bytes;
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
pub use metrics::PublishMetrics;

/// Bytes of an `Idempotency-Key`; a line's number is appended to it.
const MAX_IDEMPOTENCY_KEY: usize = 200;
/// After this no further line is begun: all of a request must be well inside the stream's duplicate
/// window, or sending it again would store lines twice.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// Bytes of a body that is checked where its connection is served.
const CHECKED_IN_PLACE: usize = 64 * 1024;
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
    // The process does not stop in the middle of it.
    let _place = public.places.hold();
    let received = receive(public, job, &mut request).await;
    if received.is_err() {
        intake::discard(request.body_mut()).await;
    }
    let (publishing, publisher, terms, body) = received?;
    let events = check(terms.format, body).await?.map_err(|error| {
        publishing.metrics.invalid();
        refusal(&error)
    })?;
    Batch { publisher, job, terms }.publish(events, &publishing.metrics).await
}

/// Checks the events of a body. A large one would hold up every socket of the worker.
async fn check(
    format: Format,
    body: Bytes,
) -> Result<Result<Vec<CheckedEvent>, BatchError>, HttpError> {
    let is_large = body.len() > CHECKED_IN_PLACE;
    let checking = move || match format {
        Format::One => batch::one(body),
        Format::Lines => batch::lines(&body),
    };
    if !is_large {
        return Ok(checking());
    }
    tokio::task::spawn_blocking(checking).await.map_err(|error| {
        tracing::error!(%error, "a body could not be checked");
        HttpError::Internal
    })
}

/// What a request says of its body, and the body, if it may be published.
async fn receive<'a>(
    public: &'a Public,
    job: &JobKey,
    request: &mut Request<Incoming>,
) -> Result<(&'a Publishing, &'a Publisher, Terms, Bytes), Answer> {
    let publishing = public.publishing.as_ref().ok_or(HttpError::PublishingOff)?;
    if public.drain.borrow().spread().is_some() {
        return Err(HttpError::Draining.into());
    }
    let route = public.routes.events_of(job).ok_or(HttpError::JobNotFound)?;
    let publisher = publishing.publishers.get(route.source).ok_or(HttpError::Internal)?;
    access::check_publish(public, job, request).await?;
    let terms = Terms::of(request)?;
    let body = publishing.intake.receive(request.body_mut()).await?;
    Ok((publishing, publisher, terms, body))
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
        let begin_before = Instant::now() + REQUEST_TIME;
        for event in events {
            if Instant::now() >= begin_before {
                return Err(self.failure(Failure::Late, event.line, &stored));
            }
            let line = (self.terms.format == Format::Lines).then_some(event.line);
            let key = self.terms.key.of_line(line);
            let (headers, payload) = (self.terms.trace.clone(), event.payload);
            let published = self
                .publisher
                .publish_payload(self.job, &event.event_type, payload, &key, headers)
                .await
                .map_err(|error| {
                    metrics.failed(&error);
                    tracing::warn!(%error, job = %self.job, "an event could not be published");
                    self.failure(Failure::of(&error), event.line, &stored)
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
    fn failure(&self, failure: Failure, line: usize, stored: &[Stored]) -> Answer {
        let mut body = object!({
            "error": failure.sentence(),
            "code": failure.code(),
            "idempotencyKey": self.terms.key.0,
        });
        if let (Format::Lines, Some(fields)) = (self.terms.format, body.as_object_mut()) {
            fields.insert("line".into(), line.into());
            fields.insert("events".into(), object!(stored));
        }
        let mut answer = json(failure.status(), &body);
        if failure.status() == StatusCode::SERVICE_UNAVAILABLE {
            set(&mut answer, header::RETRY_AFTER, "1");
        }
        answer
    }
}

/// Why an event of a request is not in the stream, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// It may be.
    Unacknowledged,
    /// It was not sent: the lines before it took too long.
    Late,
    /// The stream does not take it.
    Refused,
}

impl Failure {
    fn of(error: &PublishError) -> Self {
        match error {
            PublishError::Unacknowledged { .. } => Self::Unacknowledged,
            _ => Self::Refused,
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Unacknowledged | Self::Late => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused => StatusCode::BAD_GATEWAY,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Unacknowledged | Self::Late => "UNAVAILABLE",
            Self::Refused => "REFUSED_BY_STREAM",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Unacknowledged => {
                "The stream did not acknowledge the event: it may be stored or not. The same \
                 request with this Idempotency-Key settles it"
            }
            Self::Late => {
                "The lines before this one took too long: it was not sent. The same request with \
                 this Idempotency-Key goes on"
            }
            Self::Refused => "The stream does not take the event: the log of the gateway says why",
        }
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
