//! How one job stands: the state of any job, and the polling resource of `training`.

use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

use super::access;
use super::answer::{Answer, HttpError, json};
use super::server::{Public, PublicSource};
use crate::config::routes::Route;
use crate::dialect::optimization::{self, Naming};
use crate::dialect::training;
use crate::event::{JobKey, JobStatus, StoredEvent};
use crate::journal::catalog::JobState;
use crate::progress::Progress;

/// How often an answer is asked for that fits what the tail has seen, and the pause between two.
const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// The state of a job, as clients read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobResource<'a> {
    kind: &'a str,
    job_id: &'a str,
    status: JobStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<f64>,
    last_event_id: u64,
    /// Whoever goes on after it misses nothing.
    position: u64,
    epoch: &'a str,
    /// The last event of every type, oldest first.
    last_events: Vec<Box<RawValue>>,
}

/// The state of any job.
///
/// # Errors
/// The refusal to send.
pub async fn state(
    public: &Public,
    job: &JobKey,
    request: &Request<Incoming>,
) -> Result<Answer, Answer> {
    let route = public.routes.events_of(job).ok_or(HttpError::JobNotFound)?;
    let (state, epoch) = read(public, route, job, request).await?;
    let progress = Progress::of_state(&state.events);
    let resource = JobResource {
        kind: job.kind(),
        job_id: job.id(),
        status: progress.status.unwrap_or(JobStatus::Unknown),
        progress: progress.fraction,
        last_event_id: state.last,
        position: state.position,
        epoch: &epoch,
        last_events: state.events.iter().filter_map(|event| event_object(job, event)).collect(),
    };
    Ok(json(StatusCode::OK, &resource))
}

/// The polling resource of a training job.
///
/// # Errors
/// The refusal to send.
pub async fn training(
    public: &Public,
    route: &Route,
    job: &JobKey,
    request: &Request<Incoming>,
) -> Result<Answer, Answer> {
    let (state, _) = read(public, route, job, request).await?;
    let naming = Naming::on_route(job, &route.kind);
    Ok(json(StatusCode::OK, &training::resource(job, naming, &state.events)))
}

/// The job's state, and the incarnation of the stream that it is of.
async fn read(
    public: &Public,
    route: &Route,
    job: &JobKey,
    request: &Request<Incoming>,
) -> Result<(JobState, String), Answer> {
    let grant = access::authenticate(public, route, request).await?;
    access::check_watch(grant.as_ref(), job)?;
    let source = public.sources.get(route.source).ok_or(HttpError::Internal)?;
    for _ in 0..ATTEMPTS {
        if let Some((state, epoch)) = read_once(source, job).await? {
            return state.map(|state| (state, epoch)).ok_or(HttpError::JobNotFound.into());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(HttpError::Unavailable.into())
}

/// The job's state, if it has any; `None`: of which incarnation it is cannot be said.
async fn read_once(
    source: &PublicSource,
    job: &JobKey,
) -> Result<Option<(Option<JobState>, String)>, HttpError> {
    let seen = || {
        let ring = source.window.read();
        (ring.epoch().to_owned(), ring.head())
    };
    let (epoch, head) = seen();
    let state = source.catalog.state(job).await.map_err(|error| {
        tracing::debug!(%error, %job, "the state of a job cannot be read now");
        HttpError::Unavailable
    })?;
    // A position means nothing without the incarnation that it is of. One below what the tail has
    // seen is of a replica that lags, or of a stream that was made anew a moment ago.
    let is_behind = state.as_ref().is_some_and(|state| state.position < head);
    let is_certain = !epoch.is_empty() && !is_behind && seen().0 == epoch;
    Ok(is_certain.then_some((state, epoch)))
}

/// An event as it stands in the messages of PROTOCOLS section 1; `None` if it is none.
fn event_object(job: &JobKey, event: &StoredEvent) -> Option<Box<RawValue>> {
    let naming = Naming { with_kind: false };
    let encoded = optimization::encode_event(job, event.as_view(), naming).ok()?;
    let text = std::str::from_utf8(encoded.body()).ok()?;
    RawValue::from_string(text.to_owned()).ok()
}
