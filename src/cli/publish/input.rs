//! Events as they are given: by flags, or one in each line of standard input.

use std::io;

use bytes::Bytes;
use clap::Args;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Stdin};

use crate::cli::outcome::Failure;
use crate::event::MAX_EVENT;
use crate::http::batch::{BatchError, CheckedEvent, one};

/// One event, from flags.
#[derive(Args, Debug)]
#[command(next_help_heading = "One event")]
pub(super) struct EventFlags {
    /// What happened, such as job_started, progress, job_completed
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// What belongs to it: a JSON object
    #[arg(long, value_name = "JSON", requires = "event_type")]
    data: Option<String>,
    /// Iteration, round or epoch
    #[arg(long, value_name = "NUMBER", requires = "event_type")]
    iteration: Option<String>,
    /// Stage
    #[arg(long, value_name = "TEXT", requires = "event_type")]
    stage: Option<String>,
    /// When it happened, ISO 8601 [default: when it is stored]
    #[arg(long, value_name = "TIME", requires = "event_type")]
    timestamp: Option<String>,
}

impl EventFlags {
    /// The event, if there is one.
    ///
    /// # Errors
    /// Wrong usage.
    pub(super) fn event(&self) -> Result<Option<CheckedEvent>, Failure> {
        let Some(event_type) = &self.event_type else { return Ok(None) };
        let mut fields = Map::new();
        fields.insert("eventType".into(), event_type.as_str().into());
        for (name, value) in [("stage", &self.stage), ("timestamp", &self.timestamp)] {
            fields.extend(value.as_ref().map(|value| (name.to_owned(), value.as_str().into())));
        }
        let mut text = Value::Object(fields).to_string();
        // As they are written: a number may have more digits than we could hold.
        for (name, json) in [("iteration", &self.iteration), ("data", &self.data)] {
            let Some(json) = json else { continue };
            let raw: &RawValue = serde_json::from_str(json).map_err(|error| {
                Failure::usage(format!("--{name}: {json:?} is not JSON: {error}"))
            })?;
            text.pop();
            text.push_str(&format!(",\"{name}\":{}}}", raw.get()));
        }
        let events = one(Bytes::from(text)).map_err(|error| Failure::usage(error.to_string()))?;
        Ok(events.into_iter().next())
    }
}

/// Lines with events; those without anything are passed over.
pub(super) struct Lines {
    input: BufReader<Stdin>,
    number: u64,
}

impl Lines {
    pub(super) fn of_standard_input() -> Self {
        Self { input: BufReader::new(tokio::io::stdin()), number: 0 }
    }

    /// The next event and its line.
    ///
    /// # Errors
    /// What is wrong with it, or with standard input.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<(u64, CheckedEvent)>> {
        loop {
            let Some(line) = self.line().await? else { return Ok(None) };
            match one(Bytes::from(line)) {
                Ok(events) => match events.into_iter().next() {
                    Some(event) => return Ok(Some((self.number, event))),
                    None => continue,
                },
                Err(BatchError::Empty) => continue,
                Err(error) => {
                    let number = self.number;
                    return Err(Failure::failed(format!("line {number}: {error}")).into());
                }
            }
        }
    }

    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let most = MAX_EVENT as u64 + 2;
        self.number += 1;
        if (&mut self.input).take(most).read_until(b'\n', &mut line).await? == 0 {
            return Ok(None);
        }
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(data: Option<&str>, iteration: Option<&str>) -> EventFlags {
        EventFlags {
            event_type: Some("progress".into()),
            data: data.map(str::to_owned),
            iteration: iteration.map(str::to_owned),
            stage: Some("a \"b\"".into()),
            timestamp: None,
        }
    }

    #[test]
    fn flags_become_an_event_with_numbers_as_they_are_written() {
        let event = flags(Some(r#"{"x":1e400}"#), Some("1.50")).event().expect("an event");
        let payload = event.expect("an event").payload;
        assert_eq!(
            payload,
            r#"{"eventType":"progress","stage":"a \"b\"","iteration":1.50,"data":{"x":1e400}}"#
        );
    }

    #[test]
    fn a_flag_of_a_wrong_type_says_what_would_be_right() {
        for (data, iteration, told) in [
            (Some("{"), None, "--data"),
            (Some("[]"), None, "data has to be an object"),
            (None, Some("four"), "--iteration"),
            (None, Some("\"4\""), "iteration has to be a number"),
            (Some("{}}"), None, "--data"),
        ] {
            let error = flags(data, iteration).event().expect_err("wrong");
            assert!(error.to_string().contains(told), "{error}");
        }
    }
}
