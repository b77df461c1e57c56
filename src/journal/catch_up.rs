//! Catch-up: what the window cannot answer, read from JetStream in pages.
//!
//! A slot is held for one page, never for a whole catch-up. Whoever wants what is being read
//! already waits for that read, so that a thousand reconnects to one job cost one. It has a
//! NATS connection of its own: a large history never stands before a live event.
//!
//! Who comes back for a second page at once is likely to come back for a third. From then on
//! JetStream is asked for the next two pages while the last is on its way to the socket, and for
//! as many pages as there are slots in all, so that what waits here stays bounded. Whoever is
//! slow comes back after the consumer is gone, and costs no more than two pages that nobody wanted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use foldhash::HashMap;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::consumer::{Consumer, ConsumerEnd};
use super::history::{Answer, Bounds, History, Incarnation, Page, PageRead, Question};
use super::pages::PageCache;
use super::reading::{PAGE_PULL, Reading};
use super::requests::{ReplicaEnd, RequestError, StreamApi};
use crate::event::JobKey;
use crate::recent::Recent;

/// How long an asker waits, slots included.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// How long a consumer is kept for the page after the one it has read.
const IDLE: Duration = Duration::from_secs(1);
/// How long a job's first id is waited for, and for how long it is not asked for after that.
const COURTESY: Duration = Duration::from_millis(250);
const COURTESY_PAUSE: Duration = Duration::from_secs(3);
/// Pages that one consumer is asked for ahead: with one, JetStream stands idle between two of them.
const AHEAD: usize = 2;
/// How many jobs' first ids are remembered.
const FIRSTS: usize = 50_000;

/// Counts that the owner exports.
pub trait CatchUpObserver: Send + Sync {
    /// A page was read: events, bytes, seconds.
    fn page_read(&self, events: usize, bytes: usize, seconds: f64);
    /// A read is waiting for a slot (+1) or no longer (−1).
    fn waiting(&self, change: i64);
    /// A read is under way (+1) or no longer (−1).
    fn running(&self, change: i64);
    /// A request to JetStream failed.
    fn failed(&self);
}

/// What one read under way is about. Pages of one job are read one after the other, because
/// the next asker may be served by the page that is being read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Topic {
    Bounds(JobKey),
    Leader(JobKey),
    First(JobKey),
    Pages(JobKey),
}

impl Topic {
    fn of(question: &Question) -> Self {
        match question {
            Question::Bounds(job) => Self::Bounds(job.clone()),
            Question::Leader(job) => Self::Leader(job.clone()),
            Question::First(job) => Self::First(job.clone()),
            Question::Page { job, .. } => Self::Pages(job.clone()),
        }
    }
}

type Flight = Shared<BoxFuture<'static, Answer>>;

/// How a question finds its answer.
enum Boarding {
    /// In memory.
    Known(Answer),
    /// By a read; `own`: one that was started for it.
    Flight { flight: Flight, own: bool },
}

/// See the module's text. Cheap to clone.
#[derive(Clone)]
pub struct CatchUp {
    shared: Arc<Inner>,
}

struct Inner {
    api: StreamApi,
    runtime: Handle,
    slots: Semaphore,
    flights: Mutex<HashMap<(u64, Topic), Flight>>,
    pages: Mutex<PageCache>,
    /// The first event of jobs, with the generation it belongs to.
    firsts: Mutex<Recent<JobKey, (u64, u64)>>,
    stream_first: AtomicU64,
    first_late_at: Mutex<Option<Instant>>,
    idle: Mutex<HashMap<(JobKey, u64), Parked>>,
    /// One for each page that is asked of JetStream before anybody has asked us for it.
    ahead: Arc<Semaphore>,
    observer: Arc<dyn CatchUpObserver>,
}

/// A consumer between two pages.
struct Parked {
    consumer: Consumer,
    /// What is on its way from it belongs to this incarnation.
    generation: u64,
    /// One for each of its next pages that has been pulled already.
    ahead: Vec<OwnedSemaphorePermit>,
}

/// Where a page is read from.
struct Source {
    consumer: Consumer,
    /// It has been read from before: somebody came back for this page.
    continued: bool,
    /// One for each page that has been pulled already, this one first.
    ahead: Vec<OwnedSemaphorePermit>,
}

/// Why a page was not read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Consumer(#[from] ConsumerEnd),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the stream was made anew")]
    OtherEpoch,
    #[error("the consumer found less than the job has; its replica lags")]
    Lagging,
}

impl CatchUp {
    /// Reads over its own connection, on `runtime`, with so many slots and so many bytes of
    /// cache.
    pub fn new(
        api: StreamApi,
        runtime: Handle,
        slots: usize,
        cache: usize,
        observer: Arc<dyn CatchUpObserver>,
    ) -> Self {
        Self {
            shared: Arc::new(Inner {
                api,
                runtime,
                slots: Semaphore::new(slots),
                flights: Mutex::default(),
                pages: Mutex::new(PageCache::new(cache)),
                firsts: Mutex::new(Recent::new(FIRSTS)),
                stream_first: AtomicU64::new(0),
                first_late_at: Mutex::default(),
                idle: Mutex::default(),
                ahead: Arc::new(Semaphore::new(slots)),
                observer,
            }),
        }
    }
}

impl History for CatchUp {
    fn ask(&self, incarnation: Incarnation, question: Question) -> BoxFuture<'static, Answer> {
        if let Some(answer) = self.shared.known(incarnation.generation, &question) {
            return std::future::ready(answer).boxed();
        }
        let shared = Arc::clone(&self.shared);
        async move {
            tokio::time::timeout(ANSWER_WITHIN, shared.find(incarnation, question))
                .await
                .unwrap_or(Answer::Unavailable)
        }
        .boxed()
    }
}

impl Inner {
    /// The answer, if it is in memory.
    fn known(&self, generation: u64, question: &Question) -> Option<Answer> {
        match question {
            Question::Page { job, after, .. } => {
                lock(&self.pages).find(generation, job, *after).map(Answer::Page)
            }
            Question::First(job) => lock(&self.firsts)
                .get(job.as_str())
                .filter(|(of, _)| *of == generation)
                .map(|(_, first)| first)
                .filter(|first| *first >= self.stream_first.load(Ordering::Relaxed))
                .map(|first| Answer::First(Some(first))),
            Question::Bounds(_) | Question::Leader(_) => None,
        }
    }

    /// Joins the read that is under way, or starts one.
    async fn find(self: Arc<Self>, incarnation: Incarnation, question: Question) -> Answer {
        loop {
            let (flight, own) = match self.board(&incarnation, &question) {
                Boarding::Flight { flight, own } => (flight, own),
                Boarding::Known(answer) => return answer,
            };
            let answer = flight.await;
            let serves = match (&question, &answer) {
                (Question::Page { after, .. }, Answer::Page(read)) => {
                    read.page.after <= *after && read.page.through > *after
                }
                _ => true,
            };
            if own || serves {
                return answer;
            }
        }
    }

    fn board(self: &Arc<Self>, of: &Incarnation, question: &Question) -> Boarding {
        let key = (of.generation, Topic::of(question));
        let mut flights = lock(&self.flights);
        // One that is over but still here has panicked; the next asker starts anew.
        if let Some(flight) = flights.get(&key).filter(|flight| flight.peek().is_none()) {
            return Boarding::Flight { flight: flight.clone(), own: false };
        }
        // One that has landed since this was asked has left its page in the cache before it left
        // this table: looked at in this order, nothing is read twice.
        if let Some(answer) = self.known(of.generation, question) {
            return Boarding::Known(answer);
        }
        let shared = Arc::clone(self);
        let (of, question, landed) = (of.clone(), question.clone(), key.clone());
        let reading = self.runtime.spawn(async move {
            let answer = shared.read(&of, question).await;
            lock(&shared.flights).remove(&landed);
            answer
        });
        let flight = async move { reading.await.unwrap_or(Answer::Unavailable) }.boxed().shared();
        flights.insert(key, flight.clone());
        Boarding::Flight { flight, own: true }
    }

    async fn read(&self, of: &Incarnation, question: Question) -> Answer {
        self.observer.waiting(1);
        let slot = self.slots.acquire().await;
        self.observer.waiting(-1);
        self.observer.running(1);
        let answer = match question {
            Question::Bounds(job) => self.bounds(of, &job).await,
            Question::Leader(job) => self.leader(of, &job).await,
            Question::First(job) => self.first(of, &job).await,
            Question::Page { job, after, through } => self.page(of, &job, after, through).await,
        };
        self.observer.running(-1);
        drop(slot);
        answer.unwrap_or_else(|error| self.refusal(&error))
    }

    fn refusal(&self, error: &ReadError) -> Answer {
        if matches!(error, ReadError::OtherEpoch) {
            return Answer::OtherEpoch;
        }
        self.observer.failed();
        tracing::debug!(%error, "history cannot be read now");
        Answer::Unavailable
    }

    async fn bounds(&self, of: &Incarnation, job: &JobKey) -> Result<Answer, ReadError> {
        let (end, first, report) =
            tokio::join!(self.api.replica_end(job), self.api.first_event(job), self.api.report());
        let end = match end {
            Err(RequestError::TooManySubjects) => self.end_of_leader(job).await,
            end => end,
        };
        let (end, report) = (end?, report?);
        same_epoch(of, &report.epoch)?;
        self.stream_first.store(report.first, Ordering::Relaxed);
        let first = first.ok().flatten();
        self.remember_first(of, job, first);
        Ok(Answer::Bounds(Bounds {
            up_to: end.up_to,
            last: end.last,
            first,
            stream_first: report.first,
            state: end.state.into(),
        }))
    }

    /// For a job with more event types than `multi_last` answers: its end, and no state.
    async fn end_of_leader(&self, job: &JobKey) -> Result<ReplicaEnd, RequestError> {
        let (view, _) = self.api.leader_view(job).await?;
        let up_to = view.last.map(|last| last.max(view.stream_last));
        Ok(ReplicaEnd { up_to, last: view.last, state: Vec::new() })
    }

    async fn leader(&self, of: &Incarnation, job: &JobKey) -> Result<Answer, ReadError> {
        let (view, found) = self.api.leader_view(job).await?;
        same_epoch(of, &found)?;
        Ok(Answer::Leader(view))
    }

    /// A courtesy that no subscriber waits for long: the window must serve when NATS is away.
    async fn first(&self, of: &Incarnation, job: &JobKey) -> Result<Answer, ReadError> {
        if self.api.client().connection_state() != State::Connected || self.first_is_late() {
            return Ok(Answer::First(None));
        }
        match tokio::time::timeout(COURTESY, self.api.first_event(job)).await {
            Ok(first) => {
                let first = first?;
                self.remember_first(of, job, first);
                Ok(Answer::First(first))
            }
            Err(_) => {
                *lock(&self.first_late_at) = Some(Instant::now());
                Ok(Answer::First(None))
            }
        }
    }

    /// NATS did not answer such a question a moment ago: not each subscriber need find out.
    fn first_is_late(&self) -> bool {
        lock(&self.first_late_at).is_some_and(|at| at.elapsed() < COURTESY_PAUSE)
    }

    fn remember_first(&self, of: &Incarnation, job: &JobKey, first: Option<u64>) {
        if let Some(first) = first {
            lock(&self.firsts).insert(job.clone(), (of.generation, first));
        }
    }

    async fn page(
        &self,
        of: &Incarnation,
        job: &JobKey,
        after: u64,
        through: u64,
    ) -> Result<Answer, ReadError> {
        let started = Instant::now();
        let mut reading = Reading::new(self.api.subjects(), job, through);
        let mut source = self.source(of, job, after).await?;
        if source.ahead.pop().is_none() {
            source.consumer.pull(PAGE_PULL).await?;
        }
        let complete = reading.fill(&mut source.consumer, &mut source.ahead).await?;
        if !complete {
            self.pull_ahead(&mut source).await;
        }
        // Asked after the page was read: what is still there now was there then.
        let report = self.api.report().await?;
        same_epoch(of, &report.epoch)?;
        self.stream_first.store(report.first, Ordering::Relaxed);
        let end = match (complete, reading.events.last()) {
            (false, Some(last)) => last.id,
            // Retention took all of it.
            (false, None) if report.first > through => through,
            (false, None) => return Err(ReadError::Lagging),
            (true, _) => through,
        };
        if complete {
            source.consumer.end().await;
        } else {
            self.park(source, of, job, end).await;
        }
        self.observer.page_read(
            reading.events.len(),
            reading.bytes,
            started.elapsed().as_secs_f64(),
        );
        let page = Arc::new(Page { after, through: end, events: reading.events });
        let read = PageRead { page, stream_first: report.first };
        lock(&self.pages).insert(of.generation, job.clone(), read.clone());
        Ok(Answer::Page(read))
    }

    /// The consumer that has read the page before, or a new one.
    async fn source(
        &self,
        of: &Incarnation,
        job: &JobKey,
        after: u64,
    ) -> Result<Source, ConsumerEnd> {
        let parked = lock(&self.idle).remove(&(job.clone(), after));
        match parked {
            Some(Parked { consumer, generation, ahead }) if generation == of.generation => {
                return Ok(Source { consumer, continued: true, ahead });
            }
            Some(parked) => parked.consumer.end().await,
            None => {}
        }
        let filter = self.api.subjects().job_filter(job);
        let consumer = Consumer::begin(&self.api, "page", after + 1, filter).await?;
        Ok(Source { consumer, continued: false, ahead: Vec::new() })
    }

    /// Lets JetStream send the next pages already, if they are likely to be wanted.
    async fn pull_ahead(&self, source: &mut Source) {
        while source.continued
            && source.ahead.len() < AHEAD
            && let Ok(permit) = Arc::clone(&self.ahead).try_acquire_owned()
            // If it fails, whoever comes back finds out.
            && source.consumer.pull(PAGE_PULL).await.is_ok()
        {
            source.ahead.push(permit);
        }
    }

    /// Keeps the consumer for the next page for a moment.
    async fn park(&self, source: Source, of: &Incarnation, job: &JobKey, position: u64) {
        let Source { consumer, ahead, .. } = source;
        let parked = Parked { consumer, generation: of.generation, ahead };
        let replaced = lock(&self.idle).insert((job.clone(), position), parked);
        if let Some(replaced) = replaced {
            replaced.consumer.end().await;
        }
    }

    /// Deletes consumers that nobody came back for. Runs for ever.
    async fn sweep(self: Arc<Self>) {
        let mut seen: Vec<(JobKey, u64)> = Vec::new();
        loop {
            tokio::time::sleep(IDLE).await;
            let now: Vec<(JobKey, u64)> = lock(&self.idle).keys().cloned().collect();
            for key in seen.iter().filter(|key| now.contains(key)) {
                let parked = lock(&self.idle).remove(key);
                if let Some(parked) = parked {
                    parked.consumer.end().await;
                }
            }
            seen = now;
        }
    }
}

impl CatchUp {
    /// Deletes consumers that nobody came back for, for ever.
    pub async fn run(self) {
        self.shared.sweep().await;
    }
}

fn same_epoch(of: &Incarnation, found: &str) -> Result<(), ReadError> {
    if *of.epoch == *found { Ok(()) } else { Err(ReadError::OtherEpoch) }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
