//! The NATS of `jobwire dev`: the one that was named, or one of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::cli::nats_server::{NatsServer, StartOptions};
use crate::cli::outcome::Failure;
use crate::config::NatsSettings;
use crate::journal::connection::{connect, jetstream, without_passwords};
use crate::journal::stream::{StreamDefinition, apply};

/// How long a NATS that was named may take to let us in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a server of our own is looked after.
const LOOK: Duration = Duration::from_millis(500);

/// NATS with the stream of events.
#[derive(Debug)]
pub(super) struct Nats {
    settings: NatsSettings,
    server: Option<NatsServer>,
    data: Option<PathBuf>,
    /// After the server, so that it is removed when nobody writes to it any more.
    _temporary: Option<TempDir>,
}

impl Nats {
    /// Uses the server that the settings name, or starts one with its data in `data` or in a
    /// directory that is removed at the end. Applies the bundled stream.
    pub(super) async fn start(given: &NatsSettings, data: Option<&Path>) -> anyhow::Result<Self> {
        let nats = match given.url {
            Some(_) => Self::named(given.clone()),
            None => Self::own(given, data).await?,
        };
        nats.apply_stream().await?;
        Ok(nats)
    }

    fn named(settings: NatsSettings) -> Self {
        Self { settings, server: None, data: None, _temporary: None }
    }

    async fn own(given: &NatsSettings, data: Option<&Path>) -> anyhow::Result<Self> {
        let (directory, temporary) = match data {
            Some(directory) => (directory.to_owned(), None),
            None => {
                let temporary = tempfile::Builder::new().prefix("jobwire-dev-").tempdir()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let server = NatsServer::start(StartOptions::development(&directory)).await?;
        // Users, certificates and prefixes belong to some other NATS.
        let settings = NatsSettings {
            url: Some(server.url()),
            stream: given.stream.clone(),
            ..NatsSettings::default()
        };
        Ok(Self { settings, server: Some(server), data: Some(directory), _temporary: temporary })
    }

    async fn apply_stream(&self) -> anyhow::Result<()> {
        let config = self.settings.clone().resolve()?;
        let connection =
            timeout(CONNECT_TIMEOUT, connect(&config, "jobwire dev")).await.map_err(|_| {
                let url = without_passwords(&config.url);
                Failure::unreachable(format!("NATS at {url} did not answer in {CONNECT_TIMEOUT:?}"))
            })??;
        let context = jetstream(&connection, &config);
        let definition = StreamDefinition::bundled()?;
        let applying = apply(&context, &definition, &config.stream, None);
        connection.permitted(applying).await??;
        Ok(())
    }

    /// Whether it was started here, and not named.
    pub(super) fn is_our_own(&self) -> bool {
        self.server.is_some()
    }

    /// How the children reach it.
    pub(super) fn settings(&self) -> &NatsSettings {
        &self.settings
    }

    /// Address and data directory, for people.
    pub(super) fn description(&self) -> String {
        let url = without_passwords(self.settings.url.as_deref().unwrap_or_default());
        match (&self.data, &self._temporary) {
            (Some(data), Some(_)) => format!("{url}, data in {} until the end", data.display()),
            (Some(data), None) => format!("{url}, data in {}", data.display()),
            (None, _) => url,
        }
    }

    /// Waits until a server of our own ends by itself; for ever if it is not our own.
    pub(super) async fn ended(&mut self) {
        match &mut self.server {
            None => std::future::pending().await,
            Some(server) => {
                while !server.has_ended() {
                    sleep(LOOK).await;
                }
            }
        }
    }

    /// Stops a server of our own.
    pub(super) async fn stop(&mut self) {
        if let Some(server) = &mut self.server {
            server.stop().await;
        }
    }
}
