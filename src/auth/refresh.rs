//! The task that fetches keys: now and then, and when a token names one that is not known.
//!
//! Whatever goes wrong, the keys there are stay; how long they count is decided in `keys`.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::jwks::{FetchError, KeySource};
use super::key::Key;
use super::keys::Fetched;
use super::metrics::AuthMetrics;

/// Longest time one fetch may take.
pub(super) const FETCH_TIME: Duration = Duration::from_secs(5);
/// Anybody can make up a key's id: only so often does that cause a fetch.
const BETWEEN_ASKS: Duration = Duration::from_secs(60);
/// Pause after the first fetch that failed; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause after a fetch that failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Fetches keys for as long as somebody uses them. One fetch is under way at a time.
#[must_use = "keys are fetched only while it runs"]
pub struct KeyRefresh<S> {
    source: S,
    interval: Duration,
    latest: watch::Sender<Fetched>,
    asks: mpsc::Receiver<()>,
    metrics: AuthMetrics,
    /// Pause before a failed fetch is tried again.
    pause: Duration,
}

impl<S: KeySource> KeyRefresh<S> {
    pub(super) fn new(
        source: S,
        interval: Duration,
        latest: watch::Sender<Fetched>,
        asks: mpsc::Receiver<()>,
        metrics: AuthMetrics,
    ) -> Self {
        Self { source, interval, latest, asks, metrics, pause: FIRST_PAUSE }
    }

    /// Fetches until nobody uses the keys any more.
    pub async fn run(mut self) {
        let mut next = match &self.latest.borrow().keys {
            Some((_, at)) => *at + self.interval,
            None => Instant::now(),
        };
        loop {
            let is_asked = tokio::select! {
                () = sleep_until(next) => false,
                asked = self.asks.recv() => match asked {
                    Some(()) => true,
                    None => return,
                },
            };
            // Who asks looks at this too, but may have looked just before the last fetch ended.
            if is_asked && Instant::now() < self.latest.borrow().may_ask_from {
                continue;
            }
            next = Instant::now() + self.fetch(is_asked).await;
            // Who asked meanwhile got this one.
            while self.asks.try_recv().is_ok() {}
        }
    }

    /// Fetches once and says when to do so again.
    async fn fetch(&mut self, is_asked: bool) -> Duration {
        let started = Instant::now();
        let outcome = timeout(FETCH_TIME, self.source.fetch()).await;
        let outcome = outcome.unwrap_or(Err(FetchError::TimedOut));
        self.tell(&outcome);
        let pause = match &outcome {
            Ok(_) => {
                self.pause = FIRST_PAUSE;
                self.interval
            }
            Err(_) => {
                let pause = self.pause;
                self.pause = (pause * 2).min(LONGEST_PAUSE);
                pause.min(self.interval)
            }
        };
        self.latest.send_modify(|latest| {
            latest.attempts += 1;
            if is_asked {
                latest.may_ask_from = started + BETWEEN_ASKS;
            }
            if let Ok(keys) = outcome {
                latest.keys = Some((keys.into(), Instant::now()));
            }
        });
        // Gateways that were started together need not ask together.
        pause.mul_f64(1.0 - 0.2 * fastrand::f64())
    }

    fn tell(&self, outcome: &Result<Vec<Key>, FetchError>) {
        match outcome {
            Ok(keys) => {
                self.metrics.fetched(keys.len());
                tracing::debug!(
                    keys = keys.len(),
                    "the keys that tokens are checked with are here"
                );
            }
            Err(error) => {
                self.metrics.fetch_failed(error.label());
                tracing::warn!(%error, "the keys that tokens are checked with cannot be fetched");
            }
        }
    }
}
