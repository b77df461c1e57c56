//! One subscription of one connection, and where it is in the connection's rounds.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Instant;

use super::connection::Session;
use super::delivery::Encoded;
use super::worker::Feed;
use crate::dialect::Form;
use crate::event::JobKey;
use crate::progress::Progress;
use crate::subscription::Subscription;
use crate::traces::{Parent, ShortSpan};

/// One subscription of one connection.
pub struct Watch {
    pub(super) session: Weak<Session>,
    pub(super) feed: Rc<Feed>,
    pub(super) job: JobKey,
    /// What it wants of every event.
    pub(super) form: Form,
    /// Where the job stands after what was sent.
    pub(super) progress: Cell<Progress>,
    /// Events before this one are gone, and the client was not told yet.
    pub(super) truncated_before: Cell<Option<u64>>,
    /// An event was sent, or hidden by the dialect.
    pub(super) began: Cell<bool>,
    pub(super) machine: RefCell<Subscription>,
    /// Place in the worker's list of the job's watchers.
    pub(super) place: Cell<usize>,
    pub(super) turn: Cell<Turn>,
    /// When a waiting subscription must be looked at.
    pub(super) until: Cell<Option<Instant>>,
    /// What reads of older history belong to.
    pub(super) trace: Parent,
    /// Ends with the answer to the subscribe.
    pub(super) opening: RefCell<ShortSpan>,
    pub(super) subscribed_at: Instant,
    /// It was at the end of the stream, or has seen the job's end.
    pub(super) caught_up: Cell<bool>,
    /// Place in the worker's list of those that have fallen behind.
    pub(super) behind_place: Cell<usize>,
}

/// Where a subscription is in its connection's rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing to do until something happens.
    Waiting,
    /// In the queue.
    Queued,
    /// A question of its own is under way, or waits to be asked.
    Asking,
    /// Unsubscribed or replaced: nothing of it may be sent any more.
    Over,
}

impl Watch {
    /// Live events pass it by from now on; everything up to the cursor was dealt with. `None`:
    /// of another incarnation, where the cursor says nothing.
    pub(super) fn lose(&self, cursor: Option<u64>) {
        let mut machine = self.machine.borrow_mut();
        match cursor {
            Some(cursor) => machine.fall_behind(cursor),
            None => machine.lose_track(),
        }
    }

    /// Whether an encoding was made for a client who saw less of the job: this one then reads for
    /// itself. Whoever saw less itself is glad of it.
    pub(super) fn knows_more_than(&self, encoded: &Encoded) -> bool {
        let Encoded::Frame(frame) = encoded else { return false };
        self.form.needs_progress() && self.progress.get().knows_more_than(&frame.before)
    }
}
