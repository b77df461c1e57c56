//! Logs: one line an event, to standard error. Metrics are elsewhere.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// What libraries may log unless they are asked for by name.
///
/// What async-nats logs of its connections, `journal::connection` logs with their names. tungstenite
/// logs two lines a close at `debug`, and at `trace` every message, with the tokens that clients
/// renew. opentelemetry tells at `info` and below how its own parts begin and end.
const OF_LIBRARIES: &str = "async_nats=warn,tungstenite=warn,opentelemetry=warn";

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("log: {filter:?} is not a filter such as info or jobwire=debug: {reason}")]
    Filter {
        /// The filter as it was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody has set it up before.
    #[error("log: it is set up already")]
    Twice,
}

/// Sends logs to standard error, in colour only on a terminal and without `NO_COLOR`.
///
/// # Errors
/// [`TelemetryError`] for a filter that cannot be read, or when called twice in a process.
pub fn init(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let logs = tracing_subscriber::fmt()
        .with_env_filter(parse(filter)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let outcome = match format {
        LogFormat::Text => logs.with_target(false).try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    };
    outcome.map_err(|_| TelemetryError::Twice)
}

fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    // Directives given later win, so that async_nats can still be asked for.
    EnvFilter::try_new(format!("{OF_LIBRARIES},{filter}")).map_err(|error| TelemetryError::Filter {
        filter: filter.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_quoted() {
        let error = parse("jobwire=loudly").expect_err("no such level");
        assert!(error.to_string().contains("jobwire=loudly"), "{error}");
    }

    #[test]
    fn no_message_of_a_client_is_logged_unless_the_library_is_asked_for() {
        assert!(parse("trace").expect("a filter").to_string().contains("tungstenite=warn"));
    }

    #[test]
    fn connection_events_are_logged_once_unless_the_library_is_asked_for() {
        assert!(parse("info").expect("a filter").to_string().contains("async_nats=warn"));
        let asked = parse("info,async_nats=debug").expect("a filter").to_string();
        assert!(
            asked.contains("async_nats=debug") && !asked.contains("async_nats=warn"),
            "{asked}"
        );
    }
}
