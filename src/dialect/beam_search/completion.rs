//! The `result` of a `complete` message. Clients show its best candidate without looking whether
//! there is one, so that every job that completes must have one.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::dialect::message::json_number;
use crate::fields::Fields;
use crate::progress::Progress;

/// What a best candidate says in words.
const TEXTS: [&str; 4] = ["whatPrompt", "howPrompt", "combinedPrompt", "imagePath"];

/// `data.result` as stored if it holds all that is promised. What it lacks is added: a best
/// candidate with empty texts, whose score is the job's `finalScore`, else 0; as `iterations` the
/// last one told; as `duration` the data's, else 0 (in milliseconds: unknown).
pub(super) fn result<'a>(data: &Fields<'a>, progress: &Progress) -> Cow<'a, str> {
    let raw = data.object("result");
    let stored = Fields::of(raw);
    let mut lacking = Vec::new();
    if let Cow::Owned(candidate) = best_candidate(&stored, data) {
        lacking.push(("bestCandidate", candidate));
    }
    if stored.number("iterations").is_none() {
        lacking.push(("iterations", json_number(progress.iteration_or_zero()).to_string()));
    }
    if stored.number("duration").is_none() {
        lacking.push(("duration", number_or_zero(data, "duration")));
    }
    with(raw, &stored, lacking)
}

fn best_candidate<'a>(result: &Fields<'a>, data: &Fields<'a>) -> Cow<'a, str> {
    let raw = result.object("bestCandidate");
    let stored = Fields::of(raw);
    let mut lacking: Vec<_> = (TEXTS.into_iter())
        .filter(|name| stored.string(name).is_none())
        .map(|name| (name, r#""""#.to_owned()))
        .collect();
    if stored.number("totalScore").is_none() {
        lacking.push(("totalScore", number_or_zero(data, "finalScore")));
    }
    with(raw, &stored, lacking)
}

fn number_or_zero(data: &Fields<'_>, name: &str) -> String {
    data.number(name).map_or("0", |number| number.raw.get()).to_owned()
}

/// An object as it is if it lacks nothing, else with what it lacks in place of equal names.
fn with<'a>(
    raw: Option<&'a RawValue>,
    stored: &Fields<'a>,
    lacking: Vec<(&'static str, String)>,
) -> Cow<'a, str> {
    if let (Some(raw), true) = (raw, lacking.is_empty()) {
        return Cow::Borrowed(raw.get());
    }
    let is_lacking = |name: &str| lacking.iter().any(|(lacks, _)| *lacks == name);
    let kept = (stored.each())
        .filter(|(name, _)| !is_lacking(name))
        .map(|(name, value)| format!("{}:{value}", serde_json::Value::from(name)));
    let added = lacking.iter().map(|(name, value)| format!("\"{name}\":{value}"));
    Cow::Owned(format!("{{{}}}", kept.chain(added).collect::<Vec<_>>().join(",")))
}
