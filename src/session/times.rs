//! What a connection does because time passes: pings, heartbeats, and the ends that a clock brings.

use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Instant;

use super::connection::{Session, State};
use super::ending::Ending;
use super::watch::Watch;

impl Session {
    /// Looks at everything that depends on time, and says when to look again.
    pub(super) fn on_time(self: &Rc<Self>) {
        let now = self.worker.now();
        self.queue_due(now);
        let next = self.check_times(now);
        self.worker.arm(self, next);
        self.wake();
    }

    fn queue_due(&self, now: Instant) {
        let due: Vec<Rc<Watch>> = {
            let state = self.state.borrow();
            let is_due = |watch: &&Rc<Watch>| watch.until.get().is_some_and(|at| at <= now);
            state.subscriptions.values().filter(is_due).cloned().collect()
        };
        for watch in due {
            watch.until.set(None);
            self.stop_asking(&watch);
            self.queue(&watch);
        }
    }

    /// Drain, stuck socket, ping and pong; the next time at which one of them may be due.
    fn check_times(&self, now: Instant) -> Instant {
        let timing = &self.worker.settings.timing;
        let (close_at, alive_at, accepted_at, pinged_at, blocked) = {
            let state = self.state.borrow();
            let State { close_at, alive_at, accepted_at, pinged_at, blocked, .. } = *state;
            (close_at, alive_at, accepted_at, pinged_at, blocked)
        };
        if close_at.is_some_and(|at| at <= now) {
            let hint = self.worker.settings.drain.borrow().come_back_after();
            self.end(Ending::Restart(hint));
        }
        let mut next = self.next_subscription();
        let mut or_at = |at: Instant| next = next.min(at);
        if let Some(at) = close_at.filter(|at| *at > now) {
            or_at(at);
        }
        if let Some(limit) = self.profile.route.idle_timeout {
            let idle_at = self.event_at.get() + limit;
            if idle_at <= now {
                self.end(Ending::Idle);
            }
            or_at(idle_at.max(now));
        }
        if let Some(at) = self.expires_at.get() {
            if at <= now {
                self.end(Ending::TokenExpired);
            }
            or_at(at.max(now));
        }
        if let (Some(at), Some(every)) = (self.heartbeat_at.get(), self.profile.route.heartbeat) {
            let mut at = at;
            if at <= now && !blocked && self.state.borrow().ending.is_none() {
                self.heartbeat();
                at = now + every;
                self.heartbeat_at.set(Some(at));
            }
            or_at(at.max(now));
        }
        if blocked {
            let stuck_at = accepted_at + timing.stuck_timeout;
            if stuck_at <= now {
                self.state.borrow_mut().ending = Some(Ending::Stuck);
            }
            or_at(stuck_at.max(now));
        } else if let Some(pinged_at) = pinged_at {
            if pinged_at + timing.pong_timeout <= now {
                self.end(Ending::NoPong);
            }
            or_at((pinged_at + timing.pong_timeout).max(now));
        } else if alive_at + timing.ping_interval <= now {
            let mut state = self.state.borrow_mut();
            if state.ending.is_none() {
                state.socket.ping();
                // The ping's own bytes are no sign of life of the client.
                let _ = state.socket.poll_flush(&mut Context::from_waker(Waker::noop()));
                if state.socket.answers_pings() {
                    state.pinged_at = Some(now);
                } else {
                    state.alive_at = now;
                }
            }
            or_at(now + timing.pong_timeout);
        } else {
            or_at(alive_at + timing.ping_interval);
        }
        next
    }

    fn next_subscription(&self) -> Instant {
        let state = self.state.borrow();
        let far = self.worker.now() + self.worker.settings.timing.ping_interval;
        state.subscriptions.values().filter_map(|watch| watch.until.get()).fold(far, Instant::min)
    }
}
