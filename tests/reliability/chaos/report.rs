//! The table of long runs in `docs/reliability.md`: one row for each fault, the newest run's.

use std::path::Path;
use std::time::Duration;

use crate::verdict::Verdict;

const BEGIN: &str = "<!-- figures: written by `make chaos` -->\n";
const END: &str = "<!-- end of figures -->";
const HEAD: &str = "\
| fault | ran for | faults | acknowledged | delivered | connections ended | told losses | violations | lost by NATS | slowest end |
|---|---|---|---|---|---|---|---|---|---|
";

/// A run's figures.
pub struct Row {
    fault: String,
    cells: String,
}

impl Row {
    /// Those of a verdict.
    pub fn new(fault: &str, ran: Duration, faults: usize, verdict: &Verdict) -> Self {
        let violations: usize = verdict.violations.values().sum();
        let cells = format!(
            "{:.0} s | {faults} | {} | {} | {} | {} | {violations} | {} | {:.1} s |",
            ran.as_secs_f64(),
            verdict.acknowledged,
            verdict.delivered,
            verdict.closed,
            verdict.truncations,
            verdict.lost_by_nats,
            verdict.slowest as f64 / 1e6,
        );
        Self { fault: fault.replace('-', " "), cells }
    }

    /// Writes it to the report, in the place of an older one of the same fault.
    pub fn write(&self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md");
        let text = std::fs::read_to_string(&path).expect("docs/reliability.md");
        std::fs::write(&path, self.placed_in(&text)).expect("a written report");
    }

    fn placed_in(&self, text: &str) -> String {
        let (before, rest) = text.split_once(BEGIN).expect("a place for figures in the report");
        let (table, after) = rest.split_once(END).expect("an end of the figures in the report");
        let own = format!("| {} |", self.fault);
        let mut rows: Vec<String> = table.lines().skip(2).map(str::to_owned).collect();
        rows.retain(|row| !row.starts_with(&own));
        rows.push(format!("{own} {}", self.cells));
        rows.sort();
        format!("{before}{BEGIN}{HEAD}{}\n{END}{after}", rows.join("\n"))
    }
}

#[test]
fn a_row_takes_the_place_of_an_older_one() {
    let row =
        |faults| Row::new("gateway-killed", Duration::from_secs(60), faults, &Verdict::default());
    let other = Row::new("nats-killed", Duration::from_secs(60), 1, &Verdict::default());
    let empty = format!("above\n{BEGIN}{HEAD}{END}\nbelow\n");

    let once = other.placed_in(&row(1).placed_in(&empty));
    let twice = row(2).placed_in(&once);

    assert_eq!(
        once.replace("60 s | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0.0 s |\n| n", "_"),
        twice.replace("60 s | 2 | 0 | 0 | 0 | 0 | 0 | 0 | 0.0 s |\n| n", "_")
    );
    assert!(twice.starts_with("above\n") && twice.ends_with("\nbelow\n"), "{twice}");
    assert_eq!(twice.lines().filter(|line| line.starts_with("| gateway killed |")).count(), 1);
}
