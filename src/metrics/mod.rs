//! The metrics of the process: one registry of our own, nothing global.
//!
//! Each family is declared beside what it measures. Here are those of the process as a whole, and
//! of the journal and the window, which know no metrics themselves: they count plain numbers, which
//! are read when somebody asks. Every value of a label exists from the start. docs/metrics.md
//! lists them all.

mod journal;
mod nats;
pub mod open_metrics;
mod process;
mod streams;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

use prometheus::proto::MetricFamily;
use prometheus::{Registry, TextEncoder};
use tokio::sync::watch;

use crate::auth::AuthMetrics;
use crate::config::routes::Routes;
use crate::drain::Drain;
use crate::http::{HttpMetrics, PublishMetrics};
use crate::journal::connection::Connection;
use crate::session::SessionMetrics;
use crate::tls::TlsMetrics;
pub use journal::JournalMetrics;
pub use process::{ObservedRuntime, Purpose};
pub use streams::ObservedStream;

/// What is looked at when metrics are asked for.
pub struct Observed {
    /// The streams, each with its window and its tail.
    pub streams: Vec<ObservedStream>,
    /// The connections to NATS.
    pub connections: Vec<Connection>,
    /// The runtimes of tokio.
    pub runtimes: Vec<ObservedRuntime>,
    /// Whether the process is stopping.
    pub drain: watch::Receiver<Drain>,
}

/// Every family of the process.
pub struct Metrics {
    registry: Registry,
    /// Sessions and subscriptions.
    pub sessions: SessionMetrics,
    /// The tail and catch-up.
    pub journal: JournalMetrics,
    /// Tokens and keys.
    pub auth: AuthMetrics,
    /// Certificates.
    pub tls: TlsMetrics,
    /// Requests over HTTP.
    pub http: HttpMetrics,
    /// Publishing over HTTP.
    pub publishing: PublishMetrics,
    streams: streams::StreamMetrics,
    nats: nats::NatsMetrics,
    process: process::ProcessMetrics,
    /// Two who ask at once would count twice what is brought up to date for them.
    observing: Mutex<()>,
}

impl Metrics {
    /// Registers every family, with the streams and the kinds of jobs that the routes name.
    ///
    /// # Errors
    /// Two families have one name.
    pub fn new(routes: &Routes) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let streams: Vec<&str> = routes.sources.iter().map(|source| &*source.stream).collect();
        let kinds: Vec<&str> = routes.routes.iter().map(|route| &*route.kind).collect();
        Ok(Self {
            sessions: SessionMetrics::register(&registry)?,
            journal: JournalMetrics::register(&registry, &streams)?,
            auth: AuthMetrics::register(&registry)?,
            tls: TlsMetrics::register(&registry)?,
            http: HttpMetrics::register(&registry)?,
            publishing: PublishMetrics::register(&registry)?,
            streams: streams::StreamMetrics::register(&registry, &streams, &kinds)?,
            nats: nats::NatsMetrics::register(&registry)?,
            process: process::ProcessMetrics::register(&registry)?,
            observing: Mutex::default(),
            registry,
        })
    }

    /// The Prometheus text of this moment.
    ///
    /// # Errors
    /// A family cannot be written.
    pub fn text(&self, observed: &Observed) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.gather(observed))
    }

    /// The same in the OpenMetrics format.
    pub fn open_metrics(&self, observed: &Observed) -> String {
        open_metrics::encode(&self.gather(observed))
    }

    fn gather(&self, observed: &Observed) -> Vec<MetricFamily> {
        let _alone = self.observing.lock().unwrap_or_else(PoisonError::into_inner);
        self.sessions.observe();
        self.streams.observe(&observed.streams);
        self.nats.observe(&observed.connections);
        self.process.observe(*observed.drain.borrow(), &observed.runtimes);
        self.registry.gather()
    }
}
