//! A process of ours, which does not outlive us.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{self, Command};
use tokio::time::timeout;

use crate::config::NatsSettings;

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Child {
    process: process::Child,
}

impl Child {
    /// Starts `jobwire` with these arguments, and with NATS as these settings say, whatever the
    /// environment says. Its log goes where ours goes.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn start(arguments: &[String], nats: &NatsSettings) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        Self::spawn_with_nats(command, nats)
    }

    /// Starts any command, with NATS as these settings say, whatever the environment says.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn spawn_with_nats(mut command: Command, nats: &NatsSettings) -> io::Result<Self> {
        for (variable, value) in environment(nats) {
            match value {
                Some(value) => command.env(variable, value),
                None => command.env_remove(variable),
            };
        }
        Self::spawn(command)
    }

    /// Starts any command.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn spawn(mut command: Command) -> io::Result<Self> {
        // A Ctrl-C at the terminal is for us; we stop the children in their order.
        command.kill_on_drop(true).process_group(0);
        Ok(Self { process: command.spawn()? })
    }

    /// The process itself.
    pub(super) fn process(&mut self) -> &mut process::Child {
        &mut self.process
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What the system says.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// Asks it to stop and waits; kills it when `patience` is over.
    pub(super) async fn stop(&mut self, patience: Duration) {
        let id = self.process.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(id) = id {
            let _ = kill_process(id, Signal::TERM);
        }
        if timeout(patience, self.process.wait()).await.is_err() {
            let _ = self.process.kill().await;
        }
    }
}

impl Drop for Child {
    /// One that is given up while everything starts is gone, too, when we are.
    fn drop(&mut self) {
        // It has ended already in most cases.
        let _ = self.process.start_kill();
        for _ in 0..200 {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The settings as the environment variables they are read from; `None`: not to be set.
///
/// Not as arguments, since everybody on the machine can read those.
fn environment(nats: &NatsSettings) -> [(&'static str, Option<String>); 15] {
    let path = |path: &Option<std::path::PathBuf>| {
        path.as_ref().map(|path| path.to_string_lossy().into_owned())
    };
    [
        ("NATS_URL", nats.url.clone()),
        ("NATS_CREDS", path(&nats.credentials)),
        ("NATS_NKEY", path(&nats.nkey)),
        ("NATS_USER", nats.user.clone()),
        ("NATS_PASSWORD", nats.password.clone()),
        // What these would add is not in the settings, so it is not wanted.
        ("NATS_TOKEN", None),
        ("NATS_CONTEXT", None),
        ("NATS_CA", path(&nats.tls_ca)),
        ("NATS_CERT", path(&nats.tls_cert)),
        ("NATS_KEY", path(&nats.tls_key)),
        ("NATS_TLS_FIRST", nats.tls_first.map(|first| first.to_string())),
        ("NATS_INBOX_PREFIX", nats.inbox_prefix.clone()),
        ("NATS_DOMAIN", nats.domain.clone()),
        ("NATS_API_PREFIX", nats.api_prefix.clone()),
        ("JOBWIRE_STREAM", nats.stream.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, Command};

    #[test]
    fn every_setting_of_nats_is_handed_down() {
        let handed_down = environment(&NatsSettings::default()).map(|(variable, _)| variable);
        let command = NatsSettings::augment_args(Command::new("test"));
        for argument in command.get_arguments() {
            let variable = argument.get_env().and_then(|name| name.to_str()).expect("a variable");
            assert!(handed_down.contains(&variable), "{variable} is not handed down");
        }
    }
}
