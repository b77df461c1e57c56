//! Patterns of jobs, as claims and settings write them.
//!
//! What a token does with its patterns is in `grant`.

use std::fmt;
use std::str::FromStr;

use crate::event::{JobKey, MAX_NAME, NameError, check_name};

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// No slash.
    #[error("a pattern is kind/jobId, such as training/* or agent/team7-*")]
    Parts,
    /// A part that is no name, or has a star before its end.
    #[error("a part of a pattern {0}; a star stands for a whole part or its end")]
    Part(NameError),
}

/// Jobs by kind and id: `kind/jobId`, where a star stands for a whole part or its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    kind: Part,
    id: Part,
}

/// One side of the slash.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// This name alone.
    Name(Box<str>),
    /// Every name that begins so; with nothing before the star, every name.
    Beginning(Box<str>),
}

impl Pattern {
    /// Whether a job is among those that the pattern stands for.
    pub fn matches(&self, job: &JobKey) -> bool {
        self.kind.matches(job.kind()) && self.id.matches(job.id())
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        // A further slash is in no name, so that it is refused with its part.
        let (kind, id) = text.split_once('/').ok_or(PatternError::Parts)?;
        Ok(Self { kind: Part::parse(kind)?, id: Part::parse(id)? })
    }
}

impl Part {
    fn parse(text: &str) -> Result<Self, PatternError> {
        match text.strip_suffix('*') {
            Some("") => Ok(Self::Beginning("".into())),
            Some(beginning) => {
                check_name(beginning, MAX_NAME).map_err(PatternError::Part)?;
                Ok(Self::Beginning(beginning.into()))
            }
            None => {
                check_name(text, MAX_NAME).map_err(PatternError::Part)?;
                Ok(Self::Name(text.into()))
            }
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(exact) => name == &**exact,
            Self::Beginning(beginning) => name.starts_with(&**beginning),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind, self.id)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Beginning(beginning) => write!(formatter, "{beginning}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, kind: &str, id: &str) -> bool {
        let pattern: Pattern = pattern.parse().expect("a pattern");
        pattern.matches(&JobKey::new(kind, id).expect("a job"))
    }

    #[test]
    fn a_star_stands_for_a_whole_part_or_its_end() {
        assert!(matches("training/*", "training", "42"));
        assert!(!matches("training/*", "trainings", "42"));
        assert!(matches("agent/team7-*", "agent", "team7-a"));
        assert!(matches("agent/team7-*", "agent", "team7-"));
        assert!(!matches("agent/team7-*", "agent", "team70-a"));
        assert!(matches("*/*", "anything", "at-all"));
        assert!(matches("train*/7", "training", "7") && !matches("train*/7", "training", "77"));
        assert!(!matches("agent/a", "agent", "A"));
    }

    #[test]
    fn anything_else_is_no_pattern() {
        for text in [
            "", "/", "a", "a/", "/a", "*", "**/*", "a/**", "*a/b", "a/*b", "a/b*c", "a/b/c",
            "a.b/c", "a/>", "a b/c", "a/b ", " a/b", "a/b\n", "a\\b", "ä/b", "a/?", "a/[ab]",
            "a/\0",
        ] {
            assert!(text.parse::<Pattern>().is_err(), "{text:?}");
        }
        assert!(format!("a/{}", "x".repeat(129)).parse::<Pattern>().is_err());
        assert!(format!("a/{}*", "x".repeat(129)).parse::<Pattern>().is_err());
    }

    /// The meaning again, by another road: a part matches if it is equal up to the star.
    fn stands_for(pattern: &str, name: &str) -> bool {
        let mut letters = name.chars();
        for wanted in pattern.chars() {
            if wanted == '*' {
                return true;
            }
            if letters.next() != Some(wanted) {
                return false;
            }
        }
        letters.next().is_none()
    }

    proptest! {
        // Few letters, so that parts are often equal or nearly so.
        #[test]
        fn no_job_outside_a_pattern_is_ever_matched(
            kind_pattern in "[ab-]{0,3}[ab*]", id_pattern in "[ab-]{0,3}[ab*]",
            kind in "[ab-]{1,4}", id in "[ab-]{1,4}",
        ) {
            let pattern: Pattern = format!("{kind_pattern}/{id_pattern}").parse().expect("a pattern");
            let job = JobKey::new(&kind, &id).expect("a job");
            let expected = stands_for(&kind_pattern, &kind) && stands_for(&id_pattern, &id);
            prop_assert_eq!(pattern.matches(&job), expected);
        }

        #[test]
        fn a_pattern_is_written_as_it_was_read(text in "[A-Za-z0-9_-]{1,9}\\*?/([a-z]{1,9}|\\*)") {
            prop_assert_eq!(text.parse::<Pattern>().expect("a pattern").to_string(), text);
        }

        #[test]
        fn no_text_makes_the_parser_fail_otherwise_than_by_an_error(text in ".{0,40}") {
            if let Ok(pattern) = text.parse::<Pattern>() {
                prop_assert_eq!(pattern.to_string(), text);
            }
        }
    }
}
