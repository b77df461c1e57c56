//! Places: how many WebSockets and streams there may be: in the process, for one client's
//! address, for one token's subject and for one job; and how often an address may connect.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use foldhash::HashMap;

use crate::address;
use crate::config::ConnectionLimits;
use crate::event::JobKey;
use crate::rate::Bucket;
use crate::recent::Recent;
use crate::session::{Profile, Reason};

/// Addresses whose connects are remembered, at least. An address that is forgotten is as good as
/// rested, and after two seconds every one is.
const ADDRESSES: usize = 10_000;

/// The places of a process. Cheap to clone.
#[derive(Clone)]
pub struct Places {
    limits: Arc<ConnectionLimits>,
    /// Subjects may be as long as tokens; they are counted by hash, whose keys nobody knows.
    subjects: Arc<RandomState>,
    taken: Arc<Mutex<Taken>>,
}

struct Taken {
    /// Every place, those of refused connections that are being closed included.
    all: usize,
    /// Those that count against the limits.
    admitted: usize,
    by_address: Counts<IpAddr>,
    by_subject: Counts<u64>,
    by_job: Counts<JobKey>,
    connects: Recent<IpAddr, Bucket>,
}

/// Who wants a place, and for what.
pub struct Visit<'a> {
    address: IpAddr,
    subject: Option<&'a str>,
    /// The job, and how many connections it may have.
    job: Option<(&'a JobKey, usize)>,
}

impl<'a> Visit<'a> {
    /// A client at an address asks for what the profile says.
    pub fn of(address: IpAddr, profile: &'a Profile) -> Self {
        Self {
            address,
            subject: profile.grant.as_ref().and_then(|grant| grant.subject.as_deref()),
            job: profile.job.as_ref().zip(profile.route.max_connections_per_job),
        }
    }
}

/// What a connection is counted by. Only what is limited is counted.
#[derive(Default)]
struct Share {
    address: Option<IpAddr>,
    subject: Option<u64>,
    job: Option<JobKey>,
}

/// A connection's place, given back when dropped.
pub struct Place {
    places: Places,
    share: Result<Share, Reason>,
}

impl Places {
    /// As many places as the limits say.
    pub fn new(limits: ConnectionLimits) -> Self {
        let taken = Taken {
            all: 0,
            admitted: 0,
            by_address: Counts::default(),
            by_subject: Counts::default(),
            by_job: Counts::default(),
            connects: Recent::new(ADDRESSES),
        };
        Self {
            limits: Arc::new(limits),
            subjects: Arc::default(),
            taken: Arc::new(Mutex::new(taken)),
        }
    }

    /// Connections that have a place now, refused ones that are being closed included.
    pub fn count(&self) -> usize {
        self.lock().all
    }

    /// Takes a place, whether there is one or not: a refusal is told on the connection.
    pub fn take(&self, visit: &Visit<'_>, now: Instant) -> Place {
        let address = address::counted(visit.address);
        let share = Share {
            address: self.limits.per_address.map(|_| address),
            subject: self
                .limits
                .per_subject
                .and(visit.subject)
                .map(|subject| self.subjects.hash_one(subject)),
            job: visit.job.map(|(job, _)| job.clone()),
        };
        let mut taken = self.lock();
        taken.all += 1;
        let refusal = if self.connects_too_often(&mut taken, address, now) {
            Some(Reason::AddressRate)
        } else {
            self.what_is_full(&taken, &share, visit)
        };
        let share = match refusal {
            Some(reason) => Err(reason),
            None => {
                taken.admit(&share);
                Ok(share)
            }
        };
        Place { places: self.clone(), share }
    }

    /// Takes a place for a request that waits for its answer; it is never refused.
    pub fn hold(&self) -> Place {
        let mut taken = self.lock();
        taken.all += 1;
        taken.admit(&Share::default());
        Place { places: self.clone(), share: Ok(Share::default()) }
    }

    fn connects_too_often(&self, taken: &mut Taken, address: IpAddr, now: Instant) -> bool {
        let Some(rate) = self.limits.connects_per_address else { return false };
        let mut bucket = taken.connects.get(&address).unwrap_or_default();
        let fits = bucket.take(rate, now);
        taken.connects.insert(address, bucket);
        !fits
    }

    fn what_is_full(&self, taken: &Taken, share: &Share, visit: &Visit<'_>) -> Option<Reason> {
        let limits = &self.limits;
        let most_of_job = visit.job.map(|(_, most)| most);
        let is_full = [
            (taken.admitted >= limits.in_all, Reason::Connections),
            (taken.by_address.is_full(&share.address, limits.per_address), Reason::Address),
            (taken.by_subject.is_full(&share.subject, limits.per_subject), Reason::Subject),
            (taken.by_job.is_full(&share.job, most_of_job), Reason::Job),
        ];
        is_full.into_iter().find_map(|(is_full, reason)| is_full.then_some(reason))
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn admit(&mut self, share: &Share) {
        self.admitted += 1;
        self.by_address.add(share.address);
        self.by_subject.add(share.subject);
        self.by_job.add(share.job.clone());
    }

    fn release(&mut self, share: &Share) {
        self.admitted -= 1;
        self.by_address.remove(&share.address);
        self.by_subject.remove(&share.subject);
        self.by_job.remove(&share.job);
    }
}

impl Place {
    /// Why the connection cannot stay.
    pub fn refusal(&self) -> Option<Reason> {
        self.share.as_ref().err().copied()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        if let Ok(share) = &self.share {
            taken.release(share);
        }
    }
}

/// How many there are of each; of none nothing is kept.
struct Counts<K>(HashMap<K, usize>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<K: Eq + Hash> Counts<K> {
    fn is_full(&self, key: &Option<K>, most: Option<usize>) -> bool {
        let (Some(key), Some(most)) = (key, most) else { return false };
        self.0.get(key).is_some_and(|count| *count >= most)
    }

    fn add(&mut self, key: Option<K>) {
        if let Some(key) = key {
            *self.0.entry(key).or_default() += 1;
        }
    }

    fn remove(&mut self, key: &Option<K>) {
        if let Some(key) = key
            && let Some(count) = self.0.get_mut(key)
        {
            *count -= 1;
            if *count == 0 {
                self.0.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::config::connect_rate;

    const NO_LIMITS: ConnectionLimits = ConnectionLimits {
        in_all: 1_000_000,
        per_address: None,
        connects_per_address: None,
        per_subject: None,
    };

    fn visit(address: &str) -> Visit<'_> {
        Visit { address: address.parse().unwrap(), subject: None, job: None }
    }

    fn take(places: &Places, visit: Visit<'_>) -> Place {
        places.take(&visit, Instant::now())
    }

    fn limited_connects(per_second: u32) -> Places {
        let rate = connect_rate(NonZeroU32::new(per_second).unwrap());
        Places::new(ConnectionLimits { connects_per_address: Some(rate), ..NO_LIMITS })
    }

    #[test]
    fn a_place_that_is_given_back_can_be_taken_though_refused_ones_are_still_being_closed() {
        let places = Places::new(ConnectionLimits { in_all: 2, ..NO_LIMITS });
        let (first, _second) =
            (take(&places, visit("192.0.2.1")), take(&places, visit("192.0.2.1")));
        let refused = take(&places, visit("192.0.2.2"));
        assert_eq!((first.refusal(), refused.refusal()), (None, Some(Reason::Connections)));
        drop(first);
        assert_eq!(take(&places, visit("192.0.2.3")).refusal(), None);
        assert_eq!(places.count(), 2, "the second and the refused one");
    }

    #[test]
    fn each_address_has_places_of_its_own_and_an_ipv6_network_is_one() {
        let places = Places::new(ConnectionLimits { per_address: Some(1), ..NO_LIMITS });
        let _held: Vec<Place> = ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
            .map(|address| take(&places, visit(address)))
            .into_iter()
            .inspect(|place| assert_eq!(place.refusal(), None))
            .collect();
        for address in ["192.0.2.1", "::ffff:192.0.2.2", "2001:db8::ffff"] {
            assert_eq!(take(&places, visit(address)).refusal(), Some(Reason::Address));
        }
        assert_eq!(take(&places, visit("2001:db8:0:1::1")).refusal(), None);
    }

    #[test]
    fn each_subject_has_places_of_its_own_and_none_is_not_limited() {
        let places = Places::new(ConnectionLimits { per_subject: Some(1), ..NO_LIMITS });
        let of = |subject| Visit { subject, ..visit("192.0.2.1") };
        let _alice = take(&places, of(Some("alice")));
        assert_eq!(take(&places, of(Some("alice"))).refusal(), Some(Reason::Subject));
        assert_eq!(take(&places, of(Some("bob"))).refusal(), None);
        let nameless = [take(&places, of(None)), take(&places, of(None))];
        assert!(nameless.iter().all(|place| place.refusal().is_none()));
    }

    #[test]
    fn each_job_has_places_of_its_own() {
        let places = Places::new(NO_LIMITS);
        let jobs = ["a", "b"].map(|id| JobKey::new("training", id).unwrap());
        let of = |job: usize| Visit { job: Some((&jobs[job], 1)), ..visit("192.0.2.1") };
        let held = take(&places, of(0));
        assert_eq!(take(&places, of(0)).refusal(), Some(Reason::Job));
        assert_eq!(take(&places, of(1)).refusal(), None);
        drop(held);
        assert_eq!(take(&places, of(0)).refusal(), None);
    }

    #[test]
    fn nothing_is_remembered_of_connections_that_are_gone() {
        let limits = ConnectionLimits { per_address: Some(1), per_subject: Some(1), ..NO_LIMITS };
        let places = Places::new(limits);
        let job = JobKey::new("training", "1").unwrap();
        for number in 0..100 {
            let (address, subject) = (format!("192.0.2.{number}"), number.to_string());
            let visit = Visit { subject: Some(&subject), job: Some((&job, 1)), ..visit(&address) };
            drop((take(&places, Visit { ..visit }), places.hold()));
        }
        let taken = places.lock();
        assert_eq!((taken.all, taken.admitted), (0, 0));
        let kept = [taken.by_address.0.len(), taken.by_subject.0.len(), taken.by_job.0.len()];
        assert_eq!(kept, [0; 3]);
    }

    #[test]
    fn one_connect_in_each_second_always_fits_whenever_in_the_second() {
        let (places, start) = (limited_connects(1), Instant::now());
        // The last moment of a second and the first of the next, again and again.
        for second in 0..1_000u64 {
            let offset = if second % 2 == 0 { 999 } else { 0 };
            let now = start + Duration::from_millis(1_000 * second + offset);
            assert_eq!(places.take(&visit("192.0.2.1"), now).refusal(), None, "second {second}");
        }
    }

    #[test]
    fn who_connects_more_often_is_refused_and_may_come_back_a_second_later() {
        let (places, start) = (limited_connects(1), Instant::now());
        let connect =
            |address, at| places.take(&visit(address), start + Duration::from_millis(at)).refusal();
        let refused = Some(Reason::AddressRate);
        assert_eq!([0, 0, 0].map(|at| connect("192.0.2.1", at)), [None, None, refused]);
        assert_eq!(connect("192.0.2.2", 0), None, "another address");
        assert_eq!(
            [900, 1_000, 1_001].map(|at| connect("192.0.2.1", at)),
            [refused, None, refused]
        );
    }
}
