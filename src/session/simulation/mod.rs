//! Workers, sessions, window and subscriptions together, over a model of a stream and models of
//! sockets, with a clock that stands still while anybody has something to do. What happens is
//! decided by a seed, the order in which the tail's thread and the worker's take the window's lock
//! included; clients must have everything in the end, whatever they and the stream did.

mod client;
mod log;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use prometheus::Registry;
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::{Profile, SessionMetrics, Source, Worker, WorkerSettings};
use crate::config::Timing;
use crate::config::routes::Routes;
use crate::drain::Drain;
use crate::journal::tail::Follower;
use crate::window::{Window, interleaving};
use client::{Client, Profiles};
use log::{EPOCH, ModelLog, job};

const JOBS: usize = 4;
/// How long everything goes wrong, in the model's time.
const TROUBLE: Duration = Duration::from_secs(20);
/// How long what was missed may take to arrive when nothing goes wrong any more.
///
/// Shorter than any timer that would wake a connection that nobody else woke: a subscribe is looked
/// at after 9 s.
const PEACE: Duration = Duration::from_secs(8);

struct World {
    seed: u64,
    rng: fastrand::Rng,
    log: ModelLog,
    window: Window,
    worker: Rc<Worker>,
    profiles: Rc<Profiles>,
    _drain: watch::Sender<Drain>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let log = ModelLog::new(rng.u64(..), JOBS);
        for _ in 0..rng.usize(0..400) {
            log.append();
        }
        let window = Window::with_segments(4_000 + rng.usize(0..40_000), 500 + rng.usize(0..4_000));
        let floor = rng.u64(0..=20);
        window.begin(EPOCH, floor.min(log.ids_of(0, 0).last().copied().unwrap_or(0)));
        let (drain, draining) = watch::channel(Drain::default());
        let source = Source { window: window.clone(), history: Arc::new(log.clone()) };
        let settings = WorkerSettings {
            sources: vec![source],
            verifier: None,
            timing: Timing {
                ping_interval: Duration::from_secs(25),
                pong_timeout: Duration::from_secs(10),
                stuck_timeout: Duration::from_secs(30),
                drain: Duration::from_secs(1),
            },
            max_subscriptions: 100,
            message_rate: None,
            metrics: SessionMetrics::register(&Registry::new()).expect("metrics"),
            drain: draining,
            // Where many sockets are blocked elsewhere, turns are small.
            blocked: Arc::new(AtomicUsize::new(if rng.bool() { 1 << 30 } else { 0 })),
        };
        let worker = Worker::new(settings);
        Self { seed, rng, log, window, worker, profiles: Rc::new(profiles()), _drain: drain }
    }

    /// Another thread in the middle of the worker's work: before any of its looks at the window
    /// events may come, be seen by the tail, or be gone.
    fn interleave_tail(&mut self) {
        let (log, window) = (self.log.clone(), self.window.clone());
        let mut rng = fastrand::Rng::with_seed(self.rng.u64(..));
        let trims = self.rng.u8(0..3) == 0;
        interleaving::set(Some(Box::new(move || {
            if log.is_calm() || rng.u8(0..16) > 0 {
                return;
            }
            for _ in 0..rng.usize(0..4) {
                log.append();
            }
            if trims && rng.u8(0..16) == 0 {
                log.trim(rng.u64(0..10));
            }
            log.feed(&window, rng.usize(0..10));
        })));
    }

    async fn run(mut self) -> Happened {
        if self.rng.bool() {
            self.interleave_tail();
        }
        tokio::task::spawn_local(Rc::clone(&self.worker).run());
        let number = self.rng.usize(2..6);
        let clients: Vec<Rc<Client>> = (0..number)
            .map(|number| {
                let name = format!("client {number} of seed {}", self.seed);
                Client::new(name, fastrand::Rng::with_seed(self.rng.u64(..)), JOBS)
            })
            .collect();
        let (calm, calms) = watch::channel(false);
        for client in &clients {
            let (client, worker) = (Rc::clone(client), Rc::clone(&self.worker));
            let (profiles, mut calms) = (Rc::clone(&self.profiles), calms.clone());
            tokio::task::spawn_local(async move {
                loop {
                    let is_calm = *calms.borrow();
                    tokio::select! {
                        () = client.connect(&worker, &profiles, is_calm) => {}
                        _ = calms.changed(), if !is_calm => {}
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
        self.make_trouble().await;
        self.log.become_calm();
        calm.send_replace(true);
        self.make_peace(&clients).await;
        assert_eq!(self.worker.settings.metrics.panics.get(), 0, "seed {}", self.seed);
        let seen = |of: fn(&client::Seen) -> usize| {
            let clients = clients.iter();
            clients.map(|client| client.seen.borrow().values().map(of).sum::<usize>()).sum()
        };
        Happened {
            connections: clients.iter().map(|client| client.connections.get()).sum(),
            events: seen(|seen| seen.ids.len()),
            gaps: seen(|seen| seen.gaps.len()),
            pages: self.log.pages(),
        }
    }

    /// Events come in bursts, the tail lags, retention takes what is old.
    async fn make_trouble(&mut self) {
        let ends = tokio::time::Instant::now() + TROUBLE;
        let trims = self.rng.u8(0..3) == 0;
        while tokio::time::Instant::now() < ends {
            tokio::time::sleep(Duration::from_millis(self.rng.u64(0..300))).await;
            for _ in 0..self.rng.usize(0..6) {
                self.log.append();
            }
            if self.rng.u8(0..4) > 0 {
                self.log.feed(&self.window, self.rng.usize(0..40));
            }
            if trims && self.rng.u8(0..8) == 0 {
                self.log.trim(self.rng.u64(0..60));
            }
        }
    }

    async fn make_peace(&self, clients: &[Rc<Client>]) {
        // The last event of each job is one that nobody can have seen before.
        for _ in 0..JOBS * 10 {
            self.log.append();
        }
        let ends = tokio::time::Instant::now() + PEACE;
        loop {
            self.log.feed(&self.window, 1_000);
            tokio::time::sleep(Duration::from_millis(100)).await;
            let missing = clients.iter().find_map(|client| self.missing(client));
            let Some(missing) = missing else { return };
            assert!(tokio::time::Instant::now() < ends, "seed {}: {missing}", self.seed);
        }
    }

    /// What a client should have and has not.
    fn missing(&self, client: &Client) -> Option<String> {
        let seen = client.seen.borrow();
        client.jobs.iter().find_map(|number| {
            let seen = &seen[number];
            let stored = self.log.ids_of(*number, 0);
            let is_told =
                |id: u64| seen.gaps.iter().any(|(after, first)| *after < id && id < *first);
            let lost = stored.iter().find(|id| !seen.ids.contains(id) && !is_told(**id))?;
            Some(format!("{} has no {lost} of {}, but {:?}", client.name, job(*number), seen.ids))
        })
    }
}

fn profiles() -> Profiles {
    let routes = Routes::resolve(Vec::new(), true, "JOBS", Duration::from_secs(2));
    let routes = routes.expect("the built-in routes");
    let profile = |route: &Arc<crate::config::routes::Route>| Profile {
        route: Arc::clone(route),
        kind: Arc::clone(&route.kind),
        job: None,
        after: None,
        epoch: None,
        grant: None,
        trace: Default::default(),
    };
    let optimization =
        routes.routes.iter().find(|route| route.path.matches("/ws/optimization").is_some());
    Profiles {
        optimization: profile(optimization.expect("the route")),
        events: profile(routes.events_of(&job(0)).expect("the route")),
    }
}

/// What happened in many worlds.
#[derive(Debug, Default)]
struct Happened {
    connections: usize,
    events: usize,
    gaps: usize,
    pages: usize,
}

fn run(seeds: std::ops::Range<u64>) {
    let worlds = usize::try_from(seeds.end - seeds.start).expect("a number of worlds");
    let mut all = Happened::default();
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let happened = LocalSet::new().block_on(&runtime, World::new(seed).run());
        interleaving::set(None);
        all.connections += happened.connections;
        all.events += happened.events;
        all.gaps += happened.gaps;
        all.pages += happened.pages;
    }
    // Worlds in which nothing happens prove nothing.
    assert!(all.connections > 20 * worlds && all.events > 200 * worlds, "{all:?}");
    assert!(all.pages > 20 * worlds && all.gaps > worlds / 10, "{all:?}");
}

/// Worlds in all tests together; `JOBWIRE_SIMULATED_WORLDS` asks for more.
fn worlds() -> u64 {
    let asked = std::env::var("JOBWIRE_SIMULATED_WORLDS").ok();
    asked.map_or(500, |asked| asked.parse().expect("a number in JOBWIRE_SIMULATED_WORLDS"))
}

#[test]
fn every_client_has_everything_once_and_in_order_in_the_first_half_of_the_worlds() {
    run(0..worlds() / 2);
}

#[test]
fn every_client_has_everything_once_and_in_order_in_the_second_half_of_the_worlds() {
    run(worlds() / 2..worlds());
}
