//! The golden conversations of `tests/golden/`, held against the pure functions.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::optimization::{self, Naming};
use super::rehearsal::{Rehearsal, STORED, payload};
use super::table::Happening;
use super::{Occurrence, agent, beam_search, training};
use crate::event::{LifeCycle, StoredBody};
use crate::progress::Standing;

#[derive(Deserialize)]
struct Conversation {
    name: String,
    job: Job,
    before: Vec<Event>,
    after: Vec<Event>,
    messages: Vec<Value>,
    close: Option<u16>,
}

#[derive(Deserialize)]
struct Job {
    kind: String,
    id: String,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    event_type: String,
    payload: Value,
}

/// What a client of a dialect gets of one event of its job.
type Tell = fn(&Occurrence<'_>) -> Option<Bytes>;

impl Conversation {
    fn rehearsal(&self, route_kind: &str) -> Rehearsal {
        let mut rehearsal = Rehearsal::of(&self.job.kind, &self.job.id);
        rehearsal.naming = Naming::on_route(&rehearsal.job, route_kind);
        rehearsal
    }

    /// How an ending stands for the client: what was stored when it came is known to it, of what
    /// comes later each event is the newest when it is told.
    fn standing(&self, place: usize) -> Standing {
        let is_life_cycle = |event: &Event| LifeCycle::of(&event.event_type).is_some();
        if self.before.iter().skip(place + 1).any(is_life_cycle) {
            Standing::Superseded
        } else {
            Standing::Newest
        }
    }

    fn events(&self) -> impl Iterator<Item = (usize, &Event)> {
        self.before.iter().chain(&self.after).enumerate()
    }

    fn is_final(&self, place: usize, event: &Event) -> bool {
        let payload = event.payload.to_string();
        StoredBody::parse(payload.as_bytes()).is_ok_and(|body| {
            Happening::of(&event.event_type, body.data, self.standing(place)).is_final()
        })
    }

    fn check(&self, told: &[Bytes], close: Option<u16>) {
        self.check_values(&told.iter().map(payload).collect::<Vec<_>>(), close);
    }

    fn check_values(&self, told: &[Value], close: Option<u16>) {
        for (place, (told, expected)) in told.iter().zip(&self.messages).enumerate() {
            assert_eq!(&with_any_time(told, expected), expected, "{}, {place}", self.name);
        }
        assert_eq!(told.len(), self.messages.len(), "{}: {told:#?}", self.name);
        assert_eq!(close, self.close, "{}", self.name);
    }
}

/// The message with `<time>` where it has the time of the rehearsal and any time is expected.
fn with_any_time(told: &Value, expected: &Value) -> Value {
    let mut told = told.clone();
    if expected["timestamp"] == "<time>" && told["timestamp"] == STORED {
        told["timestamp"] = "<time>".into();
    }
    told
}

fn conversations(file: &str) -> Vec<Conversation> {
    let conversations: Vec<Conversation> = serde_json::from_str(file).expect("a golden file");
    assert!(conversations.len() >= 4);
    conversations
}

#[test]
fn an_optimisation_client_reads_every_stored_event_as_it_is() {
    for conversation in conversations(include_str!("../../tests/golden/optimization.json")) {
        let mut rehearsal = conversation.rehearsal("optimization");
        let told: Vec<Value> = (conversation.events())
            .filter_map(|(place, event)| {
                rehearsal.play(
                    &event.event_type,
                    &event.payload.to_string(),
                    conversation.standing(place),
                    |occurrence| {
                        let Occurrence { job, event, naming, .. } = *occurrence;
                        let encoded = optimization::encode_event(job, event, naming).ok()?;
                        serde_json::from_slice(encoded.body()).ok()
                    },
                )
            })
            .collect();
        conversation.check_values(&told, None);
    }
}

#[test]
fn a_beam_search_client_reads_the_job_from_its_beginning() {
    for conversation in conversations(include_str!("../../tests/golden/beam_search.json")) {
        let mut rehearsal = conversation.rehearsal("beam-search");
        let tell: Tell = |occurrence| beam_search::encode(occurrence, None);
        let mut told = Vec::new();
        for (place, event) in conversation.events() {
            told.extend(play(&conversation, &mut rehearsal, place, event, tell));
        }
        conversation.check(&told, None);
    }
}

#[test]
fn a_training_client_reads_where_the_job_stands_and_then_what_happens() {
    for conversation in conversations(include_str!("../../tests/golden/training.json")) {
        let mut rehearsal = conversation.rehearsal("training");
        let mut told = Vec::new();
        let mut close = None;
        let history = conversation.before.len();
        for (place, event) in conversation.events() {
            let message = play(&conversation, &mut rehearsal, place, event, training::encode);
            let is_final = conversation.is_final(place, event);
            if place + 1 == history {
                let Rehearsal { job, naming, progress, .. } = &rehearsal;
                told.push(training::initial(job, *naming, progress, STORED));
            }
            if place >= history || is_final {
                told.extend(message);
            }
            if is_final {
                close = Some(1000);
                break;
            }
        }
        conversation.check(&told, close);
    }
}

#[test]
fn an_agent_client_reads_that_it_is_connected_and_then_everything() {
    for conversation in conversations(include_str!("../../tests/golden/agent.json")) {
        let mut rehearsal = conversation.rehearsal("agent");
        let mut told = vec![agent::connected(&rehearsal.job, rehearsal.naming, STORED)];
        let mut close = None;
        for (place, event) in conversation.events() {
            told.extend(play(&conversation, &mut rehearsal, place, event, agent::encode));
            if conversation.is_final(place, event) {
                close = Some(1000);
                break;
            }
        }
        conversation.check(&told, close);
    }
}

fn play(
    conversation: &Conversation,
    rehearsal: &mut Rehearsal,
    place: usize,
    event: &Event,
    tell: Tell,
) -> Option<Bytes> {
    let payload = event.payload.to_string();
    rehearsal.play(&event.event_type, &payload, conversation.standing(place), tell)
}
