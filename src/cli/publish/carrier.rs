//! What brings events to the stream: NATS, or a gateway's HTTP API.

use std::time::Duration;

use async_nats::HeaderMap;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use crate::cli::watching::{Backoff, Gateway, GatewayError};
use crate::config::NatsConfig;
use crate::event::JobKey;
use crate::http::batch::CheckedEvent;
use crate::journal::connection::{ConnectError, connect, jetstream};
use crate::journal::publish::{PublishError, Publisher};

/// Longest pause between two attempts by HTTP.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// An event that the stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(in crate::cli) struct Stored {
    /// Its id.
    pub(in crate::cli) id: u64,
    /// It was there before: the same key had stored it.
    pub(in crate::cli) duplicate: bool,
}

/// Why an event is not stored, as far as we know.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum CarrierError {
    /// By NATS.
    #[error(transparent)]
    Nats(#[from] PublishError),
    /// By HTTP.
    #[error(transparent)]
    Http(#[from] GatewayError),
}

impl CarrierError {
    /// The same, told with the line that it is about.
    pub(super) fn in_line(self, line: u64) -> anyhow::Error {
        anyhow::Error::from(self).context(format!("line {line}"))
    }
}

/// What brings events to the stream.
#[derive(Debug, Clone)]
pub(in crate::cli) enum Carrier {
    /// A connection to NATS.
    Nats(Publisher),
    /// A gateway, and how long each event is tried.
    Http(Gateway, Duration),
}

impl Carrier {
    /// By a gateway.
    pub(in crate::cli) fn by_http(gateway: Gateway, patience: Duration) -> Self {
        Self::Http(gateway, patience)
    }

    /// By NATS.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub(in crate::cli) async fn by_nats(
        config: NatsConfig,
        patience: Duration,
    ) -> Result<Self, ConnectError> {
        let connection = connect(&config, "jobwire publish").await?;
        let publisher = Publisher::new(jetstream(&connection, &config), config.stream)
            .with_denials(connection.denials().clone())
            .with_patience(patience);
        Ok(Self::Nats(publisher))
    }

    /// Publishes an event and waits for its acknowledgement; tries again while nobody answers.
    ///
    /// # Errors
    /// [`CarrierError`].
    pub(in crate::cli) async fn publish(
        &self,
        job: &JobKey,
        key: &str,
        event: CheckedEvent,
    ) -> Result<Stored, CarrierError> {
        match self {
            Self::Nats(publisher) => {
                let CheckedEvent { event_type, payload, .. } = event;
                let publishing =
                    publisher.publish_payload(job, &event_type, payload, key, HeaderMap::new());
                let published = publishing.await?;
                Ok(Stored { id: published.id, duplicate: published.duplicate })
            }
            Self::Http(gateway, patience) => {
                Ok(by_http(gateway, *patience, job, key, &event).await?)
            }
        }
    }
}

async fn by_http(
    gateway: &Gateway,
    patience: Duration,
    job: &JobKey,
    key: &str,
    event: &CheckedEvent,
) -> Result<Stored, GatewayError> {
    let deadline = Instant::now() + patience;
    let mut backoff = Backoff::up_to(LONGEST_PAUSE);
    loop {
        let error = match gateway.publish(job, key, event.payload.clone()).await {
            Ok(answer) => return answer.json(),
            Err(error) => error,
        };
        let GatewayError::Unreachable { wait, .. } = &error else { return Err(error) };
        // The same key again settles whether it was stored.
        let again = Instant::now() + wait.unwrap_or_default() + backoff.next_wait();
        if again >= deadline {
            return Err(error);
        }
        sleep_until(again).await;
    }
}
