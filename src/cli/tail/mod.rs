//! `jobwire tail`: one job's events on standard output, over whatever happens to the connection.
//!
//! What is shown and how is in `output`, `line` and `template`; `bar` draws how far the job is, and
//! `watching` brings the events.

mod bar;
mod line;
mod output;
mod since;
mod template;

use std::collections::BTreeSet;
use std::time::Duration;

use clap::{Args, builder::NonEmptyStringValueParser};

use super::outcome::Failure;
use super::standard_output::Reader;
use super::watching::{
    GatewayArguments, Item, OnGap, Outcome, Patience, Signal, State, Terms, Watch, WatchError,
};
use crate::config::LogFormat;
use crate::event::{JobKey, MAX_EVENT_TYPE, check_name};
use crate::telemetry;
use output::{Format, Output};
use since::Since;
use template::Template;

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  the job completed; or what was asked for was shown (--no-follow, or nobody reads on)
  1  the job failed or was cancelled
  2  wrong usage
  3  the gateway cannot be reached
  4  events are missing from what was shown, of a job that did not fail
  5  the gateway refused: no such job, no good token, not allowed
  130  ended with Ctrl-C

Examples:
  jobwire tail berlin52-7
  jobwire tail 42 --kind training --type progress -o template --template '{{id}} {{data.progress}}'
  jobwire tail 42 --kind training -o json --no-follow | jq .data";

/// The most types that can be asked for: the gateway takes 64, and some tell how the job stands.
const MOST_TYPES: usize = 56;
/// How long a gateway is looked for that was never there, and one that was.
const PATIENCE: Patience =
    Patience { at_first: Duration::from_secs(10), later: Duration::from_secs(600) };
/// Largest id: what every client can hold.
const LARGEST_ID: u64 = (1 << 53) - 1;

/// What `jobwire tail --help` begins with.
pub(super) const LONG_ABOUT: &str = "\
Show a job's events: what is stored, then what happens, each once and in order, until the job ends.

After a cut it goes on by itself where it was. Events are written to standard output, everything \
else to standard error. Where the job tells how long it is, a bar on the terminal shows how far it is.";

/// What `jobwire tail` takes.
#[derive(Args, Debug)]
pub(super) struct TailArguments {
    /// Job
    #[arg(value_name = "JOB")]
    job: String,
    /// Kind of the job
    #[arg(long, value_name = "KIND", default_value = "optimization")]
    kind: String,
    /// Only events after this id; `now`: only what happens from now on [default: from the first]
    #[arg(long, value_name = "ID", value_parser = parse_after)]
    after: Option<After>,
    /// Epoch that came with the id: a stream that was made anew is then recognised at once
    #[arg(long, value_name = "EPOCH", requires = "after")]
    epoch: Option<String>,
    /// Only events of the last time, by their own timestamps: 5m, 1h 30m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    /// Only events of this type; several with commas or by repeating it
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
    /// Stop at the end of what is stored
    #[arg(long)]
    no_follow: bool,
    /// Go on when the job has ended: it may be run again
    #[arg(long, conflicts_with = "no_follow")]
    keep_watching: bool,
    /// Wait for a job that is not there yet
    #[arg(long)]
    wait: bool,
    /// What to do where events are no longer stored
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    on_gap: OnGap,
    /// How events are shown
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    /// Line for each event: {{id}}, {{eventType}}, {{timestamp}}, {{iteration}}, {{stage}}, {{kind}},
    /// {{jobId}}, {{data}} and anything in it, such as {{data.score}}
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    template: Option<String>,
    /// With -o json: each line is an object with one field that says what it is: event, gap, reset,
    /// malformed, state, error, and at the end done
    #[arg(long)]
    states: bool,
    /// Give up when there is no connection for so long [default: 10s before the first connection,
    /// 10m after it]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    give_up: Option<Duration>,
    /// Say nothing of connections, and draw no bar
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    gateway: GatewayArguments,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Id(u64),
    Now,
}

fn parse_after(text: &str) -> Result<After, String> {
    if text == "now" {
        return Ok(After::Now);
    }
    let id = text.parse().ok().filter(|id| *id <= LARGEST_ID);
    id.map(After::Id).ok_or_else(|| "the id of an event, a whole number, or now".into())
}

impl TailArguments {
    fn terms(&self) -> Result<Terms, Failure> {
        let job = JobKey::new(&self.kind, &self.job).map_err(|error| {
            let (kind, job) = (&self.kind, &self.job);
            Failure::usage(format!("job {job:?} of kind {kind:?}: one of them {error}"))
        })?;
        Ok(Terms {
            job,
            after: match self.after {
                None => Some(0),
                Some(After::Id(id)) => Some(id),
                Some(After::Now) => None,
            },
            epoch: self.epoch.clone(),
            types: self.checked_types()?,
            on_gap: self.on_gap,
        })
    }

    fn checked_types(&self) -> Result<Option<BTreeSet<String>>, Failure> {
        for text in &self.types {
            check_name(text, MAX_EVENT_TYPE)
                .map_err(|error| Failure::usage(format!("--type: {text:?} {error}")))?;
        }
        let types: BTreeSet<String> = self.types.iter().cloned().collect();
        if types.len() > MOST_TYPES {
            let count = types.len();
            let told = format!("--type: {count} types are too many, {MOST_TYPES} are possible");
            return Err(Failure::usage(told));
        }
        Ok(Some(types).filter(|types| !types.is_empty()))
    }

    fn template(&self) -> Result<Option<Template>, Failure> {
        match (self.output, &self.template) {
            (Format::Template, Some(text)) => match text.parse() {
                Ok(template) => Ok(Some(template)),
                Err(error) => Err(Failure::usage(format!("--template: {error}"))),
            },
            (Format::Template, None) => Err(Failure::usage(
                "-o template needs --template, such as --template '{{id}} {{eventType}}'",
            )),
            (_, Some(_)) => Err(Failure::usage("--template goes with -o template")),
            (_, None) => Ok(None),
        }
    }

    fn patience(&self) -> Patience {
        self.give_up.map_or(PATIENCE, |time| Patience { at_first: time, later: time })
    }
}

pub(super) fn run(arguments: TailArguments) -> anyhow::Result<()> {
    telemetry::init(LogFormat::Text, "warn")?;
    let terms = arguments.terms()?;
    if arguments.states && arguments.output != Format::Json {
        return Err(Failure::usage("--states goes with -o json").into());
    }
    let output = Output::new(
        &terms.job,
        arguments.output,
        arguments.template()?,
        arguments.states,
        arguments.quiet,
    );
    let gateway = arguments.gateway.gateway()?;
    super::block_on(async {
        let watch = Watch::new(gateway, terms.clone(), arguments.patience());
        let mut tail = Tail {
            watch: watch.waiting_for_job(arguments.wait),
            since: arguments.since.map(Since::ago),
            output,
            gaps: 0,
            no_follow: arguments.no_follow,
            keep_watching: arguments.keep_watching,
        };
        let ending = tokio::select! {
            ending = tail.run() => ending?,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                tail.show_what_is_left()?;
                Ending::Interrupted
            }
        };
        tail.end(ending, &terms).await
    })
}

/// Why it is over.
enum Ending {
    /// Everything stored was shown, and that was all that was wanted.
    Shown,
    /// The job has ended.
    Job(Outcome),
    /// The watch ended by itself.
    Failed(WatchError),
    /// Nobody reads what is shown.
    Unread,
    /// Ctrl-C.
    Interrupted,
}

struct Tail {
    watch: Watch,
    since: Option<Since>,
    output: Output,
    gaps: u64,
    no_follow: bool,
    keep_watching: bool,
}

impl Tail {
    async fn run(&mut self) -> anyhow::Result<Ending> {
        loop {
            if !self.watch.has_more() && self.output.flush()? == Reader::Gone {
                return Ok(Ending::Unread);
            }
            let state = match self.watch.next().await {
                Ok(signal) => self.show(signal)?,
                Err(error) => return Ok(Ending::Failed(error)),
            };
            match state {
                Some(State::Ended(outcome)) if !self.keep_watching => {
                    return Ok(Ending::Job(outcome));
                }
                Some(State::Live) if self.no_follow => return Ok(Ending::Shown),
                _ => {}
            }
        }
    }

    fn show(&mut self, signal: Signal) -> anyhow::Result<Option<State>> {
        match signal {
            Signal::State(state) => {
                self.output.state(&state)?;
                return Ok(Some(state));
            }
            Signal::Item(item) => {
                self.gaps += u64::from(matches!(item, Item::Gap(_)));
                match &item {
                    Item::Event(event) if !self.is_recent(event) => self.output.pass(event),
                    _ => self.output.item(&item)?,
                }
            }
        }
        Ok(None)
    }

    fn is_recent(&self, event: &super::watching::Event) -> bool {
        self.since.as_ref().is_none_or(|since| since.includes(&event.body()))
    }

    /// What was received and not shown yet.
    fn show_what_is_left(&mut self) -> anyhow::Result<()> {
        while let Some(signal) = self.watch.pending() {
            self.show(signal)?;
        }
        Ok(())
    }

    async fn end(mut self, ending: Ending, terms: &Terms) -> anyhow::Result<()> {
        match &ending {
            Ending::Failed(WatchError::Refused { code, sentence, .. }) => {
                self.output.refused(code, sentence)?;
            }
            Ending::Failed(error @ WatchError::Unreachable { .. }) => {
                self.output.refused("UNREACHABLE", &error.to_string())?;
            }
            Ending::Job(_) => {}
            _ => self.output.closed()?,
        }
        self.output.done(self.watch.conversation())?;
        let failure = self.output.failure();
        self.output.flush()?;
        drop(self.output);
        self.watch.close().await;
        verdict(ending, terms, self.gaps, failure).map_or(Ok(()), |failure| Err(failure.into()))
    }
}

/// The exit code, and what is said with it.
fn verdict(ending: Ending, terms: &Terms, gaps: u64, cause: Option<String>) -> Option<Failure> {
    let Terms { job, .. } = terms;
    let (kind, id) = (job.kind(), job.id());
    match ending {
        Ending::Job(Outcome::Failed) => {
            let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            Some(Failure::failed(format!("job {id} failed{cause}")))
        }
        Ending::Job(Outcome::Cancelled) => Some(Failure::failed(format!("job {id} was cancelled"))),
        Ending::Shown | Ending::Job(Outcome::Completed) => (gaps > 0).then(|| {
            Failure::gap("events are missing from what was shown: they are no longer stored")
        }),
        Ending::Failed(error) => Some(match error {
            WatchError::Refused { gap: Some(gap), sentence, .. } => Failure::gap(format!(
                "{sentence}: after {} the first event that is still stored is {}",
                gap.requested_after, gap.first_available
            )),
            WatchError::Refused { ref code, .. } if code == "JOB_NOT_FOUND" => {
                Failure::refused(format!(
                    "there is no job {id} of kind {kind}; `jobwire jobs` lists them, --kind names \
                 another kind, and --wait waits for it"
                ))
            }
            WatchError::Refused { ref code, .. } if code == "UNAUTHORIZED" => {
                Failure::refused(format!(
                    "{error}; the gateway wants a good token: --token, --token-file or JOBWIRE_TOKEN"
                ))
            }
            WatchError::Refused { .. } => Failure::refused(error.to_string()),
            WatchError::Unreachable { .. } => {
                Failure::unreachable(format!("no connection to {error}"))
            }
        }),
        Ending::Unread => None,
        Ending::Interrupted => Some(Failure::interrupted()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_to_begin_is_an_id_or_now() {
        assert_eq!(parse_after("0"), Ok(After::Id(0)));
        assert_eq!(parse_after("now"), Ok(After::Now));
        for text in ["", "-1", "1.5", "9007199254740992", "then"] {
            assert!(parse_after(text).is_err(), "{text}");
        }
    }
}
