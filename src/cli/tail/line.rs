//! An event in one line for people.

use std::fmt::Write;

use serde_json::Value;
use time::UtcOffset;

use super::since::timestamp;
use crate::cli::palette::{Palette, printable};
use crate::cli::watching::Event;

/// Characters of what an event carries that are shown.
const LONGEST: usize = 300;
/// How deep objects within objects are shown.
const DEEPEST: usize = 4;
/// Columns of an event type; longer ones push the rest aside.
const TYPE_COLUMNS: usize = 20;

/// `2026-03-01 10:00:00  #1842  progress  iteration 7 · exploring · score 0.93`.
pub(super) fn line(event: &Event, palette: Palette) -> String {
    let body = event.body();
    let mut words = Vec::new();
    if let Some(iteration) = body.iteration {
        words.push(format!("iteration {}", iteration.get()));
    }
    let stage = body.stage.and_then(|stage| serde_json::from_str::<String>(stage.get()).ok());
    words.extend(stage);
    let data = body.data.and_then(|data| serde_json::from_str::<Value>(data.get()).ok());
    say(data.as_ref().unwrap_or(&Value::Null), &mut String::new(), &mut words, 0);
    let mut said = printable(&words.join(" · ")).into_owned();
    if let Some((at, _)) = said.char_indices().nth(LONGEST) {
        said.truncate(at);
        said.push('…');
    }
    let time = palette.faint(time_of(event));
    let id = palette.faint(format_args!("#{}", event.id));
    let kind = format!("{:<TYPE_COLUMNS$}", printable(&event.event_type));
    let kind = match event.event_type.as_str() {
        "job_failed" => palette.bad(kind),
        "job_cancelled" | "job_paused" => palette.striking(kind),
        "job_completed" => palette.good(kind),
        _ => palette.name(kind),
    };
    format!("{time}  {id}  {kind}  {said}").trim_end().to_owned()
}

fn time_of(event: &Event) -> String {
    let Some(at) = timestamp(&event.body()).and_then(|at| at.checked_to_offset(UtcOffset::UTC))
    else {
        return "-".repeat("2026-03-01 10:00:00".len());
    };
    let (date, (hour, minute, second)) = (at.date(), at.time().as_hms());
    format!("{date} {hour:02}:{minute:02}:{second:02}")
}

/// Texts that speak for themselves come first and without a name.
fn say(value: &Value, name: &mut String, words: &mut Vec<String>, depth: usize) {
    let Value::Object(fields) = value else { return };
    let spoken = ["message", "error"];
    if depth == 0 {
        let texts = spoken.iter().filter_map(|name| fields.get(*name)?.as_str());
        words.extend(texts.filter(|text| !text.is_empty()).map(str::to_owned));
    }
    for (field, value) in fields {
        if depth == 0 && spoken.contains(&field.as_str()) && value.is_string() {
            continue;
        }
        let before = name.len();
        let _ = write!(name, "{}{field}", if name.is_empty() { "" } else { "." });
        match value {
            Value::Object(_) if depth < DEEPEST => say(value, name, words, depth + 1),
            Value::Array(items) => words.push(format!("{name} [{}]", items.len())),
            Value::String(text) => words.push(format!("{name} {text}")),
            Value::Null | Value::Object(_) => {}
            value => words.push(format!("{name} {value}")),
        }
        name.truncate(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str) -> String {
        let event = Event {
            id: 7,
            event_type: "progress".into(),
            json: serde_json::value::RawValue::from_string(json.into()).expect("JSON"),
        };
        line(&event, Palette::none())
    }

    #[test]
    fn an_event_is_one_line() {
        let told = shown(
            r#"{"id":7,"timestamp":"2026-03-01T12:00:00.5+02:00","iteration":3,"stage":"a",
                "data":{"score":0.5,"message":"two\nlines","config":{"n":1},"tour":[1,2]}}"#,
        );
        assert_eq!(
            told,
            "2026-03-01 10:00:00  #7  progress              iteration 3 · a · two\u{fffd}lines · \
             config.n 1 · score 0.5 · tour [2]"
        );
    }

    #[test]
    fn an_event_of_any_size_and_shape_stays_a_line() {
        assert_eq!(shown("{}"), "-------------------  #7  progress");
        let long = format!("{{\"data\":{{\"text\":\"{}\"}}}}", "ä".repeat(10_000));
        assert!(shown(&long).chars().count() < 400 && shown(&long).ends_with('…'));
    }
}
