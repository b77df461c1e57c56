//! How far a measurement is, in one line on standard error; nothing where that is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the line is drawn anew. Rarely, since it is drawn by the machine that is measured.
const DRAWS_PER_SECOND: u8 = 4;

/// The line. It goes when it is dropped.
#[derive(Debug)]
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// Of so many rounds.
    pub(super) fn new(rounds: usize) -> Self {
        let bar = ProgressBar::with_draw_target(
            Some(rounds as u64 * 1_000),
            ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND),
        );
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {elapsed} {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// A round begins.
    pub(super) fn begin(&self, round: usize, what: &str) {
        self.0.set_position(round as u64 * 1_000);
        self.0.set_message(what.to_owned());
    }

    /// So much of the round is over.
    pub(super) fn advance(&self, round: usize, passed: Duration, whole: Duration) {
        let part = passed.as_secs_f64() / whole.as_secs_f64().max(0.001);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
        let part = (part.clamp(0.0, 1.0) * 1_000.0) as u64;
        self.0.set_position(round as u64 * 1_000 + part);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
