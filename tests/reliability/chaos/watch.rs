//! A watcher over all its connections: what it knows, what it writes down, when it comes back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::sleep;

use super::recorder::Recorder;
use super::{event_streams, payload, web_sockets};
use crate::history::What;

/// Bounds of the pause before a watcher comes back; the pause itself is random.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How a connection ended.
pub struct End {
    /// Close code; 1006 if there was none.
    pub code: u16,
    /// When the server wants us back.
    pub come_back_after: Option<Duration>,
}

impl End {
    /// Without a word.
    pub const BROKEN: Self = Self { code: 1006, come_back_after: None };
}

/// How a watcher is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `/ws/optimization`.
    WebSocket,
    /// Server-Sent Events, resumed by `Last-Event-ID`.
    EventStream,
}

/// Refusals by their code, of all watchers.
#[derive(Clone, Default)]
pub struct Refusals(Arc<Mutex<BTreeMap<String, usize>>>);

impl Refusals {
    fn count(&self, code: &str) {
        *self.0.lock().expect("counts").entry(code.to_owned()).or_default() += 1;
    }

    /// How often each code was told.
    pub fn told(&self) -> BTreeMap<String, usize> {
        self.0.lock().expect("counts").clone()
    }
}

/// Who watches what, and how far it has come.
pub struct Watch {
    /// The watcher's name.
    pub name: String,
    /// The job.
    pub job: String,
    /// The last event, or position, that it knows.
    pub last: u64,
    /// The stream that `last` belongs to.
    pub epoch: Option<String>,
    recorder: Recorder,
    refusals: Refusals,
    newest: watch::Sender<String>,
    /// Whether this connection has told something that moves it on.
    progressed: bool,
}

/// A watcher at work; it ends when this is dropped.
pub struct Watcher {
    /// The job.
    pub job: String,
    newest: watch::Receiver<String>,
    task: AbortHandle,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watcher {
    /// Begins after an event.
    pub fn start(
        name: String,
        job: &str,
        after: u64,
        (address, transport): (SocketAddr, Transport),
        (recorder, refusals): (&Recorder, &Refusals),
    ) -> Self {
        let (newest, seen) = watch::channel(String::new());
        let watch = Watch {
            name,
            job: job.into(),
            last: after,
            epoch: None,
            recorder: recorder.clone(),
            refusals: refusals.clone(),
            newest,
            progressed: false,
        };
        let task: JoinHandle<()> = tokio::spawn(watch.keep_watching(address, transport));
        Self { job: job.into(), newest: seen, task: task.abort_handle() }
    }

    /// Waits until the newest event it has seen is the one with this hash.
    pub async fn reached(&mut self, hash: &str) {
        let reached = self.newest.wait_for(|newest| newest == hash).await;
        reached.expect("the watcher is at work");
    }
}

impl Watch {
    async fn keep_watching(mut self, address: SocketAddr, transport: Transport) {
        let mut longest = BACK_OFF.0;
        loop {
            self.progressed = false;
            let end = match transport {
                Transport::WebSocket => web_sockets::visit(&mut self, address).await,
                Transport::EventStream => event_streams::visit(&mut self, address).await,
            };
            longest = if self.progressed { BACK_OFF.0 } else { (longest * 2).min(BACK_OFF.1) };
            let pause = end.and_then(|end| end.come_back_after);
            sleep(pause.unwrap_or_else(|| longest.mul_f64(fastrand::f64()))).await;
        }
    }

    /// It is about to subscribe.
    pub fn subscribes(&self) {
        let (watcher, job) = self.names();
        self.recorder.note(What::Subscribing { watcher, job, after: self.last });
    }

    /// It got an event, of the job that the message names.
    pub fn takes_event(&mut self, job: &str, event: &Value) {
        let id = event["id"].as_u64().unwrap_or_else(|| panic!("an event without an id: {event}"));
        let hash = payload::hash_of(event);
        let (watcher, job) = (self.name.clone(), job.to_owned());
        self.recorder.note(What::Delivered { watcher, job, id, hash: hash.clone() });
        self.last = self.last.max(id);
        self.newest.send_replace(hash);
        self.progressed = true;
    }

    /// It was told that everything up to here was sent.
    pub fn takes_position(&mut self, id: u64) {
        let (watcher, job) = self.names();
        self.recorder.note(What::Position { watcher, job, id });
        self.last = self.last.max(id);
        self.progressed = true;
    }

    /// It was told of an error. False: there is no subscription.
    pub fn takes_error(&mut self, error: &Value) -> bool {
        let (watcher, job) = self.names();
        match error["code"].as_str() {
            Some("HISTORY_TRUNCATED") => {
                let number = |field: &str| {
                    error[field].as_u64().unwrap_or_else(|| panic!("no {field} in {error}"))
                };
                let after = number("requestedAfter");
                let first_available = number("firstAvailable");
                self.recorder.note(What::Truncated { watcher, job, after, first_available });
                self.last = self.last.max(first_available.saturating_sub(1));
                true
            }
            Some("CURSOR_INVALID") => {
                self.recorder.note(What::CursorInvalid { watcher, job });
                self.last = 0;
                self.epoch = error["epoch"].as_str().map(str::to_owned);
                true
            }
            code => {
                self.refusals.count(code.unwrap_or("an error without a code"));
                false
            }
        }
    }

    /// Its connection ended.
    pub fn closed(&self, end: End) -> Option<End> {
        let watcher = self.name.clone();
        self.recorder.note(What::Closed { watcher, code: end.code });
        Some(end)
    }

    fn names(&self) -> (String, String) {
        (self.name.clone(), self.job.clone())
    }
}
