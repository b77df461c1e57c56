//! An event with all that a dialect needs to know to tell it.

use std::borrow::Cow;

use super::iso8601;
use super::optimization::Naming;
use super::table::Happening;
use crate::event::{EventView, JobKey, StoredBody};
use crate::fields::{Fields, decoded};
use crate::progress::{Progress, Standing, Told};

/// A well-formed event at its place in the life of its job.
#[derive(Debug, Clone, Copy)]
pub struct Occurrence<'a> {
    /// Whose it is.
    pub job: &'a JobKey,
    /// Whether messages name the job's kind.
    pub naming: Naming,
    /// The event as stored.
    pub event: EventView<'a>,
    /// Its payload, taken apart.
    pub body: &'a StoredBody<'a>,
    /// The job's progress with this event in it.
    pub progress_after: Progress,
    /// Whether the job went on after it, if it is an ending.
    pub standing: Standing,
}

impl<'a> Occurrence<'a> {
    /// Its row in the table of the dialects.
    pub fn happening(&self) -> Happening {
        Happening::of(self.event.event_type, self.body.data, self.standing)
    }

    /// The producer's timestamp as JSON, else the time at which the stream took the event.
    pub(super) fn timestamp(&self) -> Cow<'a, str> {
        match self.body.timestamp.filter(|raw| decoded(raw).is_some()) {
            Some(raw) => Cow::Borrowed(raw.get()),
            None => Cow::Owned(format!("\"{}\"", iso8601(self.event.stored_at))),
        }
    }

    /// What the event carries.
    pub(super) fn data(&self) -> Fields<'a> {
        Fields::of(self.body.data)
    }

    /// The numbers it tells itself.
    pub(super) fn told(&self, data: &Fields<'a>) -> Told<'a> {
        Told::by(self.event.event_type, self.body, data)
    }
}
