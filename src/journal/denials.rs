//! What NATS does not permit our user.
//!
//! A server does not answer a request that it does not permit: it tells the connection, and whoever
//! asked waits for nothing. Here the two come together, so that an error says what is missing and
//! not that somebody was late.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

/// Denials that are remembered.
const REMEMBERED: usize = 16;

/// A subject that our user may not use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// May not be published to.
    #[error("the NATS user may not publish to {0}: it needs publish on {pattern}", pattern = pattern(.0))]
    Publish(String),
    /// May not be subscribed to; we subscribe to nothing but inboxes.
    #[error(
        "the NATS user may not subscribe to its inbox {0}: it needs subscribe on {pattern}, or \
         nats.inbox_prefix has to name the prefix that it has", pattern = inboxes(.0)
    )]
    Subscribe(String),
}

impl Denial {
    /// Reads the server's report; `None` if it is about something else.
    pub fn parse(report: &str) -> Option<Self> {
        let about = report.split_once("Permissions Violation for ")?.1;
        let quoted = |rest: &str| rest.split('"').nth(1).map(str::to_owned);
        if let Some(rest) = about.strip_prefix("Publish to ") {
            return quoted(rest).map(Self::Publish);
        }
        about.strip_prefix("Subscription to ").and_then(quoted).map(Self::Subscribe)
    }

    /// What our user would have to be granted.
    fn pattern(&self) -> String {
        match self {
            Self::Publish(subject) => pattern(subject),
            Self::Subscribe(subject) => inboxes(subject),
        }
    }

    fn is_about(&self, subject: &str) -> bool {
        match self {
            Self::Publish(_) if subject.is_empty() => true,
            Self::Publish(denied) => denied
                .strip_prefix(subject)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
            // Whatever is asked, its answer would come to an inbox.
            Self::Subscribe(_) => true,
        }
    }
}

/// A subject with the names that change left open: those of our consumers, and their filters.
fn pattern(subject: &str) -> String {
    match subject.split_once(".jobwire-") {
        Some((before, after)) if after.contains('.') => format!("{before}.*.>"),
        Some((before, _)) => format!("{before}.*"),
        None => subject.to_owned(),
    }
}

fn inboxes(inbox: &str) -> String {
    // What follows the prefix is one random token, or two.
    let mut tokens = inbox.trim_end_matches(".*").rsplitn(2, '.');
    tokens.next();
    tokens.next().map_or_else(|| inbox.to_owned(), |prefix| format!("{prefix}.>"))
}

/// What was denied on one connection. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Denials {
    known: Arc<watch::Sender<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    count: u64,
    /// The newest, with their numbers.
    newest: VecDeque<(u64, Denial)>,
    /// Holds for as long as the connection does: the library subscribes to it once.
    inbox: Option<Denial>,
}

impl Denials {
    /// Takes note of one; whether the like of it has not been reported lately.
    pub(super) fn add(&self, denial: &Denial) -> bool {
        let mut is_new = false;
        self.known.send_modify(|known| {
            let pattern = denial.pattern();
            is_new = known.newest.iter().all(|(_, earlier)| earlier.pattern() != pattern);
            known.count += 1;
            known.newest.push_back((known.count, denial.clone()));
            if known.newest.len() > REMEMBERED {
                known.newest.pop_front();
            }
            if matches!(denial, Denial::Subscribe(_)) {
                known.inbox = Some(denial.clone());
            }
        });
        is_new
    }

    /// A new connection begins without the inbox that was denied on the last one.
    pub(super) fn forget_inbox(&self) {
        self.known.send_modify(|known| known.inbox = None);
    }

    /// Waits until an inbox is denied.
    pub(super) async fn inbox(&self) {
        // Never an error: the sender is ours.
        let _ = self.known.subscribe().wait_for(|known| known.inbox.is_some()).await;
    }

    /// To be called before anything is sent.
    pub(super) fn begin_anything(&self) -> Attempt {
        self.begin("")
    }

    /// To be called before a message is sent to a subject, or to subjects that begin with it.
    pub fn begin(&self, subject: impl Into<String>) -> Attempt {
        let seen = self.known.borrow().count;
        Attempt { denials: self.clone(), subject: subject.into(), seen }
    }
}

/// Something that is sent, and may be denied.
#[derive(Debug, Clone)]
pub struct Attempt {
    denials: Denials,
    subject: String,
    seen: u64,
}

impl Attempt {
    /// Whether it was denied by now.
    pub fn denial(&self) -> Option<Denial> {
        self.find(&self.denials.known.borrow())
    }

    /// Waits for the answer, or for the denial if that comes first.
    ///
    /// # Errors
    /// The [`Denial`].
    pub async fn answered<T>(&self, answer: impl Future<Output = T>) -> Result<T, Denial> {
        let mut known = self.denials.known.subscribe();
        let denied = async {
            // Never an error: the sender is ours.
            let found = known.wait_for(|known| self.find(known).is_some()).await.ok();
            found.and_then(|known| self.find(&known))
        };
        tokio::select! {
            biased;
            answer = answer => Ok(answer),
            Some(denial) = denied => Err(denial),
        }
    }

    fn find(&self, known: &Known) -> Option<Denial> {
        let of_now = known.newest.iter().rev().take_while(|(number, _)| *number > self.seen);
        let mut denials = of_now.map(|(_, denial)| denial).chain(&known.inbox);
        denials.find(|denial| denial.is_about(&self.subject)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(action: &str, subject: &str) -> Denial {
        let report = format!("'Permissions Violation for {action} to \"{subject}\"'");
        Denial::parse(&report).expect("a denial")
    }

    #[test]
    fn a_denial_says_what_was_tried_and_what_to_grant() {
        for (action, subject, needed) in [
            ("Publish", "$JS.API.STREAM.INFO.JOBS", "publish on $JS.API.STREAM.INFO.JOBS"),
            (
                "Publish",
                "$JS.API.CONSUMER.CREATE.JOBS.jobwire-tail-0a.>",
                "publish on $JS.API.CONSUMER.CREATE.JOBS.*.>",
            ),
            (
                "Publish",
                "$JS.API.CONSUMER.MSG.NEXT.JOBS.jobwire-page-0a",
                "publish on $JS.API.CONSUMER.MSG.NEXT.JOBS.*",
            ),
            ("Subscription", "_INBOX.aB3.*", "subscribe on _INBOX.>"),
            ("Subscription", "_INBOX_gateway.aB3", "subscribe on _INBOX_gateway.>"),
        ] {
            let told = denial(action, subject).to_string();
            assert!(told.contains(&format!(" {subject}: ")), "{told}");
            assert!(told.contains(needed), "{told}");
        }
        assert_eq!(Denial::parse("'Maximum Payload Violation'"), None);
    }

    #[test]
    fn the_like_of_a_denial_is_new_once() {
        let denials = Denials::default();
        assert!(denials.add(&denial("Publish", "$JS.API.CONSUMER.DELETE.JOBS.jobwire-a-1")));
        assert!(!denials.add(&denial("Publish", "$JS.API.CONSUMER.DELETE.JOBS.jobwire-a-2")));
        assert!(denials.add(&denial("Publish", "$JS.API.DIRECT.GET.JOBS")));
    }

    #[tokio::test]
    async fn who_waits_is_told_of_the_own_denial_and_of_no_other() {
        let denials = Denials::default();
        let earlier = denial("Publish", "$JS.API.DIRECT.GET.JOBS");
        denials.add(&earlier);
        let attempt = denials.begin("$JS.API.DIRECT.GET.JOBS");
        let waiting = tokio::spawn({
            let attempt = attempt.clone();
            async move { attempt.answered(std::future::pending::<()>()).await }
        });
        tokio::task::yield_now().await;
        denials.add(&denial("Publish", "$JS.API.DIRECT.GET.JOBS_OF_OTHERS"));
        denials.add(&denial("Publish", "$JS.API.STREAM.INFO.JOBS"));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished() && attempt.denial().is_none());
        denials.add(&earlier);
        assert_eq!(waiting.await.expect("no panic"), Err(earlier));
    }

    #[tokio::test]
    async fn a_denied_inbox_denies_everything_until_there_is_another_connection() {
        let denials = Denials::default();
        denials.add(&denial("Subscription", "_INBOX.a.*"));
        let attempt = denials.begin("$JS.API.STREAM.INFO.JOBS");
        let answer = attempt.answered(std::future::pending::<()>()).await;
        assert!(matches!(answer, Err(Denial::Subscribe(_))), "{answer:?}");
        denials.forget_inbox();
        assert_eq!(denials.begin("$JS.API.STREAM.INFO.JOBS").denial(), None);
    }
}
