//! The catalog: how one job stands, and which jobs there are below a position of the stream.
//!
//! Nothing here lists subjects: that is slow on a large stream, is cut off, and has no order.
//! Older jobs are found by reading a bounded run of the stream backwards, without its payloads.

use std::sync::Arc;
use std::time::Duration;

use foldhash::HashMap;
use tokio::sync::Semaphore;

use super::consumer::{Consumer, ConsumerEnd, Pull, Signal};
use super::requests::{LastMessage, ReplicaEnd, RequestError, StreamApi};
use crate::event::{JobKey, JobStatus, LifeCycle, StoredEvent};

/// Requests under way at once; more wait.
const SLOTS: usize = 32;
/// How long an answer may take, the wait for a slot included.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// A replica that does not know a job that the leader knows is asked again after this.
const REPLICA_LAGS: Duration = Duration::from_millis(100);
/// Sequences of the stream that one look backwards covers.
const RUN: u64 = 10_000;
/// Jobs that one look backwards asks about, most of which may turn out to have newer events.
const ASKED: usize = 512;
/// Jobs in one request: their last events of every type must fit into one answer of 1,024.
const TOGETHER: usize = 16;
/// Everything in a run that matches is there already: the server need not wait for more.
const RUN_PULL: Pull = Pull { messages: 10_000, bytes: None, expires: Duration::ZERO };

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// JetStream did not answer, or refused.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A run of the stream could not be read.
    #[error(transparent)]
    Consumer(#[from] ConsumerEnd),
    /// Too late.
    #[error("no answer in time")]
    Late,
}

/// How a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobState {
    /// Everything up to this stream position is in it: whoever goes on after it misses nothing.
    pub position: u64,
    /// The job's newest event.
    pub last: u64,
    /// Its last event of every type, oldest first. Empty for a job with more than 1,024 types.
    pub events: Vec<StoredEvent>,
}

/// A job below a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OlderJob {
    /// The job.
    pub job: JobKey,
    /// Its newest event.
    pub last_id: u64,
    /// The type of it.
    pub last_type: Box<str>,
    /// When the stream took it, in nanoseconds since 1970.
    pub last_at: i64,
    /// How it stands.
    pub status: JobStatus,
}

/// Jobs whose newest event lies below a position, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OlderJobs {
    /// The jobs; may be empty although there are more further below.
    pub jobs: Vec<OlderJob>,
    /// Every job whose newest event is above this was considered; `None`: all were.
    pub considered_above: Option<u64>,
}

/// See the module's text. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    api: StreamApi,
    slots: Arc<Semaphore>,
}

impl Catalog {
    /// Asks over the connection of `api`.
    pub fn new(api: StreamApi) -> Self {
        Self { api, slots: Arc::new(Semaphore::new(SLOTS)) }
    }

    /// How a job stands, in one request; `None` if the leader knows no such job.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn state(&self, job: &JobKey) -> Result<Option<JobState>, CatalogError> {
        self.in_time(async {
            loop {
                match self.api.replica_end(job).await {
                    Err(RequestError::TooManySubjects) => return self.state_of_leader(job).await,
                    end => {
                        if let Some(state) = state_of(end?) {
                            return Ok(Some(state));
                        }
                    }
                }
                if self.state_of_leader(job).await?.is_none() {
                    return Ok(None);
                }
                tokio::time::sleep(REPLICA_LAGS).await;
            }
        })
        .await
    }

    async fn state_of_leader(&self, job: &JobKey) -> Result<Option<JobState>, CatalogError> {
        let (view, _) = self.api.leader_view(job).await?;
        Ok(view.last.map(|last| JobState {
            position: view.stream_last.max(last),
            last,
            events: Vec::new(),
        }))
    }

    /// Jobs, of one kind or of any, whose newest event is `newest` or below, at most `limit` of
    /// them: as many as a bounded look backwards finds.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn older(
        &self,
        newest: u64,
        kind: Option<&str>,
        limit: usize,
    ) -> Result<OlderJobs, CatalogError> {
        self.in_time(async {
            let first = self.api.report().await?.first;
            if newest < first {
                return Ok(OlderJobs::default());
            }
            let after = newest.saturating_sub(RUN).max(first - 1);
            let mut candidates = self.seen_in(after, newest, kind).await?;
            candidates.sort_unstable_by_key(|(_, last)| std::cmp::Reverse(*last));
            let mut older =
                OlderJobs { jobs: Vec::new(), considered_above: (after >= first).then_some(after) };
            for (asked, together) in candidates.chunks(TOGETHER).enumerate() {
                if older.jobs.len() >= limit || asked * TOGETHER >= ASKED {
                    // The next look begins with the first that was not asked about.
                    older.considered_above = together.first().map(|(_, last)| *last);
                    break;
                }
                self.add_those_not_newer(together, newest, &mut older).await?;
            }
            if older.jobs.len() > limit {
                older.considered_above = older.jobs.get(limit).map(|job| job.last_id);
                older.jobs.truncate(limit);
            }
            Ok(older)
        })
        .await
    }

    /// The jobs with events in a run of the stream, each with its newest one there.
    async fn seen_in(
        &self,
        after: u64,
        through: u64,
        kind: Option<&str>,
    ) -> Result<Vec<(JobKey, u64)>, CatalogError> {
        let Some(filter) = self.api.subjects().kind_filter(kind) else { return Ok(Vec::new()) };
        let mut consumer =
            Consumer::begin_without_payloads(&self.api, "list", after + 1, filter).await?;
        consumer.pull(RUN_PULL).await?;
        let mut seen: HashMap<JobKey, u64> = HashMap::default();
        loop {
            let delivered = match consumer.next().await? {
                Signal::Delivered(delivered) if delivered.id <= through => delivered,
                Signal::Alive => continue,
                Signal::Delivered(_) | Signal::PullOver { .. } => break,
            };
            let parts = self.api.subjects().split(delivered.message.subject.as_str());
            if let Some(Ok(job)) = parts.map(|parts| parts.job_key()) {
                seen.insert(job, delivered.id);
            }
        }
        consumer.end().await;
        Ok(seen.into_iter().collect())
    }

    /// Those of a few jobs that have no event after `newest`: the others are listed above.
    async fn add_those_not_newer(
        &self,
        together: &[(JobKey, u64)],
        newest: u64,
        older: &mut OlderJobs,
    ) -> Result<(), CatalogError> {
        let ends = match self.ends(together).await {
            Err(RequestError::TooManySubjects) => self.ends_one_by_one(together).await?,
            ends => ends?,
        };
        let of_order = together.iter().filter_map(|(job, _)| Some((job, ends.get(job.as_str())?)));
        let not_newer = of_order.filter(|(_, end)| end.last_id <= newest);
        older.jobs.extend(not_newer.map(|(job, end)| OlderJob {
            job: job.clone(),
            last_id: end.last_id,
            last_type: end.last_type.clone(),
            last_at: end.last_at,
            status: end.life_cycle.map_or(JobStatus::Unknown, |(_, status)| status),
        }));
        Ok(())
    }

    async fn ends(
        &self,
        together: &[(JobKey, u64)],
    ) -> Result<HashMap<Box<str>, JobEnd>, RequestError> {
        let filters: Vec<String> =
            together.iter().map(|(job, _)| self.api.subjects().job_filter(job)).collect();
        let mut ends: HashMap<Box<str>, JobEnd> = HashMap::default();
        let take = |found: LastMessage<'_>| {
            if let Some(parts) = &found.parts {
                ends.entry((&*parts.job).into()).or_default().take(&found);
            }
        };
        self.api.last_of_each(&filters, take).await?;
        Ok(ends)
    }

    /// For jobs of which one has more types than an answer holds: that one cannot be listed.
    async fn ends_one_by_one(
        &self,
        together: &[(JobKey, u64)],
    ) -> Result<HashMap<Box<str>, JobEnd>, RequestError> {
        let mut all: HashMap<Box<str>, JobEnd> = HashMap::default();
        for job in together {
            match self.ends(std::slice::from_ref(job)).await {
                Ok(ends) => all.extend(ends),
                Err(RequestError::TooManySubjects) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, CatalogError>>,
    ) -> Result<T, CatalogError> {
        let in_turn = async {
            let _slot = self.slots.acquire().await;
            answer.await
        };
        tokio::time::timeout(ANSWER_WITHIN, in_turn).await.unwrap_or(Err(CatalogError::Late))
    }
}

fn state_of(end: ReplicaEnd) -> Option<JobState> {
    let (last, position) = (end.last?, end.up_to?);
    Some(JobState { position: position.max(last), last, events: end.state })
}

/// Where a job ends, gathered from the last event of each of its types. No payload is kept.
#[derive(Default)]
struct JobEnd {
    last_id: u64,
    last_type: Box<str>,
    last_at: i64,
    /// The newest life-cycle event, and how the job stands after it.
    life_cycle: Option<(u64, JobStatus)>,
}

impl JobEnd {
    fn take(&mut self, found: &LastMessage<'_>) {
        if found.id > self.last_id {
            self.last_id = found.id;
            self.last_type = (&*found.event_type).into();
            self.last_at = found.stored_at;
        }
        if let Some(meaning) = LifeCycle::of(&found.event_type)
            && self.life_cycle.is_none_or(|(id, _)| found.id > id)
        {
            self.life_cycle = Some((found.id, JobStatus::after(meaning, found.payload)));
        }
    }
}
