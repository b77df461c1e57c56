//! The list of jobs, from the window.

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde::Serialize;

use super::access;
use super::answer::{Answer, json};
use super::server::Public;
use crate::dialect::iso8601;
use crate::event::{JobKey, JobStatus};
use crate::window::JobSummary;

/// Jobs in one answer.
const LIMIT: usize = 100;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Job<'a> {
    kind: &'a str,
    job_id: &'a str,
    status: JobStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_event_id: Option<u64>,
    last_event_id: u64,
    last_event_type: &'a str,
    last_event_at: String,
}

impl<'a> From<&'a JobSummary> for Job<'a> {
    fn from(summary: &'a JobSummary) -> Self {
        let status = summary
            .life_cycle
            .as_ref()
            .map_or(JobStatus::Unknown, |(event, payload)| JobStatus::after(*event, payload));
        Self {
            kind: summary.job.kind(),
            job_id: summary.job.id(),
            status,
            first_event_id: summary.first_id,
            last_event_id: summary.last_id,
            last_event_type: &summary.last_type,
            last_event_at: iso8601(summary.last_at),
        }
    }
}

/// The newest jobs that the client may watch, those that began last first.
///
/// # Errors
/// The refusal to send.
pub async fn answer(public: &Public, request: &Request<Incoming>) -> Result<Answer, Answer> {
    let grant = match public.routes.any_events() {
        Some(route) => access::authenticate(public, route, request).await?,
        None => None,
    };
    let may_watch = |job: &JobKey| access::check_watch(grant.as_ref(), job).is_ok();
    let summaries: Vec<JobSummary> = public
        .windows
        .iter()
        .flat_map(|window| window.read().summaries(LIMIT, may_watch))
        .collect();
    let jobs: Vec<Job<'_>> = summaries.iter().map(Job::from).collect();
    Ok(json(StatusCode::OK, &serde_json::json!({ "jobs": jobs })))
}
