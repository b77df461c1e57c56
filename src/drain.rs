//! Draining: the process stops, and its connections are closed over a while.

use std::time::Duration;

/// Clients are asked to come back within this time, so that they do not come all at once.
const COME_BACK_WITHIN: Duration = Duration::from_secs(2);

/// Whether the process is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Drain {
    /// No.
    #[default]
    Running,
    /// Connections are closed, spread over this time.
    Draining(Duration),
}

impl Drain {
    /// Over how long connections are closed; `None` while running.
    pub fn spread(self) -> Option<Duration> {
        match self {
            Self::Running => None,
            Self::Draining(spread) => Some(spread),
        }
    }

    /// When a client that is closed now should come back: another for each of them.
    pub fn come_back_after(self) -> Duration {
        COME_BACK_WITHIN.mul_f64(fastrand::f64())
    }
}
