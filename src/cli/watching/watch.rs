//! Watching one job: connects, comes back after every cut, and tells each event once.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::backoff::Backoff;
use super::conversation::{Conversation, Gap, Item, Outcome, Terms, Trouble};
use super::gateway::{Gateway, GatewayError};
use super::link::{Link, Lost};
use super::tokens;

/// How long a connection may be missing that has never stood, and one that has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Patience {
    /// Before the first connection.
    pub(in crate::cli) at_first: Duration,
    /// After it.
    pub(in crate::cli) later: Duration,
}

/// How a watch stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum State {
    /// Nothing was heard yet; why.
    Connecting(String),
    /// What is stored is coming.
    CatchingUp,
    /// Everything stored was told.
    Live,
    /// The connection was lost; why, and when it is tried again.
    Reconnecting(String),
    /// The job has ended.
    Ended(Outcome),
}

/// What a watch tells.
#[derive(Debug, Clone)]
pub(in crate::cli) enum Signal {
    /// Something of the job.
    Item(Item),
    /// How it stands now.
    State(State),
}

/// What ends a watch other than the job's end.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum WatchError {
    /// The gateway does not want it.
    #[error("{sentence} ({code})")]
    Refused {
        /// The gateway's code, or one of ours.
        code: String,
        /// For people.
        sentence: String,
        /// What is missing, if that is why.
        gap: Option<Gap>,
    },
    /// There was no connection for too long.
    #[error("{url} for {patience:?}: {reason}", patience = .patience)]
    Unreachable {
        /// The gateway.
        url: String,
        /// How long it was tried.
        patience: Duration,
        /// How the last attempt ended.
        reason: String,
    },
}

impl WatchError {
    fn refused(code: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self::Refused { code: code.into(), sentence: sentence.into(), gap: None }
    }
}

/// A watch over one job.
#[derive(Debug)]
pub(in crate::cli) struct Watch {
    gateway: Gateway,
    conversation: Conversation,
    patience: Patience,
    /// Whether a job that is not there is waited for.
    waits_for_job: bool,
    link: Option<Link>,
    backoff: Backoff,
    /// Waits for a job that is not there. The gateway has waited 2 s before it says so.
    absence: Backoff,
    /// When the next attempt is due.
    pause: Option<Instant>,
    renewal: Option<Instant>,
    /// The token that this connection has.
    token: Option<String>,
    cut_off_since: Option<Instant>,
    has_connected: bool,
    has_asked_for_state: bool,
    /// Whether a token was refused since one was taken.
    was_refused: bool,
    signals: VecDeque<Signal>,
    state: Option<State>,
}

impl Watch {
    /// A watch that begins when it is asked for its first signal.
    pub(in crate::cli) fn new(gateway: Gateway, terms: Terms, patience: Patience) -> Self {
        Self {
            gateway,
            conversation: Conversation::new(terms),
            patience,
            waits_for_job: false,
            link: None,
            backoff: Backoff::default(),
            absence: Backoff::up_to(Duration::from_secs(2)),
            pause: None,
            renewal: None,
            token: None,
            cut_off_since: None,
            has_connected: false,
            has_asked_for_state: false,
            was_refused: false,
            signals: VecDeque::new(),
            state: None,
        }
    }

    /// Waits for a job that is not there yet.
    pub(in crate::cli) fn waiting_for_job(mut self, waits: bool) -> Self {
        self.waits_for_job = waits;
        self
    }

    /// Where it stands: everything up to there was told, or is about to be.
    pub(in crate::cli) fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    /// Whether there is something to tell without waiting for it.
    pub(in crate::cli) fn has_more(&self) -> bool {
        !self.signals.is_empty()
    }

    /// The next of what there is to tell without waiting for it.
    pub(in crate::cli) fn pending(&mut self) -> Option<Signal> {
        self.signals.pop_front()
    }

    /// What happens next. May be given up and asked for again. For ever: also after the job has
    /// ended, since it may be run again.
    ///
    /// # Errors
    /// [`WatchError`]; there is no watch any more.
    pub(in crate::cli) async fn next(&mut self) -> Result<Signal, WatchError> {
        if self.state.is_none() {
            self.enter(State::Connecting(self.gateway.address().to_string()));
        }
        loop {
            if let Some(signal) = self.signals.pop_front() {
                return Ok(signal);
            }
            self.step().await?;
        }
    }

    /// Cuts the connection without a word, as a network does.
    pub(in crate::cli) fn cut(&mut self) {
        self.link = None;
        self.conversation.lost();
    }

    /// Says goodbye.
    pub(in crate::cli) async fn close(mut self) {
        if let Some(link) = self.link.take() {
            link.close().await;
        }
    }

    async fn step(&mut self) -> Result<(), WatchError> {
        if let Some(at) = self.pause {
            sleep_until(at).await;
            self.pause = None;
            if self.link.is_some() {
                return self.subscribe().await;
            }
        }
        if self.link.is_none() {
            return self.connect().await;
        }
        self.listen().await
    }

    async fn connect(&mut self) -> Result<(), WatchError> {
        match Link::open(&self.gateway).await {
            Ok(link) => {
                self.was_refused = false;
                self.link = Some(link);
                self.renew_later();
                self.subscribe().await
            }
            Err(error) => self.could_not_connect(error),
        }
    }

    /// For how long the token of this moment is good, if another can be had.
    fn renew_later(&mut self) {
        let tokens = self.gateway.tokens();
        self.token = tokens.current().ok().flatten().filter(|_| tokens.are_renewable());
        let left = self.token.as_deref().and_then(tokens::renew_in);
        self.renewal = left.map(|left| Instant::now() + left);
    }

    async fn subscribe(&mut self) -> Result<(), WatchError> {
        let message = self.conversation.subscribe();
        self.has_asked_for_state = false;
        let Some(link) = &mut self.link else { return Ok(()) };
        match link.send(&message).await {
            Ok(()) => Ok(()),
            Err(lost) => self.was_lost(&lost),
        }
    }

    async fn listen(&mut self) -> Result<(), WatchError> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let renewal = self.renewal;
        let renewing = async {
            match renewal {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let received = tokio::select! {
            received = link.receive() => received,
            () = renewing => return self.renew().await,
        };
        match received {
            Ok(text) => self.take(&text).await,
            Err(lost) => self.was_lost(&lost),
        }
    }

    /// Brings another token before the old one expires. One that is still the same is looked at
    /// again in a second.
    async fn renew(&mut self) -> Result<(), WatchError> {
        let before = self.token.clone();
        self.renew_later();
        let Some(link) = &mut self.link else { return Ok(()) };
        if self.token == before || self.token.is_none() {
            self.token = before;
            self.renewal = Some(Instant::now() + Duration::from_secs(1));
            return Ok(());
        }
        let message = serde_json::json!({ "type": "auth", "token": self.token });
        match link.send(&message).await {
            Ok(()) => Ok(()),
            Err(lost) => self.was_lost(&lost),
        }
    }

    async fn take(&mut self, text: &str) -> Result<(), WatchError> {
        match self.conversation.receive(text) {
            Ok(items) => {
                self.signals.extend(items.into_iter().map(Signal::Item));
                if self.conversation.is_subscribed() {
                    self.settle().await;
                }
                Ok(())
            }
            Err(Trouble::NotNow(reason)) => {
                let wait = self.backoff.next_wait();
                self.come_back(reason, wait)
            }
            Err(trouble @ Trouble::Strange(_)) => {
                self.link = None;
                let wait = self.backoff.next_wait();
                self.come_back(trouble.to_string(), wait)
            }
            Err(Trouble::NoSuchJob(_)) if self.waits_for_job => {
                self.has_connected = true;
                self.cut_off_since = None;
                self.pause = Some(Instant::now() + self.absence.next_wait());
                self.enter(State::Connecting("the job is not there yet".into()));
                Ok(())
            }
            Err(Trouble::NoSuchJob(sentence)) => {
                Err(WatchError::refused("JOB_NOT_FOUND", sentence))
            }
            Err(Trouble::Refused { code, sentence, gap }) => {
                Err(WatchError::Refused { code, sentence, gap })
            }
        }
    }

    async fn settle(&mut self) {
        self.has_connected = true;
        self.cut_off_since = None;
        if !self.conversation.is_up_to_date() {
            return self.enter(State::CatchingUp);
        }
        self.backoff.succeeded();
        self.look_for_an_earlier_end().await;
        match self.conversation.outcome() {
            Some(outcome) => self.enter(State::Ended(outcome)),
            None => self.enter(State::Live),
        }
    }

    /// Whoever begins after a job's last event would wait for ever: asks how the job stands.
    async fn look_for_an_earlier_end(&mut self) {
        if self.has_asked_for_state || !self.conversation.misses_life_cycle() {
            return;
        }
        self.has_asked_for_state = true;
        let state = match self.gateway.job(self.conversation.job()).await {
            Ok(state) => state,
            Err(error) => return tracing::debug!(%error, "how the job stands cannot be told"),
        };
        // A stream that was just made anew may still be told under its old epoch.
        let is_ours = self.conversation.epoch() == Some(&state.epoch);
        let is_seen = self.conversation.last() >= Some(state.last_event_id)
            && self.conversation.last() <= Some(state.position);
        if let Some(outcome) = Outcome::of_status(&state.status).filter(|_| is_ours && is_seen) {
            self.conversation.has_ended(outcome);
        }
    }

    fn could_not_connect(&mut self, error: GatewayError) -> Result<(), WatchError> {
        match error {
            GatewayError::Unreachable { reason, wait, .. } => {
                let backoff = self.backoff.next_wait();
                self.come_back(reason, wait.unwrap_or_default() + backoff)
            }
            GatewayError::Refused { status, sentence, code } => match status.as_u16() {
                401 if self.may_try_another_token() => {
                    let wait = self.backoff.next_wait();
                    self.come_back(sentence, wait)
                }
                // What has worked may be a proxy's bad day.
                status if self.has_connected && !matches!(status, 401 | 403) => {
                    let wait = self.backoff.next_wait();
                    self.come_back(sentence, wait)
                }
                _ => Err(WatchError::refused(code, sentence)),
            },
            GatewayError::Strange(reason) if self.has_connected => {
                let wait = self.backoff.next_wait();
                self.come_back(reason, wait)
            }
            GatewayError::Strange(reason) => Err(WatchError::refused("PROTOCOL", reason)),
        }
    }

    /// Once after each token that was taken.
    fn may_try_another_token(&mut self) -> bool {
        self.gateway.tokens().are_renewable() && !std::mem::replace(&mut self.was_refused, true)
    }

    fn was_lost(&mut self, lost: &Lost) -> Result<(), WatchError> {
        self.link = None;
        self.renewal = None;
        let reason = &lost.reason;
        let wait = match lost.code {
            Some(1002 | 1003 | 1007 | 1009) => {
                return Err(WatchError::refused("PROTOCOL", reason.clone()));
            }
            Some(1008) => return Err(WatchError::refused("FORBIDDEN", reason.clone())),
            Some(4001) if !self.may_try_another_token() => {
                return Err(WatchError::refused("UNAUTHORIZED", reason.clone()));
            }
            // A limit: not at once, and more slowly each time.
            Some(1013) => Duration::from_secs(1) + self.backoff.next_wait(),
            _ => lost.hint().unwrap_or_else(|| self.backoff.next_wait()),
        };
        let told = match (lost.code, reason.is_empty()) {
            (Some(1012), _) => "the gateway restarts".into(),
            (Some(code), true) => format!("closed with {code}"),
            _ => reason.clone(),
        };
        self.come_back(told, wait)
    }

    /// Tries again in a while, unless that would be too late.
    fn come_back(&mut self, reason: String, wait: Duration) -> Result<(), WatchError> {
        self.conversation.lost();
        let since = *self.cut_off_since.get_or_insert_with(Instant::now);
        let patience =
            if self.has_connected { self.patience.later } else { self.patience.at_first };
        let at = Instant::now() + wait;
        if at.duration_since(since) > patience {
            let url = self.gateway.address().to_string();
            return Err(WatchError::Unreachable { url, patience, reason });
        }
        self.pause = Some(at);
        let told = format!("{reason}; again in {:.1} s", wait.as_secs_f64());
        self.enter(match self.has_connected {
            true => State::Reconnecting(told),
            false => State::Connecting(told),
        });
        Ok(())
    }

    fn enter(&mut self, state: State) {
        if self.state.as_ref() != Some(&state) {
            self.signals.push_back(Signal::State(state.clone()));
            self.state = Some(state);
        }
    }
}
