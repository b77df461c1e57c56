//! Colours for terminals: none elsewhere, and none with `NO_COLOR`.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};

/// Paints, or leaves things as they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Palette {
    is_on: bool,
}

impl Palette {
    /// For standard output or standard error.
    pub(super) fn of(stream: &impl IsTerminal) -> Self {
        let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { is_on: stream.is_terminal() && !is_unwanted }
    }

    /// Without colours.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { is_on: false }
    }

    /// What is good.
    pub(super) fn good(self, text: impl Display) -> String {
        self.paint(AnsiColor::Green.on_default(), text)
    }

    /// What is bad.
    pub(super) fn bad(self, text: impl Display) -> String {
        self.paint(AnsiColor::Red.on_default(), text)
    }

    /// What should be looked at.
    pub(super) fn striking(self, text: impl Display) -> String {
        self.paint(AnsiColor::Yellow.on_default(), text)
    }

    /// A name.
    pub(super) fn name(self, text: impl Display) -> String {
        self.paint(AnsiColor::Cyan.on_default(), text)
    }

    /// What stands beside.
    pub(super) fn faint(self, text: impl Display) -> String {
        self.paint(Style::new().dimmed(), text)
    }

    fn paint(self, style: Style, text: impl Display) -> String {
        if self.is_on { format!("{style}{text}{style:#}") } else { text.to_string() }
    }
}

/// A text from outside, fit for a terminal: what is no character to be seen could move the cursor
/// or give orders.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        text.replace(char::is_control, "\u{fffd}").into()
    } else {
        text.into()
    }
}
