//! `jobwire jobs`: the list of jobs, as a gateway tells it.

use std::fmt::Write;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::outcome::Failure;
use super::palette::{Palette, printable};
use super::standard_output;
use super::watching::{Gateway, GatewayArguments};
use crate::event::{JobStatus, MAX_NAME, check_name};

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  2  wrong usage
  3  the gateway cannot be reached
  5  the gateway refused: no good token, not allowed

Examples:
  jobwire jobs
  jobwire jobs --kind training --state running,paused
  jobwire jobs -o json | jq -r .jobId";

/// Jobs that are asked for at once; the gateway gives no more.
const PAGE: usize = 500;
/// Answers without a job that are put up with: where one kind is rare, most are.
const PATIENCE: usize = 200;

/// What `jobwire jobs --help` begins with.
pub(super) const LONG_ABOUT: &str = "\
List jobs: those with recent events first, those that began last first among them.";

/// What `jobwire jobs` takes.
#[derive(Args, Debug)]
pub(super) struct JobsArguments {
    /// Only jobs of this kind
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only jobs that stand so; several with commas
    #[arg(long = "state", value_name = "STATE", value_enum, value_delimiter = ',')]
    states: Vec<JobStatus>,
    /// Jobs at most
    #[arg(long, value_name = "COUNT", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// How they are shown
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    gateway: GatewayArguments,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people
    #[default]
    Table,
    /// A line of JSON for each job
    Json,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    kind: String,
    job_id: String,
    status: JobStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_event_id: Option<u64>,
    last_event_id: u64,
    last_event_type: String,
    last_event_at: String,
}

#[derive(Debug, Deserialize)]
struct Page {
    jobs: Vec<Job>,
    next: Option<String>,
}

pub(super) fn run(arguments: JobsArguments) -> anyhow::Result<()> {
    if let Some(kind) = &arguments.kind {
        check_name(kind, MAX_NAME)
            .map_err(|error| Failure::usage(format!("--kind: {kind:?} {error}")))?;
    }
    let gateway = arguments.gateway.gateway()?;
    let (jobs, is_all) = super::block_on(list(&gateway, &arguments))?;
    let text = match arguments.output {
        Format::Table => table(&jobs, Palette::of(&std::io::stdout()), OffsetDateTime::now_utc()),
        Format::Json => lines(&jobs)?,
    };
    standard_output::write(text.as_bytes())?;
    if !is_all {
        eprintln!("jobwire: there may be more; --limit asks for them");
    } else if jobs.is_empty() {
        eprintln!("jobwire: no jobs");
    }
    Ok(())
}

/// Jobs as wanted, and whether these are all. One that moves in the list while it is read is
/// listed once.
async fn list(gateway: &Gateway, arguments: &JobsArguments) -> anyhow::Result<(Vec<Job>, bool)> {
    let limit = usize::try_from(arguments.limit)?;
    let (mut jobs, mut cursor) = (Vec::new(), None);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..PATIENCE.max(limit) {
        let mut query = form_urlencoded::Serializer::new(String::from("?"));
        query.append_pair("limit", &PAGE.to_string());
        for (name, value) in [("kind", &arguments.kind), ("cursor", &cursor)] {
            value.as_ref().map(|value| query.append_pair(name, value));
        }
        let page: Page = gateway.jobs(&query.finish()).await?.json()?;
        for job in page.jobs {
            let is_wanted = arguments.states.is_empty() || arguments.states.contains(&job.status);
            if is_wanted && seen.insert((job.kind.clone(), job.job_id.clone())) {
                if jobs.len() == limit {
                    return Ok((jobs, false));
                }
                jobs.push(job);
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok((jobs, true));
        }
    }
    Ok((jobs, false))
}

fn lines(jobs: &[Job]) -> anyhow::Result<String> {
    let mut text = String::new();
    for job in jobs {
        writeln!(text, "{}", serde_json::to_string(job)?)?;
    }
    Ok(text)
}

fn table(jobs: &[Job], palette: Palette, now: OffsetDateTime) -> String {
    const HEADS: [&str; 6] = ["KIND", "JOB", "STATE", "LAST EVENT", "ID", "AGE"];
    let row = |job: &Job| {
        let texts = [&job.kind, &job.job_id, job.status.as_str(), &job.last_event_type];
        let [kind, id, state, last] = texts.map(|text: &str| printable(text).into_owned());
        [kind, id, state, last, job.last_event_id.to_string(), age(&job.last_event_at, now)]
    };
    let rows: Vec<[String; 6]> = jobs.iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(HEADS.get(column).map(|head| head.len())).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    let line = |cells: &[&str], paint: &dyn Fn(usize, String) -> String| {
        let cells = cells.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| paint(column, format!("{cell:<width$}")));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(&HEADS, &|_, head| palette.faint(head));
    for (row, job) in rows.iter().zip(jobs) {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        text += &line(&cells, &|column, cell| match (column, job.status) {
            (2, JobStatus::Succeeded) => palette.good(cell),
            (2, JobStatus::Failed) => palette.bad(cell),
            (2, JobStatus::Paused | JobStatus::Stopped) => palette.striking(cell),
            (1, _) => palette.name(cell),
            _ => cell,
        });
    }
    text
}

/// How long ago, roughly.
fn age(at: &str, now: OffsetDateTime) -> String {
    let Ok(at) = OffsetDateTime::parse(at, &Rfc3339) else { return "-".into() };
    let seconds = (now - at).whole_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_head_and_straight_columns() {
        let job = |kind: &str, id: &str, status| Job {
            kind: kind.into(),
            job_id: id.into(),
            status,
            first_event_id: None,
            last_event_id: 1842,
            last_event_type: "progress".into(),
            last_event_at: "2026-03-01T10:00:00Z".into(),
        };
        let jobs = [
            job("training", "42", JobStatus::Running),
            job("agent", "longer-id", JobStatus::Failed),
        ];
        let now = OffsetDateTime::parse("2026-03-01T10:05:09Z", &Rfc3339).expect("a time");
        assert_eq!(
            table(&jobs, Palette::none(), now),
            "KIND      JOB        STATE    LAST EVENT  ID    AGE\n\
             training  42         running  progress    1842  5m\n\
             agent     longer-id  failed   progress    1842  5m\n"
        );
    }

    #[test]
    fn a_state_that_is_new_is_unknown() {
        let state: JobStatus = serde_json::from_str("\"hibernating\"").expect("a state");
        assert_eq!(state, JobStatus::Unknown);
    }
}
