//! The settings of tokens, declared and checked in the manner of `config`.
//!
//! Keys in files are read here too, so that a mistake is told before any socket is bound. What
//! makes a key a good one is in `key`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use hyper::Uri;
use serde::{Deserialize, Serialize};

use super::jwks;
use super::key::Key;
use super::pattern::Pattern;
use super::verifier::Policy;
use crate::config::{ConfigError, invalid};

/// Most seconds that clocks may differ.
const MOST_LEEWAY: Duration = Duration::from_secs(30);
/// Longest time between two fetches of a JWK set.
const LONGEST_REFRESH: Duration = Duration::from_secs(7 * 86_400);
/// Longest time that keys count without a fetch: a revoked one is good for as long.
const LONGEST_AGE: Duration = Duration::from_secs(30 * 86_400);
/// Headers of a request have 16 KiB, so no larger token could arrive.
const MOST_TOKEN: ByteSize = ByteSize::kib(16);

/// Whether tokens are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Anybody may watch and publish anything.
    #[default]
    Off,
    /// A JSON Web Token (RFC 7519) says who may do what.
    Jwt,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("hidden")
    }
}

/// Who may watch and publish what. `None` means: not given here.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Tokens")]
pub struct AuthSettings {
    /// Whether tokens are asked for: off or jwt [default: off]
    #[arg(long = "auth-mode", env = "JOBWIRE_AUTH_MODE", value_name = "MODE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<AuthMode>,
    /// The secret of HS256 itself; meant for the environment, as others can read a command line
    #[arg(
        long = "auth-secret",
        env = "JOBWIRE_AUTH_SECRET",
        value_name = "TEXT",
        hide = true,
        hide_env_values = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// File with the secret of HS256, at least 32 bytes; or set JOBWIRE_AUTH_SECRET to the secret
    #[arg(long = "auth-secret-file", env = "JOBWIRE_AUTH_SECRET_FILE", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// Public key (PEM) with its one algorithm and, if tokens name it, its id: ES256=a.pem or
    /// ES256:2026-a=a.pem; several with commas
    #[arg(
        long = "auth-public-keys",
        env = "JOBWIRE_AUTH_PUBLIC_KEYS",
        value_name = "ALGORITHM[:KID]=FILE",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_keys: Option<Vec<String>>,
    /// File with the issuer's keys as a JWK set
    #[arg(long = "auth-jwks-file", env = "JOBWIRE_AUTH_JWKS_FILE", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// Address of the issuer's keys as a JWK set (http or https)
    #[arg(long = "auth-jwks-url", env = "JOBWIRE_AUTH_JWKS_URL", value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// How often the JWK set is read again [default: 15m]
    #[arg(long = "auth-jwks-refresh", env = "JOBWIRE_AUTH_JWKS_REFRESH", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    pub jwks_refresh: Option<Duration>,
    /// How long its keys count when it cannot be read [default: 24h]
    #[arg(long = "auth-jwks-max-age", env = "JOBWIRE_AUTH_JWKS_MAX_AGE", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    pub jwks_max_age: Option<Duration>,
    /// Audience that a token must name; one of several with commas [default: not looked at]
    #[arg(
        long = "auth-audience",
        env = "JOBWIRE_AUTH_AUDIENCE",
        value_name = "NAME",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<Vec<String>>,
    /// Issuer that a token must have; one of several with commas [default: not looked at]
    #[arg(
        long = "auth-issuer",
        env = "JOBWIRE_AUTH_ISSUER",
        value_name = "NAME",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Vec<String>>,
    /// How far clocks may differ, at most 30s [default: 10s]
    #[arg(long = "auth-leeway", env = "JOBWIRE_AUTH_LEEWAY", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    pub leeway: Option<Duration>,
    /// Jobs that a token without `watch` may watch, such as training/* [default: none]
    #[arg(
        long = "auth-default-watch",
        env = "JOBWIRE_AUTH_DEFAULT_WATCH",
        value_name = "PATTERN",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_watch: Option<Vec<String>>,
    /// Jobs that a token without `publish` may publish to [default: none]
    #[arg(
        long = "auth-default-publish",
        env = "JOBWIRE_AUTH_DEFAULT_PUBLISH",
        value_name = "PATTERN",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_publish: Option<Vec<String>>,
    /// Largest token [default: 8KiB]
    #[arg(long = "auth-max-token", env = "JOBWIRE_AUTH_MAX_TOKEN", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_token: Option<ByteSize>,
}

/// Whether and how tokens are checked.
#[derive(Clone, Debug)]
pub enum AuthConfig {
    /// Not at all: everything is allowed.
    Off,
    /// As JSON Web Tokens.
    Jwt(Box<JwtConfig>),
}

/// How JSON Web Tokens are checked.
#[derive(Clone, Debug)]
pub struct JwtConfig {
    /// Keys that are given and never change.
    pub keys: Vec<Key>,
    /// Keys that are fetched.
    pub jwks: Option<JwksConfig>,
    /// What a token must say.
    pub policy: Policy,
}

/// Keys that are fetched.
#[derive(Clone, Debug)]
pub struct JwksConfig {
    /// Where they are.
    pub location: JwksLocation,
    /// Those of the file as it was when the settings were read.
    pub initial: Option<Vec<Key>>,
    /// How often they are fetched.
    pub refresh: Duration,
    /// How long they count after the last fetch that succeeded.
    pub max_age: Duration,
}

/// The place of a JWK set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksLocation {
    /// A file; it is read again like an address, so that it may be replaced.
    File(PathBuf),
    /// An http or https address.
    Url(Uri),
}

impl AuthSettings {
    /// Checks what was given, reads the keys in files and fills in the defaults.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with the setting's name, for values out of bounds, settings that
    /// contradict each other, and keys that cannot be used.
    pub fn resolve(self) -> Result<AuthConfig, ConfigError> {
        if self.mode.unwrap_or_default() == AuthMode::Off {
            return self.nothing_else_given();
        }
        let policy = self.policy()?;
        let keys = self.keys()?;
        let jwks = self.jwks()?;
        if keys.is_empty() && jwks.is_none() {
            let problem = "jwt needs auth.secret_file, auth.public_keys, auth.jwks_file or \
                           auth.jwks_url to check tokens with";
            return Err(invalid("auth.mode", problem));
        }
        Ok(AuthConfig::Jwt(Box::new(JwtConfig { keys, jwks, policy })))
    }

    /// A gateway that was given keys and yet lets everybody in is nobody's wish.
    fn nothing_else_given(&self) -> Result<AuthConfig, ConfigError> {
        let given =
            toml::Table::try_from(self).map_err(|error| invalid("auth.mode", error.to_string()))?;
        match given.keys().find(|name| *name != "mode") {
            None => Ok(AuthConfig::Off),
            Some(name) => Err(invalid(
                "auth.mode",
                format!("tokens are off, but auth.{name} is given: set jwt, or leave that out"),
            )),
        }
    }

    fn policy(&self) -> Result<Policy, ConfigError> {
        let leeway = self.leeway.unwrap_or(Duration::from_secs(10));
        if leeway > MOST_LEEWAY {
            return Err(invalid("auth.leeway", "at most 30s"));
        }
        let max_token = self.max_token.unwrap_or(ByteSize::kib(8));
        if !(ByteSize::b(256)..=MOST_TOKEN).contains(&max_token) {
            let problem = format!("{max_token} is not between 256 B and {MOST_TOKEN}");
            return Err(invalid("auth.max_token", problem));
        }
        Ok(Policy {
            audience: names("auth.audience", self.audience.as_deref())?,
            issuer: names("auth.issuer", self.issuer.as_deref())?,
            leeway,
            default_watch: patterns("auth.default_watch", self.default_watch.as_deref())?,
            default_publish: patterns("auth.default_publish", self.default_publish.as_deref())?,
            max_token: usize::try_from(max_token.as_u64()).unwrap_or(usize::MAX),
        })
    }

    fn keys(&self) -> Result<Vec<Key>, ConfigError> {
        let secret = match (&self.secret, &self.secret_file) {
            (Some(_), Some(_)) => {
                return Err(invalid("auth.secret_file", "give it or auth.secret, not both"));
            }
            (Some(Secret(text)), None) => Some(secret("auth.secret", text)?),
            (None, Some(path)) => {
                let text = read("auth.secret_file", path)?;
                Some(secret("auth.secret_file", text.trim_end_matches(['\n', '\r']))?)
            }
            (None, None) => None,
        };
        let public = self.public_keys.iter().flatten().map(|text| public_key(text));
        secret.map(Ok).into_iter().chain(public).collect()
    }

    fn jwks(&self) -> Result<Option<JwksConfig>, ConfigError> {
        let (location, initial) = match (&self.jwks_file, &self.jwks_url) {
            (Some(_), Some(_)) => {
                return Err(invalid("auth.jwks_url", "give it or auth.jwks_file, not both"));
            }
            (Some(path), None) => (JwksLocation::File(path.clone()), Some(keys_of_file(path)?)),
            (None, Some(text)) => (JwksLocation::Url(address(text)?), None),
            (None, None) => return self.no_times_of_jwks(),
        };
        let refresh = self.jwks_refresh.unwrap_or(Duration::from_secs(15 * 60));
        if !(Duration::from_secs(10)..=LONGEST_REFRESH).contains(&refresh) {
            return Err(invalid("auth.jwks_refresh", "between 10s and 7days"));
        }
        let max_age = self.jwks_max_age.unwrap_or(Duration::from_secs(86_400).max(refresh));
        if !(refresh..=LONGEST_AGE).contains(&max_age) {
            let problem = "not shorter than auth.jwks_refresh, and at most 30days";
            return Err(invalid("auth.jwks_max_age", problem));
        }
        Ok(Some(JwksConfig { location, initial, refresh, max_age }))
    }

    fn no_times_of_jwks(&self) -> Result<Option<JwksConfig>, ConfigError> {
        let problem = "there is no auth.jwks_file or auth.jwks_url that it could be about";
        if self.jwks_refresh.is_some() {
            return Err(invalid("auth.jwks_refresh", problem));
        }
        if self.jwks_max_age.is_some() {
            return Err(invalid("auth.jwks_max_age", problem));
        }
        Ok(None)
    }
}

fn read(setting: &'static str, path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path)
        .map_err(|error| invalid(setting, format!("cannot read {}: {error}", path.display())))
}

fn secret(setting: &'static str, text: &str) -> Result<Key, ConfigError> {
    if text.contains("-----BEGIN") {
        // A public key as a secret would let everybody sign tokens (RFC 8725 section 2.1).
        return Err(invalid(setting, "is a PEM key, not a secret: give it as auth.public_keys"));
    }
    Key::from_secret(text.as_bytes()).map_err(|error| invalid(setting, format!("it {error}")))
}

/// A public key as it is written in settings: `ALGORITHM[:KID]=FILE`.
fn public_key(text: &str) -> Result<Key, ConfigError> {
    const SETTING: &str = "auth.public_keys";
    let (key, path) = text
        .split_once('=')
        .ok_or_else(|| invalid(SETTING, format!("{text:?} is not ALGORITHM[:KID]=FILE")))?;
    let (algorithm, id) = match key.split_once(':') {
        Some((algorithm, id)) => (algorithm, Some(id)),
        None => (key, None),
    };
    let algorithm = algorithm.parse().map_err(|_| {
        let known = "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA";
        invalid(SETTING, format!("{algorithm:?} is not one of {known}"))
    })?;
    let pem = read(SETTING, Path::new(path))?;
    Key::from_pem(algorithm, id, &pem).map_err(|error| invalid(SETTING, format!("{path} {error}")))
}

fn keys_of_file(path: &Path) -> Result<Vec<Key>, ConfigError> {
    jwks::read_file(path)
        .map_err(|error| invalid("auth.jwks_file", format!("{}: {error}", path.display())))
}

fn address(text: &str) -> Result<Uri, ConfigError> {
    let problem = || invalid("auth.jwks_url", format!("{text:?} is not an http or https address"));
    let address: Uri = text.parse().map_err(|_| problem())?;
    let has_scheme = matches!(address.scheme_str(), Some("http" | "https"));
    match address.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            Err(invalid("auth.jwks_url", "an address with a user is not supported"))
        }
        Some(_) if has_scheme => Ok(address),
        _ => Err(problem()),
    }
}

fn names(setting: &'static str, given: Option<&[String]>) -> Result<Vec<String>, ConfigError> {
    match given {
        None => Ok(Vec::new()),
        Some([]) => Err(invalid(setting, "is empty: name one, or leave it out")),
        Some(names) if names.iter().any(String::is_empty) => {
            Err(invalid(setting, "has a name that is empty"))
        }
        Some(names) => Ok(names.to_vec()),
    }
}

fn patterns(setting: &'static str, given: Option<&[String]>) -> Result<Vec<Pattern>, ConfigError> {
    let parse = |text: &String| {
        text.parse().map_err(|error| invalid(setting, format!("{text:?}: {error}")))
    };
    given.unwrap_or_default().iter().map(parse).collect()
}
