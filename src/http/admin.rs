//! The admin port: is the process alive, may it be sent watchers, what does it count.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header;
use hyper::{Method, Request, StatusCode};
use tokio::sync::watch;

use super::answer::{Answer, HttpError, set, text, with_type};
use crate::auth::Verifier;
use crate::drain::Drain;
use crate::journal::tail::TailStatus;
use crate::metrics::{Metrics, Observed, open_metrics};

/// Where readiness is asked for.
pub const READINESS: &str = "/readyz";

/// What readiness depends on.
#[derive(Clone)]
pub struct Readiness {
    /// How the tail of each stream is doing, by the stream's name.
    pub tails: Vec<(String, watch::Receiver<TailStatus>)>,
    /// Whether the process is stopping.
    pub drain: watch::Receiver<Drain>,
    /// Who checks tokens; `None`: nobody asks for one.
    pub verifier: Option<Verifier>,
}

impl Readiness {
    fn answer(&self) -> Answer {
        if self.drain.borrow().spread().is_some() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
        }
        let is_only_one = self.tails.len() == 1;
        let line = |(name, tail): &(String, watch::Receiver<TailStatus>)| match is_only_one {
            true => format!("{}\n", *tail.borrow()),
            false => format!("{name}: {}\n", *tail.borrow()),
        };
        let mut lines: String = self.tails.iter().map(line).collect();
        // Without keys every request would be answered with 503.
        let has_keys = self.verifier.as_ref().is_none_or(Verifier::is_ready);
        if !has_keys {
            lines.push_str("the keys that tokens are checked with are not there\n");
        }
        let all_ready = has_keys && self.tails.iter().all(|(_, tail)| tail.borrow().is_ready());
        let status = if all_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        text(status, lines)
    }
}

/// What the admin port answers from.
pub struct Admin {
    /// Readiness.
    pub readiness: Readiness,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// What is looked at for them.
    pub observed: Observed,
}

impl Admin {
    /// Answers one request.
    pub fn answer(&self, request: &Request<Incoming>) -> Answer {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = HttpError::MethodNotAllowed.into();
            set(&mut answer, header::ALLOW, "GET, HEAD");
            return answer;
        }
        match request.uri().path() {
            // Does not depend on NATS: an outage must not restart every pod.
            "/livez" => text(StatusCode::OK, "alive\n"),
            READINESS => self.readiness.answer(),
            "/metrics" => self.metrics(request),
            _ => HttpError::NotFound.into(),
        }
    }

    fn metrics(&self, request: &Request<Incoming>) -> Answer {
        let accept: Vec<&str> = request
            .headers()
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        if open_metrics::is_wanted(&accept.join(",")) {
            let body = self.metrics.open_metrics(&self.observed);
            return with_type(StatusCode::OK, open_metrics::CONTENT_TYPE, body.into());
        }
        match self.metrics.text(&self.observed) {
            Ok(body) => with_type(StatusCode::OK, prometheus::TEXT_FORMAT, body.into()),
            Err(error) => {
                tracing::error!(%error, "metrics cannot be written");
                HttpError::Internal.into()
            }
        }
    }
}
