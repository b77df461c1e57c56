//! Many watchers on one thread: what receives. It must take little of the machine that it shares
//! with what it measures.
//!
//! Raw sockets, one buffer for all of them, no allocation for a message.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Socket, Type};
use tokio::time::{Instant, sleep};

use super::clock;
use super::connection::{BUFFER, Company, Connection, Ended, Look, Watch};
use super::conversation::{Conversation, Jobs, Words};
use super::tally::{Tally, histogram};

/// Connections from one address to another one, at most: the system has 28,232 ports for them.
const PORTS: usize = 28_000;
/// Pause between two looks at how far the crowd is.
const POLL: Duration = Duration::from_millis(10);
/// How long nothing may happen while the crowd connects.
const PATIENCE: Duration = Duration::from_secs(15);
const WAKE: Token = Token(usize::MAX);

/// Why a crowd could not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum CrowdError {
    /// The thread could not start.
    #[error("cannot receive: {0}")]
    Start(#[from] io::Error),
    /// A connection is over that should not be.
    #[error("a watcher lost its connection: {0}")]
    Lost(String),
    /// Connections did not come to stand.
    #[error("{ready} of {wanted} watchers stand, and no other within {PATIENCE:?}")]
    Slow {
        /// How many there are.
        ready: usize,
        /// How many there should be.
        wanted: usize,
    },
    /// The thread is gone.
    #[error("the receiving thread has ended")]
    Gone,
}

/// Where a crowd goes, and what it says there.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) conversation: Conversation,
    pub(super) jobs: Jobs,
}

enum Command {
    /// Connect these, so many at once.
    Connect(Vec<Watch>, usize),
    /// Close all, which should have got everything before these numbers of their jobs.
    Disconnect(Vec<u32>),
    /// Count what is missing before these numbers, and end.
    Finish(Vec<u32>),
}

/// What the thread tells while it works.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Watchers to whom events come.
    ready: AtomicUsize,
    /// Watchers that have everything they had missed.
    caught_up: AtomicUsize,
    /// Connections that are over and should not be.
    lost: AtomicUsize,
    /// Different events that came.
    delivered: AtomicU64,
    /// Events due from then on are timed.
    measured_from: AtomicU64,
    /// Watchers have caught up with this number.
    caught_up_with: AtomicU64,
    /// When the last of them were ready, and had caught up.
    last_ready: AtomicU64,
    last_caught_up: AtomicU64,
    /// Nanoseconds that the thread has computed.
    busy: AtomicU64,
    first_loss: Mutex<Option<String>>,
}

/// All that a crowd has counted.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The events.
    pub(super) tally: Tally,
    /// From beginning to connect to having everything that was missed, in nanoseconds.
    pub(super) catching_up: Histogram<u64>,
}

/// Watchers on a thread of their own. Dropping it ends them.
pub(super) struct Crowd {
    progress: Arc<Progress>,
    commands: mpsc::Sender<Command>,
    waker: Waker,
    thread: Option<JoinHandle<Outcome>>,
}

impl Crowd {
    /// Starts the thread; nobody is connected yet.
    ///
    /// # Errors
    /// [`CrowdError::Start`].
    pub(super) fn start(target: Target) -> Result<Self, CrowdError> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let (commands, inbox) = mpsc::channel();
        let progress = Arc::new(Progress::default());
        progress.measured_from.store(u64::MAX, Relaxed);
        progress.caught_up_with.store(u64::MAX, Relaxed);
        let receiving = Receiving::new(poll, target, inbox, Arc::clone(&progress));
        let thread =
            std::thread::Builder::new().name("receiving".into()).spawn(move || receiving.run())?;
        Ok(Self { progress, commands, waker, thread: Some(thread) })
    }

    /// Connects watchers, at most `at_once` of them under way.
    pub(super) fn connect(&self, watches: Vec<Watch>, at_once: usize) {
        self.command(Command::Connect(watches, at_once));
    }

    /// Closes all connections; `ends` are the numbers of the events, one for each job, before
    /// which they should have got everything.
    pub(super) fn disconnect(&self, ends: Vec<u32>) {
        self.command(Command::Disconnect(ends));
    }

    /// Waits until so many watchers get events.
    ///
    /// # Errors
    /// [`CrowdError::Lost`] and [`CrowdError::Slow`].
    pub(super) async fn ready(&self, wanted: usize) -> Result<(), CrowdError> {
        let (mut last, mut changed) = (0, Instant::now());
        loop {
            self.check()?;
            let ready = self.progress.ready.load(Relaxed);
            if ready >= wanted {
                return Ok(());
            }
            if ready != last {
                (last, changed) = (ready, Instant::now());
            } else if changed.elapsed() > PATIENCE {
                return Err(CrowdError::Slow { ready, wanted });
            }
            sleep(POLL).await;
        }
    }

    /// Waits until so many events have come in all, or none has for `patience`.
    pub(super) async fn delivered(&self, wanted: u64, patience: Duration) {
        let (mut last, mut changed) = (0, Instant::now());
        loop {
            let delivered = self.deliveries();
            if delivered >= wanted || (delivered == last && changed.elapsed() > patience) {
                return;
            }
            if delivered != last {
                (last, changed) = (delivered, Instant::now());
            }
            sleep(POLL).await;
        }
    }

    /// Different events that have come.
    pub(super) fn deliveries(&self) -> u64 {
        self.progress.delivered.load(Relaxed)
    }

    /// Watchers that have everything they had missed.
    pub(super) fn caught_up(&self) -> usize {
        self.progress.caught_up.load(Relaxed)
    }

    /// When the latest of those who are ready became so.
    pub(super) fn last_ready(&self) -> u64 {
        self.progress.last_ready.load(Relaxed)
    }

    /// When the latest of those who have caught up did so.
    pub(super) fn last_caught_up(&self) -> u64 {
        self.progress.last_caught_up.load(Relaxed)
    }

    /// Nanoseconds that the thread has computed.
    pub(super) fn busy(&self) -> u64 {
        self.progress.busy.load(Relaxed)
    }

    /// Times the events that are due from this moment on.
    pub(super) fn measure_from(&self, moment: u64) {
        self.progress.measured_from.store(moment, Relaxed);
    }

    /// Whoever has the event with this number has caught up.
    pub(super) fn caught_up_with(&self, number: u32) {
        self.progress.caught_up_with.store(u64::from(number), Relaxed);
    }

    /// Connections that are over and should not be.
    pub(super) fn lost(&self) -> usize {
        self.progress.lost.load(Relaxed)
    }

    /// Whether every connection still stands.
    ///
    /// # Errors
    /// [`CrowdError::Lost`] with what happened to the first one.
    pub(super) fn check(&self) -> Result<(), CrowdError> {
        if self.progress.lost.load(Relaxed) == 0 {
            return Ok(());
        }
        let first = self.progress.first_loss.lock().unwrap_or_else(PoisonError::into_inner);
        Err(CrowdError::Lost(first.clone().unwrap_or_default()))
    }

    /// Ends all connections and gives what they counted. What is missing before `ends`, one
    /// number for each job, is lost.
    ///
    /// # Errors
    /// [`CrowdError::Gone`] if the thread has failed.
    pub(super) fn finish(mut self, ends: Vec<u32>) -> Result<Outcome, CrowdError> {
        self.command(Command::Finish(ends));
        let thread = self.thread.take().ok_or(CrowdError::Gone)?;
        thread.join().map_err(|_| CrowdError::Gone)
    }

    fn command(&self, command: Command) {
        // A thread that is gone is noticed by whoever waits for it.
        let _ = self.commands.send(command);
        let _ = self.waker.wake();
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.command(Command::Finish(Vec::new()));
            let _ = thread.join();
        }
    }
}

/// The thread.
struct Receiving {
    poll: Poll,
    target: Target,
    inbox: mpsc::Receiver<Command>,
    progress: Arc<Progress>,
    connections: Vec<Option<Connection>>,
    waiting: VecDeque<Watch>,
    /// Connections on their way, at most, and now.
    at_once: usize,
    under_way: usize,
    ready: usize,
    caught_up: usize,
    unfinished: VecDeque<Token>,
    outcome: Outcome,
    buffer: Vec<u8>,
}

impl Receiving {
    fn new(
        poll: Poll,
        target: Target,
        inbox: mpsc::Receiver<Command>,
        progress: Arc<Progress>,
    ) -> Self {
        let outcome = Outcome { tally: Tally::new(), catching_up: histogram() };
        Self {
            poll,
            target,
            inbox,
            progress,
            connections: Vec::new(),
            waiting: VecDeque::new(),
            at_once: 1,
            under_way: 0,
            ready: 0,
            caught_up: 0,
            unfinished: VecDeque::new(),
            outcome,
            buffer: vec![0; BUFFER],
        }
    }

    fn run(mut self) -> Outcome {
        let mut events = Events::with_capacity(1_024);
        loop {
            let patience = if self.unfinished.is_empty() { None } else { Some(Duration::ZERO) };
            if let Err(error) = self.poll.poll(&mut events, patience)
                && error.kind() != io::ErrorKind::Interrupted
            {
                self.lose(&error.into());
                return self.outcome;
            }
            for _ in 0..self.unfinished.len() {
                if let Some(token) = self.unfinished.pop_front() {
                    self.look(token);
                }
            }
            let mut is_called = false;
            for event in &events {
                match event.token() {
                    WAKE => is_called = true,
                    token => self.look(token),
                }
            }
            if is_called && self.obey() {
                return self.outcome;
            }
            self.connect_waiting();
            self.tell();
        }
    }

    /// Does what it is told; whether that was to end.
    fn obey(&mut self) -> bool {
        while let Ok(command) = self.inbox.try_recv() {
            match command {
                Command::Connect(watches, at_once) => {
                    self.waiting.extend(watches);
                    self.at_once = at_once.max(1);
                }
                Command::Disconnect(ends) => self.disconnect(&ends),
                Command::Finish(ends) => {
                    self.disconnect(&ends);
                    return true;
                }
            }
        }
        false
    }

    fn disconnect(&mut self, ends: &[u32]) {
        for connection in self.connections.drain(..).flatten() {
            if let Some(end) = usize::try_from(connection.job()).ok().and_then(|job| ends.get(job))
            {
                self.outcome.tally.lost += connection.sequence().missing(*end);
            }
        }
        (self.ready, self.caught_up, self.under_way) = (0, 0, 0);
        self.unfinished.clear();
    }

    fn connect_waiting(&mut self) {
        while self.under_way < self.at_once {
            let Some(watch) = self.waiting.pop_front() else { return };
            if let Err(error) = self.connect(watch) {
                self.lose(&error.into());
            }
        }
    }

    fn connect(&mut self, watch: Watch) -> io::Result<()> {
        let Target { address, conversation, jobs } = &self.target;
        let words = Words { jobs, job: watch.job, after: watch.after };
        let request = conversation.request(&address.to_string(), words);
        let begun = clock::now();
        let place = self.connections.len();
        let stream = TcpStream::from_std(connect(*address, place)?.into());
        let mut connection = Connection::new(stream, watch, request, begun);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(connection.stream(), Token(place), interest)?;
        self.connections.push(Some(connection));
        self.under_way += 1;
        Ok(())
    }

    fn look(&mut self, token: Token) {
        let Some(Some(connection)) = self.connections.get_mut(token.0) else { return };
        let was_following = connection.is_following();
        let mut company = Company {
            conversation: &self.target.conversation,
            jobs: &self.target.jobs,
            tally: &mut self.outcome.tally,
            measured_from: self.progress.measured_from.load(Relaxed),
            buffer: &mut self.buffer,
        };
        let look = connection.look(&mut company);
        if !was_following && connection.is_following() {
            self.under_way -= 1;
            self.ready += 1;
            self.progress.last_ready.store(clock::now(), Relaxed);
        }
        let newest = u64::from(connection.sequence().next());
        if !connection.has_caught_up && newest > self.progress.caught_up_with.load(Relaxed) {
            connection.has_caught_up = true;
            self.caught_up += 1;
            let now = clock::now();
            self.progress.last_caught_up.store(now, Relaxed);
            self.outcome.catching_up.saturating_record(now.saturating_sub(connection.begun));
        }
        match look {
            Ok(Look::Drained) => {}
            Ok(Look::Unfinished) => self.unfinished.push_back(token),
            Err(ended) => {
                // It stays in its place: what it has not got is counted at the end.
                let _ = self.poll.registry().deregister(connection.stream());
                self.lose(&ended);
            }
        }
    }

    fn lose(&self, ended: &Ended) {
        let mut first = self.progress.first_loss.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| ended.to_string());
        self.progress.lost.fetch_add(1, Relaxed);
    }

    fn tell(&self) {
        self.progress.ready.store(self.ready, Relaxed);
        self.progress.caught_up.store(self.caught_up, Relaxed);
        self.progress.delivered.store(self.outcome.tally.delivered, Relaxed);
        self.progress.busy.store(clock::thread_time(), Relaxed);
    }
}

/// Begins to connect. More connections than one address has ports come from further ones.
fn connect(address: SocketAddr, place: usize) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    if place >= PORTS && address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        let host = u8::try_from(1 + place / PORTS).unwrap_or(u8::MAX);
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)).into())?;
    }
    match socket.connect(&address.into()) {
        Err(error)
            if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
        {
            Err(error)
        }
        _ => Ok(socket),
    }
}
