//! What the tail and catch-up count; the journal itself knows no metrics.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Registry};

use crate::families::{counter, counter_by, gauge, histogram};
use crate::journal::catch_up::CatchUpObserver;
use crate::journal::tail::{RESTART_REASONS, TailObserver};

const PAGES: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// The families of the tail and of catch-up.
#[derive(Clone)]
pub struct JournalMetrics {
    received: IntCounterVec,
    received_bytes: IntCounterVec,
    restarts: IntCounterVec,
    pages: Histogram,
    page_events: IntCounter,
    page_bytes: IntCounter,
    waiting: IntGauge,
    running: IntGauge,
    failures: IntCounter,
}

impl JournalMetrics {
    pub(super) fn register(registry: &Registry, streams: &[&str]) -> prometheus::Result<Self> {
        let streams = || ("stream", streams.to_vec());
        Ok(Self {
            received: counter_by(
                registry,
                "jobwire_events_received_total",
                "Messages that the tail has read, those that the window is filled with included.",
                &[streams()],
            )?,
            received_bytes: counter_by(
                registry,
                "jobwire_received_bytes_total",
                "Payload bytes that the tail has read.",
                &[streams()],
            )?,
            restarts: counter_by(
                registry,
                "jobwire_tail_restarts_total",
                "Restarts of the tail, by reason.",
                &[("reason", RESTART_REASONS.to_vec())],
            )?,
            pages: histogram(
                registry,
                "jobwire_catch_up_page_seconds",
                "Time to read one page of older history from NATS.",
                &PAGES,
            )?,
            page_events: counter(
                registry,
                "jobwire_catch_up_events_total",
                "Events read in pages of older history.",
            )?,
            page_bytes: counter(
                registry,
                "jobwire_catch_up_bytes_total",
                "Payload bytes read in pages of older history.",
            )?,
            waiting: gauge(
                registry,
                "jobwire_catch_up_waiting",
                "Reads of history that wait for a slot.",
            )?,
            running: gauge(
                registry,
                "jobwire_catch_up_running",
                "Reads of history that are under way.",
            )?,
            failures: counter(
                registry,
                "jobwire_catch_up_failures_total",
                "Reads of history that NATS did not answer; they are tried again.",
            )?,
        })
    }

    /// Who counts what the tail of one stream does.
    pub fn of_tail(&self, stream: &str) -> TailMetrics {
        TailMetrics {
            received: self.received.with_label_values(&[stream]),
            received_bytes: self.received_bytes.with_label_values(&[stream]),
            restarts: self.restarts.clone(),
        }
    }
}

/// What one tail counts.
pub struct TailMetrics {
    received: IntCounter,
    received_bytes: IntCounter,
    restarts: IntCounterVec,
}

impl TailObserver for TailMetrics {
    fn restarted(&self, reason: &'static str) {
        self.restarts.with_label_values(&[reason]).inc();
    }

    fn received(&self, messages: usize, bytes: usize) {
        self.received.inc_by(messages as u64);
        self.received_bytes.inc_by(bytes as u64);
    }
}

impl CatchUpObserver for JournalMetrics {
    fn page_read(&self, events: usize, bytes: usize, seconds: f64) {
        self.pages.observe(seconds);
        self.page_events.inc_by(events as u64);
        self.page_bytes.inc_by(bytes as u64);
    }

    fn waiting(&self, change: i64) {
        self.waiting.add(change);
    }

    fn running(&self, change: i64) {
        self.running.add(change);
    }

    fn failed(&self) {
        self.failures.inc();
    }
}
