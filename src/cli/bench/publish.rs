//! Sends events through JetStream when they are due, and waits for every acknowledgement.

use anyhow::Context;
use async_nats::jetstream;
use async_nats::jetstream::context::PublishAckFuture;
use hdrhistogram::Histogram;
use tokio::sync::{mpsc, watch};

use super::clock;
use super::conversation::Jobs;
use super::schedule::Schedule;
use super::tally::histogram;

/// Events that are sent and not acknowledged yet, at most.
const UNACKNOWLEDGED: usize = 1_000;

/// Who publishes.
#[derive(Debug, Clone)]
pub(super) struct Publishing {
    pub(super) context: jetstream::Context,
    pub(super) jobs: Jobs,
    /// Bytes of an event.
    pub(super) size: usize,
}

/// What was published.
#[derive(Debug)]
pub(super) struct Published {
    /// From the time an event was due until it was handed to the library, in nanoseconds.
    pub(super) lateness: Histogram<u64>,
    /// Id of the last event of each job.
    pub(super) last_ids: Vec<u64>,
}

impl Publishing {
    /// Publishes a schedule; ends when all of it is stored.
    ///
    /// # Errors
    /// What the stream said instead of acknowledging an event.
    pub(super) async fn run(&self, schedule: Schedule) -> anyhow::Result<Published> {
        let (acknowledgements, awaited) = mpsc::channel(UNACKNOWLEDGED);
        let awaiting = tokio::spawn(acknowledged(awaited, schedule));
        let sending = self.send(schedule, acknowledgements).await;
        // What became of the first ones explains best why later ones could not be sent.
        let last_ids = awaiting.await.context("the acknowledgements")??;
        Ok(Published { lateness: sending?, last_ids })
    }

    async fn send(
        &self,
        schedule: Schedule,
        acknowledgements: mpsc::Sender<(u64, PublishAckFuture)>,
    ) -> anyhow::Result<Histogram<u64>> {
        let subjects: Vec<_> = (0..schedule.jobs).map(|job| self.jobs.subject(job)).collect();
        let mut due = pace(schedule);
        let (mut sent, mut lateness) = (0, histogram());
        while sent < schedule.events() {
            if *due.borrow_and_update() <= sent {
                due.changed().await.context("the pace")?;
                continue;
            }
            let stamp = schedule.stamp(sent);
            let subject = usize::try_from(stamp.job).ok().and_then(|job| subjects.get(job));
            let subject = subject.cloned().unwrap_or_default();
            let acknowledgement =
                self.context.publish(subject, stamp.payload(self.size).into()).await?;
            lateness.saturating_record(clock::now().saturating_sub(stamp.due));
            if acknowledgements.send((sent, acknowledgement)).await.is_err() {
                break;
            }
            sent += 1;
        }
        Ok(lateness)
    }
}

/// Tells how many events are due, from a thread of its own. It ends with the receiver.
fn pace(schedule: Schedule) -> watch::Receiver<u64> {
    let (sender, receiver) = watch::channel(0);
    std::thread::spawn(move || {
        let mut due = 0;
        while due < schedule.events() {
            clock::sleep_until(schedule.due(due));
            due = schedule.due_by(clock::now());
            if sender.send(due).is_err() {
                return;
            }
        }
        // The last value stays readable only while this lives.
        while !sender.is_closed() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    receiver
}

async fn acknowledged(
    mut awaited: mpsc::Receiver<(u64, PublishAckFuture)>,
    schedule: Schedule,
) -> anyhow::Result<Vec<u64>> {
    let mut last_ids = vec![0; usize::try_from(schedule.jobs)?];
    while let Some((place, acknowledgement)) = awaited.recv().await {
        let id = acknowledgement.await.context("an event was not acknowledged")?.sequence;
        let job = usize::try_from(schedule.stamp(place).job)?;
        if let Some(last) = last_ids.get_mut(job) {
            *last = id;
        }
    }
    Ok(last_ids)
}
