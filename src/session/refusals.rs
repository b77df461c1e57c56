//! What clients are refused, and how often: the one list of limits, with what a client reads and
//! what a metric is told.

use prometheus::{IntCounterVec, Opts, Registry};

/// Why a client does not get what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The process has as many connections as it may have.
    Connections,
    /// The client's address has as many connections as it may have.
    Address,
    /// The client's address connects too often.
    AddressRate,
    /// The token's subject has as many connections as it may have.
    Subject,
    /// The job has as many connections as it may have.
    Job,
    /// The connection has as many subscriptions as it may have.
    Subscriptions,
    /// A replay of the job is under way on the connection.
    Replay,
    /// The client sends too many messages.
    MessageRate,
    /// The client's message is too large.
    MessageSize,
    /// The request's line and headers are too large; HTTP answers by itself.
    HeaderSize,
    /// They did not come in time; HTTP closes the connection by itself.
    HeaderTime,
    /// There is no room for one more body.
    Bodies,
    /// The client's token does not name the job.
    Forbidden,
    /// The page's origin is not allowed.
    Origin,
}

impl Reason {
    /// Every reason there is.
    pub const ALL: [Self; 14] = [
        Self::Connections,
        Self::Address,
        Self::AddressRate,
        Self::Subject,
        Self::Job,
        Self::Subscriptions,
        Self::Replay,
        Self::MessageRate,
        Self::MessageSize,
        Self::HeaderSize,
        Self::HeaderTime,
        Self::Bodies,
        Self::Forbidden,
        Self::Origin,
    ];

    /// A word for metrics; one of a fixed few.
    pub fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Address => "address",
            Self::AddressRate => "address_rate",
            Self::Subject => "subject",
            Self::Job => "job",
            Self::Subscriptions => "subscriptions",
            Self::Replay => "replay",
            Self::MessageRate => "message_rate",
            Self::MessageSize => "message_size",
            Self::HeaderSize => "header_size",
            Self::HeaderTime => "header_time",
            Self::Bodies => "bodies",
            Self::Forbidden => "forbidden",
            Self::Origin => "origin",
        }
    }

    /// What the client reads, at most 123 bytes: it may be the reason in a close frame.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Connections => "The gateway has as many connections as it may have, try again",
            Self::Address => "Too many connections from this address",
            Self::AddressRate => "Too many connects from this address in a short time, try again",
            Self::Subject => "Too many connections with tokens of this subject",
            Self::Job => "Too many connections to this job",
            Self::Subscriptions => "Too many subscriptions on a connection",
            Self::Replay => "A replay of this job is already under way",
            Self::MessageRate => "Too many messages in a short time",
            Self::MessageSize => "The message is too large",
            Self::HeaderSize => "The request's headers are too large",
            Self::HeaderTime => "The request's headers did not come in time",
            Self::Bodies => "Too much is being published at the moment, try again",
            Self::Forbidden => "The token does not allow this job",
            Self::Origin => "Pages of this origin may not use this gateway",
        }
    }
}

/// The family of refusals. Cheap to clone.
#[derive(Clone)]
pub struct Refusals(IntCounterVec);

impl Refusals {
    /// Registers the family.
    ///
    /// # Errors
    /// It is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let family = IntCounterVec::new(
            Opts::new(
                "jobwire_refusals_total",
                "What clients were refused, by reason; tokens have a family of their own.",
            ),
            &["reason"],
        )?;
        registry.register(Box::new(family.clone()))?;
        // An increase from nothing at all would not be seen.
        for reason in Reason::ALL {
            family.with_label_values(&[reason.label()]);
        }
        Ok(Self(family))
    }

    /// Counts one.
    pub fn count(&self, reason: Reason) {
        self.0.with_label_values(&[reason.label()]).inc();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_has_a_label_and_a_sentence_of_its_own() {
        let labels: HashSet<_> = Reason::ALL.map(Reason::label).into();
        let sentences: HashSet<_> = Reason::ALL.map(Reason::sentence).into();
        assert_eq!((labels.len(), sentences.len()), (Reason::ALL.len(), Reason::ALL.len()));
    }
}
