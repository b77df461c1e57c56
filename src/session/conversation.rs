//! What a connection says beside events, and what it hears, in each dialect.

use std::rc::Rc;

use bytes::Bytes;

use super::connection::Session;
use super::delivery::Watch;
use super::ending::Ending;
use crate::config::routes::{Dialect, Start};
use crate::dialect::Form;
use crate::dialect::optimization::{self, Batch, Code, Naming};
use crate::event::JobKey;
use crate::subscription::{Notice, OnTruncated, Request, UnknownJob};

impl Session {
    /// The first words, and the subscription that the path asks for.
    pub(super) fn begin(self: &Rc<Self>) {
        if let Some(job) = self.profile.job.clone() {
            self.subscribe(job, self.request_of_route());
        }
    }

    /// Does what a text message asks for.
    pub(super) fn hear(self: &Rc<Self>, text: &str) {
        match self.profile.route.dialect {
            Dialect::Optimization => self.obey(text),
            // These speak to their clients, who have nothing to say.
            Dialect::BeamSearch | Dialect::Training | Dialect::Agent => {}
        }
    }

    /// What a subscriber without wishes of its own gets on this route.
    pub(super) fn request_of_route(&self) -> Request {
        let route = &self.profile.route;
        Request {
            after: (route.start == Start::Start).then_some(0),
            state: route.start == Start::State,
            on_truncated: OnTruncated::Earliest,
            unknown_job: route
                .job_grace
                .map_or(UnknownJob::Wait, |after| UnknownJob::Refuse { after }),
            ..Request::default()
        }
    }

    /// The form in which a job is told on this route.
    pub(super) fn form(&self, job: &JobKey) -> Form {
        match self.profile.route.dialect {
            Dialect::Optimization => Form::Optimization(Naming::on_route(job, &self.profile.kind)),
            Dialect::BeamSearch => Form::BeamSearch,
            Dialect::Training => Form::Training,
            Dialect::Agent => Form::Agent,
        }
    }

    /// Whether a connection has nothing more to say once its job has ended.
    pub(super) fn ends_with_its_job(&self) -> bool {
        self.profile.route.dialect.names_job_in_path()
    }

    /// Tells the client something that is no event; the bytes it took.
    pub(super) fn tell(&self, watch: &Watch, notice: &Notice) -> usize {
        self.count(notice);
        let frame = match watch.form {
            Form::Optimization(naming) => optimization_frame(watch, naming, notice),
            Form::BeamSearch | Form::Training | Form::Agent => self.path_frame(watch, notice),
        };
        let length = frame.as_ref().map_or(0, Bytes::len);
        if let Some(frame) = frame {
            self.state.borrow_mut().socket.push(frame);
        }
        length
    }

    fn count(&self, notice: &Notice) {
        match notice {
            Notice::Truncated { .. } => self.metrics().truncations.inc(),
            Notice::CursorInvalid { .. } => self.metrics().invalid_cursors.inc(),
            _ => {}
        }
    }

    /// In the dialects of the path no unknown message is ever sent: what cannot be said in them
    /// ends the connection, or stands in the next message.
    fn path_frame(&self, watch: &Watch, notice: &Notice) -> Option<Bytes> {
        match notice {
            Notice::NotFound => self.end(Ending::UnknownJob),
            Notice::Unavailable => self.end(Ending::Unavailable),
            Notice::Truncated { first_available, .. } => {
                watch.truncated_before.set(Some(*first_available));
            }
            Notice::Subscribed { .. }
            | Notice::CursorInvalid { .. }
            | Notice::Position { .. }
            | Notice::ReplayDone { .. } => {}
        }
        None
    }

    /// The message, with what the client must know of missing history.
    pub(super) fn with_truncation(&self, watch: &Watch, message: Bytes) -> Bytes {
        watch.truncated_before.set(None);
        message
    }

    /// What is said of a stored message that is no event, if the dialect has words for it.
    pub(super) fn malformed(&self, watch: &Watch, id: u64) -> Option<Bytes> {
        let Form::Optimization(naming) = watch.form else { return None };
        Some(optimization::error(
            &watch.job,
            naming,
            Code::EventMalformed,
            "A stored message is not an event and is left out",
            &[("id", id)],
            None,
        ))
    }
}

fn optimization_frame(watch: &Watch, naming: Naming, notice: &Notice) -> Option<Bytes> {
    let job = &watch.job;
    let error = |code, sentence: &str, numbers: &[(&str, u64)], epoch: Option<&str>| {
        optimization::error(job, naming, code, sentence, numbers, epoch)
    };
    Some(match notice {
        Notice::Subscribed { last, first, epoch, .. } => {
            optimization::subscribed(job, naming, *last, *first, epoch)
        }
        Notice::Truncated { requested_after, first_available, last } => error(
            Code::HistoryTruncated,
            "Events after the cursor may be gone: completeness cannot be shown",
            &[
                ("requestedAfter", *requested_after),
                ("firstAvailable", *first_available),
                ("lastEventId", *last),
            ],
            None,
        ),
        Notice::CursorInvalid { epoch } => error(
            Code::CursorInvalid,
            "The cursor belongs to another stream: everything follows from the beginning",
            &[],
            Some(epoch),
        ),
        Notice::NotFound => error(Code::JobNotFound, "Job not found", &[], None),
        Notice::Unavailable => {
            error(Code::Unavailable, "The event store does not answer", &[], None)
        }
        Notice::Position { id } => optimization::position(job, naming, *id),
        Notice::ReplayDone { empty: true } => Batch::new(job, naming).finish(),
        Notice::ReplayDone { empty: false } => return None,
    })
}
