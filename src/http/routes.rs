//! Which path means what: the one table of the public listener.

use std::rc::Rc;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode, header};

use super::answer::{Answer, HttpError, set, text};
use super::body::AnswerBody;
use super::metrics::ResourceName;
use super::peer::Peer;
use super::query::Query;
use super::server::Public;
use super::{events, job, jobs, page, polling, publish, upgrade};
use crate::config::routes::{JOBS, Route};
use crate::event::JobKey;
use crate::session::{Profile, Reason, Worker};

/// What a path leads to.
enum Resource {
    /// The job is as the path names it: not checked yet.
    WebSocket(Profile, Option<String>),
    Jobs,
    /// `None`: the path names no job that can be.
    Job(Option<JobKey>),
    /// As above.
    Events(Option<JobKey>),
    /// The polling resource of a training route, and the job that the path names.
    Training(Arc<Route>, Option<JobKey>),
    File(Answer),
}

impl Resource {
    /// What a request for it is counted as.
    fn name(&self, method: &Method) -> ResourceName {
        match self {
            Self::WebSocket(..) => ResourceName::WebSocket,
            Self::Jobs => ResourceName::Jobs,
            Self::Job(_) => ResourceName::Job,
            Self::Events(_) if *method == Method::POST => ResourceName::Publish,
            Self::Events(_) => ResourceName::Events,
            Self::Training(..) => ResourceName::Training,
            Self::File(_) => ResourceName::Page,
        }
    }

    /// Whether events can be published to it.
    fn is_published_to(&self) -> bool {
        matches!(self, Self::Events(_))
    }

    /// An answer that tells the resource's methods.
    fn allow(&self, mut answer: Answer) -> Answer {
        let methods =
            if self.is_published_to() { "GET, HEAD, OPTIONS, POST" } else { "GET, HEAD, OPTIONS" };
        set(&mut answer, header::ALLOW, methods);
        answer
    }
}

fn find(public: &Public, request: &Request<Incoming>) -> Option<Resource> {
    let path = request.uri().path();
    // A file may stand at the path of a WebSocket: the page is at the root, and so is beam-search.
    if !hyper_tungstenite::is_upgrade_request(request)
        && let Some(file) = page::find(path, request.headers())
    {
        return Some(Resource::File(file));
    }
    if let Some(rest) = path.strip_prefix(JOBS)
        && (rest.is_empty() || rest.starts_with('/'))
        && let Some(resource) = job_resource(rest)
    {
        return Some(resource);
    }
    #[cfg(feature = "conformance")]
    if path == crate::session::echo::PATH {
        return echo(public);
    }
    let routes = &public.routes.routes;
    let Some((route, job)) =
        routes.iter().find_map(|route| Some((route, route.path.matches(path)?)))
    else {
        return polling_resource(routes, request);
    };
    Some(Resource::WebSocket(Profile::of_route(route), job.map(str::to_owned)))
}

#[cfg(feature = "conformance")]
fn echo(public: &Public) -> Option<Resource> {
    let profile = Profile { echo: true, ..Profile::of_route(public.routes.any_events()?) };
    Some(Resource::WebSocket(profile, None))
}

/// What lies below `/api/v1/jobs`.
fn job_resource(rest: &str) -> Option<Resource> {
    let mut segments = rest.split('/').skip(1);
    match (segments.next(), segments.next(), segments.next(), segments.next()) {
        (None, ..) => Some(Resource::Jobs),
        (Some(kind), Some(job), None, _) => Some(Resource::Job(JobKey::new(kind, job).ok())),
        (Some(kind), Some(job), Some("events"), None) => {
            Some(Resource::Events(JobKey::new(kind, job).ok()))
        }
        _ => None,
    }
}

/// What a route offers to those who poll.
fn polling_resource(routes: &[Arc<Route>], request: &Request<Incoming>) -> Option<Resource> {
    let path = request.uri().path();
    let kind = Query::of(request).get("kind");
    routes.iter().find_map(|route| {
        let job = route.polling_path.as_ref()?.matches(path)??;
        let job = JobKey::new(kind.as_deref().unwrap_or(&route.kind), job);
        Some(Resource::Training(Arc::clone(route), job.ok()))
    })
}

/// Answers one request.
pub async fn answer(
    public: &Public,
    worker: &Rc<Worker>,
    peer: &Rc<Peer>,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let visitor = public.origins.visitor(request.headers());
    let (resource, mut answer) = match visitor.answer(request.method(), request.headers()) {
        Some(answer) => (ResourceName::Other, whole(answer)),
        None => match find(public, &request) {
            None => (ResourceName::Other, whole(HttpError::NotFound)),
            Some(resource) => {
                let name = resource.name(request.method());
                (name, answer_visitor(public, worker, peer, resource, request).await)
            }
        },
    };
    public.requests.count(resource, answer.status());
    if let Some(reason) = answer.extensions().get::<Reason>() {
        public.refusals.count(*reason);
    }
    visitor.mark(&mut answer);
    answer
}

/// Answers a request of somebody who may send it.
async fn answer_visitor(
    public: &Public,
    worker: &Rc<Worker>,
    peer: &Rc<Peer>,
    resource: Resource,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    match *request.method() {
        Method::GET | Method::HEAD => {}
        Method::POST if resource.is_published_to() => {
            let Resource::Events(Some(job)) = resource else { return whole(HttpError::InvalidJob) };
            return match publish::answer(public, &job, request).await {
                Ok(answer) | Err(answer) => whole(answer),
            };
        }
        Method::OPTIONS => return whole(resource.allow(text(StatusCode::NO_CONTENT, ""))),
        _ => return whole(resource.allow(HttpError::MethodNotAllowed.into())),
    }
    match resource {
        Resource::WebSocket(profile, job) => {
            match upgrade::upgrade(public, worker, peer, profile, job.as_deref(), request).await {
                Ok(answer) | Err(answer) => whole(answer),
            }
        }
        Resource::Job(None) | Resource::Events(None) | Resource::Training(_, None) => {
            whole(HttpError::InvalidJob)
        }
        Resource::Job(Some(job)) => match job::state(public, &job, &request).await {
            Ok(answer) | Err(answer) => whole(answer),
        },
        Resource::Training(route, Some(job)) => {
            match job::training(public, &route, &job, &request).await {
                Ok(answer) | Err(answer) => whole(answer),
            }
        }
        Resource::Events(Some(job)) if events::wants_json(&request) => {
            polling::answer(public, worker, job, &request).await.unwrap_or_else(whole)
        }
        Resource::Events(Some(job)) => {
            events::answer(public, worker, peer, job, &request).await.unwrap_or_else(whole)
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
