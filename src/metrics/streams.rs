//! The streams and their windows, looked at when metrics are asked for.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Registry};
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::families::{counter_by, gauge, gauge_by, raise_to, signed};
use crate::journal::tail::TailStatus;
use crate::window::{Meaning, OTHER_KIND, Ring, Window};

/// One stream as it is looked at.
pub struct ObservedStream {
    /// Its name.
    pub name: String,
    /// Its newest events.
    pub window: Window,
    /// How its tail is doing.
    pub tail: watch::Receiver<TailStatus>,
}

/// The families of streams and windows.
pub(super) struct StreamMetrics {
    bytes: IntGauge,
    limit: IntGauge,
    events: IntGauge,
    jobs: IntGauge,
    oldest_age: IntGaugeVec,
    floor: IntGaugeVec,
    head: IntGaugeVec,
    lag: IntGaugeVec,
    ready: IntGaugeVec,
    last: IntGaugeVec,
    first: IntGaugeVec,
    stored_bytes: IntGaugeVec,
    consumers: IntGaugeVec,
    job_events: IntCounterVec,
}

impl StreamMetrics {
    pub(super) fn register(
        registry: &Registry,
        streams: &[&str],
        kinds: &[&str],
    ) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| gauge(registry, name, help);
        let streams = ("stream", streams.to_vec());
        let by_stream = |name: &str, help: &str| gauge_by(registry, name, help, &streams);
        let meanings = Meaning::ALL.map(Meaning::label).to_vec();
        let kinds = [kinds, &[OTHER_KIND]].concat();
        Ok(Self {
            bytes: gauge("jobwire_window_bytes", "Memory that the windows count.")?,
            limit: gauge("jobwire_window_limit_bytes", "Memory that the windows may take.")?,
            events: gauge("jobwire_window_events", "Events in the windows.")?,
            jobs: gauge("jobwire_window_jobs", "Jobs in the windows.")?,
            oldest_age: by_stream(
                "jobwire_window_oldest_age_seconds",
                "Age of the oldest event in the window; 0: there is none.",
            )?,
            floor: by_stream(
                "jobwire_window_floor",
                "Everything after this stream sequence is in the window.",
            )?,
            head: by_stream(
                "jobwire_tail_sequence",
                "Newest stream sequence that the tail has read.",
            )?,
            lag: by_stream(
                "jobwire_tail_lag_events",
                "Messages between the tail and the stream's end as the leader last told it.",
            )?,
            ready: by_stream(
                "jobwire_tail_ready",
                "1: the tail reads the stream; 0: it begins anew, or NATS does not answer.",
            )?,
            last: by_stream(
                "jobwire_stream_sequence",
                "Newest stream sequence that the leader told of.",
            )?,
            first: by_stream(
                "jobwire_stream_first_sequence",
                "Oldest stream sequence that is stored, as the leader last told it.",
            )?,
            stored_bytes: by_stream(
                "jobwire_stream_bytes",
                "Bytes that the stream stores, as the leader last told it.",
            )?,
            consumers: by_stream(
                "jobwire_stream_consumers",
                "Consumers of the stream, as the leader last told it.",
            )?,
            job_events: counter_by(
                registry,
                "jobwire_job_events_total",
                "Events of jobs that came since the start, by kind and by what they mean.",
                &[("kind", kinds), ("event", meanings)],
            )?,
        })
    }

    /// One caller at a time.
    pub(super) fn observe(&self, streams: &[ObservedStream]) {
        self.observe_windows(streams);
        self.observe_events(streams);
        // Two templates may read one stream; the first of them stands for it.
        for stream in streams.iter().rev() {
            self.observe_stream(stream);
        }
    }

    fn observe_windows(&self, streams: &[ObservedStream]) {
        let sum = |size: fn(&Ring) -> usize| {
            let sizes = streams.iter().map(|stream| size(&stream.window.read()) as u64);
            signed(sizes.sum())
        };
        self.bytes.set(sum(Ring::cost));
        self.limit.set(sum(Ring::budget));
        self.events.set(sum(Ring::events));
        self.jobs.set(sum(Ring::job_count));
    }

    fn observe_events(&self, streams: &[ObservedStream]) {
        let rings: Vec<_> = streams.iter().map(|stream| stream.window.read()).collect();
        let Some(first) = rings.first() else { return };
        // Every window counts the same kinds in the same order.
        for (place, (kind, meaning, _)) in first.census().counts().enumerate() {
            let of_ring = |ring: &Ring| {
                let count = ring.census().counts().nth(place);
                count.map_or(0, |(.., count)| count)
            };
            let total = rings.iter().map(|ring| of_ring(ring)).sum();
            raise_to(&self.job_events.with_label_values(&[kind, meaning.label()]), total);
        }
    }

    fn observe_stream(&self, stream: &ObservedStream) {
        let set = |family: &IntGaugeVec, number: u64| {
            family.with_label_values(&[&stream.name]).set(signed(number));
        };
        set(&self.ready, stream.tail.borrow().is_reading().into());
        let ring = stream.window.read();
        set(&self.oldest_age, ring.oldest_stored_at().map_or(0, seconds_since));
        set(&self.floor, ring.floor());
        set(&self.head, ring.head());
        let Some(told) = ring.stream() else { return };
        set(&self.lag, told.last.saturating_sub(ring.head()));
        set(&self.last, told.last);
        set(&self.first, told.first);
        set(&self.stored_bytes, told.bytes);
        set(&self.consumers, told.consumers);
    }
}

/// Whole seconds since a time in nanoseconds since 1970; 0 for one that is to come.
fn seconds_since(stored_at: i64) -> u64 {
    let age = OffsetDateTime::now_utc().unix_timestamp_nanos() - i128::from(stored_at);
    u64::try_from(age / 1_000_000_000).unwrap_or(0)
}
