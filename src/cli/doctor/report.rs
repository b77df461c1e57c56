//! What was found, for people, for programs and for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;

use clap::ValueEnum;
use serde::Serialize;

use super::check::{Check, Verdict};
use crate::cli::palette::{Palette, printable};

/// How the report is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON object
    Json,
    /// Metrics, such as for the text files that a node exporter collects
    Prometheus,
}

/// All checks, and what was measured.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) checks: Vec<Check>,
    /// Seconds that the server's clock is ahead of ours.
    #[serde(rename = "clockSkewSeconds", skip_serializing_if = "Option::is_none")]
    pub(super) clock_skew: Option<f64>,
    /// Seconds from a publish to its receipt, the slowest one.
    #[serde(rename = "roundTripSeconds", skip_serializing_if = "Option::is_none")]
    pub(super) round_trip: Option<f64>,
}

impl Report {
    pub(super) fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }

    /// Whether nothing has failed.
    pub(super) fn is_good(&self) -> bool {
        self.count(Verdict::Failed) == 0
    }

    pub(super) fn text(&self, format: Format, palette: Palette) -> serde_json::Result<String> {
        match format {
            Format::Text => Ok(self.for_people(palette)),
            Format::Json => {
                let mut report = serde_json::to_value(self)?;
                if let Some(fields) = report.as_object_mut() {
                    fields.insert("ok".into(), self.is_good().into());
                }
                Ok(format!("{report:#}\n"))
            }
            Format::Prometheus => Ok(self.metrics()),
        }
    }

    fn for_people(&self, palette: Palette) -> String {
        let mut text = String::new();
        for check in &self.checks {
            let word = format!("{:<8}", check.verdict.as_str());
            let word = match check.verdict {
                Verdict::Passed => palette.good(word),
                Verdict::Failed => palette.bad(word),
                Verdict::Warning | Verdict::Skipped => palette.striking(word),
            };
            let about = match check.about.as_str() {
                "" => String::new(),
                about => format!("{about}: "),
            };
            let found = printable(&check.found);
            let _ = writeln!(text, "{word} {:<12} {about}{found}", check.check);
            if let Some(mend) = &check.mend {
                let _ = writeln!(text, "{:21} → {}", "", printable(mend));
            }
        }
        let counts = Verdict::ALL.map(|verdict| (self.count(verdict), verdict.as_str()));
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
        let _ = writeln!(text, "{}", counts.join(", "));
        text
    }

    fn metrics(&self) -> String {
        let mut counts = BTreeMap::<(&str, &str), usize>::new();
        for check in &self.checks {
            // Each check has all of its series, so that one that vanishes is not taken for good.
            for verdict in Verdict::ALL {
                *counts.entry((check.check, verdict.as_str())).or_default() +=
                    usize::from(verdict == check.verdict);
            }
        }
        let mut text = family("checks", "Checks by what was found.");
        for ((check, verdict), count) in counts {
            let _ = writeln!(
                text,
                "jobwire_doctor_checks{{check=\"{check}\",verdict=\"{verdict}\"}} {count}"
            );
        }
        let measured = [
            ("clock_skew_seconds", "How far the clock of NATS is ahead.", self.clock_skew),
            ("round_trip_seconds", "From a publish to its receipt, the slowest.", self.round_trip),
        ];
        for (name, help, value) in measured {
            if let Some(value) = value {
                text += &family(name, help);
                let _ = writeln!(text, "jobwire_doctor_{name} {value}");
            }
        }
        text += &family("success", "1 if no check failed.");
        let _ = writeln!(text, "jobwire_doctor_success {}", u8::from(self.is_good()));
        text
    }
}

fn family(name: &str, help: &str) -> String {
    format!("# HELP jobwire_doctor_{name} {help}\n# TYPE jobwire_doctor_{name} gauge\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let denied = Check::failed("permissions", "denied", "grant it").about("$JS.API.X");
        Report {
            checks: vec![Check::passed("nats", "there"), denied],
            clock_skew: Some(0.25),
            round_trip: None,
        }
    }

    #[test]
    fn people_read_what_is_wrong_and_what_mends_it() {
        let text = report().text(Format::Text, Palette::none()).expect("a text");
        assert_eq!(
            text,
            "passed   nats         there\n\
             failed   permissions  $JS.API.X: denied\n                      → grant it\n\
             1 passed, 1 failed\n"
        );
    }

    #[test]
    fn metrics_have_every_verdict_of_every_check() {
        let text = report().text(Format::Prometheus, Palette::none()).expect("a text");
        for line in [
            "# TYPE jobwire_doctor_checks gauge",
            "jobwire_doctor_checks{check=\"nats\",verdict=\"failed\"} 0",
            "jobwire_doctor_checks{check=\"permissions\",verdict=\"failed\"} 1",
            "jobwire_doctor_clock_skew_seconds 0.25",
            "jobwire_doctor_success 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains("round_trip"));
    }

    #[test]
    fn programs_read_whether_all_is_well() {
        let text = report().text(Format::Json, Palette::none()).expect("a text");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["ok"], false);
        assert_eq!(value["checks"][1]["mend"], "grant it");
    }
}
