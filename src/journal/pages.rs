//! Pages that were read, kept for the next reader, bounded by bytes. Pure.

use std::collections::{BTreeMap, VecDeque};

use foldhash::HashMap;

use super::history::PageRead;
use crate::event::JobKey;

/// Pages of one incarnation of the stream, found by any position they cover.
///
/// The oldest page goes first: a page is wanted by many readers within a moment (a reconnect
/// storm), and hardly ever again.
pub struct PageCache {
    generation: u64,
    jobs: HashMap<JobKey, BTreeMap<u64, PageRead>>,
    order: VecDeque<(JobKey, u64)>,
    bytes: usize,
    budget: usize,
}

impl PageCache {
    /// An empty cache of at most `budget` bytes.
    pub fn new(budget: usize) -> Self {
        Self { generation: 0, jobs: HashMap::default(), order: VecDeque::new(), bytes: 0, budget }
    }

    /// A page that covers the position after `after`: it begins there or before, and ends later.
    pub fn find(&self, generation: u64, job: &JobKey, after: u64) -> Option<PageRead> {
        if self.generation != generation {
            return None;
        }
        let (_, read) = self.jobs.get(job)?.range(..=after).next_back()?;
        (read.page.through > after).then(|| read.clone())
    }

    /// Keeps a page. Pages of another incarnation are forgotten.
    pub fn insert(&mut self, generation: u64, job: JobKey, read: PageRead) {
        if self.generation != generation {
            let budget = self.budget;
            *self = Self { generation, ..Self::new(budget) };
        }
        let after = read.page.after;
        self.bytes += read.page.cost();
        if let Some(old) = self.jobs.entry(job.clone()).or_default().insert(after, read) {
            self.bytes -= old.page.cost();
        } else {
            self.order.push_back((job, after));
        }
        while self.bytes > self.budget {
            let Some((job, after)) = self.order.pop_front() else { return };
            self.forget(&job, after);
        }
    }

    fn forget(&mut self, job: &JobKey, after: u64) {
        let Some(pages) = self.jobs.get_mut(job) else { return };
        if let Some(read) = pages.remove(&after) {
            self.bytes -= read.page.cost();
        }
        if pages.is_empty() {
            self.jobs.remove(job);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::StoredEvent;
    use crate::journal::Page;

    fn read(after: u64, through: u64) -> PageRead {
        let event = StoredEvent {
            id: through,
            event_type: "t".into(),
            stored_at: 0,
            payload: bytes::Bytes::from_static(&[0; 1_000]),
            traceparent: None,
        };
        let page = Arc::new(Page { after, through, events: vec![event] });
        PageRead { page, stream_first: 1 }
    }

    fn job(id: &str) -> JobKey {
        JobKey::new("k", id).unwrap()
    }

    #[test]
    fn a_page_serves_every_position_it_covers_and_no_other() {
        let mut cache = PageCache::new(1_000_000);
        cache.insert(1, job("a"), read(10, 20));
        for (after, found) in [(9, false), (10, true), (19, true), (20, false)] {
            assert_eq!(cache.find(1, &job("a"), after).is_some(), found, "{after}");
        }
        assert!(cache.find(1, &job("b"), 10).is_none());
        assert!(cache.find(2, &job("a"), 10).is_none());
    }

    #[test]
    fn the_budget_holds_and_the_newest_stay() {
        let mut cache = PageCache::new(20_000);
        for number in 0..100 {
            cache.insert(1, job(&format!("j{}", number % 7)), read(number, number + 1));
            assert!(cache.bytes <= 20_000);
        }
        assert!(cache.find(1, &job("j1"), 99).is_some());
        assert!(cache.find(1, &job("j0"), 0).is_none());
    }

    #[test]
    fn a_new_incarnation_forgets_the_old() {
        let mut cache = PageCache::new(1_000_000);
        cache.insert(1, job("a"), read(1, 2));
        cache.insert(2, job("a"), read(5, 6));
        assert!(cache.find(1, &job("a"), 1).is_none() && cache.find(2, &job("a"), 1).is_none());
        assert!(cache.find(2, &job("a"), 5).is_some());
    }
}
