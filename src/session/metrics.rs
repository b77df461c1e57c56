//! What sessions count.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::refusals::Refusals;

/// The families of sessions and subscriptions.
#[derive(Clone)]
pub struct SessionMetrics {
    /// Connections that were upgraded.
    pub opened: IntCounter,
    /// Connections that ended, by reason.
    pub closed: IntCounterVec,
    /// Connections that are open.
    pub connections: IntGauge,
    /// Subscriptions that stand or are being opened.
    pub subscriptions: IntGauge,
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
        let counter = |name: &str, help: &str| crate::families::counter(registry, name, help);
        let gauge = |name: &str, help: &str| crate::families::gauge(registry, name, help);
        let closed = IntCounterVec::new(
            Opts::new("jobwire_connections_closed_total", "Connections that ended, by reason."),
            &["reason"],
        )?;
        registry.register(Box::new(closed.clone()))?;
        let latency = Histogram::with_opts(
            HistogramOpts::new(
                "jobwire_delivery_latency_seconds",
                "Time from JetStream's store time to the socket, of events delivered live.",
            )
            .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]),
        )?;
        registry.register(Box::new(latency.clone()))?;
        Ok(Self {
            opened: counter("jobwire_connections_opened_total", "Connections that were upgraded.")?,
            closed,
            connections: gauge("jobwire_connections", "Connections that are open.")?,
            subscriptions: gauge("jobwire_subscriptions", "Subscriptions that are held.")?,
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
            latency,
        })
    }
}
