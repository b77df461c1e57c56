//! How often a subscription asks to be looked at while its stream is quiet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Answer, Notice, POSITION_EVERY, Request, Step, Subscription};
use crate::event::JobKey;
use crate::journal::Bounds;
use crate::window::{JobView, View};

/// What a subscription that has caught up wants next.
struct Rest {
    /// Positions that it told on the way.
    positions: Vec<u64>,
    /// When it asks to be looked at again.
    until: Option<Instant>,
}

fn subscription(position: bool, now: Instant) -> Subscription {
    let job = JobKey::new("training", "42").unwrap();
    Subscription::new(job, Request { position, ..Request::default() }, now)
}

/// A window that has the whole stream, up to this id; the job's only event is the first.
fn window_up_to(head: u64) -> View {
    View {
        generation: 1,
        epoch: "epoch".into(),
        floor: 0,
        head,
        job: JobView::InWindow { oldest: 1, last: 1 },
        newest_life_cycle: 0,
        stream: None,
    }
}

/// Does what the subscription says until it waits.
fn rest(subscription: &mut Subscription, now: Instant, view: &View) -> Rest {
    let mut positions = Vec::new();
    for _ in 0..20 {
        match subscription.step(now, view) {
            Step::Wait(until) => return Rest { positions, until },
            Step::Tell(Notice::Position { id }) => positions.push(id),
            Step::Tell(_) => {}
            Step::ReadWindow { through, .. } => subscription.read_through(through),
            Step::Ask(_) => subscription.answered(now, view, Answer::First(Some(1))),
            other => panic!("not to be expected of a hot job: {other:?}"),
        }
    }
    panic!("it never rests");
}

#[test]
fn who_is_told_positions_is_looked_at_every_thirty_seconds_and_no_sooner() {
    let started = Instant::now();
    let view = window_up_to(10);
    let mut subscription = subscription(true, started);
    let opened = rest(&mut subscription, started, &view);
    assert_eq!(opened.positions, [10]);

    let (mut now, mut until) = (started, opened.until.unwrap());
    for _ in 0..20 {
        assert!(until >= now + POSITION_EVERY, "again after {:?}", until - now);
        now = until;
        subscription.fall_behind(view.head);
        let again = rest(&mut subscription, now, &view);
        assert_eq!(again.positions, [0; 0], "nothing moved");
        until = again.until.unwrap();
    }
}

#[test]
fn a_position_that_moves_is_told_every_thirty_seconds_and_no_sooner() {
    let started = Instant::now();
    let mut subscription = subscription(true, started);
    let mut until = rest(&mut subscription, started, &window_up_to(10)).until.unwrap();
    for head in 11..30 {
        let now = until;
        subscription.fall_behind(head);
        let again = rest(&mut subscription, now, &window_up_to(head));
        assert_eq!(again.positions, [head]);
        until = again.until.unwrap();
        assert_eq!(until, now + POSITION_EVERY);
    }
}

#[test]
fn being_looked_at_in_between_neither_tells_a_position_sooner_nor_later() {
    let started = Instant::now();
    let mut subscription = subscription(true, started);
    rest(&mut subscription, started, &window_up_to(10));
    for seconds in 1..30 {
        let head = 10 + seconds;
        subscription.fall_behind(head);
        let now = started + Duration::from_secs(seconds);
        let again = rest(&mut subscription, now, &window_up_to(head));
        assert_eq!(again.positions, [0; 0], "after {seconds} s");
        assert_eq!(again.until, Some(started + POSITION_EVERY), "after {seconds} s");
    }
}

#[test]
fn who_is_not_told_positions_waits_for_events_alone() {
    let started = Instant::now();
    let mut subscription = subscription(false, started);
    let opened = rest(&mut subscription, started, &window_up_to(10));
    assert_eq!((opened.positions, opened.until), (vec![], None));
}

/// The stream's leader knows of event 8, this pod's tail has read up to 5.
#[test]
fn while_the_tail_is_behind_the_promised_history_no_position_is_told() {
    let started = Instant::now();
    let job = JobKey::new("training", "42").unwrap();
    let request = Request { after: Some(0), position: true, ..Request::default() };
    let mut subscription = Subscription::new(job, request, started);
    let unknown = View { job: JobView::Unknown, ..window_up_to(5) };
    let bounds = Bounds {
        up_to: Some(8),
        last: Some(8),
        first: Some(8),
        stream_first: 1,
        state: Arc::default(),
    };
    let mut told = Vec::new();
    let until = loop {
        match subscription.step(started, &unknown) {
            Step::Ask(_) => {
                let answer = Answer::Bounds(bounds.clone());
                subscription.answered(started, &unknown, answer);
            }
            Step::Tell(notice) => told.push(notice),
            Step::ReadWindow { through, .. } => subscription.read_through(through),
            Step::Wait(until) => break until,
            other => panic!("not to be expected: {other:?}"),
        }
    };
    assert!(matches!(told[..], [Notice::Subscribed { last: 8, .. }]), "{told:?}");

    let now = until.expect("another look");
    assert!(now - started < Duration::from_secs(1), "{:?}", now - started);
    subscription.fall_behind(5);
    let in_time = View { job: JobView::InWindow { oldest: 8, last: 8 }, ..window_up_to(8) };
    assert_eq!(rest(&mut subscription, now, &in_time).positions, [8]);
}
