//! Whether NATS lets the gateway do what it has to: each subject is tried, and nothing is changed.
//!
//! A consumer is made and deleted as the gateway itself does it. A message that is published to see
//! whether that is allowed expects a stream that is not there, so that none stores it.

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_STREAM;
use serde_json::json;

use super::broker::{NoAnswer, ask, denied};
use super::check::Check;
use crate::config::NatsConfig;
use crate::journal::connection::Connection;

/// Tries what a gateway needs of a stream.
pub(super) async fn reading(
    connection: &Connection,
    config: &NatsConfig,
    stream: &str,
) -> Vec<Check> {
    let consumer = format!("jobwire-doctor-{:016x}", fastrand::u64(..));
    let filter = "jobwire.rights";
    let making = json!({
        "stream_name": stream,
        "action": "create",
        "config": {
            "name": consumer,
            "deliver_policy": "new",
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subject": filter,
            "num_replicas": 1,
            "mem_storage": true,
            "inactive_threshold": 5_000_000_000_u64,
        },
    });
    let attempts = [
        (format!("STREAM.MSG.GET.{stream}"), json!({ "seq": 1 })),
        (format!("DIRECT.GET.{stream}"), json!({ "multi_last": [filter] })),
        (format!("CONSUMER.CREATE.{stream}.{consumer}.{filter}"), making),
        (format!("CONSUMER.MSG.NEXT.{stream}.{consumer}"), json!({ "batch": 1, "no_wait": true })),
        (format!("CONSUMER.DELETE.{stream}.{consumer}"), json!({})),
    ];
    let mut checks = Vec::new();
    for (operation, body) in attempts {
        let subject = format!("{}.{operation}", config.api_prefix);
        checks.extend(attempt(connection, &subject, body.to_string()).await);
    }
    if checks.is_empty() {
        checks.push(Check::passed("permissions", "everything that a gateway reads with"));
    }
    checks.into_iter().map(|check| check.about(stream)).collect()
}

/// What is wrong with asking something, if anything. Whatever the answer is, it was allowed.
async fn attempt(connection: &Connection, subject: &str, body: String) -> Option<Check> {
    match ask(connection, subject, body).await {
        Err(NoAnswer::Denied(denial)) => Some(denied(&denial)),
        // A pull of a consumer that could not be made has nobody to answer it.
        Ok(_) | Err(NoAnswer::Nobody) => None,
        Err(NoAnswer::Silence(reason)) => Some(Check::failed(
            "permissions",
            format!("{subject}: {reason}"),
            "Look at the server's log: JetStream may be without a leader",
        )),
    }
}

/// Tries whether events may be published; none is stored.
pub(super) async fn publishing(connection: &Connection, subject: &str) -> Check {
    let attempt = connection.denials().begin(subject);
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_STREAM, "jobwire-doctor-expects-no-such-stream");
    let asking = connection.client().request_with_headers(subject.to_owned(), headers, "{}".into());
    let patience = std::time::Duration::from_secs(5);
    match tokio::time::timeout(patience, attempt.answered(asking)).await {
        Ok(Err(denial)) => denied(&denial),
        Ok(Ok(Ok(_))) => Check::passed("permissions", "events may be published"),
        Ok(Ok(Err(error))) => Check::failed(
            "permissions",
            format!("no stream takes {subject}: {error}"),
            "\"jobs.>\" should be among the subjects of the stream: jobwire stream apply",
        ),
        Err(_) => Check::failed(
            "permissions",
            format!("{subject}: no answer within {patience:?}"),
            "Look at the server's log: JetStream may be without a leader",
        ),
    }
}
