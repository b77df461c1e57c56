//! How far the job is, in one line at the foot of the terminal; nothing where standard error is
//! none, or the job does not tell how long it is.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::watching::Event;
use crate::progress::Progress;

/// How often the line is drawn anew at most.
const DRAWS_PER_SECOND: u8 = 10;
/// Steps of the bar.
const STEPS: u64 = 1_000;

/// The line. It goes when it is dropped.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    progress: Progress,
    is_drawn: bool,
}

impl Bar {
    /// Not drawn before the job tells how far it is.
    pub(super) fn new(is_wanted: bool) -> Self {
        let target = match is_wanted {
            true => ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(STEPS), target);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent:>3} % {msg} {elapsed}")
        {
            bar.set_style(style);
        }
        Self { bar, progress: Progress::default(), is_drawn: false }
    }

    /// One more event.
    pub(super) fn advance(&mut self, event: &Event) {
        self.progress = self.progress.after(&event.event_type, &event.body());
    }

    /// Ids start again.
    pub(super) fn reset(&mut self) {
        self.progress = Progress::default();
    }

    /// Draws what the events told.
    pub(super) fn draw(&mut self) {
        let Some(fraction) = self.progress.fraction else { return };
        self.is_drawn = true;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
        self.bar.set_position((fraction.clamp(0.0, 1.0) * STEPS as f64) as u64);
        let Progress { iteration: Some(iteration), total: Some(total), .. } = self.progress else {
            return;
        };
        self.bar.set_message(format!("{iteration} of {total}"));
    }

    /// Does something with the terminal while the line is out of the way.
    pub(super) fn aside<T>(&self, act: impl FnOnce() -> T) -> T {
        if self.is_drawn { self.bar.suspend(act) } else { act() }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
