//! `jobwire bench idle`: what subscribed connections cost while nothing happens, and how quickly
//! they come to stand.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::sleep;

use super::connection::Watch;
use super::contender::{Contender, Crowding};
use super::fan_out;
use super::figures::{self, Round, count};
use super::limits;
use super::report::Report;
use super::scene::{Scene, Used};
use super::schedule::Schedule;
use super::setup::{Rivals, Setup};
use super::turns::{Step, in_turn};

/// From the last connection to the beginning of what is measured.
const SETTLE: Duration = Duration::from_secs(2);
/// How long nothing may come of the events at the end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of those events.
const SIZE: usize = 260;

/// What `jobwire bench idle` takes.
#[derive(Args, Debug)]
pub(super) struct IdleArguments {
    /// Connections, each subscribed to one job
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// Jobs that they share
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    jobs: u32,
    /// Connections that are on their way at once
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    at_once: u32,
    /// Seconds of silence that are measured; pings fall into them if they are long enough
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    #[command(flatten)]
    rivals: Rivals,
    #[command(flatten)]
    setup: Setup,
}

pub(super) async fn run(arguments: &IdleArguments) -> anyhow::Result<()> {
    let IdleArguments { connections, jobs, at_once, seconds, ref rivals, ref setup } = *arguments;
    fan_out::positive("--seconds", seconds)?;
    limits::make_room(connections as usize)?;
    let mut contenders = setup.gateways("", &[])?;
    contenders.extend(rivals.contenders());
    let rounds = setup.rounds(contenders.len());
    let measured = in_turn(&contenders, rounds, async |contender, step| {
        arguments.round(contender, step).await
    });
    let report = Report {
        command: "idle",
        load: json!({
            "connections": connections, "jobs": jobs, "atOnce": at_once, "seconds": seconds,
            "rounds": rounds,
        }),
        contenders: measured.await?,
        notes: vec![
            "At the end every connection gets one event, which shows that it stood.".into(),
        ],
    };
    report.tell(setup.json)
}

impl IdleArguments {
    async fn round(&self, contender: &Contender, step: &Step<'_>) -> anyhow::Result<Round> {
        let connections = self.connections as usize;
        let crowding = Crowding { watchers: connections, jobs: self.jobs, size: SIZE };
        let mut scene = Scene::open(contender, &self.setup, crowding).await?;
        let empty = scene.used()?;
        let watches = (0..self.jobs).cycle().map(|job| Watch { job, first: 2, after: 0 });
        scene.crowd.connect(watches.take(connections).collect(), self.at_once as usize);
        scene.crowd.ready(connections).await?;
        let took = scene.crowd.last_ready().saturating_sub(empty.at);
        sleep(SETTLE).await;
        let before = scene.used()?;
        let whole = Duration::from_secs_f64(self.seconds);
        step.wait_until(before.at + u64::try_from(whole.as_nanos())?, whole).await;
        let after = scene.used()?;
        let schedule = Schedule::at_once(self.jobs, 2, 1);
        scene.send(schedule).await?.end().await?;
        let expected = u64::from(self.connections);
        scene.crowd.delivered(expected, PATIENCE).await;
        let cut = scene.crowd.lost();
        let outcome = scene.close(vec![schedule.end(); self.jobs as usize])?;
        let mut round = Round::default();
        outcome.tally.tell(expected, &mut round);
        round.add(&figures::CUT, count(cut as u64));
        round.add(&figures::ACCEPTED, count(expected) * 1e9 / count(took.max(1)));
        round.add_known(&figures::MEMORY_EACH, self.memory(&empty, &after));
        round.add_known(&figures::CPU_IDLE, self.computing(&before, &after));
        after.tell_costs_since(&before, 0, &mut round);
        Ok(round)
    }

    /// Kilobytes for each connection, of server and broker.
    fn memory(&self, empty: &Used, full: &Used) -> Option<f64> {
        let grown = full.memory()?.saturating_sub(empty.memory()?);
        Some(count(grown) / 1e3 / f64::from(self.connections))
    }

    /// Microseconds in a second for each connection, of server and broker.
    fn computing(&self, before: &Used, after: &Used) -> Option<f64> {
        let used = after.cpu()?.saturating_sub(before.cpu()?);
        let passed = count(after.at.saturating_sub(before.at).max(1)) / 1e9;
        Some(used.as_secs_f64() * 1e6 / passed / f64::from(self.connections))
    }
}
