//! The system's processes.

use std::path::PathBuf;

use rustix::process::Pid;

/// A process's children, as the system lists them; what is no longer there has ended.
pub fn children(parent: Pid) -> Vec<PathBuf> {
    let parent = format!("PPid:\t{}\n", parent.as_raw_nonzero());
    let processes = std::fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
    processes
        .map(|process| process.path())
        .filter(|path| {
            let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
            status.contains(&parent)
        })
        .collect()
}
