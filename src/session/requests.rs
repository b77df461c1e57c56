//! What a client asks for, and what is answered at once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::SystemTime;

use super::behind::NOWHERE;
use super::clock;
use super::connection::Session;
use super::metrics::SubscriptionEnd;
use super::refusals::Reason;
use super::watch::{Turn, Watch};
use crate::dialect::Form;
use crate::dialect::optimization::{self, Code, Command, JobName, Naming, Refusal};
use crate::event::JobKey;
use crate::subscription::{OnTruncated, Request, Subscription};
use crate::traces::ShortSpan;

impl Session {
    /// Does what a text message asks for.
    pub(super) fn obey(self: &Rc<Self>, message: &str) {
        match optimization::parse(message) {
            Ok(command) => self.obey_command(command),
            Err((refusal, job)) => self.refuse(&refusal, job.as_deref()),
        }
    }

    fn obey_command(self: &Rc<Self>, command: Command) {
        match command {
            Command::Authenticate { token } => self.authenticate(&token),
            Command::Ping => self.state.borrow_mut().socket.push(optimization::pong()),
            Command::Subscribe { job, after, epoch, event_types, fail_if_truncated, position } => {
                let request = Request {
                    // Without a cursor the route says where to begin.
                    after: after.or(self.request_of_route().after),
                    epoch: epoch.map(Into::into),
                    event_types: event_types
                        .map(|types| types.into_iter().map(Into::into).collect()),
                    on_truncated: if fail_if_truncated {
                        OnTruncated::Fail
                    } else {
                        OnTruncated::Earliest
                    },
                    position,
                    ..self.request_of_route()
                };
                self.with_job(&job, |key| {
                    if self.may_watch(&key) {
                        self.subscribe(key, request);
                    } else {
                        self.deny(&key, Code::Forbidden, Reason::Forbidden);
                    }
                });
            }
            Command::Unsubscribe { job } => self.with_job(&job, |key| self.unsubscribe(&key)),
            Command::Replay { job, after } => {
                self.with_job(&job, |key| self.replay(&key, after));
            }
        }
    }

    /// A renewed token replaces the old one; a bad one changes nothing.
    fn authenticate(&self, token: &str) {
        let Some(verifier) = &self.worker.settings.verifier else {
            return self.state.borrow_mut().socket.push(optimization::authenticated());
        };
        match verifier.verify(token, SystemTime::now()) {
            Ok(grant) => {
                self.take_grant(Box::new(grant));
                self.drop_what_is_forbidden();
                self.state.borrow_mut().socket.push(optimization::authenticated());
            }
            Err(refusal) => {
                self.refuse(&Refusal::new(Code::Forbidden, refusal.to_string()), None);
            }
        }
    }

    /// A renewed token may allow less than the old one did.
    fn drop_what_is_forbidden(&self) {
        let watched: Vec<JobKey> = self.state.borrow().subscriptions.keys().cloned().collect();
        for job in watched.iter().filter(|job| !self.may_watch(job)) {
            self.forget(job, SubscriptionEnd::Forbidden);
            self.deny(job, Code::Forbidden, Reason::Forbidden);
        }
    }

    fn with_job(&self, name: &JobName, act: impl FnOnce(JobKey)) {
        match name.resolve(&self.profile.kind) {
            Ok(key) => act(key),
            Err(refusal) => self.refuse(&refusal, name.echo()),
        }
    }

    fn refuse(&self, refusal: &Refusal, job: Option<&str>) {
        self.state.borrow_mut().socket.push(optimization::refusal(refusal, job));
    }

    fn naming(&self, job: &JobKey) -> Naming {
        Naming::on_route(job, &self.profile.kind)
    }

    fn refuse_job(&self, job: &JobKey, code: Code, sentence: &str) {
        if let Form::BeamSearch(_) = self.form(job) {
            let refusal = Refusal::new(code, sentence);
            return self.refuse_beam_search(&job.id().into(), &refusal);
        }
        let frame = optimization::error(job, self.naming(job), code, sentence, &[], None);
        self.state.borrow_mut().socket.push(frame);
    }

    /// Refuses a job for a reason that is counted.
    fn deny(&self, job: &JobKey, code: Code, reason: Reason) {
        self.metrics().refusals.count(reason);
        self.refuse_job(job, code, reason.sentence());
    }

    pub(super) fn subscribe(self: &Rc<Self>, job: JobKey, request: Request) {
        // A subscription to the same job moves: nothing of the old one may follow.
        self.forget(&job, SubscriptionEnd::Replaced);
        if self.state.borrow().subscriptions.len() >= self.worker.settings.max_subscriptions {
            return self.deny(&job, Code::Limit, Reason::Subscriptions);
        }
        let Some(feed) = self.worker.feed(self.profile.route.source) else { return };
        let now = clock::now();
        let machine = Subscription::new(job.clone(), request, now);
        let mut opening = ShortSpan::internal("subscribe", &self.profile.trace);
        opening.note_job(&job);
        opening.note("jobwire.dialect", self.profile.route.dialect.name());
        let watch = Rc::new(Watch {
            session: Rc::downgrade(self),
            feed: Rc::clone(feed),
            job: job.clone(),
            form: self.form(&job),
            progress: Cell::default(),
            truncated_before: Cell::new(None),
            began: Cell::new(false),
            machine: RefCell::new(machine),
            place: Cell::new(0),
            turn: Cell::new(Turn::Waiting),
            until: Cell::new(None),
            trace: opening.as_parent(),
            opening: RefCell::new(opening),
            subscribed_at: now,
            caught_up: Cell::new(false),
            behind_place: Cell::new(NOWHERE),
        });
        self.state.borrow_mut().subscriptions.insert(job, Rc::clone(&watch));
        self.worker.watch(&watch, self.profile.route.dialect);
        self.queue(&watch);
    }

    fn unsubscribe(self: &Rc<Self>, job: &JobKey) {
        // Who is not subscribed is told the same: the outcome is what was asked for.
        self.forget(job, SubscriptionEnd::Client);
        let frame = optimization::unsubscribed(job, self.naming(job));
        self.state.borrow_mut().socket.push(frame);
    }

    fn replay(self: &Rc<Self>, job: &JobKey, after: u64) {
        let watch = self.state.borrow().subscriptions.get(job).cloned();
        let Some(watch) = watch else {
            return self.refuse_job(job, Code::NotSubscribed, "Not subscribed to job");
        };
        if watch.machine.borrow().is_following() {
            watch.lose(Some(watch.feed.cursor.get()));
        }
        let granted = watch.machine.borrow_mut().replay(after);
        if granted.is_err() {
            self.deny(job, Code::Limit, Reason::Replay);
        }
        self.queue(&watch);
    }

    /// Ends a subscription: nothing of it is sent any more.
    pub(super) fn forget(&self, job: &JobKey, end: SubscriptionEnd) {
        let watch = self.state.borrow_mut().subscriptions.remove(job);
        if let Some(watch) = watch {
            self.stop_asking(&watch);
            watch.turn.set(Turn::Over);
            self.worker.unwatch(&watch, self.profile.route.dialect, end);
            // Nothing of it may stay: a client may subscribe as often as it likes.
            let mut state = self.state.borrow_mut();
            state.ready.retain(|other| !Rc::ptr_eq(other, &watch));
            state.askers.retain(|(other, ..)| !Rc::ptr_eq(other, &watch));
        }
    }
}
