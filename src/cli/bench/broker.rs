//! The NATS of a measurement: one of its own with the stream in it, or one that was named.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream;
use tempfile::TempDir;
use tokio::time::timeout;

use super::usage::Usage;
use crate::cli::nats_server::{DEVELOPMENT_CONFIG, NatsServer, ServerConfig, StartOptions};
use crate::cli::outcome::Failure;
use crate::config::NatsSettings;
use crate::journal::connection::{connect, jetstream, without_passwords};
use crate::journal::stream::{StreamDefinition, apply};

/// How long a NATS that was named may take to let us in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A listener for WebSockets beside the usual one, for the comparison.
const WEBSOCKET: &str = "\nwebsocket { host: \"127.0.0.1\", port: -1, no_tls: true }\n";

/// A NATS that somebody else runs.
#[derive(Debug, Clone, Default)]
pub(super) struct NamedBroker {
    /// Its address.
    pub(super) url: String,
    /// Its listener for WebSockets.
    pub(super) websocket: Option<SocketAddr>,
    /// Its process, if it is on this machine.
    pub(super) pid: Option<u32>,
}

/// NATS with the stream of events.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) settings: NatsSettings,
    pub(super) context: jetstream::Context,
    pub(super) websocket: Option<SocketAddr>,
    pid: Option<u32>,
    server: Option<NatsServer>,
    /// After the server, so that it is removed when nobody writes to it any more.
    _directory: Option<TempDir>,
}

impl Broker {
    /// A new server with an empty stream, or the one that was named, whose stream has to be there.
    pub(super) async fn start(named: Option<&NamedBroker>) -> anyhow::Result<Self> {
        match named {
            Some(named) => Self::named(named).await,
            None => Self::own().await,
        }
    }

    async fn own() -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("jobwire-bench-").tempdir()?;
        let options = StartOptions {
            config: ServerConfig::Text(format!("{DEVELOPMENT_CONFIG}{WEBSOCKET}")),
            ..StartOptions::development(directory.path())
        };
        let server = NatsServer::start(options).await?;
        let settings = settings(server.url());
        let (context, stream) = context(&settings).await?;
        apply(&context, &StreamDefinition::bundled()?, &stream, None).await?;
        Ok(Self {
            settings,
            context,
            websocket: server.websocket(),
            pid: server.pid(),
            server: Some(server),
            _directory: Some(directory),
        })
    }

    async fn named(named: &NamedBroker) -> anyhow::Result<Self> {
        let settings = settings(named.url.clone());
        let (context, stream) = context(&settings).await?;
        context
            .get_stream(&stream)
            .await
            .with_context(|| format!("the stream {stream}; make it with `jobwire stream apply`"))?;
        let (websocket, pid) = (named.websocket, named.pid);
        Ok(Self { settings, context, websocket, pid, server: None, _directory: None })
    }

    /// What the server has used; nothing is known of one that others run elsewhere.
    pub(super) fn usage(&self) -> Result<Option<Usage>, Failure> {
        self.pid.map(Usage::of).transpose()
    }

    /// Stops a server of our own.
    pub(super) fn stop(mut self) {
        // Killed: nobody wants its data any more.
        if let Some(server) = &mut self.server {
            server.kill();
        }
    }
}

fn settings(url: String) -> NatsSettings {
    NatsSettings { url: Some(url), ..NatsSettings::default() }
}

async fn context(settings: &NatsSettings) -> anyhow::Result<(jetstream::Context, String)> {
    let config = settings.clone().resolve()?;
    let connection =
        timeout(CONNECT_TIMEOUT, connect(&config, "jobwire bench")).await.map_err(|_| {
            let url = without_passwords(&config.url);
            Failure::unreachable(format!("NATS at {url} did not answer in {CONNECT_TIMEOUT:?}"))
        })??;
    Ok((jetstream(&connection, &config), config.stream))
}
