//! Single requests to JetStream: the stream's state, one message, where a job begins and ends.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{
    DirectGetErrorKind, Info, LastRawMessageErrorKind, RawMessageErrorKind, Stream,
};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{Message, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::connection::Connection;
use super::consumer::traceparent_of;
use super::denials::{Attempt, Denial};
use super::history::LeaderView;
use super::request_counts::{Outcome, RequestKind};
use crate::config::NatsConfig;
use crate::event::{JobKey, LifeCycle, StoredEvent};
use crate::subject::{SubjectParts, SubjectTemplate};

/// Bytes of a job's state that are kept; life-cycle events beyond it too.
const STATE_BYTES: usize = 1024 * 1024;
/// How long one request is waited for.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// There is no such stream.
    #[error("there is no stream {0}")]
    NoStream(String),
    /// The stream has no such message, or no longer.
    #[error("the stream has no such message")]
    NoMessage,
    /// No answer in time, or no connection.
    #[error("JetStream does not answer: {0}")]
    Unreachable(String),
    /// Nobody is there to answer.
    #[error("JetStream does not answer: no responders")]
    NoResponders,
    /// The job has more event types than one answer may hold.
    #[error("the job has more event types than JetStream tells at once")]
    TooManySubjects,
    /// JetStream refused.
    #[error("JetStream refused: {0}")]
    Refused(String),
    /// NATS does not let us ask.
    #[error(transparent)]
    Denied(#[from] Denial),
}

impl RequestError {
    fn outcome(&self) -> Outcome {
        match self {
            Self::NoMessage | Self::TooManySubjects => Outcome::Ok,
            Self::Unreachable(_) => Outcome::Timeout,
            Self::NoResponders => Outcome::NoResponders,
            Self::Denied(_) => Outcome::Denied,
            Self::NoStream(_) | Self::Refused(_) => Outcome::Error,
        }
    }
}

/// The stream, its API, and the connection used for it. Cheap to clone.
#[derive(Clone)]
pub struct StreamApi {
    connection: Connection,
    context: jetstream::Context,
    prefix: Arc<str>,
    stream: Arc<str>,
    subjects: Arc<SubjectTemplate>,
}

/// What the leader says of the stream.
#[derive(Debug, Clone)]
pub struct StreamReport {
    /// Identity of the incarnation, the same for every pod.
    pub epoch: Arc<str>,
    /// First sequence that is still stored; last + 1 if nothing is.
    pub first: u64,
    /// Last sequence given out.
    pub last: u64,
    /// Messages stored.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Consumers that it has.
    pub consumers: u64,
    /// When the answer came.
    pub at: Instant,
    /// The configuration.
    pub config: Arc<jetstream::stream::Config>,
}

/// The end and the state of a job as one replica knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaEnd {
    /// The replica's position; `None` if it knows no event of the job.
    pub up_to: Option<u64>,
    /// The job's last event.
    pub last: Option<u64>,
    /// Its last event of every type, oldest first.
    pub state: Vec<StoredEvent>,
}

/// What identifies a message beyond its sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// When it was stored, in nanoseconds since 1970.
    pub stored_at: i64,
    /// Its subject.
    pub subject: Box<str>,
}

impl StreamApi {
    /// The configured stream over a connection.
    pub fn new(
        connection: Connection,
        config: &NatsConfig,
        stream: &str,
        subjects: Arc<SubjectTemplate>,
    ) -> Self {
        Self {
            context: super::connection::jetstream(&connection, config),
            connection,
            prefix: config.api_prefix.as_str().into(),
            stream: stream.into(),
            subjects,
        }
    }

    /// The stream's name.
    pub fn stream_name(&self) -> &str {
        &self.stream
    }

    /// How its subjects name jobs.
    pub fn subjects(&self) -> &SubjectTemplate {
        &self.subjects
    }

    pub(super) fn client(&self) -> &async_nats::Client {
        self.connection.client()
    }

    pub(super) fn context(&self) -> &jetstream::Context {
        &self.context
    }

    /// A subject of the JetStream API that ends in the stream's name and `rest`.
    pub(super) fn subject(&self, operation: &str, rest: &str) -> String {
        format!("{}.{operation}.{}{rest}", self.prefix, self.stream)
    }

    /// Something that is about to be sent to a subject of the JetStream API.
    pub(super) fn attempt(&self, operation: &str) -> Attempt {
        self.connection.denials().begin(self.subject(operation, ""))
    }

    /// Waits for an answer to an attempt, for a while.
    async fn answered<T>(
        attempt: &Attempt,
        answer: impl Future<Output = T>,
    ) -> Result<T, RequestError> {
        let answered = tokio::time::timeout(REQUEST_TIMEOUT, attempt.answered(answer)).await;
        Ok(answered.map_err(|_| unreachable("no answer in time"))??)
    }

    async fn ask<T, E: Error + 'static>(
        &self,
        kind: RequestKind,
        operation: &str,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<Result<T, E>, RequestError> {
        let answered = Self::answered(&self.attempt(operation), answer).await;
        self.count(
            kind,
            match &answered {
                Ok(Ok(_)) => Outcome::Ok,
                Ok(Err(error)) => Outcome::of(error),
                Err(error) => error.outcome(),
            },
        );
        answered
    }

    pub(super) fn count(&self, kind: RequestKind, outcome: Outcome) {
        self.connection.requests().count(kind, outcome);
    }

    /// Asks the leader for the stream's state.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn report(&self) -> Result<StreamReport, RequestError> {
        let stream = self
            .ask(RequestKind::StreamInfo, "STREAM.INFO", self.context.get_stream(&*self.stream))
            .await?
            .map_err(|error| self.stream_error(error.kind(), &error))?;
        Ok(StreamReport::of(stream.cached_info()))
    }

    fn stream_error(&self, kind: GetStreamErrorKind, error: &impl ToString) -> RequestError {
        match kind {
            GetStreamErrorKind::JetStream(refusal)
                if refusal.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                RequestError::NoStream(self.stream.to_string())
            }
            GetStreamErrorKind::JetStream(refusal) => RequestError::Refused(refusal.to_string()),
            _ => RequestError::Unreachable(error.to_string()),
        }
    }

    async fn stream(&self) -> Result<Stream<()>, RequestError> {
        self.context
            .get_stream_no_info(&*self.stream)
            .await
            .map_err(|error| RequestError::Refused(error.to_string()))
    }

    /// What identifies the message with this sequence, asked of the leader.
    ///
    /// # Errors
    /// [`RequestError::NoMessage`] if it is gone or was never there.
    pub async fn fingerprint(&self, sequence: u64) -> Result<Fingerprint, RequestError> {
        let stream = self.stream().await?;
        let message = self
            .ask(RequestKind::MessageGet, "STREAM.MSG.GET", stream.get_raw_message(sequence))
            .await?
            .map_err(|error| match error.kind() {
                RawMessageErrorKind::NoMessageFound => RequestError::NoMessage,
                RawMessageErrorKind::JetStream(refusal) => {
                    RequestError::Refused(refusal.to_string())
                }
                _ => RequestError::Unreachable(error.to_string()),
            })?;
        Ok(Fingerprint {
            stored_at: nanoseconds(message.time),
            subject: message.subject.as_str().into(),
        })
    }

    /// What the leader says of a job: the stream's last sequence first, then the job.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn leader_view(&self, job: &JobKey) -> Result<(LeaderView, Arc<str>), RequestError> {
        let report = self.report().await?;
        let stream = self.stream().await?;
        let filter = self.subjects.job_filter(job);
        let answer = self
            .ask(
                RequestKind::MessageGet,
                "STREAM.MSG.GET",
                stream.get_last_raw_message_by_subject(&filter),
            )
            .await?;
        let last = match answer {
            Ok(message) => Some(message.sequence),
            Err(error) => match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => None,
                LastRawMessageErrorKind::JetStream(refusal) => {
                    return Err(RequestError::Refused(refusal.to_string()));
                }
                _ => return Err(RequestError::Unreachable(error.to_string())),
            },
        };
        let view = LeaderView { stream_last: report.last, stream_first: report.first, last };
        Ok((view, report.epoch))
    }

    /// Makes one request of each kind that only some questions of watchers need, to see whether
    /// NATS permits them. What it brings does not matter.
    ///
    /// # Errors
    /// [`RequestError::Denied`], and no other.
    pub async fn try_rights(&self) -> Result<(), RequestError> {
        let nowhere = "jobwire.rights".to_owned();
        let direct = self.last_of_each(&[nowhere], |_| ()).await.map(drop);
        let of_leader = self.fingerprint(u64::MAX).await.map(drop);
        let of_nobody = self.subject("CONSUMER.MSG.NEXT", ".jobwire-rights");
        let pulling = self.client().request(of_nobody, "".into());
        // Not counted: nobody is meant to answer.
        let attempt = self.attempt("CONSUMER.MSG.NEXT");
        let pulled = Self::answered(&attempt, pulling).await.map(drop);
        for tried in [direct, of_leader, pulled] {
            if let Err(denied @ RequestError::Denied(_)) = tried {
                return Err(denied);
            }
        }
        Ok(())
    }

    /// A job's first stored event, from any replica.
    ///
    /// # Errors
    /// [`RequestError`]; a job without events is `Ok(None)`.
    pub async fn first_event(&self, job: &JobKey) -> Result<Option<u64>, RequestError> {
        let stream = self.stream().await?;
        let answer = self
            .ask(
                RequestKind::DirectGet,
                "DIRECT.GET",
                stream
                    .direct_get_builder()
                    .sequence(1)
                    .next_by_subject(self.subjects.job_filter(job))
                    .send(),
            )
            .await?;
        match answer {
            Ok(message) => Ok(Some(message.sequence)),
            Err(error) => match error.kind() {
                DirectGetErrorKind::NotFound => Ok(None),
                DirectGetErrorKind::ErrorResponse(_, text) => Err(RequestError::Refused(text)),
                _ => Err(RequestError::Unreachable(error.to_string())),
            },
        }
    }

    /// Where a job ends and how it stands, as of the position of whichever replica answers: one
    /// `multi_last` direct get.
    ///
    /// # Errors
    /// [`RequestError`]; a job without events is `Ok` with `None`.
    pub async fn replica_end(&self, job: &JobKey) -> Result<ReplicaEnd, RequestError> {
        let mut state = State::default();
        let filters = [self.subjects.job_filter(job)];
        let up_to = self.last_of_each(&filters, |found| state.take(&found)).await?;
        Ok(state.end(up_to))
    }

    /// Shows the last message of every subject that matches, in no order, as one replica has
    /// them; gives the position of that replica, unless it has none.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::TooManySubjects`] for more than 1,024.
    pub(super) async fn last_of_each(
        &self,
        filters: &[String],
        take: impl FnMut(LastMessage<'_>),
    ) -> Result<Option<u64>, RequestError> {
        let found = self.ask_for_last_of_each(filters, take).await;
        self.count(
            RequestKind::DirectGet,
            found.as_ref().map_or_else(RequestError::outcome, |_| Outcome::Ok),
        );
        found
    }

    async fn ask_for_last_of_each(
        &self,
        filters: &[String],
        mut take: impl FnMut(LastMessage<'_>),
    ) -> Result<Option<u64>, RequestError> {
        let attempt = self.attempt("DIRECT.GET");
        let inbox = self.client().new_inbox();
        let mut answers = self.client().subscribe(inbox.clone()).await.map_err(unreachable)?;
        let request = serde_json::json!({ "multi_last": filters }).to_string();
        self.client()
            .publish_with_reply(self.subject("DIRECT.GET", ""), inbox, request.into())
            .await
            .map_err(unreachable)?;
        loop {
            let message = Self::answered(&attempt, answers.next())
                .await?
                .ok_or_else(|| RequestError::Unreachable("the connection was closed".into()))?;
            match message.status {
                None | Some(StatusCode::OK) => {
                    if let Some(found) = LastMessage::read(&message, &self.subjects) {
                        take(found);
                    }
                }
                Some(status) if status.as_u16() == 204 => {
                    let up_to = header(&message, "Nats-UpTo-Sequence");
                    return Ok(up_to.and_then(|up_to| up_to.parse().ok()));
                }
                Some(StatusCode::NOT_FOUND) => return Ok(None),
                Some(StatusCode::NO_RESPONDERS) => return Err(RequestError::NoResponders),
                // More than 1,024 subjects.
                Some(status) if status.as_u16() == 413 => {
                    return Err(RequestError::TooManySubjects);
                }
                Some(status) => {
                    let text = message.description.unwrap_or_default();
                    return Err(RequestError::Refused(format!("{status} {text}")));
                }
            }
        }
    }
}

/// The last message of a subject, as a direct get tells it.
pub(super) struct LastMessage<'a> {
    /// Its sequence.
    pub(super) id: u64,
    /// When it was stored, in nanoseconds since 1970.
    pub(super) stored_at: i64,
    /// What its subject names; `None` if it is no event's.
    pub(super) parts: Option<SubjectParts<'a>>,
    /// The event's type, or nothing.
    pub(super) event_type: Cow<'a, str>,
    /// Its payload.
    pub(super) payload: &'a [u8],
    /// The trace that it belongs to.
    traceparent: Option<&'a str>,
}

impl<'a> LastMessage<'a> {
    fn read(message: &'a Message, subjects: &SubjectTemplate) -> Option<Self> {
        let parts = header(message, "Nats-Subject").and_then(|subject| subjects.split(subject));
        let event_type = parts.as_ref().map(|parts| subjects.event_type(parts, &message.payload));
        Some(Self {
            id: header(message, "Nats-Sequence")?.parse().ok()?,
            stored_at: header(message, "Nats-Time-Stamp").and_then(parse_time).unwrap_or_default(),
            event_type: event_type.unwrap_or_default(),
            parts,
            payload: &message.payload,
            traceparent: traceparent_of(message),
        })
    }
}

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    Some(message.headers.as_ref()?.get(name)?.as_str())
}

/// A job's state while its events come in.
#[derive(Default)]
struct State {
    last: Option<u64>,
    events: Vec<StoredEvent>,
    bytes: usize,
}

impl State {
    fn take(&mut self, found: &LastMessage<'_>) {
        self.last = self.last.max(Some(found.id));
        if found.parts.is_none() {
            return;
        }
        self.bytes += found.payload.len();
        // How a job stands is kept whatever it costs; a state of many large other events is not.
        if self.bytes > STATE_BYTES && LifeCycle::of(&found.event_type).is_none() {
            return;
        }
        self.events.push(StoredEvent {
            id: found.id,
            event_type: (&*found.event_type).into(),
            stored_at: found.stored_at,
            // Copied: the library's payloads hold its whole read buffer.
            payload: Bytes::copy_from_slice(found.payload),
            traceparent: found.traceparent.map(Box::from),
        });
    }

    fn end(mut self, up_to: Option<u64>) -> ReplicaEnd {
        self.events.sort_unstable_by_key(|event| event.id);
        ReplicaEnd { up_to: self.last.and(up_to), last: self.last, state: self.events }
    }
}

fn parse_time(text: &str) -> Option<i64> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(nanoseconds)
}

impl StreamReport {
    fn of(info: &Info) -> Self {
        let state = &info.state;
        Self {
            epoch: format!("{:x}", info.created.unix_timestamp_nanos()).into(),
            // A stream that never held anything reports 0 for both.
            first: state.first_sequence.max(1),
            last: state.last_sequence,
            messages: state.messages,
            bytes: state.bytes,
            consumers: state.consumer_count as u64,
            at: Instant::now(),
            config: Arc::new(info.config.clone()),
        }
    }
}

/// Nanoseconds since 1970; what is outside of 64 bits is outside of any stream.
pub(super) fn nanoseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos()).unwrap_or_default()
}

pub(super) fn unreachable(error: impl ToString) -> RequestError {
    RequestError::Unreachable(error.to_string())
}
