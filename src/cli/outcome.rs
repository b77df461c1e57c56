//! How a command ended, as an exit code and one sentence.

use std::io::Write;
use std::process::ExitCode;

use super::publish::CarrierError;
use super::watching::GatewayError;
use crate::config::ConfigError;
use crate::http::BindError;
use crate::journal::connection::ConnectError;
use crate::journal::stream::{ApplyError, DefinitionError};
use crate::telemetry::TelemetryError;

/// What kind of failure it was: the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Anything else: 1.
    Failed,
    /// Wrong usage or configuration: 2.
    Usage,
    /// NATS or the gateway cannot be reached: 3.
    Unreachable,
    /// Events are missing: 4.
    Gap,
    /// The gateway does not want it: 5.
    Refused,
    /// Somebody pressed Ctrl-C, and knows: 130, without a word.
    Interrupted,
}

/// A failure of a command that no library error says.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct Failure {
    /// The exit code it leads to.
    pub kind: FailureKind,
    /// For people.
    pub sentence: String,
}

impl Failure {
    /// The command could not do its work.
    pub fn failed(sentence: impl Into<String>) -> Self {
        Self { kind: FailureKind::Failed, sentence: sentence.into() }
    }

    /// What was asked for makes no sense.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self { kind: FailureKind::Usage, sentence: sentence.into() }
    }

    /// NATS or the gateway cannot be reached.
    pub fn unreachable(sentence: impl Into<String>) -> Self {
        Self { kind: FailureKind::Unreachable, sentence: sentence.into() }
    }

    /// Events are missing.
    pub fn gap(sentence: impl Into<String>) -> Self {
        Self { kind: FailureKind::Gap, sentence: sentence.into() }
    }

    /// The gateway does not want it.
    pub fn refused(sentence: impl Into<String>) -> Self {
        Self { kind: FailureKind::Refused, sentence: sentence.into() }
    }

    /// Somebody pressed Ctrl-C.
    pub fn interrupted() -> Self {
        Self { kind: FailureKind::Interrupted, sentence: String::new() }
    }
}

/// Prints a failure and gives the exit code.
pub(super) fn exit_code(outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    let kind = kind(&error);
    if kind != FailureKind::Interrupted {
        // Nobody has to listen.
        let _ = writeln!(std::io::stderr(), "jobwire: {}", sentence(&error));
    }
    ExitCode::from(match kind {
        FailureKind::Failed => 1,
        FailureKind::Usage => 2,
        FailureKind::Unreachable => 3,
        FailureKind::Gap => 4,
        FailureKind::Refused => 5,
        FailureKind::Interrupted => 130,
    })
}

/// The error and its causes; a cause that the text tells already is left out.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The kind is that of the first error in the chain which has one.
fn kind(error: &anyhow::Error) -> FailureKind {
    error.chain().find_map(kind_of).unwrap_or(FailureKind::Failed)
}

fn kind_of(error: &(dyn std::error::Error + 'static)) -> Option<FailureKind> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return Some(failure.kind);
    }
    if let Some(error) = error.downcast_ref::<ConnectError>() {
        return Some(match error {
            ConnectError::Address { .. } | ConnectError::File { .. } => FailureKind::Usage,
            ConnectError::Refused { .. } | ConnectError::Unreachable { .. } => {
                FailureKind::Unreachable
            }
        });
    }
    if let Some(error) = error.downcast_ref::<GatewayError>() {
        return Some(match error {
            GatewayError::Unreachable { .. } => FailureKind::Unreachable,
            GatewayError::Refused { status, .. } if matches!(status.as_u16(), 401 | 403) => {
                FailureKind::Refused
            }
            GatewayError::Refused { .. } | GatewayError::Strange(_) => FailureKind::Failed,
        });
    }
    if let Some(CarrierError::Http(error)) = error.downcast_ref::<CarrierError>() {
        return kind_of(error);
    }
    if let Some(ApplyError::Unreachable { .. }) = error.downcast_ref::<ApplyError>() {
        return Some(FailureKind::Unreachable);
    }
    let usage = error.is::<ConfigError>()
        || error.is::<DefinitionError>()
        || error.is::<BindError>()
        || matches!(error.downcast_ref(), Some(TelemetryError::Filter { .. }));
    usage.then_some(FailureKind::Usage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_failure_keeps_its_kind_under_an_explanation() {
        let connect = ConnectError::Unreachable { url: "x".into(), reason: "y".into() };
        let error = Err::<(), _>(connect).context("while starting").expect_err("an error");
        assert_eq!(kind(&error), FailureKind::Unreachable);
        assert_eq!(kind(&Failure::usage("no").into()), FailureKind::Usage);
        assert_eq!(kind(&anyhow::anyhow!("anything")), FailureKind::Failed);
    }

    #[test]
    fn a_mistake_in_a_setting_is_wrong_usage() {
        let missing = crate::config::Settings::default()
            .resolve(Some(std::path::Path::new("/nowhere/jobwire.toml")))
            .expect_err("no such file");
        assert_eq!(kind(&missing.into()), FailureKind::Usage);
    }
}
