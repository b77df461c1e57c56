//! Distribution: new events of the log go to the sockets of those who follow, in place.
//!
//! The tail wakes the worker, never a connection. The worker goes through the new events and
//! their watchers, appends the shared frames to the sockets' queues, and writes each touched
//! socket once. Waking a task per connection gave a p99 of 547 ms where this gave 18 ms.

use std::rc::Rc;
use std::time::Duration;

use super::clock;
use super::connection::Session;
use super::delivery::Encoded;
use super::watch::Watch;
use super::worker::{Feed, Worker};
use crate::dialect::Form;
use crate::progress::Progress;
use crate::window::LogRead;

/// Events looked at under one lock of the window.
const EVENTS: usize = 256;
/// Frames appended before the sockets are written.
const APPENDS: usize = 4_096;
/// Sockets written before others get a turn.
const WRITES: usize = 256;

/// A round that takes so long is followed by a pause for half its time, up to a bound: events that come
/// meanwhile are written together. Where little is to be written nothing waits. Measured in
/// docs/adr/0006-pause-after-long-rounds.md.
const LONG_ROUND: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(8);

/// Who watches one job among a worker's connections.
#[derive(Default, Clone)]
pub struct Watchers {
    list: Vec<Rc<Watch>>,
    /// How many of them want each form.
    wanted: [u32; Form::COUNT],
}

impl Watchers {
    pub(super) fn add(&mut self, watch: Rc<Watch>) {
        if let Some(count) = self.wanted.get_mut(watch.form.number()) {
            *count += 1;
        }
        watch.place.set(self.list.len());
        self.list.push(watch);
    }

    /// `false` if the watch was not here.
    pub(super) fn remove(&mut self, watch: &Rc<Watch>) -> bool {
        let place = watch.place.get();
        if !self.list.get(place).is_some_and(|found| Rc::ptr_eq(found, watch)) {
            return false;
        }
        self.list.swap_remove(place);
        if let Some(moved) = self.list.get(place) {
            moved.place.set(place);
        }
        if let Some(count) = self.wanted.get_mut(watch.form.number()) {
            *count -= 1;
        }
        true
    }

    /// The form with this number, if anybody wants it.
    fn wanted(&self, number: usize) -> Option<Form> {
        self.wanted.get(number).filter(|count| **count > 0)?;
        Form::of_number(number)
    }

    /// Where the job stands for those who follow in this form: for all of them in the same place.
    /// `None` if nobody does.
    fn progress(&self, form: Form) -> Option<Progress> {
        self.list
            .iter()
            .find(|watch| watch.form == form && watch.machine.borrow().is_following())
            .map(|watch| watch.progress.get())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// A new event, and who may want it.
pub struct Due {
    pub(super) id: u64,
    pub(super) stored_at: i64,
    pub(super) event_type: Box<str>,
    pub(super) encoded: [Encoded; Form::COUNT],
    watchers: Rc<Watchers>,
}

/// Where the job stands before its next event: after the last one of this round, or where its
/// followers are. `None` if that is not known here, since nobody follows: what would be made of
/// the event then is wrong, and the window would keep it for those who read it later.
fn before(due: &[Due], of_job: &Rc<Watchers>, form: Form) -> Option<Progress> {
    if !form.needs_progress() {
        return Some(Progress::default());
    }
    let of_this_job = due.iter().rev().filter(|event| Rc::ptr_eq(&event.watchers, of_job));
    let mut encoded = of_this_job.filter_map(|event| event.encoded.get(form.number()));
    // What is no event changes nothing: the one before it counts.
    let last = encoded.find_map(|encoded| match encoded {
        Encoded::Frame(frame) => Some(frame.after),
        Encoded::NotWanted | Encoded::Malformed => None,
    });
    last.or_else(|| of_job.progress(form))
}

impl Worker {
    /// Distributes one stream, for ever.
    pub(super) async fn run_distribution(&self, feed: &Feed) {
        let mut next_round = clock::now();
        loop {
            feed.changed.notified().await;
            if clock::now() < next_round {
                tokio::time::sleep_until(next_round.into()).await;
            }
            let began = clock::now();
            while self.distribute(feed).await {
                tokio::task::yield_now().await;
            }
            let ended = clock::now();
            let took = ended - began;
            let pause = if took < LONG_ROUND { Duration::ZERO } else { took / 2 };
            next_round = ended + pause.min(LONGEST_PAUSE);
        }
    }

    /// One round; `true` if there is more to do.
    async fn distribute(&self, feed: &Feed) -> bool {
        self.rounds.set(self.rounds.get() + 1);
        let (from, due, through, head) = match self.collect(feed) {
            Some(collected) => collected,
            None => {
                feed.everybody_falls_behind();
                return false;
            }
        };
        let mut touched: Vec<Rc<Session>> = Vec::new();
        for event in &due {
            for watch in &event.watchers.list {
                if let Some(session) = watch.session.upgrade()
                    && session.offer(watch, event, from)
                {
                    touched.push(session);
                }
            }
        }
        // From here on every watcher has what it should have up to `through`, or knows that it
        // is behind: others may run.
        feed.cursor.set(through);
        for sessions in touched.chunks(WRITES) {
            for session in sessions {
                session.write_in_place();
            }
            if sessions.len() == WRITES {
                tokio::task::yield_now().await;
            }
        }
        self.tell_counts();
        if !touched.is_empty() {
            self.observe_latency(&due);
        }
        through < head
    }

    /// New events that somebody here watches, encoded once; `None` if the worker has lost track.
    fn collect(&self, feed: &Feed) -> Option<(u64, Vec<Due>, u64, u64)> {
        let watchers = feed.watchers.borrow();
        let from = feed.cursor.get();
        let (mut due, mut events, mut appends) = (Vec::new(), 0, 0);
        let ring = feed.source.window.read();
        let read = ring.read_log(feed.generation.get(), from, |entry| {
            feed.tell_waiting(entry.job);
            if let Some(of_job) = watchers.get(entry.job) {
                due.push(Due {
                    id: entry.event.id,
                    stored_at: entry.event.stored_at,
                    event_type: entry.event.event_type.into(),
                    encoded: std::array::from_fn(|number| {
                        let form = of_job.wanted(number);
                        let known = form.and_then(|form| Some((form, before(&due, of_job, form)?)));
                        known.map_or(Encoded::NotWanted, |(form, before)| {
                            self.encode(entry, form, before)
                        })
                    }),
                    watchers: Rc::clone(of_job),
                });
                appends += of_job.list.len();
            }
            events += 1;
            events < EVENTS && appends < APPENDS
        });
        match read {
            LogRead::Through(through) => Some((from, due, through, ring.head())),
            LogRead::Behind => None,
        }
    }

    fn observe_latency(&self, due: &[Due]) {
        let Some(newest) = due.last() else { return };
        let now = time::OffsetDateTime::now_utc().unix_timestamp_nanos();
        #[expect(clippy::cast_precision_loss, reason = "a latency needs no 52 bits")]
        let seconds = (now - i128::from(newest.stored_at)) as f64 / 1e9;
        self.settings.metrics.latency.observe(seconds.max(0.0));
    }
}

impl Feed {
    /// The window has moved on without this worker, or is of another incarnation: everybody
    /// reads for themselves from where they are.
    fn everybody_falls_behind(&self) {
        let (generation, head) = {
            let ring = self.source.window.read();
            (ring.generation(), ring.head())
        };
        let same = generation == self.generation.get();
        let cursor = self.cursor.get();
        let all: Vec<Rc<Watchers>> = self.watchers.borrow().values().cloned().collect();
        for watch in all.iter().flat_map(|watchers| &watchers.list) {
            watch.lose(same.then_some(cursor));
            if let Some(session) = watch.session.upgrade() {
                session.queue(watch);
                session.wake();
            }
        }
        self.tell_all_waiting();
        self.generation.set(generation);
        self.cursor.set(head);
    }
}
