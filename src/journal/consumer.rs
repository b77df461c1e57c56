//! An ordered consumer of our own: ephemeral, named, with one filter subject, without
//! acknowledgements, one replica in memory, pulled.
//!
//! async-nats's own `Ordered` took 17 to 37 s to recover where this one takes 6, and forgets its
//! start when it breaks before its first message. This one never restarts by itself: it ends
//! with a reason, and its owner makes a new one after the last sequence it has.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy, pull};
use async_nats::{Message, StatusCode, Subscriber};
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::denials::Attempt;
use super::request_counts::{Outcome, RequestKind};
use super::requests::{RequestError, StreamApi, unreachable};
use crate::event::traceparent;

/// How long a consumer that nobody pulls from lives on at the server.
const INACTIVE_THRESHOLD: Duration = Duration::from_secs(5);
/// Pause between the server's signs of life.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// Silence after which a consumer is given up: two heartbeats and a half.
const SILENCE: Duration = Duration::from_millis(2_500);

/// Why a consumer ended.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerEnd {
    /// No message and no heartbeat in time.
    #[error("no sign of life from the consumer")]
    Silent,
    /// A message was lost between server and client.
    #[error("a message was lost on the way")]
    Gap,
    /// The consumer was deleted, or its server went away.
    #[error("the consumer is gone: {0}")]
    Gone(String),
    /// It could not be made, or not be asked.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl ConsumerEnd {
    /// The reason as a metric's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Gap => "gap",
            Self::Gone(_) => "gone",
            Self::Request(_) => "request",
        }
    }
}

/// A message with the place it has in the stream.
#[derive(Debug)]
pub struct Delivered {
    /// Sequence in the stream.
    pub id: u64,
    /// When it was stored, in nanoseconds since 1970.
    pub stored_at: i64,
    /// The message.
    pub message: Message,
}

/// The trace that a message belongs to, if its headers name one.
pub fn traceparent_of(message: &Message) -> Option<&str> {
    traceparent(message.headers.as_ref()?.get("traceparent")?.as_str())
}

/// What a consumer has to say.
#[derive(Debug)]
pub enum Signal {
    /// The next message.
    Delivered(Delivered),
    /// Nothing new, but alive.
    Alive,
    /// The pull is over; this many messages of it were not delivered.
    PullOver {
        /// Messages that were asked for and did not come.
        left: usize,
    },
}

/// What to pull.
#[derive(Debug, Clone, Copy)]
pub struct Pull {
    /// Messages at most.
    pub messages: usize,
    /// Bytes at most; `None`: no bound.
    pub bytes: Option<usize>,
    /// How long the server waits for them; zero: it sends what is there, and says when that
    /// was all.
    pub expires: Duration,
}

/// See the module's text.
pub struct Consumer {
    api: StreamApi,
    /// Tells why there is silence, if NATS does not permit a pull.
    pulling: Attempt,
    name: String,
    inbox: String,
    messages: Subscriber,
    delivered: u64,
    heard_at: Instant,
    /// Nothing has come since the last pull.
    pull_is_unanswered: bool,
}

impl Consumer {
    /// Makes a consumer that begins at sequence `start`.
    ///
    /// # Errors
    /// [`ConsumerEnd::Request`].
    pub async fn begin(
        api: &StreamApi,
        purpose: &str,
        start: u64,
        filter: String,
    ) -> Result<Self, ConsumerEnd> {
        Self::make(api, purpose, start, filter, false).await
    }

    /// As [`Consumer::begin`], for messages whose payloads stay at the server.
    ///
    /// # Errors
    /// [`ConsumerEnd::Request`].
    pub async fn begin_without_payloads(
        api: &StreamApi,
        purpose: &str,
        start: u64,
        filter: String,
    ) -> Result<Self, ConsumerEnd> {
        Self::make(api, purpose, start, filter, true).await
    }

    async fn make(
        api: &StreamApi,
        purpose: &str,
        start: u64,
        filter: String,
        headers_only: bool,
    ) -> Result<Self, ConsumerEnd> {
        let inbox = api.client().new_inbox();
        let messages = api.client().subscribe(inbox.clone()).await.map_err(unreachable)?;
        let name = format!("jobwire-{purpose}-{:016x}", fastrand::u64(..));
        let config = pull::Config {
            name: Some(name.clone()),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: start.max(1) },
            ack_policy: AckPolicy::None,
            replay_policy: ReplayPolicy::Instant,
            filter_subject: filter,
            num_replicas: 1,
            memory_storage: true,
            headers_only,
            inactive_threshold: INACTIVE_THRESHOLD,
            ..pull::Config::default()
        };
        // In the middle of a large stream it takes the server longer than other requests.
        let making = api.context().create_consumer_on_stream(config, api.stream_name());
        let made = api.attempt("CONSUMER.CREATE").answered(making).await;
        let outcome = match &made {
            Ok(Ok(_)) => Outcome::Ok,
            Ok(Err(error)) => Outcome::of(error),
            Err(_) => Outcome::Denied,
        };
        api.count(RequestKind::ConsumerCreate, outcome);
        made.map_err(RequestError::from)?
            .map_err(|error| RequestError::Refused(error.to_string()))?;
        let pulling = api.attempt("CONSUMER.MSG.NEXT");
        Ok(Self {
            api: api.clone(),
            pulling,
            name,
            inbox,
            messages,
            delivered: 0,
            heard_at: Instant::now(),
            pull_is_unanswered: false,
        })
    }

    /// Asks for messages.
    ///
    /// # Errors
    /// [`ConsumerEnd::Request`] if the connection is closed.
    pub async fn pull(&mut self, pull: Pull) -> Result<(), ConsumerEnd> {
        self.heard_at = Instant::now();
        self.pull_is_unanswered = true;
        let mut request = if pull.expires.is_zero() {
            serde_json::json!({ "batch": pull.messages, "no_wait": true })
        } else {
            serde_json::json!({
                "batch": pull.messages,
                "expires": nanoseconds(pull.expires),
                "idle_heartbeat": nanoseconds(HEARTBEAT),
            })
        };
        if let (Some(bytes), Some(fields)) = (pull.bytes, request.as_object_mut()) {
            fields.insert("max_bytes".into(), bytes.into());
        }
        let subject = self.api.subject("CONSUMER.MSG.NEXT", &format!(".{}", self.name));
        self.api
            .client()
            .publish_with_reply(subject, self.inbox.clone(), request.to_string().into())
            .await
            .map_err(|error| unreachable(error).into())
    }

    /// Waits for the next signal. May be dropped and called again: silence counts from the
    /// last signal on.
    ///
    /// # Errors
    /// [`ConsumerEnd`]; the consumer is of no use afterwards.
    pub async fn next(&mut self) -> Result<Signal, ConsumerEnd> {
        let next = tokio::time::timeout_at(self.heard_at + SILENCE, self.messages.next()).await;
        let Ok(message) = next else {
            let silence = self.silence();
            let denied = matches!(silence, ConsumerEnd::Request(_));
            self.answer_pull(if denied { Outcome::Denied } else { Outcome::Timeout });
            return Err(silence);
        };
        let message =
            message.ok_or_else(|| ConsumerEnd::Gone("the connection was closed".into()))?;
        self.read(message)
    }

    /// Counts the pull that was not answered before, if there is one.
    fn answer_pull(&mut self, outcome: Outcome) {
        if std::mem::take(&mut self.pull_is_unanswered) {
            self.api.count(RequestKind::Pull, outcome);
        }
    }

    fn silence(&self) -> ConsumerEnd {
        self.pulling
            .denial()
            .map_or(ConsumerEnd::Silent, |denial| RequestError::from(denial).into())
    }

    /// The next signal if it is there already.
    ///
    /// # Errors
    /// [`ConsumerEnd`]; the consumer is of no use afterwards.
    pub fn next_ready(&mut self) -> Option<Result<Signal, ConsumerEnd>> {
        let message = self.messages.next().now_or_never()??;
        Some(self.read(message))
    }

    /// Deletes the consumer at the server; it would go by itself after 5 s.
    pub async fn end(self) {
        let subject = self.api.subject("CONSUMER.DELETE", &format!(".{}", self.name));
        // No answer is waited for: the inactivity threshold stands behind it.
        let sent = self.api.client().publish_with_reply(subject, self.inbox, "".into()).await;
        let outcome = if sent.is_ok() { Outcome::Ok } else { Outcome::Error };
        self.api.count(RequestKind::ConsumerDelete, outcome);
        if let Err(error) = sent {
            tracing::debug!(%error, "a consumer is left to its inactivity threshold");
        }
    }

    fn read(&mut self, message: Message) -> Result<Signal, ConsumerEnd> {
        self.heard_at = Instant::now();
        self.answer_pull(match message.status {
            Some(StatusCode::NO_RESPONDERS) => Outcome::NoResponders,
            _ => Outcome::Ok,
        });
        match message.status {
            None => self.read_event(message),
            Some(StatusCode::IDLE_HEARTBEAT) => Ok(Signal::Alive),
            Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => Ok(pull_over(&message)),
            Some(status) => {
                let text = message.description.as_deref().unwrap_or_default();
                // The pull has had its messages or its bytes; the consumer lives on.
                let over = ["Batch Completed", "Exceeds MaxBytes"];
                if status.as_u16() == 409 && over.iter().any(|ending| text.contains(ending)) {
                    return Ok(pull_over(&message));
                }
                Err(ConsumerEnd::Gone(format!("{status} {text}")))
            }
        }
    }

    fn read_event(&mut self, message: Message) -> Result<Signal, ConsumerEnd> {
        let place =
            message.reply.as_ref().and_then(|reply| Place::parse(reply.as_str())).ok_or_else(
                || ConsumerEnd::Gone("a message without a place in the stream".into()),
            )?;
        if place.consumer_sequence != self.delivered + 1 {
            return Err(ConsumerEnd::Gap);
        }
        self.delivered = place.consumer_sequence;
        Ok(Signal::Delivered(Delivered {
            id: place.stream_sequence,
            stored_at: place.stored_at,
            message,
        }))
    }
}

fn pull_over(message: &Message) -> Signal {
    let left = message
        .headers
        .as_ref()
        .and_then(|headers| headers.get("Nats-Pending-Messages"))
        .and_then(|value| value.as_str().parse().ok())
        .unwrap_or(0);
    Signal::PullOver { left }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What the reply subject tells (ADR-15): `$JS.ACK.<stream>.<consumer>.<delivered>.<stream
/// sequence>.<consumer sequence>.<time>.<pending>`, with domain and account before the stream
/// in its second version.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    stream_sequence: u64,
    consumer_sequence: u64,
    stored_at: i64,
}

impl Place {
    fn parse(reply: &str) -> Option<Self> {
        let tokens = reply.strip_prefix("$JS.ACK.")?;
        let skip = match tokens.split('.').count() {
            7 => 3,
            9.. => 5,
            _ => return None,
        };
        let mut tokens = tokens.split('.').skip(skip);
        Some(Self {
            stream_sequence: tokens.next()?.parse().ok()?,
            consumer_sequence: tokens.next()?.parse().ok()?,
            stored_at: tokens.next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_knows_its_place_in_both_versions_of_the_reply_subject() {
        let place = Place { stream_sequence: 100, consumer_sequence: 7, stored_at: 17 };
        assert_eq!(Place::parse("$JS.ACK.JOBS.name.1.100.7.17.42").as_ref(), Some(&place));
        assert_eq!(Place::parse("$JS.ACK._.hash.JOBS.name.1.100.7.17.42"), Some(place));
        assert_eq!(Place::parse("$JS.ACK.JOBS.name.1.100"), None);
        assert_eq!(Place::parse("_INBOX.x"), None);
    }
}
