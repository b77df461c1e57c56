//! What the holder of a token may do, and until when.
//!
//! How a token is checked is in `verifier`; how a pattern matches is in `pattern`.

use std::time::SystemTime;

use super::pattern::Pattern;
use crate::event::JobKey;

/// What a valid token allows. It never changes; a new token is a new grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whom the token is about (`sub`, RFC 7519 section 4.1.2), if it says so.
    pub subject: Option<Box<str>>,
    /// When the token expires (`exp`), to the second.
    pub expires_at: SystemTime,
    /// `expires_at` and the leeway for clocks that differ: a session may last until then.
    pub valid_until: SystemTime,
    /// The jobs that may be watched.
    pub watch: Vec<Pattern>,
    /// The jobs that events may be published to.
    pub publish: Vec<Pattern>,
}

impl Grant {
    /// Whether a job may be watched.
    pub fn may_watch(&self, job: &JobKey) -> bool {
        self.watch.iter().any(|pattern| pattern.matches(job))
    }

    /// Whether events may be published to a job.
    pub fn may_publish(&self, job: &JobKey) -> bool {
        self.publish.iter().any(|pattern| pattern.matches(job))
    }

    /// Whether it allows nothing at all.
    pub fn is_empty(&self) -> bool {
        self.watch.is_empty() && self.publish.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grant(watch: &[String], publish: &[String]) -> Grant {
        let parse = |texts: &[String]| {
            texts.iter().map(|text| text.parse().expect("a pattern")).collect::<Vec<Pattern>>()
        };
        Grant {
            subject: None,
            expires_at: SystemTime::UNIX_EPOCH,
            valid_until: SystemTime::UNIX_EPOCH,
            watch: parse(watch),
            publish: parse(publish),
        }
    }

    #[test]
    fn a_grant_without_patterns_allows_nothing() {
        let job = JobKey::new("a", "b").expect("a job");
        let nothing = grant(&[], &[]);
        assert!(nothing.is_empty() && !nothing.may_watch(&job) && !nothing.may_publish(&job));
    }

    #[test]
    fn watching_and_publishing_are_granted_apart() {
        let job = JobKey::new("a", "b").expect("a job");
        let watching = grant(&["a/b".into()], &[]);
        assert!(watching.may_watch(&job) && !watching.may_publish(&job) && !watching.is_empty());
        let publishing = grant(&[], &["a/b".into()]);
        assert!(!publishing.may_watch(&job) && publishing.may_publish(&job));
    }

    proptest! {
        #[test]
        fn no_job_outside_the_patterns_is_ever_granted(
            watch in prop::collection::vec("[ab]{1,2}\\*?/[ab]{0,2}\\*", 0..4),
            publish in prop::collection::vec("[ab]{1,2}/[ab]{1,3}", 0..4),
            kind in "[ab]{1,3}", id in "[ab]{1,4}",
        ) {
            let job = JobKey::new(&kind, &id).expect("a job");
            let grant = grant(&watch, &publish);
            let covers = |part: &str, name: &str| match part.split_once('*') {
                Some((beginning, _)) => name.len() >= beginning.len()
                    && name.bytes().zip(beginning.bytes()).all(|(one, other)| one == other),
                None => part == name,
            };
            let inside = |patterns: &[String]| patterns.iter().any(|pattern| {
                let (kinds, ids) = pattern.split_once('/').expect("two parts");
                covers(kinds, &kind) && covers(ids, &id)
            });
            prop_assert_eq!(grant.may_watch(&job), inside(&watch));
            prop_assert_eq!(grant.may_publish(&job), inside(&publish));
        }
    }
}
