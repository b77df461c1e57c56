//! `jobwire bench fan-out`: live events of some jobs, each to many watchers, at a fixed rate.

use std::time::Duration;

use clap::Args;
use hdrhistogram::Histogram;
use serde_json::json;
use tokio::time::sleep;

use super::clock;
use super::connection::Watch;
use super::contender::{Contender, Crowding};
use super::figures::{self, Round, count, milliseconds};
use super::report::Report;
use super::scene::Scene;
use super::schedule::Schedule;
use super::setup::{Rivals, Setup};
use super::turns::{Step, in_turn};
use super::{limits, stamp};
use crate::cli::outcome::Failure;

/// Watchers that are on their way at once.
pub(super) const AT_ONCE: usize = 128;
/// Between the last watcher's arrival and the first event.
const SETTLE: Duration = Duration::from_millis(300);
/// Nanoseconds until the first event is due.
const LEAD: u64 = 50_000_000;
/// Number of the first event that watchers get; the one before makes the job known.
const FIRST: u32 = 2;

/// What `jobwire bench fan-out` takes.
#[derive(Args, Debug, Clone)]
pub(super) struct FanOutArguments {
    /// Jobs that events are published for
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) jobs: u32,
    /// Watchers of each job; each has a connection of its own
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) watchers: u32,
    /// Events of each job in a second; 0.5 is one in two seconds
    #[arg(long, value_name = "EVENTS", default_value_t = 100.0)]
    pub(super) rate: f64,
    #[command(flatten)]
    pub(super) timing: Timing,
    #[command(flatten)]
    pub(super) rivals: Rivals,
    #[command(flatten)]
    pub(super) setup: Setup,
}

/// How long, how often, how large.
#[derive(Args, Debug, Clone)]
pub(super) struct Timing {
    /// Seconds that are measured in each round
    #[arg(long, default_value_t = 10.0)]
    pub(super) seconds: f64,
    /// Seconds of the same load before, which are not measured
    #[arg(long, default_value_t = 2.0)]
    pub(super) warm_up: f64,
    /// Bytes of an event
    #[arg(long, value_name = "BYTES", default_value_t = 260)]
    pub(super) size: usize,
    /// Seconds without any event after which those that are missing are taken for lost
    #[arg(long, default_value_t = 5.0)]
    pub(super) patience: f64,
}

/// What is published and who watches, checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) jobs: u32,
    pub(super) watchers: u32,
    pub(super) rate: f64,
    pub(super) seconds: f64,
    pub(super) warm_up: f64,
    pub(super) size: usize,
    pub(super) patience: Duration,
}

pub(super) async fn run(arguments: &FanOutArguments, command: &'static str) -> anyhow::Result<()> {
    let load = Load::check(arguments)?;
    limits::make_room(load.connections())?;
    let mut contenders = arguments.setup.gateways("", &[])?;
    contenders.extend(arguments.rivals.contenders());
    let rounds = arguments.setup.rounds(contenders.len());
    let measured = in_turn(&contenders, rounds, async |contender, step| {
        load.round(contender, &arguments.setup, step).await
    });
    let measured = measured.await?;
    let report = Report {
        command,
        load: json!({
            "jobs": load.jobs, "watchers": load.watchers, "rate": load.rate,
            "deliveriesPerSecond": load.rate * f64::from(load.jobs) * f64::from(load.watchers),
            "seconds": load.seconds, "warmUp": load.warm_up, "size": load.size, "rounds": rounds,
        }),
        contenders: measured,
        notes: vec![
            "Latency counts from the moment an event was due, whether or not it could be sent then."
                .into(),
        ],
    };
    report.tell(arguments.setup.json)
}

impl Load {
    fn check(arguments: &FanOutArguments) -> Result<Self, Failure> {
        let FanOutArguments { jobs, watchers, rate, timing, .. } = arguments;
        let load = Self {
            jobs: *jobs,
            watchers: *watchers,
            rate: *rate,
            seconds: timing.seconds,
            warm_up: timing.warm_up,
            size: timing.size,
            patience: Duration::try_from_secs_f64(timing.patience)
                .map_err(|error| Failure::usage(format!("--patience: {error}")))?,
        };
        positive("--rate", load.rate)?;
        positive("--seconds", load.seconds)?;
        if !(0.0..1e6).contains(&load.warm_up) {
            return Err(Failure::usage(format!("--warm-up: {} is no time", load.warm_up)));
        }
        size(load.size)?;
        if load.rate * (load.seconds + load.warm_up) < 1.0 {
            return Err(Failure::usage(
                "not one event of a job is due in this time; take a higher --rate or more --seconds",
            ));
        }
        if load.rate * (load.seconds + load.warm_up) * 2.0 > count(stamp::MOST_EVENTS) {
            return Err(Failure::usage("these are more events of a job than can be counted"));
        }
        Ok(load)
    }

    /// Connections in all.
    pub(super) fn connections(&self) -> usize {
        self.jobs as usize * self.watchers as usize
    }

    fn schedule(&self, start: u64) -> Schedule {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        let each = (self.rate * (self.warm_up + self.seconds)).round() as u32;
        let interval = 1e9 / (self.rate * f64::from(self.jobs));
        Schedule { start, interval, jobs: self.jobs, first: FIRST, each }
    }

    /// Events that are due before what is measured.
    fn warming(&self) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        let warming = (self.rate * f64::from(self.jobs) * self.warm_up).round() as u64;
        warming
    }

    fn crowding(&self) -> Crowding {
        let (watchers, jobs, size) = (self.connections(), self.jobs, self.size);
        Crowding { watchers, jobs, size }
    }

    fn watches(&self) -> Vec<Watch> {
        let jobs = (0..self.watchers).flat_map(|_| 0..self.jobs);
        jobs.map(|job| Watch { job, first: FIRST, after: 0 }).collect()
    }
}

/// Checks a number that has to be above 0.
pub(super) fn positive(option: &str, value: f64) -> Result<(), Failure> {
    if value > 0.0 && value < 1e6 {
        return Ok(());
    }
    Err(Failure::usage(format!("{option}: {value} is not a number above 0 and below a million")))
}

/// Checks the size of an event.
pub(super) fn size(size: usize) -> Result<(), Failure> {
    let sizes = stamp::least_size()..=crate::event::MAX_EVENT;
    if sizes.contains(&size) {
        return Ok(());
    }
    let (least, most) = (sizes.start(), sizes.end());
    Err(Failure::usage(format!("--size: {size} bytes are not between {least} and {most}")))
}

impl Load {
    /// One round of one contender.
    async fn round(
        &self,
        contender: &Contender,
        setup: &Setup,
        step: &Step<'_>,
    ) -> anyhow::Result<Round> {
        let load = self;
        let mut scene = Scene::open(contender, setup, load.crowding()).await?;
        scene.crowd.connect(load.watches(), AT_ONCE);
        scene.crowd.ready(load.connections()).await?;
        sleep(SETTLE).await;
        let start = clock::now() + LEAD;
        let schedule = load.schedule(start);
        let from = schedule.due(load.warming());
        scene.crowd.measure_from(from);
        let sending = scene.send(schedule).await?;
        let whole = Duration::from_secs_f64(load.warm_up + load.seconds);
        step.wait_until(from, whole).await;
        let before = scene.used()?;
        step.wait_until(schedule.due(schedule.events()), whole).await;
        let published = sending.end().await?;
        let expected = schedule.events() * u64::from(load.watchers);
        scene.crowd.delivered(expected, load.patience).await;
        let after = scene.used()?;
        let cut = scene.crowd.lost();
        let outcome = scene.close(vec![schedule.end(); load.jobs as usize])?;
        let mut round = Round::default();
        outcome.tally.tell(expected, &mut round);
        round.add(&figures::CUT, count(cut as u64));
        let measured = (schedule.events() - load.warming()) * u64::from(load.watchers);
        let seconds = milliseconds(after.at.saturating_sub(before.at)) / 1e3;
        round.add(&figures::DELIVERIES, count(measured) / seconds);
        latencies(&outcome.tally.latency, &mut round);
        after.tell_since(&before, measured, &mut round);
        if let Some(published) = published {
            let lateness = published.lateness.value_at_quantile(0.99);
            round.add(&figures::LATENESS, milliseconds(lateness));
        }
        Ok(round)
    }
}

/// Adds the quantiles of times.
pub(super) fn latencies(times: &Histogram<u64>, round: &mut Round) {
    if times.is_empty() {
        return;
    }
    for (figure, quantile) in
        [(&figures::P50, 0.5), (&figures::P99, 0.99), (&figures::P999, 0.999), (&figures::MAX, 1.0)]
    {
        round.add(figure, milliseconds(times.value_at_quantile(quantile)));
    }
}
