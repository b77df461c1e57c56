use super::*;
use crate::event::JobStatus;

/// A cell of the agent column.
fn agent(step: Option<&'static str>, percent: Option<u8>, error: bool) -> Option<AgentMessage> {
    Some(AgentMessage { step, percent, error })
}

fn row_of(event_type: &str, data: &str, standing: Standing) -> Row {
    let data: &RawValue = serde_json::from_str(data).unwrap();
    Happening::of(event_type, Some(data), standing).row()
}

#[test]
fn every_cell_is_as_the_contract_says() {
    use {BeamSearchMessage as B, TrainingMessage as T};
    let own = agent(None, None, false);
    let failed = agent(Some("failed"), Some(0), true);
    let pending = Some(T::Status("pending"));
    let running = Some(T::Status("running"));
    let retrying = agent(Some("retrying"), None, false);
    let retry = r#"{"willRetry":true}"#;
    for (event_type, data, beam_search, training, agent) in [
        ("job_created", "{}", None, pending, agent(Some("created"), Some(0), false)),
        ("job_started", "{}", Some(B::Started), running, agent(Some("started"), None, false)),
        ("iteration_completed", "{}", Some(B::IterationCompleted), running, own),
        ("progress", "{}", None, Some(T::Progress), own),
        ("log", "{}", None, Some(T::Log), None),
        ("job_paused", "{}", None, Some(T::Status("paused")), agent(Some("paused"), None, false)),
        ("job_resumed", "{}", None, running, agent(Some("resumed"), None, false)),
        ("job_failed", retry, None, pending, retrying),
        (
            "job_completed",
            "{}",
            Some(B::Complete),
            Some(T::Complete),
            agent(Some("completed"), Some(100), false),
        ),
        ("job_failed", "{}", Some(B::Failed), Some(T::Error), failed),
        ("job_cancelled", "{}", Some(B::Cancelled), Some(T::Status("stopped")), failed),
        ("iteration", "{}", Some(B::Iteration), None, own),
        ("candidate", "{}", Some(B::Candidate), None, own),
        ("scam_db", "{}", None, None, own),
    ] {
        let row = row_of(event_type, data, Standing::Newest);
        assert_eq!(row, Row { beam_search, training, agent }, "{event_type} {data}");
    }
}

#[test]
fn an_ending_that_the_job_outlived_is_told_as_tried_again() {
    let retried = row_of("job_failed", r#"{"willRetry":true}"#, Standing::Newest);
    for ending in ["job_completed", "job_failed", "job_cancelled"] {
        assert_eq!(row_of(ending, "{}", Standing::Superseded), retried, "{ending}");
    }
}

#[test]
fn only_an_ending_can_be_superseded() {
    for event_type in ["job_created", "job_started", "job_paused", "job_resumed", "progress", "x"] {
        assert_eq!(
            row_of(event_type, "{}", Standing::Superseded),
            row_of(event_type, "{}", Standing::Newest),
            "{event_type}"
        );
    }
}

#[test]
fn an_event_is_final_exactly_if_the_jobs_status_says_so() {
    for data in [
        "{}",
        r#"{"willRetry":true}"#,
        r#"{"willRetry":false}"#,
        r#"{"willRetry":"true"}"#,
        r#"{"willRetry":true,"willRetry":true}"#,
        r#"{"\ud800":1,"willRetry":true}"#,
    ] {
        for event_type in ["job_failed", "job_completed", "job_cancelled", "job_started"] {
            let raw: &RawValue = serde_json::from_str(data).unwrap();
            let happening = Happening::of(event_type, Some(raw), Standing::Newest);
            let payload = format!(r#"{{"data":{data}}}"#);
            let life_cycle = LifeCycle::of(event_type).unwrap();
            let status = JobStatus::after(life_cycle, payload.as_bytes());
            let has_ended =
                matches!(status, JobStatus::Succeeded | JobStatus::Failed | JobStatus::Stopped);
            assert_eq!(happening.is_final(), has_ended, "{event_type} {data}");
        }
    }
}
