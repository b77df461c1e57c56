//! What the dialects that promise numbers in every message remember of a job between two events.
//! PROTOCOLS section 5, "Fraction done".

use crate::event::{JobStatus, LifeCycle, StoredBody, StoredEvent, is_tried_again};
use crate::fields::{Fields, Number};

/// Where a job stands, folded from its events in order. Small, and copied freely: an encoded
/// event carries the progress after it, so that every watcher knows it without reading JSON.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Progress {
    /// Fraction done, 0 to 1, if any event told it.
    pub fraction: Option<f64>,
    /// Iteration or epoch, 0 or more.
    pub iteration: Option<f64>,
    /// How many iterations or epochs there will be, 0 or more.
    pub total: Option<f64>,
    /// Training loss.
    pub loss: Option<f64>,
    /// The status after the newest life-cycle event.
    pub status: Option<JobStatus>,
}

/// Whether an ending is the newest life-cycle event of its job. One that is not ends nobody's
/// connection and is told as something that was tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Nothing of the life cycle came after it.
    Newest,
    /// The job went on.
    Superseded,
}

impl Progress {
    /// The progress after one more event. Numbers out of range are clamped, what is no number is
    /// as good as absent. What an event does not tell stays as it was: a job that is tried again
    /// keeps its numbers until it tells new ones.
    #[must_use]
    pub fn after(self, event_type: &str, body: &StoredBody<'_>) -> Self {
        let data = Fields::of(body.data);
        let told = Told::by(event_type, body, &data);
        let not_negative = |number: Number<'_>| number.value.max(0.0);
        let iteration = told.iteration.map(not_negative);
        let total = told.total.map(not_negative).or(self.total);
        let fraction = (told.fraction())
            .or_else(|| ratio(iteration, total))
            .or(self.fraction)
            .or_else(|| ratio(self.iteration, total));
        Self {
            fraction,
            iteration: iteration.or(self.iteration),
            total,
            loss: told.loss.map(|number| number.value).or(self.loss),
            status: status(event_type, body).or(self.status),
        }
    }

    /// The progress told by events of one job, in the order of their ids; malformed ones tell
    /// nothing. The last event of every type is enough for the status. Numbers are then those of
    /// the last event of their type, unless that event did not tell them.
    pub fn of_state(events: &[StoredEvent]) -> Self {
        events.iter().fold(Self::default(), |progress, event| {
            match StoredBody::parse(&event.payload) {
                Ok(body) => progress.after(&event.event_type, &body),
                Err(_) => progress,
            }
        })
    }

    /// Whether something is known here that is not known there.
    pub fn knows_more_than(&self, other: &Self) -> bool {
        let more = |here: Option<f64>, there: Option<f64>| here.is_some() && there.is_none();
        more(self.fraction, other.fraction)
            || more(self.iteration, other.iteration)
            || more(self.total, other.total)
            || more(self.loss, other.loss)
            || self.status.is_some() && other.status.is_none()
    }

    /// Fraction done, 0 to 1; 0 when unknown.
    pub fn fraction_or_zero(&self) -> f64 {
        self.fraction.unwrap_or(0.0)
    }

    /// Iteration or epoch; 0 when unknown.
    pub fn iteration_or_zero(&self) -> f64 {
        self.iteration.unwrap_or(0.0)
    }

    /// How many iterations or epochs there will be; 0 when unknown.
    pub fn total_or_zero(&self) -> f64 {
        self.total.unwrap_or(0.0)
    }
}

fn ratio(iteration: Option<f64>, total: Option<f64>) -> Option<f64> {
    let (iteration, total) = (iteration?, total?);
    (total > 0.0).then(|| (iteration / total).clamp(0.0, 1.0))
}

fn status(event_type: &str, body: &StoredBody<'_>) -> Option<JobStatus> {
    Some(match LifeCycle::of(event_type)? {
        LifeCycle::Failed if is_tried_again(body.data) => JobStatus::Pending,
        // Only the payload of a failure has a say.
        life_cycle => JobStatus::after(life_cycle, b""),
    })
}

/// The numbers that one event tells, as it spells them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    /// Fraction done, 0 to 1.
    pub(super) progress: Option<Number<'a>>,
    /// Fraction done, 0 to 100.
    pub(super) percent: Option<Number<'a>>,
    /// Iteration or epoch.
    pub(super) iteration: Option<Number<'a>>,
    /// How many there will be.
    pub(super) total: Option<Number<'a>>,
    /// Training loss.
    pub(super) loss: Option<Number<'a>>,
}

impl<'a> Told<'a> {
    /// Where an event says these. `data` is the body's.
    pub(super) fn by(event_type: &str, body: &StoredBody<'a>, data: &Fields<'a>) -> Self {
        /// The last three are the life cycle's.
        const ITERATION: [&str; 5] = [
            "current_epoch",
            "iteration",
            "currentIteration",
            "resumeFromIteration",
            "finalIteration",
        ];
        const TOTAL: [&str; 2] = ["totalIterations", "total_epochs"];
        let first = |names: &[&str]| names.iter().find_map(|name| data.number(name));
        let configured = || match LifeCycle::of(event_type)? {
            LifeCycle::Created | LifeCycle::Started => {
                Fields::of(data.object("config")).number("iterations")
            }
            _ => None,
        };
        Self {
            progress: data.number("progress"),
            percent: data.number("percent"),
            iteration: body.iteration.and_then(Number::read).or_else(|| first(&ITERATION)),
            total: first(&TOTAL).or_else(configured),
            loss: data.number("current_loss"),
        }
    }

    fn fraction(&self) -> Option<f64> {
        let progress = self.progress.map(|progress| progress.value);
        let percent = self.percent.map(|percent| percent.value / 100.0);
        progress.or(percent).map(|fraction| fraction.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests;
