//! One check: what was looked at, what was found, and what mends it.

use serde::Serialize;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// All is well.
    Passed,
    /// It works, as long as nothing goes wrong.
    Warning,
    /// It does not work.
    Failed,
    /// It could not be looked at.
    Skipped,
}

impl Verdict {
    pub(super) const ALL: [Self; 4] = [Self::Passed, Self::Warning, Self::Failed, Self::Skipped];

    /// The word for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// One of a fixed few.
    pub(super) check: &'static str,
    /// The stream, the subject or whatever else it is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) about: String,
    /// How it ended.
    pub(super) verdict: Verdict,
    /// What was found, for people.
    pub(super) found: String,
    /// What to do, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
}

impl Check {
    pub(super) fn passed(check: &'static str, found: impl Into<String>) -> Self {
        let found = found.into();
        Self { check, about: String::new(), verdict: Verdict::Passed, found, mend: None }
    }

    pub(super) fn warning(
        check: &'static str,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Warning, mend: Some(mend.into()), ..Self::passed(check, found) }
    }

    pub(super) fn failed(
        check: &'static str,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Failed, mend: Some(mend.into()), ..Self::passed(check, found) }
    }

    pub(super) fn skipped(
        check: &'static str,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Skipped, mend: Some(mend.into()), ..Self::passed(check, found) }
    }

    /// The same, about something.
    pub(super) fn about(mut self, about: impl Into<String>) -> Self {
        self.about = about.into();
        self
    }
}
