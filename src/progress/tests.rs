use super::*;
use crate::dialect::rehearsal::stored;

fn after(progress: Progress, event_type: &str, payload: &str) -> Progress {
    progress.after(event_type, &StoredBody::parse(payload.as_bytes()).unwrap())
}

/// The progress after events given as type and payload.
fn folded(events: &[(&str, &str)]) -> Progress {
    events.iter().fold(Progress::default(), |progress, (event_type, payload)| {
        after(progress, event_type, payload)
    })
}

fn fraction(payload: &str) -> Option<f64> {
    folded(&[("progress", payload)]).fraction
}

#[test]
fn nothing_is_known_of_a_job_without_events() {
    let nothing = Progress::default();
    assert_eq!((nothing.fraction, nothing.status), (None, None));
    assert_eq!(nothing.fraction_or_zero(), 0.0);
    assert_eq!((nothing.iteration_or_zero(), nothing.total_or_zero()), (0.0, 0.0));
}

#[test]
fn the_fraction_is_the_first_that_is_told_of_progress_percent_and_iterations() {
    let everything = r#""percent":40,"totalIterations":10"#;
    assert_eq!(
        fraction(&format!(r#"{{"iteration":2,"data":{{"progress":0.3,{everything}}}}}"#)),
        Some(0.3)
    );
    assert_eq!(fraction(&format!(r#"{{"iteration":2,"data":{{{everything}}}}}"#)), Some(0.4));
    assert_eq!(fraction(r#"{"iteration":2,"data":{"totalIterations":10}}"#), Some(0.2));
    assert_eq!(fraction(r#"{"iteration":2,"data":{"total_epochs":8}}"#), Some(0.25));
    assert_eq!(fraction(r#"{"iteration":2}"#), None);
    assert_eq!(fraction("{}"), None);
}

#[test]
fn the_total_of_the_start_serves_all_iterations_after_it() {
    let started = ("job_started", r#"{"data":{"config":{"iterations":4}}}"#);
    let progress = folded(&[started, ("iteration_completed", r#"{"iteration":1}"#)]);
    assert_eq!((progress.fraction, progress.total), (Some(0.25), Some(4.0)));
    let progress = folded(&[("job_created", started.1), ("iteration", r#"{"iteration":3}"#)]);
    assert_eq!(progress.fraction, Some(0.75));
    let foreign = folded(&[("progress", started.1), ("iteration", r#"{"iteration":3}"#)]);
    assert_eq!((foreign.fraction, foreign.total), (None, None));
}

#[test]
fn what_an_event_does_not_tell_stays_as_it_was() {
    let told = r#"{"iteration":3,"data":{"progress":0.5,"total_epochs":9,"current_loss":1.5}}"#;
    let before = folded(&[("job_started", "{}"), ("progress", told)]);
    assert_eq!((before.iteration, before.total, before.loss), (Some(3.0), Some(9.0), Some(1.5)));
    for (event_type, payload) in [("log", "{}"), ("progress", "{}"), ("x", r#"{"data":{}}"#)] {
        assert_eq!(after(before, event_type, payload), before, "{event_type}");
    }
    let again = folded(&[("job_started", "{}"), ("progress", told), ("job_started", "{}")]);
    assert_eq!(
        again, before,
        "a second attempt has the numbers of the first until it tells its own"
    );
}

#[test]
fn numbers_out_of_range_are_clamped() {
    assert_eq!(fraction(r#"{"data":{"progress":1.7}}"#), Some(1.0));
    assert_eq!(fraction(r#"{"data":{"progress":-3}}"#), Some(0.0));
    assert_eq!(fraction(r#"{"data":{"percent":250}}"#), Some(1.0));
    assert_eq!(fraction(r#"{"iteration":11,"data":{"totalIterations":10}}"#), Some(1.0));
    let negative = folded(&[("progress", r#"{"iteration":-1,"data":{"total_epochs":-5}}"#)]);
    assert_eq!((negative.iteration, negative.total), (Some(0.0), Some(0.0)));
    assert_eq!(negative.fraction, None, "nothing can be done out of nothing");
}

#[test]
fn what_is_no_number_is_as_good_as_absent() {
    let before = folded(&[("progress", r#"{"data":{"progress":0.5,"current_loss":2}}"#)]);
    for value in [r#""0.9""#, "null", "true", "[1]", "{}", "1e999"] {
        let payload = format!(r#"{{"data":{{"progress":{value},"current_loss":{value}}}}}"#);
        assert_eq!(after(before, "progress", &payload), before, "{value}");
    }
    let payload = r#"{"data":{"progress":"9 of 10","percent":90}}"#;
    assert_eq!(after(before, "progress", payload).fraction, Some(0.9));
}

#[test]
fn the_iteration_of_the_envelope_wins_over_those_in_the_data() {
    let of = |payload| folded(&[("progress", payload)]).iteration;
    assert_eq!(of(r#"{"iteration":1,"data":{"iteration":2,"current_epoch":3}}"#), Some(1.0));
    assert_eq!(of(r#"{"data":{"iteration":2,"current_epoch":3}}"#), Some(3.0));
    assert_eq!(of(r#"{"data":{"iteration":2}}"#), Some(2.0));
    let of = |event_type, payload| folded(&[(event_type, payload)]).iteration;
    assert_eq!(of("job_paused", r#"{"data":{"currentIteration":7}}"#), Some(7.0));
    assert_eq!(of("job_resumed", r#"{"data":{"resumeFromIteration":6}}"#), Some(6.0));
    assert_eq!(of("job_cancelled", r#"{"data":{"finalIteration":8}}"#), Some(8.0));
}

#[test]
fn the_status_is_that_of_the_newest_life_cycle_event() {
    let course = [
        ("log", "{}", None),
        ("job_created", "{}", Some(JobStatus::Pending)),
        ("job_started", "{}", Some(JobStatus::Running)),
        ("job_paused", "{}", Some(JobStatus::Paused)),
        ("progress", "{}", Some(JobStatus::Paused)),
        ("job_resumed", "{}", Some(JobStatus::Running)),
        ("job_failed", r#"{"data":{"willRetry":true}}"#, Some(JobStatus::Pending)),
        ("job_failed", r#"{"data":{"willRetry":"true"}}"#, Some(JobStatus::Failed)),
        ("job_cancelled", "{}", Some(JobStatus::Stopped)),
        ("job_completed", "{}", Some(JobStatus::Succeeded)),
    ];
    let mut progress = Progress::default();
    for (event_type, payload, expected) in course {
        progress = after(progress, event_type, payload);
        assert_eq!(progress.status, expected, "{event_type}");
    }
}

/// A course with a failed attempt in it.
fn course() -> Vec<StoredEvent> {
    let start = r#"{"data":{"config":{"iterations":4}}}"#;
    let epoch = |number| {
        format!(r#"{{"iteration":{number},"data":{{"current_loss":{}}}}}"#, 1.0 / f64::from(number))
    };
    [
        ("job_created", "{}".to_owned()),
        ("job_started", start.to_owned()),
        ("progress", epoch(1)),
        ("log", r#"{"data":{"message":"checkpoint"}}"#.to_owned()),
        ("progress", epoch(2)),
        ("job_paused", r#"{"data":{"currentIteration":2}}"#.to_owned()),
        ("job_resumed", r#"{"data":{"resumeFromIteration":2}}"#.to_owned()),
        ("job_failed", r#"{"data":{"error":"no memory","willRetry":true}}"#.to_owned()),
        ("job_started", start.to_owned()),
        ("progress", epoch(3)),
        ("not json", "]".to_owned()),
        ("progress", epoch(4)),
        ("job_completed", "{}".to_owned()),
    ]
    .into_iter()
    .zip(1..)
    .map(|((event_type, payload), id)| stored(id, event_type, &payload))
    .collect()
}

/// The last event of every type, in the order of ids.
fn state(events: &[StoredEvent]) -> Vec<StoredEvent> {
    let is_last = |event: &&StoredEvent| {
        events.iter().all(|other| other.event_type != event.event_type || other.id <= event.id)
    };
    events.iter().filter(is_last).cloned().collect()
}

#[test]
fn the_last_event_of_every_type_tells_the_same_as_all_events_at_every_position() {
    let course = course();
    for position in 0..=course.len() {
        let events = &course[..position];
        assert_eq!(Progress::of_state(&state(events)), Progress::of_state(events), "{position}");
    }
    let ended = Progress::of_state(&course);
    assert_eq!((ended.fraction, ended.iteration), (Some(1.0), Some(4.0)));
    assert_eq!((ended.loss, ended.status), (Some(0.25), Some(JobStatus::Succeeded)));
}

#[test]
fn a_start_that_comes_after_the_last_iteration_still_gives_it_a_total() {
    // Of the first attempt only its last iteration is left, of the second only its start.
    let left = [
        stored(5, "iteration_completed", r#"{"iteration":3}"#),
        stored(9, "job_started", r#"{"data":{"config":{"iterations":4}}}"#),
    ];
    let progress = Progress::of_state(&left);
    assert_eq!((progress.fraction, progress.status), (Some(0.75), Some(JobStatus::Running)));
}
