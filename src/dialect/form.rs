//! One event in whichever form a watcher wants it.

use bytes::Bytes;

use super::optimization::{self, Naming};
use crate::encoded::EncodedEvent;
use crate::event::{EventView, JobKey, JobStatus, LifeCycle, MalformedEvent, StoredBody};
use crate::progress::{Progress, Standing};

/// What a watcher wants of every event: a wire format, in one form of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// PROTOCOLS section 1.
    Optimization(Naming),
    /// PROTOCOLS section 2.
    BeamSearch,
    /// PROTOCOLS section 3.
    Training,
    /// PROTOCOLS section 4.
    Agent,
}

impl Form {
    /// How many forms there are.
    pub const COUNT: usize = 5;

    /// The form's number, below [`Form::COUNT`].
    pub fn number(self) -> usize {
        match self {
            Self::Optimization(Naming { with_kind: false }) => 0,
            Self::Optimization(Naming { with_kind: true }) => 1,
            Self::BeamSearch => 2,
            Self::Training => 3,
            Self::Agent => 4,
        }
    }

    /// The form with a number.
    pub fn of_number(number: usize) -> Option<Self> {
        Some(match number {
            0 => Self::Optimization(Naming { with_kind: false }),
            1 => Self::Optimization(Naming { with_kind: true }),
            2 => Self::BeamSearch,
            3 => Self::Training,
            4 => Self::Agent,
            _ => return None,
        })
    }
}

/// Whether an event is final for its job, unless the job went on.
pub fn is_final(event: EventView<'_>) -> bool {
    LifeCycle::of(event.event_type).is_some_and(|kind| {
        matches!(
            JobStatus::after(kind, event.payload),
            JobStatus::Succeeded | JobStatus::Failed | JobStatus::Stopped
        )
    })
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
    if let Form::Optimization(naming) = form {
        return optimization::encode_event(job, event, naming);
    }
    let body = StoredBody::parse(event.payload)?;
    let after = before.after(event.event_type, &body);
    Ok(EncodedEvent {
        message: Bytes::new(),
        body: 0..0,
        after,
        ends: standing == Standing::Newest && is_final(event),
        types_differ: body.differs_from(event.event_type),
    })
}
