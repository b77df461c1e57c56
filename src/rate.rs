//! Rates that are bounded: so many a second, and so many at once after a rest. Pure.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// How much of something there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// What one takes.
    every: Duration,
    /// What is there after a rest.
    room: Duration,
}

impl Rate {
    /// So many a second, and at most so many at once; one at once always fits.
    pub fn new(per_second: NonZeroU32, at_once: u32) -> Self {
        let every = Duration::from_secs(1) / per_second.get();
        Self { every, room: every * at_once.max(1) }
    }
}

/// How much of a rate is used up: a token bucket, kept as the time at which it is full again. A
/// new one is full.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket {
    full_at: Option<Instant>,
}

impl Bucket {
    /// Takes one, if there is one; what is refused takes nothing.
    pub fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + rate.every;
        let fits = full_at - now <= rate.room;
        if fits {
            self.full_at = Some(full_at);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(per_second: u32, at_once: u32) -> Rate {
        Rate::new(NonZeroU32::new(per_second).unwrap(), at_once)
    }

    #[test]
    fn after_a_burst_as_many_fit_as_the_rate_says() {
        let (rate, start) = (rate(10, 25), Instant::now());
        let mut bucket = Bucket::default();
        let mut taken = |at: u64| {
            let now = start + Duration::from_millis(at);
            (0..100).filter(|_| bucket.take(rate, now)).count()
        };
        assert_eq!([taken(0), taken(0), taken(99)], [25, 0, 0]);
        assert_eq!([taken(100), taken(1_100), taken(60_000)], [1, 10, 25]);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_refuses_nothing_within_the_burst() {
        let (rate, now) = (rate(1, 3), Instant::now() + Duration::from_secs(5));
        let mut bucket = Bucket::default();
        assert!(bucket.take(rate, now) && bucket.take(rate, now));
        assert!(!bucket.take(rate, now - Duration::from_secs(2)));
        assert!(bucket.take(rate, now));
        assert!(!bucket.take(rate, now));
    }

    #[test]
    fn a_bucket_costs_sixteen_bytes() {
        assert_eq!(size_of::<Bucket>(), 16);
    }

    proptest! {
        #[test]
        fn as_many_as_the_rate_in_each_second_always_fit_wherever_in_the_second(
            per_second in 1u32..5,
            offsets in prop::collection::vec(prop::collection::vec(0u64..1_000_000_000, 1..5), 1..40),
        ) {
            let (rate, start) = (rate(per_second, 2 * per_second), Instant::now());
            let mut bucket = Bucket::default();
            for (second, mut offsets) in offsets.into_iter().enumerate() {
                offsets.truncate(per_second as usize);
                offsets.sort_unstable();
                for offset in offsets {
                    let now = Duration::from_secs(second as u64) + Duration::from_nanos(offset);
                    prop_assert!(bucket.take(rate, start + now), "{second} s + {offset} ns");
                }
            }
        }
    }
}
