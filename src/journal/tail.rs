//! The tail: one ordered consumer of the whole stream, from the newest part of it on, for ever.
//!
//! It always continues after its head. When it restarts it makes sure first that the stream is
//! the one it knew: the same creation time, and the same message at the head; anything else,
//! confirmed twice, is a new incarnation. What it reads goes to a [`Follower`].

mod status;

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::consumer::{Consumer, ConsumerEnd, Delivered, Pull, Signal, traceparent_of};
use super::requests::{Fingerprint, RequestError, StreamApi, StreamReport};
use super::stream::{Unsuitable, verify};
pub use status::TailStatus;

/// Messages of one pull; the next is asked for when half of them have come.
const PULL: usize = 2_000;
/// Bytes of one pull: what may be under way to us and wait in the client library.
const PULL_BYTES: usize = 8 * 1024 * 1024;
/// How long the server keeps a pull.
const PULL_EXPIRES: Duration = Duration::from_secs(5);
/// Messages handed over at once, at most.
const BATCH: usize = 256;
/// How often the leader is asked how far the stream is.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Behind the leader without progress for so long: a lagging replica with good heartbeats.
const STALLED_AFTER: Duration = Duration::from_secs(3);
/// The leader must stay below our head for so long before that means a new incarnation.
const REWOUND_AFTER: Duration = Duration::from_secs(10);
/// Readiness waits this long at most for the end seen at the start.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// First and longest pause before a restart.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// One message of the stream, as the tail hands it over.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Sequence in the stream.
    pub id: u64,
    /// When the stream took it, in nanoseconds since 1970.
    pub stored_at: i64,
    /// The full subject; one that is no event's only moves the head.
    pub subject: &'a str,
    /// The payload.
    pub payload: &'a [u8],
    /// The trace that it belongs to; see [`crate::event::traceparent`].
    pub traceparent: Option<&'a str>,
}

/// What the stream's leader said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamState {
    /// First sequence that is still stored.
    pub first: u64,
    /// Last sequence that was given out.
    pub last: u64,
    /// Bytes that are stored.
    pub bytes: u64,
    /// Consumers that the stream has.
    pub consumers: u64,
    /// When the leader said so.
    pub checked_at: Instant,
}

/// Whoever is told what the tail reads.
pub trait Follower: Send + Sync {
    /// A new incarnation of the stream: everything before means nothing any more, and what
    /// follows begins after `floor`.
    fn begin(&self, epoch: &str, floor: u64);
    /// The next messages, in order.
    fn take(&self, arrivals: &[Arrival<'_>]);
    /// Retention has overtaken the tail: nothing up to here will come.
    fn skip_to(&self, floor: u64);
    /// What the leader said.
    fn observe(&self, state: StreamState);
    /// Bytes of payload that are worth reading at the start.
    fn appetite(&self) -> u64;
}

/// Why a tail restarts: the words that [`TailObserver::restarted`] is given.
pub const RESTART_REASONS: [&str; 7] =
    ["silent", "gap", "gone", "request", "unsuitable", "stalled", "doubtful"];

/// Counts that the owner exports.
pub trait TailObserver: Send + Sync {
    /// The tail restarts, for one of [`RESTART_REASONS`].
    fn restarted(&self, reason: &'static str);
    /// Messages have come, with so many bytes of payload.
    fn received(&self, messages: usize, bytes: usize);
}

/// Why one incarnation of the consumer ended.
#[derive(Debug, thiserror::Error)]
enum Restart {
    #[error(transparent)]
    Consumer(#[from] ConsumerEnd),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("{0}")]
    Unsuitable(String),
    #[error("behind the leader without progress")]
    Stalled,
    #[error("the stream may be another one")]
    Doubtful,
}

impl Restart {
    fn label(&self) -> &'static str {
        match self {
            Self::Consumer(end) => end.label(),
            Self::Request(_) => "request",
            Self::Unsuitable(_) => "unsuitable",
            Self::Stalled => "stalled",
            Self::Doubtful => "doubtful",
        }
    }
}

/// Where the tail stands.
struct Head {
    epoch: Arc<str>,
    id: u64,
    /// The message at `id`, unless the tail has none of this incarnation yet.
    fingerprint: Option<Fingerprint>,
}

/// Reasons to think that the stream is another one than the head's.
#[derive(Default)]
struct Doubt {
    different: u32,
    below_since: Option<Instant>,
}

/// See the module's text.
pub struct Tail<F> {
    api: StreamApi,
    follower: F,
    observer: Arc<dyn TailObserver>,
    status: watch::Sender<TailStatus>,
    head: Option<Head>,
    doubt: Doubt,
    warned: Vec<Unsuitable>,
    ready_at: Option<(u64, Instant)>,
    pause: Duration,
}

impl<F: Follower> Tail<F> {
    /// A tail that has read nothing yet, and where its status is told.
    pub fn new(
        api: StreamApi,
        follower: F,
        observer: Arc<dyn TailObserver>,
    ) -> (Self, watch::Receiver<TailStatus>) {
        let (status, receiver) = watch::channel(TailStatus::Connecting("not connected yet".into()));
        let tail = Self {
            api,
            follower,
            observer,
            status,
            head: None,
            doubt: Doubt::default(),
            warned: Vec::new(),
            ready_at: None,
            pause: BACK_OFF.0,
        };
        (tail, receiver)
    }

    /// Follows the stream for ever.
    pub async fn run(mut self) {
        loop {
            let Err(restart) = self.follow().await;
            self.observer.restarted(restart.label());
            self.tell_interruption(&restart);
            let jitter = 0.5 + fastrand::f64();
            tokio::time::sleep(self.pause.mul_f64(jitter)).await;
            self.pause = (self.pause * 2).min(BACK_OFF.1);
        }
    }

    fn tell_interruption(&self, restart: &Restart) {
        let status = match restart {
            _ if self.status.borrow().is_ready() => TailStatus::Interrupted(restart.to_string()),
            Restart::Request(RequestError::NoStream(name)) => TailStatus::NoStream(name.clone()),
            Restart::Unsuitable(reason) => TailStatus::Unsuitable(reason.clone()),
            Restart::Request(RequestError::Denied(denial))
            | Restart::Consumer(ConsumerEnd::Request(RequestError::Denied(denial))) => {
                TailStatus::Denied(denial.to_string())
            }
            other => TailStatus::Connecting(other.to_string()),
        };
        self.set_status(status);
    }

    fn set_status(&self, status: TailStatus) {
        self.status.send_if_modified(|current| {
            let changed = *current != status;
            if changed {
                tracing::info!(%status, "tail");
                *current = status;
            }
            changed
        });
    }

    /// One incarnation of the consumer, from its making to its end.
    async fn follow(&mut self) -> Result<std::convert::Infallible, Restart> {
        let report = self.api.report().await?;
        self.judge(&report)?;
        self.try_rights().await?;
        self.identify(&report).await?;
        self.observe(&report);
        let start = self.head.as_ref().map_or(1, |head| head.id + 1);
        // Everything in the stream, whatever its subject: a hole in the sequences then always
        // means that something is gone.
        let consumer = Consumer::begin(&self.api, "tail", start, ">".into()).await?;
        self.read(consumer).await
    }

    /// Makes sure, once, that what is needed only later is permitted too.
    async fn try_rights(&mut self) -> Result<(), Restart> {
        if self.head.is_none() {
            self.api.try_rights().await?;
        }
        Ok(())
    }

    /// Refuses a stream that cannot be used, and warns once of what may lose events.
    fn judge(&mut self, report: &StreamReport) -> Result<(), Restart> {
        let verdict = verify(&report.config);
        if !verdict.refusals.is_empty() {
            let reasons: Vec<String> = verdict.refusals.iter().map(Unsuitable::to_string).collect();
            return Err(Restart::Unsuitable(reasons.join("; ")));
        }
        if self.warned != verdict.warnings {
            for warning in &verdict.warnings {
                tracing::warn!(stream = self.api.stream_name(), %warning, "the stream");
            }
            self.warned = verdict.warnings;
        }
        Ok(())
    }

    /// Makes sure that the stream is the one the head belongs to, or begins a new incarnation.
    async fn identify(&mut self, report: &StreamReport) -> Result<(), Restart> {
        let Some(head) = &self.head else {
            self.begin(report);
            return Ok(());
        };
        if report.epoch == head.epoch && report.last >= head.id {
            self.doubt.below_since = None;
            if self.head_is_unchanged().await? {
                self.doubt = Doubt::default();
                return Ok(());
            }
            self.doubt.different += 1;
        } else if report.epoch == head.epoch {
            let since = *self.doubt.below_since.get_or_insert(report.at);
            if report.at < since + REWOUND_AFTER {
                return Err(Restart::Doubtful);
            }
            self.doubt.different = 2;
        } else {
            self.doubt.different += 1;
        }
        if self.doubt.different < 2 {
            return Err(Restart::Doubtful);
        }
        tracing::warn!(
            old = %head.epoch, new = %report.epoch, head = head.id, last = report.last,
            "the stream is another one now; what was read of the old one is discarded"
        );
        self.begin(report);
        Ok(())
    }

    async fn head_is_unchanged(&self) -> Result<bool, Restart> {
        let Some(Head { id, fingerprint: Some(known), .. }) = &self.head else { return Ok(true) };
        match self.api.fingerprint(*id).await {
            Ok(found) => Ok(found == *known),
            // Retention took it; that is no sign of another stream.
            Err(RequestError::NoMessage) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn begin(&mut self, report: &StreamReport) {
        let average = report.bytes.checked_div(report.messages).unwrap_or(0).max(64);
        let back = self.follower.appetite() / average;
        let floor = report.last.saturating_sub(back).max(report.first - 1);
        self.follower.begin(&report.epoch, floor);
        self.head = Some(Head { epoch: Arc::clone(&report.epoch), id: floor, fingerprint: None });
        self.doubt = Doubt::default();
        self.ready_at = Some((report.last, Instant::now() + READY_WITHIN));
        if !self.status.borrow().is_ready() {
            self.set_status(TailStatus::CatchingUp);
        }
    }

    fn observe(&mut self, report: &StreamReport) {
        self.follower.observe(StreamState {
            first: report.first,
            last: report.last,
            bytes: report.bytes,
            consumers: report.consumers,
            checked_at: report.at,
        });
        if let Some(head) = &mut self.head
            && report.first > head.id + 1
            && report.epoch == head.epoch
        {
            self.follower.skip_to(report.first - 1);
            head.id = report.first - 1;
            head.fingerprint = None;
        }
    }

    async fn read(&mut self, mut consumer: Consumer) -> Result<std::convert::Infallible, Restart> {
        let mut wanted = 0;
        let mut progress = (self.head_id(), Instant::now());
        let api = self.api.clone();
        let mut checks = tokio::time::interval(CHECK_EVERY);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        checks.reset();
        // Polled beside the consumer, so that a slow answer of the API delays no event. The head
        // at the time of asking goes with it: what was read since is no contradiction.
        let mut asked = None;
        self.settle_readiness();
        loop {
            if wanted <= PULL / 2 {
                let pull = Pull { messages: PULL, bytes: Some(PULL_BYTES), expires: PULL_EXPIRES };
                consumer.pull(pull).await?;
                wanted += PULL;
            }
            tokio::select! {
                signal = consumer.next() => {
                    self.take(signal?, &mut consumer, &mut wanted)?;
                    self.settle_readiness();
                }
                _ = checks.tick(), if asked.is_none() => {
                    asked = Some((self.head_id(), Box::pin(api.report())));
                }
                (head, report) = answer(&mut asked) => {
                    asked = None;
                    self.check(head, report, &mut progress)?;
                }
            }
        }
    }

    fn head_id(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.id)
    }

    /// Takes one signal and whatever is there already behind it.
    fn take(
        &mut self,
        first: Signal,
        consumer: &mut Consumer,
        wanted: &mut usize,
    ) -> Result<(), Restart> {
        self.pause = BACK_OFF.0;
        let mut batch = Vec::new();
        let mut next = Some(first);
        let mut ended = None;
        while let Some(signal) = next {
            match signal {
                Signal::Delivered(delivered) => {
                    *wanted = wanted.saturating_sub(1);
                    batch.push(delivered);
                }
                Signal::Alive => {}
                Signal::PullOver { left } => *wanted = wanted.saturating_sub(left),
            }
            next = match consumer.next_ready() {
                _ if batch.len() >= BATCH => None,
                Some(Ok(signal)) => Some(signal),
                Some(Err(end)) => {
                    ended = Some(end);
                    None
                }
                None => None,
            };
        }
        self.hand_over(&batch);
        ended.map_or(Ok(()), |end| Err(end.into()))
    }

    fn hand_over(&mut self, batch: &[Delivered]) {
        let Some(newest) = batch.last() else { return };
        let arrivals: Vec<Arrival<'_>> = batch
            .iter()
            .map(|delivered| Arrival {
                id: delivered.id,
                stored_at: delivered.stored_at,
                subject: delivered.message.subject.as_str(),
                payload: &delivered.message.payload,
                traceparent: traceparent_of(&delivered.message),
            })
            .collect();
        let bytes = arrivals.iter().map(|arrival| arrival.payload.len()).sum();
        self.observer.received(arrivals.len(), bytes);
        self.follower.take(&arrivals);
        if let Some(head) = &mut self.head {
            head.id = newest.id;
            head.fingerprint = Some(Fingerprint {
                stored_at: newest.stored_at,
                subject: newest.message.subject.as_str().into(),
            });
        }
    }

    /// Compares the tail with the leader.
    fn check(
        &mut self,
        head_when_asked: u64,
        report: Result<StreamReport, RequestError>,
        progress: &mut (u64, Instant),
    ) -> Result<(), Restart> {
        let report = match report {
            Ok(report) => report,
            // The consumer may be better off than the API; its own silence decides.
            Err(
                RequestError::Unreachable(_) | RequestError::NoResponders | RequestError::Denied(_),
            ) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if self.head.as_ref().is_some_and(|head| head.epoch != report.epoch) {
            return Err(Restart::Doubtful);
        }
        self.observe(&report);
        if report.last < head_when_asked {
            return Err(Restart::Doubtful);
        }
        let head = self.head_id();
        if head > progress.0 || report.last <= head {
            *progress = (head, Instant::now());
        }
        if progress.1.elapsed() >= STALLED_AFTER {
            return Err(Restart::Stalled);
        }
        self.settle_readiness();
        Ok(())
    }

    /// Ready once the end that was seen at the start is reached, or the time for it is over.
    fn settle_readiness(&mut self) {
        if let Some((target, deadline)) = self.ready_at {
            if self.head_id() < target && Instant::now() < deadline {
                return;
            }
            self.ready_at = None;
        }
        self.set_status(TailStatus::Following);
    }
}

/// The answer to what was asked; never, where nothing was.
async fn answer<F>(
    asked: &mut Option<(u64, Pin<Box<F>>)>,
) -> (u64, Result<StreamReport, RequestError>)
where
    F: Future<Output = Result<StreamReport, RequestError>>,
{
    match asked {
        Some((head, report)) => (*head, report.await),
        None => std::future::pending().await,
    }
}
