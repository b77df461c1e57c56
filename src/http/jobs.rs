//! The list of jobs: the newest from the window, older ones by bounded looks backwards.

use std::fmt;
use std::str::FromStr;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde::Serialize;

use super::access;
use super::answer::{Answer, HttpError, json};
use super::query::{Query, whole_number};
use super::server::{Public, PublicSource};
use crate::auth::Grant;
use crate::dialect::iso8601;
use crate::event::{JobKey, JobStatus, MAX_NAME, check_name};
use crate::journal::catalog::OlderJob;
use crate::window::JobSummary;

/// Jobs in one answer, unless the client wants another number.
const LIMIT: u64 = 100;
/// Jobs in one answer at most.
const MOST: u64 = 500;
/// Looks backwards for one answer: most may find nothing where one kind is rare.
const LOOKS: usize = 8;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    #[serde(skip)]
    key: JobKey,
    kind: String,
    job_id: String,
    status: JobStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_event_id: Option<u64>,
    last_event_id: u64,
    last_event_type: Box<str>,
    last_event_at: String,
}

impl Job {
    fn new(key: JobKey, status: JobStatus, last: (u64, Box<str>, i64)) -> Self {
        Self {
            kind: key.kind().to_owned(),
            job_id: key.id().to_owned(),
            key,
            status,
            first_event_id: None,
            last_event_id: last.0,
            last_event_type: last.1,
            last_event_at: iso8601(last.2),
        }
    }
}

impl From<JobSummary> for Job {
    fn from(summary: JobSummary) -> Self {
        let status = summary
            .life_cycle
            .as_ref()
            .map_or(JobStatus::Unknown, |(event, payload)| JobStatus::after(*event, payload));
        let last = (summary.last_id, summary.last_type, summary.last_at);
        Self { first_event_id: summary.first_id, ..Self::new(summary.job, status, last) }
    }
}

impl From<OlderJob> for Job {
    fn from(older: OlderJob) -> Self {
        Self::new(older.job, older.status, (older.last_id, older.last_type, older.last_at))
    }
}

/// How far a client has read the list. Its text is opaque to clients: they bring it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a source's window, below the jobs that began here; `None`: at its top.
    Window {
        /// The source's number.
        source: usize,
        /// The first id of the last job that was listed.
        began_before: Option<u64>,
    },
    /// Below a source's window, at this sequence; `None`: where the window ends.
    Older {
        /// The source's number.
        source: usize,
        /// The newest sequence that was not considered.
        newest: Option<u64>,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (letter, source, number) = match self {
            Self::Window { source, began_before } => ('w', source, began_before),
            Self::Older { source, newest } => ('o', source, newest),
        };
        write!(formatter, "{letter}{source}")?;
        number.map_or(Ok(()), |number| write!(formatter, "-{number}"))
    }
}

impl FromStr for Place {
    type Err = HttpError;

    fn from_str(text: &str) -> Result<Self, HttpError> {
        let refused = HttpError::InvalidListCursor;
        let (letter, rest) = text.split_at_checked(1).ok_or(refused)?;
        let (source, number) = rest.split_once('-').map_or((rest, None), |(a, b)| (a, Some(b)));
        let read = |text| whole_number(text).ok_or(refused);
        let source = usize::try_from(read(source)?).map_err(|_| refused)?;
        let number = number.map(read).transpose()?;
        match letter {
            "w" => Ok(Self::Window { source, began_before: number }),
            "o" => Ok(Self::Older { source, newest: number }),
            _ => Err(refused),
        }
    }
}

/// What a client wants of the list.
struct Wanted<'a> {
    kind: Option<&'a str>,
    grant: Option<&'a Grant>,
    limit: usize,
}

impl Wanted<'_> {
    fn includes(&self, job: &JobKey) -> bool {
        self.kind.is_none_or(|kind| kind == job.kind())
            && access::check_watch(self.grant, job).is_ok()
    }
}

/// A part of the list of jobs that the client may watch. From the window: those that began last
/// first. Below it: those with the newest events first.
///
/// # Errors
/// The refusal to send.
pub async fn answer(public: &Public, request: &Request<Incoming>) -> Result<Answer, Answer> {
    let grant = match public.routes.any_events() {
        Some(route) => access::authenticate(public, route, request).await?,
        None => None,
    };
    let query = Query::of(request);
    let limit = query.number("limit", 1..=MOST, HttpError::InvalidListLimit)?.unwrap_or(LIMIT);
    let kind = query.get("kind");
    if let Some(kind) = &kind {
        check_name(kind, MAX_NAME).map_err(|_| HttpError::InvalidJob)?;
    }
    let place = match query.get("cursor") {
        Some(text) => text.parse()?,
        None => Place::Window { source: 0, began_before: None },
    };
    let wanted = Wanted {
        kind: kind.as_deref(),
        grant: grant.as_ref(),
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let (jobs, next) = match place {
        Place::Window { .. } => of_windows(public, place, &wanted),
        Place::Older { .. } => below_windows(public, place, &wanted).await?,
    };
    let next = next.map(|place| place.to_string());
    Ok(json(StatusCode::OK, &serde_json::json!({ "jobs": jobs, "next": next })))
}

/// Jobs of the windows, and where the list goes on.
fn of_windows(public: &Public, from: Place, wanted: &Wanted<'_>) -> (Vec<Job>, Option<Place>) {
    let (mut jobs, mut place) = (Vec::new(), from);
    while let Place::Window { source, began_before } = place {
        let Some(PublicSource { window, .. }) = public.sources.get(source) else { break };
        let left = wanted.limit - jobs.len();
        if left == 0 {
            return (jobs, Some(place));
        }
        let (found, next) = window.read().summaries(began_before, left, |job| wanted.includes(job));
        jobs.extend(found.into_iter().map(Job::from));
        place = match next {
            Some(next) => return (jobs, Some(Place::Window { source, began_before: Some(next) })),
            None => Place::Window { source: source + 1, began_before: None },
        };
    }
    let older = Place::Older { source: 0, newest: None };
    let is_more = public.sources.iter().any(PublicSource::holds_more_than_its_window);
    (jobs, is_more.then_some(older))
}

/// Jobs below the windows, and where the list goes on.
async fn below_windows(
    public: &Public,
    from: Place,
    wanted: &Wanted<'_>,
) -> Result<(Vec<Job>, Option<Place>), HttpError> {
    let (mut jobs, mut place) = (Vec::new(), from);
    for _ in 0..LOOKS {
        let Place::Older { source: number, newest } = place else { break };
        let Some(source) = public.sources.get(number) else { return Ok((jobs, None)) };
        let left = wanted.limit - jobs.len();
        if left == 0 {
            break;
        }
        let newest = newest.unwrap_or_else(|| source.window.read().floor());
        let older = match source.catalog.older(newest, wanted.kind, left).await {
            Ok(older) => older,
            // What was found is not thrown away; the next request begins here.
            Err(_) if !jobs.is_empty() => break,
            Err(error) => {
                tracing::debug!(%error, "older jobs cannot be listed now");
                return Err(HttpError::Unavailable);
            }
        };
        let found = older.jobs.into_iter().map(Job::from);
        jobs.extend(found.filter(|job| wanted.includes(&job.key)));
        place = match older.considered_above {
            Some(newest) => Place::Older { source: number, newest: Some(newest) },
            None => Place::Older { source: number + 1, newest: None },
        };
    }
    let is_more = matches!(place, Place::Older { source, .. } if source < public.sources.len());
    Ok((jobs, is_more.then_some(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_the_way_to_the_client_and_back() {
        for place in [
            Place::Window { source: 0, began_before: None },
            Place::Window { source: 2, began_before: Some(17) },
            Place::Older { source: 1, newest: None },
            Place::Older { source: 0, newest: Some(u64::MAX) },
        ] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in [
            "",
            "w",
            "x0",
            "w0-",
            "w-1",
            "w+1",
            "o0-+1",
            "o1-2-3",
            "ä0",
            "w0-99999999999999999999999",
        ] {
            assert_eq!(text.parse::<Place>(), Err(HttpError::InvalidListCursor), "{text}");
        }
    }
}
