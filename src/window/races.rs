//! The tail's thread and two workers' on one window, in thousands of orders in which they can take
//! its locks: `cargo test --features shuttle --lib window::races`.
//!
//! A wake-up that is lost leaves a worker waiting for ever, which the checker calls a deadlock.

use std::sync::Arc;

use bytes::Bytes;

use super::exclusion::Mutex;
use super::{Arrival, FrameVariant, LogRead, Window};
use crate::encoded::EncodedEvent;
use crate::journal::tail::Follower;

const ORDERS: usize = 10_000;
const WORKERS: usize = 2;
/// Events of each incarnation of the stream.
const EVENTS: u64 = 6;
/// Incarnations, the last one of which is followed to its end.
const INCARNATIONS: u64 = 2;

const ROOMY: (usize, usize) = (1 << 20, 1 << 10);
/// Room for one segment of two events.
const SMALL: (usize, usize) = (2_000, 200);

/// What one worker saw.
#[derive(Default)]
struct Seen {
    /// Incarnation and id, in the order of reading; `None`: it fell behind and began anew.
    events: Vec<Option<(u64, u64)>>,
}

fn tail(window: &Window) {
    for incarnation in 1..=INCARNATIONS {
        window.begin(&format!("e{incarnation}"), 0);
        for id in 1..=EVENTS {
            let payload = [b'x'; 80];
            let arrival = Arrival {
                id,
                stored_at: 0,
                subject: "jobs.k.a.t",
                payload: &payload,
                traceparent: None,
            };
            window.take(&[arrival]);
        }
    }
}

/// Follows the log as a worker does, to the end of the last incarnation.
async fn worker(window: Window, encoded: Arc<Mutex<Vec<(u64, u64)>>>) -> Seen {
    let changed = window.listen();
    let (mut seen, mut generation, mut cursor) = (Seen::default(), 0, 0);
    // What was there before it listened.
    changed.notify_one();
    while (generation, cursor) != (INCARNATIONS, EVENTS) {
        changed.notified().await;
        loop {
            let ring = window.read();
            let read = ring.read_log(generation, cursor, |entry| {
                let id = entry.event.id;
                seen.events.push(Some((generation, id)));
                let variant = FrameVariant::new(0).expect("a variant");
                entry.encoded(variant, |_, event| {
                    encoded.lock().expect("a lock").push((generation, event.id));
                    Some(frame(event.payload))
                });
                false
            });
            match read {
                LogRead::Through(through) => cursor = through,
                LogRead::Behind => {
                    (generation, cursor) = (ring.generation(), ring.head());
                    seen.events.push(None);
                }
            }
            if cursor == ring.head() && generation == ring.generation() {
                break;
            }
        }
    }
    seen
}

fn frame(payload: &[u8]) -> EncodedEvent {
    let (before, after) = Default::default();
    let message = Bytes::copy_from_slice(payload);
    EncodedEvent { message, body: 0..0, before, after, ends: false, types_differ: false }
}

/// Whatever the order, every worker comes to the end, and sees all in between or knows that it
/// has not.
fn race((budget, segment): (usize, usize)) -> Vec<(u64, u64)> {
    let window = Window::with_segments(budget, segment);
    let encoded = Arc::new(Mutex::new(Vec::new()));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let following = worker(window.clone(), Arc::clone(&encoded));
            shuttle::thread::spawn(|| shuttle::future::block_on(following))
        })
        .collect();
    tail(&window);
    for worker in workers {
        let seen = worker.join().expect("a worker");
        for pair in seen.events.windows(2) {
            if let [Some((before, last)), Some((generation, id))] = pair {
                assert_eq!((before, last + 1), (generation, *id), "{:?}", seen.events);
            }
        }
    }
    assert!(window.read().cost() <= budget + segment, "{}", window.read().cost());
    std::mem::take(&mut encoded.lock().expect("a lock"))
}

#[test]
fn no_event_is_missed_and_none_encoded_twice_in_any_order() {
    let orders = || {
        let mut encoded = race(ROOMY);
        encoded.sort_unstable();
        let count = encoded.len();
        encoded.dedup();
        assert_eq!(encoded.len(), count, "an event was encoded twice");
    };
    shuttle::check_random(orders, ORDERS);
    shuttle::check_pct(orders, ORDERS, 3);
}

#[test]
fn what_is_evicted_meanwhile_is_known_to_be_missing_in_any_order() {
    shuttle::check_random(|| drop(race(SMALL)), ORDERS);
    shuttle::check_pct(|| drop(race(SMALL)), ORDERS, 3);
}
