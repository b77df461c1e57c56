//! The reader: a position, and where the next events after it come from.
//!
//! 1. At or above the floor, the window has them; at the head there is nothing to read.
//! 2. Below the floor, the journal is asked where the job ends *as of* a stream position U.
//!    Events up to that end come in pages; then everything up to U is known to be dealt with.
//! 3. An answer as of a position below the floor leaves a hole: the replica is stale, ask again.
//! 4. "No such job" of a replica proves nothing; the leader is asked for its last sequence S
//!    first and for the job after that. None there either: nothing of the job is stored up to S.
//! 5. A job whose newest event the window remembers needs no question at all.

use crate::event::JobKey;
use crate::journal::{Bounds, LeaderView, Question};
use crate::window::View;

/// Where the next events come from.
#[derive(Debug, PartialEq, Eq)]
pub enum Need {
    /// From nowhere: the position is at the head or beyond.
    Nothing,
    /// From the window.
    Window {
        /// Position to read from.
        after: u64,
    },
    /// From the journal.
    Ask(Question),
    /// The position moved without events; decide again.
    Again,
}

/// Where a job ends, as of a stream position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The job's last event.
    pub last: u64,
    /// Nothing of the job lies between `last` and this position.
    pub up_to: u64,
}

impl From<&LeaderView> for Option<End> {
    fn from(leader: &LeaderView) -> Self {
        leader.last.map(|last| End { last, up_to: leader.stream_last.max(last) })
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct Reader {
    position: u64,
    end: Option<End>,
    confirm_with_leader: bool,
}

impl Reader {
    /// A reader that has everything up to `position` behind it.
    pub fn new(position: u64) -> Self {
        Self { position, end: None, confirm_with_leader: false }
    }

    /// Everything up to here is dealt with.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Moves on; never back.
    pub fn advance_to(&mut self, position: u64) {
        self.position = self.position.max(position);
    }

    /// Takes over what somebody else has learned of the job's end.
    pub fn hint(&mut self, end: Option<End>) {
        self.end = end;
    }

    /// Where the next events come from.
    pub fn need(&mut self, view: &View, job: &JobKey) -> Need {
        if self.position >= view.floor {
            self.end = None;
            self.confirm_with_leader = false;
            if self.position >= view.head {
                return Need::Nothing;
            }
            return Need::Window { after: self.position };
        }
        if view.job.last().is_some_and(|last| last <= self.position) {
            self.position = view.floor;
            return Need::Again;
        }
        if self.confirm_with_leader {
            return Need::Ask(Question::Leader(job.clone()));
        }
        match self.end {
            None => Need::Ask(Question::Bounds(job.clone())),
            Some(end) if self.position < end.last => Need::Ask(Question::Page {
                job: job.clone(),
                after: self.position,
                through: end.last,
            }),
            Some(end) => {
                self.end = None;
                self.advance_to(end.up_to);
                Need::Again
            }
        }
    }

    /// Takes the job's bounds; `false` if they are older than the window and so of no use.
    pub fn on_bounds(&mut self, bounds: &Bounds, floor: u64) -> bool {
        match (bounds.last, bounds.up_to) {
            (Some(last), Some(up_to)) if up_to >= floor => {
                self.end = Some(End { last, up_to });
                true
            }
            (Some(_), _) => false,
            (None, _) => {
                self.confirm_with_leader = true;
                true
            }
        }
    }

    /// Takes the leader's word.
    pub fn on_leader(&mut self, leader: &LeaderView) {
        self.confirm_with_leader = false;
        self.end = leader.into();
        if self.end.is_none() {
            self.advance_to(leader.stream_last);
        }
    }
}
