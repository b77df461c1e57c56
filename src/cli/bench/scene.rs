//! Everything of one round: NATS, the server that is measured, its watchers, who publishes; and
//! what each of them uses.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::broker::Broker;
use super::clock;
use super::contender::{Contender, Crowding, Served};
use super::conversation::{Conversation, Jobs};
use super::crowd::{Crowd, Outcome, Target};
use super::figures::{self, Round, count};
use super::publish::{Published, Publishing};
use super::schedule::Schedule;
use super::setup::Setup;
use super::usage::Usage;
use crate::cli::outcome::Failure;

/// The parts, in the order in which they end.
pub(super) struct Scene {
    pub(super) crowd: Crowd,
    pub(super) served: Served,
    pub(super) broker: Broker,
    pub(super) publishing: Publishing,
}

impl Scene {
    /// Starts everything anew, so that no round bears what an earlier one left. Each job has one
    /// event, number 1. No watcher is connected.
    pub(super) async fn open(
        contender: &Contender,
        setup: &Setup,
        crowding: Crowding,
    ) -> anyhow::Result<Self> {
        let broker = Broker::start(setup.named_broker().as_ref()).await?;
        let publishing =
            Publishing { context: broker.context.clone(), jobs: Jobs::new(), size: crowding.size };
        if contender.needs_broker() {
            // A job that has no event is not known.
            publishing.run(Schedule::at_once(crowding.jobs, 1, 1), Arc::default()).await?;
        }
        let served = contender.serve(&broker, crowding).await?;
        let crowd = Self::crowd(&served, &publishing.jobs, served.conversation.clone())?;
        Ok(Self { crowd, served, broker, publishing })
    }

    /// Further watchers, on a thread of their own.
    pub(super) fn crowd(
        served: &Served,
        jobs: &Jobs,
        conversation: Conversation,
    ) -> anyhow::Result<Crowd> {
        let (address, jobs) = (served.address, jobs.clone());
        Ok(Crowd::start(Target { address, conversation, jobs })?)
    }

    /// Sends events when they are due, in the background; the floor makes them itself.
    pub(super) async fn send(
        &mut self,
        contender: &Contender,
        schedule: Schedule,
    ) -> anyhow::Result<Option<JoinHandle<anyhow::Result<Published>>>> {
        if !contender.needs_broker() {
            self.served.order(&schedule).await?;
            return Ok(None);
        }
        let publishing = self.publishing.clone();
        let sending = async move { publishing.run(schedule, Arc::default()).await };
        Ok(Some(tokio::spawn(sending)))
    }

    /// What everybody has used until now.
    pub(super) fn used(&self) -> Result<Used, Failure> {
        Ok(Used {
            server: self.served.usage()?,
            broker: self.broker.usage()?,
            load: Usage::of_ourselves()?,
            receiving: self.crowd.busy(),
            at: clock::now(),
        })
    }

    /// Ends everything; what is missing before `ends` is lost.
    pub(super) fn close(self, ends: Vec<u32>) -> anyhow::Result<Outcome> {
        let outcome = self.crowd.finish(ends)?;
        drop(self.served);
        self.broker.stop();
        Ok(outcome)
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
    /// Adds what was used since `before`, and for how much of that each of so many deliveries
    /// stands.
    pub(super) fn tell_since(&self, before: &Self, deliveries: u64, round: &mut Round) {
        let seconds = |now: Option<Usage>, then: Option<Usage>| {
            Some((now?.cpu.saturating_sub(then?.cpu)).as_secs_f64())
        };
        let server = seconds(self.server, before.server);
        let broker = seconds(self.broker, before.broker);
        let load = seconds(Some(self.load), Some(before.load));
        if deliveries > 0 {
            let each = |seconds: f64| seconds * 1e6 / count(deliveries);
            round.add_known(&figures::CPU_BOTH, Self::both(server, broker).map(each));
            round.add_known(&figures::CPU_SERVER, server.map(each));
            round.add_known(&figures::CPU_BROKER, broker.map(each));
        }
        round.add_known(&figures::CPU_SERVER_SECONDS, server);
        round.add_known(&figures::CPU_BROKER_SECONDS, broker);
        round.add_known(&figures::CPU_LOAD_SECONDS, load);
        let megabytes = |usage: Usage| count(usage.memory) / 1e6;
        round.add_known(&figures::MEMORY_SERVER, self.server.map(megabytes));
        round.add_known(&figures::MEMORY_BROKER, self.broker.map(megabytes));
        round.add(&figures::MEMORY_LOAD, megabytes(self.load));
        let passed = count(self.at.saturating_sub(before.at).max(1));
        let receiving = count(self.receiving.saturating_sub(before.receiving));
        round.add(&figures::RECEIVING_BUSY, receiving / passed);
    }

    fn both(server: Option<f64>, broker: Option<f64>) -> Option<f64> {
        match (server, broker) {
            (None, None) => None,
            (server, broker) => Some(server.unwrap_or_default() + broker.unwrap_or_default()),
        }
    }
}
