//! What the public listener counts of requests. Labels are fixed words, never a path.

use hyper::StatusCode;
use prometheus::{IntCounterVec, Registry};

use crate::families::counter_by;

/// What a request was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceName {
    /// A route's WebSocket.
    WebSocket,
    /// The list of jobs.
    Jobs,
    /// How a job stands.
    Job,
    /// A job's events, as a stream or in pages.
    Events,
    /// New events of a job.
    Publish,
    /// The polling resource of a training route.
    Training,
    /// The page, and its files.
    Page,
    /// Nothing of ours, or it was not looked at.
    Other,
}

impl ResourceName {
    /// Every name there is.
    pub const ALL: [Self; 8] = [
        Self::WebSocket,
        Self::Jobs,
        Self::Job,
        Self::Events,
        Self::Publish,
        Self::Training,
        Self::Page,
        Self::Other,
    ];

    /// A word for metrics; one of a fixed few.
    pub fn label(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Jobs => "jobs",
            Self::Job => "job",
            Self::Events => "events",
            Self::Publish => "publish",
            Self::Training => "training",
            Self::Page => "page",
            Self::Other => "other",
        }
    }
}

/// The classes of status; 101 answers an upgrade.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The family of requests. Cheap to clone.
#[derive(Clone)]
pub struct HttpMetrics(IntCounterVec);

impl HttpMetrics {
    /// Registers the family.
    ///
    /// # Errors
    /// It is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let resources = ResourceName::ALL.map(ResourceName::label).to_vec();
        Ok(Self(counter_by(
            registry,
            "jobwire_http_requests_total",
            "Requests at the public addresses that were answered, by class of status.",
            &[("resource", resources), ("status", CLASSES.to_vec())],
        )?))
    }

    /// Counts an answer.
    pub fn count(&self, resource: ResourceName, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).checked_sub(1);
        if let Some(class) = class.and_then(|class| CLASSES.get(class)) {
            self.0.with_label_values(&[resource.label(), class]).inc();
        }
    }
}
