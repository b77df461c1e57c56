//! PROTOCOLS section 5 as a table: what each dialect with the job in its path, and beam search,
//! says of a stored event of any kind of job.

use serde_json::value::RawValue;

use crate::event::{LifeCycle, is_tried_again};
use crate::progress::Standing;

/// A row of the table: what happened, as far as dialects tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// `job_created`.
    Created,
    /// `job_started`.
    Started,
    /// `iteration_completed`.
    IterationCompleted,
    /// `progress`.
    Progress,
    /// `log`.
    Log,
    /// `job_paused`.
    Paused,
    /// `job_resumed`.
    Resumed,
    /// An ending that is not final: the failure says so itself, or the job went on after it.
    Retrying,
    /// `job_completed`.
    Completed,
    /// `job_failed`.
    Failed,
    /// `job_cancelled`.
    Cancelled,
    /// `iteration`, beam search's own.
    Iteration,
    /// `candidate`, beam search's own.
    Candidate,
    /// Any other type.
    Other,
}

/// What the cells of one row say. `None`: nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// In the `beam-search` dialect.
    pub beam_search: Option<BeamSearchMessage>,
    /// In the `training` dialect.
    pub training: Option<TrainingMessage>,
    /// In the `agent` dialect.
    pub agent: Option<AgentMessage>,
}

/// A message of the `beam-search` dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeamSearchMessage {
    /// `started`.
    Started,
    /// `iteration`, its status as stored.
    Iteration,
    /// `iteration` with status `completed`.
    IterationCompleted,
    /// `candidate`.
    Candidate,
    /// `complete`.
    Complete,
    /// `error`.
    Failed,
    /// `error` with code `CANCELLED`.
    Cancelled,
}

/// A message of the `training` dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainingMessage {
    /// `progress` with this status.
    Status(&'static str),
    /// `progress` with the status as stored, else the job's.
    Progress,
    /// `log`.
    Log,
    /// `complete`.
    Complete,
    /// `error`.
    Error,
}

/// A message of the `agent` dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentMessage {
    /// The step; `None`: the event's stage, else its type.
    pub step: Option<&'static str>,
    /// Percent done; `None`: as stored, else the job's.
    pub percent: Option<u8>,
    /// Whether it is told as an error.
    pub error: bool,
}

impl AgentMessage {
    const OWN: Self = Self { step: None, percent: None, error: false };

    const fn step(step: &'static str) -> Self {
        Self { step: Some(step), ..Self::OWN }
    }

    const fn at(step: &'static str, percent: u8) -> Self {
        Self { step: Some(step), percent: Some(percent), error: false }
    }

    const FAILED: Self = Self { step: Some("failed"), percent: Some(0), error: true };
}

impl Happening {
    /// The row of an event: by its type, by whether an ending is final, and by what its job did
    /// afterwards.
    pub fn of(event_type: &str, data: Option<&RawValue>, standing: Standing) -> Self {
        match LifeCycle::of(event_type) {
            Some(life_cycle) => Self::of_life_cycle(life_cycle, data, standing),
            None => match event_type {
                "iteration_completed" => Self::IterationCompleted,
                "progress" => Self::Progress,
                "log" => Self::Log,
                "iteration" => Self::Iteration,
                "candidate" => Self::Candidate,
                _ => Self::Other,
            },
        }
    }

    fn of_life_cycle(event: LifeCycle, data: Option<&RawValue>, standing: Standing) -> Self {
        let ending = match event {
            LifeCycle::Created => return Self::Created,
            LifeCycle::Started => return Self::Started,
            LifeCycle::Paused => return Self::Paused,
            LifeCycle::Resumed => return Self::Resumed,
            LifeCycle::Completed => Self::Completed,
            LifeCycle::Failed if is_tried_again(data) => Self::Retrying,
            LifeCycle::Failed => Self::Failed,
            LifeCycle::Cancelled => Self::Cancelled,
        };
        match standing {
            Standing::Newest => ending,
            Standing::Superseded => Self::Retrying,
        }
    }

    /// Whether the job ends with it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// What the dialects say.
    pub fn row(self) -> Row {
        use {AgentMessage as A, BeamSearchMessage as B, TrainingMessage as T};
        let (beam_search, training, agent) = match self {
            Self::Created => (None, Some(T::Status("pending")), Some(A::at("created", 0))),
            Self::Started => {
                (Some(B::Started), Some(T::Status("running")), Some(A::step("started")))
            }
            Self::IterationCompleted => {
                (Some(B::IterationCompleted), Some(T::Status("running")), Some(A::OWN))
            }
            Self::Progress => (None, Some(T::Progress), Some(A::OWN)),
            Self::Log => (None, Some(T::Log), None),
            Self::Paused => (None, Some(T::Status("paused")), Some(A::step("paused"))),
            Self::Resumed => (None, Some(T::Status("running")), Some(A::step("resumed"))),
            Self::Retrying => (None, Some(T::Status("pending")), Some(A::step("retrying"))),
            Self::Completed => {
                (Some(B::Complete), Some(T::Complete), Some(A::at("completed", 100)))
            }
            Self::Failed => (Some(B::Failed), Some(T::Error), Some(A::FAILED)),
            Self::Cancelled => (Some(B::Cancelled), Some(T::Status("stopped")), Some(A::FAILED)),
            Self::Iteration => (Some(B::Iteration), None, Some(A::OWN)),
            Self::Candidate => (Some(B::Candidate), None, Some(A::OWN)),
            Self::Other => (None, None, Some(A::OWN)),
        };
        Row { beam_search, training, agent }
    }
}

#[cfg(test)]
mod tests;
