//! The line in which a person sees a demo advance. Only on a terminal, and only one line.

use std::io::{IsTerminal, Write, stderr, stdin};

use super::berlin52::OPTIMUM;
use super::search::Search;
use crate::event::JobKey;

/// Writes over itself on standard error; silent where that is not a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    on_terminal: bool,
    unfinished: bool,
}

impl Progress {
    /// Says what begins, and how it can be controlled; nothing, now and later, if `quiet`.
    pub(super) fn begin(job: &JobKey, quiet: bool) -> Self {
        if quiet {
            return Self { on_terminal: false, unfinished: false };
        }
        eprintln!("job {} of kind {}: 52 places, shortest tour {OPTIMUM}", job.id(), job.kind());
        if stdin().is_terminal() {
            eprintln!("pause, resume or cancel with p, r or c and Enter; Ctrl-C cancels");
        }
        Self { on_terminal: stderr().is_terminal(), unfinished: false }
    }

    /// Replaces the line.
    pub(super) fn show(&mut self, search: &Search, stage: &str) {
        if self.on_terminal {
            let (step, steps) = (search.step_number(), search.steps());
            let (length, best) = (search.current().length, search.best().length);
            eprint!("\r\x1b[K{stage:<10} {step:>5}/{steps}  tour {length:>5}  best {best:>5}");
            let _ = stderr().flush();
            self.unfinished = true;
        }
    }

    /// Leaves the line as it is and goes to the next.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.unfinished) {
            eprintln!();
        }
    }
}
