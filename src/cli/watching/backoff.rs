//! How long to wait before the next attempt: a random time below a bound that doubles ("full
//! jitter"), so that many clients do not come back together.

use std::time::{Duration, Instant};

/// Bound of the first wait.
const FIRST: Duration = Duration::from_millis(500);
/// Largest bound.
const LONGEST: Duration = Duration::from_secs(30);
/// What lasted so long counts as having worked; shorter, and the waits go on growing.
const STEADY: Duration = Duration::from_secs(10);

/// Waits that grow while nothing works.
#[derive(Debug)]
pub(in crate::cli) struct Backoff {
    longest: Duration,
    failures: u32,
    good_since: Option<Instant>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(LONGEST)
    }
}

impl Backoff {
    /// Waits of at most so long.
    pub(in crate::cli) fn up_to(longest: Duration) -> Self {
        Self { longest, failures: 0, good_since: None }
    }

    /// It works now.
    pub(in crate::cli) fn succeeded(&mut self) {
        self.good_since.get_or_insert_with(Instant::now);
    }

    /// How long to wait now that it failed.
    pub(in crate::cli) fn next_wait(&mut self) -> Duration {
        if self.good_since.take().is_some_and(|since| since.elapsed() >= STEADY) {
            self.failures = 0;
        }
        let bound = self.longest.min(FIRST.saturating_mul(2_u32.pow(self.failures.min(16))));
        self.failures += 1;
        bound.mul_f64(fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_random_below_a_bound_that_doubles_up_to_the_longest() {
        for _ in 0..100 {
            let mut backoff = Backoff::default();
            for bound in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
                assert!(backoff.next_wait() <= Duration::from_millis(bound));
            }
        }
    }

    #[test]
    fn what_worked_only_for_a_moment_does_not_shorten_the_waits() {
        let longest = (0..200).map(|_| {
            let mut backoff = Backoff::default();
            for _ in 0..8 {
                backoff.next_wait();
            }
            backoff.succeeded();
            backoff.next_wait()
        });
        assert!(longest.max() > Some(Duration::from_secs(2)));
    }
}
