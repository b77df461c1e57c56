//! A run with faults: publishers and watchers at work, faults in between, a verdict in the end.
//!
//! `JOBWIRE_CHAOS=long` makes runs of five minutes with ten times the load, and writes their
//! figures to `docs/reliability.md`; `JOBWIRE_CHAOS_SECONDS` changes their length.

mod event_streams;
pub mod length;
pub mod payload;
mod publishers;
mod recorder;
mod report;
mod stored;
mod watch;
mod web_sockets;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, timeout};

pub use length::Length;
use publishers::Publishers;
pub use publishers::Silence;
use recorder::Recorder;
use watch::{Refusals, Transport, Watcher};

use crate::harness::nats::User;
use crate::history::{Record, What};
use crate::stage::link::random_pause;
use crate::verdict::{LIVE_WITHIN, Verdict, judge};

/// Watchers that come in the middle of things, at most.
const LATECOMERS: usize = 12;

/// A run.
pub struct Chaos {
    name: &'static str,
    length: Length,
    nats: async_nats::Client,
    watched_at: SocketAddr,
    jobs: Vec<String>,
    recorder: Recorder,
    refusals: Refusals,
    publishers: Publishers,
    watchers: Vec<Watcher>,
    began: Instant,
    faults: usize,
    replaced: bool,
    latecomers: usize,
}

impl Chaos {
    /// Begins: publishers at `nats_url`, where no fault but those of NATS itself reaches them, and
    /// watchers at an address.
    pub async fn begin(name: &'static str, nats_url: &str, watched_at: SocketAddr) -> Self {
        Self::begin_with(name, nats_url, watched_at, Length::from_environment()).await
    }

    /// The same with a load of one's own.
    pub async fn begin_with(
        name: &'static str,
        nats_url: &str,
        watched_at: SocketAddr,
        length: Length,
    ) -> Self {
        let jobs: Vec<String> = (0..length.jobs).map(|number| format!("job-{number}")).collect();
        let recorder = Recorder::new();
        let nats = connect(nats_url).await;
        let publishers = Publishers::start(nats.clone(), &recorder, &jobs, length).await;
        let mut chaos = Self {
            name,
            length,
            nats,
            watched_at,
            jobs,
            recorder,
            refusals: Refusals::default(),
            publishers,
            watchers: Vec::new(),
            began: Instant::now(),
            faults: 0,
            replaced: false,
            latecomers: LATECOMERS,
        };
        for job in 0..chaos.jobs.len() {
            for _ in 0..length.watchers {
                chaos.watch_all_of(job);
            }
        }
        chaos
    }

    /// The same without watchers who come later and want everything: where retention takes what
    /// is old, they could not tell what is missing.
    pub fn without_latecomers(mut self) -> Self {
        self.latecomers = 0;
        self
    }

    /// Whether there is time for another fault.
    pub fn goes_on(&self) -> bool {
        self.began.elapsed() < self.length.duration
    }

    /// Lets things be as they are for a while.
    pub async fn calm(&self) {
        random_pause(self.length.calm / 2, self.length.calm).await;
    }

    /// A short pause or its longer form.
    pub fn either(&self, short: Duration, long: Duration) -> Duration {
        if self.length.is_long { long } else { short }
    }

    /// Injects a fault, and writes down when it begins and ends.
    pub async fn inflict(&mut self, fault: &str, injure: impl AsyncFnOnce()) {
        self.begins(fault);
        injure().await;
        self.ends(fault);
    }

    /// A fault begins; somebody comes right then and wants to see everything.
    pub fn begins(&mut self, fault: &str) {
        self.recorder.note(What::FaultBegins { fault: fault.into() });
        self.faults += 1;
        if self.latecomers > 0 {
            self.latecomers -= 1;
            self.watch_all_of(self.faults);
        }
    }

    /// A fault is over.
    pub fn ends(&self, fault: &str) {
        self.recorder.note(What::FaultEnds { fault: fault.into() });
    }

    /// A watcher more, who wants everything. Every fourth one uses Server-Sent Events.
    fn watch_all_of(&mut self, job: usize) {
        let is_fourth = self.watchers.len() % 4 == 3;
        let transport = if is_fourth { Transport::EventStream } else { Transport::WebSocket };
        self.watch_over(job, 0, transport);
    }

    fn watch_over(&mut self, job: usize, after: u64, transport: Transport) {
        let watcher = Watcher::start(
            format!("watcher-{}", self.watchers.len()),
            &self.jobs[job % self.jobs.len()],
            after,
            (self.watched_at, transport),
            (&self.recorder, &self.refusals),
        );
        self.watchers.push(watcher);
    }

    /// One watcher over each transport, of a job by its number.
    pub fn watch_some(&mut self, job: usize, after: u64) {
        for transport in [Transport::WebSocket, Transport::EventStream] {
            self.watch_over(job, after, transport);
        }
    }

    /// The stream's first and last sequence.
    pub async fn bounds(&self) -> (u64, u64) {
        stored::bounds(&self.nats).await
    }

    /// Publishes that the stream answered with an error.
    pub fn publishes_refused(&self) -> usize {
        self.publishers.refused()
    }

    /// Publishes nothing until the silence is broken; everything sent is acknowledged by then.
    pub async fn silence(&self) -> Silence {
        self.publishers.silence().await
    }

    /// The stream is another one from now on; in a [`Self::silence`].
    pub fn stream_is_replaced(&mut self) {
        self.replaced = true;
        self.recorder.note(What::StreamReplaced);
    }

    /// Waits until everything is quiet and everybody has the last event, and judges.
    pub async fn finish(mut self, least: Least) {
        let flow = self.began.elapsed();
        let sentinels = self.publishers.finish(&self.jobs).await;
        let waiting = timeout(Duration::from_micros(LIVE_WITHIN), async {
            for watcher in &mut self.watchers {
                let sentinel = sentinels.iter().find(|(job, _)| *job == watcher.job);
                watcher.reached(&sentinel.expect("a last event of every job").1).await;
            }
        });
        // Whoever has not got it by now is told by the verdict.
        let _ = waiting.await;
        stored::dump(&self.nats, &self.recorder).await;
        self.watchers.clear();
        let history = self.recorder.take();
        let path = recorder::save(self.name, &history);
        let verdict = judge(&history);
        let resets = history.iter().filter(|record| is_reset(record)).count();
        println!("{}: {} faults in {flow:.0?}: {verdict}", self.name, self.faults);
        let refusals = self.refusals.told();
        println!("{}: refusals {refusals:?}", self.name);
        if self.length.is_long {
            report::Row::new(self.name, flow, self.faults, &verdict).write();
        }
        assert!(verdict.is_clean(), "{}; history: {}", self.name, path.display());
        self.assert_activity(&verdict, &least, flow.min(self.length.duration));
        assert!(resets >= least.resets, "only {resets} watchers were told to begin anew");
        let gap = verdict.gap(0.99).unwrap_or_default();
        assert!(least.gap.is_none_or(|most| gap <= most), "a gap of {gap:?}");
        let untrue = refusals.iter().find(|(code, _)| !self.may_be_told(code));
        assert_eq!(untrue, None, "a refusal without a reason; history: {}", path.display());
        std::fs::remove_file(path).expect("a history of ours");
    }

    /// A job has events from the beginning: only while its stream is new is it not there.
    fn may_be_told(&self, code: &str) -> bool {
        code == "UNAVAILABLE" || code == "DRAINING" || (code == "JOB_NOT_FOUND" && self.replaced)
    }

    fn assert_activity(&self, verdict: &Verdict, least: &Least, ran: Duration) {
        let seconds = ran.as_secs_f64();
        let published = (f64::from(self.length.rate) * seconds / 4.0) as usize;
        assert!(verdict.acknowledged >= published, "too little was published: {verdict}");
        assert!(verdict.delivered >= verdict.acknowledged, "too little was seen: {verdict}");
        assert!(self.faults >= least.faults, "only {} faults", self.faults);
        assert!(verdict.closed >= least.closed, "too few connections ended: {verdict}");
        assert!(verdict.truncations >= least.truncations, "too few losses were told: {verdict}");
        assert!(verdict.lost_by_nats == 0, "NATS lost what it had acknowledged: {verdict}");
    }
}

fn is_reset(record: &Record) -> bool {
    matches!(record.what, What::CursorInvalid { .. })
}

/// What must have happened, or the run shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Least {
    /// Faults that were injected.
    pub faults: usize,
    /// Connections of watchers that ended.
    pub closed: usize,
    /// Losses that were told.
    pub truncations: usize,
    /// Times that a watcher was told that its cursor means nothing any more.
    pub resets: usize,
    /// How long, at most, 99 of 100 watchers may have heard nothing after their connection ended.
    pub gap: Option<Duration>,
}

/// A connection to NATS that comes back quickly.
pub async fn connect(urls: &str) -> async_nats::Client {
    try_connect(urls).await.expect("a connection to NATS")
}

/// The same, if a server is there.
pub async fn try_connect(urls: &str) -> Option<async_nats::Client> {
    let servers: Vec<async_nats::ServerAddr> =
        urls.split(',').map(|url| url.parse().expect("an address")).collect();
    let options = User::STAGE
        .options()
        .ping_interval(Duration::from_secs(2))
        .reconnect_delay_callback(|_| Duration::from_millis(50));
    options.connect(servers).await.ok()
}
