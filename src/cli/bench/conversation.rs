//! What a watcher says to a server until events come: the one difference between the servers that
//! are measured.

use serde::Deserialize;

use super::frames;

/// How a job is called, and where its events are published.
#[derive(Debug, Clone)]
pub(super) struct Jobs {
    prefix: String,
}

impl Jobs {
    /// Names that no earlier run has used.
    pub(super) fn new() -> Self {
        Self { prefix: format!("bench-{:08x}", fastrand::u32(..)) }
    }

    /// A job's id.
    pub(super) fn id(&self, job: u32) -> String {
        format!("{}-{job}", self.prefix)
    }

    /// The subject of its events.
    pub(super) fn subject(&self, job: u32) -> String {
        format!("jobs.optimization.{}.progress", self.id(job))
    }

    /// What matches all of its events, whatever their type, as whoever reads a job must ask.
    pub(super) fn filter(&self, job: u32) -> String {
        format!("jobs.optimization.{}.>", self.id(job))
    }
}

/// How messages are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Transport {
    /// WebSocket, text frames from us.
    #[default]
    Websocket,
    /// WebSocket, binary frames from us.
    BinaryWebsocket,
    /// The body of an HTTP answer.
    EventStream,
}

/// One thing that is said, and what has to be heard before the next.
///
/// `{job}`, `{number}`, `{subject}` and `{after}` stand for the job's id, its number, its subject
/// and the last event that the watcher has seen.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Step {
    /// What is said.
    pub(super) say: String,
    /// A text in the server's answer.
    pub(super) until: String,
}

/// How events are asked for.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Conversation {
    /// The path that is asked for, with the same placeholders.
    pub(super) path: String,
    /// How messages are carried.
    #[serde(default)]
    pub(super) transport: Transport,
    /// What is said, in order.
    #[serde(default)]
    pub(super) steps: Vec<Step>,
    /// The end of a message that wants an answer, where the server asks in messages of its own.
    #[serde(default)]
    pub(super) ping: Option<String>,
    /// The answer.
    #[serde(default)]
    pub(super) pong: String,
    /// How a message begins that says no.
    #[serde(default)]
    pub(super) refusal: Option<String>,
}

/// What stands for the placeholders.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) jobs: &'a Jobs,
    pub(super) job: u32,
    pub(super) after: u64,
}

impl Words<'_> {
    fn fill(self, template: &str) -> String {
        template
            .replace("{job}", &self.jobs.id(self.job))
            .replace("{number}", &self.job.to_string())
            .replace("{subject}", &self.jobs.subject(self.job))
            .replace("{after}", &self.after.to_string())
    }
}

impl Conversation {
    /// With the gateway: everything from now on.
    pub(super) fn gateway_live() -> Self {
        Self::gateway(r#"{"type":"subscribe","jobId":"{job}"}"#)
    }

    /// With the gateway: what was missed, then everything.
    pub(super) fn gateway_after() -> Self {
        Self::gateway(r#"{"type":"subscribe","jobId":"{job}","afterEventId":{after}}"#)
    }

    fn gateway(subscribe: &str) -> Self {
        Self {
            path: "/ws/optimization".into(),
            transport: Transport::Websocket,
            steps: vec![Step { say: subscribe.into(), until: r#""type":"subscribed""#.into() }],
            ping: None,
            pong: String::new(),
            refusal: Some(r#"{"type":"error""#.into()),
        }
    }

    /// With the WebSocket listener of a nats-server: a core subscription.
    pub(super) fn nats() -> Self {
        let hello = concat!(
            r#"CONNECT {"verbose":false,"pedantic":false,"lang":"jobwire","version":"1"}"#,
            "\r\nSUB {subject} 1\r\nPING\r\n"
        );
        Self {
            path: "/".into(),
            transport: Transport::BinaryWebsocket,
            steps: vec![Step { say: hello.into(), until: "PONG\r\n".into() }],
            ping: Some("PING\r\n".into()),
            pong: "PONG\r\n".into(),
            refusal: Some("-ERR".into()),
        }
    }

    /// With the server that does nothing but write.
    pub(super) fn floor() -> Self {
        Self {
            path: "/".into(),
            transport: Transport::Websocket,
            steps: vec![Step { say: "{number}".into(), until: "ready".into() }],
            ping: None,
            pong: String::new(),
            refusal: None,
        }
    }

    /// The HTTP request that everything begins with.
    pub(super) fn request(&self, host: &str, words: Words<'_>) -> Vec<u8> {
        let path = words.fill(&self.path);
        let wish = match self.transport {
            Transport::EventStream => "Accept: text/event-stream",
            _ => {
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
            }
        };
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{wish}\r\n\r\n").into_bytes()
    }

    /// The status that the answer has to have.
    pub(super) fn status(&self) -> &'static [u8] {
        match self.transport {
            Transport::EventStream => b"HTTP/1.1 200",
            _ => b"HTTP/1.1 101",
        }
    }

    /// A message of ours as it is sent.
    pub(super) fn frame(&self, message: &str) -> Vec<u8> {
        let opcode = match self.transport {
            Transport::BinaryWebsocket => frames::BINARY,
            _ => frames::TEXT,
        };
        frames::of_client(opcode, message.as_bytes())
    }

    /// What is said at this step, as it is sent.
    pub(super) fn saying(&self, step: &Step, words: Words<'_>) -> Vec<u8> {
        self.frame(&words.fill(&step.say))
    }
}
