//! What a process has used: processor time and memory, as the system counts them.

use std::fs;
use std::time::Duration;

use crate::cli::outcome::Failure;

/// What a process has used until now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Usage {
    /// Time on processors, in its own code and in the system's for it.
    pub(super) cpu: Duration,
    /// Bytes of its memory that are in the machine's.
    pub(super) memory: u64,
}

impl Usage {
    /// Looks at a process.
    ///
    /// # Errors
    /// A sentence, if there is no such process or this system does not tell.
    pub(super) fn of(pid: u32) -> Result<Self, Failure> {
        let read = |name: &str| {
            fs::read_to_string(format!("/proc/{pid}/{name}")).map_err(|error| {
                Failure::failed(format!(
                    "cannot read what process {pid} has used, from /proc/{pid}/{name}: {error}"
                ))
            })
        };
        let unreadable = || Failure::failed(format!("/proc/{pid} is not as Linux writes it"));
        let cpu = cpu(&read("stat")?).ok_or_else(unreadable)?.max(threads(pid));
        let memory = memory(&read("status")?).ok_or_else(unreadable)?;
        Ok(Self { cpu, memory })
    }

    /// Looks at ourselves.
    ///
    /// # Errors
    /// As for [`Usage::of`].
    pub(super) fn of_ourselves() -> Result<Self, Failure> {
        Self::of(std::process::id())
    }
}

/// User and system time; the name before them may hold anything, parentheses too.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_nanos(ticks * (1_000_000_000 / per_second.max(1))))
}

/// What the threads have used that there are now. The process's own time counts in hundredths of
/// a second, these in nanoseconds; but what a thread had used that ended is not in them.
fn threads(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let times = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(times.sum())
}

fn memory(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "12 (a) S b) S 1 12 12 0 -1 4194304 100 0 0 0 250 50 0 0 20 0";
        let ticks = rustix::param::clock_ticks_per_second();
        assert_eq!(cpu(stat), Some(Duration::from_secs(300) / u32::try_from(ticks).expect("few")));
    }

    #[test]
    fn a_process_that_computes_uses_time_and_memory() {
        let before = Usage::of_ourselves().expect("usage");
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(60) {
            std::hint::spin_loop();
        }
        let after = Usage::of_ourselves().expect("usage");
        assert!(after.cpu > before.cpu);
        assert!(after.memory > 1 << 20);
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let sentence = Usage::of(u32::MAX).expect_err("no such process").to_string();
        assert!(sentence.contains("4294967295"), "{sentence}");
    }
}
