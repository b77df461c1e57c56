//! Answers: JSON, text, and the closed list of errors.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use crate::session::{ReadRefusal, Reason};

/// An answer whose body is there as a whole.
pub type Answer = Response<Full<Bytes>>;

/// What can be wrong with a request; the sentence is all that a client learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpError {
    /// No such resource.
    NotFound,
    /// The resource does not know this method.
    MethodNotAllowed,
    /// The resource is a WebSocket.
    UpgradeRequired,
    /// The upgrade breaks RFC 6455.
    BadUpgrade,
    /// The path or the query names no job that can be.
    InvalidJob,
    /// The cursor is no event id.
    InvalidCursor,
    /// The number of events wanted is out of bounds.
    InvalidLimit,
    /// The time to wait is out of bounds.
    InvalidWait,
    /// The place in the list of jobs is none that was given out.
    InvalidListCursor,
    /// The number of jobs wanted is out of bounds.
    InvalidListLimit,
    /// There is no such job.
    JobNotFound,
    /// A limit, or what is not allowed; it is counted where the answer leaves.
    Refused(Reason),
    /// Nothing can be published here.
    PublishingOff,
    /// The body is of a type or an encoding that is not read.
    UnsupportedBody,
    /// The body is too large.
    BodyTooLarge,
    /// The body did not come in time.
    BodyTooSlow,
    /// The body broke off.
    BodyBroken,
    /// The key cannot be one.
    InvalidIdempotencyKey,
    /// NATS does not answer.
    Unavailable,
    /// The process is stopping.
    Draining,
    /// Something of ours.
    Internal,
}

impl HttpError {
    /// Every error there is, refusals as far as HTTP tells them.
    pub const ALL: [Self; 28] = [
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::UpgradeRequired,
        Self::BadUpgrade,
        Self::InvalidJob,
        Self::InvalidCursor,
        Self::InvalidLimit,
        Self::InvalidWait,
        Self::InvalidListCursor,
        Self::InvalidListLimit,
        Self::JobNotFound,
        Self::Refused(Reason::Connections),
        Self::Refused(Reason::Address),
        Self::Refused(Reason::AddressRate),
        Self::Refused(Reason::Subject),
        Self::Refused(Reason::Job),
        Self::Refused(Reason::Bodies),
        Self::Refused(Reason::Forbidden),
        Self::Refused(Reason::Origin),
        Self::PublishingOff,
        Self::UnsupportedBody,
        Self::BodyTooLarge,
        Self::BodyTooSlow,
        Self::BodyBroken,
        Self::InvalidIdempotencyKey,
        Self::Unavailable,
        Self::Draining,
        Self::Internal,
    ];

    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotFound | Self::JobNotFound => StatusCode::NOT_FOUND,
            Self::Refused(Reason::Forbidden | Reason::Origin) | Self::PublishingOff => {
                StatusCode::FORBIDDEN
            }
            Self::Refused(Reason::AddressRate) => StatusCode::TOO_MANY_REQUESTS,
            Self::UnsupportedBody => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::BadUpgrade
            | Self::BodyBroken
            | Self::InvalidIdempotencyKey
            | Self::InvalidJob
            | Self::InvalidCursor
            | Self::InvalidLimit
            | Self::InvalidWait
            | Self::InvalidListCursor
            | Self::InvalidListLimit => StatusCode::BAD_REQUEST,
            Self::Draining | Self::Unavailable | Self::Refused(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The code in its body.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::UpgradeRequired => "UPGRADE_REQUIRED",
            Self::BadUpgrade => "BAD_UPGRADE",
            Self::InvalidJob => "INVALID_JOB_ID",
            Self::InvalidCursor | Self::InvalidListCursor => "INVALID_CURSOR",
            Self::InvalidLimit | Self::InvalidListLimit => "INVALID_LIMIT",
            Self::InvalidWait => "INVALID_WAIT",
            Self::JobNotFound => "JOB_NOT_FOUND",
            Self::Refused(Reason::Forbidden) => "FORBIDDEN",
            Self::Refused(Reason::Origin) => "ORIGIN_FORBIDDEN",
            Self::Refused(_) => "LIMIT",
            Self::PublishingOff => "PUBLISHING_OFF",
            Self::UnsupportedBody => "UNSUPPORTED_BODY",
            Self::BodyTooLarge => "BODY_TOO_LARGE",
            Self::BodyTooSlow => "BODY_TOO_SLOW",
            Self::BodyBroken => "BODY_BROKEN",
            Self::InvalidIdempotencyKey => "INVALID_IDEMPOTENCY_KEY",
            Self::Unavailable => "UNAVAILABLE",
            Self::Draining => "DRAINING",
            Self::Internal => "INTERNAL",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::NotFound => "There is nothing at this path",
            Self::MethodNotAllowed => {
                "This path does not know this method; Allow names those it does"
            }
            Self::UpgradeRequired => "This path is a WebSocket: ask for an upgrade",
            Self::BadUpgrade => "The upgrade needs Sec-WebSocket-Key and Sec-WebSocket-Version: 13",
            Self::InvalidJob => {
                "A job id and a kind have 1 to 128 characters of A-Z, a-z, 0-9, _ and -"
            }
            Self::InvalidCursor => "The cursor must be the id of an event, a whole number",
            Self::InvalidLimit => "limit must be a whole number from 1 to 1000",
            Self::InvalidWait => "wait must be a whole number of seconds from 0 to 55",
            Self::InvalidListCursor => "cursor must be what an answer gave as next",
            Self::InvalidListLimit => "limit must be a whole number from 1 to 500",
            Self::JobNotFound => "Job not found",
            Self::Refused(reason) => reason.sentence(),
            Self::PublishingOff => {
                "Publishing is off: the operator turns it on with publish = true"
            }
            Self::UnsupportedBody => {
                "Send one event as application/json or one a line as application/x-ndjson, not \
                 compressed"
            }
            Self::BodyTooLarge => "The body has more than the 4 MiB that are allowed",
            Self::BodyTooSlow => "The body did not come within 30 s",
            Self::BodyBroken => "The body broke off",
            Self::InvalidIdempotencyKey => {
                "Idempotency-Key has to be 1 to 200 visible ASCII characters"
            }
            Self::Unavailable => "The event store does not answer, try again",
            Self::Draining => "This gateway is stopping: connect again",
            Self::Internal => "The gateway failed",
        }
    }
}

impl From<HttpError> for Answer {
    fn from(error: HttpError) -> Self {
        let body = serde_json::json!({ "error": error.sentence(), "code": error.code() });
        let mut answer = json(error.status(), &body);
        match error {
            HttpError::UpgradeRequired => set(&mut answer, header::UPGRADE, "websocket"),
            HttpError::Refused(Reason::Forbidden | Reason::Origin) => {}
            HttpError::Draining | HttpError::Unavailable | HttpError::Refused(_) => {
                set(&mut answer, header::RETRY_AFTER, "1")
            }
            _ => {}
        }
        if let HttpError::Refused(reason) = error {
            answer.extensions_mut().insert(reason);
        }
        answer
    }
}

impl From<ReadRefusal> for Answer {
    fn from(refusal: ReadRefusal) -> Self {
        match refusal {
            ReadRefusal::NotFound => HttpError::JobNotFound.into(),
            ReadRefusal::Gone { requested_after, first_available, last } => {
                history_gone(requested_after, first_available, last)
            }
            ReadRefusal::CursorInvalid { epoch } => cursor_invalid(&epoch),
            ReadRefusal::Unavailable => HttpError::Unavailable.into(),
        }
    }
}

/// 410: events after the cursor are gone.
fn history_gone(requested_after: u64, first_available: u64, last: u64) -> Answer {
    let body = serde_json::json!({
        "error": "Events after the cursor are gone",
        "code": "HISTORY_TRUNCATED",
        "requestedAfter": requested_after,
        "firstAvailable": first_available,
        "lastEventId": last,
    });
    json(StatusCode::GONE, &body)
}

/// 410: the cursor is of another incarnation of the stream.
fn cursor_invalid(epoch: &str) -> Answer {
    let body = serde_json::json!({
        "error": "The cursor belongs to another stream: begin without one",
        "code": "CURSOR_INVALID",
        "epoch": epoch,
    });
    json(StatusCode::GONE, &body)
}

/// A JSON answer that nobody caches.
pub fn json(status: StatusCode, body: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(body) => with_type(status, "application/json", body.into()),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            with_type(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", Bytes::new())
        }
    }
}

/// A text answer.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    with_type(status, "text/plain; charset=utf-8", body.into())
}

/// An answer of a media type, not to be cached, not to be guessed at.
pub fn with_type(status: StatusCode, media_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    set(&mut answer, header::CONTENT_TYPE, media_type);
    set(&mut answer, header::CACHE_CONTROL, "no-cache");
    set(&mut answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    answer
}

/// Sets a header.
pub fn set(answer: &mut Answer, name: header::HeaderName, value: &'static str) {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
}
