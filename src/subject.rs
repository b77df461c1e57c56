//! How subjects name jobs: a template, such as `jobs.{kind}.{job}.{type}`.
//!
//! Each token is a literal or one of `{kind}`, `{job}`, `{type}`. Without `{kind}` all jobs are
//! of one configured kind; without `{type}` an event's type is told in its payload.

use std::borrow::Cow;
use std::str::FromStr;

use crate::event::{JobKey, MAX_EVENT_TYPE, MAX_NAME, NameError, StoredBody, check_name};

/// The template of streams that were made for jobwire.
pub const DEFAULT_TEMPLATE: &str = "jobs.{kind}.{job}.{type}";

/// Why a text is no subject template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Empty, or with an empty token.
    #[error("{0:?} has an empty token")]
    EmptyToken(String),
    /// A token that is neither literal nor a place.
    #[error("{0:?} is neither a literal nor one of {{kind}}, {{job}} and {{type}}")]
    Token(String),
    /// A place that stands twice.
    #[error("{0} stands twice")]
    Twice(&'static str),
    /// No place for the job.
    #[error("it has no {{job}}")]
    NoJob,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(Box<str>),
    Kind,
    Job,
    Type,
}

/// See the module's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectTemplate {
    tokens: Vec<Token>,
    /// The kind of all jobs, where the template has no `{kind}`.
    kind: Box<str>,
}

/// A subject taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectParts<'a> {
    /// `kind.id`, as [`JobKey::as_str`] gives it.
    pub job: Cow<'a, str>,
    kind_length: usize,
    /// The event type, where the subject tells it.
    pub event_type: Option<&'a str>,
}

impl SubjectParts<'_> {
    /// The kind of the job.
    pub fn kind(&self) -> &str {
        self.job.get(..self.kind_length).unwrap_or_default()
    }

    /// The job as a key of its own.
    ///
    /// # Errors
    /// Never for parts that [`SubjectTemplate::split`] made.
    pub fn job_key(&self) -> Result<JobKey, NameError> {
        let (kind, id) = self.job.split_at(self.kind_length);
        JobKey::new(kind, id.trim_start_matches('.'))
    }
}

impl SubjectTemplate {
    /// Reads a template; `kind` is the kind of all jobs where it has no `{kind}`.
    ///
    /// # Errors
    /// [`TemplateError`], with the token that is wrong.
    pub fn parse(text: &str, kind: &str) -> Result<Self, TemplateError> {
        let tokens =
            text.split('.').map(|token| read_token(text, token)).collect::<Result<Vec<_>, _>>()?;
        for (place, name) in
            [(Token::Kind, "{kind}"), (Token::Job, "{job}"), (Token::Type, "{type}")]
        {
            if tokens.iter().filter(|token| **token == place).count() > 1 {
                return Err(TemplateError::Twice(name));
            }
        }
        if !tokens.contains(&Token::Job) {
            return Err(TemplateError::NoJob);
        }
        Ok(Self { tokens, kind: kind.into() })
    }

    /// The same template, whose configured kind is forgotten where it has a `{kind}`: two
    /// templates are then equal when they mean the same.
    pub fn without_spare_kind(mut self) -> Self {
        if self.tokens.contains(&Token::Kind) {
            self.kind = "".into();
        }
        self
    }

    /// Takes a subject apart; `None` if it is no event's.
    pub fn split<'a>(&self, subject: &'a str) -> Option<SubjectParts<'a>> {
        let (mut kind, mut job, mut event_type) = (None, None, None);
        let mut start = 0;
        let mut given = subject.split('.');
        for token in &self.tokens {
            let text = given.next()?;
            let place = (start, text);
            start += text.len() + 1;
            match token {
                Token::Literal(literal) if **literal == *text => {}
                Token::Literal(_) => return None,
                Token::Kind => kind = Some(place),
                Token::Job => job = Some(place),
                Token::Type => event_type = Some(text),
            }
        }
        if given.next().is_some() {
            return None;
        }
        let (at, id) = job?;
        check_name(id, MAX_NAME).ok()?;
        if let Some(event_type) = event_type {
            check_name(event_type, MAX_EVENT_TYPE).ok()?;
        }
        let (job, kind_length) = match kind {
            Some((from, kind)) => {
                check_name(kind, MAX_NAME).ok()?;
                // Side by side they are the key already.
                let together = (from + kind.len() + 1 == at)
                    .then(|| subject.get(from..at + id.len()))
                    .flatten();
                let job =
                    together.map_or_else(|| Cow::Owned(format!("{kind}.{id}")), Cow::Borrowed);
                (job, kind.len())
            }
            None => (Cow::Owned(format!("{}.{id}", self.kind)), self.kind.len()),
        };
        Some(SubjectParts { job, kind_length, event_type })
    }

    /// The type of an event: its subject's, or where that tells none, its payload's. Empty if
    /// neither tells one that can be a name: such a message is no event.
    pub fn event_type<'a>(&self, parts: &SubjectParts<'a>, payload: &[u8]) -> Cow<'a, str> {
        match parts.event_type {
            Some(event_type) => Cow::Borrowed(event_type),
            None => Cow::Owned(told_type(payload).unwrap_or_default()),
        }
    }

    /// The subject that an event of this job is published on.
    pub fn event_subject(&self, job: &JobKey, event_type: &str) -> String {
        self.fill(job, event_type)
    }

    /// The filter that matches every event of a job.
    pub fn job_filter(&self, job: &JobKey) -> String {
        // As the last token `>` matches what `*` does here, and is what users are granted.
        let wildcard = if self.tokens.last() == Some(&Token::Type) { ">" } else { "*" };
        self.fill(job, wildcard)
    }

    /// The filter that matches every event of a kind, or of any; `None` if the template cannot
    /// name a job of that kind.
    pub fn kind_filter(&self, kind: Option<&str>) -> Option<String> {
        let has_kind = self.tokens.contains(&Token::Kind);
        if !has_kind && kind.is_some_and(|kind| *kind != *self.kind) {
            return None;
        }
        let tokens: Vec<&str> = self
            .tokens
            .iter()
            .map(|token| match token {
                Token::Literal(literal) => literal,
                Token::Kind => kind.unwrap_or("*"),
                Token::Job | Token::Type => "*",
            })
            .collect();
        Some(tokens.join("."))
    }

    /// Whether the template can name this job at all.
    pub fn covers(&self, job: &JobKey) -> bool {
        self.tokens.contains(&Token::Kind) || *self.kind == *job.kind()
    }

    /// Whether events tell their type in the subject.
    pub fn has_type(&self) -> bool {
        self.tokens.contains(&Token::Type)
    }

    fn fill(&self, job: &JobKey, event_type: &str) -> String {
        let tokens: Vec<&str> = self
            .tokens
            .iter()
            .map(|token| match token {
                Token::Literal(literal) => literal,
                Token::Kind => job.kind(),
                Token::Job => job.id(),
                Token::Type => event_type,
            })
            .collect();
        tokens.join(".")
    }
}

impl Default for SubjectTemplate {
    /// [`DEFAULT_TEMPLATE`].
    fn default() -> Self {
        let tokens = vec![Token::Literal("jobs".into()), Token::Kind, Token::Job, Token::Type];
        Self { tokens, kind: "".into() }
    }
}

impl FromStr for SubjectTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Self::parse(text, "")
    }
}

fn read_token(template: &str, token: &str) -> Result<Token, TemplateError> {
    Ok(match token {
        "" => return Err(TemplateError::EmptyToken(template.to_owned())),
        "{kind}" => Token::Kind,
        "{job}" => Token::Job,
        "{type}" => Token::Type,
        literal if literal.contains(cannot_be_literal) => {
            return Err(TemplateError::Token(literal.to_owned()));
        }
        literal => Token::Literal(literal.into()),
    })
}

/// Wildcards, braces of a place that is none, and what ends a line of the protocol or a word in it.
fn cannot_be_literal(character: char) -> bool {
    matches!(character, '{' | '}' | '*' | '>')
        || character.is_whitespace()
        || character.is_control()
}

fn told_type(payload: &[u8]) -> Option<String> {
    let body = StoredBody::parse(payload).ok()?;
    let event_type: String = serde_json::from_str(body.event_type?.get()).ok()?;
    check_name(&event_type, MAX_EVENT_TYPE).ok()?;
    Some(event_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(kind: &str, id: &str) -> JobKey {
        JobKey::new(kind, id).unwrap()
    }

    #[test]
    fn the_default_template_is_what_its_text_says() {
        assert_eq!(DEFAULT_TEMPLATE.parse(), Ok(SubjectTemplate::default()));
    }

    #[test]
    fn a_subject_is_split_into_job_and_type_without_copying() {
        let template = SubjectTemplate::default();
        let parts = template.split("jobs.training.42.progress").expect("an event");
        assert!(matches!(parts.job, Cow::Borrowed("training.42")));
        assert_eq!(parts.event_type, Some("progress"));
        assert_eq!(parts.job_key(), Ok(job("training", "42")));
        assert_eq!(template.event_subject(&job("training", "42"), "log"), "jobs.training.42.log");
        assert_eq!(template.job_filter(&job("training", "42")), "jobs.training.42.>");
    }

    #[test]
    fn a_foreign_subject_is_not_an_event() {
        let template = SubjectTemplate::default();
        for subject in [
            "jobs",
            "jobs.a.b",
            "jobs.a.b.c.d",
            "work.a.b.c",
            "jobs.a..c",
            "jobs.a.b.",
            "jobs.a.b c.d",
        ] {
            assert_eq!(template.split(subject), None, "{subject}");
        }
    }

    #[test]
    fn a_template_of_somebody_elses_stream_is_understood() {
        let template = SubjectTemplate::parse("orders.{job}.evt.{type}", "orders").unwrap();
        let parts = template.split("orders.17.evt.shipped").expect("an event");
        assert_eq!((&*parts.job, parts.event_type), ("orders.17", Some("shipped")));
        assert_eq!(parts.job_key(), Ok(job("orders", "17")));
        assert_eq!(template.job_filter(&job("orders", "17")), "orders.17.evt.>");
        assert!(template.covers(&job("orders", "x")) && !template.covers(&job("other", "x")));
        assert_eq!(template.split("orders.17.cmd.ship"), None);
    }

    #[test]
    fn a_kind_is_filtered_by_its_token_or_by_the_stream_that_is_all_of_it() {
        let template = SubjectTemplate::default();
        assert_eq!(template.kind_filter(None).as_deref(), Some("jobs.*.*.*"));
        assert_eq!(template.kind_filter(Some("training")).as_deref(), Some("jobs.training.*.*"));
        let orders = SubjectTemplate::parse("orders.{job}.evt.{type}", "orders").unwrap();
        assert_eq!(orders.kind_filter(None).as_deref(), Some("orders.*.evt.*"));
        assert_eq!(orders.kind_filter(Some("orders")).as_deref(), Some("orders.*.evt.*"));
        assert_eq!(orders.kind_filter(Some("training")), None);
    }

    #[test]
    fn job_and_kind_may_stand_in_any_order() {
        let template: SubjectTemplate = "x.{job}.{type}.{kind}".parse().unwrap();
        let parts = template.split("x.7.done.k").expect("an event");
        assert_eq!((&*parts.job, parts.event_type), ("k.7", Some("done")));
        assert_eq!(template.job_filter(&job("k", "7")), "x.7.*.k");
    }

    #[test]
    fn a_template_without_a_type_takes_it_from_the_payload() {
        let template = SubjectTemplate::parse("tasks.{job}", "tasks").unwrap();
        let parts = template.split("tasks.9").expect("an event");
        assert_eq!(template.job_filter(&job("tasks", "9")), "tasks.9");
        for (payload, expected) in [
            (r#"{"eventType":"started"}"#, "started"),
            (r#"{"eventType":"a.b"}"#, ""),
            (r#"{"eventType":7}"#, ""),
            ("{}", ""),
            ("nonsense", ""),
        ] {
            assert_eq!(template.event_type(&parts, payload.as_bytes()), expected, "{payload}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused_with_the_reason() {
        let refused = |text: &str| SubjectTemplate::parse(text, "").expect_err(text);
        assert_eq!(refused("a..{job}"), TemplateError::EmptyToken("a..{job}".into()));
        assert_eq!(refused("a.{jobs}"), TemplateError::Token("{jobs}".into()));
        for token in ["*", ">", "a b", "a\r\n", "\0"] {
            assert_eq!(refused(&format!("a.{token}.{{job}}")), TemplateError::Token(token.into()));
        }
        assert_eq!(refused("{job}.{job}"), TemplateError::Twice("{job}"));
        assert_eq!(refused("jobs.{kind}.{type}"), TemplateError::NoJob);
    }
}
