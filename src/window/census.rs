//! How many events of which kind of job have come, and what they mean for a job's life.
//!
//! Counted as plain numbers by the one who appends; whoever exports metrics reads them. What the
//! window is filled with at the start happened before, and does not count.

use std::sync::Arc;

use crate::event::LifeCycle;

/// The kind of every job whose kind nobody has named.
pub const OTHER_KIND: &str = "other";

/// What an event means for its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It began.
    Started,
    /// It came to its end.
    Completed,
    /// It failed, perhaps to be tried again.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// Anything else.
    Other,
}

impl Meaning {
    /// Every meaning there is.
    pub const ALL: [Self; 5] =
        [Self::Started, Self::Completed, Self::Failed, Self::Cancelled, Self::Other];

    /// A word for metrics; one of a fixed few.
    pub fn label(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Other => "other",
        }
    }

    fn of(event_type: &str) -> Self {
        match LifeCycle::of(event_type) {
            Some(LifeCycle::Started) => Self::Started,
            Some(LifeCycle::Completed) => Self::Completed,
            Some(LifeCycle::Failed) => Self::Failed,
            Some(LifeCycle::Cancelled) => Self::Cancelled,
            Some(LifeCycle::Created | LifeCycle::Paused | LifeCycle::Resumed) | None => Self::Other,
        }
    }
}

type Counts = [u64; Meaning::ALL.len()];

/// See the module's text.
#[derive(Debug, Default)]
pub struct Census {
    kinds: Vec<(Arc<str>, Counts)>,
    others: Counts,
    /// Only what comes after this counts; `None`: nothing yet.
    after: Option<u64>,
}

impl Census {
    /// Counts these kinds each, and all others together.
    pub fn of(kinds: impl IntoIterator<Item = Arc<str>>) -> Self {
        let mut census = Self::default();
        for kind in kinds {
            if *kind != *OTHER_KIND && census.kinds.iter().all(|(known, _)| *known != kind) {
                census.kinds.push((kind, Counts::default()));
            }
        }
        census
    }

    /// Another incarnation of the stream begins: where it ends now is not known yet.
    pub fn begin(&mut self) {
        self.after = None;
    }

    /// The stream's end, of which the first that is told is where counting begins.
    pub fn count_after(&mut self, end: u64) {
        self.after.get_or_insert(end);
    }

    /// Counts an event.
    pub fn note(&mut self, id: u64, kind: &str, event_type: &str) {
        if self.after.is_none_or(|after| id <= after) {
            return;
        }
        let of_kind = self.kinds.iter_mut().find(|(known, _)| **known == *kind);
        let counts = of_kind.map_or(&mut self.others, |(_, counts)| counts);
        if let Some(count) = counts.get_mut(Meaning::of(event_type) as usize) {
            *count += 1;
        }
    }

    /// Everything that was counted: kind, meaning, events.
    pub fn counts(&self) -> impl Iterator<Item = (&str, Meaning, u64)> {
        let named = self.kinds.iter().map(|(kind, counts)| (&**kind, counts));
        named.chain([(OTHER_KIND, &self.others)]).flat_map(|(kind, counts)| {
            Meaning::ALL
                .into_iter()
                .zip(counts)
                .map(move |(meaning, count)| (kind, meaning, *count))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(census: &Census) -> Vec<(&str, Meaning, u64)> {
        census.counts().filter(|(.., count)| *count > 0).collect()
    }

    #[test]
    fn events_are_counted_by_named_kind_and_by_meaning() {
        let mut census = Census::of(["training".into(), "training".into()]);
        census.count_after(0);
        census.note(1, "training", "job_started");
        census.note(2, "training", "progress");
        census.note(3, "unheard_of", "job_failed");
        let expected = [
            ("training", Meaning::Started, 1),
            ("training", Meaning::Other, 1),
            (OTHER_KIND, Meaning::Failed, 1),
        ];
        assert_eq!(counted(&census), expected);
        assert_eq!(census.counts().count(), 10);
    }

    #[test]
    fn what_a_window_is_filled_with_does_not_count() {
        let mut census = Census::default();
        census.note(1, "a", "job_started");
        census.count_after(5);
        census.count_after(9);
        census.note(5, "a", "job_started");
        census.note(6, "a", "job_started");
        census.begin();
        census.note(7, "a", "job_started");
        assert_eq!(counted(&census), [(OTHER_KIND, Meaning::Started, 1)]);
    }
}
