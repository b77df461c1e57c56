//! What a connection says beside events, and what it hears, in each dialect.

use std::rc::Rc;

use bytes::Bytes;
use serde_json::Value;

use super::clock;
use super::connection::Session;
use super::ending::Ending;
use super::event_pipe::Opening;
use super::metrics::SubscriptionEnd;
use super::read_refusal::ReadRefusal;
use super::refusals::Reason;
use super::watch::Watch;
use crate::config::routes::{Dialect, Start};
use crate::dialect::optimization::{self, Batch, Code, Naming, Refusal};
use crate::dialect::{Form, agent, beam_search, encode, event_stream, is_final, iso8601, training};
use crate::event::{JobKey, LifeCycle, StoredEvent};
use crate::progress::{Progress, Standing};
use crate::subscription::{Notice, OnTruncated, Request, UnknownJob};
use crate::window::StreamState;

const MAY_BE_GONE: &str = "Events after the cursor may be gone: completeness cannot be shown";

impl Session {
    /// The first words, and the subscription that the path asks for.
    pub(super) fn begin(self: &Rc<Self>) {
        let Some(job) = self.profile.job.clone() else { return };
        if let Form::Agent(naming) = self.form(&job) {
            let frame = agent::connected(&job, naming, &now());
            self.state.borrow_mut().socket.push(frame);
        }
        self.subscribe(job, self.request_of_route());
    }

    /// Does what a text message asks for.
    pub(super) fn hear(self: &Rc<Self>, text: &str) {
        match self.profile.route.dialect {
            Dialect::Optimization => self.obey(text),
            Dialect::BeamSearch => self.obey_beam_search(text),
            // These speak to their clients, who have nothing to say.
            Dialect::Training | Dialect::Agent | Dialect::Events => {}
        }
    }

    fn obey_beam_search(self: &Rc<Self>, text: &str) {
        let (job, subscribe) = match beam_search::parse(text) {
            Some(beam_search::Command::Subscribe { job }) => (job, true),
            Some(beam_search::Command::Unsubscribe { job }) => (job, false),
            None => return,
        };
        match job.resolve(&self.profile.kind) {
            Ok(key) if !subscribe => self.forget(&key, SubscriptionEnd::Client),
            // Subscribing again to the same job does nothing.
            Ok(key) if self.state.borrow().subscriptions.contains_key(&key) => {}
            Ok(key) if !self.may_watch(&key) => {
                self.metrics().refusals.count(Reason::Forbidden);
                let refusal = Refusal::new(Code::Forbidden, Reason::Forbidden.sentence());
                self.refuse_beam_search(&job.id, &refusal);
            }
            Ok(key) => self.subscribe(key, self.request_of_route()),
            Err(refusal) if subscribe => self.refuse_beam_search(&job.id, &refusal),
            Err(_) => {}
        }
    }

    pub(super) fn refuse_beam_search(&self, job: &Value, refusal: &Refusal) {
        let frame = beam_search::refusal(job, refusal, &now());
        self.state.borrow_mut().socket.push(frame);
    }

    /// A sign of life in the dialect's own words.
    pub(super) fn heartbeat(&self) {
        self.state.borrow_mut().socket.push(agent::heartbeat(&now()));
    }

    /// What a subscriber without wishes of its own gets on this route.
    pub(super) fn request_of_route(&self) -> Request {
        let route = &self.profile.route;
        let events = route.dialect == Dialect::Events;
        Request {
            after: self.profile.after.or((route.start == Start::Start).then_some(0)),
            epoch: self.profile.epoch.clone(),
            state: route.start == Start::State && self.profile.after.is_none(),
            with_state: events,
            on_truncated: if events { OnTruncated::Fail } else { OnTruncated::Earliest },
            cursor_must_hold: events,
            unknown_job: route
                .job_grace
                .map_or(UnknownJob::Wait, |after| UnknownJob::Refuse { after }),
            ..Request::default()
        }
    }

    /// The form in which a job is told on this route.
    pub(super) fn form(&self, job: &JobKey) -> Form {
        let naming = Naming::on_route(job, &self.profile.route.kind);
        match self.profile.route.dialect {
            Dialect::Optimization => Form::Optimization(Naming::on_route(job, &self.profile.kind)),
            Dialect::BeamSearch => Form::BeamSearch(naming),
            Dialect::Training => Form::Training(naming),
            Dialect::Agent => Form::Agent(naming),
            Dialect::Events => Form::EventStream,
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
            Form::EventStream => self.tell_stream(watch, notice),
            Form::BeamSearch(_) | Form::Training(_) | Form::Agent(_) => {
                self.path_frame(watch, notice)
            }
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
            Notice::Subscribed { state, .. } => return self.tell_state(watch, state),
            Notice::CursorInvalid { .. } | Notice::Position { .. } | Notice::ReplayDone { .. } => {}
        }
        None
    }

    /// Where the job stands, in the dialect that begins with it; and its end, if it has ended.
    fn tell_state(&self, watch: &Watch, state: &[StoredEvent]) -> Option<Bytes> {
        let Form::Training(naming) = watch.form else { return None };
        let progress = Progress::of_state(state);
        watch.progress.set(progress);
        let told_at = state.last().map_or_else(now, |newest| iso8601(newest.stored_at));
        let initial = training::initial(&watch.job, naming, &progress, &told_at);
        let Some(ending) = self.ending_of(watch, state) else { return Some(initial) };
        self.state.borrow_mut().socket.push(initial);
        let standing = Standing::Newest;
        let encoded = encode(watch.form, &watch.job, ending.as_view(), progress, standing).ok();
        if let Some(encoded) = encoded.filter(|encoded| !encoded.message.is_empty()) {
            self.state.borrow_mut().socket.push(encoded.message);
        }
        self.note_caught_up(watch, clock::now());
        self.end(Ending::JobEnded);
        None
    }

    /// The event that the job has ended with, if nothing newer of its life is known.
    fn ending_of<'a>(&self, watch: &Watch, state: &'a [StoredEvent]) -> Option<&'a StoredEvent> {
        let newest = state
            .iter()
            .filter(|event| LifeCycle::of(&event.event_type).is_some())
            .max_by_key(|event| event.id)?;
        let known = watch.feed.view(&watch.job).newest_life_cycle;
        (newest.id >= known && is_final(newest.as_view())).then_some(newest)
    }

    /// The beginning of a stream of events is its status; what is told later of its cursor ends
    /// it.
    fn tell_stream(&self, watch: &Watch, notice: &Notice) -> Option<Bytes> {
        let opening = match notice {
            Notice::Subscribed { state, .. } if self.has_seen_the_end(watch, state) => {
                Opening::Over
            }
            Notice::Subscribed { .. } => Opening::Events,
            _ => Opening::Refused(ReadRefusal::of(notice)?),
        };
        let goes_on = opening == Opening::Events;
        let is_answer = self.state.borrow_mut().socket.open(opening);
        if goes_on {
            return None;
        }
        if !is_answer && let Some(error) = stream_error(notice) {
            self.state.borrow_mut().socket.push(error);
        }
        self.end(Ending::CursorLost);
        None
    }

    fn has_seen_the_end(&self, watch: &Watch, state: &[StoredEvent]) -> bool {
        let Some(after) = self.profile.after else { return false };
        let of_window = watch.feed.source.window.read().life_cycle(watch.job.as_str());
        match of_window {
            Some((id, is_final)) => is_final && id <= after,
            None => self.ending_of(watch, state).is_some_and(|ending| ending.id <= after),
        }
    }

    /// The message, with what the client must know of missing history.
    pub(super) fn with_truncation(&self, watch: &Watch, message: Bytes) -> Bytes {
        match (watch.form, watch.truncated_before.take()) {
            (Form::BeamSearch(_), Some(first)) => {
                beam_search::with_truncation(&message, first).unwrap_or(message)
            }
            _ => message,
        }
    }

    /// Notes at the first event of a whole history that it does not begin at its beginning.
    ///
    /// It takes no lock: whoever offers the event may be reading the window, and a second read
    /// on the same thread waits for ever once a writer waits for the first.
    pub(super) fn note_beginning(
        &self,
        watch: &Watch,
        id: u64,
        event_type: &str,
        stream: impl FnOnce() -> Option<StreamState>,
    ) {
        if watch.began.replace(true) || !matches!(watch.form, Form::BeamSearch(_)) {
            return;
        }
        let begins =
            matches!(LifeCycle::of(event_type), Some(LifeCycle::Created | LifeCycle::Started));
        if !begins && stream().is_some_and(|stream| stream.first > 1) {
            watch.truncated_before.set(Some(id));
        }
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

/// What is told in a stream of events that cannot go on from its cursor.
fn stream_error(notice: &Notice) -> Option<Bytes> {
    match notice {
        Notice::Truncated { requested_after, first_available, last } => Some(event_stream::error(
            Code::HistoryTruncated,
            MAY_BE_GONE,
            &[
                ("requestedAfter", (*requested_after).into()),
                ("firstAvailable", (*first_available).into()),
                ("lastEventId", (*last).into()),
            ],
        )),
        Notice::CursorInvalid { epoch } => Some(event_stream::error(
            Code::CursorInvalid,
            "The cursor belongs to another stream: begin without one",
            &[("epoch", (&**epoch).into())],
        )),
        _ => None,
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
            MAY_BE_GONE,
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

/// The present time as ISO 8601.
fn now() -> String {
    let now = time::OffsetDateTime::now_utc().unix_timestamp_nanos();
    iso8601(i64::try_from(now).unwrap_or_default())
}
