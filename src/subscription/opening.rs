//! How a subscription begins: whether the job exists, where it ends, and where to start.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::reader::End;
use super::{ANSWER_WITHIN, Notice, OnTruncated, Request, UnknownJob};
use crate::event::{JobKey, StoredEvent};
use crate::journal::{Answer, Bounds, LeaderView, Question};
use crate::window::{JobView, View};

/// How long a cursor beyond the head is waited for before the subscribe is answered.
const HEAD_MAY_LAG: Duration = Duration::from_secs(2);
/// How often an opening looks at the window by itself.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What comes next while a subscription opens.
#[derive(Debug)]
pub enum Next {
    /// Ask the journal.
    Ask(Question),
    /// Look again at this time, or when the window has moved.
    Wait(Instant),
    /// The subscribe cannot be granted.
    Refuse(Notice),
    /// It stands.
    Open(Opened),
}

/// Where a subscription starts.
#[derive(Debug)]
pub struct Opened {
    /// The job's newest event.
    pub last: u64,
    /// Its first one, where known.
    pub first: Option<u64>,
    /// Position to read from.
    pub position: u64,
    /// What was learned of the job's end.
    pub hint: Option<End>,
    /// The cursor is not of this incarnation.
    pub cursor_invalid: bool,
    /// The job's last event of every type, where it was asked for.
    pub state: Arc<[StoredEvent]>,
    /// The newest life-cycle event that was learned of; 0: none.
    pub newest_life_cycle: u64,
}

/// The state of an opening.
#[derive(Debug)]
pub struct Opening {
    started: Instant,
    asked: Option<Asked>,
    generation: u64,
    bounds: Option<Bounds>,
    leader: Option<(LeaderView, Instant)>,
    first: Option<Option<u64>>,
    confirm_with_leader: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Bounds,
    Leader,
    First,
}

impl Opening {
    /// An opening that began just now.
    pub fn new(started: Instant) -> Self {
        Self {
            started,
            asked: None,
            generation: 0,
            bounds: None,
            leader: None,
            first: None,
            confirm_with_leader: false,
        }
    }

    /// When the client must have an answer.
    pub fn answer_due(&self) -> Instant {
        self.started + ANSWER_WITHIN
    }

    /// Takes an answer; `false` if it helped nothing and the question must be asked again.
    pub fn answered(&mut self, now: Instant, view: &View, answer: &Answer) -> bool {
        let asked = self.asked.take();
        match (asked, answer) {
            (Some(Asked::First), Answer::First(first)) => self.first = Some(*first),
            // The first id is a courtesy: not worth a wait.
            (Some(Asked::First), _) => self.first = Some(None),
            (Some(Asked::Leader), Answer::Leader(leader)) => self.leader = Some((*leader, now)),
            (Some(Asked::Bounds), Answer::Bounds(bounds)) => match bounds.up_to {
                _ if bounds.last.is_none() => self.confirm_with_leader = true,
                Some(up_to) if up_to >= view.floor => self.bounds = Some(bounds.clone()),
                _ => return false,
            },
            _ => return false,
        }
        true
    }

    /// What comes next.
    pub fn step(
        &mut self,
        now: Instant,
        view: &View,
        job: &JobKey,
        request: &Request,
        not_before: Option<Instant>,
    ) -> Next {
        if now >= self.answer_due() {
            return Next::Refuse(Notice::Unavailable);
        }
        if view.generation == 0 || not_before.is_some_and(|at| now < at) {
            return self.look_again(now, not_before);
        }
        self.forget_other_incarnations(view);
        let cursor = Cursor::of(request, view);
        if cursor.invalid && request.cursor_must_hold {
            return Next::Refuse(Notice::CursorInvalid { epoch: Arc::clone(&view.epoch) });
        }
        if cursor.after.is_some_and(|after| after > view.head) && now < self.started + HEAD_MAY_LAG
        {
            return self.look_again(now, None);
        }
        match self.find_end(now, view, job, cursor, request) {
            Ok(end) => self.open(view, job, request, cursor, end),
            Err(next) => next,
        }
    }

    fn look_again(&self, now: Instant, not_before: Option<Instant>) -> Next {
        let soon = not_before.unwrap_or(now + LOOK_EVERY).min(self.answer_due());
        Next::Wait(soon)
    }

    fn ask(&mut self, asked: Asked, job: &JobKey) -> Next {
        self.asked = Some(asked);
        Next::Ask(match asked {
            Asked::Bounds => Question::Bounds(job.clone()),
            Asked::Leader => Question::Leader(job.clone()),
            Asked::First => Question::First(job.clone()),
        })
    }

    /// What was learned of one incarnation says nothing of the next.
    fn forget_other_incarnations(&mut self, view: &View) {
        if self.generation != view.generation {
            *self = Self { generation: view.generation, ..Self::new(self.started) };
        }
    }

    /// Where the job ends, or what must happen before that is known.
    fn find_end(
        &mut self,
        now: Instant,
        view: &View,
        job: &JobKey,
        cursor: Cursor,
        request: &Request,
    ) -> Result<Found, Next> {
        if let Some(last) = view.job.last()
            && !(cursor.state || request.with_state && view.newest_life_cycle == 0)
        {
            let reads_history = cursor.after.is_some_and(|after| after < view.floor.min(last));
            if !reads_history {
                return Ok(Found { last, hint: None, position: None });
            }
        }
        if let Some(bounds) = &self.bounds
            && let (Some(last), Some(up_to)) = (bounds.last, bounds.up_to)
        {
            let newest = view.job.last().unwrap_or(0).max(last);
            let position = if cursor.state { Some(up_to) } else { None };
            return Ok(Found { last: newest, hint: Some(End { last, up_to }), position });
        }
        if let Some((leader, at)) = self.leader {
            return self.judge_leader(now, view, job, cursor, (leader, at), request);
        }
        let asked = if self.confirm_with_leader { Asked::Leader } else { Asked::Bounds };
        Err(self.ask(asked, job))
    }

    fn judge_leader(
        &mut self,
        now: Instant,
        view: &View,
        job: &JobKey,
        cursor: Cursor,
        (leader, at): (LeaderView, Instant),
        request: &Request,
    ) -> Result<Found, Next> {
        let end: Option<End> = (&leader).into();
        if let Some(end) = end {
            if request.state {
                // A replica that knew nothing of it will know in a moment.
                (self.leader, self.confirm_with_leader) = (None, false);
                return Err(Next::Wait(now + LOOK_EVERY));
            }
            let newest = view.job.last().unwrap_or(0).max(end.last);
            return Ok(Found { last: newest, hint: Some(end), position: None });
        }
        let UnknownJob::Refuse { after: grace } = request.unknown_job else {
            // Who has a cursor reads from there, and is told of what is gone.
            let position = cursor.after.is_none().then_some(leader.stream_last);
            return Ok(Found { last: 0, hint: None, position });
        };
        let grace_ends = self.started + grace;
        if now < grace_ends {
            return Err(Next::Wait(grace_ends.min(now + LOOK_EVERY)));
        }
        if at >= grace_ends || grace.is_zero() {
            return Err(Next::Refuse(Notice::NotFound));
        }
        // It did not exist then; only the leader can say that it still does not.
        Err(self.ask(Asked::Leader, job))
    }

    fn open(
        &mut self,
        view: &View,
        job: &JobKey,
        request: &Request,
        cursor: Cursor,
        found: Found,
    ) -> Next {
        if let Some(refusal) = self.truncation(view, request, cursor, found) {
            return Next::Refuse(refusal);
        }
        let Some(first) = self.first_event(view) else { return self.ask(Asked::First, job) };
        Next::Open(Opened {
            last: found.last,
            first,
            position: found.position.or(cursor.after).unwrap_or(found.last),
            hint: found.hint,
            cursor_invalid: cursor.invalid,
            state: self.bounds.as_ref().map(|bounds| Arc::clone(&bounds.state)).unwrap_or_default(),
            newest_life_cycle: self.bounds.as_ref().map_or(0, Bounds::newest_life_cycle),
        })
    }

    /// The job's first event; `None` if the journal has not been asked for it yet.
    fn first_event(&self, view: &View) -> Option<Option<u64>> {
        match view.job {
            JobView::InWindow { oldest, .. }
                if view.stream.is_some_and(|stream| stream.first > view.floor) =>
            {
                Some(Some(oldest))
            }
            _ => self.bounds.as_ref().and_then(|bounds| bounds.first).map(Some).or(self.first),
        }
    }

    /// For those who would rather have nothing than something incomplete.
    fn truncation(
        &self,
        view: &View,
        request: &Request,
        cursor: Cursor,
        found: Found,
    ) -> Option<Notice> {
        let after = cursor.after.filter(|after| *after > 0 && *after < view.floor)?;
        let of_leader = || self.leader.map(|(leader, _)| leader.stream_first);
        let stream_first =
            self.bounds.as_ref().map(|bounds| bounds.stream_first).or_else(of_leader)?;
        if request.on_truncated != OnTruncated::Fail || stream_first <= after + 1 {
            return None;
        }
        let first = self.bounds.as_ref().and_then(|bounds| bounds.first).unwrap_or(0);
        Some(Notice::Truncated {
            requested_after: after,
            first_available: first.max(stream_first),
            last: found.last,
        })
    }
}

/// The job's newest event, and what is known of its history's end.
#[derive(Debug, Clone, Copy)]
struct Found {
    last: u64,
    hint: Option<End>,
    /// Where to start instead of at the cursor.
    position: Option<u64>,
}

/// The cursor as it stands in the present incarnation.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    after: Option<u64>,
    invalid: bool,
    /// No cursor, but the state and what follows it.
    state: bool,
}

impl Cursor {
    fn of(request: &Request, view: &View) -> Self {
        let invalid = request.after.is_some_and(|after| after > 0)
            && request.epoch.as_ref().is_some_and(|epoch| **epoch != *view.epoch);
        let after = if invalid { Some(0) } else { request.after };
        Self { after, invalid, state: request.state }
    }
}
