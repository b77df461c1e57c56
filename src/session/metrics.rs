//! What sessions count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Registry};

use super::ending::Ending;
use super::refusals::Refusals;
use crate::config::routes::Dialect;
use crate::families::{counter, counter_by, gauge, histogram, signed};
use crate::subscription::Notice;

const LATENCIES: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
const WAITS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// How a subscription ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionEnd {
    /// The client wanted no more.
    Client,
    /// The client subscribed to the same job again.
    Replaced,
    /// There is no such job.
    NotFound,
    /// NATS did not answer.
    Unavailable,
    /// History is gone, and the client wanted all or nothing.
    Truncated,
    /// The cursor belongs to another stream.
    CursorInvalid,
    /// The client's renewed token does not name the job.
    Forbidden,
    /// Its connection ended.
    Connection,
}

impl SubscriptionEnd {
    /// Every end there is.
    pub const ALL: [Self; 8] = [
        Self::Client,
        Self::Replaced,
        Self::NotFound,
        Self::Unavailable,
        Self::Truncated,
        Self::CursorInvalid,
        Self::Forbidden,
        Self::Connection,
    ];

    /// The end that goes with what the client is told last.
    pub fn of(notice: &Notice) -> Self {
        match notice {
            Notice::NotFound => Self::NotFound,
            Notice::Unavailable => Self::Unavailable,
            Notice::Truncated { .. } => Self::Truncated,
            Notice::CursorInvalid { .. } => Self::CursorInvalid,
            Notice::Subscribed { .. } | Notice::Position { .. } | Notice::ReplayDone { .. } => {
                Self::Client
            }
        }
    }

    /// A word for metrics; one of a fixed few.
    pub fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Replaced => "replaced",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
            Self::Truncated => "truncated",
            Self::CursorInvalid => "cursor_invalid",
            Self::Forbidden => "forbidden",
            Self::Connection => "connection",
        }
    }
}

/// The families of sessions and subscriptions.
#[derive(Clone)]
pub struct SessionMetrics {
    opened: IntCounterVec,
    closed: IntCounterVec,
    /// Connections that are open.
    pub connections: IntGauge,
    /// Connections that may be open.
    pub connections_limit: IntGauge,
    subscriptions_opened: IntCounterVec,
    subscriptions_closed: IntCounterVec,
    /// Subscriptions that stand or are being opened.
    pub subscriptions: IntGauge,
    /// Subscriptions that have not reached the stream's end yet.
    pub catching_up: IntGauge,
    /// Seconds from the subscribe to the stream's end.
    pub caught_up: Histogram,
    slowest: IntGauge,
    /// How far each worker's slowest reader is behind.
    behind: Arc<Mutex<Vec<Arc<AtomicU64>>>>,
    /// Connections that the drain asked to leave.
    pub drained: IntCounter,
    /// Events handed to sockets.
    pub delivered: IntCounter,
    /// Bytes that sockets took.
    pub sent_bytes: IntCounter,
    /// Events encoded.
    pub encoded: IntCounter,
    /// Stored messages that are no events, each time one is met.
    pub malformed: IntCounter,
    /// Events whose payload tells another type than their subject.
    pub types_differ: IntCounter,
    /// Times a subscriber was told that its history is incomplete.
    pub truncations: IntCounter,
    /// Times a subscriber was told that its cursor is of another incarnation.
    pub invalid_cursors: IntCounter,
    /// What clients were refused.
    pub refusals: Refusals,
    /// Connections whose task panicked.
    pub panics: IntCounter,
    /// Seconds from JetStream's store time to the socket, of events delivered live.
    pub latency: Histogram,
}

impl SessionMetrics {
    /// Registers the families.
    ///
    /// # Errors
    /// A family is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| counter(registry, name, help);
        let gauge = |name: &str, help: &str| gauge(registry, name, help);
        let dialect = || ("dialect", Dialect::ALL.map(Dialect::name).to_vec());
        let endings = || ("reason", Ending::ALL.map(|ending| ending.label()).to_vec());
        let ends = || ("reason", SubscriptionEnd::ALL.map(SubscriptionEnd::label).to_vec());
        let by = |name, help, labels: &[_]| counter_by(registry, name, help, labels);
        Ok(Self {
            opened: by(
                "jobwire_connections_opened_total",
                "Connections that were upgraded, and streams of events.",
                &[dialect()],
            )?,
            closed: by(
                "jobwire_connections_closed_total",
                "Connections that ended, by reason.",
                &[dialect(), endings()],
            )?,
            connections: gauge("jobwire_connections", "Connections that are open.")?,
            connections_limit: gauge(
                "jobwire_connections_limit",
                "Connections that the process takes, as set by max_connections.",
            )?,
            subscriptions_opened: by(
                "jobwire_subscriptions_opened_total",
                "Subscriptions that were asked for and not refused at once.",
                &[dialect()],
            )?,
            subscriptions_closed: by(
                "jobwire_subscriptions_closed_total",
                "Subscriptions that ended, by reason.",
                &[dialect(), ends()],
            )?,
            subscriptions: gauge("jobwire_subscriptions", "Subscriptions that are held.")?,
            catching_up: gauge(
                "jobwire_subscriptions_catching_up",
                "Subscriptions that have not been at the end of the stream yet.",
            )?,
            caught_up: histogram(
                registry,
                "jobwire_caught_up_seconds",
                "Time from a subscribe until everything older was sent, or the job's end.",
                &WAITS,
            )?,
            slowest: gauge(
                "jobwire_slowest_reader_behind_events",
                "Stream events by which the slowest subscription that was caught up is behind now.",
            )?,
            behind: Arc::default(),
            drained: counter(
                "jobwire_drained_connections_total",
                "Connections that were asked to leave because the process stops.",
            )?,
            delivered: counter("jobwire_events_delivered_total", "Events handed to sockets.")?,
            sent_bytes: counter("jobwire_sent_bytes_total", "Bytes that sockets took.")?,
            encoded: counter("jobwire_events_encoded_total", "Events encoded for the wire.")?,
            malformed: counter(
                "jobwire_malformed_events_total",
                "Stored messages that are no events, each time one was met.",
            )?,
            types_differ: counter(
                "jobwire_event_types_differ_total",
                "Events whose payload tells another type than their subject, which rules.",
            )?,
            truncations: counter(
                "jobwire_truncations_total",
                "Times a subscriber was told that its history is incomplete.",
            )?,
            invalid_cursors: counter(
                "jobwire_invalid_cursors_total",
                "Times a subscriber was told that its cursor is of another incarnation.",
            )?,
            refusals: Refusals::register(registry)?,
            panics: counter(
                "jobwire_panics_total",
                "Connections that were closed with 1011 because their task panicked.",
            )?,
            latency: histogram(
                registry,
                "jobwire_delivery_latency_seconds",
                "Time from JetStream's store time to the socket, of events delivered live.",
                &LATENCIES,
            )?,
        })
    }

    pub(super) fn connection_opened(&self, dialect: Dialect) {
        self.opened.with_label_values(&[dialect.name()]).inc();
        self.connections.inc();
    }

    /// It is still open: it may linger until the client has read the last words.
    pub(super) fn connection_ended(&self, dialect: Dialect, ending: &Ending) {
        self.closed.with_label_values(&[dialect.name(), ending.label()]).inc();
    }

    pub(super) fn subscription_opened(&self, dialect: Dialect) {
        self.subscriptions_opened.with_label_values(&[dialect.name()]).inc();
        self.subscriptions.inc();
        self.catching_up.inc();
    }

    pub(super) fn subscription_closed(&self, dialect: Dialect, end: SubscriptionEnd) {
        self.subscriptions_closed.with_label_values(&[dialect.name(), end.label()]).inc();
        self.subscriptions.dec();
    }

    /// Where one worker tells how far its slowest reader is behind.
    pub(super) fn worker_behind(&self) -> Arc<AtomicU64> {
        let own = Arc::new(AtomicU64::new(0));
        self.behind.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&own));
        own
    }

    /// Brings what is not counted as it happens up to date.
    pub fn observe(&self) {
        let behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        let most = behind.iter().map(|worker| worker.load(Ordering::Relaxed)).max();
        self.slowest.set(signed(most.unwrap_or(0)));
    }
}

#[cfg(test)]
impl SessionMetrics {
    /// How many connections of a dialect ended so.
    pub(super) fn closed(&self, dialect: Dialect, ending: &Ending) -> u64 {
        self.closed.with_label_values(&[dialect.name(), ending.label()]).get()
    }
}
