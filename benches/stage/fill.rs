//! The stream and what is in it: jobs whose events lie evenly among those of others.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::context::PublishAckFuture;
use jobwire::journal::stream::{StreamDefinition, apply};

/// The stream's name.
pub const STREAM: &str = "JOBS";
/// Bytes of an event's payload.
const PAYLOAD: usize = 260;
/// Events that are sent and not acknowledged yet, at most.
const UNACKNOWLEDGED: usize = 2_000;
/// How often the progress is told.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// A job that is in the stream.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// Its id; its kind is the route's.
    pub id: String,
    /// How many events it has.
    pub events: usize,
    /// The id of the last one.
    pub last: u64,
}

/// What is put into a stream.
pub struct Fill {
    /// Begins every job's id, so that a later fill has other jobs.
    pub name: &'static str,
    /// Jobs that are measured.
    pub jobs: usize,
    /// Events of each of them.
    pub job_events: usize,
    /// Events of other jobs.
    pub other_events: usize,
    /// How many other jobs share them; each has one subject.
    pub subjects: usize,
}

impl Fill {
    /// One job, and nothing else.
    pub fn one_job(name: &'static str, events: usize) -> Self {
        Self { name, jobs: 1, job_events: events, other_events: 0, subjects: 1 }
    }

    /// Events of other jobs only, to move the window away from what was there before.
    pub fn others(name: &'static str, events: usize) -> Self {
        Self { name, jobs: 0, job_events: 0, other_events: events, subjects: 100 }
    }

    fn total(&self) -> usize {
        self.jobs * self.job_events + self.other_events
    }

    /// The subject of the event at this place, and whose it is if it is a measured job's.
    ///
    /// The measured events are spread evenly: by place `n` there have been
    /// `n * measured / total` of them.
    fn event(&self, place: usize) -> (String, Option<usize>) {
        let measured = self.jobs * self.job_events;
        let before = place * measured / self.total();
        if (place + 1) * measured / self.total() > before {
            let job = before % self.jobs;
            (subject(&self.job_id(job)), Some(job))
        } else {
            // A stride that shares no factor with round numbers: neighbours are of far jobs.
            let other = (place - before) * 7_919 % self.subjects;
            (subject(&format!("{}-other-{other}", self.name)), None)
        }
    }

    fn job_id(&self, job: usize) -> String {
        format!("{}-{job}", self.name)
    }
}

fn subject(job: &str) -> String {
    format!("jobs.optimization.{job}.progress")
}

fn payload(number: usize) -> String {
    let head = format!(r#"{{"eventType":"progress","iteration":{number},"data":{{"note":""#);
    let tail = r#""},"timestamp":"2026-01-02T03:04:05.678Z"}"#;
    let padding = PAYLOAD - head.len() - tail.len();
    format!("{head}{:x<padding$}{tail}", "")
}

/// The stream, over a connection of the benchmark's own.
#[derive(Clone)]
pub struct Stream {
    pub context: jetstream::Context,
}

impl Stream {
    /// Makes the stream as the gateway's own definition says.
    pub async fn create(url: &str) -> Self {
        let client = async_nats::connect(url).await.expect("a connection to the nats-server");
        let context = jetstream::new(client);
        let definition = StreamDefinition::bundled().expect("a definition");
        apply(&context, &definition, STREAM, None).await.expect("a stream");
        Self { context }
    }

    /// Consumers that the stream has now.
    pub async fn consumers(&self) -> usize {
        let stream = self.context.get_stream(STREAM).await.expect("the stream");
        stream.cached_info().state.consumer_count
    }

    /// Publishes everything and waits until it is stored; the measured jobs.
    pub async fn fill(&self, fill: &Fill) -> Vec<Job> {
        let mut filling = Filling::new(fill);
        for place in 0..fill.total() {
            let (subject, job) = fill.event(place);
            let sent = self.context.publish(subject, payload(place).into()).await;
            filling.unacknowledged.push_back((job, sent.expect("an event is sent")));
            if filling.unacknowledged.len() >= UNACKNOWLEDGED {
                filling.acknowledge_oldest().await;
            }
        }
        while !filling.unacknowledged.is_empty() {
            filling.acknowledge_oldest().await;
        }
        filling.tell();
        filling.jobs
    }
}

struct Filling<'a> {
    fill: &'a Fill,
    jobs: Vec<Job>,
    unacknowledged: VecDeque<(Option<usize>, PublishAckFuture)>,
    stored: usize,
    started: Instant,
    told: Instant,
}

impl<'a> Filling<'a> {
    fn new(fill: &'a Fill) -> Self {
        let jobs = (0..fill.jobs).map(|job| Job { id: fill.job_id(job), ..Job::default() });
        let now = Instant::now();
        Self {
            fill,
            jobs: jobs.collect(),
            unacknowledged: VecDeque::with_capacity(UNACKNOWLEDGED),
            stored: 0,
            started: now,
            told: now,
        }
    }

    async fn acknowledge_oldest(&mut self) {
        let Some((job, acknowledgement)) = self.unacknowledged.pop_front() else { return };
        let id = acknowledgement.await.expect("an event is stored").sequence;
        self.stored += 1;
        if let Some(job) = job.and_then(|job| self.jobs.get_mut(job)) {
            job.events += 1;
            job.last = id;
        }
        if self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            self.tell();
        }
    }

    fn tell(&self) {
        let (name, total) = (self.fill.name, self.fill.total());
        let seconds = self.started.elapsed().as_secs_f64();
        eprintln!("  {name}: {} of {total} events stored in {seconds:.1} s", self.stored);
    }
}
