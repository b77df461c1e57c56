//! The task that looks whether the files have changed.
//!
//! Contents are compared, not names or times: Kubernetes changes a mounted secret by moving a
//! symbolic link, and a notification of the file system would tell of the link's old target.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::server::ServerConfig;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;

use super::accept::TlsAccept;
use super::metrics::TlsMetrics;
use super::pair::{Contents, Pair, PairError, PemFiles};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// Keeps the newest good pair for as long as somebody makes handshakes.
#[must_use = "files are looked at only while it runs"]
pub struct Reload {
    files: PemFiles,
    newest: watch::Sender<Arc<ServerConfig>>,
    /// What was found last, good or not: each finding is judged, logged and counted once.
    found: Result<Contents, PairError>,
    metrics: TlsMetrics,
}

impl Reload {
    /// Begins with a pair that was read of these files.
    pub fn new(files: PemFiles, pair: Pair, metrics: TlsMetrics) -> (TlsAccept, Self) {
        tell("TLS on", &pair);
        let (newest, accept) = watch::channel(pair.server);
        (TlsAccept::new(accept), Self { files, newest, found: Ok(pair.contents), metrics })
    }

    /// Looks at the files again and again.
    pub async fn run(mut self) {
        while self.is_used_after(INTERVAL).await {
            let files = self.files.clone();
            // A file system that does not answer must hold up no other task.
            match tokio::task::spawn_blocking(move || files.read()).await {
                Ok(found) => self.take(found),
                Err(error) => tracing::error!(%error, "the TLS files were not looked at"),
            }
        }
    }

    /// Waits; `false` if nobody makes handshakes any more.
    async fn is_used_after(&self, time: Duration) -> bool {
        tokio::time::timeout(time, self.newest.closed()).await.is_err()
    }

    fn take(&mut self, found: Result<Contents, PairError>) {
        if self.found == found {
            return;
        }
        self.found = found.clone();
        match found.and_then(|contents| self.files.pair(contents)) {
            Ok(pair) => {
                self.metrics.taken();
                tell("the TLS certificate and its key were read anew", &pair);
                self.newest.send_replace(pair.server);
            }
            Err(error) => {
                self.metrics.refused(&error);
                tracing::error!(
                    setting = error.setting,
                    %error,
                    "a changed TLS certificate or key cannot be used; the old ones stay in use"
                );
            }
        }
    }
}

fn tell(what: &str, pair: &Pair) {
    let expires = pair.expires.map(OffsetDateTime::from);
    let expires = expires.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default();
    if pair.expires.is_some_and(|at| at < SystemTime::now()) {
        tracing::warn!(expires, "{what}, but the certificate has expired");
    } else {
        tracing::info!(expires, "{what}");
    }
}
