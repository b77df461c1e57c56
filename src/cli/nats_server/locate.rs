//! Finding a usable nats-server: named, installed, cached, or fetched, in this order.

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::fetch;

/// The oldest server whose direct reads and consumers are what the gateway needs.
const OLDEST: (u32, u32) = (2, 11);

/// Why there is no server to start.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// `NATS_SERVER_BIN` names something that cannot be used; nothing else was tried.
    #[error("NATS_SERVER_BIN: {path}: {reason}")]
    Unusable {
        /// What the variable names.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing usable was found, and nothing could be fetched.
    #[error(
        "no nats-server of version {}.{} or later was found.\n{}To mend it: install nats-server \
         (for example with your package manager, or as a release of nats-io/nats-server) so that \
         it is in PATH, or set NATS_SERVER_BIN to one, or NATS_URL to a server that runs.",
        OLDEST.0, OLDEST.1, list(.0)
    )]
    NotFound(
        /// What was tried, and why it did not do.
        Vec<String>,
    ),
}

fn list(tried: &[String]) -> String {
    tried.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "  {line}");
        text
    })
}

/// Where to look.
#[derive(Debug, Clone)]
pub struct Locator {
    /// The one that has to be used, `NATS_SERVER_BIN`.
    pub named: Option<PathBuf>,
    /// Directories of executables, as in `PATH`.
    pub path: Option<OsString>,
    /// Directory for what was fetched; `None`: nothing is kept, so nothing is fetched.
    pub cache: Option<PathBuf>,
    /// The Python that fetches.
    pub python: OsString,
}

/// Finds a server as the environment says; may fetch one, which takes some seconds once.
///
/// # Errors
/// [`LocateError`], with what to install.
pub fn locate() -> Result<PathBuf, LocateError> {
    Locator::from_environment().locate()
}

impl Locator {
    /// `NATS_SERVER_BIN`, `PATH`, and a cache in `JOBWIRE_CACHE_DIR`, or `jobwire` below
    /// `XDG_CACHE_HOME` or `~/.cache`.
    pub fn from_environment() -> Self {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        let cache = set("JOBWIRE_CACHE_DIR").map(PathBuf::from).or_else(|| {
            let home = || set("HOME").map(|home| PathBuf::from(home).join(".cache"));
            let caches = set("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
            caches.map(|caches| caches.join("jobwire"))
        });
        Self {
            named: set("NATS_SERVER_BIN").map(PathBuf::from),
            path: set("PATH"),
            cache,
            python: "python3".into(),
        }
    }

    /// Finds a server; blocks while one is fetched.
    ///
    /// # Errors
    /// [`LocateError`], with what to install.
    pub fn locate(&self) -> Result<PathBuf, LocateError> {
        if let Some(path) = &self.named {
            return match usable(path) {
                Ok(()) => Ok(path.clone()),
                Err(reason) => Err(LocateError::Unusable { path: path.clone(), reason }),
            };
        }
        let mut tried = Vec::new();
        self.installed(&mut tried)
            .or_else(|| self.cached_or_fetched(&mut tried))
            .ok_or(LocateError::NotFound(tried))
    }

    fn installed(&self, tried: &mut Vec<String>) -> Option<PathBuf> {
        let directories = self.path.iter().flat_map(env::split_paths);
        let mut candidates = directories
            .map(|directory| directory.join("nats-server"))
            .filter(|path| path.is_file());
        let found = candidates.find(|path| match usable(path) {
            Ok(()) => true,
            Err(reason) => {
                tried.push(format!("{}: {reason}", path.display()));
                false
            }
        });
        if found.is_none() && tried.is_empty() {
            tried.push("PATH: holds no nats-server".into());
        }
        found
    }

    fn cached_or_fetched(&self, tried: &mut Vec<String>) -> Option<PathBuf> {
        let Some(cache) = &self.cache else {
            tried.push("cache: neither JOBWIRE_CACHE_DIR nor HOME is set".into());
            return None;
        };
        let in_cache = fetch::cached(cache);
        let found =
            if in_cache.exists() { Ok(in_cache) } else { fetch::fetch(cache, &self.python) };
        match found.and_then(|path| usable(&path).map(|()| path)) {
            Ok(path) => Some(path),
            Err(reason) => {
                tried.push(format!("cache {}: {reason}", cache.display()));
                None
            }
        }
    }
}

/// Whether a file runs and is a server that is new enough.
fn usable(path: &Path) -> Result<(), String> {
    let output = Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot be run: {error}"))?;
    let answer = String::from_utf8_lossy(&output.stdout);
    let Some(version) = version(&answer) else {
        return Err("does not answer --version as a nats-server does".into());
    };
    if version < OLDEST {
        let (major, minor) = version;
        return Err(format!(
            "is version {major}.{minor}, which is older than {}.{}",
            OLDEST.0, OLDEST.1
        ));
    }
    Ok(())
}

/// Major and minor from `nats-server: v2.15.1`.
fn version(answer: &str) -> Option<(u32, u32)> {
    let mut numbers = answer.trim().strip_prefix("nats-server: v")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn server(directory: &Path, version: &str) -> PathBuf {
        let path = directory.join("nats-server");
        fs::write(&path, format!("#!/bin/sh\necho 'nats-server: v{version}'\n")).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
        path
    }

    /// Looks nowhere and cannot fetch.
    fn nowhere() -> Locator {
        Locator { named: None, path: None, cache: None, python: "/nowhere/python".into() }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("nats-server: v2.15.1\n"), Some((2, 15)));
        assert!(version("nats-server: v2.9.10") < Some(OLDEST));
        assert_eq!(version("something else"), None);
    }

    #[test]
    fn a_named_server_is_used_or_nothing_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let good = server(directory.path(), "2.11.0");
        let locator = Locator { named: Some(good.clone()), ..nowhere() };
        assert_eq!(locator.locate().expect("a server"), good);

        let path = Some(directory.path().into());
        let locator = Locator { named: Some("/nowhere/server".into()), path, ..nowhere() };
        let error = locator.locate().expect_err("unusable");
        assert!(matches!(error, LocateError::Unusable { .. }), "{error:?}");
        assert!(error.to_string().contains("/nowhere/server"), "{error}");
    }

    #[test]
    fn an_old_server_in_path_is_passed_over_for_a_newer_one() {
        let (old, new) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
        server(old.path(), "2.9.10");
        let newer = server(new.path(), "2.12.3");
        let path = env::join_paths([old.path(), new.path()]).expect("a path");
        let locator = Locator { path: Some(path), ..nowhere() };
        assert_eq!(locator.locate().expect("a server"), newer);
    }

    #[test]
    fn where_nothing_is_found_the_error_says_what_was_tried_and_what_to_do() {
        let directory = tempfile::tempdir().expect("a directory");
        server(directory.path(), "2.9.10");
        let locator = Locator {
            path: Some(directory.path().into()),
            cache: Some(directory.path().join("cache")),
            ..nowhere()
        };
        let text = locator.locate().expect_err("nothing usable").to_string();
        for part in ["version 2.9", "/nowhere/python", "install nats-server", "NATS_SERVER_BIN"] {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
    }

    #[test]
    fn what_was_fetched_before_is_used_without_python() {
        let cache = tempfile::tempdir().expect("a directory");
        let cached = fetch::cached(cache.path());
        fs::create_dir_all(cached.parent().expect("a parent")).expect("a directory");
        server(cached.parent().expect("a parent"), "2.15.1");
        let locator = Locator { cache: Some(cache.path().into()), ..nowhere() };
        assert_eq!(locator.locate().expect("a server"), cached);
    }
}
