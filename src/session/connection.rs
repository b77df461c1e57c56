//! One connection: requests in, batches out, and a named end.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use foldhash::HashMap;

use super::clock;
use super::delivery::Asking;
use super::ending::Ending;
use super::endpoint::Endpoint;
use super::metrics::{SessionMetrics, SubscriptionEnd};
use super::refusals::Reason;
use super::socket::{Incoming, MAX_MESSAGE};
use super::watch::Watch;
use super::worker::Worker;
use crate::auth::Grant;
use crate::config::routes::{OnTokenExpiry, Route};
use crate::event::JobKey;
use crate::journal::{Incarnation, Question};
use crate::rate::Bucket;
use crate::traces::Parent;

/// Messages taken from a client before others get a turn.
const MESSAGES: usize = 32;
/// Rounds of a connection before others get a turn.
const ROUNDS: usize = 8;
/// How long a closed connection is kept to let the client read the close frame.
const LINGER: Duration = Duration::from_secs(2);

/// A connection ends so long after its token at the latest, whatever leeway the clocks of others
/// are given: the contract says within 5 s.
const EXPIRY_LEEWAY: Duration = Duration::from_secs(3);
/// No timer needs to reach further.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a connection's route says of it.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The route.
    pub route: Arc<Route>,
    /// The kind of jobs that are named without one.
    pub kind: Arc<str>,
    /// The job that the path names.
    pub job: Option<JobKey>,
    /// The last event that the client saw, where the request tells it.
    pub after: Option<u64>,
    /// The incarnation of the stream that this belongs to, where the request tells it.
    pub epoch: Option<Box<str>>,
    /// What the client's token allows; `None`: everything, nobody asks for tokens.
    pub grant: Option<Box<Grant>>,
    /// What the traces of its subscriptions belong to.
    pub trace: Parent,
    /// Every message is sent back, and means nothing.
    #[cfg(feature = "conformance")]
    pub echo: bool,
}

impl Profile {
    /// What a route says, of a client that says nothing more.
    pub fn of_route(route: &Arc<Route>) -> Self {
        Self {
            route: Arc::clone(route),
            kind: Arc::clone(&route.kind),
            job: None,
            after: None,
            epoch: None,
            grant: None,
            trace: Parent::default(),
            #[cfg(feature = "conformance")]
            echo: false,
        }
    }

    /// Bytes of a client's message at most.
    pub fn max_message(&self) -> usize {
        #[cfg(feature = "conformance")]
        if self.echo {
            return super::echo::MAX_MESSAGE;
        }
        MAX_MESSAGE
    }
}

/// See the module's text.
pub struct Session {
    pub(super) worker: Rc<Worker>,
    pub(super) id: u64,
    pub(super) profile: Profile,
    pub(super) state: RefCell<State>,
    /// The tick of the worker's wheel at which this session is looked at; `u64::MAX`: none.
    pub(super) armed: Cell<u64>,
    waker: RefCell<Waker>,
    /// The round of distribution that was last given way to.
    gave_way_to: Cell<u64>,
    /// When the last event came, for routes that close idle connections.
    pub(super) event_at: Cell<Instant>,
    /// When the next heartbeat message is due, on routes that have them.
    pub(super) heartbeat_at: Cell<Option<Instant>>,
    /// What the client may watch; `None`: everything.
    pub(super) grant: RefCell<Option<Box<Grant>>>,
    end_is_counted: Cell<bool>,
    /// When the connection must be closed because its token has expired.
    pub(super) expires_at: Cell<Option<Instant>>,
}

/// What changes while a connection lives.
pub(super) struct State {
    pub(super) socket: Endpoint,
    /// The socket did not take everything at the last write.
    pub(super) blocked: bool,
    pub(super) ending: Option<Ending>,
    pub(super) subscriptions: HashMap<JobKey, Rc<Watch>>,
    pub(super) ready: VecDeque<Rc<Watch>>,
    pub(super) asking: Option<Asking>,
    pub(super) askers: VecDeque<(Rc<Watch>, Incarnation, Question)>,
    /// The last byte in or out.
    pub(super) alive_at: Instant,
    /// While blocked: when the socket last took something.
    pub(super) accepted_at: Instant,
    pub(super) pinged_at: Option<Instant>,
    pub(super) close_at: Option<Instant>,
    /// What the client has sent of what it may send in a time.
    messages: Bucket,
    /// Bytes of ours that are counted as blocked.
    counted: usize,
}

impl Session {
    pub(super) fn new(worker: Rc<Worker>, id: u64, socket: Endpoint, profile: Profile) -> Rc<Self> {
        let now = clock::now();
        let heartbeat = profile.route.heartbeat;
        worker.settings.metrics.connection_opened(profile.route.dialect);
        let session = Rc::new(Self {
            id,
            profile,
            state: RefCell::new(State {
                socket,
                blocked: false,
                ending: None,
                subscriptions: HashMap::default(),
                ready: VecDeque::new(),
                asking: None,
                askers: VecDeque::new(),
                alive_at: now,
                accepted_at: now,
                pinged_at: None,
                close_at: None,
                messages: Bucket::default(),
                counted: 0,
            }),
            armed: Cell::new(u64::MAX),
            waker: RefCell::new(Waker::noop().clone()),
            gave_way_to: Cell::new(u64::MAX),
            event_at: Cell::new(now),
            heartbeat_at: Cell::new(heartbeat.map(|every| now + every)),
            grant: RefCell::new(None),
            end_is_counted: Cell::new(false),
            expires_at: Cell::new(None),
            worker,
        });
        if let Some(grant) = session.profile.grant.clone() {
            session.take_grant(grant);
        }
        let first_look = session.profile.route.idle_timeout.into_iter().chain(heartbeat);
        let first_look =
            first_look.fold(session.worker.settings.timing.ping_interval, Duration::min);
        session.worker.arm(&session, now + first_look);
        let spread = session.worker.settings.drain.borrow().spread();
        if let Some(spread) = spread {
            // Upgraded in the moment in which the process began to stop.
            session.close_at(now + spread.mul_f64(fastrand::f64()));
        }
        session
    }

    /// Takes what a token allows, in place of what an earlier one did.
    pub(super) fn take_grant(&self, grant: Box<Grant>) {
        if self.profile.route.on_token_expiry == OnTokenExpiry::Close {
            let until = grant.valid_until.min(grant.expires_at + EXPIRY_LEEWAY);
            let left = until.duration_since(SystemTime::now()).unwrap_or_default();
            let at = clock::now() + left.min(FAR);
            self.expires_at.set(Some(at));
            self.worker.arm(self, at);
        }
        *self.grant.borrow_mut() = Some(grant);
    }

    /// Whether the client may watch a job.
    pub(super) fn may_watch(&self, job: &JobKey) -> bool {
        self.grant.borrow().as_ref().is_none_or(|grant| grant.may_watch(job))
    }

    pub(super) fn metrics(&self) -> &SessionMetrics {
        &self.worker.settings.metrics
    }

    /// Serves the connection to its end.
    pub(super) async fn run(self: Rc<Self>) {
        let ending = std::future::poll_fn(|context| {
            let ending = self.poll(context);
            self.worker.tell_counts();
            ending
        });
        let ending = ending.await;
        tracing::debug!(session = self.id, ending = ending.label(), "connection ended");
        self.count_end(&ending);
        self.drop_subscriptions();
        match ending {
            Ending::Stuck => self.state.borrow_mut().socket.reset(),
            Ending::Lost => {}
            _ => self.linger().await,
        }
    }

    /// Counts how it ended, once.
    fn count_end(&self, ending: &Ending) {
        if !self.end_is_counted.replace(true) {
            self.metrics().connection_ended(self.profile.route.dialect, ending);
        }
    }

    pub(super) fn wake(&self) {
        self.waker.borrow().wake_by_ref();
    }

    /// Ends the connection at this time, with the hint that is then due.
    pub(super) fn close_at(&self, at: Instant) {
        self.state.borrow_mut().close_at = Some(at);
        self.worker.arm(self, at);
    }

    /// Writes what distribution has appended; what the socket does not take is left to the
    /// connection's own task.
    pub(super) fn write_in_place(&self) {
        let mut context = Context::from_waker(Waker::noop());
        if !matches!(self.flush(&mut context), Poll::Ready(Ok(()))) {
            self.wake();
        }
    }

    /// Takes the session out of the worker.
    pub(super) fn leave(&self) {
        self.drop_subscriptions();
        // It panicked a second time, if that was not counted before.
        self.count_end(&Ending::Failed);
        let counted = self.state.borrow().counted;
        self.worker.settings.blocked.fetch_sub(counted, Ordering::Relaxed);
        self.metrics().connections.dec();
    }

    fn drop_subscriptions(&self) {
        let jobs: Vec<JobKey> = self.state.borrow().subscriptions.keys().cloned().collect();
        for job in jobs {
            self.forget(&job, SubscriptionEnd::Connection);
        }
        let mut state = self.state.borrow_mut();
        state.ready.clear();
        state.askers.clear();
        state.asking = None;
    }

    fn poll(self: &Rc<Self>, context: &mut Context<'_>) -> Poll<Ending> {
        if !self.waker.borrow().will_wake(context.waker()) {
            *self.waker.borrow_mut() = context.waker().clone();
        }
        for _ in 0..ROUNDS {
            match self.flush(context) {
                Poll::Ready(Err(ending)) => return Poll::Ready(ending),
                Poll::Ready(Ok(())) => {
                    if let Some(ending) = self.state.borrow().ending.clone() {
                        return Poll::Ready(ending);
                    }
                }
                Poll::Pending => {
                    if self.state.borrow().ending == Some(Ending::Stuck) {
                        return Poll::Ready(Ending::Stuck);
                    }
                }
            }
            let mut busy = self.read(context);
            busy |= self.take_answer(context);
            if self.may_advance() {
                if self.gives_way() {
                    break;
                }
                busy |= self.advance();
            }
            // What was appended must be written before this task may sleep.
            busy |= self.has_news();
            if !busy {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether a subscription may hand something to the socket.
    fn may_advance(&self) -> bool {
        let state = self.state.borrow();
        !state.blocked && state.ending.is_none() && !state.ready.is_empty()
    }

    /// Whether live events of others go first. History that a thousand connections begin with at
    /// once would keep them waiting; once a round, so that history is read whatever is live.
    fn gives_way(&self) -> bool {
        let round = self.worker.rounds.get();
        let gives_way = self.gave_way_to.get() != round && self.worker.is_distribution_due();
        if gives_way {
            self.gave_way_to.set(round);
        }
        gives_way
    }

    /// Whether something can be done about the socket that was not tried yet.
    fn has_news(&self) -> bool {
        let state = self.state.borrow();
        !state.blocked && (state.socket.pending() > 0 || state.ending.is_some())
    }

    /// Reads and obeys; `true` if there may be more.
    fn read(self: &Rc<Self>, context: &mut Context<'_>) -> bool {
        for _ in 0..MESSAGES {
            let incoming = {
                let mut state = self.state.borrow_mut();
                if state.ending.is_some() || state.socket.is_full() {
                    return false;
                }
                match state.socket.poll_message(context) {
                    Poll::Pending => return false,
                    Poll::Ready(incoming) => {
                        self.note_life(&mut state);
                        incoming.and_then(|message| self.admit(&mut state, message))
                    }
                }
            };
            match incoming {
                #[cfg(feature = "conformance")]
                Ok(message) if self.profile.echo => self.echo(&message),
                Ok(Incoming::Text(text)) => self.hear(&text),
                Ok(Incoming::Binary(_)) => self.end(Ending::Binary),
                Ok(Incoming::Control) => {}
                Err(Ending::Refused(reason)) => self.turn_away(reason),
                Err(ending) => self.end(ending),
            }
        }
        true
    }

    /// Lets a message pass if the client does not send too many. Control frames count, too: a
    /// flood of pings is a flood.
    fn admit(&self, state: &mut State, message: Incoming) -> Result<Incoming, Ending> {
        let rate = self.worker.settings.message_rate;
        if rate.is_none_or(|rate| state.messages.take(rate, self.worker.now())) {
            Ok(message)
        } else {
            Err(Ending::Refused(Reason::MessageRate))
        }
    }

    fn note_life(&self, state: &mut State) {
        state.alive_at = self.worker.now();
        state.pinged_at = None;
    }

    /// Begins the end for a reason that is counted.
    pub(super) fn turn_away(&self, reason: Reason) {
        self.metrics().refusals.count(reason);
        self.end(Ending::Refused(reason));
    }

    /// Begins the end after a panic: of what it may have left half done nothing is used again.
    pub(super) fn fail(&self) {
        tracing::error!(session = self.id, "a connection's task panicked, and is closed");
        self.metrics().panics.inc();
        self.drop_subscriptions();
        self.end(Ending::Failed);
    }

    /// Begins the end: what is pending is still written, then the close frame, nothing more.
    pub(super) fn end(&self, ending: Ending) {
        let mut state = self.state.borrow_mut();
        if state.ending.is_some() {
            return;
        }
        if let Ending::Restart(wait) = &ending {
            state.socket.come_back_after(*wait);
            self.metrics().drained.inc();
        }
        if let Some(farewell) = ending.farewell() {
            state.socket.close(&farewell);
        }
        state.ending = Some(ending);
    }

    fn flush(&self, context: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        let mut state = self.state.borrow_mut();
        if state.socket.pending() == 0 && !state.blocked {
            return Poll::Ready(Ok(()));
        }
        let (accepted, written) = state.socket.poll_flush(context);
        if accepted > 0 {
            self.note_life(&mut state);
            state.accepted_at = self.worker.now();
            self.worker.sent_bytes.inc_by(accepted as u64);
        }
        let newly = written.is_pending() && !state.blocked;
        state.blocked = written.is_pending();
        if newly {
            // A page is never held for a socket that takes nothing: it is asked for again.
            for watch in &state.ready {
                watch.machine.borrow_mut().drop_page();
            }
            state.accepted_at = self.worker.now();
            let stuck_at = state.accepted_at + self.worker.settings.timing.stuck_timeout;
            self.worker.arm(self, stuck_at);
        }
        self.count_blocked(&mut state);
        written.map_err(|_| Ending::Lost)
    }

    fn count_blocked(&self, state: &mut State) {
        let blocked = if state.blocked { state.socket.pending() } else { 0 };
        let total = &self.worker.settings.blocked;
        if blocked >= state.counted {
            total.fetch_add(blocked - state.counted, Ordering::Relaxed);
        } else {
            total.fetch_sub(state.counted - blocked, Ordering::Relaxed);
        }
        state.counted = blocked;
    }

    /// Ends our side, and reads until the client has ended its own: closing a socket with
    /// unread bytes resets it, and the client might never see the close frame.
    async fn linger(&self) {
        let lingering = std::future::poll_fn(|context| {
            let mut state = self.state.borrow_mut();
            if state.socket.poll_shutdown(context).is_pending() {
                return Poll::Pending;
            }
            loop {
                match state.socket.poll_discard(context) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        // A client that goes on sending is cut.
        let _ = tokio::time::timeout(LINGER, lingering).await;
    }
}
