//! A job's events without a WebSocket: Server-Sent Events.

use std::rc::Rc;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode};

use super::access;
use super::answer::{Answer, HttpError, text};
use super::body::AnswerBody;
use super::peer::Peer;
use super::places::Visit;
use super::query::{Query, whole_number};
use super::server::Public;
use crate::event::JobKey;
use crate::session::{Endpoint, EventBody, Opening, Profile, ReadRefusal, Worker, event_pipe};
use crate::traces::Parent;

/// The last event a client saw: `Last-Event-ID`, which an `EventSource` sends when it comes
/// back, before `?after=`, which stays in its URL.
///
/// # Errors
/// [`HttpError::InvalidCursor`] for anything but a whole number.
pub fn cursor<B>(request: &Request<B>) -> Result<Option<u64>, HttpError> {
    let header = request.headers().get("last-event-id").filter(|value| !value.is_empty());
    match header {
        Some(value) => {
            let text = value.to_str().map_err(|_| HttpError::InvalidCursor)?;
            whole_number(text).map(Some).ok_or(HttpError::InvalidCursor)
        }
        None => Query::of(request).number("after", 0..=u64::MAX, HttpError::InvalidCursor),
    }
}

/// Whether a client would rather have JSON than a stream.
pub fn wants_json(request: &Request<Incoming>) -> bool {
    let accepted = request.headers().get_all(header::ACCEPT).iter();
    let mut types = accepted.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    let first = types.find_map(|entry| {
        let media_type = entry.split(';').next().unwrap_or_default().trim();
        match media_type.to_ascii_lowercase().as_str() {
            "text/event-stream" => Some(false),
            "application/json" => Some(true),
            _ => None,
        }
    });
    first.unwrap_or(false)
}

/// Streams a job's events after a cursor, or from the first.
///
/// # Errors
/// The refusal to send.
pub async fn answer(
    public: &Public,
    worker: &Rc<Worker>,
    peer: &Peer,
    job: JobKey,
    request: &Request<Incoming>,
) -> Result<Response<AnswerBody>, Answer> {
    if public.drain.borrow().spread().is_some() {
        return Err(HttpError::Draining.into());
    }
    let after = cursor(request)?;
    let route = public.routes.events_of(&job).ok_or(HttpError::JobNotFound)?;
    let grant = access::authenticate(public, route, request).await?;
    access::check_watch(grant.as_ref(), &job)?;
    let profile = Profile {
        job: Some(job),
        after,
        epoch: Query::of(request).get("epoch").map(Into::into),
        grant: grant.map(Box::new),
        trace: Parent::of_request(request.headers()),
        ..Profile::of_route(route)
    };
    let address = public.proxies.client(peer.address, request.headers());
    let place = public.places.take(&Visit::of(address, &profile), Instant::now());
    if let Some(reason) = place.refusal() {
        return Err(HttpError::Refused(reason).into());
    }
    let (pipe, body, begins) = event_pipe();
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        worker.serve(Endpoint::Events(pipe), profile, None).await;
        drop(place);
    });
    match begins.await.unwrap_or(Opening::Refused(ReadRefusal::Unavailable)) {
        Opening::Events => Ok(events(body)),
        other => Err(refusal(other)),
    }
}

fn events(body: EventBody) -> Response<AnswerBody> {
    let mut answer = Response::new(AnswerBody::Events(body));
    let headers = answer.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, "text/event-stream");
    set(header::CACHE_CONTROL, "no-cache");
    // nginx would collect events before it passes them on.
    set(header::HeaderName::from_static("x-accel-buffering"), "no");
    answer
}

fn refusal(opening: Opening) -> Answer {
    match opening {
        // An EventSource comes back for ever after anything but this.
        Opening::Over => text(StatusCode::NO_CONTENT, ""),
        Opening::Refused(refusal) => refusal.into(),
        Opening::Events => HttpError::Internal.into(),
    }
}
