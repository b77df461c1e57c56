//! Judging a stream: what of its configuration lets events get lost or the gateway fail.

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

/// Fewer consumers than this are warned of: tail and catch-up reads of a few pods together.
const FEW_CONSUMERS: i32 = 1_000;

/// A setting that does not fit, and in one sentence what is wrong and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsuitable {
    /// The setting's name in the server's JSON.
    pub setting: &'static str,
    /// For people.
    pub sentence: String,
}

impl std::fmt::Display for Unsuitable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.setting, self.sentence)
    }
}

/// What is to be said about a stream. Empty: it fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// With these the gateway cannot keep its promises; it does not start.
    pub refusals: Vec<Unsuitable>,
    /// With these it can, as long as nothing goes wrong.
    pub warnings: Vec<Unsuitable>,
}

/// Judges a stream's configuration.
pub fn verify(config: &Config) -> Verdict {
    Verdict { refusals: refusals(config), warnings: warnings(config) }
}

/// The sentences whose condition holds.
fn those(rules: &[(bool, &'static str, &str)]) -> Vec<Unsuitable> {
    rules
        .iter()
        .filter(|(broken, ..)| *broken)
        .map(|(_, setting, sentence)| Unsuitable { setting, sentence: (*sentence).to_owned() })
        .collect()
}

fn refusals(config: &Config) -> Vec<Unsuitable> {
    those(&[
        (
            config.retention == RetentionPolicy::WorkQueue,
            "retention",
            "a work queue deletes an event as soon as one reader has it; it has to be \"limits\"",
        ),
        (
            config.retention == RetentionPolicy::Interest,
            "retention",
            "with interest retention an event without a reader is not kept; it has to be \
             \"limits\"",
        ),
        (
            !config.allow_direct,
            "allow_direct",
            "a job's state and last event are read directly from any replica; it has to be true",
        ),
    ])
}

fn warnings(config: &Config) -> Vec<Unsuitable> {
    let mut warnings = loss_warnings(config);
    warnings.extend(those(&[
        (
            !covers_all_jobs(&config.subjects),
            "subjects",
            "events of some jobs are not stored; \"jobs.>\" should be among them",
        ),
        (
            config.max_consumers <= 0,
            "max_consumers",
            "without a positive number a server of 2.15 or later allows 1,000 readers; it should \
             be well above that, such as 100000",
        ),
        (
            (1..FEW_CONSUMERS).contains(&config.max_consumers),
            "max_consumers",
            "so few readers may be used up while many clients catch up; it should be well above \
             1,000, such as 100000",
        ),
    ]));
    warnings
}

/// A deletion inside a job leaves no trace, so a client could not be told of the gap.
fn loss_warnings(config: &Config) -> Vec<Unsuitable> {
    those(&[
        (
            !config.deny_delete,
            "deny_delete",
            "single events can be deleted, which nobody watching could see; it should be true",
        ),
        (
            !config.deny_purge,
            "deny_purge",
            "events can be purged, which nobody watching could see; it should be true",
        ),
        (
            config.discard == DiscardPolicy::New,
            "discard",
            "a full stream refuses new events instead of letting go of the oldest; it should be \
             \"old\"",
        ),
        (
            config.max_messages_per_subject > 0,
            "max_msgs_per_subject",
            "older events of a job are dropped one by one, which nobody watching could see; it \
             should be -1",
        ),
        (
            config.allow_message_ttl,
            "allow_msg_ttl",
            "a producer can let single events expire, which nobody watching could see; it should \
             be false",
        ),
        (
            config.allow_rollup,
            "allow_rollup_hdrs",
            "a producer can replace earlier events, which nobody watching could see; it should be \
             false",
        ),
        (
            config.storage == StorageType::Memory,
            "storage",
            "all events are lost when the server stops; it should be \"file\"",
        ),
    ])
}

fn covers_all_jobs(subjects: &[String]) -> bool {
    let jobs = ["jobs.>", "jobs.*.*.*", ">"];
    subjects.iter().any(|subject| jobs.contains(&subject.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suitable() -> Config {
        Config {
            name: "JOBS".into(),
            subjects: vec!["jobs.>".into()],
            allow_direct: true,
            deny_delete: true,
            deny_purge: true,
            max_consumers: 100_000,
            max_messages_per_subject: -1,
            num_replicas: 1,
            ..Config::default()
        }
    }

    fn settings(sentences: &[Unsuitable]) -> Vec<&'static str> {
        sentences.iter().map(|unsuitable| unsuitable.setting).collect()
    }

    #[test]
    fn a_suitable_stream_of_one_replica_is_silent() {
        assert_eq!(verify(&suitable()), Verdict::default());
    }

    #[test]
    fn a_stream_that_deletes_what_was_read_is_refused() {
        for retention in [RetentionPolicy::WorkQueue, RetentionPolicy::Interest] {
            let verdict = verify(&Config { retention, ..suitable() });
            assert_eq!(settings(&verdict.refusals), ["retention"]);
        }
    }

    #[test]
    fn a_stream_without_direct_reads_is_refused() {
        let verdict = verify(&Config { allow_direct: false, ..suitable() });
        assert_eq!(settings(&verdict.refusals), ["allow_direct"]);
    }

    #[test]
    fn every_way_to_lose_single_events_is_warned_of() {
        let cases = [
            (Config { deny_delete: false, ..suitable() }, "deny_delete"),
            (Config { deny_purge: false, ..suitable() }, "deny_purge"),
            (Config { discard: DiscardPolicy::New, ..suitable() }, "discard"),
            (Config { max_messages_per_subject: 10, ..suitable() }, "max_msgs_per_subject"),
            (Config { allow_message_ttl: true, ..suitable() }, "allow_msg_ttl"),
            (Config { allow_rollup: true, ..suitable() }, "allow_rollup_hdrs"),
            (Config { storage: StorageType::Memory, ..suitable() }, "storage"),
        ];
        for (config, setting) in cases {
            let verdict = verify(&config);
            assert_eq!(settings(&verdict.warnings), [setting]);
            assert!(verdict.refusals.is_empty());
        }
    }

    #[test]
    fn too_few_consumers_are_warned_of() {
        for max_consumers in [-1, 0, 1, 999] {
            let verdict = verify(&Config { max_consumers, ..suitable() });
            assert_eq!(settings(&verdict.warnings), ["max_consumers"], "{max_consumers}");
        }
        assert_eq!(verify(&Config { max_consumers: 1_000, ..suitable() }), Verdict::default());
    }

    #[test]
    fn subjects_have_to_cover_every_job() {
        for subject in ["jobs.training.>", "jobs", "work.>"] {
            let verdict = verify(&Config { subjects: vec![subject.into()], ..suitable() });
            assert_eq!(settings(&verdict.warnings), ["subjects"], "{subject}");
        }
        for subject in [">", "jobs.*.*.*"] {
            let config = Config { subjects: vec!["x".into(), subject.into()], ..suitable() };
            assert_eq!(verify(&config), Verdict::default(), "{subject}");
        }
    }
}
