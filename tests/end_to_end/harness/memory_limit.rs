//! A bound that the kernel puts on a process's memory, as a container has one: beyond it the
//! process is killed. Whoever may not set one says so as for the packet filter.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::is_without_root;

/// Where each version of control groups has its groups, and the file that holds the bound.
const VERSIONS: [(&str, &str); 2] =
    [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")];

/// The file that names a group's processes.
const MEMBERS: &str = "cgroup.procs";

/// A group with one process in it.
pub struct MemoryLimit {
    group: PathBuf,
    process: u32,
}

impl MemoryLimit {
    /// Bounds what a process may have from now on, what the kernel holds in files for it included.
    /// `None`: the right is missing, and somebody has said that it is.
    pub fn of(process: u32, bytes: usize) -> Option<Self> {
        let mut problems = Vec::new();
        for (root, file) in VERSIONS {
            match Self::in_group(root, file, process, bytes) {
                Ok(limit) => return Some(limit),
                Err(problem) => problems.push(format!("{root}: {problem}")),
            }
        }
        let told = is_without_root("no memory limit is set");
        assert!(told, "no memory limit can be set: {problems:?}; be root");
        None
    }

    fn in_group(root: &str, file: &str, process: u32, bytes: usize) -> io::Result<Self> {
        let group = Path::new(root).join(format!("jobwire-{process}"));
        let limit = Self { group, process };
        std::fs::create_dir(&limit.group)?;
        set(&limit.group, file, bytes)?;
        set(&limit.group, MEMBERS, process)?;
        Ok(limit)
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // A group with a process in it stays; one that has ended is in none.
        if let Some(root) = self.group.parent() {
            let _ = set(root, MEMBERS, self.process);
        }
        if let Err(problem) = std::fs::remove_dir(&self.group) {
            eprintln!("{} stays: {problem}", self.group.display());
        }
    }
}

/// Only the kernel makes these files: where they are missing this is no control group.
fn set(group: &Path, file: &str, value: impl ToString) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(group.join(file))?;
    file.write_all(value.to_string().as_bytes())
}
