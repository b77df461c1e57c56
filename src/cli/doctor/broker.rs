//! What is looked at in NATS: the server, JetStream, the stream, its clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::timeout;

use super::check::Check;
use super::report::Report;
use crate::config::NatsConfig;
use crate::journal::connection::{Connection, without_passwords};
use crate::journal::denials::Denial;
use crate::journal::stream::verify;

/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Oldest server that can be used.
const OLDEST: (u32, u32) = (2, 11);
/// From here on clocks are said to differ: times of events and latencies are off by it.
const NOTABLE_SKEW: f64 = 1.0;
/// From here on tokens are refused that are good, or taken that are not.
const BAD_SKEW: f64 = 10.0;
/// The server's codes for "JetStream not enabled", here and for this account.
const NOT_ENABLED: [u64; 2] = [10076, 10039];
/// And for "stream not found".
const STREAM_NOT_FOUND: u64 = 10059;

/// Why a question has no answer.
pub(super) enum NoAnswer {
    /// Our user may not ask.
    Denied(Denial),
    /// Nobody is there to answer.
    Nobody,
    /// No answer in time, or no connection.
    Silence(String),
}

/// Asks something. The answer may be an error.
pub(super) async fn ask(
    connection: &Connection,
    subject: &str,
    body: impl Into<Bytes>,
) -> Result<async_nats::Message, NoAnswer> {
    use async_nats::RequestErrorKind;
    let attempt = connection.denials().begin(subject);
    let asking = connection.client().request(subject.to_owned(), body.into());
    match timeout(PATIENCE, attempt.answered(asking)).await {
        Err(_) => Err(NoAnswer::Silence(format!("no answer within {PATIENCE:?}"))),
        Ok(Err(denial)) => Err(NoAnswer::Denied(denial)),
        Ok(Ok(Err(error))) if error.kind() == RequestErrorKind::NoResponders => {
            Err(NoAnswer::Nobody)
        }
        Ok(Ok(Err(error))) => Err(NoAnswer::Silence(error.to_string())),
        Ok(Ok(Ok(message))) => Ok(message),
    }
}

/// What is said of the server that we are connected to.
pub(super) fn server(connection: &Connection, config: &NatsConfig) -> Vec<Check> {
    let info = connection.client().server_info();
    let url = without_passwords(&config.url);
    let reached = Check::passed("nats", format!("connected to {} at {url}", info.server_name));
    let version = match version(&info.version) {
        Some(version) if version >= OLDEST => Check::passed("version", info.version),
        _ => {
            let (major, minor) = OLDEST;
            let mend = format!("jobwire needs nats-server {major}.{minor} or later: update it");
            Check::failed("version", format!("the server is {}", info.version), mend)
        }
    };
    vec![reached, version]
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[derive(Deserialize)]
struct Information {
    #[serde(default)]
    error: Option<ApiError>,
    #[serde(default)]
    config: Option<async_nats::jetstream::stream::Config>,
    #[serde(default)]
    ts: Option<String>,
}

#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// JetStream, one stream, and the clock, all in one answer. Whether the stream is there.
pub(super) async fn stream(
    connection: &Connection,
    config: &NatsConfig,
    name: &str,
    report: &mut Report,
) -> bool {
    let subject = format!("{}.STREAM.INFO.{name}", config.api_prefix);
    let before = now();
    let answer = ask(connection, &subject, "").await;
    let between = f64::midpoint(before, now());
    let information = match answer {
        Ok(message) => serde_json::from_slice::<Information>(&message.payload),
        Err(no_answer) => {
            report.checks.push(unanswered(no_answer).about(name));
            return false;
        }
    };
    let information = match information {
        Ok(information) => information,
        Err(error) => {
            let found = format!("the answer about the stream cannot be read: {error}");
            let mend = "Is this a nats-server with JetStream?";
            report.checks.push(Check::failed("jetstream", found, mend).about(name));
            return false;
        }
    };
    if let Some(error) = information.error {
        report.checks.push(refused(&error, name).about(name));
        return false;
    }
    report.checks.push(Check::passed("jetstream", "answers").about(name));
    if let Some(there) = information.ts.as_deref().and_then(seconds) {
        report.clock_skew = Some(there - between);
        report.checks.push(clock(there - between));
    }
    let Some(config) = information.config else { return false };
    report.checks.extend(fitness(&config).into_iter().map(|check| check.about(name)));
    true
}

fn unanswered(no_answer: NoAnswer) -> Check {
    match no_answer {
        NoAnswer::Denied(denial) => denied(&denial),
        NoAnswer::Nobody => Check::failed(
            "jetstream",
            "nobody answers its requests",
            "Turn JetStream on (`jetstream {}` in the server's configuration, and `jetstream: \
             enabled` in the account), or name its domain (NATS_DOMAIN) or prefix (NATS_API_PREFIX)",
        ),
        NoAnswer::Silence(reason) => Check::failed(
            "jetstream",
            reason,
            "Look at the server's log: JetStream may be without a leader, or the disk too slow",
        ),
    }
}

/// A right that is missing.
pub(super) fn denied(denial: &Denial) -> Check {
    Check::failed(
        "permissions",
        denial.to_string(),
        "Grant it to the user of the gateway, as nats/users.conf does; nats/README.md tells what \
         each subject is for",
    )
}

fn refused(error: &ApiError, name: &str) -> Check {
    let ApiError { err_code, description } = error;
    if NOT_ENABLED.contains(err_code) {
        return Check::failed(
            "jetstream",
            description.clone(),
            "Turn JetStream on: `jetstream {}` in the server's configuration, and `jetstream: \
             enabled` in the account",
        );
    }
    let mend = match *err_code == STREAM_NOT_FOUND {
        true => format!("Create it: jobwire stream apply --stream {name}"),
        false => "Look at the server's log".to_owned(),
    };
    Check::failed("stream", description.clone(), mend)
}

/// What `jobwire stream verify` says.
fn fitness(config: &async_nats::jetstream::stream::Config) -> Vec<Check> {
    let mend = "jobwire stream apply changes what can be changed; nats/README.md tells the rest";
    let verdict = verify(config);
    let refusals = verdict.refusals.iter();
    let refusals = refusals.map(|found| Check::failed("stream", found.to_string(), mend));
    let warnings = verdict.warnings.iter();
    let warnings = warnings.map(|found| Check::warning("stream", found.to_string(), mend));
    let mut checks: Vec<Check> = refusals.chain(warnings).collect();
    if checks.is_empty() {
        checks.push(Check::passed("stream", "fit for the gateway"));
    }
    checks
}

fn clock(skew: f64) -> Check {
    let side = if skew < 0.0 { "behind" } else { "ahead" };
    let found = format!("the clock of NATS is {:.3} s {side}", skew.abs());
    let mend = "Let both machines take their time from the same source (NTP)";
    match skew.abs() {
        0.0..NOTABLE_SKEW => Check::passed("clock", found),
        NOTABLE_SKEW..BAD_SKEW => Check::warning("clock", found, mend),
        _ => Check::failed("clock", found, mend),
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn seconds(text: &str) -> Option<f64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "microseconds are enough")]
    let seconds = at.unix_timestamp_nanos() as f64 / 1e9;
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    #[test]
    fn an_old_server_is_told_from_a_new_one() {
        assert_eq!(version("2.15.1"), Some((2, 15)));
        assert_eq!(version("2.11.0-RC.1"), Some((2, 11)));
        assert!(version("2.10.29").is_some_and(|version| version < OLDEST));
        assert_eq!(version("unknown"), None);
    }

    #[test]
    fn clocks_that_differ_are_told_by_how_much() {
        assert_eq!(clock(-0.2).verdict, Verdict::Passed);
        let off = clock(-2.5);
        assert_eq!((off.verdict, off.found.contains("2.500 s behind")), (Verdict::Warning, true));
        assert_eq!(clock(60.0).verdict, Verdict::Failed);
        assert_eq!(clock(f64::NAN).verdict, Verdict::Failed);
    }
}
