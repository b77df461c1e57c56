//! A job's events as JSON pages, for clients that poll: at once, or when there is something new.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};

use super::access;
use super::answer::{Answer, HttpError, with_type};
use super::body::AnswerBody;
use super::events::cursor;
use super::query::Query;
use super::server::Public;
use crate::event::JobKey;
use crate::session::{PollRequest, PolledPage, Worker};
use crate::subscription::UnknownJob;

/// Events in one answer, unless the client wants fewer.
const LIMIT: u64 = 1_000;
/// Seconds that a request may wait for an event; what stands between may cut longer ones.
const LONGEST_WAIT: u64 = 55;

/// A page of a job's events after a cursor, or from the first.
///
/// # Errors
/// The refusal to send.
pub async fn answer(
    public: &Public,
    worker: &Rc<Worker>,
    job: JobKey,
    request: &Request<Incoming>,
) -> Result<Response<AnswerBody>, Answer> {
    let after = cursor(request)?.unwrap_or(0);
    let query = Query::of(request);
    let limit = query.number("limit", 1..=LIMIT, HttpError::InvalidLimit)?.unwrap_or(LIMIT);
    let wait = query.number("wait", 0..=LONGEST_WAIT, HttpError::InvalidWait)?.unwrap_or(0);
    let route = public.routes.events_of(&job).ok_or(HttpError::JobNotFound)?;
    let grant = access::authenticate(public, route, request).await?;
    access::check_watch(grant.as_ref(), &job)?;
    let poll = PollRequest {
        job: job.clone(),
        source: route.source,
        after,
        epoch: query.get("epoch").map(Into::into),
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        wait: Duration::from_secs(wait),
        unknown_job: route.job_grace.map_or(UnknownJob::Wait, |after| UnknownJob::Refuse { after }),
    };
    let place = public.places.hold();
    let page = worker.poll(poll).await?;
    let body = written(&job, &page);
    let charge = worker.charge(body.len());
    let answer = with_type(StatusCode::OK, "application/json", Bytes::new());
    Ok(answer.map(|_| AnswerBody::Counted {
        body: Full::new(body),
        _charge: charge,
        _place: place,
    }))
}

/// The page as JSON. Names and epoch have no characters that JSON would escape.
fn written(job: &JobKey, page: &PolledPage) -> Bytes {
    let PolledPage { events, position, epoch, caught_up, ended } = page;
    let mut body = format!(
        r#"{{"kind":"{}","jobId":"{}","epoch":"{epoch}","position":{position},"caughtUp":{caught_up},"ended":{ended},"events":["#,
        job.kind(),
        job.id(),
    )
    .into_bytes();
    body.reserve(events.iter().map(|event| event.len() + 1).sum::<usize>() + 2);
    for (number, event) in events.iter().enumerate() {
        if number > 0 {
            body.push(b',');
        }
        body.extend_from_slice(event);
    }
    body.extend_from_slice(b"]}");
    body.into()
}
