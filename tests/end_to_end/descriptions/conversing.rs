//! A WebSocket client that holds both sides of a conversation against the description.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::description::Description;
use crate::harness::raw_client::{Heard, RawClient};

/// Who says something.
#[derive(Clone, Copy, Debug)]
pub enum Speaker {
    /// The gateway receives it.
    Client,
    /// The gateway sends it.
    Gateway,
}

impl Description {
    /// The places of the messages that one side may send on a channel.
    fn messages(&self, channel: &str, speaker: Speaker) -> Vec<String> {
        let action = match speaker {
            Speaker::Client => "receive",
            Speaker::Gateway => "send",
        };
        let operations = self.document()["operations"].as_object().expect("operations");
        let matching = operations.values().filter(|operation| {
            operation["action"] == action
                && operation["channel"]["$ref"] == format!("#/channels/{channel}")
        });
        let listed = matching.flat_map(|operation| operation["messages"].as_array());
        let of_all = listed.flatten().filter_map(|message| message["$ref"].as_str());
        of_all.map(|place| format!("{}/payload", place.trim_start_matches('#'))).collect()
    }

    /// Holds a message against those of a channel: it must be exactly one of them.
    pub fn check_message(&self, channel: &str, speaker: Speaker, message: &Value) {
        let known = self.messages(channel, speaker);
        let misfits: Vec<Option<String>> =
            known.iter().map(|place| self.misfit(place, message)).collect();
        let fitting: Vec<&String> = known
            .iter()
            .zip(&misfits)
            .filter(|(_, misfit)| misfit.is_none())
            .map(|(place, _)| place)
            .collect();
        match fitting[..] {
            [place] => self.check(place, message),
            [] => panic!("{speaker:?} says {message}, but {misfits:#?}"),
            _ => panic!("{speaker:?} says {message}, which is all of {fitting:?}"),
        }
    }

    /// Everything that may be said on a channel, and how it is opened.
    pub fn parts_of_channel(&self, channel: &str) -> BTreeSet<String> {
        let sides = [Speaker::Client, Speaker::Gateway];
        let messages = sides.into_iter().flat_map(|speaker| self.messages(channel, speaker));
        let mut parts: BTreeSet<String> = messages.flat_map(|place| self.parts(&place)).collect();
        let binding = self.binding(channel);
        parts.extend(self.parts(&format!("{binding}/query")));
        parts.extend(self.parts(&format!("{binding}/headers")));
        parts
    }

    fn binding(&self, channel: &str) -> String {
        format!("{}/ws", self.resolve(&format!("/channels/{channel}/bindings")))
    }
}

/// One connection.
pub struct Conversation<'a> {
    description: &'a Description,
    channel: &'static str,
    client: RawClient,
}

impl<'a> Conversation<'a> {
    /// Opens the channel at a path, offering subprotocols if there are any.
    pub async fn open(
        description: &'a Description,
        channel: &'static str,
        address: SocketAddr,
        path: &str,
        protocols: &str,
    ) -> Self {
        let (path_alone, query) = path.split_once('?').unwrap_or((path, ""));
        let pairs = form_urlencoded::parse(query.as_bytes());
        let query: Value = pairs.map(|(name, value)| (name.into_owned(), json!(value))).collect();
        let binding = description.binding(channel);
        description.check(&format!("{binding}/query"), &query);
        if !protocols.is_empty() {
            let headers = json!({ "Sec-WebSocket-Protocol": protocols });
            description.check(&format!("{binding}/headers"), &headers);
        }
        let template = description.at(&format!("/channels/{channel}"))["address"].as_str();
        assert!(is_at(path_alone, template.expect("an address")), "{path} is not {template:?}");
        let client = RawClient::offering(address, path, protocols).await;
        Self { description, channel, client }
    }

    /// Says something that is described.
    pub async fn say(&mut self, message: Value) {
        self.description.check_message(self.channel, Speaker::Client, &message);
        self.client.say(message.to_string()).await;
    }

    /// Says something that nobody should.
    pub async fn blurt(&mut self, text: &str) {
        self.client.say(text).await;
    }

    /// The next message.
    pub async fn message(&mut self) -> Value {
        let message = self.client.message().await;
        self.description.check_message(self.channel, Speaker::Gateway, &message);
        message
    }

    /// Reads until there is a message with this field of this value.
    pub async fn until(&mut self, field: &str, value: impl Into<Value>) -> Value {
        let value = value.into();
        loop {
            let message = self.message().await;
            if message[field] == value {
                return message;
            }
        }
    }

    /// Everything up to the end, and its code.
    pub async fn rest(mut self) -> (Vec<Value>, u16) {
        let mut messages = Vec::new();
        loop {
            match self.client.hear().await {
                Heard::Message(message) => {
                    self.description.check_message(self.channel, Speaker::Gateway, &message);
                    messages.push(message);
                }
                Heard::Closed(code, _) => return (messages, code),
            }
        }
    }
}

/// Whether a path is one that a template with `{places}` names.
pub fn is_at(path: &str, template: &str) -> bool {
    let (path, template): (Vec<&str>, Vec<&str>) =
        (path.split('/').collect(), template.split('/').collect());
    path.len() == template.len()
        && path.iter().zip(&template).all(|(part, name)| name.starts_with('{') || part == name)
}
