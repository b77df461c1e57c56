//! Figures: medians, ratios, targets, as lines or as JSON.

use std::time::Duration;

use serde_json::{Value, json};

/// What a figure should be.
#[derive(Clone, Copy)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(most) => format!("at most {most}"),
            Self::AtLeast(least) => format!("at least {least}"),
        }
    }
}

/// Several measurements of one thing.
#[derive(Default, Clone)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// None yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a time, in milliseconds.
    pub fn add(&mut self, took: Duration) {
        self.0.push(took.as_secs_f64() * 1e3);
    }

    /// Times as rates: so many events, in events per second.
    pub fn rates(&self, events: usize) -> Self {
        Self(self.0.iter().map(|milliseconds| count(events) / milliseconds * 1e3).collect())
    }

    /// The middle one.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let place = (count(sorted.len().saturating_sub(1)) * part).round() as usize;
        sorted.get(place).copied().unwrap_or(f64::NAN)
    }
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "no count here needs more than 52 bits")]
pub fn count(number: usize) -> f64 {
    number as f64
}

/// Everything that was measured.
#[derive(Default)]
pub struct Figures {
    entries: Vec<Value>,
}

impl Figures {
    /// Several measurements, shown by their median.
    pub fn add(&mut self, part: &str, what: &str, unit: &str, samples: &Samples) {
        let [low, median, high] = [0.0, 0.5, 1.0].map(|part| samples.quantile(part));
        let number = samples.0.len();
        eprintln!("{part:24} {what:34} {median:12.2} {unit:9} ({low:.2} to {high:.2}, n={number})");
        self.entries.push(json!({
            "part": part, "what": what, "unit": unit, "median": median, "least": low,
            "most": high, "samples": samples.0,
        }));
    }

    /// One number, and what it should be.
    pub fn judge(&mut self, part: &str, what: &str, value: f64, target: Option<Target>) {
        let verdict = match target {
            Some(target) if target.is_met(value) => format!("{}: met", target.text()),
            Some(target) => format!("{}: MISSED", target.text()),
            None => String::new(),
        };
        eprintln!("{part:24} {what:34} {value:12.2} {verdict}");
        self.entries.push(json!({
            "part": part, "what": what, "value": value,
            "target": target.map(Target::text), "met": target.map(|target| target.is_met(value)),
        }));
    }

    /// All of it, for a program to read.
    pub fn to_json(&self) -> Value {
        json!({ "figures": self.entries })
    }
}
