use super::*;

const BUDGET: usize = 4 * 1024 * 1024;

fn ring() -> Ring {
    let mut ring = Ring::new(BUDGET, Arc::default());
    ring.begin("e", 0);
    ring
}

fn append(ring: &mut Ring, id: u64, subject: &str, payload: &[u8]) {
    ring.append(&Arrival { id, stored_at: 7, subject, payload, traceparent: None });
}

fn encoded(message: bytes::Bytes, body: std::ops::Range<usize>) -> EncodedEvent {
    let (before, after) = Default::default();
    EncodedEvent { message, body, before, after, ends: false, types_differ: false }
}

const EVERYTHING: ReadBound =
    ReadBound { through: u64::MAX, events: usize::MAX, bytes: usize::MAX };

fn ids(ring: &Ring, job: &str, after: u64, bound: ReadBound) -> (Vec<u64>, JobRead) {
    let mut ids = Vec::new();
    let read = ring.read_job(job, after, bound, |entry| ids.push(entry.event.id));
    (ids, read)
}

#[test]
fn a_job_is_read_from_any_position_in_order() {
    let mut ring = ring();
    for id in 1..=100 {
        append(&mut ring, id, if id % 3 == 0 { "jobs.k.a.t" } else { "jobs.k.b.t" }, b"{}");
    }
    let all: Vec<u64> = (1..=100).filter(|id| id % 3 == 0).collect();
    for after in 0..=100 {
        let expected: Vec<u64> = all.iter().copied().filter(|id| *id > after).collect();
        assert_eq!(ids(&ring, "k.a", after, EVERYTHING), (expected, JobRead::Through(100)));
    }
}

#[test]
fn a_read_stops_at_its_bound_but_hands_out_at_least_one_event() {
    let mut ring = ring();
    for id in 1..=10 {
        append(&mut ring, id, "jobs.k.a.t", &[b'x'; 100]);
    }
    let few = ReadBound { events: 3, ..EVERYTHING };
    assert_eq!(ids(&ring, "k.a", 0, few), (vec![1, 2, 3], JobRead::Through(3)));
    let tiny = ReadBound { bytes: 1, ..EVERYTHING };
    assert_eq!(ids(&ring, "k.a", 3, tiny), (vec![4], JobRead::Through(4)));
    let until = ReadBound { through: 6, ..EVERYTHING };
    assert_eq!(ids(&ring, "k.a", 4, until), (vec![5, 6], JobRead::Through(6)));
}

#[test]
fn what_is_dropped_is_told_by_the_floor_and_the_last_id_is_remembered() {
    let mut ring = ring();
    append(&mut ring, 1, "jobs.k.quiet.t", b"{}");
    let payload = vec![b'x'; 100_000];
    for id in 2..=200 {
        append(&mut ring, id, "jobs.k.loud.t", &payload);
    }
    assert!(ring.floor() > 1 && ring.cost() <= BUDGET, "{} {}", ring.floor(), ring.cost());
    assert_eq!(ids(&ring, "k.loud", ring.floor() - 1, EVERYTHING).1, JobRead::Behind);
    let kept: Vec<u64> = (ring.floor() + 1..=200).collect();
    assert_eq!(ids(&ring, "k.loud", ring.floor(), EVERYTHING).0, kept);
    let quiet = JobKey::new("k", "quiet").unwrap();
    assert_eq!(ring.view(&quiet).job, JobView::Older { last: 1 });
    append(&mut ring, 201, "jobs.k.quiet.t", b"{}");
    assert_eq!(ring.view(&quiet).job, JobView::InWindow { oldest: 201, last: 201 });
}

#[test]
fn ids_up_to_the_head_are_dropped_and_a_hole_empties_the_window() {
    let mut ring = ring();
    for id in [1, 2, 2, 1, 3] {
        append(&mut ring, id, "jobs.k.a.t", b"{}");
    }
    assert_eq!(ids(&ring, "k.a", 0, EVERYTHING).0, [1, 2, 3]);
    append(&mut ring, 9, "jobs.k.a.t", b"{}");
    assert_eq!((ring.floor(), ring.head(), ring.events()), (8, 9, 1));
    assert_eq!(ids(&ring, "k.a", 3, EVERYTHING).1, JobRead::Behind);
    assert_eq!(ring.view(&JobKey::new("k", "b").unwrap()).job, JobView::Unknown);
}

#[test]
fn a_foreign_subject_moves_the_head_and_nothing_else() {
    let mut ring = ring();
    append(&mut ring, 1, "jobs.k.a.t", b"{}");
    append(&mut ring, 2, "something.else", b"{}");
    append(&mut ring, 3, "jobs.k.a.t", b"{}");
    assert_eq!((ring.head(), ring.events()), (3, 2));
    assert_eq!(ids(&ring, "k.a", 0, EVERYTHING).0, [1, 3]);
}

#[test]
fn the_log_is_read_in_stream_order_across_segments() {
    let mut ring = Ring::new(2 * BUDGET, Arc::default());
    ring.begin("e", 0);
    let payload = vec![b'x'; 300_000];
    for id in 1..=6 {
        append(&mut ring, id, "jobs.k.a.t", &payload);
    }
    for after in 0..=6 {
        let mut seen = Vec::new();
        let read = ring.read_log(ring.generation(), after, |entry| {
            seen.push(entry.event.id);
            true
        });
        assert_eq!((seen, read), ((after + 1..=6).collect(), LogRead::Through(6)));
    }
    let read = ring.read_log(ring.generation(), 2, |entry| entry.event.id < 5);
    assert_eq!(read, LogRead::Through(5));
    assert_eq!(ring.read_log(ring.generation() + 1, 2, |_| true), LogRead::Behind);
}

#[test]
fn an_event_is_encoded_once_while_its_encoding_is_kept() {
    let mut ring = ring();
    append(&mut ring, 1, "jobs.k.a.t", b"{}");
    let variant = FrameVariant::new(0).unwrap();
    let mut made = 0;
    for _ in 0..5 {
        ring.read_job("k.a", 0, EVERYTHING, |entry| {
            let encoded = entry.encoded(variant, |job, event| {
                made += 1;
                assert_eq!((job.as_str(), event.payload), ("k.a", &b"{}"[..]));
                Some(encoded(bytes::Bytes::from_static(b"frame"), 1..2))
            });
            assert_eq!(encoded.unwrap().body(), b"r");
        });
    }
    assert_eq!(made, 1);
}

#[test]
fn encodings_never_push_events_out_of_the_window() {
    let mut ring = ring();
    let variant = FrameVariant::new(3).unwrap();
    for id in 1..=3_000 {
        append(&mut ring, id, "jobs.k.a.t", b"{}");
        ring.read_job("k.a", id - 1, EVERYTHING, |entry| {
            let message = bytes::Bytes::from(vec![0; 1_000]);
            entry.encoded(variant, |_, _| Some(encoded(message, 0..0)));
        });
    }
    assert_eq!((ring.floor(), ring.events()), (0, 3_000));
    assert!(ring.cost() <= BUDGET);
}

#[test]
fn the_budget_holds_for_many_small_jobs() {
    let mut ring = ring();
    for id in 1..=100_000 {
        append(&mut ring, id, &format!("jobs.kind.job-{id}.t"), b"{\"data\":{}}");
        assert!(ring.segments.len() == 1 || ring.cost() <= BUDGET);
    }
}

#[test]
fn an_oversized_event_is_kept_as_an_empty_one() {
    let mut ring = ring();
    append(&mut ring, 1, "jobs.k.a.t", &vec![b' '; MAX_EVENT + 1]);
    ring.read_job("k.a", 0, EVERYTHING, |entry| assert!(entry.event.payload.is_empty()));
    assert_eq!(ring.events(), 1);
}
