//! Every setting of the gateway, in one place.
//!
//! A setting is declared once, in [`Settings`] or the settings it holds, and can be given in three
//! ways. What is nearer to the person who types wins: command line, then environment, then
//! configuration file, then the default. [`Settings::resolve`] merges the three and checks the
//! values, so that a mistake is told before any socket is bound.

mod clients;
mod context;
mod nats;
pub mod routes;
mod tls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::auth::{AuthConfig, AuthSettings};
use crate::origin::AllowedOrigins;
pub use clients::{ClientLimits, ConnectionLimits, connect_rate};
pub use context::PersonalNatsSettings;
pub use nats::{NatsConfig, NatsIdentity, NatsSettings};
use routes::{RouteSettings, Routes};
pub use tls::{TlsConfig, TlsSettings};

/// A subscribe is answered within 10 s, whatever becomes of the job.
const LONGEST_JOB_GRACE: Duration = Duration::from_secs(8);

/// Why the configuration cannot be used. Each text names the setting.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file given with `--config` cannot be read.
    #[error("config: cannot read {path}: {source}")]
    Unreadable {
        /// The file as it was given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key that does not exist or a value of a wrong type.
    #[error("config: {path}: {message}")]
    Malformed {
        /// The file as it was given.
        path: PathBuf,
        /// Where and what, with the key.
        message: String,
    },
    /// A value is outside its bounds or contradicts another one.
    #[error("{setting}: {problem}")]
    Invalid {
        /// The setting's name as in the configuration file.
        setting: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
}

pub(crate) fn invalid(setting: &'static str, problem: impl Into<String>) -> ConfigError {
    ConfigError::Invalid { setting, problem: problem.into() }
}

/// The settings of `jobwire serve`. `None` means: not given here.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address the gateway listens on; several with commas [default: 127.0.0.1:8080]
    #[arg(long, env = "JOBWIRE_LISTEN", value_name = "ADDRESS", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<Vec<SocketAddr>>,
    /// Address of /livez, /readyz and /metrics [default: 127.0.0.1:8081]
    #[arg(long, env = "JOBWIRE_ADMIN_LISTEN", value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_listen: Option<SocketAddr>,
    /// Origin whose web pages may use the gateway, beside its own; several with commas:
    /// https://app.example.com, https://*.example.com, null, or * for any [default: none]
    #[arg(long, env = "JOBWIRE_ALLOWED_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_origins: Option<Vec<String>>,

    /// TLS on the public addresses.
    #[command(flatten)]
    pub tls: TlsSettings,

    /// How NATS is reached.
    #[command(flatten)]
    pub nats: NatsSettings,

    /// Whether events can be published over HTTP [default: true with tokens, else false]
    #[arg(long, env = "JOBWIRE_PUBLISH", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish: Option<bool>,

    /// Who may watch.
    #[command(flatten)]
    pub auth: AuthSettings,

    /// Threads that serve connections [default: one per core]
    #[arg(long, env = "JOBWIRE_WORKERS", value_name = "COUNT", help_heading = "Capacity")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
    /// Memory for the newest events, index and encoded frames included [default: 128MiB]
    #[arg(long, env = "JOBWIRE_WINDOW", value_name = "BYTES", help_heading = "Capacity")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<ByteSize>,
    /// Memory for pages of older history that are shared between watchers [default: 32MiB]
    #[arg(long, env = "JOBWIRE_PAGE_CACHE", value_name = "BYTES", help_heading = "Capacity")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_cache: Option<ByteSize>,
    /// Reads of older history that may be under way at NATS at once [default: 64]
    #[arg(long, env = "JOBWIRE_CATCH_UP_SLOTS", value_name = "COUNT", help_heading = "Capacity")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up_slots: Option<usize>,
    /// Kernel send buffer of a connection [default: 64KiB]
    #[arg(long, env = "JOBWIRE_SEND_BUFFER", value_name = "BYTES", help_heading = "Capacity")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_buffer: Option<ByteSize>,
    /// Connections of the whole process [default: 20000]
    #[arg(long, env = "JOBWIRE_MAX_CONNECTIONS", value_name = "COUNT", help_heading = "Capacity")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<usize>,
    /// Connections of one client's address; 0 for no limit [default: 0]
    #[arg(
        long,
        env = "JOBWIRE_MAX_CONNECTIONS_PER_ADDRESS",
        value_name = "COUNT",
        help_heading = "Capacity"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections_per_address: Option<usize>,
    /// Connects of one client's address in a second; 0 for no limit [default: 0]
    #[arg(
        long,
        env = "JOBWIRE_MAX_CONNECTS_PER_ADDRESS",
        value_name = "COUNT",
        help_heading = "Capacity"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connects_per_address: Option<u32>,
    /// Connections with tokens of one subject; 0 for no limit [default: 0]
    #[arg(
        long,
        env = "JOBWIRE_MAX_CONNECTIONS_PER_SUBJECT",
        value_name = "COUNT",
        help_heading = "Capacity"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections_per_subject: Option<usize>,
    /// Proxy whose X-Forwarded-For tells the client's address, or network of proxies; several
    /// with commas: 10.0.0.1, 10.0.0.0/8, fd00::/8 [default: none]
    #[arg(
        long,
        env = "JOBWIRE_TRUSTED_PROXIES",
        value_name = "NETWORK",
        value_delimiter = ',',
        help_heading = "Capacity"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trusted_proxies: Option<Vec<String>>,
    /// Messages that a client may send on a connection in a second; 0 for no limit [default: 100]
    #[arg(long, env = "JOBWIRE_MAX_MESSAGE_RATE", value_name = "COUNT", help_heading = "Capacity")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_message_rate: Option<u32>,
    /// Subscriptions of one connection [default: 1000]
    #[arg(
        long,
        env = "JOBWIRE_MAX_SUBSCRIPTIONS",
        value_name = "COUNT",
        help_heading = "Capacity"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_subscriptions: Option<usize>,

    /// Grace in which an unknown job may still appear [default: 2s]
    #[arg(long, env = "JOBWIRE_JOB_GRACE", value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Times")]
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    pub job_grace: Option<Duration>,
    /// How often an idle connection is pinged [default: 25s]
    #[arg(long, env = "JOBWIRE_PING_INTERVAL", value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Times")]
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    pub ping_interval: Option<Duration>,
    /// How long a ping may stay unanswered [default: 10s]
    #[arg(long, env = "JOBWIRE_PONG_TIMEOUT", value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Times")]
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    pub pong_timeout: Option<Duration>,
    /// How long a socket may accept nothing while bytes wait for it [default: 30s]
    #[arg(long, env = "JOBWIRE_STUCK_TIMEOUT", value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Times")]
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    pub stuck_timeout: Option<Duration>,
    /// Over how long the connections are closed on SIGTERM [default: 20s]
    #[arg(long, env = "JOBWIRE_DRAIN", value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Times")]
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    pub drain: Option<Duration>,

    /// Routes, in the configuration file only.
    #[arg(skip)]
    #[serde(rename = "route", skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteSettings>,
    /// Whether the built-in routes are there, in the configuration file only [default: true].
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_routes: Option<bool>,

    /// Log format: text or json [default: text]
    #[arg(long, env = "JOBWIRE_LOG_FORMAT", value_name = "FORMAT", help_heading = "Logs")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,
    /// What is logged, as a tracing filter [default: info]
    #[arg(long, env = "JOBWIRE_LOG", value_name = "FILTER", help_heading = "Logs")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The whole configuration of `jobwire serve`, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Public addresses.
    pub listen: Vec<SocketAddr>,
    /// Address of the admin listener.
    pub admin_listen: SocketAddr,
    /// Whose pages may use the gateway, beside its own.
    pub allowed_origins: AllowedOrigins,
    /// TLS on the public addresses; `None`: none.
    pub tls: Option<TlsConfig>,
    /// How NATS is reached.
    pub nats: NatsConfig,
    /// Threads that serve connections.
    pub workers: usize,
    /// Who may watch.
    pub auth: AuthConfig,
    /// Whether events can be published over HTTP.
    pub publish: bool,
    /// Routes and their streams.
    pub routes: Routes,
    /// What the gateway may use and keep.
    pub limits: Limits,
    /// What clients may take.
    pub clients: ClientLimits,
    /// Time-outs of sessions.
    pub timing: Timing,
    /// Log format.
    pub log_format: LogFormat,
    /// Log filter.
    pub log: String,
}

/// Bounds on memory.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Budget of the window in bytes.
    pub window: usize,
    /// Budget of shared pages in bytes.
    pub page_cache: usize,
    /// Reads of history under way at once.
    pub catch_up_slots: usize,
    /// Kernel send buffer of a connection in bytes.
    pub send_buffer: u32,
}

/// Time-outs of sessions.
#[derive(Clone, Debug)]
pub struct Timing {
    /// How often an idle connection is pinged.
    pub ping_interval: Duration,
    /// How long a ping may stay unanswered.
    pub pong_timeout: Duration,
    /// How long a socket may accept nothing while bytes wait for it.
    pub stuck_timeout: Duration,
    /// Over how long connections are closed when the process stops.
    pub drain: Duration,
}

impl Timing {
    /// How long bytes may be under way to a client whose machine confirms none of them. Longer
    /// than any other silence that ends a connection: a slow reader's machine confirms.
    pub fn unconfirmed_timeout(&self) -> Duration {
        self.ping_interval + self.pong_timeout + self.stuck_timeout
    }
}

impl Settings {
    /// Merges a configuration file below what was given on the command line and in the
    /// environment, checks everything and fills in the defaults.
    ///
    /// # Errors
    /// [`ConfigError`], with the name of the setting that is wrong.
    pub fn resolve(self, file: Option<&Path>) -> Result<Config, ConfigError> {
        let settings = match file {
            Some(path) => self.over_file(path)?,
            None => self,
        };
        settings.check()
    }

    fn over_file(self, path: &Path) -> Result<Settings, ConfigError> {
        let malformed = |message: String| ConfigError::Malformed { path: path.to_owned(), message };
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        // Read as settings first: those errors name line and key.
        toml::from_str::<Settings>(&text).map_err(|error| malformed(error.to_string()))?;
        let mut merged: toml::Table =
            toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let given = toml::Table::try_from(&self).map_err(|error| malformed(error.to_string()))?;
        lay_over(&mut merged, given);
        merged.try_into().map_err(|error| malformed(error.to_string()))
    }

    fn check(self) -> Result<Config, ConfigError> {
        let clients = ClientLimits::resolve(&self)?;
        let listen = self.listen.unwrap_or_else(|| vec![SocketAddr::from(([127, 0, 0, 1], 8080))]);
        if listen.is_empty() {
            return Err(invalid("listen", "name at least one address, such as 127.0.0.1:8080"));
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let nats = self.nats.resolve()?;
        let job_grace = self.job_grace.unwrap_or(Duration::from_secs(2));
        if job_grace > LONGEST_JOB_GRACE {
            return Err(invalid("job_grace", "at most 8s: a subscribe is answered within 10s"));
        }
        let with_built_in = self.default_routes.unwrap_or(true);
        let routes = Routes::resolve(self.routes, with_built_in, &nats.stream, job_grace)?;
        let auth = self.auth.resolve()?;
        Ok(Config {
            listen,
            // Where nobody asks for a token, anybody could write.
            publish: self.publish.unwrap_or(matches!(auth, AuthConfig::Jwt(_))),
            auth,
            routes,
            admin_listen: self
                .admin_listen
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8081))),
            allowed_origins: origins(self.allowed_origins.as_deref().unwrap_or_default())?,
            tls: self.tls.resolve()?,
            nats,
            workers: within("workers", self.workers.unwrap_or(cores), 1, 1024)?,
            clients,
            limits: Limits {
                window: bytes_within("window", self.window, ByteSize::mib(128), ByteSize::mib(4))?,
                page_cache: bytes_within(
                    "page_cache",
                    self.page_cache,
                    ByteSize::mib(32),
                    ByteSize::mib(1),
                )?,
                catch_up_slots: within(
                    "catch_up_slots",
                    self.catch_up_slots.unwrap_or(64),
                    1,
                    4096,
                )?,
                send_buffer: u32::try_from(bytes_within(
                    "send_buffer",
                    self.send_buffer,
                    ByteSize::kib(64),
                    ByteSize::kib(4),
                )?)
                .map_err(|_| invalid("send_buffer", "at most 4GiB"))?,
            },
            timing: Timing {
                ping_interval: at_least_a_second("ping_interval", self.ping_interval, 25)?,
                pong_timeout: at_least_a_second("pong_timeout", self.pong_timeout, 10)?,
                stuck_timeout: at_least_a_second("stuck_timeout", self.stuck_timeout, 30)?,
                drain: self.drain.unwrap_or(Duration::from_secs(20)),
            },
            log_format: self.log_format.unwrap_or_default(),
            log: self.log.unwrap_or_else(|| "info".into()),
        })
    }
}

fn origins(entries: &[String]) -> Result<AllowedOrigins, ConfigError> {
    let mut origins = AllowedOrigins::default();
    for entry in entries {
        origins
            .allow(entry)
            .map_err(|error| invalid("allowed_origins", format!("{entry:?} {error}")))?;
    }
    Ok(origins)
}

fn lay_over(below: &mut toml::Table, above: toml::Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(toml::Value::Table(lower)), toml::Value::Table(upper)) => lay_over(lower, upper),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

fn within(
    setting: &'static str,
    value: usize,
    least: usize,
    most: usize,
) -> Result<usize, ConfigError> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(invalid(setting, format!("{value} is not between {least} and {most}")))
    }
}

fn bytes_within(
    setting: &'static str,
    value: Option<ByteSize>,
    default: ByteSize,
    least: ByteSize,
) -> Result<usize, ConfigError> {
    let value = value.unwrap_or(default);
    if value < least {
        return Err(invalid(setting, format!("{value} is less than the {least} it needs")));
    }
    usize::try_from(value.as_u64())
        .map_err(|_| invalid(setting, "larger than this machine's memory"))
}

fn at_least_a_second(
    setting: &'static str,
    value: Option<Duration>,
    default_seconds: u64,
) -> Result<Duration, ConfigError> {
    let value = value.unwrap_or(Duration::from_secs(default_seconds));
    if value < Duration::from_secs(1) {
        return Err(invalid(setting, "at least 1s"));
    }
    Ok(value)
}
