//! A job's events without a WebSocket: Server-Sent Events.

use std::rc::Rc;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode};

use super::access;
use super::answer::{Answer, HttpError, json, text};
use super::body::AnswerBody;
use super::server::Public;
use crate::event::JobKey;
use crate::session::{Endpoint, EventBody, Opening, Profile, Worker, event_pipe};

/// The last event a client saw: `Last-Event-ID`, which an `EventSource` sends when it comes
/// back, before `?after=`, which stays in its URL.
///
/// # Errors
/// [`HttpError::InvalidCursor`] for anything but a whole number.
fn cursor(request: &Request<Incoming>) -> Result<Option<u64>, HttpError> {
    let header = request.headers().get("last-event-id").filter(|value| !value.is_empty());
    let text = match header {
        Some(value) => Some(value.to_str().map_err(|_| HttpError::InvalidCursor)?),
        None => query(request, "after"),
    };
    text.map(|text| text.parse().map_err(|_| HttpError::InvalidCursor)).transpose()
}

/// A parameter of the query.
fn query<'a>(request: &'a Request<Incoming>, name: &str) -> Option<&'a str> {
    let pairs = request.uri().query()?.split('&');
    pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, v)| v)
}

/// Streams a job's events after a cursor, or from the first.
///
/// # Errors
/// The refusal to send.
pub async fn answer(
    public: &Public,
    worker: &Rc<Worker>,
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
        route: Arc::clone(route),
        kind: Arc::clone(&route.kind),
        job: Some(job),
        after,
        grant,
    };
    let place = public.places.take(&profile);
    let (pipe, body, begins) = event_pipe();
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        worker.serve(Endpoint::Events(pipe), profile, place.refusal()).await;
        drop(place);
    });
    match begins.await.unwrap_or(Opening::Unavailable) {
        Opening::Events => Ok(events(body)),
        other => Err(refusal(&other)),
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

fn refusal(opening: &Opening) -> Answer {
    match opening {
        // An EventSource comes back for ever after anything but this.
        Opening::Over => text(StatusCode::NO_CONTENT, ""),
        Opening::NotFound => HttpError::JobNotFound.into(),
        Opening::Gone { requested_after, first_available, last } => json(
            StatusCode::GONE,
            &serde_json::json!({
                "error": "Events after the cursor are gone",
                "code": "HISTORY_TRUNCATED",
                "requestedAfter": requested_after,
                "firstAvailable": first_available,
                "lastEventId": last,
            }),
        ),
        Opening::Events | Opening::Unavailable => HttpError::Unavailable.into(),
    }
}
