//! Everything of one round: NATS, the server that is measured, its watchers, who publishes; and
//! what each of them uses.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::broker::Broker;
use super::clock;
use super::contender::{Contender, Crowding, Served};
use super::conversation::Jobs;
use super::crowd::{Crowd, Outcome};
use super::figures::{self, Round, count};
use super::publish::{Published, Publishing};
use super::schedule::Schedule;
use super::setup::Setup;
use super::usage::Usage;
use crate::cli::outcome::Failure;

/// Jobs that share the events nobody watches.
const OTHERS: u32 = 100;

/// NATS with jobs in it, and who publishes to them.
pub(super) struct Stage {
    pub(super) broker: Broker,
    pub(super) publishing: Publishing,
    /// Ids of the first event of each job; its number is 1.
    pub(super) first_ids: Vec<u64>,
}

impl Stage {
    /// NATS as the setup says, and this many jobs with one event of `size` bytes each: a job
    /// without any is not known.
    pub(super) async fn open(setup: &Setup, jobs: u32, size: usize) -> anyhow::Result<Self> {
        let broker = Broker::start(setup.named_broker().as_ref()).await?;
        let context = broker.context.clone();
        let publishing = Publishing { context, jobs: Jobs::new(), size };
        let first_ids = publishing.run(Schedule::at_once(jobs, 1, 1)).await?.last_ids;
        Ok(Self { broker, publishing, first_ids })
    }

    /// Publishes so many events of jobs that nobody watches.
    pub(super) async fn flood(&self, events: u32) -> anyhow::Result<()> {
        let others = Publishing { jobs: Jobs::new(), ..self.publishing.clone() };
        others.run(Schedule::at_once(OTHERS, 1, events.div_ceil(OTHERS))).await?;
        Ok(())
    }
}

/// The parts, in the order in which they end.
pub(super) struct Scene {
    pub(super) crowd: Crowd,
    pub(super) served: Served,
    /// `None`: the server makes its events itself.
    stage: Option<Stage>,
}

impl Scene {
    /// Starts everything anew, so that no round bears what an earlier one left. No watcher is
    /// connected.
    pub(super) async fn open(
        contender: &Contender,
        setup: &Setup,
        crowding: Crowding,
    ) -> anyhow::Result<Self> {
        let stage = match contender.needs_broker() {
            true => Some(Stage::open(setup, crowding.jobs, crowding.size).await?),
            false => None,
        };
        let broker = stage.as_ref().map(|stage| &stage.broker);
        let served = contender.serve(broker, crowding).await?;
        let jobs = stage.as_ref().map_or_else(Jobs::new, |stage| stage.publishing.jobs.clone());
        let crowd = served.crowd(&jobs, served.conversation.clone())?;
        Ok(Self { crowd, served, stage })
    }

    /// Sends events when they are due, in the background; the floor makes them itself.
    pub(super) async fn send(&mut self, schedule: Schedule) -> anyhow::Result<Sending> {
        let Some(Stage { publishing, .. }) = &self.stage else {
            self.served.order(&schedule).await?;
            return Ok(Sending(None));
        };
        let publishing = publishing.clone();
        let sending = tokio::spawn(async move { publishing.run(schedule).await });
        Ok(Sending(Some(sending)))
    }

    /// What everybody has used until now.
    pub(super) fn used(&self) -> Result<Used, Failure> {
        let broker = self.stage.as_ref().map(|stage| &stage.broker);
        Used::now(Some(&self.served), broker, self.crowd.busy())
    }

    /// Ends everything; what is missing before `ends` is lost.
    pub(super) fn close(self, ends: Vec<u32>) -> anyhow::Result<Outcome> {
        let outcome = self.crowd.finish(ends)?;
        drop(self.served);
        if let Some(Stage { broker, .. }) = self.stage {
            broker.stop();
        }
        Ok(outcome)
    }
}

/// Events that are being sent.
pub(super) struct Sending(Option<JoinHandle<anyhow::Result<Published>>>);

impl Sending {
    /// Waits until all of it is stored; nothing is known of what the floor makes itself.
    pub(super) async fn end(self) -> anyhow::Result<Option<Published>> {
        match self.0 {
            Some(sending) => Ok(Some(sending.await??)),
            None => Ok(None),
        }
    }
}

/// What everybody had used at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    pub(super) server: Option<Usage>,
    pub(super) broker: Option<Usage>,
    load: Usage,
    receiving: u64,
    pub(super) at: u64,
}

impl Used {
    /// Looks at everybody; `receiving` is what the receiving thread has computed.
    pub(super) fn now(
        served: Option<&Served>,
        broker: Option<&Broker>,
        receiving: u64,
    ) -> Result<Self, Failure> {
        Ok(Self {
            server: served.map_or(Ok(None), Served::usage)?,
            broker: broker.map_or(Ok(None), Broker::usage)?,
            load: Usage::of_ourselves()?,
            receiving,
            at: clock::now(),
        })
    }

    /// Processor time of server and broker, as far as they are known.
    pub(super) fn cpu(&self) -> Option<Duration> {
        let all = [self.server, self.broker].into_iter().flatten();
        all.map(|usage| usage.cpu).reduce(|one, other| one + other)
    }

    /// Bytes of memory of server and broker, as far as they are known.
    pub(super) fn memory(&self) -> Option<u64> {
        let all = [self.server, self.broker].into_iter().flatten();
        all.map(|usage| usage.memory).reduce(|one, other| one + other)
    }

    /// Nanoseconds that the receiving thread has computed since `before`.
    pub(super) fn received_since(&self, before: &Self) -> u64 {
        self.receiving.saturating_sub(before.receiving)
    }

    /// Adds what was used since `before`, and for how much of that each of so many deliveries
    /// stands.
    pub(super) fn tell_since(&self, before: &Self, deliveries: u64, round: &mut Round) {
        self.tell_costs_since(before, deliveries, round);
        let passed = count(self.at.saturating_sub(before.at).max(1));
        let receiving = count(self.received_since(before).max(1));
        round.add(&figures::RECEIVING_BUSY, receiving / passed);
        round.add(&figures::HEADROOM, passed / receiving);
    }

    /// The same without the receiving thread.
    pub(super) fn tell_costs_since(&self, before: &Self, deliveries: u64, round: &mut Round) {
        let seconds = |now: Option<Usage>, then: Option<Usage>| {
            Some(now?.cpu.saturating_sub(then?.cpu).as_secs_f64())
        };
        let server = seconds(self.server, before.server);
        let broker = seconds(self.broker, before.broker);
        if deliveries > 0 {
            let each = |seconds: f64| seconds * 1e6 / count(deliveries);
            let both = self.cpu().zip(before.cpu());
            let both = both.map(|(now, then)| now.saturating_sub(then).as_secs_f64());
            round.add_known(&figures::CPU_BOTH, both.map(each));
            round.add_known(&figures::CPU_SERVER, server.map(each));
            round.add_known(&figures::CPU_BROKER, broker.map(each));
        }
        round.add_known(&figures::CPU_SERVER_SECONDS, server);
        round.add_known(&figures::CPU_BROKER_SECONDS, broker);
        round.add_known(&figures::CPU_LOAD_SECONDS, seconds(Some(self.load), Some(before.load)));
        let megabytes = |usage: Usage| count(usage.memory) / 1e6;
        round.add_known(&figures::MEMORY_SERVER, self.server.map(megabytes));
        round.add_known(&figures::MEMORY_BROKER, self.broker.map(megabytes));
        round.add(&figures::MEMORY_LOAD, megabytes(self.load));
    }
}
