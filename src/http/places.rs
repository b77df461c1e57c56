//! Places: how many connections there may be, in the process and for one job.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;

use crate::event::JobKey;
use crate::session::{Ending, Profile};

/// The places of a process. Cheap to clone.
#[derive(Clone)]
pub struct Places {
    most: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_job: HashMap<JobKey, usize>,
}

/// A connection's place, given back when dropped.
pub struct Place {
    places: Places,
    job: Option<JobKey>,
    refusal: Option<Ending>,
}

impl Places {
    /// So many places in all.
    pub fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// Connections that have a place now, refused ones that are being closed included.
    pub fn count(&self) -> usize {
        self.lock().all
    }

    /// Takes a place, whether there is one or not: a refusal is told on the connection.
    pub fn take(&self, profile: &Profile) -> Place {
        let limit = profile.route.max_connections_per_job;
        let job = limit.and(profile.job.clone());
        let mut taken = self.lock();
        taken.all += 1;
        let of_job = job.as_ref().map_or(0, |job| {
            let count = taken.by_job.entry(job.clone()).or_default();
            *count += 1;
            *count
        });
        let refusal = if taken.all > self.most {
            Some(Ending::Overloaded)
        } else if limit.is_some_and(|most| of_job > most) {
            Some(Ending::TooManyForJob)
        } else {
            None
        };
        Place { places: self.clone(), job, refusal }
    }

    /// Takes a place for a request that waits for its answer; it is never refused.
    pub fn hold(&self) -> Place {
        self.lock().all += 1;
        Place { places: self.clone(), job: None, refusal: None }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Why the connection cannot stay.
    pub fn refusal(&self) -> Option<Ending> {
        self.refusal.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        if let Some(job) = &self.job
            && let Some(count) = taken.by_job.get_mut(job)
        {
            *count -= 1;
            if *count == 0 {
                taken.by_job.remove(job);
            }
        }
    }
}
