//! What was measured, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::figures::{Compared, Figure, Measured, Summary};
use crate::cli::outcome::Failure;

/// The whole of a measurement.
#[derive(Debug)]
pub(super) struct Report {
    /// The subcommand.
    pub(super) command: &'static str,
    /// What was asked for.
    pub(super) load: Value,
    /// The first one is compared with the others.
    pub(super) contenders: Vec<Measured>,
    /// What has to be known to read the figures, a sentence each.
    pub(super) notes: Vec<String>,
}

impl Report {
    /// Prints it.
    ///
    /// # Errors
    /// [`Failure`] if events were lost, doubled or out of order.
    pub(super) fn tell(&self, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            println!("{:#}", self.to_json());
        } else {
            print!("{}", self.table());
        }
        let faults: Vec<_> = self.contenders.iter().filter_map(Measured::fault).collect();
        if faults.is_empty() {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "not every event came once and in order: {}",
            faults.join("; ")
        ))
        .into())
    }

    fn to_json(&self) -> Value {
        let contenders: Vec<_> = self.contenders.iter().map(Measured::to_json).collect();
        json!({
            "command": self.command,
            "load": self.load,
            "machine": machine(),
            "notes": self.notes,
            "contenders": contenders,
            "ratios": self.ratios_to_json(),
            "clean": self.contenders.iter().all(|measured| measured.fault().is_none()),
        })
    }

    fn ratios_to_json(&self) -> Value {
        let Some((first, others)) = self.contenders.split_first() else { return json!([]) };
        let ratios = others.iter().flat_map(|other| {
            first.figures().into_iter().filter_map(|figure| {
                let ratio = ratio(first, other, figure)?;
                let mut value = ratio.to_json();
                if let Some(fields) = value.as_object_mut() {
                    fields.insert("of".into(), json!(first.name));
                    fields.insert("against".into(), json!(other.name));
                    fields.insert("figure".into(), json!(figure.key));
                }
                Some(value)
            })
        });
        Value::Array(ratios.collect())
    }

    fn table(&self) -> String {
        let mut rows = vec![self.heading()];
        rows.extend(self.figures().into_iter().map(|figure| self.row(figure)));
        let mut text = aligned(&rows);
        if let Some((first, others)) = self.contenders.split_first() {
            let ratios = ratio_rows(first, others);
            // The first row is the heading.
            if ratios.len() > 1 {
                let _ = writeln!(text, "\n{}, divided by the other in each round", first.name);
                text += &aligned(&ratios);
            }
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        text
    }

    fn heading(&self) -> Vec<String> {
        let names = self.contenders.iter().map(|measured| measured.name.clone());
        std::iter::once(String::new()).chain(names).collect()
    }

    fn figures(&self) -> Vec<&'static Figure> {
        let mut figures: Vec<&'static Figure> = Vec::new();
        for figure in self.contenders.iter().flat_map(Measured::figures) {
            if !figures.contains(&figure) {
                figures.push(figure);
            }
        }
        figures
    }

    fn row(&self, figure: &'static Figure) -> Vec<String> {
        let cells = self.contenders.iter().map(|measured| cell(measured, figure));
        std::iter::once(title(figure)).chain(cells).collect()
    }
}

fn title(figure: &Figure) -> String {
    if figure.unit.is_empty() {
        figure.title.to_owned()
    } else {
        format!("{}, {}", figure.title, figure.unit)
    }
}

fn cell(measured: &Measured, figure: &Figure) -> String {
    let digits = figure.digits;
    match (measured.summary(figure), figure.compared) {
        (None, _) => "–".into(),
        (Some(summary), Compared::MustBeZero) => format!("{:.0}", summary.sum),
        (Some(summary), Compared::MustBeOne) => format!("{:.digits$}", summary.least),
        (Some(summary), _) => spread(summary, digits),
    }
}

fn spread(summary: Summary, digits: usize) -> String {
    let Summary { median, least, most, .. } = summary;
    if least.total_cmp(&most).is_eq() {
        return format!("{median:.digits$}");
    }
    format!("{median:.digits$} ({least:.digits$} to {most:.digits$})")
}

fn ratio(first: &Measured, other: &Measured, figure: &Figure) -> Option<Summary> {
    (figure.compared == Compared::Ratio).then(|| first.ratio(other, figure)).flatten()
}

fn ratio_rows(first: &Measured, others: &[Measured]) -> Vec<Vec<String>> {
    let names = others.iter().map(|other| other.name.clone());
    let mut rows = vec![std::iter::once(String::new()).chain(names).collect::<Vec<_>>()];
    for figure in first.figures() {
        let cells: Vec<_> = others.iter().map(|other| ratio(first, other, figure)).collect();
        if cells.iter().any(Option::is_some) {
            let cells = cells
                .into_iter()
                .map(|cell| cell.map_or_else(|| "–".into(), |summary| spread(summary, 2)));
            rows.push(std::iter::once(figure.title.to_owned()).chain(cells).collect());
        }
    }
    rows
}

/// Columns under each other; the first to the left, the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (place, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match place {
                0 => write!(line, "{cell:<width$}"),
                _ => write!(line, "   {cell:>width$}"),
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn machine() -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    json!({ "cores": cores, "system": std::env::consts::OS, "architecture": std::env::consts::ARCH })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::figures::{DELIVERY_RATIO, LOST, P50, Round};

    fn report(lost: f64) -> Report {
        let contender = |name: &str, p50: f64, lost: f64| {
            let mut round = Round::default();
            round.add(&DELIVERY_RATIO, 1.0);
            round.add(&LOST, lost);
            round.add(&P50, p50);
            Measured { name: name.into(), rounds: vec![round] }
        };
        Report {
            command: "fan-out",
            load: json!({}),
            contenders: vec![contender("gateway", 2.0, lost), contender("floor", 1.0, 0.0)],
            notes: vec!["a note".into()],
        }
    }

    #[test]
    fn a_table_has_every_figure_of_every_contender_and_the_ratios() {
        let mut report = report(0.0);
        let rounds = [1.0, 3.0].map(|p50| {
            let mut round = Round::default();
            round.add(&P50, p50);
            round
        });
        if let Some(gateway) = report.contenders.first_mut() {
            gateway.rounds.splice(.., rounds);
        }
        let table = report.table();
        for part in
            ["gateway", "floor", "latency p50, ms", "2.000 (1.000 to 3.000)", "  1.00", "a note"]
        {
            assert!(table.contains(part), "{part} is missing in:\n{table}");
        }
    }

    #[test]
    fn json_says_whether_all_came_once_and_in_order() {
        let value = report(0.0).to_json();
        assert_eq!(value["clean"], true);
        assert_eq!(value["ratios"][0]["median"], 2.0);
        assert_eq!(value["contenders"][0]["summary"]["latencyP50Ms"]["median"], 2.0);
        assert_eq!(report(1.0).to_json()["clean"], false);
    }

    #[test]
    fn a_loss_is_a_failure_that_names_who_lost() {
        assert!(report(0.0).tell(true).is_ok());
        let sentence = report(2.0).tell(true).expect_err("lost").to_string();
        assert!(sentence.contains("gateway: 2 lost"), "{sentence}");
    }
}
