//! What is asked of a subscription, and what it answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::StoredEvent;
use crate::journal::{Page, Question};

/// What a client asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The last event the client saw; `None`: only what comes from now on.
    pub after: Option<u64>,
    /// The incarnation the cursor belongs to, if the client knows it.
    pub epoch: Option<Box<str>>,
    /// Event types wanted; `None`: all.
    pub event_types: Option<Vec<Box<str>>>,
    /// What to do when history before the cursor's successor is gone.
    pub on_truncated: OnTruncated,
    /// Refuse a cursor of another incarnation, instead of telling it and beginning anew.
    pub cursor_must_hold: bool,
    /// Tell the position when caught up, and while it moves without events.
    pub position: bool,
    /// Begin with the job's state instead of its history, and go on from there.
    pub state: bool,
    /// Tell the job's state when the subscription stands, unless the window knows how its life
    /// goes.
    pub with_state: bool,
    /// What becomes of a subscribe to a job that does not exist.
    pub unknown_job: UnknownJob,
}

/// What becomes of a subscribe to a job that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownJob {
    /// It is refused, unless the job appears within this time.
    Refuse {
        /// The grace.
        after: Duration,
    },
    /// It stands, and waits for the job.
    Wait,
}

impl Default for UnknownJob {
    /// Refused at once.
    fn default() -> Self {
        Self::Refuse { after: Duration::ZERO }
    }
}

/// What to do when events after the cursor are gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnTruncated {
    /// Tell it, then deliver what there is.
    #[default]
    Earliest,
    /// Refuse the subscribe.
    Fail,
}

/// What the owner must do next.
#[derive(Debug)]
pub enum Step {
    /// Ask the journal, and give the answer to [`Subscription::answered`].
    Ask(Question),
    /// Tell the client, then call [`Subscription::step`] again.
    Tell(Notice),
    /// Read the window after this id and up to that one, offer every event, then call
    /// [`Subscription::read_through`].
    ReadWindow {
        /// Position to read from.
        after: u64,
        /// Last id to read.
        through: u64,
    },
    /// Offer the page's events after this id, then call [`Subscription::read_through`].
    Deliver {
        /// The page.
        page: Arc<Page>,
        /// Position to read from.
        after: u64,
    },
    /// Nothing to do until the window moves, or until this time.
    Wait(Option<Instant>),
    /// Tell the client; the subscription is over.
    End(Notice),
}

/// What the client is told beside events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The subscription stands; ids up to `last` come as history.
    Subscribed {
        /// The job's newest event, 0 if it has none.
        last: u64,
        /// The job's first stored event, where known.
        first: Option<u64>,
        /// Identity of the stream's incarnation.
        epoch: Arc<str>,
        /// The job's last event of every type, where the state was asked for.
        state: Arc<[StoredEvent]>,
    },
    /// Completeness after the cursor cannot be shown.
    Truncated {
        /// The position after which events may be missing.
        requested_after: u64,
        /// The first id that is surely there.
        first_available: u64,
        /// The job's newest event.
        last: u64,
    },
    /// The cursor belongs to another incarnation, or to none; all starts from the beginning.
    CursorInvalid {
        /// Identity of the incarnation that now holds.
        epoch: Arc<str>,
    },
    /// The job does not exist, confirmed by the leader.
    NotFound,
    /// No answer in time.
    Unavailable,
    /// Everything up to `id` is sent or filtered out.
    Position {
        /// Usable as a cursor.
        id: u64,
    },
    /// A requested replay is through.
    ReplayDone {
        /// No event of it was sent.
        empty: bool,
    },
}

/// How an offered event is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Not at all: sent before, or not wanted.
    Skip,
    /// As history.
    History,
    /// As it happens.
    Live,
}

/// A replay of this job is already under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a replay of this job is under way")]
pub struct ReplayUnderWay;
