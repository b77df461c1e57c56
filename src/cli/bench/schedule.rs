//! When which event is due. Fixed before the first one is sent, so that a server that holds up the
//! load cannot hide how late it is.

use super::stamp::Stamp;

/// Events of several jobs in turn, at even distances.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    /// When the first event is due.
    pub(super) start: u64,
    /// Nanoseconds between two events of any job.
    pub(super) interval: f64,
    /// Jobs that take turns.
    pub(super) jobs: u32,
    /// Number of the first event of each job.
    pub(super) first: u32,
    /// Events of each job.
    pub(super) each: u32,
}

impl Schedule {
    /// Everything is due now.
    pub(super) fn at_once(jobs: u32, first: u32, each: u32) -> Self {
        Self { start: super::clock::now(), interval: 0.0, jobs, first, each }
    }

    /// Events of all jobs.
    pub(super) fn events(&self) -> u64 {
        u64::from(self.jobs) * u64::from(self.each)
    }

    /// The number after the last event of each job.
    pub(super) fn end(&self) -> u32 {
        self.first + self.each
    }

    /// The event at this place.
    pub(super) fn stamp(&self, place: u64) -> Stamp {
        let jobs = u64::from(self.jobs);
        let number = u32::try_from(place / jobs).unwrap_or(u32::MAX);
        let job = u32::try_from(place % jobs).unwrap_or_default();
        Stamp { due: self.due(place), job, number: self.first.saturating_add(number) }
    }

    /// When the event at this place is due.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time within a run"
    )]
    pub(super) fn due(&self, place: u64) -> u64 {
        self.start + (place as f64 * self.interval) as u64
    }

    /// How many events are due by now.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of events within a run"
    )]
    pub(super) fn due_by(&self, now: u64) -> u64 {
        let Some(passed) = now.checked_sub(self.start) else { return 0 };
        if self.interval <= 0.0 {
            return self.events();
        }
        let mut due = ((passed as f64 / self.interval) as u64).min(self.events());
        // Times are whole nanoseconds: the division may miss one of them.
        while due < self.events() && self.due(due) <= now {
            due += 1;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule =
        Schedule { start: 1_000, interval: 333.3, jobs: 3, first: 1, each: 100 };

    #[test]
    fn jobs_take_turns_and_each_counts_its_own_events() {
        let stamps: Vec<_> = (0..7).map(|place| SCHEDULE.stamp(place)).collect();
        assert_eq!(stamps.iter().map(|stamp| stamp.job).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(
            stamps.iter().map(|stamp| stamp.number).collect::<Vec<_>>(),
            [1, 1, 1, 2, 2, 2, 3]
        );
        assert_eq!(stamps[3].due, 1_999);
        assert_eq!((SCHEDULE.events(), SCHEDULE.end()), (300, 101));
    }

    #[test]
    fn an_event_is_due_at_its_time_and_not_before() {
        assert_eq!(SCHEDULE.due_by(999), 0);
        for place in 0..SCHEDULE.events() {
            let due = SCHEDULE.due(place);
            assert_eq!(SCHEDULE.due_by(due), place + 1, "at {due}");
            assert_eq!(SCHEDULE.due_by(due - 1), place, "before {due}");
        }
        assert_eq!(SCHEDULE.due_by(u64::MAX), 300);
    }

    #[test]
    fn without_an_interval_everything_is_due_at_once() {
        let schedule = Schedule { interval: 0.0, ..SCHEDULE };
        assert_eq!(schedule.due_by(1_000), 300);
    }
}
