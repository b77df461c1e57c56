//! Producers that keep their rate whatever happens, and repeat what was not acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::jetstream::{self, context::PublishErrorKind, message::PublishMessage};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::recorder::Recorder;
use super::{Length, payload};
use crate::history::What;

/// Events that may be on their way at once, of all jobs.
const IN_FLIGHT: u32 = 512;

/// An acknowledgement that does not come within this is taken for lost.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(2);

/// How long what is on its way may take once nothing disturbs it.
const QUIET_WITHIN: Duration = Duration::from_secs(60);

/// Number of a job's last event.
const LAST_NUMBER: u64 = 1_000_000_000;

/// One producer for each job.
pub struct Publishers {
    producer: Producer,
    in_flight: Arc<Semaphore>,
    tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Producer {
    context: jetstream::Context,
    recorder: Recorder,
    padding: usize,
    /// Attempts that the stream refused.
    refused: Arc<AtomicUsize>,
}

/// As long as this lives nothing is published.
pub struct Silence(
    #[expect(dead_code, reason = "what counts is that it is held")] OwnedSemaphorePermit,
);

impl Publishers {
    /// Publishes the first event of each job, then those of all jobs at a steady rate.
    pub async fn start(
        client: async_nats::Client,
        recorder: &Recorder,
        jobs: &[String],
        length: Length,
    ) -> Self {
        let context = jetstream::context::ContextBuilder::new()
            .ack_timeout(ACKNOWLEDGED_WITHIN)
            .build(client);
        let (recorder, padding) = (recorder.clone(), length.padding);
        let producer = Producer { context, recorder, padding, refused: Arc::default() };
        let in_flight = Arc::new(Semaphore::new(IN_FLIGHT as usize));
        let mut tasks = JoinSet::new();
        let pause = Duration::from_secs(1) * u32::try_from(jobs.len()).unwrap_or(1) / length.rate;
        for job in jobs {
            producer.publish(job, 0).await;
            tasks.spawn(keep_publishing(producer.clone(), job.clone(), in_flight.clone(), pause));
        }
        Self { producer, in_flight, tasks }
    }

    /// Publishes nothing more, and waits until everything sent is acknowledged.
    pub async fn silence(&self) -> Silence {
        let all = Arc::clone(&self.in_flight).acquire_many_owned(IN_FLIGHT);
        let all = timeout(QUIET_WITHIN, all).await;
        let all =
            all.unwrap_or_else(|_| panic!("some events are not stored after {QUIET_WITHIN:?}"));
        Silence(all.expect("a semaphore that is never closed"))
    }

    /// Publishes that the stream answered with an error.
    pub fn refused(&self) -> usize {
        self.producer.refused.load(Ordering::Relaxed)
    }

    /// Ends, and publishes one last event of each job; tells them as (job, hash).
    pub async fn finish(&mut self, jobs: &[String]) -> Vec<(String, String)> {
        let silence = self.silence().await;
        self.tasks.shutdown().await;
        drop(silence);
        let mut sentinels = Vec::new();
        for job in jobs {
            let (id, hash) = self.producer.publish(job, LAST_NUMBER).await;
            self.producer.recorder.note(What::Sentinel { job: job.clone(), id });
            sentinels.push((job.clone(), hash));
        }
        sentinels
    }
}

async fn keep_publishing(
    producer: Producer,
    job: String,
    in_flight: Arc<Semaphore>,
    pause: Duration,
) {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 1.. {
        ticks.tick().await;
        let permit = Arc::clone(&in_flight).acquire_owned().await;
        let (producer, job) = (producer.clone(), job.clone());
        drop(tokio::spawn(async move {
            producer.publish(&job, number).await;
            drop(permit);
        }));
    }
}

impl Producer {
    /// Publishes an event until it is acknowledged: with one message id, so that it is stored
    /// once.
    async fn publish(&self, job: &str, number: u64) -> (u64, String) {
        let event = payload::event(job, number, self.padding);
        let hash = payload::hash_of(&event);
        let body = bytes::Bytes::from(event.to_string());
        self.recorder.note(What::Intent { job: job.into(), hash: hash.clone() });
        let began = Instant::now();
        loop {
            let message = PublishMessage::build()
                .payload(body.clone())
                .message_id(format!("optimization/{job}/{number}"));
            if let Ok(sent) = self.context.send_publish(payload::subject(job), message).await {
                match sent.await {
                    Ok(stored) => {
                        let (job, id) = (job.into(), stored.sequence);
                        self.recorder.note(What::Acknowledged { job, hash: hash.clone(), id });
                        return (id, hash);
                    }
                    Err(error) if matches!(error.kind(), PublishErrorKind::Other) => {
                        self.refused.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => {}
                }
            }
            assert!(began.elapsed() < 2 * QUIET_WITHIN, "an event of {job} cannot be stored");
            sleep(Duration::from_millis(fastrand::u64(50..250))).await;
        }
    }
}
