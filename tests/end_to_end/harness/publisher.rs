//! The stream, and those who write to it.

use std::ops::Range;
use std::time::Duration;

use async_nats::jetstream::{self, message::PublishMessage, stream};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::nats::NatsServer;
use super::within;

/// Name of the stream in every test.
pub const STREAM: &str = "JOBS";

/// Bytes that may be on their way to the server without an acknowledgement.
const IN_FLIGHT: usize = 4 << 20;

/// The stream as a person would set it up for the gateway.
pub fn job_stream() -> stream::Config {
    stream::Config {
        name: STREAM.into(),
        subjects: vec!["jobs.>".into()],
        storage: stream::StorageType::File,
        retention: stream::RetentionPolicy::Limits,
        discard: stream::DiscardPolicy::Old,
        allow_direct: true,
        deny_delete: true,
        deny_purge: true,
        max_consumers: 100_000,
        ..stream::Config::default()
    }
}

/// An event as its producer knows it once the stream has taken it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Sequence in the stream.
    pub id: u64,
    /// The producer's own count, in `data.number`.
    pub number: u64,
}

/// Writes events and waits for every acknowledgement.
#[derive(Clone)]
pub struct Publisher {
    context: jetstream::Context,
}

impl Publisher {
    /// A producer with a connection of its own.
    pub async fn connect(nats: &NatsServer) -> Self {
        let context = jetstream::context::ContextBuilder::new()
            .ack_timeout(Duration::from_secs(2))
            .build(nats.connect().await);
        Self { context }
    }

    /// Creates the stream.
    pub async fn create_stream(&self, definition: stream::Config) {
        self.context.create_stream(definition).await.expect("the stream is created");
    }

    /// Deletes the stream with everything in it.
    pub async fn delete_stream(&self) {
        self.context.delete_stream(STREAM).await.expect("the stream is deleted");
    }

    /// What the server says about the stream now.
    pub async fn stream_state(&self) -> stream::State {
        let stream = self.context.get_stream(STREAM).await.expect("the stream");
        stream.get_info().await.expect("the stream's state").state
    }

    /// When the stream took an event.
    pub async fn stored_at(&self, id: u64) -> time::OffsetDateTime {
        let stream = self.context.get_stream(STREAM).await.expect("the stream");
        stream.get_raw_message(id).await.expect("the stored event").time
    }

    /// The headers of a stored event.
    pub async fn headers_of(&self, id: u64) -> async_nats::HeaderMap {
        let stream = self.context.get_stream(STREAM).await.expect("the stream");
        stream.get_raw_message(id).await.expect("the stored event").headers
    }

    /// Publishes one event of an optimisation job.
    pub async fn publish(&self, job: &str, event_type: &str, payload: &Value) -> u64 {
        self.publish_bytes(&subject(job, event_type), payload.to_string()).await
    }

    /// Publishes one event of a job of any kind, named `kind/id`.
    pub async fn publish_of(&self, job: &str, event_type: &str, payload: &Value) -> u64 {
        let subject = format!("jobs.{}.{event_type}", job.replace('/', "."));
        self.publish_bytes(&subject, payload.to_string()).await
    }

    /// Publishes one event of a job, named `kind/id`, that names its trace.
    pub async fn publish_traced(
        &self,
        job: &str,
        event_type: &str,
        payload: &Value,
        traceparent: &str,
    ) -> u64 {
        let subject = format!("jobs.{}.{event_type}", job.replace('/', "."));
        let message = PublishMessage::build()
            .payload(payload.to_string().into())
            .header("traceparent", traceparent);
        let publishing = async {
            let sent = self.context.send_publish(subject, message).await;
            sent.expect("the event is sent").await.expect("the event is stored")
        };
        within("a publish is acknowledged", publishing).await.sequence
    }

    /// Publishes any bytes on any subject.
    pub async fn publish_bytes(&self, subject: &str, payload: impl Into<Bytes>) -> u64 {
        let publishing = async {
            let acknowledgement = self.context.publish(subject.to_owned(), payload.into()).await;
            acknowledgement.expect("the event is sent").await.expect("the event is stored")
        };
        within("a publish is acknowledged", publishing).await.sequence
    }

    /// Publishes small numbered events of a job, as fast as the stream takes them.
    pub async fn publish_numbered(&self, job: &str, numbers: Range<u64>) -> Vec<Published> {
        self.publish_padded(job, numbers, 0).await
    }

    /// Publishes numbered events of a job with a payload of about `size` bytes each.
    pub async fn publish_padded(
        &self,
        job: &str,
        numbers: Range<u64>,
        size: usize,
    ) -> Vec<Published> {
        let padding = "x".repeat(size);
        let events = numbers.map(|number| (job.to_owned(), number));
        self.publish_all(events.collect(), &padding).await
    }

    /// Publishes about `bytes` of events of many other jobs.
    pub async fn publish_other_jobs(&self, bytes: usize) {
        const SIZE: usize = 16 << 10;
        let events = (0..bytes.div_ceil(SIZE) as u64).map(|at| (format!("other-{}", at % 50), at));
        self.publish_all(events.collect(), &"x".repeat(SIZE)).await;
    }

    /// Publishes one numbered event after the other, of the jobs as they come.
    pub async fn publish_all(&self, events: Vec<(String, u64)>, padding: &str) -> Vec<Published> {
        let mut published = Vec::with_capacity(events.len());
        for batch in events.chunks((IN_FLIGHT / (padding.len() + 256)).clamp(1, 256)) {
            let storing = self.publish_batch(batch, padding);
            published.extend(within("a batch is acknowledged", storing).await);
        }
        published
    }

    async fn publish_batch(&self, batch: &[(String, u64)], padding: &str) -> Vec<Published> {
        let mut pending = Vec::with_capacity(batch.len());
        for (job, number) in batch {
            let payload = numbered_payload(*number, padding).to_string();
            let sent = self.context.publish(subject(job, "progress"), payload.into()).await;
            pending.push((*number, sent.expect("the event is sent")));
        }
        let mut published = Vec::with_capacity(batch.len());
        for (number, acknowledgement) in pending {
            let id = acknowledgement.await.expect("the event is stored").sequence;
            published.push(Published { id, number });
        }
        published
    }

    /// Publishes one numbered event, again and again until the stream has it, and once.
    async fn publish_for_sure(&self, job: &str, number: u64) -> Published {
        loop {
            let message = PublishMessage::build()
                .payload(numbered_payload(number, "").to_string().into())
                .message_id(format!("{job}/{number}"));
            if let Ok(sent) = self.context.send_publish(subject(job, "progress"), message).await
                && let Ok(acknowledgement) = sent.await
            {
                return Published { id: acknowledgement.sequence, number };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The subject of an optimisation job's event.
pub fn subject(job: &str, event_type: &str) -> String {
    format!("jobs.optimization.{job}.{event_type}")
}

/// The ids of what was published.
pub fn ids(published: &[Published]) -> Vec<u64> {
    published.iter().map(|event| event.id).collect()
}

fn numbered_payload(number: u64, padding: &str) -> Value {
    let data = if padding.is_empty() {
        json!({ "number": number })
    } else {
        json!({ "number": number, "padding": padding })
    };
    json!({ "eventType": "progress", "data": data, "timestamp": "2026-01-02T03:04:05.678Z" })
}

/// Publishes events of one job at a steady rate until it is told to stop.
pub struct SteadyPublisher {
    stop: watch::Sender<bool>,
    newest: watch::Receiver<u64>,
    task: JoinHandle<Vec<Published>>,
}

impl SteadyPublisher {
    /// Starts with the number `first`, at so many events per second.
    pub fn start(publisher: &Publisher, job: &str, first: u64, per_second: u32) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (announce, newest) = watch::channel(0);
        let (publisher, job) = (publisher.clone(), job.to_owned());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut published = Vec::new();
            for number in first.. {
                ticks.tick().await;
                if *stopped.borrow() {
                    break;
                }
                let event = publisher.publish_for_sure(&job, number).await;
                announce.send_replace(event.id);
                published.push(event);
            }
            published
        });
        Self { stop, newest, task }
    }

    /// Waits until the stream has taken an event that is newer than `id`.
    pub async fn past(&mut self, id: u64) -> u64 {
        let newer = self.newest.wait_for(|newest| *newest > id);
        *within("the steady publisher goes on", newer).await.expect("the publisher is at work")
    }

    /// Stops and tells everything that was published.
    pub async fn finish(self) -> Vec<Published> {
        self.stop.send_replace(true);
        within("the steady publisher stops", self.task).await.expect("a publisher without a panic")
    }
}
