//! What is counted of certificates.

use prometheus::{IntCounterVec, Opts, Registry};

use super::pair::PairError;

/// They are used; other outcomes are [`PairError::LABELS`].
const TAKEN: &str = "taken";

/// The family of reloads.
#[derive(Clone)]
pub struct TlsMetrics {
    reloads: IntCounterVec,
}

impl TlsMetrics {
    /// Registers the family.
    ///
    /// # Errors
    /// It is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let reloads = IntCounterVec::new(
            Opts::new(
                "jobwire_tls_reloads_total",
                "Times the certificate's or the key's file had changed, by outcome.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(reloads.clone()))?;
        // They happen seldom: an increase from nothing at all would not be seen.
        for outcome in PairError::LABELS.into_iter().chain([TAKEN]) {
            reloads.with_label_values(&[outcome]);
        }
        Ok(Self { reloads })
    }

    pub(super) fn taken(&self) {
        self.reloads.with_label_values(&[TAKEN]).inc();
    }

    pub(super) fn refused(&self, error: &PairError) {
        self.reloads.with_label_values(&[error.label()]).inc();
    }
}
