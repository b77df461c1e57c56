//! What was last known of something, for a bounded number of keys: absent means unknown.

use std::borrow::Borrow;
use std::hash::Hash;

use foldhash::{HashMap, HashMapExt};

/// A bounded map that forgets what was not written for long.
///
/// Two generations, so that forgetting is cheap: when the younger is full, the older goes.
pub struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    capacity: usize,
}

impl<K: Eq + Hash, V: Copy> Recent<K, V> {
    /// Room for at least `capacity` and at most twice as many keys.
    pub fn new(capacity: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), capacity: capacity.max(1) }
    }

    /// What is remembered of a key.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.young.get(key).or_else(|| self.old.get(key)).copied()
    }

    /// Remembers something of a key.
    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    /// Forgets a key.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::JobKey;

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
