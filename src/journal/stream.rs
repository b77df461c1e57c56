//! The stream's definition: as a file, applied to a server, and judged.
//!
//! The definition is the server's own JSON and is sent as it is, so that a setting which this
//! program has never heard of can be used too. Nothing here deletes anything.

mod verdict;

use async_nats::jetstream;
use serde_json::{Map, Value};

pub use verdict::{Unsuitable, Verdict, verify};

/// Why a text is no stream definition.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// Not JSON.
    #[error("the stream definition is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// JSON, but not an object.
    #[error("the stream definition is not a JSON object")]
    NotAnObject,
}

/// Why a definition could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// NATS did not answer.
    #[error("NATS did not answer about stream {stream}: {reason}")]
    Unreachable {
        /// The stream's name.
        stream: String,
        /// What went wrong.
        reason: String,
    },
    /// The server refused to create or to change the stream.
    #[error("the server refused stream {stream}: {reason}")]
    Refused {
        /// The stream's name.
        stream: String,
        /// What the server said.
        reason: String,
    },
}

/// A stream's configuration in the server's JSON.
///
/// The one that is bundled, `nats/stream.json`, keeps what was acknowledged until a limit of the
/// whole stream (7 days, 8 GiB) takes its oldest messages, and lets nobody delete inside it: a
/// gap inside a job cannot be seen from outside. Its duplicate window is 2 minutes, four times
/// as long as a publisher tries; it costs the server memory per message, so longer is not free.
/// A message may have 520 KiB: the largest event and 8 KiB of headers. `max_consumers` lifts the
/// 1,000 that a server of 2.15 allows by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamDefinition {
    settings: Map<String, Value>,
}

impl StreamDefinition {
    /// The definition this program was built with.
    ///
    /// # Errors
    /// [`DefinitionError`]: never, unless the file in the repository is broken; a test reads it.
    pub fn bundled() -> Result<Self, DefinitionError> {
        Self::from_json(include_str!("../../nats/stream.json"))
    }

    /// A definition in the JSON that the server and its command line use.
    ///
    /// # Errors
    /// [`DefinitionError`] if it is not a JSON object. Its settings are checked by the server.
    pub fn from_json(text: &str) -> Result<Self, DefinitionError> {
        match serde_json::from_str(text)? {
            Value::Object(settings) => Ok(Self { settings }),
            _ => Err(DefinitionError::NotAnObject),
        }
    }

    fn named(&self, stream: &str, replicas: Option<usize>) -> Map<String, Value> {
        let mut settings = self.settings.clone();
        settings.insert("name".into(), stream.into());
        if let Some(replicas) = replicas {
            settings.insert("num_replicas".into(), replicas.into());
        }
        settings
    }
}

/// A setting that differs between the stream and its definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The setting's name in the server's JSON.
    pub setting: String,
    /// What the stream had.
    pub from: Value,
    /// What the definition says.
    pub to: Value,
}

impl std::fmt::Display for Change {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {} -> {}", self.setting, self.from, self.to)
    }
}

/// What applying a definition did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// There was no stream of this name; now there is.
    Created,
    /// There was one.
    Existing {
        /// What was changed.
        changed: Vec<Change>,
        /// What differs and cannot be changed on an existing stream; left as it was.
        kept: Vec<Change>,
    },
}

/// Makes the stream be as defined: creates it, or changes what may be changed of an existing
/// one. Settings that the definition does not name stay as they are. `replicas` replaces the
/// definition's number of replicas.
///
/// # Errors
/// [`ApplyError`]; nothing is half done, a stream is changed in one step.
pub async fn apply(
    context: &jetstream::Context,
    definition: &StreamDefinition,
    stream: &str,
    replicas: Option<usize>,
) -> Result<Applied, ApplyError> {
    let wanted = definition.named(stream, replicas);
    let Some(present) = configuration(context, stream).await? else {
        request(context, "CREATE", stream, &wanted).await?;
        return Ok(Applied::Created);
    };
    let (kept, changed): (Vec<_>, Vec<_>) =
        differences(&present, &wanted).into_iter().partition(cannot_change);
    if !changed.is_empty() {
        let updates = changed.iter().map(|change| (change.setting.clone(), change.to.clone()));
        let mut settings = present;
        settings.extend(updates);
        request(context, "UPDATE", stream, &settings).await?;
    }
    Ok(Applied::Existing { changed, kept })
}

/// The configuration of an existing stream; `None` if there is none of this name.
async fn configuration(
    context: &jetstream::Context,
    stream: &str,
) -> Result<Option<Map<String, Value>>, ApplyError> {
    match ask(context, &format!("STREAM.INFO.{stream}"), stream, &Map::new()).await {
        Ok(mut answer) => match answer.remove("config") {
            Some(Value::Object(settings)) => Ok(Some(settings)),
            _ => Err(refused(stream, "its answer has no configuration")),
        },
        Err(Answer::NotFound) => Ok(None),
        Err(Answer::Error(error)) => Err(error),
    }
}

async fn request(
    context: &jetstream::Context,
    operation: &str,
    stream: &str,
    settings: &Map<String, Value>,
) -> Result<(), ApplyError> {
    let subject = format!("STREAM.{operation}.{stream}");
    match ask(context, &subject, stream, settings).await {
        Ok(_) => Ok(()),
        Err(Answer::NotFound) => Err(refused(stream, "stream not found")),
        Err(Answer::Error(error)) => Err(error),
    }
}

enum Answer {
    NotFound,
    Error(ApplyError),
}

async fn ask(
    context: &jetstream::Context,
    subject: &str,
    stream: &str,
    body: &Map<String, Value>,
) -> Result<Map<String, Value>, Answer> {
    let answer: Map<String, Value> =
        context.request(subject.to_owned(), body).await.map_err(|error| {
            let reason = error.to_string();
            Answer::Error(ApplyError::Unreachable { stream: stream.to_owned(), reason })
        })?;
    let Some(error) = answer.get("error") else { return Ok(answer) };
    if error.get("err_code").and_then(Value::as_u64) == Some(STREAM_NOT_FOUND) {
        return Err(Answer::NotFound);
    }
    let text = error.get("description").and_then(Value::as_str).unwrap_or("without a reason");
    Err(Answer::Error(refused(stream, text)))
}

/// The server's code for "stream not found".
const STREAM_NOT_FOUND: u64 = 10059;

fn refused(stream: &str, reason: &str) -> ApplyError {
    ApplyError::Refused { stream: stream.to_owned(), reason: reason.to_owned() }
}

/// What the definition says otherwise. Only what it names counts: the server adds defaults.
fn differences(present: &Map<String, Value>, wanted: &Map<String, Value>) -> Vec<Change> {
    wanted
        .iter()
        .filter_map(|(setting, to)| {
            let from = present.get(setting).cloned().unwrap_or(Value::Null);
            (!same(&from, to)).then(|| Change { setting: setting.clone(), from, to: to.clone() })
        })
        .collect()
}

/// The server leaves out what is false, empty or zero, and adds metadata of its own.
fn same(present: &Value, wanted: &Value) -> bool {
    match (present, wanted) {
        (Value::Null, wanted) => is_default(wanted),
        (Value::Object(present), Value::Object(wanted)) => differences(present, wanted).is_empty(),
        _ => present == wanted,
    }
}

fn is_default(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_i64() == Some(0),
        Value::String(value) => value.is_empty(),
        Value::Array(value) => value.is_empty(),
        Value::Object(value) => value.values().all(is_default),
    }
}

/// What the server does not change once a stream exists.
fn cannot_change(change: &Change) -> bool {
    match change.setting.as_str() {
        "storage" | "max_consumers" | "first_seq" | "mirror" | "persist_mode" => true,
        "retention" => change.from == "workqueue" || change.to == "workqueue",
        // These can be set, and never be taken back.
        "deny_delete" | "deny_purge" | "sealed" | "allow_msg_ttl" => change.from == true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MAX_EVENT;

    fn settings(text: &str) -> Map<String, Value> {
        StreamDefinition::from_json(text).expect("a definition").settings
    }

    fn changed(present: &str, wanted: &str) -> Vec<String> {
        let changes = differences(&settings(present), &settings(wanted));
        changes.iter().map(ToString::to_string).collect()
    }

    fn bundled() -> jetstream::stream::Config {
        let definition = StreamDefinition::bundled().expect("the bundled definition");
        serde_json::from_value(Value::Object(definition.settings)).expect("a configuration")
    }

    #[test]
    fn the_bundled_definition_passes_its_own_judgement() {
        assert_eq!(verify(&bundled()), Verdict::default());
    }

    #[test]
    fn the_bundled_definition_takes_the_largest_event_with_headers() {
        let largest = usize::try_from(bundled().max_message_size).expect("a positive size");
        assert!(largest >= MAX_EVENT + 8 * 1024);
    }

    #[test]
    fn the_duplicate_window_outlasts_a_publisher() {
        assert!(bundled().duplicate_window >= crate::journal::publish::DEFAULT_PATIENCE * 4);
    }

    #[test]
    fn a_definition_has_to_be_a_json_object() {
        assert!(matches!(StreamDefinition::from_json("{"), Err(DefinitionError::NotJson(_))));
        assert!(matches!(StreamDefinition::from_json("[]"), Err(DefinitionError::NotAnObject)));
    }

    #[test]
    fn a_difference_names_the_setting_and_both_values() {
        assert_eq!(changed(r#"{"max_age":1}"#, r#"{"max_age":2}"#), ["max_age: 1 -> 2"]);
        assert_eq!(changed("{}", r#"{"deny_purge":true}"#), ["deny_purge: null -> true"]);
    }

    #[test]
    fn what_the_server_leaves_out_or_adds_is_no_difference() {
        assert!(changed("{}", r#"{"sealed":false,"max_age":0,"description":""}"#).is_empty());
        assert!(changed(r#"{"max_age":0,"compression":"none"}"#, "{}").is_empty());
        let (present, wanted) =
            (r#"{"metadata":{"_nats.level":"1","team":"a"}}"#, r#"{"metadata":{"team":"a"}}"#);
        assert!(changed(present, wanted).is_empty());
    }

    #[test]
    fn name_and_replicas_given_on_the_command_line_win() {
        let definition = StreamDefinition::bundled().expect("the bundled definition");
        let named = definition.named("OTHER", Some(3));
        assert_eq!(named.get("name"), Some(&Value::from("OTHER")));
        assert_eq!(named.get("num_replicas"), Some(&Value::from(3)));
    }
}
