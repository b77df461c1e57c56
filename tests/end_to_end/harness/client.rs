//! A WebSocket client that speaks the optimisation dialect.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::transcript::Transcript;
use super::{ByteStream, PATIENCE, within, within_time};

/// Where the optimisation dialect is spoken.
pub const PATH: &str = "/ws/optimization";

/// What common clients stop at.
const LARGEST_MESSAGE: usize = 1 << 20;

/// Largest batch of the contract.
const LARGEST_BATCH: usize = 256 << 10;

/// How long tens of thousands of requests may take.
const FLOOD: Duration = Duration::from_secs(60);

/// A request that is not taken for so long is not wanted now.
const TAKES_NO_MORE: Duration = Duration::from_secs(1);

/// Why no message came.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// A closing handshake, with what the server said.
    #[error("the server closed: {0:?}")]
    Closed(Option<CloseFrame>),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(tungstenite::Error),
}

/// One connection.
pub struct Client {
    socket: WebSocketStream<Box<dyn ByteStream>>,
    /// Bytes of text received so far.
    pub received_bytes: usize,
}

impl Client {
    /// Connects to a gateway.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.expect("a WebSocket connection")
    }

    /// Connects with a receive buffer as small as the system allows.
    pub async fn connect_with_a_small_buffer(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4 << 10).expect("a small receive buffer");
        let stream = within("the connection", socket.connect(address)).await.expect("a connection");
        Self::over(stream, address).await
    }

    /// Upgrades a connection of one's own.
    pub async fn over(stream: impl ByteStream + 'static, address: SocketAddr) -> Self {
        let upgrading = Self::upgrade(stream, address);
        within("the upgrade is answered", upgrading).await.expect("a WebSocket connection")
    }

    /// Connects to somebody who might not be there, or not want us.
    pub async fn try_connect(address: SocketAddr) -> Result<Self, tungstenite::Error> {
        let connecting = async { Self::upgrade(TcpStream::connect(address).await?, address).await };
        within("the upgrade is answered", connecting).await
    }

    async fn upgrade(
        stream: impl ByteStream + 'static,
        address: SocketAddr,
    ) -> Result<Self, tungstenite::Error> {
        let stream: Box<dyn ByteStream> = Box::new(stream);
        let limits = WebSocketConfig::default()
            .read_buffer_size(16 << 10)
            .max_message_size(Some(LARGEST_MESSAGE))
            .max_frame_size(Some(LARGEST_MESSAGE));
        let url = format!("ws://{address}{PATH}");
        let (socket, _) = client_async_with_config(url, stream, Some(limits)).await?;
        Ok(Self { socket, received_bytes: 0 })
    }

    /// Sends any WebSocket message.
    pub async fn send_message(&mut self, message: Message) {
        within("a message is sent", self.socket.send(message)).await.expect("an open connection");
    }

    /// Sends a message that the server may hang up on while it is still on its way.
    pub async fn send_unwelcome(&mut self, message: Message) {
        let _ = within("a message is sent", self.socket.send(message)).await;
    }

    /// Sends any text.
    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.send_message(Message::text(text.into())).await;
    }

    /// Sends a request.
    pub async fn send(&mut self, request: &Value) {
        self.send_text(request.to_string()).await;
    }

    /// Sends a request if the connection still takes it.
    pub async fn try_send(&mut self, request: &Value) -> Result<(), tungstenite::Error> {
        within("a request is sent", self.socket.send(Message::text(request.to_string()))).await
    }

    /// Sends requests as fast as they are taken, and hears what comes meanwhile.
    pub async fn send_all(
        &mut self,
        requests: impl IntoIterator<Item = Value>,
        mut hear: impl FnMut(Value),
    ) {
        let (mut sink, mut source) = (&mut self.socket).split();
        let sending = async {
            for request in requests {
                sink.feed(Message::text(request.to_string())).await?;
            }
            sink.flush().await
        };
        let mut sending = std::pin::pin!(within_time(FLOOD, "every request is taken", sending));
        loop {
            tokio::select! {
                sent = &mut sending => return sent.expect("an open connection"),
                received = source.next() => {
                    if let Message::Text(text) = received.expect("an open end").expect("a message") {
                        self.received_bytes += text.len();
                        hear(parse(&text));
                    }
                }
            }
        }
    }

    /// Sends requests without reading, until there are no more or no more are taken.
    pub async fn send_without_reading(&mut self, requests: &mut impl Iterator<Item = Value>) {
        let deadline = tokio::time::Instant::now() + FLOOD;
        for request in requests {
            assert!(tokio::time::Instant::now() < deadline, "requests are taken too slowly");
            let sending = self.socket.feed(Message::text(request.to_string()));
            match tokio::time::timeout(TAKES_NO_MORE, sending).await {
                Ok(sent) => sent.expect("an open connection"),
                Err(_) => return,
            }
        }
    }

    /// Asks for a job, from a cursor or without one, and does not wait for the answer.
    pub async fn subscribe(&mut self, job: &str, after: impl Into<Option<u64>>) {
        self.send(&subscribe_request(job, after.into())).await;
    }

    /// Asks for a job, and waits until `subscribed` says that it is.
    pub async fn subscribed(&mut self, job: &str, after: impl Into<Option<u64>>) -> Value {
        self.subscribe(job, after).await;
        self.expect("subscribed").await
    }

    /// Asks for a job with a request of one's own, and waits until `subscribed` says that it is.
    pub async fn subscribed_with(&mut self, request: &Value) -> Value {
        self.send(request).await;
        self.expect("subscribed").await
    }

    /// Subscribes from a cursor and reads until the event `last` is there.
    pub async fn collect_until(&mut self, job: &str, after: u64, last: u64) -> Transcript {
        let subscribed = self.subscribed(job, after).await;
        let mut transcript = Transcript::open(job, after, &subscribed);
        self.follow(&mut transcript, |transcript| transcript.position() >= last).await;
        transcript
    }

    /// Reads on until a transcript has what it should have.
    pub async fn follow(
        &mut self,
        transcript: &mut Transcript,
        enough: impl Fn(&Transcript) -> bool,
    ) {
        while !enough(transcript) {
            let message = self.next_message().await;
            transcript.take(&message);
        }
    }

    /// The next message, within [`PATIENCE`].
    pub async fn next_message(&mut self) -> Value {
        self.next_message_within(PATIENCE).await
    }

    /// The next message, within a time of one's own.
    pub async fn next_message_within(&mut self, limit: Duration) -> Value {
        let reading = self.read();
        match within_time(limit, "a message comes", reading).await {
            Ok(message) => message,
            Err(ended) => panic!("instead of a message {ended}"),
        }
    }

    /// The next message, which must be of this type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let message = self.next_message().await;
        assert_eq!(message["type"], kind, "instead of {kind}: {}", shortened(&message));
        message
    }

    /// The next message, which must be an error with this code.
    pub async fn expect_error(&mut self, code: &str) -> Value {
        let message = self.expect("error").await;
        assert_eq!(message["code"], code, "{message}");
        let sentence = message["error"].as_str().expect("a sentence in every error");
        assert!(!sentence.is_empty(), "{message}");
        message
    }

    /// Reads over what comes, errors excepted, until there is a message of this type.
    pub async fn skip_to(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next_message().await;
            if message["type"] == kind {
                return message;
            }
            assert_ne!(message["type"], "error", "before {kind}: {message}");
        }
    }

    /// The next message that is `subscribed` or an error: what answers a subscribe.
    pub async fn next_answer(&mut self) -> Value {
        loop {
            let message = self.next_message().await;
            if message["type"] == "subscribed" || message["type"] == "error" {
                return message;
            }
        }
    }

    /// Asserts that nothing else has come before the answer to a ping that is sent now.
    pub async fn expect_nothing_but_a_pong(&mut self) {
        self.send(&json!({ "type": "ping" })).await;
        self.expect("pong").await;
    }

    /// Reads over what comes until the server closes, and tells code and reason.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            let reading = self.read();
            match within("the server closes", reading).await {
                Ok(_) => {}
                Err(Ended::Closed(Some(frame))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Err(ended) => panic!("instead of a close code {ended}"),
            }
        }
    }

    /// Reads the next message without a limit in time, and answers pings meanwhile.
    pub async fn read(&mut self) -> Result<Value, Ended> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    self.received_bytes += text.len();
                    return Ok(parse(&text));
                }
                Some(Ok(Message::Close(frame))) => return Err(Ended::Closed(frame)),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("neither text nor control: {other:?}"),
                Some(Err(error)) => return Err(Ended::Broken(error)),
                None => return Err(Ended::Closed(None)),
            }
        }
    }
}

/// The request to watch a job, from a cursor or without one.
pub fn subscribe_request(job: &str, after: Option<u64>) -> Value {
    let mut request = json!({ "type": "subscribe", "jobId": job });
    if let Some(after) = after {
        request["afterEventId"] = after.into();
    }
    request
}

/// The events that a message brings, whatever its type.
pub fn events_in(message: &Value) -> Vec<Value> {
    match message["type"].as_str() {
        Some("event") => vec![message["event"].clone()],
        Some("replay") => message["data"].as_array().expect("a list of events").clone(),
        _ => Vec::new(),
    }
}

/// An event's id.
pub fn id_of(event: &Value) -> u64 {
    event["id"].as_u64().unwrap_or_else(|| panic!("no id in {}", shortened(event)))
}

/// A message in a length that can be read.
pub fn shortened(message: &Value) -> String {
    message.to_string().chars().take(400).collect()
}

fn parse(text: &str) -> Value {
    let message: Value = serde_json::from_str(text).expect("every message is JSON");
    assert!(message["type"].is_string(), "every message has a type: {}", shortened(&message));
    if message["type"] == "replay" && text.len() > LARGEST_BATCH {
        let events = message["data"].as_array().map_or(0, Vec::len);
        assert_eq!(events, 1, "a batch of {} bytes holds {events} events", text.len());
    }
    message
}
