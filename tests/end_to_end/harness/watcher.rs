//! A client as there are in the field: it remembers where it was and comes back.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::client::{Client, events_in, id_of, subscribe_request};
use super::publisher::Published;
use super::within_time;

/// How long a watcher may lag behind once nothing disturbs it any more.
const CATCHING_UP: Duration = Duration::from_secs(60);

/// Whom a watcher watches, and how.
#[derive(Clone, Debug)]
pub struct WatchPlan {
    /// Gateways, taken in turn from one connection to the next.
    pub gateways: Vec<SocketAddr>,
    /// The job.
    pub job: String,
    /// Pause before it comes back.
    pub delay: Duration,
    /// It leaves by itself after at most so many events, at random by this seed.
    pub leaves_after: Option<(u64, u64)>,
}

impl WatchPlan {
    /// One gateway, a short pause, and staying as long as one can.
    pub fn new(job: &str, gateway: SocketAddr) -> Self {
        let delay = Duration::from_millis(20);
        Self { gateways: vec![gateway], job: job.into(), delay, leaves_after: None }
    }
}

/// What a watcher saw over all its connections.
#[derive(Debug, Default)]
pub struct Record {
    /// Every event, in the order of its coming.
    pub events: Vec<Published>,
    /// Errors it was told, and ids that did not increase.
    pub problems: Vec<String>,
    /// Connections that were subscribed.
    pub connections: usize,
}

/// A watcher at work.
pub struct Watcher {
    stop: watch::Sender<bool>,
    position: watch::Receiver<u64>,
    connections: watch::Receiver<usize>,
    task: JoinHandle<Record>,
}

impl Watcher {
    /// Begins with everything there is.
    pub fn start(plan: WatchPlan) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (announce, position) = watch::channel(0);
        let (count, connections) = watch::channel(0);
        let task = tokio::spawn(Watch::new(plan, announce, count).run(stopped));
        Self { stop, position, connections, task }
    }

    /// Waits until it has been subscribed so many times.
    pub async fn connected(&mut self, times: usize) {
        let often = self.connections.wait_for(|connections| *connections >= times);
        let connected = within_time(CATCHING_UP, "the watcher comes back", often).await;
        connected.expect("the watcher is at work");
    }

    /// Waits until it has seen this event or a newer one.
    pub async fn reached(&mut self, id: u64) {
        let newer = self.position.wait_for(|position| *position >= id);
        let reached = within_time(CATCHING_UP, "the watcher catches up", newer).await;
        reached.expect("the watcher is at work");
    }

    /// Stops and tells everything it saw.
    pub async fn finish(self) -> Record {
        self.stop.send_replace(true);
        self.task.await.expect("a watcher without a panic")
    }
}

struct Watch {
    plan: WatchPlan,
    announce: watch::Sender<u64>,
    count: watch::Sender<usize>,
    random: fastrand::Rng,
    last: u64,
    record: Record,
}

impl Watch {
    fn new(plan: WatchPlan, announce: watch::Sender<u64>, count: watch::Sender<usize>) -> Self {
        let seed = plan.leaves_after.map_or(0, |(_, seed)| seed);
        let random = fastrand::Rng::with_seed(seed);
        Self { plan, announce, count, random, last: 0, record: Record::default() }
    }

    async fn run(mut self, mut stopped: watch::Receiver<bool>) -> Record {
        for turn in 0.. {
            let gateway = self.plan.gateways[turn % self.plan.gateways.len()];
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => break,
                () = self.watch_once(gateway) => {}
            }
            tokio::time::sleep(self.plan.delay).await;
        }
        self.record
    }

    /// One connection, from its opening until one of the two sides ends it.
    async fn watch_once(&mut self, gateway: SocketAddr) {
        let Ok(mut client) = Client::try_connect(gateway).await else { return };
        let request = subscribe_request(&self.plan.job, Some(self.last));
        if client.try_send(&request).await.is_err() {
            return;
        }
        let mut leaves_after = match self.plan.leaves_after {
            Some((most, _)) => self.random.u64(1..=most),
            None => u64::MAX,
        };
        while let Ok(message) = client.read().await {
            let taken = self.take(&message);
            leaves_after = leaves_after.saturating_sub(taken);
            if leaves_after == 0 {
                return;
            }
        }
    }

    fn take(&mut self, message: &Value) -> u64 {
        match message["type"].as_str() {
            Some("subscribed") => {
                self.record.connections += 1;
                self.count.send_replace(self.record.connections);
            }
            Some("event" | "replay") => {}
            _ => self.record.problems.push(message.to_string()),
        }
        let events = events_in(message);
        for event in &events {
            self.take_event(event);
        }
        events.len() as u64
    }

    fn take_event(&mut self, event: &Value) {
        let id = id_of(event);
        if id <= self.last {
            self.record.problems.push(format!("{id} came after {}", self.last));
        }
        let number = event["data"]["number"].as_u64().unwrap_or(u64::MAX);
        self.record.events.push(Published { id, number });
        self.last = id;
        self.announce.send_replace(id);
    }
}

/// Asserts that watchers saw exactly what was published: each event once, in order.
pub fn assert_saw_everything_once(record: &Record, published: &[Published]) {
    assert_eq!(record.problems, [""; 0], "nothing but events was told");
    let difference = record.events.iter().zip(published).find(|(seen, there)| seen != there);
    assert_eq!(difference, None, "first difference between what was seen and what was published");
    assert_eq!(record.events.len(), published.len(), "every event was seen once");
}
