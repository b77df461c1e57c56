//! Writes down what happens, with the time, by one clock.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::history::{Record, What};

/// Where everybody writes.
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

struct Shared {
    began: Instant,
    records: Mutex<Vec<Record>>,
}

impl Recorder {
    /// An empty history that begins now.
    pub fn new() -> Self {
        Self(Arc::new(Shared { began: Instant::now(), records: Mutex::default() }))
    }

    /// Writes one record. The order of records is that of their times.
    pub fn note(&self, what: What) {
        let mut records = self.0.records.lock().expect("a history");
        let at = self.0.began.elapsed().as_micros();
        records.push(Record { at: u64::try_from(at).unwrap_or(u64::MAX), what });
    }

    /// Everything up to now; later records are nobody's.
    pub fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.0.records.lock().expect("a history"))
    }
}

/// Writes a history where the checker can read it, one record a line.
pub fn save(name: &str, history: &[Record]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{name}.jsonl"));
    let mut file = BufWriter::new(File::create(&path).expect("a file for the history"));
    for record in history {
        serde_json::to_writer(&mut file, record).expect("a written record");
        file.write_all(b"\n").expect("a written record");
    }
    file.flush().expect("a written history");
    path
}
