//! The connections to NATS, looked at when metrics are asked for.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

use crate::families::{counter, counter_by, gauge, raise_to};
use crate::journal::connection::Connection;
use crate::journal::request_counts::{Outcome, RequestKind};

/// The families of NATS connections and requests.
pub(super) struct NatsMetrics {
    connected: IntGauge,
    reconnects: IntCounter,
    requests: IntCounterVec,
}

impl NatsMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let kinds = ("kind", RequestKind::ALL.map(RequestKind::label).to_vec());
        let outcomes = ("outcome", Outcome::ALL.map(Outcome::label).to_vec());
        Ok(Self {
            connected: gauge(
                registry,
                "jobwire_nats_connected",
                "1: every connection to NATS is up; 0: one of them is not.",
            )?,
            reconnects: counter(
                registry,
                "jobwire_nats_reconnects_total",
                "Times a connection to NATS was lost and came back.",
            )?,
            requests: counter_by(
                registry,
                "jobwire_nats_requests_total",
                "Requests to JetStream, by kind and outcome.",
                &[kinds, outcomes],
            )?,
        })
    }

    /// One caller at a time.
    pub(super) fn observe(&self, connections: &[Connection]) {
        self.connected.set(connections.iter().all(Connection::is_connected).into());
        raise_to(&self.reconnects, connections.iter().map(Connection::reconnects).sum());
        let pairs = RequestKind::ALL.into_iter().flat_map(|k| Outcome::ALL.map(|o| (k, o)));
        for (kind, outcome) in pairs {
            let total = connections.iter().map(|c| c.requests().of(kind, outcome)).sum();
            let labels = [kind.label(), outcome.label()];
            raise_to(&self.requests.with_label_values(&labels), total);
        }
    }
}
