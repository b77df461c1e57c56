//! A bound that the kernel puts on a process's memory, as a container has one: beyond it the
//! process is killed. Whoever may not set one says so as for the packet filter.

use std::path::{Path, PathBuf};

/// Where each version of control groups has its groups, and the file that holds the bound.
const VERSIONS: [(&str, &str); 2] =
    [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")];

/// A group with one process in it.
pub struct MemoryLimit {
    group: PathBuf,
}

impl MemoryLimit {
    /// Bounds what a process may have from now on, what the kernel holds in files for it included.
    /// `None`: the right is missing, and somebody has said that it is.
    pub fn of(process: u32, bytes: usize) -> Option<Self> {
        let attempts = VERSIONS.map(|(root, file)| {
            let group = Path::new(root).join(format!("jobwire-{process}"));
            std::fs::create_dir(&group)?;
            let limit = Self { group };
            std::fs::write(limit.group.join(file), bytes.to_string())?;
            std::fs::write(limit.group.join("cgroup.procs"), process.to_string())?;
            Ok::<_, std::io::Error>(limit)
        });
        let problems: Vec<String> = attempts
            .iter()
            .filter_map(|attempt| Some(attempt.as_ref().err()?.to_string()))
            .collect();
        let limit = attempts.into_iter().flatten().next();
        if limit.is_none() {
            let told = std::env::var("JOBWIRE_TESTS_WITHOUT_ROOT").is_ok_and(|value| value == "1");
            assert!(told, "no memory limit can be set: {problems:?}; be root");
            eprintln!("WITHOUT ROOT: no memory limit is set");
        }
        limit
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // Not while its process is there; then the next start of the machine ends it.
        let _ = std::fs::remove_dir(&self.group);
    }
}
