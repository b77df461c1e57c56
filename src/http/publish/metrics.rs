//! What publishing counts.

use prometheus::{IntCounterVec, Opts, Registry};

use crate::journal::publish::PublishError;

/// Events and requests by what became of them.
#[derive(Clone)]
pub struct PublishMetrics {
    published: IntCounterVec,
}

impl PublishMetrics {
    /// Registers the family.
    ///
    /// # Errors
    /// It is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let published = IntCounterVec::new(
            Opts::new("jobwire_published_total", "Events published over HTTP, by outcome."),
            &["outcome"],
        )?;
        registry.register(Box::new(published.clone()))?;
        for outcome in ["stored", "duplicate", "invalid", "unacknowledged", "refused"] {
            published.with_label_values(&[outcome]).inc_by(0);
        }
        Ok(Self { published })
    }

    pub(super) fn stored(&self, duplicate: bool) {
        self.count(if duplicate { "duplicate" } else { "stored" });
    }

    /// A request was refused for one of its events.
    pub(super) fn invalid(&self) {
        self.count("invalid");
    }

    pub(super) fn failed(&self, error: &PublishError) {
        let is_unknown = matches!(error, PublishError::Unacknowledged { .. });
        self.count(if is_unknown { "unacknowledged" } else { "refused" });
    }

    fn count(&self, outcome: &str) {
        self.published.with_label_values(&[outcome]).inc();
    }
}
