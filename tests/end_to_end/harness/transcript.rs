//! What a subscription brought, checked against the contract's order as it comes.

use serde_json::Value;

use super::client::{events_in, id_of, shortened};

/// The events of one subscription: after the cursor, history in batches, then live.
#[derive(Debug)]
pub struct Transcript {
    job: String,
    /// `lastEventId` of `subscribed`: history ends here.
    pub last_event_id: u64,
    /// Every event so far.
    pub events: Vec<Value>,
    /// How many of them came one by one, after history.
    pub live: usize,
    /// How many batches history came in.
    pub batches: usize,
    position: u64,
}

impl Transcript {
    /// Begins with `subscribed`, at a cursor.
    pub fn open(job: &str, after: u64, subscribed: &Value) -> Self {
        assert_eq!(subscribed["jobId"], job, "{subscribed}");
        let last_event_id = subscribed["lastEventId"].as_u64().expect("lastEventId in subscribed");
        let position = after;
        let job = job.to_owned();
        Self { job, last_event_id, events: Vec::new(), live: 0, batches: 0, position }
    }

    /// Takes the next message, which must be the subscription's next in the contract's order.
    pub fn take(&mut self, message: &Value) {
        assert_eq!(message["jobId"], *self.job, "{}", shortened(message));
        let events = events_in(message);
        match message["type"].as_str() {
            Some("replay") => {
                assert_eq!(self.live, 0, "history after a live event");
                assert!(!events.is_empty(), "a batch of history without an event");
                self.batches += 1;
            }
            Some("event") => self.live += 1,
            _ => panic!("neither history nor event: {}", shortened(message)),
        }
        for event in events {
            self.take_event(event);
        }
    }

    fn take_event(&mut self, event: Value) {
        let id = id_of(&event);
        assert!(id > self.position, "{id} came after {}", self.position);
        let historic = id <= self.last_event_id;
        assert_eq!(historic, self.live == 0, "{id} with lastEventId {}", self.last_event_id);
        self.position = id;
        self.events.push(event);
    }

    /// The newest id so far, or the cursor.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Every id so far.
    pub fn ids(&self) -> Vec<u64> {
        self.events.iter().map(id_of).collect()
    }
}
