//! The metrics of the process: one registry of our own, nothing global.
//!
//! Each family is declared beside what it measures; here are those that belong to the process as
//! a whole, and to the journal, which knows no metrics itself.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use prometheus::{IntGaugeVec, TextEncoder};

use crate::auth::AuthMetrics;
use crate::families::{counter, gauge};
use crate::journal::catch_up::CatchUpObserver;
use crate::journal::tail::TailObserver;
use crate::session::SessionMetrics;
use crate::tls::TlsMetrics;
use crate::window::{Ring, Window};

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
    window: WindowMetrics,
}

impl Metrics {
    /// Registers every family.
    ///
    /// # Errors
    /// Two families have one name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process))?;
        let build = IntGaugeVec::new(
            Opts::new("jobwire_build_info", "Version of the program; always 1."),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;
        Ok(Self {
            sessions: SessionMetrics::register(&registry)?,
            journal: JournalMetrics::register(&registry)?,
            auth: AuthMetrics::register(&registry)?,
            tls: TlsMetrics::register(&registry)?,
            window: WindowMetrics::register(&registry)?,
            registry,
        })
    }

    /// The Prometheus text of this moment.
    ///
    /// # Errors
    /// A family cannot be written.
    pub fn text(&self, windows: &[Window]) -> prometheus::Result<String> {
        self.window.observe(windows);
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// What the tail and catch-up count.
#[derive(Clone)]
pub struct JournalMetrics {
    restarts: IntCounterVec,
    pages: Histogram,
    page_events: IntCounter,
    page_bytes: IntCounter,
    waiting: IntGauge,
    running: IntGauge,
    failures: IntCounter,
}

impl JournalMetrics {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let restarts = IntCounterVec::new(
            Opts::new("jobwire_tail_restarts_total", "Restarts of the tail, by reason."),
            &["reason"],
        )?;
        registry.register(Box::new(restarts.clone()))?;
        let pages = Histogram::with_opts(
            HistogramOpts::new(
                "jobwire_catch_up_page_seconds",
                "Time to read one page of older history from NATS.",
            )
            .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0]),
        )?;
        registry.register(Box::new(pages.clone()))?;
        Ok(Self {
            restarts,
            pages,
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
}

impl TailObserver for JournalMetrics {
    fn restarted(&self, reason: &'static str) {
        self.restarts.with_label_values(&[reason]).inc();
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

/// The window's size and place, read when they are asked for.
struct WindowMetrics {
    bytes: IntGauge,
    events: IntGauge,
    jobs: IntGauge,
    floor: IntGauge,
    head: IntGauge,
    stream_last: IntGauge,
}

impl WindowMetrics {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            bytes: gauge(registry, "jobwire_window_bytes", "Memory that the window counts.")?,
            events: gauge(registry, "jobwire_window_events", "Events in the window.")?,
            jobs: gauge(registry, "jobwire_window_jobs", "Jobs in the window.")?,
            floor: gauge(
                registry,
                "jobwire_window_floor",
                "Everything after this stream sequence is in the window.",
            )?,
            head: gauge(
                registry,
                "jobwire_tail_sequence",
                "Newest stream sequence that the tail has read.",
            )?,
            stream_last: gauge(
                registry,
                "jobwire_stream_sequence",
                "Newest stream sequence that the leader told of.",
            )?,
        })
    }

    /// The sums over all streams; the sequences are those of the first.
    fn observe(&self, windows: &[Window]) {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let sum = |size: fn(&Ring) -> usize| {
            signed(windows.iter().map(|window| size(&window.read()) as u64).sum())
        };
        self.bytes.set(sum(Ring::cost));
        self.events.set(sum(Ring::events));
        self.jobs.set(sum(Ring::job_count));
        let Some(first) = windows.first() else { return };
        let ring = first.read();
        self.floor.set(signed(ring.floor()));
        self.head.set(signed(ring.head()));
        self.stream_last.set(signed(ring.stream().map_or(0, |stream| stream.last)));
    }
}
