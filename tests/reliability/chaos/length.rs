//! How long a run is, and how much is published and watched in it.

use std::time::Duration;

/// Length and load of a run.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// Whether this is a run for the report.
    pub is_long: bool,
    /// From the first fault to the last.
    pub duration: Duration,
    /// Longest pause between two faults.
    pub calm: Duration,
    /// Events per second, of all jobs.
    pub rate: u32,
    /// Jobs.
    pub jobs: usize,
    /// Watchers of each job.
    pub watchers: usize,
    /// Bytes by which an event may be larger than it need be.
    pub padding: usize,
}

impl Length {
    /// A few seconds, or what `JOBWIRE_CHAOS` and `JOBWIRE_CHAOS_SECONDS` say.
    ///
    /// # Panics
    /// If they say something else.
    pub fn from_environment() -> Self {
        let mut length = match std::env::var("JOBWIRE_CHAOS").as_deref() {
            Err(_) | Ok("short") => Self::SHORT,
            Ok("long") => Self::LONG,
            Ok(other) => panic!("JOBWIRE_CHAOS is {other:?}; it has to be \"short\" or \"long\""),
        };
        if let Ok(seconds) = std::env::var("JOBWIRE_CHAOS_SECONDS") {
            let seconds = seconds.parse().unwrap_or_else(|error| {
                panic!("JOBWIRE_CHAOS_SECONDS is {seconds:?}, not a number: {error}")
            });
            length.duration = Duration::from_secs(seconds);
        }
        length
    }

    /// Fewer events for more watchers.
    ///
    /// Long: 3,000 watchers.
    pub fn of_a_crowd(self) -> Self {
        if self.is_long { Self { rate: 250, watchers: 60, ..self } } else { self }
    }

    const SHORT: Self = Self {
        is_long: false,
        duration: Duration::from_secs(8),
        calm: Duration::from_millis(1_500),
        rate: 200,
        jobs: 5,
        watchers: 4,
        padding: 2_000,
    };

    const LONG: Self = Self {
        is_long: true,
        duration: Duration::from_secs(300),
        calm: Duration::from_secs(5),
        rate: 2_000,
        jobs: 50,
        watchers: 4,
        padding: 400,
    };
}
