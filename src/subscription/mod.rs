//! A subscription: one job, and a position P such that everything of the job up to P is sent or
//! filtered out. Never a queue.
//!
//! Pure: no sockets, no NATS, no clock of its own. Its owner gives it the time and a view of the
//! window, does what [`Step`] says, and reports back. It decides what is read from where, when
//! a loss is told, and that ids strictly increase. It does not know how anything looks on the
//! wire.

mod opening;
#[cfg(test)]
mod pacing;
mod reader;
#[cfg(test)]
mod simulation;
mod terms;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::JobKey;
use crate::journal::{Answer, Page, PageRead};
use crate::window::View;
use opening::Opening;
use reader::{Need, Reader};
pub use terms::{Admission, Notice, OnTruncated, ReplayUnderWay, Request, Step, UnknownJob};

/// How long a subscribe may go unanswered: the contract's 10 s, and a second to spare on the way.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(9);
/// How long the leader must stay below a cursor before the cursor is called invalid.
pub const BELOW_CURSOR_FOR: Duration = Duration::from_secs(10);
/// At most this often a moving position is told.
pub const POSITION_EVERY: Duration = Duration::from_secs(30);
/// How often one whose history the tail has yet to read in full is looked at.
const BELOW_BOUNDARY: Duration = Duration::from_millis(100);
/// Pause after an answer that did not help: a stale replica, or NATS away.
pub const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);

#[derive(Debug)]
enum Phase {
    /// In a box: it is large, and soon over.
    Opening(Box<Opening>),
    Running,
}

/// A history that was asked for again.
#[derive(Debug)]
struct Replay {
    reader: Reader,
    through: u64,
    sent: bool,
}

/// See the module's text.
#[derive(Debug)]
pub struct Subscription {
    job: JobKey,
    request: Request,
    phase: Phase,
    reader: Reader,
    following: bool,
    newest_life_cycle: u64,
    generation: u64,
    boundary: u64,
    notices: Vec<Notice>,
    /// A page that was read and not offered yet, and the position to offer it from.
    page: Option<(Arc<Page>, u64)>,
    replay: Option<Replay>,
    /// A replay that was asked for before the subscription stood.
    replay_wanted: Option<u64>,
    below_cursor: BelowCursor,
    /// The newest id that the client was sent, or told as a position.
    last_sent: u64,
    position_told_at: Option<Instant>,
    ask_again_at: Option<Instant>,
}

/// Since when the leader has stayed below the cursor without a break.
#[derive(Debug, Default)]
struct BelowCursor {
    since: Option<Instant>,
    seen: Option<Instant>,
}

impl Subscription {
    /// A subscription that was asked for just now.
    pub fn new(job: JobKey, request: Request, now: Instant) -> Self {
        Self {
            job,
            phase: Phase::Opening(Box::new(Opening::new(now))),
            reader: Reader::new(request.after.unwrap_or(0)),
            request,
            newest_life_cycle: 0,
            following: false,
            generation: 0,
            boundary: 0,
            notices: Vec::new(),
            page: None,
            last_sent: 0,
            replay: None,
            replay_wanted: None,
            below_cursor: BelowCursor::default(),
            position_told_at: None,
            ask_again_at: None,
        }
    }

    /// The job.
    pub fn job(&self) -> &JobKey {
        &self.job
    }

    /// Everything of the job up to here is sent or filtered out.
    pub fn position(&self) -> u64 {
        self.reader.position()
    }

    /// The newest life-cycle event that the journal told of; 0: none. The window may know a
    /// newer one.
    pub fn newest_life_cycle(&self) -> u64 {
        self.newest_life_cycle
    }

    /// When the client must have an answer to its subscribe; `None` if it has one.
    pub fn answer_due(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Opening(opening) => Some(opening.answer_due()),
            Phase::Running => None,
        }
    }

    /// Whether everything up to the window's head was dealt with, so that new events of the job
    /// may be offered as they come, without a [`Step`].
    pub fn is_following(&self) -> bool {
        self.following
    }

    /// New events will not be offered as they come any more: everything up to `cursor` was, and
    /// what follows is read by [`Subscription::step`] again.
    pub fn fall_behind(&mut self, cursor: u64) {
        if std::mem::take(&mut self.following) {
            self.reader.advance_to(cursor);
        }
    }

    /// As [`Subscription::fall_behind`] where the stream's incarnation has changed: positions of
    /// the old one mean nothing.
    pub fn lose_track(&mut self) {
        self.following = false;
    }

    /// Gives a page up that was not offered yet; it is asked for again when needed. So that a
    /// page is never held for a socket that takes nothing.
    pub fn drop_page(&mut self) {
        self.page = None;
    }

    /// Asks for the history after a position once more.
    ///
    /// # Errors
    /// [`ReplayUnderWay`]: one at a time.
    pub fn replay(&mut self, after: u64) -> Result<(), ReplayUnderWay> {
        if self.replay.is_some() || self.replay_wanted.is_some() {
            return Err(ReplayUnderWay);
        }
        self.replay_wanted = Some(after);
        Ok(())
    }

    /// What to do next. Not while it follows: let it fall behind first.
    pub fn step(&mut self, now: Instant, view: &View) -> Step {
        debug_assert!(!self.following);
        if let Some(notice) = self.next_notice() {
            return Step::Tell(notice);
        }
        if let Some((page, after)) = self.page.take() {
            return Step::Deliver { page, after };
        }
        match &self.phase {
            Phase::Opening(_) => self.step_opening(now, view),
            Phase::Running => self.step_running(now, view),
        }
    }

    /// Takes the answer to the question of the last step.
    pub fn answered(&mut self, now: Instant, view: &View, answer: Answer) {
        let helped = match &mut self.phase {
            Phase::Opening(opening) => opening.answered(now, view, &answer),
            // An answer about another incarnation says nothing of this one.
            Phase::Running if view.generation != self.generation => true,
            Phase::Running => self.answered_running(view, answer),
        };
        if !helped {
            self.ask_again_at = Some(now + ASK_AGAIN_AFTER);
        }
    }

    /// `false` if the question must be asked again.
    fn answered_running(&mut self, view: &View, answer: Answer) -> bool {
        let reader = self.replay.as_mut().map_or(&mut self.reader, |replay| &mut replay.reader);
        let after = reader.position();
        match answer {
            Answer::Bounds(bounds) => {
                let useful = reader.on_bounds(&bounds, view.floor);
                self.newest_life_cycle = self.newest_life_cycle.max(bounds.newest_life_cycle());
                useful
            }
            Answer::Leader(leader) => {
                reader.on_leader(&leader);
                if leader.last.is_none() {
                    self.tell_truncation(after, leader.stream_first, leader.stream_first);
                }
                true
            }
            Answer::Page(PageRead { page, stream_first }) => {
                if page.after > after || page.through <= after {
                    return false;
                }
                let first = page.events_after(after).first().map(|event| event.id);
                self.tell_truncation(after, stream_first, first.unwrap_or(stream_first));
                self.page = Some((page, after));
                true
            }
            Answer::First(_) | Answer::OtherEpoch | Answer::Unavailable => false,
        }
    }

    /// Offers an event; says how it is to be sent. Ids never go back: this is the last check
    /// before the socket.
    pub fn admit(&mut self, id: u64, event_type: &str) -> Admission {
        if let Some(replay) = &mut self.replay {
            if id <= replay.reader.position() || id > replay.through {
                return Admission::Skip;
            }
            replay.reader.advance_to(id);
        } else {
            if id <= self.reader.position() {
                return Admission::Skip;
            }
            self.reader.advance_to(id);
        }
        if !self.wants(event_type) {
            return Admission::Skip;
        }
        self.last_sent = self.last_sent.max(id);
        if let Some(replay) = &mut self.replay {
            replay.sent = true;
        }
        if self.replay.is_some() || id <= self.boundary {
            Admission::History
        } else {
            Admission::Live
        }
    }

    /// The read of the last step went up to here; less than asked for is fine.
    pub fn read_through(&mut self, through: u64) {
        match &mut self.replay {
            Some(replay) => replay.reader.advance_to(through.min(replay.through)),
            None => self.reader.advance_to(through),
        }
    }

    fn wants(&self, event_type: &str) -> bool {
        self.request
            .event_types
            .as_ref()
            .is_none_or(|types| types.iter().any(|wanted| **wanted == *event_type))
    }

    fn next_notice(&mut self) -> Option<Notice> {
        let next = (!self.notices.is_empty()).then(|| self.notices.remove(0));
        if self.notices.is_empty() {
            // Most subscriptions have told all they ever will.
            self.notices = Vec::new();
        }
        next
    }

    fn tell_truncation(&mut self, after: u64, stream_first: u64, first_available: u64) {
        // Who asked for everything there is asked for no more than that.
        if after == 0 || stream_first <= after + 1 {
            return;
        }
        self.notices.push(Notice::Truncated {
            requested_after: after,
            first_available: first_available.max(stream_first),
            last: self.boundary.max(self.reader.position()),
        });
    }

    fn step_opening(&mut self, now: Instant, view: &View) -> Step {
        let Phase::Opening(opening) = &mut self.phase else { return Step::Wait(None) };
        match opening.step(now, view, &self.job, &self.request, self.ask_again_at) {
            opening::Next::Ask(question) => {
                self.ask_again_at = None;
                Step::Ask(question)
            }
            opening::Next::Wait(until) => Step::Wait(Some(until)),
            opening::Next::Refuse(notice) => Step::End(notice),
            opening::Next::Open(opened) => {
                self.open(view, opened);
                self.next_notice().map_or(Step::Wait(None), Step::Tell)
            }
        }
    }

    fn open(&mut self, view: &View, opened: opening::Opened) {
        self.phase = Phase::Running;
        self.generation = view.generation;
        self.boundary = opened.last;
        self.newest_life_cycle = opened.newest_life_cycle;
        self.reader = Reader::new(opened.position);
        self.reader.hint(opened.hint);
        self.ask_again_at = None;
        let epoch = Arc::clone(&view.epoch);
        self.notices.push(Notice::Subscribed {
            last: opened.last,
            first: opened.first,
            epoch: Arc::clone(&epoch),
            state: if self.request.state || self.request.with_state {
                opened.state
            } else {
                Arc::default()
            },
        });
        if opened.cursor_invalid {
            self.notices.push(Notice::CursorInvalid { epoch });
        }
    }

    fn step_running(&mut self, now: Instant, view: &View) -> Step {
        if view.generation != self.generation {
            self.restart(view);
            return Step::Tell(Notice::CursorInvalid { epoch: Arc::clone(&view.epoch) });
        }
        if let Some(after) = self.replay_wanted.take() {
            // Everything up to the position was sent before; nothing beyond it comes first.
            let through = self.reader.position();
            self.replay =
                Some(Replay { reader: Reader::new(after.min(through)), through, sent: false });
        }
        if let Some(until) = self.ask_again_at.take_if(|until| *until > now) {
            self.ask_again_at = Some(until);
            return Step::Wait(Some(until));
        }
        self.ask_again_at = None;
        self.step_reading(now, view)
    }

    fn step_reading(&mut self, now: Instant, view: &View) -> Step {
        loop {
            if let Some(notice) = self.finish_replay() {
                return Step::Tell(notice);
            }
            let (reader, limit) = match &mut self.replay {
                Some(replay) => (&mut replay.reader, replay.through),
                None => (&mut self.reader, u64::MAX),
            };
            return match reader.need(view, &self.job) {
                Need::Again => continue,
                Need::Window { after } => Step::ReadWindow { after, through: limit.min(view.head) },
                Need::Ask(question) => Step::Ask(question),
                Need::Nothing => self.step_caught_up(now, view),
            };
        }
    }

    fn finish_replay(&mut self) -> Option<Notice> {
        let replay = self.replay.take_if(|replay| replay.reader.position() >= replay.through)?;
        Some(Notice::ReplayDone { empty: !replay.sent })
    }

    /// The position is at the head, or beyond it.
    fn step_caught_up(&mut self, now: Instant, view: &View) -> Step {
        if self.reader.position() > view.head {
            return self.step_ahead(now, view);
        }
        self.below_cursor = BelowCursor::default();
        let position = self.reader.position();
        if !self.request.position {
            self.following = true;
            return Step::Wait(None);
        }
        // The tail has yet to read what was promised as the job's last event: history is not through.
        if position < self.boundary {
            self.following = true;
            return Step::Wait(Some(now + BELOW_BOUNDARY));
        }
        let due = self.position_told_at.map(|at| at + POSITION_EVERY);
        if due.is_none_or(|due| now >= due && position > self.last_sent) {
            self.position_told_at = Some(now);
            self.last_sent = position;
            return Step::Tell(Notice::Position { id: position });
        }
        self.following = true;
        let next = due.filter(|due| *due > now).unwrap_or(now + POSITION_EVERY);
        Step::Wait(Some(next))
    }

    /// The cursor is beyond what this pod has seen. Another pod may have been ahead: wait. Only
    /// a leader that stays below it for long proves that the cursor is not of this stream.
    fn step_ahead(&mut self, now: Instant, view: &View) -> Step {
        let look_again = Step::Wait(Some(now + Duration::from_secs(1)));
        let Some(stream) = view.stream else { return look_again };
        if self.below_cursor.seen == Some(stream.checked_at) {
            // No news from the leader for long is no proof.
            if now > stream.checked_at + Duration::from_secs(4) {
                self.below_cursor.since = None;
            }
            return look_again;
        }
        self.below_cursor.seen = Some(stream.checked_at);
        if stream.last >= self.reader.position() {
            self.below_cursor.since = None;
            return look_again;
        }
        let since = *self.below_cursor.since.get_or_insert(stream.checked_at);
        if stream.checked_at < since + BELOW_CURSOR_FOR {
            return look_again;
        }
        self.restart(view);
        Step::Tell(Notice::CursorInvalid { epoch: Arc::clone(&view.epoch) })
    }

    /// Everything from the beginning, with ids starting anew.
    fn restart(&mut self, view: &View) {
        self.generation = view.generation;
        self.reader = Reader::new(0);
        self.boundary = view.head;
        // What was to be told of the old incarnation means nothing in the new one.
        self.notices.clear();
        self.page = None;
        self.last_sent = 0;
        self.newest_life_cycle = 0;
        self.replay = None;
        self.replay_wanted = None;
        self.below_cursor = BelowCursor::default();
        self.position_told_at = None;
        self.ask_again_at = None;
    }
}
