//! What a person can tell a running demo: a line on standard input, or Ctrl-C.

use std::io::BufRead;

use tokio::sync::mpsc;

/// What a job can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    /// Take no further step until resumed.
    Pause,
    /// Go on.
    Resume,
    /// End here.
    Cancel,
}

impl Control {
    fn parse(line: &str) -> Option<Self> {
        match line.trim() {
            "pause" | "p" => Some(Self::Pause),
            "resume" | "r" => Some(Self::Resume),
            "cancel" | "c" => Some(Self::Cancel),
            _ => None,
        }
    }
}

/// Reads controls from standard input until it ends; the end of the input is no control.
///
/// A thread of its own, which the end of the process ends: tokio's standard input would hold the
/// process back until another line comes.
pub(super) fn read_lines(controls: mpsc::Sender<Control>) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if let Some(control) = Control::parse(&line) {
                if controls.blocking_send(control).is_err() {
                    return;
                }
            } else if !line.trim().is_empty() {
                eprintln!("{:?} is not one of pause, resume, cancel", line.trim());
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_their_first_letters_are_controls() {
        for (line, control) in [
            ("pause\n", Control::Pause),
            (" p ", Control::Pause),
            ("resume", Control::Resume),
            ("r", Control::Resume),
            ("cancel", Control::Cancel),
            ("c", Control::Cancel),
        ] {
            assert_eq!(Control::parse(line), Some(control), "{line:?}");
        }
        assert_eq!(Control::parse(""), None);
        assert_eq!(Control::parse("stop"), None);
    }
}
