//! The list of jobs, from the window.

use hyper::StatusCode;
use serde::Serialize;

use super::answer::{Answer, json};
use crate::dialect::iso8601;
use crate::event::JobStatus;
use crate::window::{JobSummary, Window};

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

/// The newest jobs, those that began last first.
pub fn list(windows: &[Window]) -> Answer {
    let summaries: Vec<JobSummary> =
        windows.iter().flat_map(|window| window.read().summaries(LIMIT)).collect();
    let jobs: Vec<Job<'_>> = summaries.iter().map(Job::from).collect();
    json(StatusCode::OK, &serde_json::json!({ "jobs": jobs }))
}
