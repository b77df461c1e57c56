//! Which path means what: the one table of the public listener.

use std::rc::Rc;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, Response};

use super::answer::{Answer, HttpError};
use super::body::AnswerBody;
use super::server::Public;
use super::{events, jobs, page, upgrade};
use crate::event::JobKey;
use crate::session::{Profile, Worker};

/// What a path leads to.
enum Resource {
    /// The job is as the path names it: not checked yet.
    WebSocket(Profile, Option<String>),
    Jobs,
    /// `None`: the path names no job that can be.
    Events(Option<JobKey>),
    File(Answer),
}

fn find(public: &Public, request: &Request<Incoming>) -> Option<Resource> {
    let path = request.uri().path();
    // A file may stand at the path of a WebSocket: the page is at the root, and so is beam-search.
    if !hyper_tungstenite::is_upgrade_request(request)
        && let Some(file) = page::find(path)
    {
        return Some(Resource::File(file));
    }
    if let Some(rest) = path.strip_prefix("/api/v1/jobs")
        && (rest.is_empty() || rest.starts_with('/'))
        && let Some(resource) = job_resource(rest)
    {
        return Some(resource);
    }
    let (route, job) =
        public.routes.routes.iter().find_map(|route| Some((route, route.path.matches(path)?)))?;
    let profile = Profile {
        route: Arc::clone(route),
        kind: Arc::clone(&route.kind),
        job: None,
        after: None,
        grant: None,
    };
    Some(Resource::WebSocket(profile, job.map(str::to_owned)))
}

/// What lies below `/api/v1/jobs`.
fn job_resource(rest: &str) -> Option<Resource> {
    let mut segments = rest.split('/').skip(1);
    match (segments.next(), segments.next(), segments.next(), segments.next()) {
        (None, ..) => Some(Resource::Jobs),
        (Some(kind), Some(job), Some("events"), None) => {
            Some(Resource::Events(JobKey::new(kind, job).ok()))
        }
        _ => None,
    }
}

/// Answers one request.
pub async fn answer(
    public: &Public,
    worker: &Rc<Worker>,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let Some(resource) = find(public, &request) else { return whole(HttpError::NotFound) };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return whole(HttpError::MethodNotAllowed);
    }
    match resource {
        Resource::WebSocket(profile, job) => {
            match upgrade::upgrade(public, worker, profile, job.as_deref(), request).await {
                Ok(answer) | Err(answer) => whole(answer),
            }
        }
        Resource::Events(None) => whole(HttpError::InvalidJob),
        Resource::Events(Some(job)) => {
            events::answer(public, worker, job, &request).await.unwrap_or_else(whole)
        }
        Resource::Jobs => match jobs::answer(public, &request).await {
            Ok(answer) | Err(answer) => whole(answer),
        },
        Resource::File(file) => whole(file),
    }
}

fn whole(answer: impl Into<Answer>) -> Response<AnswerBody> {
    answer.into().map(AnswerBody::Whole)
}
