//! `jobwire publish`: events of a job, by NATS or by a gateway's HTTP API, each acknowledged before
//! the next is sent.
//!
//! `input` makes events of flags or of lines, `carrier` brings them.

mod carrier;
mod input;

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::outcome::Failure;
use super::standard_output::{self, Reader};
use super::watching::GatewayArguments;
use crate::config::{LogFormat, PersonalNatsSettings};
use crate::event::JobKey;
use crate::telemetry;
pub(super) use carrier::{Carrier, CarrierError, Stored};
use input::{EventFlags, Lines};

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  all events are stored
  1  an event is wrong, was refused, or was not acknowledged in time; those before it are stored
  2  wrong usage
  3  NATS or the gateway cannot be reached
  5  the gateway refused: no good token, not allowed, publishing is off

Examples:
  jobwire publish 42 --kind training --type progress --data '{\"progress\":0.4}' --iteration 4
  trainer | jobwire publish 42 --kind training --url https://jobs.example.com";

/// Longest key that is given: a line's number is added to it.
const LONGEST_KEY: usize = 180;

/// What `jobwire publish --help` begins with.
pub(super) const LONG_ABOUT: &str = "\
Publish events of a job. With --type one event, from flags. Without it one event in each line of \
standard input, as JSON objects with eventType, and if wanted iteration, stage, data and timestamp; \
each is published as it comes.

By NATS, or with --url by the gateway's HTTP API. The ids of the stored events are written to \
standard output.";

/// What `jobwire publish` takes.
#[derive(Args, Debug)]
pub(super) struct PublishArguments {
    /// Job
    #[arg(value_name = "JOB")]
    job: String,
    /// Kind of the job
    #[arg(long, value_name = "KIND", default_value = "optimization")]
    kind: String,
    #[command(flatten)]
    event: EventFlags,
    /// De-duplication key: the same again on this job, within the stream's duplicate window, stores
    /// nothing again. Lines have it with their number [default: a random one]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// What carries the events [default: http if an address of a gateway is given, else nats]
    #[arg(long, value_name = "WHAT", value_enum)]
    by: Option<By>,
    /// How long each event is tried again while nobody answers
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// What is written for each event
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    gateway: GatewayArguments,
    #[command(flatten)]
    nats: PersonalNatsSettings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// A connection to NATS
    Nats,
    /// The HTTP API of a gateway
    Http,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Its id
    #[default]
    Id,
    /// A line of JSON: line, id, duplicate
    Json,
    /// Nothing
    None,
}

impl PublishArguments {
    async fn carrier(&self) -> anyhow::Result<Carrier> {
        let by = self.by.unwrap_or(match &self.gateway.url {
            Some(url) if !url.is_empty() => By::Http,
            _ => By::Nats,
        });
        Ok(match by {
            By::Http => Carrier::by_http(self.gateway.gateway()?, self.patience),
            By::Nats => Carrier::by_nats(self.nats.clone().resolve()?, self.patience).await?,
        })
    }

    fn key(&self) -> Result<String, Failure> {
        let Some(key) = &self.key else { return Ok(format!("{:016x}", fastrand::u64(..))) };
        let fits = (1..=LONGEST_KEY).contains(&key.len());
        if !fits || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let told = format!("--key: 1 to {LONGEST_KEY} visible ASCII characters, not {key:?}");
            return Err(Failure::usage(told));
        }
        Ok(key.clone())
    }
}

pub(super) fn run(arguments: PublishArguments) -> anyhow::Result<()> {
    telemetry::init(LogFormat::Text, "error")?;
    let job = JobKey::new(&arguments.kind, &arguments.job).map_err(|error| {
        let (kind, job) = (&arguments.kind, &arguments.job);
        Failure::usage(format!("job {job:?} of kind {kind:?}: one of them {error}"))
    })?;
    let key = arguments.key()?;
    let single = arguments.event.event()?;
    super::block_on(async {
        let carrier = arguments.carrier().await?;
        let mut tally = Tally { format: arguments.output, stored: 0, repeated: 0, last: 0 };
        let outcome = tokio::select! {
            outcome = async {
                match single {
                    Some(event) => tally.count(None, carrier.publish(&job, &key, event).await?),
                    None => publish_lines(&carrier, &job, &key, &mut tally).await,
                }
            } => outcome,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                Err(Failure::interrupted().into())
            }
        };
        tally.tell();
        outcome
    })
}

async fn publish_lines(
    carrier: &Carrier,
    job: &JobKey,
    key: &str,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let mut lines = Lines::of_standard_input();
    while let Some((number, event)) = lines.next().await? {
        let key = format!("{key}/{number}");
        let stored = carrier.publish(job, &key, event).await;
        tally.count(Some(number), stored.map_err(|error| error.in_line(number))?)?;
    }
    if tally.stored + tally.repeated == 0 {
        return Err(Failure::failed("standard input had no event").into());
    }
    Ok(())
}

/// What was stored.
struct Tally {
    format: Format,
    stored: u64,
    repeated: u64,
    last: u64,
}

#[derive(Serialize)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    id: u64,
    duplicate: bool,
}

impl Tally {
    fn count(&mut self, line: Option<u64>, stored: Stored) -> anyhow::Result<()> {
        let Stored { id, duplicate } = stored;
        *(if duplicate { &mut self.repeated } else { &mut self.stored }) += 1;
        self.last = self.last.max(id);
        let text = match self.format {
            Format::Id => format!("{id}\n"),
            Format::Json => serde_json::to_string(&Line { line, id, duplicate })? + "\n",
            Format::None => return Ok(()),
        };
        // The events count, whoever reads of them.
        if standard_output::write(text.as_bytes())? == Reader::Gone {
            self.format = Format::None;
        }
        Ok(())
    }

    fn tell(&self) {
        let Self { stored, repeated, last, .. } = self;
        if stored + repeated == 0 {
            return;
        }
        let events = if *stored == 1 { "event" } else { "events" };
        let before = match repeated {
            0 => String::new(),
            count => format!(", {count} more had been stored before"),
        };
        eprintln!("jobwire: stored {stored} {events}{before}; last id {last}");
    }
}
