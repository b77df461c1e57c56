//! What was last known of a job, for a bounded number of jobs: absent means unknown.

use foldhash::{HashMap, HashMapExt};

use crate::event::JobKey;

/// A bounded map that forgets what was not written for long.
///
/// Two generations, so that forgetting is cheap: when the younger is full, the older goes.
pub struct Recent<V> {
    young: HashMap<JobKey, V>,
    old: HashMap<JobKey, V>,
    capacity: usize,
}

impl<V: Copy> Recent<V> {
    /// Room for at least `capacity` and at most twice as many jobs.
    pub fn new(capacity: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), capacity: capacity.max(1) }
    }

    /// What is remembered of a job, by `kind.id`.
    pub fn get(&self, job: &str) -> Option<V> {
        self.young.get(job).or_else(|| self.old.get(job)).copied()
    }

    /// Remembers something of a job.
    pub fn insert(&mut self, job: JobKey, value: V) {
        if self.young.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(job.as_str());
        self.young.insert(job, value);
    }

    /// Forgets a job.
    pub fn remove(&mut self, job: &str) {
        self.young.remove(job);
        self.old.remove(job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(number: usize) -> JobKey {
        JobKey::new("k", &number.to_string()).unwrap()
    }

    #[test]
    fn the_newest_are_remembered_and_the_number_is_bounded() {
        let mut recent = Recent::new(10);
        for number in 0..1_000 {
            recent.insert(job(number), number);
        }
        assert!((990..1_000).all(|number| recent.get(job(number).as_str()) == Some(number)));
        assert!(recent.young.len() + recent.old.len() <= 20);
        assert_eq!(recent.get(job(1).as_str()), None);
    }

    #[test]
    fn a_job_is_remembered_by_its_newest_value_until_it_is_removed() {
        let mut recent = Recent::new(1);
        recent.insert(job(1), 1);
        recent.insert(job(2), 2);
        recent.insert(job(1), 3);
        assert_eq!(recent.get(job(1).as_str()), Some(3));
        recent.remove(job(1).as_str());
        assert_eq!(recent.get(job(1).as_str()), None);
    }
}
