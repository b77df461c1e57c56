//! Checks histories of fault runs: `cargo test --test checker -- FILE…`. That it catches what it
//! should is tested with the faults themselves.

mod history;
mod verdict;

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use history::Record;

/// Says what a recorded history proves: whether watchers got every acknowledged event, once and
/// in order.
///
/// Exit codes: 0 every promise was kept, 1 one was broken, 2 a history cannot be read.
#[derive(Parser)]
#[command(name = "checker")]
struct Arguments {
    /// Histories, one JSON record a line
    #[arg(required = true)]
    histories: Vec<PathBuf>,
    /// Print the verdicts as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut code = ExitCode::SUCCESS;
    for path in &arguments.histories {
        let records = match read(path) {
            Ok(records) => records,
            Err(error) => {
                eprintln!("{}: {error}", path.display());
                return ExitCode::from(2);
            }
        };
        let verdict = verdict::judge(&records);
        if arguments.json {
            println!("{}", serde_json::json!({ "history": path, "verdict": verdict }));
        } else {
            println!("{}: {verdict}", path.display());
        }
        if !verdict.is_clean() {
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
enum HistoryError {
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(#[from] std::io::Error),
    /// A line that is no record.
    #[error("line {line}: {error}")]
    Malformed {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        error: serde_json::Error,
    },
}

/// Reads a history from a file.
///
/// # Errors
/// [`HistoryError`], with the number of the line.
fn read(path: &Path) -> Result<Vec<Record>, HistoryError> {
    let file = std::io::BufReader::new(std::fs::File::open(path)?);
    let mut records = Vec::new();
    for (number, line) in file.lines().enumerate() {
        let record = serde_json::from_str(&line?)
            .map_err(|error| HistoryError::Malformed { line: number + 1, error })?;
        records.push(record);
    }
    Ok(records)
}
