//! Contexts of the `nats` command line: how a person's own tools reach NATS, by a name.
//!
//! For commands that people type. The gateway is not told by them: what it uses stands in its own
//! configuration.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::{ConfigError, NatsConfig, NatsSettings, invalid};

/// How a person reaches NATS.
#[derive(Args, Clone, Debug, Default)]
pub struct PersonalNatsSettings {
    /// Context of the nats command line to take from what is not given here [default: the one that
    /// `nats context select` has selected, where neither an address nor an identity is given]
    #[arg(long = "context", env = "NATS_CONTEXT", value_name = "NAME", help_heading = "NATS")]
    pub context: Option<String>,
    /// Token, for a server that asks for no more than that
    #[arg(
        long = "nats-token",
        env = "NATS_TOKEN",
        value_name = "TEXT",
        hide_env_values = true,
        help_heading = "NATS"
    )]
    pub token: Option<String>,
    /// What is given here wins over the context.
    #[command(flatten)]
    pub nats: NatsSettings,
}

/// What of a context's file is understood.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Context {
    url: String,
    user: String,
    password: String,
    token: String,
    creds: String,
    nkey: String,
    cert: String,
    key: String,
    ca: String,
    inbox_prefix: String,
    jetstream_domain: String,
    jetstream_api_prefix: String,
    tls_first: bool,
}

impl PersonalNatsSettings {
    /// Adds what the context says, checks all of it and fills in the defaults.
    ///
    /// # Errors
    /// [`ConfigError`]: a context that is not there or cannot be read, or as for
    /// [`NatsSettings::resolve`].
    pub fn resolve(self) -> Result<NatsConfig, ConfigError> {
        self.resolve_below(Directories::of_this_process().contexts().as_deref())
    }

    fn resolve_below(mut self, directory: Option<&Path>) -> Result<NatsConfig, ConfigError> {
        self.nats.token = self.token;
        let given = self.context.clone().filter(|name| !name.is_empty());
        let name = match given {
            Some(name) => Some(name),
            None if self.nats.url.is_none() && !self.nats.has_identity() => {
                directory.and_then(selected)
            }
            None => None,
        };
        let Some(name) = name else { return self.nats.resolve() };
        let context = Context::read(directory, &name)?;
        self.nats.over(context).resolve()
    }
}

impl NatsSettings {
    fn has_identity(&self) -> bool {
        self.credentials.is_some()
            || self.nkey.is_some()
            || self.user.is_some()
            || self.token.is_some()
    }

    /// These, and what is missing from a context. An identity is taken as a whole.
    fn over(mut self, context: Context) -> Self {
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        let path = |name: String| text(name).map(|name| expanded(&name));
        if !self.has_identity() {
            self.credentials = path(context.creds);
            self.nkey = path(context.nkey);
            let is_named = !context.password.is_empty();
            // A user without a password is what the nats command line takes for a token.
            self.token =
                text(context.token).or_else(|| text(context.user.clone()).filter(|_| !is_named));
            if is_named {
                self.user = text(context.user);
                self.password = text(context.password);
            }
        }
        self.url = self.url.or(text(context.url));
        if self.tls_cert.is_none() && self.tls_key.is_none() {
            self.tls_cert = path(context.cert);
            self.tls_key = path(context.key);
        }
        self.tls_ca = self.tls_ca.or(path(context.ca));
        self.tls_first = self.tls_first.or(Some(context.tls_first));
        self.inbox_prefix = self.inbox_prefix.or(text(context.inbox_prefix));
        if self.domain.is_none() && self.api_prefix.is_none() {
            self.domain = text(context.jetstream_domain);
            self.api_prefix = text(context.jetstream_api_prefix);
        }
        self
    }
}

impl Context {
    fn read(directory: Option<&Path>, name: &str) -> Result<Self, ConfigError> {
        let problem = |problem: String| invalid("nats context", problem);
        if name.contains(['/', '\\']) || name.starts_with('.') {
            return Err(problem(format!("{name:?} cannot be the name of one")));
        }
        let home = || problem("there is no home directory to look for contexts in".to_owned());
        let path = directory.ok_or_else(home)?.join("context").join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).map_err(|error| {
            problem(format!("{name:?}: cannot read {}: {error}", path.display()))
        })?;
        serde_json::from_str(&text)
            .map_err(|error| problem(format!("{name:?}: {}: {error}", path.display())))
    }
}

/// The context that was selected last, if any.
fn selected(directory: &Path) -> Option<String> {
    let text = std::fs::read_to_string(directory.join("context.txt")).ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Where a person keeps configuration.
struct Directories {
    configuration: Option<OsString>,
    home: Option<OsString>,
}

impl Directories {
    fn of_this_process() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self { configuration: variable("XDG_CONFIG_HOME"), home: variable("HOME") }
    }

    /// As the nats command line has it, on every system.
    fn contexts(&self) -> Option<PathBuf> {
        let configured = self.configuration.as_ref().map(PathBuf::from);
        let below_home = || self.home.as_ref().map(|home| Path::new(home).join(".config"));
        Some(configured.or_else(below_home)?.join("nats"))
    }
}

/// A path as a person writes it.
fn expanded(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NatsIdentity;

    fn directory(selected: Option<&str>, contexts: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).expect("a written file");
        };
        std::fs::create_dir(directory.path().join("context")).expect("a directory");
        for (name, text) in contexts {
            write(&format!("context/{name}.json"), text);
        }
        if let Some(name) = selected {
            write("context.txt", name);
        }
        directory
    }

    const LAB: &str = r#"{"url":"nats://lab:4222","user":"ann","password":"secret",
        "inbox_prefix":"_INBOX_ann","jetstream_domain":"hub","description":"x"}"#;

    #[test]
    fn a_named_context_gives_what_was_not_given() {
        let contexts = directory(None, &[("lab", LAB)]);
        let settings = PersonalNatsSettings {
            context: Some("lab".into()),
            nats: NatsSettings { stream: Some("WORK".into()), ..NatsSettings::default() },
            ..PersonalNatsSettings::default()
        };
        let config = settings.resolve_below(Some(contexts.path())).expect("a configuration");
        assert_eq!((config.url.as_str(), config.stream.as_str()), ("nats://lab:4222", "WORK"));
        assert_eq!(config.identity, NatsIdentity::Password("ann".into(), "secret".into()));
        assert_eq!(config.api_prefix, "$JS.hub.API");
        assert_eq!(config.inbox_prefix.as_deref(), Some("_INBOX_ann"));
    }

    #[test]
    fn the_selected_context_counts_only_where_nothing_else_is_said() {
        let contexts = directory(Some("lab\n"), &[("lab", LAB)]);
        let resolve = |nats| {
            let settings = PersonalNatsSettings { nats, ..PersonalNatsSettings::default() };
            settings.resolve_below(Some(contexts.path())).expect("a configuration")
        };
        assert_eq!(resolve(NatsSettings::default()).url, "nats://lab:4222");
        let given = NatsSettings { url: Some("nats://here".into()), ..NatsSettings::default() };
        let config = resolve(given);
        assert_eq!(
            (config.url.as_str(), config.identity),
            ("nats://here", NatsIdentity::Anonymous)
        );
    }

    #[test]
    fn a_user_without_a_password_is_a_token() {
        let contexts = directory(None, &[("one", r#"{"user":"s3cret"}"#)]);
        let settings =
            PersonalNatsSettings { context: Some("one".into()), ..PersonalNatsSettings::default() };
        let config = settings.resolve_below(Some(contexts.path())).expect("a configuration");
        assert_eq!(config.identity, NatsIdentity::Token("s3cret".into()));
    }

    #[test]
    fn a_context_that_is_not_there_is_told_with_where_it_would_be() {
        let contexts = directory(Some("gone"), &[("broken", "{")]);
        for (name, told) in
            [(None, "gone.json"), (Some("broken"), "broken.json"), (Some("../x"), "name")]
        {
            let settings = PersonalNatsSettings {
                context: name.map(str::to_owned),
                ..PersonalNatsSettings::default()
            };
            let error = settings.resolve_below(Some(contexts.path())).expect_err("no such context");
            assert!(error.to_string().contains(told), "{error}");
        }
    }
}
