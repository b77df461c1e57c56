//! A WebSocket client that knows no dialect: any path, any offer, and what the server says last.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, header};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::within;

/// What a client of any dialect can hear.
#[derive(Debug)]
pub enum Heard {
    /// A text message, which is JSON in every dialect.
    Message(Value),
    /// The closing handshake, with code and reason.
    Closed(u16, String),
}

/// One connection.
pub struct RawClient {
    socket: WebSocketStream<TcpStream>,
    /// The subprotocol that the server selected, empty if none.
    pub selected: String,
}

impl RawClient {
    /// Connects to a path.
    pub async fn connect(address: SocketAddr, path: &str) -> Self {
        Self::offering(address, path, "").await
    }

    /// Connects to a path and offers subprotocols; like a browser it fails unless one is selected.
    pub async fn offering(address: SocketAddr, path: &str, protocols: &str) -> Self {
        Self::try_offering(address, path, protocols).await.expect("a WebSocket connection")
    }

    /// Connects to a path with header fields of one's own.
    pub async fn with_fields(address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Self {
        Self::try_with_fields(address, path, fields).await.expect("a WebSocket connection")
    }

    /// Connects to a path where one might be refused.
    pub async fn try_connect(address: SocketAddr, path: &str) -> Result<Self, tungstenite::Error> {
        Self::try_offering(address, path, "").await
    }

    async fn try_offering(
        address: SocketAddr,
        path: &str,
        protocols: &str,
    ) -> Result<Self, tungstenite::Error> {
        let offer = [(header::SEC_WEBSOCKET_PROTOCOL.as_str(), protocols)];
        let fields = if protocols.is_empty() { &[] } else { offer.as_slice() };
        Self::try_with_fields(address, path, fields).await
    }

    async fn try_with_fields(
        address: SocketAddr,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<Self, tungstenite::Error> {
        let mut request = format!("ws://{address}{path}").into_client_request()?;
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a field's name");
            request.headers_mut().insert(name, HeaderValue::from_str(value).expect("a value"));
        }
        let connecting = async { client_async(request, TcpStream::connect(address).await?).await };
        let (socket, answer) = within("the upgrade is answered", connecting).await?;
        let selected = answer.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
        let selected = selected.map(|name| name.to_str().expect("a name").to_owned());
        Ok(Self { socket, selected: selected.unwrap_or_default() })
    }

    /// Sends any text.
    pub async fn say(&mut self, text: impl Into<String>) {
        self.send(Message::text(text.into())).await;
    }

    /// Leaves with a closing handshake.
    pub async fn leave(mut self) {
        let _ = within("the connection is closed", self.socket.close(None)).await;
    }

    /// The next message or the end.
    pub async fn hear(&mut self) -> Heard {
        loop {
            match self.frame().await {
                Message::Text(text) => {
                    return Heard::Message(serde_json::from_str(&text).expect("JSON"));
                }
                Message::Close(Some(frame)) => {
                    return Heard::Closed(frame.code.into(), frame.reason.to_string());
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("neither text nor an end with a code: {other:?}"),
            }
        }
    }

    /// The next message, which must come before any end.
    pub async fn message(&mut self) -> Value {
        match self.hear().await {
            Heard::Message(message) => message,
            Heard::Closed(code, reason) => panic!("closed instead: {code} {reason:?}"),
        }
    }

    /// The next messages.
    pub async fn messages(&mut self, count: usize) -> Vec<Value> {
        let mut messages = Vec::with_capacity(count);
        while messages.len() < count {
            messages.push(self.message().await);
        }
        messages
    }

    /// Everything up to the end, and the end's code and reason.
    pub async fn rest(&mut self) -> (Vec<Value>, u16, String) {
        let mut messages = Vec::new();
        loop {
            match self.hear().await {
                Heard::Message(message) => messages.push(message),
                Heard::Closed(code, reason) => return (messages, code, reason),
            }
        }
    }

    /// The end, before which nothing more is said.
    pub async fn closed(&mut self) -> (u16, String) {
        let (messages, code, reason) = self.rest().await;
        assert!(messages.is_empty(), "before the close {code}: {messages:?}");
        (code, reason)
    }

    /// Asserts that nothing was said before the answer to a ping that is sent now.
    pub async fn hears_nothing(&mut self) {
        const MARK: &[u8] = b"anything else?";
        self.send(Message::Ping(MARK.into())).await;
        loop {
            match self.frame().await {
                Message::Pong(answer) if *answer == *MARK => return,
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("not even a word was expected: {other:?}"),
            }
        }
    }

    async fn send(&mut self, message: Message) {
        within("a message is sent", self.socket.send(message)).await.expect("an open connection");
    }

    async fn frame(&mut self) -> Message {
        let next = within("a frame comes", self.socket.next()).await;
        next.expect("a closing handshake before the end").expect("an unbroken connection")
    }
}
