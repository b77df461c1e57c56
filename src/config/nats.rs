//! How NATS is reached: the settings, and what they become.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{ConfigError, invalid};

/// How NATS is reached, and which stream holds the events.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "NATS")]
pub struct NatsSettings {
    /// Address of the NATS server; several with commas [default: nats://127.0.0.1:4222]
    #[arg(long = "nats-url", env = "NATS_URL", value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Credentials file (.creds)
    #[arg(long = "nats-credentials", env = "NATS_CREDS", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<PathBuf>,
    /// File that holds an nkey seed
    #[arg(long = "nats-nkey", env = "NATS_NKEY", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nkey: Option<PathBuf>,
    /// User name
    #[arg(long = "nats-user", env = "NATS_USER", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password of the user
    #[arg(
        long = "nats-password",
        env = "NATS_PASSWORD",
        value_name = "TEXT",
        hide_env_values = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Token, for a server that asks for no more than that. Only a person gives one.
    #[arg(skip)]
    #[serde(skip)]
    pub token: Option<String>,
    /// Certificate authority that the server's certificate is checked against (PEM)
    #[arg(long = "nats-tls-ca", env = "NATS_CA", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<PathBuf>,
    /// Client certificate (PEM)
    #[arg(long = "nats-tls-cert", env = "NATS_CERT", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// Key of the client certificate (PEM)
    #[arg(long = "nats-tls-key", env = "NATS_KEY", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// Start TLS before the server's greeting
    #[arg(long = "nats-tls-first", env = "NATS_TLS_FIRST", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_first: Option<bool>,
    /// Prefix of the inboxes that answers come to, for users who may subscribe to no other
    #[arg(long = "nats-inbox-prefix", env = "NATS_INBOX_PREFIX", value_name = "SUBJECT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbox_prefix: Option<String>,
    /// JetStream domain
    #[arg(long = "nats-domain", env = "NATS_DOMAIN", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// JetStream API prefix, where it is not $JS.API; excludes the domain
    #[arg(long = "nats-api-prefix", env = "NATS_API_PREFIX", value_name = "SUBJECT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_prefix: Option<String>,
    /// Stream that holds the job events [default: JOBS]
    #[arg(long = "stream", env = "JOBWIRE_STREAM", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
}

/// How NATS is reached, checked.
#[derive(Clone, Debug)]
pub struct NatsConfig {
    /// Servers, comma separated.
    pub url: String,
    /// At most one way to say who we are.
    pub identity: NatsIdentity,
    /// Certificate authority (PEM).
    pub tls_ca: Option<PathBuf>,
    /// Client certificate and its key (PEM).
    pub tls_client: Option<(PathBuf, PathBuf)>,
    /// TLS before the server's greeting.
    pub tls_first: bool,
    /// Where answers come to; `None`: the library's default.
    pub inbox_prefix: Option<String>,
    /// Prefix of the JetStream API, `$JS.API` unless a domain or a prefix was given.
    pub api_prefix: String,
    /// The stream's name.
    pub stream: String,
}

/// Who we are to NATS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NatsIdentity {
    /// Nobody in particular; the URL may still carry a user.
    Anonymous,
    /// A `.creds` file.
    Credentials(PathBuf),
    /// A file with an nkey seed.
    Nkey(PathBuf),
    /// User name and password.
    Password(String, String),
    /// Nothing but a token.
    Token(String),
}

impl NatsSettings {
    /// Checks what was given and fills in the defaults.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] for contradicting or incomplete settings.
    pub fn resolve(self) -> Result<NatsConfig, ConfigError> {
        let stream = self.stream.unwrap_or_else(|| "JOBS".into());
        if stream.is_empty() || stream.contains(|c: char| c.is_whitespace() || ".*>/\\".contains(c))
        {
            return Err(invalid(
                "nats.stream",
                format!(
                    "{stream:?} cannot be a stream's name: no dots, wildcards, slashes or white space"
                ),
            ));
        }
        let api_prefix = match (self.domain, self.api_prefix) {
            (Some(_), Some(_)) => {
                return Err(invalid("nats.api_prefix", "give it or nats.domain, not both"));
            }
            (Some(domain), None) => format!("$JS.{domain}.API"),
            (None, Some(prefix)) => prefix,
            (None, None) => "$JS.API".into(),
        };
        let tls_client = match (self.tls_cert, self.tls_key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => {
                return Err(invalid("nats.tls_cert", "a certificate and nats.tls_key go together"));
            }
        };
        let password = match (self.user, self.password) {
            (Some(user), Some(password)) => Some(NatsIdentity::Password(user, password)),
            (None, None) => None,
            _ => return Err(invalid("nats.user", "a user and nats.password go together")),
        };
        let mut identities = [
            self.credentials.map(NatsIdentity::Credentials),
            self.nkey.map(NatsIdentity::Nkey),
            password,
            self.token.map(NatsIdentity::Token),
        ]
        .into_iter()
        .flatten();
        let identity = identities.next().unwrap_or(NatsIdentity::Anonymous);
        if identities.next().is_some() {
            return Err(invalid(
                "nats.credentials",
                "give one of nats.credentials, nats.nkey, or nats.user with nats.password",
            ));
        }
        Ok(NatsConfig {
            url: self.url.unwrap_or_else(|| "nats://127.0.0.1:4222".into()),
            identity,
            tls_ca: self.tls_ca,
            tls_client,
            tls_first: self.tls_first.unwrap_or(false),
            inbox_prefix: self.inbox_prefix,
            api_prefix,
            stream,
        })
    }
}
