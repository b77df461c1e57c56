//! The keys in force: those of the configuration, and those that were fetched last.
//!
//! Reading them never waits. Fetching goes on in a task of its own, which is in `refresh`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::jwks::KeySource;
use super::key::Key;
use super::metrics::AuthMetrics;
use super::refresh::{FETCH_TIME, KeyRefresh};

/// When keys are fetched, and how long those that were fetched count.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// How often they are fetched.
    pub refresh: Duration,
    /// How long they count after the last fetch that succeeded.
    pub max_age: Duration,
}

/// The keys in force. Cheap to clone; every clone sees a new set at once.
#[derive(Clone)]
pub struct Keys {
    configured: Arc<[Key]>,
    fetching: Option<Fetching>,
}

/// The way to the task that fetches.
#[derive(Clone)]
struct Fetching {
    latest: watch::Receiver<Fetched>,
    asks: mpsc::Sender<()>,
    max_age: Duration,
}

/// The outcome of every fetch so far.
pub(super) struct Fetched {
    /// The keys of the last fetch that succeeded, and when that was.
    pub keys: Option<(Arc<[Key]>, Instant)>,
    /// Fetches that have ended, either way.
    pub attempts: u64,
    /// Before this nobody need ask for another.
    pub may_ask_from: Instant,
}

impl Keys {
    /// Keys that never change.
    pub fn fixed(configured: Vec<Key>) -> Self {
        Self { configured: configured.into(), fetching: None }
    }

    /// Keys of the configuration and keys that are fetched; `initial` counts as fetched now. The
    /// second value is the task that fetches; it ends when the last clone of the first is gone.
    pub fn fetched<S: KeySource>(
        configured: Vec<Key>,
        initial: Option<Vec<Key>>,
        source: S,
        schedule: Schedule,
        metrics: AuthMetrics,
    ) -> (Self, KeyRefresh<S>) {
        let now = Instant::now();
        if let Some(keys) = &initial {
            metrics.fetched(keys.len());
        }
        let keys = initial.map(|keys| (keys.into(), now));
        let (sender, latest) = watch::channel(Fetched { keys, attempts: 0, may_ask_from: now });
        // One place: any number of asks are one.
        let (asks, asked) = mpsc::channel(1);
        let fetching = Fetching { latest, asks, max_age: schedule.max_age };
        let keys = Self { configured: configured.into(), fetching: Some(fetching) };
        (keys, KeyRefresh::new(source, schedule.refresh, sender, asked, metrics))
    }

    /// The keys of this moment. A fetched set that is too old is not among them.
    pub(super) fn current(&self) -> CurrentKeys {
        let configured = Arc::clone(&self.configured);
        let Some(fetching) = &self.fetching else {
            return CurrentKeys { configured, fetched: None, is_complete: true };
        };
        let latest = fetching.latest.borrow();
        let young = latest.keys.as_ref().filter(|(_, at)| at.elapsed() < fetching.max_age);
        let fetched = young.map(|(keys, _)| Arc::clone(keys));
        CurrentKeys { configured, is_complete: fetched.is_some(), fetched }
    }

    /// Whether every key there should be is here: false before the first fetch has succeeded, and
    /// when the last one that did is too long ago.
    pub fn are_complete(&self) -> bool {
        self.current().is_complete
    }

    /// Asks for a fetch and does not wait for it. Asking often makes no fetch more.
    pub(super) fn ask(&self) {
        if let Some(fetching) = self.fetching.as_ref().filter(|fetching| fetching.may_be_asked()) {
            // Full means that somebody has asked just now.
            let _ = fetching.asks.try_send(());
        }
    }

    /// Asks for a fetch and waits until one has ended; false if none was to be had, as there is
    /// nothing to fetch or it was tried less than a minute ago.
    pub(super) async fn refreshed(&self) -> bool {
        let Some(fetching) = &self.fetching else { return false };
        let mut latest = fetching.latest.clone();
        let before = {
            let seen = latest.borrow();
            if Instant::now() < seen.may_ask_from {
                return false;
            }
            seen.attempts
        };
        let _ = fetching.asks.try_send(());
        let ended = latest.wait_for(|latest| latest.attempts > before);
        // The task may be ended, or never have been started: a client does not wait for that.
        matches!(tokio::time::timeout(FETCH_TIME, ended).await, Ok(Ok(_)))
    }
}

impl Fetching {
    fn may_be_asked(&self) -> bool {
        Instant::now() >= self.latest.borrow().may_ask_from
    }
}

/// The keys of one moment.
pub(super) struct CurrentKeys {
    configured: Arc<[Key]>,
    fetched: Option<Arc<[Key]>>,
    /// Whether keys that should have been fetched are there.
    pub is_complete: bool,
}

impl CurrentKeys {
    /// The keys that a token names. One that names none means those without an id.
    pub fn named<'a>(&'a self, id: Option<&'a str>) -> impl Iterator<Item = &'a Key> {
        let fetched = self.fetched.iter().flat_map(|keys| keys.iter());
        self.configured.iter().chain(fetched).filter(move |key| key.id() == id)
    }
}
