//! Delivery: what a subscription says must happen next is done, and becomes frames.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::clock;
use super::connection::Session;
use super::distribution::Due;
use super::ending::Ending;
use super::metrics::SubscriptionEnd;
use super::watch::{Turn, Watch};
use super::worker::Worker;
use crate::dialect::optimization::{Batch, Naming};
use crate::dialect::{Form, encode, standing};
use crate::encoded::EncodedEvent;
use crate::event::{EventView, JobKey};
use crate::journal::{Answer, Incarnation, Page, Question};
use crate::progress::{Progress, Standing};
use crate::subscription::{Admission, Step};
use crate::window::{Entry, FrameVariant, JobRead, ReadBound, StreamState};

/// Events read under one lock of the window.
const EVENTS: usize = 256;
/// Frames are appended to one socket up to this before it is written.
const GATHERED: usize = 64 * 1024;

/// An event in one encoding.
pub enum Encoded {
    /// Nobody wants it.
    NotWanted,
    /// It is no event.
    Malformed,
    /// A frame, shared.
    Frame(EncodedEvent),
}

/// A question under way.
pub struct Asking {
    pub(super) watch: Rc<Watch>,
    pub(super) answer: BoxFuture<'static, Answer>,
}

impl Worker {
    /// An event of the window in one form.
    pub(super) fn encode(&self, entry: &Entry<'_>, form: Form, before: Progress) -> Encoded {
        let standing = standing(entry.event, entry.newest_life_cycle);
        let Some(variant) = variant(form, standing) else { return Encoded::NotWanted };
        let encoded = entry
            .encoded(variant, |job, event| self.encode_view(job, event, form, before, standing))
            .and_then(|kept| {
                let own = || self.encode_view(entry.job, entry.event, form, before, standing);
                // It may have been made for a client who saw less of the job.
                if before.knows_more_than(&kept.before) { own() } else { Some(kept) }
            });
        encoded.map_or(Encoded::Malformed, Encoded::Frame)
    }

    pub(super) fn encode_view(
        &self,
        job: &JobKey,
        event: EventView<'_>,
        form: Form,
        before: Progress,
        standing: Standing,
    ) -> Option<EncodedEvent> {
        match encode(form, job, event, before, standing) {
            Ok(encoded) => {
                self.settings.metrics.encoded.inc();
                if encoded.types_differ {
                    self.settings.metrics.types_differ.inc();
                }
                Some(encoded)
            }
            Err(error) => {
                let is_first = self.settings.metrics.malformed.get() == 0;
                self.settings.metrics.malformed.inc();
                if is_first {
                    tracing::warn!(
                        %job, id = event.id, %error,
                        "a stored message is no event; others are only counted"
                    );
                } else {
                    tracing::debug!(%job, id = event.id, %error, "a stored message is no event");
                }
                None
            }
        }
    }
}

/// Where an encoding is kept: an ending that the job outlived looks different.
fn variant(form: Form, standing: Standing) -> Option<FrameVariant> {
    let number = 2 * form.number() + usize::from(standing == Standing::Superseded);
    u8::try_from(number).ok().and_then(FrameVariant::new)
}

impl Session {
    /// Offers a live event; `true` if the socket must be written and was not touched before.
    pub(super) fn offer(self: &Rc<Self>, watch: &Rc<Watch>, due: &Due, cursor: u64) -> bool {
        let mut machine = watch.machine.borrow_mut();
        if !machine.is_following() {
            drop(machine);
            // It may be waiting for just this.
            if watch.turn.get() == Turn::Waiting {
                self.queue(watch);
                self.wake();
            }
            return false;
        }
        let state = self.state.borrow_mut();
        if state.blocked || state.ending.is_some() || state.socket.pending() > GATHERED {
            machine.fall_behind(cursor);
            drop((machine, state));
            self.queue(watch);
            self.wake();
            return false;
        }
        let encoded = due.encoded.get(watch.form.number()).unwrap_or(&Encoded::NotWanted);
        if watch.knows_more_than(encoded) {
            machine.fall_behind(cursor);
            drop((machine, state));
            self.queue(watch);
            self.wake();
            return false;
        }
        let before = state.socket.pending();
        let admission = machine.admit(due.id, &due.event_type);
        drop((machine, state));
        if admission != Admission::Skip {
            let stream = || watch.feed.source.window.read().stream();
            self.note_beginning(watch, due.id, &due.event_type, stream);
        }
        if let Some(frame) = self.frame_of_event(watch, admission, due.id, encoded) {
            self.state.borrow_mut().socket.push(frame);
        }
        self.after_event(watch, admission, encoded);
        before == 0 && self.state.borrow().socket.pending() > 0
    }

    /// A single event as a message of its own; `None` if nothing is to be sent.
    fn frame_of_event(
        &self,
        watch: &Watch,
        admission: Admission,
        id: u64,
        encoded: &Encoded,
    ) -> Option<Bytes> {
        match (admission, encoded) {
            (Admission::Skip, _) | (_, Encoded::NotWanted) => None,
            (_, Encoded::Malformed) => self.malformed(watch, id),
            (Admission::History, Encoded::Frame(frame)) => {
                let Form::Optimization(naming) = watch.form else {
                    return self.whole(watch, frame);
                };
                self.worker.delivered.inc();
                let mut batch = Batch::new(&watch.job, naming);
                batch.push(frame.body());
                Some(batch.finish())
            }
            (Admission::Live, Encoded::Frame(frame)) => self.whole(watch, frame),
        }
    }

    fn whole(&self, watch: &Watch, frame: &EncodedEvent) -> Option<Bytes> {
        if frame.message.is_empty() {
            return None;
        }
        self.worker.delivered.inc();
        Some(self.with_truncation(watch, frame.message.clone()))
    }

    /// What an event changes beside the bytes it makes.
    fn after_event(&self, watch: &Watch, admission: Admission, encoded: &Encoded) {
        let Encoded::Frame(frame) = encoded else { return };
        watch.progress.set(frame.after);
        if admission == Admission::Skip {
            return;
        }
        self.event_at.set(self.worker.now());
        if frame.ends && self.ends_with_its_job() {
            self.note_caught_up(watch, clock::now());
            self.end(Ending::JobEnded);
        }
    }

    /// Puts a subscription into the connection's rounds, unless it is in them.
    pub(super) fn queue(&self, watch: &Rc<Watch>) {
        if watch.turn.get() == Turn::Waiting {
            watch.turn.set(Turn::Queued);
            if watch.caught_up.get() {
                self.worker.behind.add(watch);
            }
            self.state.borrow_mut().ready.push_back(Rc::clone(watch));
        }
    }

    /// Gives the next subscription its turn; `false` if none is waiting for one.
    pub(super) fn advance(self: &Rc<Self>) -> bool {
        let next = self.state.borrow_mut().ready.pop_front();
        let Some(watch) = next else { return false };
        if watch.turn.get() != Turn::Queued {
            return true;
        }
        let allowance = self.worker.turn();
        let mut sent = 0;
        while sent < allowance {
            match self.step(&watch, allowance - sent) {
                Some(bytes) => sent += bytes,
                None => return true,
            }
        }
        // The others first; it goes on when the socket has taken this.
        self.state.borrow_mut().ready.push_back(watch);
        true
    }

    /// One step of a subscription: the bytes it sent, or `None` if its turn is over.
    fn step(self: &Rc<Self>, watch: &Rc<Watch>, allowance: usize) -> Option<usize> {
        let now = clock::now();
        watch.until.set(None);
        if watch.machine.borrow().is_following() {
            watch.lose(Some(watch.feed.cursor.get()));
        }
        let view = watch.feed.view(&watch.job);
        let step = watch.machine.borrow_mut().step(now, &view);
        match step {
            Step::Ask(question) => {
                watch.turn.set(Turn::Asking);
                let due = watch.machine.borrow().answer_due();
                watch.until.set(due);
                if let Some(due) = due {
                    self.worker.arm(self, due);
                }
                self.ask(watch, view.incarnation(), question);
                None
            }
            Step::Tell(notice) => {
                watch.opening.take();
                Some(self.tell(watch, &notice))
            }
            Step::End(notice) => {
                let end = SubscriptionEnd::of(&notice);
                watch.opening.take().fail(end.label());
                self.tell(watch, &notice);
                self.forget(&watch.job, end);
                None
            }
            Step::ReadWindow { after, through } => {
                Some(self.read_window(watch, after, through, allowance))
            }
            Step::Deliver { page, after } => Some(self.deliver(watch, &page, after, allowance)),
            Step::Wait(until) => {
                watch.turn.set(Turn::Waiting);
                watch.until.set(until);
                if watch.machine.borrow().is_following() {
                    self.note_caught_up(watch, now);
                }
                if let Some(until) = until {
                    self.worker.arm(self, until);
                }
                None
            }
        }
    }

    /// Everything older was sent; counted the first time.
    pub(super) fn note_caught_up(&self, watch: &Watch, now: Instant) {
        if !watch.caught_up.replace(true) {
            self.metrics().catching_up.dec();
            self.metrics().caught_up.observe((now - watch.subscribed_at).as_secs_f64());
        }
    }

    fn ask(&self, watch: &Rc<Watch>, incarnation: Incarnation, question: Question) {
        let mut state = self.state.borrow_mut();
        let watch = Rc::clone(watch);
        if state.asking.is_some() {
            state.askers.push_back((watch, incarnation, question));
        } else {
            let _trace = watch.trace.enter();
            let answer = watch.feed.source.history.ask(incarnation, question);
            state.asking = Some(Asking { watch, answer });
        }
    }

    /// Takes the answer that has come, and asks the next question; `false` if none has.
    pub(super) fn take_answer(self: &Rc<Self>, context: &mut Context<'_>) -> bool {
        let (watch, answer, blocked) = {
            let mut state = self.state.borrow_mut();
            let Some(asking) = &mut state.asking else { return false };
            let Poll::Ready(answer) = Pin::new(&mut asking.answer).poll(context) else {
                return false;
            };
            let watch = Rc::clone(&asking.watch);
            state.asking = None;
            (watch, answer, state.blocked)
        };
        self.ask_next();
        if watch.turn.get() != Turn::Asking {
            return true;
        }
        // A page is never held for a socket that takes nothing: it is asked for again.
        if !(blocked && matches!(answer, Answer::Page(_))) {
            let view = watch.feed.view(&watch.job);
            watch.machine.borrow_mut().answered(clock::now(), &view, answer);
        }
        watch.turn.set(Turn::Waiting);
        self.queue(&watch);
        true
    }

    /// Gives a question up whose answer would come too late.
    pub(super) fn stop_asking(&self, watch: &Rc<Watch>) {
        if watch.turn.get() != Turn::Asking {
            return;
        }
        watch.turn.set(Turn::Waiting);
        let mut state = self.state.borrow_mut();
        if state.asking.as_ref().is_some_and(|asking| Rc::ptr_eq(&asking.watch, watch)) {
            state.asking = None;
            drop(state);
            self.ask_next();
        }
    }

    fn ask_next(&self) {
        loop {
            let next = self.state.borrow_mut().askers.pop_front();
            let Some((watch, incarnation, question)) = next else { return };
            if watch.turn.get() == Turn::Asking {
                return self.ask(&watch, incarnation, question);
            }
        }
    }

    fn read_window(&self, watch: &Rc<Watch>, after: u64, through: u64, allowance: usize) -> usize {
        let bound = ReadBound { through, events: EVENTS, bytes: allowance };
        let ring = watch.feed.source.window.read();
        let mut sending = Sending::new(self, watch, allowance, ring.stream());
        // Nothing that is done with an event may read the window again: see `note_beginning`.
        let read = ring.read_job(watch.job.as_str(), after, bound, |entry| {
            let encoded = self.worker.encode(entry, watch.form, watch.progress.get());
            sending.send(entry.event.id, entry.event.event_type, &encoded);
        });
        drop(ring);
        let sent = sending.finish();
        if let JobRead::Through(through) = read {
            watch.machine.borrow_mut().read_through(through);
        }
        sent
    }

    fn deliver(&self, watch: &Rc<Watch>, page: &Page, after: u64, allowance: usize) -> usize {
        let window = watch.feed.view(&watch.job);
        let mut sending = Sending::new(self, watch, allowance, window.stream);
        let mut complete = true;
        let newest = watch.machine.borrow().newest_life_cycle().max(window.newest_life_cycle);
        for event in page.events_after(after) {
            if sending.sent >= allowance {
                complete = false;
                break;
            }
            let view = event.as_view();
            let encoded = self
                .worker
                .encode_view(
                    &watch.job,
                    view,
                    watch.form,
                    watch.progress.get(),
                    standing(view, newest),
                )
                .map_or(Encoded::Malformed, Encoded::Frame);
            sending.send(event.id, &event.event_type, &encoded);
        }
        let sent = sending.finish();
        if complete {
            watch.machine.borrow_mut().read_through(page.through);
        }
        sent
    }
}

/// Events of one subscription on their way to the socket: history in batches, the rest one by
/// one.
struct Sending<'a> {
    session: &'a Session,
    watch: &'a Watch,
    batch: Option<Batch>,
    allowance: usize,
    sent: usize,
    /// What the stream's leader last said.
    stream: Option<StreamState>,
}

impl<'a> Sending<'a> {
    fn new(
        session: &'a Session,
        watch: &'a Watch,
        allowance: usize,
        stream: Option<StreamState>,
    ) -> Self {
        Self { session, watch, batch: None, allowance, sent: 0, stream }
    }

    fn send(&mut self, id: u64, event_type: &str, encoded: &Encoded) {
        // Nothing follows a close.
        if self.session.state.borrow().ending.is_some() {
            return;
        }
        let admission = self.watch.machine.borrow_mut().admit(id, event_type);
        if admission != Admission::Skip {
            self.session.note_beginning(self.watch, id, event_type, || self.stream);
        }
        if let (Admission::History, Form::Optimization(naming), Encoded::Frame(frame)) =
            (admission, self.watch.form, encoded)
        {
            self.add(naming, frame.body());
        } else if let Some(frame) = self.session.frame_of_event(self.watch, admission, id, encoded)
        {
            self.push_batch();
            self.push(frame);
        }
        self.session.after_event(self.watch, admission, encoded);
    }

    fn add(&mut self, naming: Naming, body: &[u8]) {
        if self.batch.as_ref().is_some_and(|batch| !batch.has_room(body.len(), self.allowance)) {
            self.push_batch();
        }
        self.session.worker.delivered.inc();
        self.batch.get_or_insert_with(|| Batch::new(&self.watch.job, naming)).push(body);
        // Counted now, so that the allowance bounds the batch too.
        self.sent += body.len();
    }

    fn push_batch(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.session.state.borrow_mut().socket.push(batch.finish());
        }
    }

    fn push(&mut self, frame: Bytes) {
        self.sent += frame.len();
        self.session.state.borrow_mut().socket.push(frame);
    }

    fn finish(mut self) -> usize {
        self.push_batch();
        self.sent
    }
}
