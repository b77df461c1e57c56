//! What authentication counts. Labels are fixed words, never anything from a token.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

use super::jwks::FetchError;
use super::refusal::TokenRefusal;
use crate::families::counter_by;

/// The families of tokens and keys.
#[derive(Clone)]
pub struct AuthMetrics {
    tokens: IntCounterVec,
    malformed_patterns: IntCounter,
    fetches: IntCounterVec,
    keys: IntGauge,
    fetched_at: IntGauge,
    pattern_was_told: Arc<AtomicBool>,
}

impl AuthMetrics {
    /// Registers the families.
    ///
    /// # Errors
    /// A family is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let family = |name: &str, help: &str, outcomes: Vec<&str>| {
            counter_by(registry, name, help, &[("outcome", outcomes)])
        };
        let refusals = TokenRefusal::ALL.map(TokenRefusal::label);
        Ok(Self {
            tokens: family(
                "jobwire_auth_tokens_total",
                "Tokens that were checked, by outcome.",
                [["accepted"].as_slice(), &refusals].concat(),
            )?,
            malformed_patterns: crate::families::counter(
                registry,
                "jobwire_auth_malformed_patterns_total",
                "Patterns in valid tokens that are no patterns and grant nothing.",
            )?,
            fetches: family(
                "jobwire_auth_key_fetches_total",
                "Attempts to fetch the issuer's keys, by outcome.",
                [["fetched"].as_slice(), &FetchError::LABELS].concat(),
            )?,
            keys: crate::families::gauge(
                registry,
                "jobwire_auth_fetched_keys",
                "Keys in the set that was fetched last.",
            )?,
            fetched_at: crate::families::gauge(
                registry,
                "jobwire_auth_keys_fetched_timestamp_seconds",
                "When the issuer's keys were fetched last, in seconds since 1970; 0: never.",
            )?,
            pattern_was_told: Arc::default(),
        })
    }

    pub(super) fn accepted(&self) {
        self.tokens.with_label_values(&["accepted"]).inc();
    }

    pub(super) fn refused(&self, refusal: TokenRefusal) {
        self.tokens.with_label_values(&[refusal.label()]).inc();
    }

    /// Counts a pattern that is none. The first of a process is logged for everybody to see.
    pub(super) fn malformed_pattern(&self, pattern: &str) {
        self.malformed_patterns.inc();
        if self.pattern_was_told.swap(true, Ordering::Relaxed) {
            tracing::debug!(pattern, "a pattern in a token is malformed and grants nothing");
        } else {
            tracing::warn!(
                pattern,
                "a pattern in a token is malformed and grants nothing; others are only counted"
            );
        }
    }

    pub(super) fn fetched(&self, keys: usize) {
        self.fetches.with_label_values(&["fetched"]).inc();
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        self.fetched_at.set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    }

    pub(super) fn fetch_failed(&self, label: &'static str) {
        self.fetches.with_label_values(&[label]).inc();
    }
}

#[cfg(test)]
impl AuthMetrics {
    /// Families of a test, with how often an outcome was counted.
    pub(super) fn of_a_test() -> Self {
        Self::register(&Registry::new()).expect("an empty registry")
    }

    pub(super) fn tokens(&self, outcome: &str) -> u64 {
        self.tokens.with_label_values(&[outcome]).get()
    }

    pub(super) fn malformed_patterns(&self) -> u64 {
        self.malformed_patterns.get()
    }

    pub(super) fn fetches(&self, outcome: &str) -> u64 {
        self.fetches.with_label_values(&[outcome]).get()
    }
}
