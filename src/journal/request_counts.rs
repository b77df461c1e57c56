//! What is asked of JetStream over one connection, and how that ended: plain counts, which
//! whoever exports metrics reads.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_nats::jetstream::context;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::stream::{
    DirectGetError, DirectGetErrorKind, LastRawMessageError, LastRawMessageErrorKind,
    RawMessageError, RawMessageErrorKind,
};

use super::denials::Denial;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// The stream's state, of its leader.
    StreamInfo,
    /// One message, of the leader.
    MessageGet,
    /// One or more messages, of any replica.
    DirectGet,
    /// A consumer.
    ConsumerCreate,
    /// That a consumer goes; no answer is waited for.
    ConsumerDelete,
    /// The next messages of a consumer.
    Pull,
    /// That an event is stored.
    Publish,
}

impl RequestKind {
    /// Every kind there is.
    pub const ALL: [Self; 7] = [
        Self::StreamInfo,
        Self::MessageGet,
        Self::DirectGet,
        Self::ConsumerCreate,
        Self::ConsumerDelete,
        Self::Pull,
        Self::Publish,
    ];

    /// A word for metrics; one of a fixed few.
    pub fn label(self) -> &'static str {
        match self {
            Self::StreamInfo => "stream_info",
            Self::MessageGet => "message_get",
            Self::DirectGet => "direct_get",
            Self::ConsumerCreate => "consumer_create",
            Self::ConsumerDelete => "consumer_delete",
            Self::Pull => "pull",
            Self::Publish => "publish",
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There is an answer, be it that there is no such message.
    Ok,
    /// No answer in time.
    Timeout,
    /// Nobody is there to answer.
    NoResponders,
    /// NATS does not let us ask.
    Denied,
    /// Anything else: JetStream refused, or there is no connection.
    Error,
}

impl Outcome {
    /// Every outcome there is.
    pub const ALL: [Self; 5] =
        [Self::Ok, Self::Timeout, Self::NoResponders, Self::Denied, Self::Error];

    /// A word for metrics; one of a fixed few.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Timeout => "timeout",
            Self::NoResponders => "no_responders",
            Self::Denied => "denied",
            Self::Error => "error",
        }
    }

    /// The outcome that an error of the library stands for.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let causes = std::iter::successors(Some(error), |&error| error.source());
        causes.filter_map(Self::of_cause).next().unwrap_or(Self::Error)
    }

    fn of_cause(error: &(dyn Error + 'static)) -> Option<Self> {
        if error.is::<Denial>() {
            return Some(Self::Denied);
        }
        if let Some(error) = error.downcast_ref::<context::RequestError>() {
            return match error.kind() {
                context::RequestErrorKind::NoResponders => Some(Self::NoResponders),
                context::RequestErrorKind::TimedOut => Some(Self::Timeout),
                _ => None,
            };
        }
        if let Some(error) = error.downcast_ref::<async_nats::RequestError>() {
            return match error.kind() {
                async_nats::RequestErrorKind::NoResponders => Some(Self::NoResponders),
                async_nats::RequestErrorKind::TimedOut => Some(Self::Timeout),
                _ => None,
            };
        }
        if let Some(error) = error.downcast_ref::<PublishError>() {
            return match error.kind() {
                PublishErrorKind::StreamNotFound => Some(Self::NoResponders),
                PublishErrorKind::TimedOut => Some(Self::Timeout),
                _ => None,
            };
        }
        says_no_message(error).then_some(Self::Ok)
    }
}

fn says_no_message(error: &(dyn Error + 'static)) -> bool {
    let of_leader = error.downcast_ref::<RawMessageError>();
    let last = error.downcast_ref::<LastRawMessageError>();
    let direct = error.downcast_ref::<DirectGetError>();
    of_leader.is_some_and(|error| error.kind() == RawMessageErrorKind::NoMessageFound)
        || last.is_some_and(|error| error.kind() == LastRawMessageErrorKind::NoMessageFound)
        || direct.is_some_and(|error| error.kind() == DirectGetErrorKind::NotFound)
}

/// See the module's text. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RequestCounts {
    counts: Arc<[[AtomicU64; Outcome::ALL.len()]; RequestKind::ALL.len()]>,
}

impl RequestCounts {
    /// Counts one request.
    pub fn count(&self, kind: RequestKind, outcome: Outcome) {
        if let Some(count) = self.place(kind, outcome) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many there were.
    pub fn of(&self, kind: RequestKind, outcome: Outcome) -> u64 {
        self.place(kind, outcome).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn place(&self, kind: RequestKind, outcome: Outcome) -> Option<&AtomicU64> {
        self.counts.get(kind as usize)?.get(outcome as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_outcome_has_a_count_of_its_own() {
        let counts = RequestCounts::default();
        let all = || {
            RequestKind::ALL
                .into_iter()
                .flat_map(|kind| Outcome::ALL.map(|outcome| (kind, outcome)))
        };
        all().for_each(|(kind, outcome)| counts.count(kind, outcome));
        assert!(all().all(|(kind, outcome)| counts.of(kind, outcome) == 1));
    }

    #[test]
    fn an_answer_that_there_is_nothing_is_an_answer() {
        let nothing = RawMessageError::new(RawMessageErrorKind::NoMessageFound);
        assert_eq!(Outcome::of(&nothing), Outcome::Ok);
        let silence = context::RequestError::new(context::RequestErrorKind::NoResponders);
        let refused = RawMessageError::with_source(RawMessageErrorKind::Other, silence);
        assert_eq!(Outcome::of(&refused), Outcome::NoResponders);
        assert_eq!(Outcome::of(&std::io::Error::other("away")), Outcome::Error);
    }
}
