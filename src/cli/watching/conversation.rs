//! What is said on the WebSocket about one job: messages in, items out. No socket, no clock.
//!
//! A watch is a position: everything up to `last` was told. Whatever happens to connections, it
//! goes on from there.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event::{JobKey, StoredBody, is_tried_again};

/// The types that decide whether a job has ended.
pub(super) const LIFE_CYCLE: [&str; 8] = [
    "job_completed",
    "job_failed",
    "job_cancelled",
    "job_created",
    "job_started",
    "job_paused",
    "job_resumed",
    "iteration_completed",
];

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum Outcome {
    /// It did what it should.
    Completed,
    /// It failed, and is not tried again.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

impl Outcome {
    /// The word for it.
    pub(in crate::cli) fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The outcome of a job with this status.
    pub(super) fn of_status(status: &str) -> Option<Self> {
        Some(match status {
            "succeeded" => Self::Completed,
            "failed" => Self::Failed,
            "stopped" => Self::Cancelled,
            _ => return None,
        })
    }

    fn of(event: &Event) -> Option<Self> {
        Some(match event.event_type.as_str() {
            "job_completed" => Self::Completed,
            "job_failed" if event.is_tried_again() => return None,
            "job_failed" => Self::Failed,
            "job_cancelled" => Self::Cancelled,
            _ => return None,
        })
    }
}

/// An event as the gateway sent it.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Event {
    /// Its sequence in the stream.
    pub(in crate::cli) id: u64,
    /// What happened.
    pub(in crate::cli) event_type: String,
    /// All of it, in the gateway's words.
    pub(in crate::cli) json: Box<RawValue>,
}

impl Event {
    fn read(json: &RawValue) -> Result<Self, Trouble> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Head {
            id: u64,
            event_type: String,
        }
        let Head { id, event_type } = serde_json::from_str(json.get()).map_err(strange)?;
        Ok(Self { id, event_type, json: json.to_owned() })
    }

    /// Its fields as they were stored; none if they are of wrong types.
    pub(in crate::cli) fn body(&self) -> StoredBody<'_> {
        StoredBody::parse(self.json.get().as_bytes()).unwrap_or_default()
    }

    fn is_tried_again(&self) -> bool {
        is_tried_again(self.body().data)
    }
}

/// Events between two ids may be gone: completeness cannot be shown. What there is follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Gap {
    /// The last id that was seen before it.
    pub(in crate::cli) requested_after: u64,
    /// The first id that may still be there.
    pub(in crate::cli) first_available: u64,
    /// The job's newest event.
    pub(in crate::cli) last_event_id: u64,
}

/// What a watch tells.
#[derive(Debug, Clone)]
pub(in crate::cli) enum Item {
    /// An event.
    Event(Event),
    /// One that was not asked for: it tells how the job stands.
    Unasked(Event),
    /// Events are missing here.
    Gap(Gap),
    /// The stream was made anew: ids start again.
    Reset {
        /// The new stream.
        epoch: String,
    },
    /// A stored message is no event; it is left out.
    Malformed {
        /// Its id.
        id: u64,
    },
}

/// Why there is no subscription.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// Asked again later there may be one.
    #[error("{0}")]
    NotNow(String),
    /// The job is not there, at least not yet.
    #[error("{0}")]
    NoSuchJob(String),
    /// A message makes no sense: something on the way has broken it.
    #[error("the gateway sent what makes no sense: {0}")]
    Strange(String),
    /// There will be none.
    #[error("{sentence}")]
    Refused {
        /// The gateway's code, or one of ours.
        code: String,
        /// For people.
        sentence: String,
        /// What is missing, if that is why.
        gap: Option<Gap>,
    },
}

fn strange(error: impl std::fmt::Display) -> Trouble {
    Trouble::Strange(error.to_string())
}

/// What becomes of a watch where events are missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum OnGap {
    /// It is told, and the watch goes on with what there is.
    #[default]
    Continue,
    /// It ends.
    Fail,
}

/// What is watched, and how.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Terms {
    /// The job.
    pub(in crate::cli) job: JobKey,
    /// Every event with a higher id; `None`: only what happens from now on.
    pub(in crate::cli) after: Option<u64>,
    /// The stream that `after` belongs to.
    pub(in crate::cli) epoch: Option<String>,
    /// Only events of these types; `None`: of any.
    pub(in crate::cli) types: Option<BTreeSet<String>>,
    /// What becomes of it where events are missing.
    pub(in crate::cli) on_gap: OnGap,
}

impl Terms {
    /// Everything of a job, from the first event.
    pub(in crate::cli) fn of(job: JobKey) -> Self {
        Self { job, after: Some(0), epoch: None, types: None, on_gap: OnGap::Continue }
    }
}

/// The state of one watch, over all its connections.
#[derive(Debug)]
pub(in crate::cli) struct Conversation {
    terms: Terms,
    last: Option<u64>,
    epoch: Option<String>,
    is_subscribed: bool,
    /// The epoch that the subscribe under way named.
    claimed: Option<String>,
    /// Who has reached this id is up to date; `None`: that is not known yet.
    boundary: Option<u64>,
    outcome: Option<Outcome>,
    knows_life_cycle: bool,
    told: Option<Gap>,
}

/// What every message has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    job_id: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Live<'a> {
    #[serde(borrow)]
    event: &'a RawValue,
}

#[derive(Deserialize)]
struct Replay<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subscribed {
    last_event_id: u64,
    epoch: String,
}

#[derive(Deserialize)]
struct Position {
    id: u64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Told {
    error: String,
    code: String,
    job_id: Option<String>,
    id: u64,
    epoch: Option<String>,
    requested_after: u64,
    first_available: u64,
    last_event_id: u64,
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Trouble> {
    serde_json::from_str(text).map_err(strange)
}

impl Conversation {
    /// A watch that has not begun.
    pub(in crate::cli) fn new(terms: Terms) -> Self {
        Self {
            last: terms.after,
            epoch: terms.epoch.clone(),
            terms,
            is_subscribed: false,
            claimed: None,
            boundary: None,
            outcome: None,
            knows_life_cycle: false,
            told: None,
        }
    }

    /// The job.
    pub(super) fn job(&self) -> &JobKey {
        &self.terms.job
    }

    /// Everything up to here was told; `None` before anything is known.
    pub(in crate::cli) fn last(&self) -> Option<u64> {
        self.last
    }

    /// The stream that this belongs to.
    pub(in crate::cli) fn epoch(&self) -> Option<&str> {
        self.epoch.as_deref()
    }

    /// How the job ended, if it has and everything before was told.
    pub(in crate::cli) fn outcome(&self) -> Option<Outcome> {
        self.outcome.filter(|_| self.is_up_to_date())
    }

    /// Whether the gateway sends events of the job.
    pub(in crate::cli) fn is_subscribed(&self) -> bool {
        self.is_subscribed
    }

    /// Whether everything that is stored was told.
    pub(in crate::cli) fn is_up_to_date(&self) -> bool {
        self.is_subscribed && self.boundary.is_some_and(|boundary| self.last >= Some(boundary))
    }

    /// Whether nothing that was told says whether the job has ended.
    pub(super) fn misses_life_cycle(&self) -> bool {
        !self.knows_life_cycle && self.last > Some(0)
    }

    /// The job was found to have ended, as of where this watch stands.
    pub(super) fn has_ended(&mut self, outcome: Outcome) {
        self.knows_life_cycle = true;
        self.outcome = Some(outcome);
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self) {
        self.is_subscribed = false;
        self.boundary = None;
    }

    /// What a new connection begins with.
    pub(in crate::cli) fn subscribe(&mut self) -> serde_json::Value {
        self.lost();
        self.claimed = self.epoch.clone().filter(|_| self.last > Some(0));
        let mut message = serde_json::json!({
            "type": "subscribe",
            "jobId": self.terms.job.id(),
            "kind": self.terms.job.kind(),
            "position": true,
        });
        let optional = [
            ("afterEventId", self.last.map(Into::into)),
            ("epoch", self.claimed.clone().map(Into::into)),
            ("eventTypes", self.types()),
            ("onTruncated", (self.terms.on_gap == OnGap::Fail).then(|| "fail".into())),
        ];
        if let Some(fields) = message.as_object_mut() {
            let given =
                optional.into_iter().filter_map(|(name, value)| Some((name.into(), value?)));
            fields.extend(given);
        }
        message
    }

    /// The end has to be seen, wanted or not.
    fn types(&self) -> Option<serde_json::Value> {
        let wanted = self.terms.types.as_ref()?.iter().map(String::as_str);
        let all: BTreeSet<&str> = wanted.chain(LIFE_CYCLE).collect();
        Some(all.into_iter().collect())
    }

    /// What a message brings that is new.
    ///
    /// # Errors
    /// [`Trouble`] if there is no subscription, or none any more.
    pub(super) fn receive(&mut self, text: &str) -> Result<Vec<Item>, Trouble> {
        let Envelope { name, job_id } = read(text)?;
        if job_id.is_some_and(|id| id != self.terms.job.id()) {
            return Ok(Vec::new());
        }
        match &*name {
            "event" => self.take(&[read::<Live<'_>>(text)?.event]),
            "replay" => self.take(&read::<Replay<'_>>(text)?.data),
            "subscribed" => Ok(self.begin(read(text)?)),
            "position" => Ok(self.advance(read::<Position>(text)?.id)),
            "error" => self.error(read(text)?),
            // pong, authenticated, and what is not known yet
            _ => Ok(Vec::new()),
        }
    }

    fn take(&mut self, events: &[&RawValue]) -> Result<Vec<Item>, Trouble> {
        let mut items = Vec::with_capacity(events.len());
        for json in events {
            let event = Event::read(json)?;
            if self.is_new(&event) {
                let is_wanted = self.is_wanted(&event);
                items.push(if is_wanted { Item::Event(event) } else { Item::Unasked(event) });
            }
        }
        Ok(items)
    }

    fn is_new(&mut self, event: &Event) -> bool {
        if !self.is_subscribed || Some(event.id) <= self.last {
            return false;
        }
        self.last = Some(event.id);
        self.told = None;
        if LIFE_CYCLE.contains(&event.event_type.as_str()) {
            // A job that runs again has not ended: only its newest life-cycle event counts.
            self.has_ended_or_not(Outcome::of(event));
        }
        true
    }

    fn has_ended_or_not(&mut self, outcome: Option<Outcome>) {
        self.knows_life_cycle = true;
        self.outcome = outcome;
    }

    fn is_wanted(&self, event: &Event) -> bool {
        self.terms.types.as_ref().is_none_or(|types| types.contains(&event.event_type))
    }

    fn begin(&mut self, Subscribed { last_event_id, epoch }: Subscribed) -> Vec<Item> {
        self.is_subscribed = true;
        self.last.get_or_insert(last_event_id);
        let is_foreign = self.epoch.as_ref().is_some_and(|known| *known != epoch);
        if is_foreign && self.claimed.is_some() {
            // The gateway knows it too, and says so next.
            return Vec::new();
        }
        let items = if is_foreign { self.reset(epoch.clone()) } else { Vec::new() };
        self.epoch = Some(epoch);
        self.boundary = Some(last_event_id);
        items
    }

    /// Everything up to this id was sent.
    fn advance(&mut self, id: u64) -> Vec<Item> {
        if self.is_subscribed {
            self.last = self.last.max(Some(id));
            // A gateway whose tail is behind the stream may tell one below what it has promised:
            // that does not count as having seen it.
            self.boundary = self.boundary.or(self.last);
        }
        Vec::new()
    }

    fn reset(&mut self, epoch: String) -> Vec<Item> {
        self.last = Some(0);
        self.boundary = None;
        self.outcome = None;
        self.knows_life_cycle = false;
        self.told = None;
        self.epoch = Some(epoch.clone());
        vec![Item::Reset { epoch }]
    }

    fn error(&mut self, told: Told) -> Result<Vec<Item>, Trouble> {
        match told.code.as_str() {
            "HISTORY_TRUNCATED" => self.gap(&told),
            "CURSOR_INVALID" => Ok(self.reset(told.epoch.unwrap_or_default())),
            "EVENT_MALFORMED" => Ok(self.malformed(told.id)),
            "UNAVAILABLE" => Err(Trouble::NotNow(told.error)),
            "JOB_NOT_FOUND" => Err(Trouble::NoSuchJob(told.error)),
            // A renewed token that is not good changes nothing.
            "FORBIDDEN" if told.job_id.is_none() => {
                tracing::warn!("the gateway does not take the renewed token: {}", told.error);
                Ok(Vec::new())
            }
            // What is new, or about something else than the subscription.
            code if self.is_subscribed && !matches!(code, "FORBIDDEN" | "LIMIT") => Ok(Vec::new()),
            _ => {
                self.lost();
                Err(Trouble::Refused { code: told.code, sentence: told.error, gap: None })
            }
        }
    }

    fn malformed(&mut self, id: u64) -> Vec<Item> {
        if !self.is_subscribed || Some(id) <= self.last {
            return Vec::new();
        }
        self.last = Some(id);
        vec![Item::Malformed { id }]
    }

    /// Told once, also if the message comes again on the next connection.
    fn gap(&mut self, told: &Told) -> Result<Vec<Item>, Trouble> {
        let last = self.last.unwrap_or_default();
        let gap = Gap {
            requested_after: told.requested_after.max(last),
            first_available: told.first_available,
            last_event_id: told.last_event_id,
        };
        if self.terms.on_gap == OnGap::Fail {
            let (code, sentence) = (told.code.clone(), told.error.clone());
            return Err(Trouble::Refused { code, sentence, gap: Some(gap) });
        }
        if last + 1 >= gap.first_available || self.told.as_ref() == Some(&gap) {
            return Ok(Vec::new());
        }
        self.told = Some(gap.clone());
        Ok(vec![Item::Gap(gap)])
    }
}

#[cfg(test)]
mod tests;
