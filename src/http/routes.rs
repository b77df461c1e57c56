//! Which path means what: the one table of the public listener.

use std::rc::Rc;

use hyper::body::Incoming;
use hyper::{Method, Request};

use super::answer::{Answer, HttpError};
use super::server::Public;
use super::{jobs, page, upgrade};
use crate::session::{Profile, Worker};

/// The kind of jobs that are named without one on the optimization route.
const OPTIMIZATION: &str = "optimization";

/// What a path leads to.
enum Resource {
    WebSocket(Profile),
    Jobs,
    File(Answer),
}

fn find(path: &str) -> Option<Resource> {
    Some(match path {
        "/ws/optimization" => Resource::WebSocket(Profile { feed: 0, kind: OPTIMIZATION.into() }),
        "/api/v1/jobs" => Resource::Jobs,
        path => Resource::File(page::find(path)?),
    })
}

/// Answers one request.
pub fn answer(public: &Public, worker: &Rc<Worker>, request: Request<Incoming>) -> Answer {
    let Some(resource) = find(request.uri().path()) else { return HttpError::NotFound.into() };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return HttpError::MethodNotAllowed.into();
    }
    match resource {
        Resource::WebSocket(profile) => {
            upgrade::upgrade(public, worker, profile, request).unwrap_or_else(Answer::from)
        }
        Resource::Jobs => jobs::list(&public.window),
        Resource::File(file) => file,
    }
}
