use serde_json::{Value, json};

use super::*;

fn watching(after: Option<u64>) -> Conversation {
    let job = JobKey::new("training", "7").expect("a job");
    Conversation::new(Terms { after, ..Terms::of(job) })
}

/// A watch that is subscribed to a stream where the job's newest event is `last`.
fn subscribed(after: Option<u64>, last: u64) -> Conversation {
    let mut conversation = watching(after);
    conversation.subscribe();
    told(
        &mut conversation,
        json!({"type":"subscribed","jobId":"7","lastEventId":last,"epoch":"e1"}),
    );
    conversation
}

fn told(conversation: &mut Conversation, message: Value) -> Vec<String> {
    let items = conversation.receive(&message.to_string()).expect("no trouble");
    items.iter().map(short).collect()
}

fn short(item: &Item) -> String {
    match item {
        Item::Event(event) => format!("{} {}", event.id, event.event_type),
        Item::Unasked(event) => format!("({} {})", event.id, event.event_type),
        Item::Gap(gap) => format!("gap {}-{}", gap.requested_after, gap.first_available),
        Item::Reset { epoch } => format!("reset {epoch}"),
        Item::Malformed { id } => format!("malformed {id}"),
    }
}

fn event(id: u64, event_type: &str) -> Value {
    json!({"id":id,"eventType":event_type,"timestamp":"2026-01-01T00:00:00Z"})
}

fn live(id: u64, event_type: &str) -> Value {
    json!({"type":"event","jobId":"7","event":event(id, event_type)})
}

#[test]
fn a_watch_asks_for_what_comes_after_its_place() {
    let mut conversation = watching(None);
    assert_eq!(
        conversation.subscribe(),
        json!({"type":"subscribe","jobId":"7","kind":"training","position":true})
    );
    let mut conversation = subscribed(Some(0), 9);
    told(&mut conversation, live(4, "progress"));
    let again = conversation.subscribe();
    assert_eq!((&again["afterEventId"], &again["epoch"]), (&json!(4), &json!("e1")));
}

#[test]
fn an_event_is_told_once_whatever_comes_twice() {
    let mut conversation = subscribed(Some(2), 4);
    let replay =
        json!({"type":"replay","jobId":"7","data":[event(2,"a"),event(3,"b"),event(4,"c")]});
    assert_eq!(told(&mut conversation, replay.clone()), ["3 b", "4 c"]);
    assert!(told(&mut conversation, replay).is_empty());
    assert_eq!(told(&mut conversation, live(6, "d")), ["6 d"]);
}

#[test]
fn a_job_has_ended_when_its_newest_life_cycle_event_is_an_ending_and_all_was_told() {
    let mut conversation = subscribed(Some(0), 3);
    told(&mut conversation, live(1, "job_completed"));
    assert_eq!(conversation.outcome(), None, "there is more to come");
    told(&mut conversation, live(2, "job_started"));
    told(&mut conversation, live(3, "progress"));
    assert_eq!(conversation.outcome(), None, "it runs again");
    let mut failure = live(4, "job_failed");
    failure["event"]["data"] = json!({"willRetry":true});
    told(&mut conversation, failure);
    assert_eq!(conversation.outcome(), None, "it is tried again");
    told(&mut conversation, live(5, "job_failed"));
    assert_eq!(conversation.outcome(), Some(Outcome::Failed));
}

#[test]
fn the_end_is_seen_even_where_only_other_types_are_wanted() {
    let mut conversation = watching(Some(0));
    conversation.terms.types = Some(["log".to_owned()].into());
    let types = conversation.subscribe()["eventTypes"].clone();
    assert!(types.as_array().expect("types").contains(&json!("job_cancelled")), "{types}");
    let subscribed = json!({"type":"subscribed","jobId":"7","lastEventId":0,"epoch":"e1"});
    told(&mut conversation, subscribed);
    assert_eq!(told(&mut conversation, live(1, "log")), ["1 log"]);
    assert_eq!(told(&mut conversation, live(2, "job_cancelled")), ["(2 job_cancelled)"]);
    assert_eq!(conversation.outcome(), Some(Outcome::Cancelled));
}

#[test]
fn a_gap_is_told_once_at_its_place() {
    let mut conversation = subscribed(Some(5), 30);
    let truncated = json!({"type":"error","jobId":"7","code":"HISTORY_TRUNCATED","error":"gone",
        "requestedAfter":5,"firstAvailable":20,"lastEventId":30});
    assert_eq!(told(&mut conversation, truncated.clone()), ["gap 5-20"]);
    assert!(told(&mut conversation, truncated.clone()).is_empty());
    assert_eq!(told(&mut conversation, live(20, "progress")), ["20 progress"]);
    assert!(told(&mut conversation, truncated).is_empty(), "it is behind us");
}

#[test]
fn who_wants_no_gap_is_refused_with_what_is_missing() {
    let mut conversation = subscribed(Some(5), 30);
    conversation.terms.on_gap = OnGap::Fail;
    assert_eq!(conversation.subscribe()["onTruncated"], "fail");
    let truncated = json!({"type":"error","jobId":"7","code":"HISTORY_TRUNCATED","error":"gone",
        "requestedAfter":5,"firstAvailable":20,"lastEventId":30});
    let trouble = conversation.receive(&truncated.to_string()).expect_err("a refusal");
    assert!(matches!(trouble, Trouble::Refused { gap: Some(_), .. }), "{trouble:?}");
}

#[test]
fn a_stream_that_was_made_anew_is_told_once_and_read_from_its_beginning() {
    let mut conversation = subscribed(Some(5), 30);
    told(&mut conversation, live(30, "job_completed"));
    conversation.subscribe();
    let answer = json!({"type":"subscribed","jobId":"7","lastEventId":2,"epoch":"e2"});
    assert!(told(&mut conversation, answer).is_empty());
    assert!(!conversation.is_up_to_date());
    let invalid =
        json!({"type":"error","jobId":"7","code":"CURSOR_INVALID","error":"x","epoch":"e2"});
    assert_eq!(told(&mut conversation, invalid), ["reset e2"]);
    assert_eq!((conversation.last(), conversation.epoch()), (Some(0), Some("e2")));
    assert_eq!(told(&mut conversation, live(1, "job_started")), ["1 job_started"]);
    told(&mut conversation, json!({"type":"position","jobId":"7","id":2,"caughtUp":true}));
    assert!(conversation.is_up_to_date() && conversation.outcome().is_none());
}

#[test]
fn another_stream_is_noticed_where_the_gateway_could_not_know() {
    let mut conversation = subscribed(Some(0), 0);
    conversation.subscribe();
    let answer = json!({"type":"subscribed","jobId":"7","lastEventId":0,"epoch":"e2"});
    assert_eq!(told(&mut conversation, answer), ["reset e2"]);
}

#[test]
fn a_refusal_is_final_and_an_absent_store_is_not() {
    for (code, is_final) in [("FORBIDDEN", true), ("LIMIT", true), ("UNAVAILABLE", false)] {
        let mut conversation = watching(Some(0));
        conversation.subscribe();
        let error = json!({"type":"error","jobId":"7","code":code,"error":"no"}).to_string();
        let trouble = conversation.receive(&error).expect_err("no subscription");
        assert_eq!(matches!(trouble, Trouble::Refused { .. }), is_final, "{trouble:?}");
    }
}

#[test]
fn what_is_not_known_is_passed_over_and_what_makes_no_sense_is_not() {
    let mut conversation = subscribed(Some(0), 0);
    assert!(told(&mut conversation, json!({"type":"news","data":1})).is_empty());
    assert!(told(&mut conversation, json!({"type":"event","jobId":"8","event":7})).is_empty());
    for text in ["", "[]", "{}", r#"{"type":"event","jobId":"7","event":{"id":"1"}}"#] {
        let trouble = conversation.receive(text).expect_err(text);
        assert!(matches!(trouble, Trouble::Strange(_)), "{trouble:?}");
    }
}

#[test]
fn a_position_below_what_was_promised_is_not_the_end_of_the_history() {
    let mut conversation = subscribed(Some(0), 3);
    told(&mut conversation, json!({"type":"position","jobId":"7","id":0,"caughtUp":true}));
    assert!(!conversation.is_up_to_date());
    told(&mut conversation, json!({"type":"position","jobId":"7","id":3,"caughtUp":true}));
    assert!(conversation.is_up_to_date());
}
