//! A worker: one thread's share of the connections, and who watches which job among them.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use futures_util::FutureExt;
use prometheus::local::LocalIntCounter;
use tokio::sync::{Notify, watch};
use tokio::task::coop::unconstrained;

use super::clock;
use super::connection::{Profile, Session};
use super::delivery::Watch;
use super::distribution::Watchers;
use super::endpoint::Endpoint;
use super::metrics::SessionMetrics;
use super::refusals::Reason;
use super::wheel::{TICK, Wheel};
use crate::auth::Verifier;
use crate::config::Timing;
use crate::drain::Drain;
use crate::event::JobKey;
use crate::journal::History;
use crate::rate::Rate;
use crate::window::{View, Window};

/// Bytes that may wait for sockets that take nothing, in the whole process, before replay
/// messages are made smaller.
const BLOCKED_BUDGET: usize = 64 * 1024 * 1024;
/// Least and most that a subscription may hand to its socket at once.
const TURN: (usize, usize) = (16 * 1024, 256 * 1024);

/// One stream of events.
#[derive(Clone)]
pub struct Source {
    /// The newest events.
    pub window: Window,
    /// Older ones.
    pub history: Arc<dyn History>,
}

/// One stream's share of a worker: how far it is distributed, and to whom.
pub(super) struct Feed {
    pub(super) source: Source,
    pub(super) changed: Arc<Notify>,
    pub(super) watchers: RefCell<HashMap<JobKey, Rc<Watchers>>>,
    /// Everything up to here was offered to the watchers.
    pub(super) cursor: Cell<u64>,
    pub(super) generation: Cell<u64>,
    /// Who waits for a job's next event without watching it.
    waiting: RefCell<HashMap<JobKey, Rc<Notify>>>,
}

impl Feed {
    fn new(source: Source) -> Rc<Self> {
        Rc::new(Self {
            changed: source.window.listen(),
            source,
            watchers: RefCell::default(),
            cursor: Cell::new(0),
            generation: Cell::new(0),
            waiting: RefCell::default(),
        })
    }

    /// Waits until the job has a new event, or the window is of another incarnation. What came
    /// before the call does not count.
    pub(super) async fn next_event(&self, job: &JobKey) {
        let arrival = Rc::clone(self.waiting.borrow_mut().entry(job.clone()).or_default());
        let waiting = Waiting { feed: self, job, arrival };
        waiting.arrival.notified().await;
    }

    /// Wakes those who wait for an event of this job.
    pub(super) fn tell_waiting(&self, job: &JobKey) {
        if let Some(arrival) = self.waiting.borrow().get(job) {
            arrival.notify_waiters();
        }
    }

    /// Wakes all who wait.
    pub(super) fn tell_all_waiting(&self) {
        self.waiting.borrow().values().for_each(|arrival| arrival.notify_waiters());
    }

    /// The window's bounds, with one job in view.
    pub(super) fn view(&self, job: &JobKey) -> View {
        self.source.window.view(job)
    }

    fn add(&self, watch: &Rc<Watch>) {
        let mut watchers = self.watchers.borrow_mut();
        let of_job = watchers.entry(watch.job.clone()).or_default();
        Rc::make_mut(of_job).add(Rc::clone(watch));
    }

    /// `false` if it was not among them.
    fn remove(&self, watch: &Rc<Watch>) -> bool {
        let mut watchers = self.watchers.borrow_mut();
        let Some(of_job) = watchers.get_mut(&watch.job) else { return false };
        let removed = Rc::make_mut(of_job).remove(watch);
        if of_job.is_empty() {
            watchers.remove(&watch.job);
        }
        removed
    }
}

/// A wait for a job's next event; nothing stays of it when it ends.
struct Waiting<'a> {
    feed: &'a Feed,
    job: &'a JobKey,
    arrival: Rc<Notify>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // One in the table, one here.
        if Rc::strong_count(&self.arrival) == 2 {
            self.feed.waiting.borrow_mut().remove(self.job);
        }
    }
}

/// What all workers of a process share.
#[derive(Clone)]
pub struct WorkerSettings {
    /// The streams, in the order in which routes number them.
    pub sources: Vec<Source>,
    /// Who checks tokens that are renewed on a connection.
    pub verifier: Option<Verifier>,
    /// Time-outs.
    pub timing: Timing,
    /// Subscriptions of one connection.
    pub max_subscriptions: usize,
    /// Messages that a client may send on one connection; `None`: any number.
    pub message_rate: Option<Rate>,
    /// What is counted.
    pub metrics: SessionMetrics,
    /// Whether the process is stopping.
    pub drain: watch::Receiver<Drain>,
    /// Bytes that wait for sockets that take nothing, in all workers.
    pub blocked: Arc<AtomicUsize>,
}

/// See the module's text.
pub struct Worker {
    pub(super) settings: WorkerSettings,
    pub(super) sessions: RefCell<HashMap<u64, Rc<Session>>>,
    feeds: Vec<Rc<Feed>>,
    wheel: RefCell<Wheel<u64>>,
    /// What this worker has counted and not told yet: a counter that all workers add to for each
    /// delivery goes back and forth between their processors.
    pub(super) delivered: LocalIntCounter,
    pub(super) sent_bytes: LocalIntCounter,
    /// Counts the rounds of distribution, all streams together.
    pub(super) rounds: Cell<u64>,
    now: Cell<Instant>,
    next_id: Cell<u64>,
}

impl Worker {
    /// A worker without connections. It must be made on the thread that runs it.
    pub fn new(settings: WorkerSettings) -> Rc<Self> {
        let now = clock::now();
        Rc::new(Self {
            feeds: settings.sources.iter().cloned().map(Feed::new).collect(),
            delivered: settings.metrics.delivered.local(),
            sent_bytes: settings.metrics.sent_bytes.local(),
            settings,
            sessions: RefCell::default(),
            wheel: RefCell::new(Wheel::new(now)),
            rounds: Cell::new(0),
            now: Cell::new(now),
            next_id: Cell::new(0),
        })
    }

    /// Takes a connection; what is returned serves it to its end. What it is refused for is told by
    /// closing it: a browser cannot read the status of a refused upgrade.
    pub fn serve(
        self: Rc<Self>,
        socket: Endpoint,
        profile: Profile,
        refusal: Option<Reason>,
    ) -> impl Future<Output = ()> {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        let session = Session::new(Rc::clone(&self), id, socket, profile);
        self.sessions.borrow_mut().insert(id, Rc::clone(&session));
        // Leaves the worker whatever happens, a panic included.
        let departure = Departure { worker: self, id };
        // It lives as long as the connection, and ten thousand of them do: it holds no more than it
        // must. As an `async fn` it would keep room for what it was given.
        async move {
            let serving = async {
                match refusal {
                    None => session.begin(),
                    Some(reason) => session.turn_away(reason),
                }
                Rc::clone(&session).run().await;
            };
            if AssertUnwindSafe(serving).catch_unwind().await.is_err() {
                session.fail();
                session.run().await;
            }
            drop(departure);
        }
    }

    /// Runs what is not a connection's own: distribution, timers, drain. Never returns.
    pub async fn run(self: Rc<Self>) {
        // It yields by itself. The runtime's budget ends after 128 writes, and then calls sockets
        // blocked that are not.
        let feeds = self.feeds.iter().map(|feed| unconstrained(self.run_distribution(feed)));
        let feeds = futures_util::future::join_all(feeds);
        // One task: a panic in any of them is the end of all.
        tokio::join!(Rc::clone(&self).run_timers(), Rc::clone(&self).run_drain(), feeds);
    }

    /// The time, at most one tick old.
    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }

    /// How much one subscription may hand to its socket now: less when many sockets are
    /// blocked, so that what waits for them stays bounded.
    pub(super) fn turn(&self) -> usize {
        let blocked = self.settings.blocked.load(Ordering::Relaxed);
        (BLOCKED_BUDGET.saturating_sub(blocked) / 64).clamp(TURN.0, TURN.1)
    }

    /// Tells what was counted.
    pub(super) fn tell_counts(&self) {
        self.delivered.flush();
        self.sent_bytes.flush();
    }

    /// Whether live events wait to be distributed.
    pub(super) fn is_distribution_due(&self) -> bool {
        self.feeds.iter().any(|feed| feed.source.window.read().head() > feed.cursor.get())
    }

    /// Looks at a session again at this time, or up to a turn of the wheel before it.
    pub(super) fn arm(&self, session: &Session, at: Instant) {
        let mut wheel = self.wheel.borrow_mut();
        let tick = wheel.tick_for(at);
        if tick < session.armed.get() {
            session.armed.set(tick);
            wheel.insert(tick, session.id);
        }
    }

    /// Counts bytes that wait for a client as long as the charge lives: what others may hand to
    /// their sockets sinks with them.
    pub fn charge(&self, bytes: usize) -> Charge {
        self.settings.blocked.fetch_add(bytes, Ordering::Relaxed);
        Charge { bytes, blocked: Arc::clone(&self.settings.blocked) }
    }

    /// The stream of a route.
    pub(super) fn feed(&self, number: usize) -> Option<&Rc<Feed>> {
        self.feeds.get(number)
    }

    pub(super) fn watch(&self, watch: &Rc<Watch>) {
        watch.feed.add(watch);
        self.settings.metrics.subscriptions.inc();
    }

    pub(super) fn unwatch(&self, watch: &Rc<Watch>) {
        if watch.feed.remove(watch) {
            self.settings.metrics.subscriptions.dec();
        }
    }

    async fn run_timers(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            self.now.set(clock::now());
            let mut due = Vec::new();
            self.wheel.borrow_mut().advance(self.now(), |tick, id| due.push((tick, id)));
            for (tick, id) in due {
                let session = self.sessions.borrow().get(&id).cloned();
                // An earlier look at the session has taken this one's place otherwise.
                if let Some(session) = session
                    && session.armed.get() == tick
                {
                    session.armed.set(u64::MAX);
                    session.on_time();
                }
            }
        }
    }

    /// Spreads the closing of the connections over the drain time.
    async fn run_drain(self: Rc<Self>) {
        let mut drain = self.settings.drain.clone();
        let Ok(spread) = drain
            .wait_for(|drain| drain.spread().is_some())
            .await
            .map(|drain| drain.spread().unwrap_or(Duration::ZERO))
        else {
            return;
        };
        let sessions: Vec<Rc<Session>> = self.sessions.borrow().values().cloned().collect();
        let now = clock::now();
        for session in sessions {
            session.close_at(now + spread.mul_f64(fastrand::f64()));
        }
    }
}

/// Bytes that wait for a client.
pub struct Charge {
    bytes: usize,
    blocked: Arc<AtomicUsize>,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.blocked.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

struct Departure {
    worker: Rc<Worker>,
    id: u64,
}

impl Drop for Departure {
    fn drop(&mut self) {
        let session = self.worker.sessions.borrow_mut().remove(&self.id);
        if let Some(session) = session {
            session.leave();
        }
    }
}
