//! The measure: what a client that talks to NATS itself would wait for.

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures_util::StreamExt;

use super::fill::{Job, STREAM, Stream};

/// Messages of one pull. All of a usual job, so that nothing is waited for twice, and few enough
/// for the library's buffer of 65,536.
const PULL: usize = 10_000;

/// From creating an ephemeral consumer to the job's last event.
pub async fn read(stream: &Stream, job: &Job) -> Duration {
    let started = Instant::now();
    let config = pull::Config {
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::None,
        filter_subject: format!("jobs.optimization.{}.>", job.id),
        num_replicas: 1,
        memory_storage: true,
        inactive_threshold: Duration::from_secs(5),
        ..pull::Config::default()
    };
    let mut consumer =
        stream.context.create_consumer_on_stream(config, STREAM).await.expect("a consumer");
    let pulls = consumer.stream().max_messages_per_batch(PULL.min(job.events));
    let mut messages = pulls.messages().await.expect("a pull");
    let mut last = 0;
    for _ in 0..job.events {
        let message = messages.next().await.expect("an open connection").expect("a message");
        last = message.info().expect("a place in the stream").stream_sequence;
    }
    let took = started.elapsed();
    assert_eq!(last, job.last, "the last event of {}", job.id);
    drop(messages);
    let name = consumer.info().await.expect("a consumer").name.clone();
    stream.context.delete_consumer_from_stream(name, STREAM).await.expect("a consumer to delete");
    took
}
