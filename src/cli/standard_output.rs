//! Data for standard output. Whoever reads it may go at any time, which is no failure of ours.

use std::io::{self, ErrorKind, Write};

/// Whether somebody still reads standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// Somebody does.
    Listening,
    /// Nobody does any more, such as after `| head`.
    Gone,
}

/// Writes all of it.
///
/// # Errors
/// What the system says, but for a pipe that nobody reads any more.
pub(super) fn write(bytes: &[u8]) -> io::Result<Reader> {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Ok(()) => Ok(Reader::Listening),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error),
    }
}
