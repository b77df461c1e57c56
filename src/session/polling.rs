//! A page of a job's events for a client that polls. It is read by the same subscription as a
//! socket's, up to the end of a page instead of for ever.

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::clock;
use super::delivery::Encoded;
use super::read_refusal::ReadRefusal;
use super::worker::{Feed, Worker};
use crate::dialect::optimization::Naming;
use crate::dialect::{Form, is_final, standing};
use crate::event::{EventView, JobKey, LifeCycle, StoredEvent};
use crate::journal::{Answer, Page};
use crate::progress::{Progress, Standing};
use crate::subscription::{
    ANSWER_WITHIN, Admission, Notice, OnTruncated, Request, Step, Subscription, UnknownJob,
};
use crate::window::{JobRead, ReadBound};

/// The bare event, as the messages of PROTOCOLS section 1 hold it.
const FORM: Form = Form::Optimization(Naming { with_kind: false });

/// What a client asks for.
#[derive(Debug)]
pub struct PollRequest {
    /// The job.
    pub job: JobKey,
    /// Number of its stream.
    pub source: usize,
    /// The last event that the client saw; 0: none.
    pub after: u64,
    /// The incarnation that this belongs to, if the client knows it.
    pub epoch: Option<Box<str>>,
    /// Events at most.
    pub limit: usize,
    /// How long a client that has seen everything waits for the next event.
    pub wait: Duration,
    /// What becomes of a job that does not exist.
    pub unknown_job: UnknownJob,
}

/// Events of one job after a position, all of them up to another.
#[derive(Debug, Default)]
pub struct PolledPage {
    /// Each as a JSON object, oldest first.
    pub events: Vec<Bytes>,
    /// Everything up to here is in the page or was before it: the next `after`.
    pub position: u64,
    /// Identity of the stream's incarnation.
    pub epoch: Box<str>,
    /// Nothing more is stored.
    pub caught_up: bool,
    /// The job has ended, and the client has seen it.
    pub ended: bool,
}

impl Worker {
    /// Reads a page, and waits for the first event of it if the client wants to.
    ///
    /// # Errors
    /// [`ReadRefusal`].
    pub async fn poll(&self, request: PollRequest) -> Result<PolledPage, ReadRefusal> {
        let feed = self.feed(request.source).ok_or(ReadRefusal::Unavailable)?;
        let mut polling = Polling::new(self, feed, request);
        while polling.step().await? == Progressing::GoesOn {}
        Ok(polling.finish())
    }
}

#[derive(PartialEq, Eq)]
enum Progressing {
    GoesOn,
    IsThrough,
}

struct Polling<'a> {
    worker: &'a Worker,
    feed: &'a Rc<Feed>,
    machine: Subscription,
    page: PolledPage,
    job: JobKey,
    limit: usize,
    /// Bytes that the page may still take.
    allowance: usize,
    answer_by: Instant,
    wait_until: Instant,
    /// The client has an answer to whether the job exists.
    opened: bool,
    /// Whether the newest life-cycle event that was seen is the job's end.
    seems_ended: bool,
}

impl<'a> Polling<'a> {
    fn new(worker: &'a Worker, feed: &'a Rc<Feed>, request: PollRequest) -> Self {
        let now = clock::now();
        let terms = Request {
            after: Some(request.after),
            epoch: request.epoch,
            on_truncated: OnTruncated::Fail,
            cursor_must_hold: true,
            with_state: true,
            unknown_job: request.unknown_job,
            ..Request::default()
        };
        Self {
            machine: Subscription::new(request.job.clone(), terms, now),
            page: PolledPage::default(),
            job: request.job,
            limit: request.limit,
            allowance: worker.turn(),
            answer_by: now + ANSWER_WITHIN + request.wait,
            wait_until: now + request.wait,
            opened: false,
            seems_ended: false,
            worker,
            feed,
        }
    }

    async fn step(&mut self) -> Result<Progressing, ReadRefusal> {
        let now = clock::now();
        if self.is_full() || now >= self.answer_by {
            return self.stop();
        }
        let view = self.feed.view(&self.job);
        match self.machine.step(now, &view) {
            Step::Ask(question) => {
                let answer = self.feed.source.history.ask(view.incarnation(), question).await;
                if self.opened && matches!(answer, Answer::Unavailable) {
                    return self.stop();
                }
                let view = self.feed.view(&self.job);
                self.machine.answered(clock::now(), &view, answer);
                Ok(Progressing::GoesOn)
            }
            Step::Tell(notice) | Step::End(notice) => self.hear(notice),
            Step::ReadWindow { after, through } => {
                self.read_window(after, through);
                Ok(Progressing::GoesOn)
            }
            Step::Deliver { page, after } => {
                self.deliver(&page, after);
                Ok(Progressing::GoesOn)
            }
            Step::Wait(until) => self.wait(now, until).await,
        }
    }

    fn is_full(&self) -> bool {
        self.page.events.len() >= self.limit || self.allowance == 0
    }

    /// Ends with what there is; with nothing, nothing was learned either.
    fn stop(&self) -> Result<Progressing, ReadRefusal> {
        if self.page.events.is_empty() {
            Err(ReadRefusal::Unavailable)
        } else {
            Ok(Progressing::IsThrough)
        }
    }

    fn hear(&mut self, notice: Notice) -> Result<Progressing, ReadRefusal> {
        if let Notice::Subscribed { epoch, state, .. } = &notice {
            self.opened = true;
            self.page.epoch = (&**epoch).into();
            let newest = state.iter().rfind(|event| is_life_cycle(event));
            self.seems_ended = newest.is_some_and(|event| is_final(event.as_view()));
        }
        let metrics = &self.worker.settings.metrics;
        match ReadRefusal::of(&notice) {
            None => Ok(Progressing::GoesOn),
            // The next request begins at the gap, and is told.
            Some(ReadRefusal::Gone { .. }) if !self.page.events.is_empty() => {
                Ok(Progressing::IsThrough)
            }
            Some(refusal) => {
                match refusal {
                    ReadRefusal::Gone { .. } => metrics.truncations.inc(),
                    ReadRefusal::CursorInvalid { .. } => metrics.invalid_cursors.inc(),
                    ReadRefusal::NotFound | ReadRefusal::Unavailable => {}
                }
                Err(refusal)
            }
        }
    }

    async fn wait(
        &mut self,
        now: Instant,
        until: Option<Instant>,
    ) -> Result<Progressing, ReadRefusal> {
        if !self.machine.is_following() {
            // Something is about to become known: it says itself when to look again.
            let until = until.unwrap_or(self.answer_by).min(self.answer_by);
            tokio::time::sleep_until(until.into()).await;
            return Ok(Progressing::GoesOn);
        }
        if !self.page.events.is_empty() || now >= self.wait_until || self.has_ended() {
            return Ok(Progressing::IsThrough);
        }
        let mut drain = self.worker.settings.drain.clone();
        tokio::select! {
            () = self.feed.next_event(&self.job) => {
                self.machine.fall_behind(self.machine.position());
                Ok(Progressing::GoesOn)
            }
            () = tokio::time::sleep_until(self.wait_until.into()) => Ok(Progressing::IsThrough),
            _ = drain.wait_for(|drain| drain.spread().is_some()) => Ok(Progressing::IsThrough),
        }
    }

    fn has_ended(&self) -> bool {
        let of_window = self.feed.source.window.read().life_cycle(self.job.as_str());
        of_window.map_or(self.seems_ended, |(_, is_final)| is_final)
    }

    fn read_window(&mut self, after: u64, through: u64) {
        let events = self.limit - self.page.events.len();
        let bound = ReadBound { through, events, bytes: self.allowance };
        let window = self.feed.source.window.clone();
        let ring = window.read();
        let job = self.job.clone();
        let read = ring.read_job(job.as_str(), after, bound, |entry| {
            let encoded = self.worker.encode(entry, FORM, Progress::default());
            let standing = standing(entry.event, entry.newest_life_cycle);
            self.take(entry.event, standing, &encoded);
        });
        if let JobRead::Through(through) = read {
            self.machine.read_through(through);
        }
    }

    fn deliver(&mut self, page: &Page, after: u64) {
        let newest = self.feed.view(&self.job).newest_life_cycle;
        let newest = newest.max(self.machine.newest_life_cycle());
        for event in page.events_after(after) {
            if self.is_full() {
                return;
            }
            let view = event.as_view();
            let standing = standing(view, newest);
            let encoded =
                self.worker.encode_view(&self.job, view, FORM, Progress::default(), standing);
            let encoded = encoded.map_or(Encoded::Malformed, Encoded::Frame);
            self.take(view, standing, &encoded);
        }
        self.machine.read_through(page.through);
    }

    fn take(&mut self, event: EventView<'_>, standing: Standing, encoded: &Encoded) {
        if self.machine.admit(event.id, event.event_type) == Admission::Skip {
            return;
        }
        let Encoded::Frame(frame) = encoded else { return };
        if LifeCycle::of(event.event_type).is_some() {
            self.seems_ended = standing == Standing::Newest && is_final(event);
        }
        let event = frame.message.slice(frame.body.clone());
        self.allowance = self.allowance.saturating_sub(event.len());
        self.page.events.push(event);
    }

    fn finish(mut self) -> PolledPage {
        self.worker.settings.metrics.delivered.inc_by(self.page.events.len() as u64);
        self.page.caught_up = self.machine.is_following();
        self.page.ended = self.page.caught_up && self.has_ended();
        self.page.position = self.machine.position();
        self.page
    }
}

fn is_life_cycle(event: &StoredEvent) -> bool {
    LifeCycle::of(&event.event_type).is_some()
}
