//! What is counted of certificates.

use prometheus::{IntCounterVec, Opts, Registry};

use super::pair::PairError;

/// What became of changed files, beside [`PairError::label`].
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
        Ok(Self { reloads })
    }

    pub(super) fn taken(&self) {
        self.reloads.with_label_values(&[TAKEN]).inc();
    }

    pub(super) fn refused(&self, error: &PairError) {
        self.reloads.with_label_values(&[error.label()]).inc();
    }
}
