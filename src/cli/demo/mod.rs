//! `jobwire demo`: a real job to watch. It shortens a tour through 52 places and tells every step.
//!
//! `search` finds tours, `report` publishes, `controls` listens to a person; the loop that joins
//! the three is here.

mod berlin52;
mod controls;
mod progress;
mod report;
mod search;

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep};

use super::outcome::Failure;
use super::signals::StopSignals;
use super::stream::configuration;
use crate::config::{LogFormat, PersonalNatsSettings};
use crate::event::JobKey;
use crate::journal::connection::{connect, jetstream};
use crate::journal::publish::{PublishError, Publisher};
use crate::{telemetry, traces};
use berlin52::OPTIMUM;
use controls::Control;
use progress::Progress;
use report::Report;
use search::Search;

/// Steps told in a second.
const STEPS_PER_SECOND: u32 = 8;
/// How often a better tour is told in full, at most.
const TOUR_INTERVAL: Duration = Duration::from_secs(1);
/// After Ctrl-C: how long the last event may take.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// What `jobwire demo --help` begins with.
pub(super) const LONG_ABOUT: &str = "\
Run a job that can be watched: shorten a tour through 52 places in Berlin (TSPLIB berlin52, \
shortest tour 7542) by simulated annealing, and publish every step. score is 7542 divided by the \
length of the tour the search is at, best the same for the shortest tour so far.

While it runs, a line on standard input controls it: pause (p), resume (r), cancel (c). Ctrl-C \
cancels too; a cancelled job is no failure.";

/// What `jobwire demo` takes.
#[derive(Args, Debug)]
pub(super) struct DemoArguments {
    /// Job id [default: berlin52- and the seed, or something random]
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// Kind of the job
    #[arg(long, value_name = "KIND", default_value = "optimization")]
    kind: String,
    /// Roughly how long it takes
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Start of the random numbers; the same seed and seconds find the same tours
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
    /// Print nothing while it runs
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    nats: PersonalNatsSettings,
}

pub(super) fn run(arguments: DemoArguments) -> anyhow::Result<()> {
    telemetry::init(LogFormat::Text, "warn")?;
    super::block_on(run_demo(arguments))
}

async fn run_demo(arguments: DemoArguments) -> anyhow::Result<()> {
    let exporting = traces::start().map_err(|error| Failure::usage(error.to_string()))?;
    let outcome = run_job(arguments).await;
    if let Some(exporting) = exporting {
        exporting.end().await;
    }
    outcome
}

async fn run_job(arguments: DemoArguments) -> anyhow::Result<()> {
    let job = job_key(&arguments)?;
    let config = arguments.nats.clone().resolve()?;
    let mut signals = StopSignals::listen()?;
    let connection = connect(&config, "jobwire demo").await?;
    let context = jetstream(&connection, &config);
    // Publishing would wait half a minute for a stream that is not there.
    connection.permitted(configuration(&context, &config.stream)).await??;
    let publisher = Publisher::new(context, config.stream);
    let publisher = publisher.with_denials(connection.denials().clone());

    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..=u64::from(u32::MAX)));
    let steps = arguments.seconds.saturating_mul(STEPS_PER_SECOND);
    let (sender, controls) = mpsc::channel(8);
    controls::read_lines(sender.clone());
    let mut demo = Demo {
        config: report::config(seed, arguments.seconds, steps),
        search: Search::new(seed, steps),
        report: Report::new(publisher, job.clone()),
        progress: Progress::begin(&job, arguments.quiet),
        controls,
    };
    let ending = tokio::select! {
        ending = demo.run() => ending?,
        () = cancel_when_told(&mut signals, &sender) => {
            return Err(Failure::failed("stopped before the stream acknowledged job_cancelled").into());
        }
    };
    demo.progress.end();
    demo.print_result(&job, ending, arguments.json);
    Ok(())
}

fn job_key(arguments: &DemoArguments) -> Result<JobKey, Failure> {
    let suffix = || match arguments.seed {
        Some(seed) => seed.to_string(),
        None => std::iter::repeat_with(|| fastrand::char('a'..='z')).take(6).collect(),
    };
    let id = arguments.job.clone().unwrap_or_else(|| format!("berlin52-{}", suffix()));
    JobKey::new(&arguments.kind, &id).map_err(|error| {
        Failure::usage(format!("--kind {:?} --job {id:?}: {error}", arguments.kind))
    })
}

/// The first signal cancels the job; ends at the second, or when the job takes too long to end.
async fn cancel_when_told(signals: &mut StopSignals, controls: &mpsc::Sender<Control>) {
    signals.next().await;
    // The channel may be full of lines; the deadline below holds anyway.
    let _ = controls.try_send(Control::Cancel);
    tokio::select! {
        () = signals.next() => {}
        () = sleep(STOP_PATIENCE) => {}
    }
}

/// How a job ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Completed,
    Cancelled,
}

impl Ending {
    fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

struct Demo {
    config: serde_json::Value,
    search: Search,
    report: Report,
    progress: Progress,
    controls: mpsc::Receiver<Control>,
}

impl Demo {
    /// Runs the job; a failure is told to the watchers too, as far as NATS takes it.
    async fn run(&mut self) -> anyhow::Result<Ending> {
        let outcome = self.run_until_ended().await;
        if let Err(error) = &outcome {
            self.progress.end();
            if let Err(untold) = self.report.failed(error).await {
                tracing::warn!("the failure could not be told to the watchers: {untold}");
            }
        }
        outcome.context("the demo job failed")
    }

    async fn run_until_ended(&mut self) -> Result<Ending, PublishError> {
        self.report.created(&self.config).await?;
        self.report.started(&self.config).await?;
        let mut pace = pace();
        let mut tours = Tours::default();
        while !self.search.is_done() {
            tokio::select! {
                biased;
                Some(control) = self.controls.recv() => match control {
                    Control::Cancel => return self.cancel().await,
                    Control::Pause => {
                        if self.pause().await? == Some(Ending::Cancelled) {
                            return Ok(Ending::Cancelled);
                        }
                        pace.reset();
                    }
                    Control::Resume => {}
                },
                _ = pace.tick() => self.step(&mut tours).await?,
            }
        }
        self.report.completed(&self.search).await?;
        Ok(Ending::Completed)
    }

    async fn step(&mut self, tours: &mut Tours) -> Result<(), PublishError> {
        let stage = self.search.stage().as_str();
        self.search.advance();
        let with_tour = tours.is_due(self.search.best().length, Instant::now());
        self.report.iteration(&self.search, stage, with_tour).await?;
        self.progress.show(&self.search, stage);
        Ok(())
    }

    /// Waits until told to go on; `Some` if told to cancel instead.
    async fn pause(&mut self) -> Result<Option<Ending>, PublishError> {
        self.report.paused(self.search.step_number()).await?;
        self.progress.show(&self.search, "paused");
        loop {
            match self.controls.recv().await {
                Some(Control::Pause) => {}
                Some(Control::Cancel) => return self.cancel().await.map(Some),
                Some(Control::Resume) | None => break,
            }
        }
        self.report.resumed(self.search.step_number()).await?;
        Ok(None)
    }

    async fn cancel(&mut self) -> Result<Ending, PublishError> {
        self.report.cancelled(self.search.step_number()).await?;
        Ok(Ending::Cancelled)
    }

    fn print_result(&self, job: &JobKey, ending: Ending, as_json: bool) {
        let best = self.search.best();
        if as_json {
            let result = json!({
                "kind": job.kind(),
                "jobId": job.id(),
                "status": ending.as_str(),
                "iteration": self.search.step_number(),
                "score": best.score(),
                "length": best.length,
                "optimum": OPTIMUM,
                "lastEventId": self.report.last_id(),
            });
            println!("{result}");
        } else {
            println!(
                "{job}: {} after {} iterations, tour {} (shortest possible {OPTIMUM}), last event {}",
                ending.as_str(),
                self.search.step_number(),
                best.length,
                self.report.last_id(),
            );
        }
    }
}

/// A pace that does not hurry after it was held up.
fn pace() -> Interval {
    let mut pace = interval(Duration::from_secs(1) / STEPS_PER_SECOND);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

/// When the tour itself is told: when it is better than the one told last, not too often.
#[derive(Debug, Default)]
struct Tours {
    last: Option<(u32, Instant)>,
}

impl Tours {
    fn is_due(&mut self, length: u32, now: Instant) -> bool {
        let due = self.last.is_none_or(|(told, at)| {
            length < told && now.saturating_duration_since(at) >= TOUR_INTERVAL
        });
        if due {
            self.last = Some((length, now));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_better_tour_is_told_at_most_once_a_second() {
        let mut tours = Tours::default();
        let start = Instant::now();
        assert!(tours.is_due(9000, start));
        assert!(!tours.is_due(8900, start + Duration::from_millis(900)));
        assert!(tours.is_due(8900, start + Duration::from_millis(1000)));
        assert!(!tours.is_due(8900, start + Duration::from_secs(60)), "not better");
    }
}
