//! A line for each event, with places for what is in it: `{{id}} {{data.score}}`.

use std::str::FromStr;

use serde_json::Value;

use crate::cli::palette::printable;
use crate::cli::watching::Event;
use crate::event::JobKey;

/// What an event may have at its top.
const FIELDS: [&str; 8] =
    ["id", "eventType", "timestamp", "iteration", "stage", "data", "kind", "jobId"];

/// A text that is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    /// `{{` without `}}`.
    #[error("{{{{ without }}}} in {0:?}")]
    Open(String),
    /// Nothing that an event has.
    #[error("{{{{{0}}}}} is nothing that an event has: {fields}, or data.NAME", fields = FIELDS.join(", "))]
    Unknown(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// From the event down to what is meant.
    Place(Vec<String>),
}

/// A text with places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            let open = || TemplateError::Open(text.to_owned());
            let (name, behind) = after.split_once("}}").ok_or_else(open)?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(place(name.trim())?);
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }
}

fn place(name: &str) -> Result<Part, TemplateError> {
    let path: Vec<String> = name.split('.').map(str::to_owned).collect();
    let is_known = path.first().is_some_and(|first| FIELDS.contains(&first.as_str()));
    let is_whole = path.iter().all(|step| !step.is_empty());
    let is_deep = path.len() > 1 && path.first().is_some_and(|first| first != "data");
    if is_known && is_whole && !is_deep {
        return Ok(Part::Place(path));
    }
    Err(TemplateError::Unknown(name.to_owned()))
}

impl Template {
    /// The line of an event. What it does not have is left out, texts are without quotes.
    pub(super) fn line(&self, job: &JobKey, event: &Event) -> String {
        let mut fields: Value = serde_json::from_str(event.json.get()).unwrap_or_default();
        if let Some(fields) = fields.as_object_mut() {
            fields.insert("kind".into(), job.kind().into());
            fields.insert("jobId".into(), job.id().into());
        }
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Place(path) => match step_down(&fields, path) {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => printable(text).into_owned(),
                Some(value) => value.to_string(),
            },
        });
        parts.collect()
    }
}

fn step_down<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        value => value.get(step),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(template: &str) -> String {
        let json = r#"{"id":7,"eventType":"progress","data":{"score":0.5,"tags":["a","b"],"text":"a\u001bb"}}"#;
        let event = Event {
            id: 7,
            event_type: "progress".into(),
            json: serde_json::value::RawValue::from_string(json.into()).expect("JSON"),
        };
        let job = JobKey::new("training", "42").expect("a job");
        template.parse::<Template>().expect("a template").line(&job, &event)
    }

    #[test]
    fn places_are_filled_with_what_the_event_has() {
        assert_eq!(line("{{id}} {{ eventType }}: {{data.score}}!"), "7 progress: 0.5!");
        assert_eq!(
            line("{{kind}}/{{jobId}} {{data.tags.1}} {{data.tags}}"),
            r#"training/42 b ["a","b"]"#
        );
        assert_eq!(line("[{{stage}}{{data.nothing.there}}]"), "[]");
        assert_eq!(line("a } { b"), "a } { b");
    }

    #[test]
    fn a_text_of_the_event_gives_no_orders_to_the_terminal() {
        assert_eq!(line("{{data.text}}"), "a\u{fffd}b");
    }

    #[test]
    fn a_place_that_no_event_has_is_told_with_those_there_are() {
        for text in ["{{Id}}", "{{}}", "{{data.}}", "{{id.x}}", "{{ score }}"] {
            let told = text.parse::<Template>().expect_err(text).to_string();
            assert!(told.contains("eventType") && told.contains("data.NAME"), "{told}");
        }
        assert_eq!("{{id".parse::<Template>(), Err(TemplateError::Open("{{id".into())));
    }
}
