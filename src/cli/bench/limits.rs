//! How many files may be open: each watcher is one here and one at the server.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::cli::outcome::Failure;

/// Beside the watchers: logs, listeners, what the runtime needs.
const OTHERS: u64 = 200;

/// Raises the limit to what we may have, for us and the processes we start.
///
/// # Errors
/// [`Failure`] that names both numbers, if so many watchers do not fit.
pub(super) fn make_room(watchers: usize) -> Result<(), Failure> {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = watchers as u64 + OTHERS;
    if limit.current.is_some_and(|current| Some(current) != limit.maximum) {
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit).map_err(|error| {
            Failure::failed(format!("cannot raise the limit of open files: {error}"))
        })?;
    }
    match limit.current {
        Some(current) if current < wanted => Err(Failure::usage(format!(
            "{watchers} watchers need {wanted} open files and this process may have {current}; \
             take fewer watchers, or raise the limit (ulimit -Hn)"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_watchers_than_files_are_refused_with_both_numbers() {
        assert!(make_room(10).is_ok());
        if let Some(most) = getrlimit(Resource::Nofile).maximum {
            let watchers = usize::try_from(most).expect("a number");
            let sentence = make_room(watchers).expect_err("too many").to_string();
            assert!(sentence.contains(&most.to_string()), "{sentence}");
            assert!(sentence.contains(&(most + OTHERS).to_string()), "{sentence}");
        }
    }
}
