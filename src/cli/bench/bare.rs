//! The measure of a replay: what a client that talks to NATS itself would wait for.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::{self};
use futures_util::StreamExt;
use tokio::sync::oneshot;

/// Messages of one pull: few enough for the library's buffer of 65,536.
const PULL: usize = 10_000;

/// Reads all that a filter matches with a pull consumer; from creating it to the last event. With threads
/// of its own, because the one that publishes would be one for both halves of the library.
///
/// # Errors
/// What NATS or the library says; or that other events came than expected.
pub(super) async fn read(url: String, filter: String, events: u64) -> anyhow::Result<Duration> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let outcome = runtime
            .context("a runtime")
            .and_then(|runtime| runtime.block_on(consume(&url, filter, events)));
        let _ = sender.send(outcome);
    });
    receiver.await.context("the bare consumer")?
}

async fn consume(url: &str, filter: String, events: u64) -> anyhow::Result<Duration> {
    let context = jetstream::new(async_nats::connect(url).await?);
    let stream = context.get_stream("JOBS").await?;
    let config = pull::Config {
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::None,
        filter_subject: filter,
        num_replicas: 1,
        memory_storage: true,
        inactive_threshold: Duration::from_secs(5),
        ..pull::Config::default()
    };
    let started = Instant::now();
    let consumer = stream.create_consumer(config).await?;
    let pulls = consumer.stream().max_messages_per_batch(PULL);
    let mut messages = pulls.messages().await?;
    let mut last = 0;
    for _ in 0..events {
        let message = messages.next().await.context("the consumer ended")??;
        let id = message.info().map_err(|error| anyhow::anyhow!(error))?.stream_sequence;
        ensure!(id > last, "the bare consumer got event {id} after {last}");
        last = id;
    }
    Ok(started.elapsed())
}
