//! When keys are fetched and how long they count, with a source of our own and a clock that is
//! turned by hand. Fetching over HTTP is in `rotation`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jsonwebtoken::Algorithm;
use tokio::time::{advance, sleep};

use super::issuer::*;
use crate::auth::jwks::{FetchError, KeySource};
use crate::auth::key::{Key, KeySetError};
use crate::auth::keys::{Fetched, Schedule};
use crate::auth::{AuthMetrics, KeyRefresh, Keys, TokenRefusal, Verifier};

const MINUTE: Duration = Duration::from_secs(60);

/// Keys that a test changes; `None`: the issuer is away.
#[derive(Clone, Default)]
struct Source {
    keys: Arc<Mutex<Option<Vec<Key>>>>,
    fetches: Arc<AtomicUsize>,
    /// How long a fetch takes.
    time: Arc<Mutex<Duration>>,
}

impl KeySource for Source {
    async fn fetch(&self) -> Result<Vec<Key>, FetchError> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let time = *self.time.lock().expect("a lock");
        sleep(time).await;
        self.keys.lock().expect("a lock").clone().ok_or(FetchError::Set(KeySetError::Malformed))
    }
}

impl Source {
    fn with(ids: &[&str]) -> Self {
        let source = Self::default();
        source.put(ids);
        source
    }

    fn put(&self, ids: &[&str]) {
        let keys = ids.iter().map(|id| TRUSTED.p256.key(Algorithm::ES256, Some(id))).collect();
        *self.keys.lock().expect("a lock") = Some(keys);
    }

    fn go_away(&self) {
        *self.keys.lock().expect("a lock") = None;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }

    /// A gateway with these keys, fetched every 15 minutes and good for an hour.
    fn gateway(&self, configured: Vec<Key>) -> (Verifier, AuthMetrics) {
        let metrics = AuthMetrics::of_a_test();
        let schedule = Schedule { refresh: 15 * MINUTE, max_age: 60 * MINUTE };
        let (keys, refresh) =
            Keys::fetched(configured, None, self.clone(), schedule, metrics.clone());
        tokio::spawn(refresh.run());
        (Verifier::with_keys(keys, policy(), metrics.clone()), metrics)
    }
}

/// A token that names a key; every key is the same but for its name.
fn token(id: &str) -> String {
    let header = format!(r#"{{"alg":"ES256","kid":"{id}"}}"#);
    TRUSTED.p256.token(Algorithm::ES256, &header, &good_claims().to_string())
}

async fn authenticate(gateway: &Verifier, id: &str) -> Result<(), TokenRefusal> {
    let query = format!("token={}", token(id));
    let headers = hyper::HeaderMap::new();
    gateway.authenticate(&headers, Some(&query), true, at(NOW)).await.map(|_| ())
}

/// Lets the other tasks do what they can at this moment.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_at_the_start_and_then_every_interval() {
    let source = Source::with(&["a"]);
    let (gateway, metrics) = source.gateway(Vec::new());
    assert!(!gateway.is_ready());
    settle().await;
    assert!(gateway.is_ready());
    assert_eq!((source.fetches(), metrics.fetches("fetched")), (1, 1));
    advance(11 * MINUTE).await;
    settle().await;
    assert_eq!(source.fetches(), 1);
    advance(4 * MINUTE).await;
    settle().await;
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn before_the_first_fetch_tokens_cannot_be_checked_but_those_of_configured_keys_can() {
    let source = Source::default();
    let configured = vec![TRUSTED.p256.key(Algorithm::ES256, Some("given"))];
    let (gateway, _) = source.gateway(configured);
    settle().await;
    assert_eq!(gateway.verify(&token("a"), at(NOW)), Err(TokenRefusal::KeysUnavailable));
    assert!(gateway.verify(&token("given"), at(NOW)).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let source = Source::with(&["a"]);
    let (gateway, _) = source.gateway(Vec::new());
    settle().await;
    source.put(&["b"]);
    assert_eq!(authenticate(&gateway, "a").await, Ok(()));
    assert_eq!(source.fetches(), 1, "a known key needs no fetch");
    assert_eq!(authenticate(&gateway, "b").await, Ok(()));
    assert_eq!(source.fetches(), 2);
    assert_eq!(authenticate(&gateway, "a").await, Err(TokenRefusal::UnknownKey), "revoked");
}

#[tokio::test(start_paused = true)]
async fn unknown_keys_cause_one_fetch_a_minute_however_many_they_are() {
    let source = Source::with(&["a"]);
    let (gateway, metrics) = source.gateway(Vec::new());
    settle().await;
    for number in 0..100 {
        let id = format!("unknown-{number}");
        assert_eq!(authenticate(&gateway, &id).await, Err(TokenRefusal::UnknownKey));
        assert_eq!(gateway.verify(&token(&id), at(NOW)), Err(TokenRefusal::UnknownKey));
    }
    settle().await;
    assert_eq!(source.fetches(), 2);
    assert_eq!(metrics.tokens("unknown_key"), 200);
    advance(MINUTE).await;
    assert_eq!(authenticate(&gateway, "unknown").await, Err(TokenRefusal::UnknownKey));
    assert_eq!(authenticate(&gateway, "unknown").await, Err(TokenRefusal::UnknownKey));
    assert_eq!(source.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn many_who_wait_for_a_new_key_share_one_fetch() {
    let source = Source::with(&["a"]);
    let (gateway, _) = source.gateway(Vec::new());
    settle().await;
    *source.time.lock().expect("a lock") = Duration::from_secs(2);
    source.put(&["a", "b"]);
    let waiting = (0..50).map(|_| {
        let gateway = gateway.clone();
        tokio::spawn(async move { authenticate(&gateway, "b").await })
    });
    for outcome in waiting.collect::<Vec<_>>() {
        assert_eq!(outcome.await.expect("a task"), Ok(()));
    }
    settle().await;
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_asks_while_keys_are_fetched_anyway_gets_those() {
    let source = Source::with(&["a"]);
    let (gateway, _) = source.gateway(Vec::new());
    settle().await;
    *source.time.lock().expect("a lock") = Duration::from_secs(2);
    source.put(&["a", "b"]);
    while source.fetches() < 2 {
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(authenticate(&gateway, "b").await, Ok(()));
    sleep(MINUTE).await;
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn asks_that_come_too_soon_are_passed_over_by_the_task_itself() {
    let now = tokio::time::Instant::now();
    let keys = Some((Vec::new().into(), now));
    let fetched = Fetched { keys, attempts: 0, may_ask_from: now };
    let (sender, _receiver) = tokio::sync::watch::channel(fetched);
    let (asks, asked) = tokio::sync::mpsc::channel(1);
    let source = Source::with(&["a"]);
    let metrics = AuthMetrics::of_a_test();
    let refresh = KeyRefresh::new(source.clone(), 15 * MINUTE, sender, asked, metrics);
    tokio::spawn(refresh.run());
    for _ in 0..50 {
        asks.send(()).await.expect("the task");
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn verify_does_not_wait_but_the_key_is_there_soon_after() {
    let source = Source::with(&["a"]);
    let (gateway, _) = source.gateway(Vec::new());
    settle().await;
    source.put(&["a", "b"]);
    assert_eq!(gateway.verify(&token("b"), at(NOW)), Err(TokenRefusal::UnknownKey));
    settle().await;
    assert!(gateway.verify(&token("b"), at(NOW)).is_ok());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_a_fetch_may_take() {
    let source = Source::with(&["a"]);
    let (gateway, metrics) = source.gateway(Vec::new());
    settle().await;
    *source.time.lock().expect("a lock") = Duration::from_secs(3_600);
    let begin = tokio::time::Instant::now();
    assert_eq!(authenticate(&gateway, "b").await, Err(TokenRefusal::UnknownKey));
    assert!(begin.elapsed() <= Duration::from_secs(5), "{:?}", begin.elapsed());
    settle().await;
    assert_eq!(metrics.fetches("timed_out"), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_when_the_task_is_gone() {
    let schedule = Schedule { refresh: 15 * MINUTE, max_age: 60 * MINUTE };
    let keys = vec![TRUSTED.p256.key(Algorithm::ES256, Some("a"))];
    let metrics = AuthMetrics::of_a_test();
    let (keys, refresh) =
        Keys::fetched(Vec::new(), Some(keys), Source::default(), schedule, metrics.clone());
    drop(refresh);
    let gateway = Verifier::with_keys(keys, policy(), metrics);
    let begin = tokio::time::Instant::now();
    assert_eq!(authenticate(&gateway, "b").await, Err(TokenRefusal::UnknownKey));
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn when_the_issuer_is_away_its_keys_stay_until_they_are_too_old() {
    let source = Source::with(&["a"]);
    let (gateway, metrics) = source.gateway(Vec::new());
    settle().await;
    source.go_away();
    for _ in 0..59 {
        advance(MINUTE).await;
        settle().await;
        assert!(gateway.verify(&token("a"), at(NOW)).is_ok());
    }
    assert!(metrics.fetches("set") > 10, "it is tried again and again");
    advance(MINUTE).await;
    settle().await;
    assert_eq!(gateway.verify(&token("a"), at(NOW)), Err(TokenRefusal::KeysUnavailable));
    assert!(!gateway.is_ready());
    source.put(&["a"]);
    advance(MINUTE).await;
    settle().await;
    assert!(gateway.verify(&token("a"), at(NOW)).is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_away_is_not_asked_without_pause() {
    let source = Source::default();
    let (_gateway, _) = source.gateway(Vec::new());
    sleep(10 * MINUTE).await;
    let fetches = source.fetches();
    assert!((10..=25).contains(&fetches), "{fetches} fetches in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_last_verifier() {
    let schedule = Schedule { refresh: 15 * MINUTE, max_age: 60 * MINUTE };
    let source = Source::with(&["a"]);
    let (keys, refresh) =
        Keys::fetched(Vec::new(), None, source, schedule, AuthMetrics::of_a_test());
    let task = tokio::spawn(refresh.run());
    settle().await;
    assert!(!task.is_finished());
    drop(keys);
    settle().await;
    assert!(task.is_finished());
}
