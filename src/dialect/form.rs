//! One event in whichever form a watcher wants it.

use super::event_stream;
use super::occurrence::Occurrence;
use super::optimization::{self, Naming};
use super::{agent, beam_search, training};
use crate::encoded::EncodedEvent;
use crate::event::{EventView, JobKey, JobStatus, LifeCycle, MalformedEvent, StoredBody};
use crate::progress::{Progress, Standing};

/// What a watcher wants of every event: a wire format, in one form of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// PROTOCOLS section 1.
    Optimization(Naming),
    /// PROTOCOLS section 2.
    BeamSearch(Naming),
    /// PROTOCOLS section 3.
    Training(Naming),
    /// PROTOCOLS section 4.
    Agent(Naming),
    /// Server-Sent Events.
    EventStream,
}

impl Form {
    /// How many forms there are.
    pub const COUNT: usize = 9;

    /// The form's number, below [`Form::COUNT`].
    pub fn number(self) -> usize {
        let (family, naming) = match self {
            Self::Optimization(naming) => (0, naming),
            Self::BeamSearch(naming) => (2, naming),
            Self::Training(naming) => (4, naming),
            Self::Agent(naming) => (6, naming),
            Self::EventStream => return 8,
        };
        family + usize::from(naming.with_kind)
    }

    /// The form with a number.
    pub fn of_number(number: usize) -> Option<Self> {
        let naming = Naming { with_kind: number % 2 == 1 };
        Some(match number {
            0 | 1 => Self::Optimization(naming),
            2 | 3 => Self::BeamSearch(naming),
            4 | 5 => Self::Training(naming),
            6 | 7 => Self::Agent(naming),
            8 => Self::EventStream,
            _ => return None,
        })
    }

    /// Whether what an event looks like depends on the events before it.
    pub fn needs_progress(self) -> bool {
        !matches!(self, Self::Optimization(_) | Self::EventStream)
    }
}

/// Whether an event is final for its job, unless the job went on.
pub fn is_final(event: EventView<'_>) -> bool {
    LifeCycle::of(event.event_type)
        .is_some_and(|kind| JobStatus::after(kind, event.payload).is_final())
}

/// Whether an event, if it is an ending, is the newest life-cycle event of its job.
pub fn standing(event: EventView<'_>, newest_life_cycle: u64) -> Standing {
    if event.id < newest_life_cycle && LifeCycle::of(event.event_type).is_some() {
        Standing::Superseded
    } else {
        Standing::Newest
    }
}

/// An event in a form. `before` is where the job stood before it.
///
/// # Errors
/// [`MalformedEvent`] if the stored message is no event.
pub fn encode(
    form: Form,
    job: &JobKey,
    event: EventView<'_>,
    before: Progress,
    standing: Standing,
) -> Result<EncodedEvent, MalformedEvent> {
    let naming = match form {
        Form::Optimization(naming) => return optimization::encode_event(job, event, naming),
        Form::BeamSearch(naming) | Form::Training(naming) | Form::Agent(naming) => naming,
        Form::EventStream => Naming { with_kind: false },
    };
    let body = StoredBody::parse(event.payload)?;
    let progress_after =
        if form.needs_progress() { before.after(event.event_type, &body) } else { before };
    let occurrence = Occurrence { job, naming, event, body: &body, progress_after, standing };
    let message = match form {
        Form::BeamSearch(_) => beam_search::encode(&occurrence, None),
        Form::Training(_) => training::encode(&occurrence),
        Form::Agent(_) => agent::encode(&occurrence),
        Form::EventStream | Form::Optimization(_) => Some(event_stream::encode(job, event)?),
    };
    Ok(EncodedEvent {
        message: message.unwrap_or_default(),
        body: 0..0,
        before,
        after: progress_after,
        ends: standing == Standing::Newest && is_final(event),
        types_differ: body.differs_from(event.event_type),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_has_a_number_of_its_own() {
        for number in 0..Form::COUNT {
            assert_eq!(Form::of_number(number).map(Form::number), Some(number));
        }
        assert_eq!(Form::of_number(Form::COUNT), None);
    }

    #[test]
    fn an_ending_that_the_job_outlived_ends_nothing() {
        let job = JobKey::new("agent", "a").unwrap();
        let event = EventView {
            id: 5,
            event_type: "job_failed",
            stored_at: 0,
            payload: br#"{"data":{"error":"x"}}"#,
            traceparent: None,
        };
        let form = Form::Agent(Naming { with_kind: false });
        for (newest, ends) in [(5, true), (9, false)] {
            let standing = standing(event, newest);
            let encoded = encode(form, &job, event, Progress::default(), standing).unwrap();
            assert_eq!(encoded.ends, ends);
        }
    }
}
