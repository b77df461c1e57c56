//! The clock of sessions: the runtime's, so that a test may stop it.

use std::time::Instant;

/// The present time.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
