//! The model of a stream: appended to, trimmed, read by a tail that lags, and by questions that
//! take time or fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::event::{JobKey, StoredEvent};
use crate::journal::tail::Follower;
use crate::journal::{Answer, Bounds, History, Incarnation, LeaderView, Page, PageRead, Question};
use crate::window::{Arrival, StreamState, Window};

/// What the time of an answer is made of.
const STEP: Duration = Duration::from_millis(10);

pub const EPOCH: &str = "model";
const TYPES: [&str; 3] = ["progress", "log", "job_started"];

/// What is stored of one event.
#[derive(Clone)]
struct Stored {
    job: usize,
    event_type: &'static str,
    payload: Bytes,
}

/// See the module's text. Cheap to clone.
#[derive(Clone)]
pub struct ModelLog {
    shared: Arc<Mutex<State>>,
    jobs: usize,
}

struct State {
    rng: fastrand::Rng,
    events: BTreeMap<u64, Stored>,
    first: u64,
    last: u64,
    pages: usize,
    /// Nothing fails and nothing is slow any more.
    calm: bool,
}

pub fn job(number: usize) -> JobKey {
    JobKey::new("optimization", &format!("j{number}")).expect("a job")
}

impl ModelLog {
    pub fn new(seed: u64, jobs: usize) -> Self {
        let state = State {
            rng: fastrand::Rng::with_seed(seed),
            events: BTreeMap::new(),
            first: 1,
            last: 0,
            pages: 0,
            calm: false,
        };
        Self { shared: Arc::new(Mutex::new(state)), jobs }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock().expect("a model")
    }

    pub fn become_calm(&self) {
        self.lock().calm = true;
    }

    /// Appends an event of any job; some are as large as a small socket's buffer.
    pub fn append(&self) -> u64 {
        let mut state = self.lock();
        let job = state.rng.usize(0..self.jobs);
        let event_type = TYPES[state.rng.usize(0..TYPES.len())];
        let padding = if state.rng.u8(0..8) == 0 { state.rng.usize(0..4_000) } else { 20 };
        let payload = format!(r#"{{"data":{{"p":"{}"}}}}"#, "x".repeat(padding)).into();
        state.last += 1;
        let id = state.last;
        state.events.insert(id, Stored { job, event_type, payload });
        id
    }

    /// Retention takes the oldest events.
    pub fn trim(&self, count: u64) {
        let mut state = self.lock();
        state.first = (state.first + count).min(state.last + 1);
        let first = state.first;
        state.events.retain(|id, _| *id >= first);
    }

    /// Whether trouble is over.
    pub fn is_calm(&self) -> bool {
        self.lock().calm
    }

    /// Pages of history that were asked for.
    pub fn pages(&self) -> usize {
        self.lock().pages
    }

    /// The ids of a job's events after one of them, as far as they are stored.
    pub fn ids_of(&self, job: usize, after: u64) -> Vec<u64> {
        let state = self.lock();
        let later = state.events.range(after + 1..);
        later.filter(|(_, stored)| stored.job == job).map(|(id, _)| *id).collect()
    }

    /// The tail reads on from where the window is, and tells what the leader says.
    pub fn feed(&self, window: &Window, count: usize) {
        let head = window.read().head();
        let arrivals: Vec<(u64, String, Bytes)> = {
            let state = self.lock();
            let next = state.events.range(head + 1..).take(count);
            next.map(|(id, stored)| {
                let subject = format!("jobs.{}.{}", job(stored.job), stored.event_type);
                (*id, subject, stored.payload.clone())
            })
            .collect()
        };
        let arrivals: Vec<Arrival<'_>> = arrivals
            .iter()
            .map(|(id, subject, payload)| Arrival {
                id: *id,
                stored_at: 0,
                subject,
                payload,
                traceparent: None,
            })
            .collect();
        window.take(&arrivals);
        let (first, last) = {
            let state = self.lock();
            (state.first, state.last)
        };
        let checked_at = crate::session::clock::now();
        window.observe(StreamState { first, last, bytes: 0, consumers: 0, checked_at });
    }
}

impl State {
    fn of_job(&self, job: &JobKey, after: u64, through: u64) -> Vec<StoredEvent> {
        let number: usize = job.id().trim_start_matches('j').parse().expect("a job of the model");
        self.events
            .range(after + 1..=through.max(after + 1))
            .filter(|(id, stored)| **id <= through && stored.job == number)
            .map(|(id, stored)| StoredEvent {
                id: *id,
                event_type: stored.event_type.into(),
                stored_at: 0,
                payload: stored.payload.clone(),
                traceparent: None,
            })
            .collect()
    }

    fn answer(&mut self, question: &Question) -> Answer {
        if !self.calm && self.rng.u8(0..8) == 0 {
            return Answer::Unavailable;
        }
        // A replica may lag behind the leader.
        let lag = if self.calm { 0 } else { self.rng.u64(0..10) };
        let replica = self.last.saturating_sub(lag);
        match question {
            Question::Bounds(job) => {
                let seen = self.of_job(job, 0, replica);
                Answer::Bounds(Bounds {
                    up_to: seen.last().map(|_| replica),
                    last: seen.last().map(|event| event.id),
                    first: seen.first().map(|event| event.id),
                    stream_first: self.first,
                    state: seen.into(),
                })
            }
            Question::Leader(job) => Answer::Leader(LeaderView {
                stream_last: self.last,
                stream_first: self.first,
                last: self.of_job(job, 0, self.last).last().map(|event| event.id),
            }),
            Question::First(job) => {
                Answer::First(self.of_job(job, 0, replica).first().map(|event| event.id))
            }
            Question::Page { job, after, through } => {
                self.pages += 1;
                let mut events = self.of_job(job, *after, *through);
                let most = 1 + self.rng.usize(0..200);
                let mut end = *through;
                if events.len() > most {
                    events.truncate(most);
                    end = events.last().expect("an event").id;
                }
                let page = Arc::new(Page { after: *after, through: end, events });
                Answer::Page(PageRead { page, stream_first: self.first })
            }
        }
    }
}

impl History for ModelLog {
    fn ask(&self, _: Incarnation, question: Question) -> BoxFuture<'static, Answer> {
        let model = self.clone();
        async move {
            let steps = {
                let mut state = model.lock();
                let slow = state.rng.u8(0..50) == 0;
                let longest = if slow { 900 } else { 2 };
                state.rng.u64(0..longest)
            };
            for _ in 0..steps {
                if !model.lock().calm {
                    tokio::time::sleep(STEP).await;
                }
            }
            model.lock().answer(&question)
        }
        .boxed()
    }
}
