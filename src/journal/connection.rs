//! Connections to NATS: who we are, TLS, how often a lost server is tried again, what is logged.
//!
//! What travels over a connection is not decided here.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{ConnectErrorKind, ConnectOptions, Event, ServerAddr};

use super::denials::{Denial, Denials};
use super::request_counts::RequestCounts;
use crate::config::{NatsConfig, NatsIdentity};

/// A stopped server is noticed when a ping stays unanswered for one interval.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// How long one attempt at one server may take, greeting and TLS included.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest pause between two attempts.
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// How long a JetStream request or an acknowledgement is waited for.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// After a refused subscription the server is left alone for so long.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// Why there is no connection to NATS.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// One of the addresses in `nats.url` is none.
    #[error("nats.url: {address:?} is not the address of a server: {source}")]
    Address {
        /// The part of the setting that is wrong.
        address: String,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// A file that a setting names cannot be read, or does not hold what it should.
    #[error("{setting}: cannot use {path}: {source}")]
    File {
        /// The setting's name.
        setting: &'static str,
        /// The file as it was given.
        path: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// The server does not let us in.
    #[error("NATS at {url} refused us: {reason}")]
    Refused {
        /// The servers that were tried.
        url: String,
        /// What the server said.
        reason: String,
    },
    /// No server answered, or not as a NATS server does.
    #[error("NATS at {url} cannot be reached: {reason}")]
    Unreachable {
        /// The servers that were tried.
        url: String,
        /// What went wrong at the last one.
        reason: String,
    },
}

/// A connection, and what was denied on it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connection {
    client: Client,
    denials: Denials,
    requests: RequestCounts,
}

impl Connection {
    /// The connection itself.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What NATS did not permit on it.
    pub fn denials(&self) -> &Denials {
        &self.denials
    }

    /// What was asked of JetStream over it.
    pub fn requests(&self) -> &RequestCounts {
        &self.requests
    }

    /// Whether a server is there now.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// How often it was lost and came back.
    pub fn reconnects(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// Whatever is denied on this connection ends the wait for an answer.
    ///
    /// # Errors
    /// The [`Denial`].
    pub async fn permitted<T>(&self, answer: impl Future<Output = T>) -> Result<T, Denial> {
        self.denials.begin_anything().answered(answer).await
    }
}

/// Connects, and fails if no server lets us in now. Each server of the list is tried once, for
/// at most 3 s; a connection that is lost later comes back by itself.
///
/// `name` is shown by the server's monitoring and in our log.
///
/// # Errors
/// Any [`ConnectError`].
pub async fn connect(config: &NatsConfig, name: &str) -> Result<Connection, ConnectError> {
    connect_with(config, name, |options| options).await
}

/// Connects in the background, for as long as it takes. The client can be used at once; what is
/// asked of it waits or times out until a server is there.
///
/// # Errors
/// [`ConnectError::Address`] and [`ConnectError::File`]: settings that waiting does not mend.
/// Never because a server is away.
pub async fn connect_in_background(
    config: &NatsConfig,
    name: &str,
) -> Result<Connection, ConnectError> {
    let connection = connect_with(config, name, ConnectOptions::retry_on_initial_connect).await?;
    tokio::spawn(subscribe_anew(connection.clone()));
    Ok(connection)
}

/// A subscription that the server took away, such as that of all answers, stays away even when
/// the right to it is given back: neither side says a word. A new connection makes it anew.
async fn subscribe_anew(Connection { client, denials, .. }: Connection) {
    loop {
        denials.inbox().await;
        tokio::time::sleep(REFUSED_PAUSE).await;
        denials.forget_inbox();
        if client.force_reconnect().await.is_err() {
            return;
        }
    }
}

async fn connect_with(
    config: &NatsConfig,
    name: &str,
    patience: impl FnOnce(ConnectOptions) -> ConnectOptions,
) -> Result<Connection, ConnectError> {
    let servers = servers(config)?;
    let denials = Denials::default();
    let options = patience(options(config, name, denials.clone()).await?);
    let client = options.connect(servers).await.map_err(|error| connect_error(config, &error))?;
    Ok(Connection { client, denials, requests: RequestCounts::default() })
}

/// The JetStream API on a connection, with the configured prefix. A request or an
/// acknowledgement is waited for at most 5 s.
pub fn jetstream(connection: &Connection, config: &NatsConfig) -> jetstream::Context {
    ContextBuilder::new()
        .timeout(REQUEST_TIMEOUT)
        .api_prefix(config.api_prefix.clone())
        .build(connection.client.clone())
}

fn servers(config: &NatsConfig) -> Result<Vec<ServerAddr>, ConnectError> {
    config
        .url
        .split(',')
        .map(str::trim)
        .map(|address| {
            address.parse().map_err(|source| ConnectError::Address {
                address: without_passwords(address),
                source,
            })
        })
        .collect()
}

async fn options(
    config: &NatsConfig,
    name: &str,
    denials: Denials,
) -> Result<ConnectOptions, ConnectError> {
    let mut options = ConnectOptions::new()
        .name(name)
        .ping_interval(PING_INTERVAL)
        .connection_timeout(ATTEMPT_TIMEOUT)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(take_events(name, denials));
    if let Some(prefix) = &config.inbox_prefix {
        options = options.custom_inbox_prefix(prefix);
    }
    with_identity(with_tls(options, config).await?, &config.identity).await
}

async fn with_tls(
    mut options: ConnectOptions,
    config: &NatsConfig,
) -> Result<ConnectOptions, ConnectError> {
    // The library reads these files when it connects, again and again in the background, where
    // nobody sees that one is missing.
    if let Some(authority) = &config.tls_ca {
        read("nats.tls_ca", authority).await?;
        options = options.add_root_certificates(authority.clone());
    }
    if let Some((certificate, key)) = &config.tls_client {
        read("nats.tls_cert", certificate).await?;
        read("nats.tls_key", key).await?;
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    if config.tls_first {
        options = options.tls_first();
    }
    // Who configures certificates does not want to find out that nothing was encrypted.
    let expects_tls = config.tls_ca.is_some() || config.tls_client.is_some() || config.tls_first;
    Ok(if expects_tls { options.require_tls(true) } else { options })
}

async fn with_identity(
    options: ConnectOptions,
    identity: &NatsIdentity,
) -> Result<ConnectOptions, ConnectError> {
    match identity {
        NatsIdentity::Anonymous => Ok(options),
        NatsIdentity::Password(user, password) => {
            Ok(options.user_and_password(user.clone(), password.clone()))
        }
        NatsIdentity::Token(token) => Ok(options.token(token.clone())),
        NatsIdentity::Nkey(path) => {
            Ok(options.nkey(read("nats.nkey", path).await?.trim().to_owned()))
        }
        NatsIdentity::Credentials(path) => {
            let text = read("nats.credentials", path).await?;
            options.credentials(&text).map_err(|source| ConnectError::File {
                setting: "nats.credentials",
                path: path.clone(),
                source,
            })
        }
    }
}

async fn read(setting: &'static str, path: &Path) -> Result<String, ConnectError> {
    tokio::fs::read_to_string(path).await.map_err(|source| ConnectError::File {
        setting,
        path: path.to_owned(),
        source,
    })
}

/// Doubles from 50 ms to [`LONGEST_DELAY`]; half of it is random, so that pods which lost the
/// same server do not come back in step. The first attempt is made at once.
fn reconnect_delay(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(6);
    if attempts <= 1 {
        return Duration::ZERO;
    }
    let longest = LONGEST_DELAY.min(Duration::from_millis(50) * 2_u32.pow(doublings));
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// Logs what happens to a connection, once each and with its name, and takes note of what is
/// denied. The library logs the same without a name; the default log filter leaves that out.
fn take_events(
    name: &str,
    denials: Denials,
) -> impl Fn(Event) -> std::future::Ready<()> + Send + Sync + 'static + use<> {
    let connection = name.to_owned();
    move |event| {
        match event {
            Event::Connected => {
                denials.forget_inbox();
                tracing::info!(connection, "connected to NATS");
            }
            Event::Disconnected => tracing::warn!(connection, "lost the connection to NATS"),
            Event::ServerError(error) => match Denial::parse(&error.to_string()) {
                Some(denial) if denials.add(&denial) => tracing::warn!(connection, "{denial}"),
                Some(denial) => tracing::debug!(connection, "{denial}"),
                None => tracing::warn!(connection, %error, "NATS reports"),
            },
            Event::ClientError(error) => tracing::warn!(connection, %error, "NATS client reports"),
            Event::SlowConsumer(subscription) => {
                tracing::error!(connection, subscription, "messages dropped: read too slowly");
            }
            Event::LameDuckMode => tracing::info!(connection, "the NATS server is about to stop"),
            Event::Draining | Event::Closed => tracing::debug!(connection, "closing"),
        }
        std::future::ready(())
    }
}

fn connect_error(config: &NatsConfig, error: &async_nats::ConnectError) -> ConnectError {
    let url = without_passwords(&config.url);
    let reason = error.to_string();
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            ConnectError::Refused { url, reason }
        }
        _ => ConnectError::Unreachable { url, reason },
    }
}

/// The addresses, fit for a log: a URL may carry a user and a password.
pub fn without_passwords(urls: &str) -> String {
    let hidden = urls.split(',').map(|url| match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            let (scheme, _) = url.split_at(scheme + "://".len());
            let (_, host) = url.split_at(at + 1);
            format!("{scheme}{host}")
        }
        (None, Some(at)) => url.split_at(at + 1).1.to_owned(),
        _ => url.to_owned(),
    });
    hidden.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NatsSettings;

    fn config(settings: NatsSettings) -> NatsConfig {
        settings.resolve().expect("a configuration")
    }

    /// A port nobody listens on: nothing on this machine serves port 1.
    fn nobody_there() -> NatsSettings {
        NatsSettings { url: Some("nats://127.0.0.1:1".into()), ..NatsSettings::default() }
    }

    #[test]
    fn a_reconnect_waits_longer_each_time_and_never_more_than_two_seconds() {
        assert_eq!(reconnect_delay(0), Duration::ZERO);
        assert_eq!(reconnect_delay(1), Duration::ZERO);
        for _ in 0..100 {
            let second = reconnect_delay(2);
            assert!((50..=100).contains(&second.as_millis()), "{second:?}");
            let late = reconnect_delay(usize::MAX);
            assert!((1000..=2000).contains(&late.as_millis()), "{late:?}");
        }
    }

    #[test]
    fn passwords_are_left_out_of_addresses() {
        assert_eq!(
            without_passwords("nats://me:secret@one:4222,me:p@two,tls://three"),
            "nats://one:4222,two,tls://three"
        );
    }

    #[tokio::test]
    async fn an_absent_server_is_told_by_its_address() {
        let error = connect(&config(nobody_there()), "test").await.expect_err("nobody there");
        assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
        assert!(error.to_string().contains("nats://127.0.0.1:1"), "{error}");
    }

    #[tokio::test]
    async fn in_the_background_an_absent_server_is_waited_for() {
        assert!(connect_in_background(&config(nobody_there()), "test").await.is_ok());
    }

    #[tokio::test]
    async fn even_in_the_background_an_unreadable_file_fails_at_once() {
        let settings = [
            NatsSettings { credentials: Some("/nowhere/a.creds".into()), ..nobody_there() },
            NatsSettings { nkey: Some("/nowhere/seed".into()), ..nobody_there() },
            NatsSettings { tls_ca: Some("/nowhere/ca.pem".into()), ..nobody_there() },
        ];
        for settings in settings {
            let error =
                connect_in_background(&config(settings), "test").await.expect_err("no such file");
            assert!(matches!(error, ConnectError::File { .. }), "{error:?}");
            assert!(error.to_string().contains("/nowhere/"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_text_that_is_no_address_is_a_mistake_in_the_setting() {
        let settings =
            NatsSettings { url: Some("nats://a:99999".into()), ..NatsSettings::default() };
        let error = connect(&config(settings), "test").await.expect_err("no address");
        assert!(matches!(error, ConnectError::Address { .. }), "{error:?}");
    }
}
