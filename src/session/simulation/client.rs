//! Clients of the model: they read when they like, break off when they like, and come back with
//! the last id that they have seen.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use hyper_tungstenite::tungstenite::{Message, protocol::Role};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;

use super::log::job;
use crate::session::socket::MAX_MESSAGE;
use crate::session::{
    Endpoint, EventBody, Opening, Profile, ReadRefusal, Socket, Transport, Worker, event_pipe,
};

/// What a client has seen of one job.
#[derive(Default)]
pub struct Seen {
    pub ids: Vec<u64>,
    /// Events after one id and before another may be gone, as it was told.
    pub gaps: Vec<(u64, u64)>,
    /// Cursor of a subscribe that is not answered yet; one at a time, since one answer may stand
    /// for several.
    asked: Option<u64>,
}

impl Seen {
    pub fn last(&self) -> u64 {
        self.ids.last().copied().unwrap_or(0)
    }
}

/// See the module's text.
pub struct Client {
    pub name: String,
    pub jobs: Vec<usize>,
    pub seen: RefCell<BTreeMap<usize, Seen>>,
    /// Connections that it has had.
    pub connections: Cell<usize>,
    rng: RefCell<fastrand::Rng>,
    over_http: bool,
}

impl Client {
    pub fn new(name: String, mut rng: fastrand::Rng, jobs: usize) -> Rc<Self> {
        let over_http = rng.u8(0..4) == 0;
        let wanted = if over_http { 1 } else { rng.usize(1..=3) };
        let mut jobs: Vec<usize> = (0..jobs).collect();
        rng.shuffle(&mut jobs);
        jobs.truncate(wanted);
        let seen = jobs.iter().map(|job| (*job, Seen::default())).collect();
        Rc::new(Self {
            name,
            jobs,
            seen: RefCell::new(seen),
            connections: Cell::new(0),
            rng: RefCell::new(rng),
            over_http,
        })
    }

    fn number(&self, range: std::ops::Range<u64>) -> u64 {
        self.rng.borrow_mut().u64(range)
    }

    /// One connection, which may last or not; `calm`: it is read to its end.
    pub async fn connect(&self, worker: &Rc<Worker>, profiles: &Profiles, calm: bool) {
        self.connections.set(self.connections.get() + 1);
        let life = Duration::from_millis(self.number(1..8_000));
        let reading = async {
            if self.over_http {
                self.stream(worker, profiles, calm).await;
            } else {
                self.websocket(worker, profiles, calm).await;
            }
        };
        if calm {
            reading.await;
        } else {
            // Dropped in the middle of whatever it was doing.
            let _ = tokio::time::timeout(life, reading).await;
        }
    }

    async fn pause(&self, calm: bool) {
        if calm {
            return;
        }
        let milliseconds = match self.number(0..40) {
            0 => self.number(0..3_000),
            1..=10 => self.number(0..50),
            _ => return,
        };
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }

    async fn websocket(&self, worker: &Rc<Worker>, profiles: &Profiles, calm: bool) {
        let buffer = usize::try_from(self.number(64..9_000)).expect("a size");
        let (ours, theirs) = tokio::io::duplex(buffer);
        let socket = Socket::new(Transport::Model(theirs), Vec::new(), MAX_MESSAGE);
        let endpoint = Endpoint::WebSocket(Box::new(socket));
        let serving = Rc::clone(worker).serve(endpoint, profiles.optimization.clone(), None);
        tokio::task::spawn_local(serving);
        self.seen.borrow_mut().values_mut().for_each(|seen| seen.asked = None);
        let mut socket = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
        for number in &self.jobs {
            if !self.subscribe(&mut socket, *number).await {
                return;
            }
        }
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                let message: Value = serde_json::from_str(&text).expect("JSON");
                let again = self.hear(&message);
                // Some subscribe anew whenever their page is drawn again.
                let is_answered = |job: &usize| self.seen.borrow()[job].asked.is_none();
                let anew = (!calm && self.number(0..60) == 0).then(|| self.jobs[0]);
                let anew = anew.filter(is_answered);
                for number in again.into_iter().chain(anew) {
                    if !self.subscribe(&mut socket, number).await {
                        return;
                    }
                }
            }
            self.pause(calm).await;
        }
    }

    /// `false` if the connection is over.
    async fn subscribe(&self, socket: &mut WebSocketStream<DuplexStream>, number: usize) -> bool {
        let after = {
            let mut seen = self.seen.borrow_mut();
            let seen = seen.get_mut(&number).expect("a watched job");
            seen.asked = Some(seen.last());
            seen.last()
        };
        let request =
            json!({ "type": "subscribe", "jobId": job(number).id(), "afterEventId": after });
        socket.send(Message::text(request.to_string())).await.is_ok()
    }

    /// Notes what a message says; the job to subscribe to again, if that was refused for now.
    fn hear(&self, message: &Value) -> Option<usize> {
        let number = |message: &Value| -> usize {
            let id = message["jobId"].as_str().expect("a job in every message");
            id.trim_start_matches('j').parse().expect("a job of the model")
        };
        match message["type"].as_str().expect("a type") {
            "event" => self.note(number(message), &message["event"]),
            "replay" => {
                for event in message["data"].as_array().expect("events") {
                    self.note(number(message), event);
                }
            }
            "error" if message["code"] == "HISTORY_TRUNCATED" => {
                let of = |field: &str| message[field].as_u64().expect("a number");
                let gap = (of("requestedAfter"), of("firstAvailable"));
                let mut seen = self.seen.borrow_mut();
                seen.get_mut(&number(message)).expect("a watched job").gaps.push(gap);
            }
            // Not answered in time; or retention has taken all of the job.
            "error" if message["code"] == "UNAVAILABLE" || message["code"] == "JOB_NOT_FOUND" => {
                let number = number(message);
                let mut seen = self.seen.borrow_mut();
                seen.get_mut(&number).expect("a watched job").asked = None;
                return Some(number);
            }
            "subscribed" => self.begin_anew(number(message)),
            _ => panic!("{} got {message}", self.name),
        }
        None
    }

    /// The subscription has moved to the cursor of the subscribe: what was on its way from the old
    /// one then comes once more.
    fn begin_anew(&self, number: usize) {
        let mut seen = self.seen.borrow_mut();
        let seen = seen.get_mut(&number).expect("a watched job");
        let after = seen.asked.take().expect("an answer to a subscribe");
        seen.ids.retain(|id| *id <= after);
    }

    fn note(&self, number: usize, event: &Value) {
        self.note_id(number, event["id"].as_u64().expect("an id"));
    }

    fn note_id(&self, number: usize, id: u64) {
        let mut seen = self.seen.borrow_mut();
        let seen = seen.get_mut(&number).expect("a watched job");
        assert!(id > seen.last(), "{} got {id} after {} of j{number}", self.name, seen.last());
        seen.ids.push(id);
    }

    async fn stream(&self, worker: &Rc<Worker>, profiles: &Profiles, calm: bool) {
        let number = self.jobs[0];
        let after = self.seen.borrow()[&number].last();
        let (pipe, body, begins) = event_pipe();
        let profile =
            Profile { job: Some(job(number)), after: Some(after), ..profiles.events.clone() };
        let serving = Rc::clone(worker).serve(Endpoint::Events(pipe), profile, None);
        tokio::task::spawn_local(serving);
        match begins.await.expect("a beginning") {
            Opening::Events => self.blocks(number, body, calm).await,
            Opening::Refused(ReadRefusal::Gone { first_available, .. }) => {
                let mut seen = self.seen.borrow_mut();
                let seen = seen.get_mut(&number).expect("a watched job");
                seen.gaps.push((after, first_available));
                // Nothing lies before it: the next request begins there.
                if first_available > 0 && seen.last() < first_available - 1 {
                    seen.ids.push(first_available - 1);
                }
            }
            // Retention may have taken all of the job.
            Opening::Refused(ReadRefusal::Unavailable | ReadRefusal::NotFound) => {}
            other => panic!("{} got {other:?}", self.name),
        }
    }

    async fn blocks(&self, number: usize, mut body: EventBody, calm: bool) {
        let mut text = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            text.extend_from_slice(&frame.into_data().unwrap_or_else(|_| Bytes::new()));
            while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = text.drain(..end + 2).collect();
                let block = String::from_utf8(block).expect("UTF-8");
                let id = block.lines().find_map(|line| line.strip_prefix("id: "));
                if let Some(id) = id {
                    self.note_id(number, id.parse().expect("an id"));
                }
            }
            self.pause(calm).await;
        }
    }
}

/// What the two sorts of connections are.
pub struct Profiles {
    pub optimization: Profile,
    pub events: Profile,
}
