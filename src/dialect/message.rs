//! One JSON object as one WebSocket text frame, written field by field.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::frame::TextFrame;
use super::optimization::Naming;
use crate::event::JobKey;
use crate::fields::Number;

/// Bytes in most messages. A frame keeps what it once reserved for as long as it is shared, so that
/// a longer one grows: the payload says little about how much of it a dialect passes on.
const USUAL: usize = 256;

/// A message under construction. Field names are ours and hold nothing to escape.
pub(super) struct Message {
    frame: TextFrame,
}

impl Message {
    /// A message without fields.
    pub(super) fn begin() -> Self {
        let mut frame = TextFrame::with_capacity(USUAL);
        frame.push("{");
        Self { frame }
    }

    fn name(&mut self, name: &str) {
        if self.frame.len() > 1 {
            self.frame.push(",");
        }
        self.frame.push_plain_string(name);
        self.frame.push(":");
    }

    /// A field that is JSON already.
    pub(super) fn json(&mut self, name: &str, json: &str) {
        self.name(name);
        self.frame.push(json);
    }

    /// A field as its producer wrote it.
    pub(super) fn raw(&mut self, name: &str, raw: &RawValue) {
        self.json(name, raw.get());
    }

    /// A string of any content.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.json(name, &serde_json::Value::from(text).to_string());
    }

    /// A string that holds nothing to escape.
    pub(super) fn word(&mut self, name: &str, word: &str) {
        self.name(name);
        self.frame.push_plain_string(word);
    }

    /// A producer's string, else our own words.
    pub(super) fn text_or(&mut self, name: &str, told: Option<&RawValue>, otherwise: &str) {
        match told {
            Some(told) => self.raw(name, told),
            None => self.text(name, otherwise),
        }
    }

    /// A number, in the event's own spelling where the event told just that number.
    #[expect(clippy::float_cmp, reason = "equal only if nothing was done to it")]
    pub(super) fn number(&mut self, name: &str, told: Option<Number<'_>>, value: f64) {
        match told {
            Some(told) if told.value == value => self.raw(name, told.raw),
            _ => self.json(name, &json_number(value).to_string()),
        }
    }

    /// A job's id as a string and, where it is not the route's, its kind.
    pub(super) fn job(&mut self, name: &str, job: &JobKey, naming: Naming) {
        self.word(name, job.id());
        self.kind(job, naming);
    }

    /// A job's kind, where it is not the route's.
    pub(super) fn kind(&mut self, job: &JobKey, naming: Naming) {
        if naming.with_kind {
            self.word("kind", job.kind());
        }
    }

    /// The whole frame.
    pub(super) fn finish(mut self) -> Bytes {
        self.frame.push("}");
        self.frame.finish().0
    }
}

/// A number as JSON: whole ones without a point, since typed clients read counts as integers.
/// What is not finite, which nothing here produces, is 0.
pub(super) fn json_number(value: f64) -> serde_json::Number {
    /// Above this not every whole number is one of 64-bit floating point.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
        return (value as i64).into();
    }
    serde_json::Number::from_f64(value).unwrap_or_else(|| 0.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_have_no_point_and_others_keep_theirs() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (5.0, "5"),
            (0.25, "0.25"),
            (1e300, "1e+300"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(json_number(value).to_string(), expected);
        }
    }
}
