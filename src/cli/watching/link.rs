//! One WebSocket to a gateway: opened with a token, asked whether it lives, closed. Knows no jobs.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::header;
use hyper::upgrade::Upgraded;
use hyper_tungstenite::WebSocketStream;
use hyper_tungstenite::tungstenite::error::ProtocolError;
use hyper_tungstenite::tungstenite::handshake::client::generate_key;
use hyper_tungstenite::tungstenite::handshake::derive_accept_key;
use hyper_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use hyper_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout, timeout_at};

use super::gateway::{Gateway, GatewayError};

/// Opening takes at most so long, and so does an answer to a ping.
const PATIENCE: Duration = Duration::from_secs(10);
/// After so long without a message the gateway is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(20);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// The gateway's messages have 256 KiB, or one event of 512 KiB.
const LARGEST_MESSAGE: usize = 4 * 1024 * 1024;

/// There is no connection any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(in crate::cli) struct Lost {
    /// For people.
    pub(in crate::cli) reason: String,
    /// The gateway's close code, if it gave one.
    pub(in crate::cli) code: Option<u16>,
}

impl Lost {
    fn without_a_word(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), code: None }
    }

    /// How long the gateway asks to wait: it does so when it stops.
    pub(super) fn hint(&self) -> Option<Duration> {
        let is_restart = self.code == Some(1012);
        let milliseconds = is_restart.then(|| self.reason.parse().ok()).flatten();
        // Nobody may make a client wait for ever.
        milliseconds.map(|milliseconds: u64| Duration::from_millis(milliseconds.min(120_000)))
    }
}

/// A connection that is open. Dropping it cuts it.
#[derive(Debug)]
pub(in crate::cli) struct Link {
    socket: WebSocketStream<TokioIo<Upgraded>>,
    /// When silence has lasted too long.
    deadline: Instant,
    /// Whether a ping was sent that nothing came after.
    is_asked: bool,
}

impl Link {
    /// Connects with the token of this moment.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub(in crate::cli) async fn open(gateway: &Gateway) -> Result<Self, GatewayError> {
        let slow = || GatewayError::Unreachable {
            reason: format!("{} does not answer within {PATIENCE:?}", gateway.address()),
            wait: None,
        };
        timeout(PATIENCE, Self::upgraded(gateway)).await.unwrap_or_else(|_| Err(slow()))
    }

    async fn upgraded(gateway: &Gateway) -> Result<Self, GatewayError> {
        let key = generate_key();
        let answer = gateway.upgrade(&key).await?;
        let accepted = answer.headers().get(header::SEC_WEBSOCKET_ACCEPT);
        if accepted.is_none_or(|accepted| {
            accepted.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()
        }) {
            return Err(GatewayError::Strange("it opened no WebSocket".into()));
        }
        let upgraded = hyper::upgrade::on(answer).await;
        let upgraded = upgraded.map_err(|error| GatewayError::Strange(error.to_string()))?;
        let limits = WebSocketConfig::default()
            .max_message_size(Some(LARGEST_MESSAGE))
            .max_frame_size(Some(LARGEST_MESSAGE));
        let upgraded = TokioIo::new(upgraded);
        let socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(limits)).await;
        Ok(Self { socket, deadline: Instant::now() + SILENCE, is_asked: false })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`Lost`].
    pub(in crate::cli) async fn send(&mut self, message: &serde_json::Value) -> Result<(), Lost> {
        let sending = self.socket.send(Message::text(message.to_string()));
        match timeout(PATIENCE, sending).await {
            Ok(sent) => sent.map_err(|error| lost(&error)),
            Err(_) => Err(Lost::without_a_word("the gateway takes nothing")),
        }
    }

    /// The next message. May be given up and asked for again.
    ///
    /// # Errors
    /// [`Lost`], also when nothing comes for 20 s and no answer to a ping within 10 s.
    pub(in crate::cli) async fn receive(&mut self) -> Result<Utf8Bytes, Lost> {
        loop {
            let Ok(message) = timeout_at(self.deadline, self.socket.next()).await else {
                self.ask().await?;
                continue;
            };
            self.deadline = Instant::now() + SILENCE;
            self.is_asked = false;
            match message {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(frame))) => return Err(closed(frame)),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(lost(&error)),
                None => return Err(Lost::without_a_word("the connection broke")),
            }
        }
    }

    async fn ask(&mut self) -> Result<(), Lost> {
        if self.is_asked {
            return Err(Lost::without_a_word("the gateway does not answer"));
        }
        self.is_asked = true;
        self.deadline = Instant::now() + PATIENCE;
        self.send(&serde_json::json!({ "type": "ping" })).await
    }

    /// Says goodbye; without an answer in a second, just goes.
    pub(in crate::cli) async fn close(mut self) {
        let goodbye = async {
            // A connection that is gone already needs none.
            let _ = self.socket.close(None).await;
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }
}

fn closed(frame: Option<CloseFrame>) -> Lost {
    match frame {
        Some(frame) => Lost { reason: frame.reason.to_string(), code: Some(frame.code.into()) },
        None => Lost::without_a_word("the connection was closed"),
    }
}

fn lost(error: &Error) -> Lost {
    match error {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Lost::without_a_word("the connection broke")
        }
        Error::Capacity(_) | Error::Protocol(_) | Error::Utf8(_) => {
            Lost::without_a_word(format!("not the WebSocket of a gateway: {error}"))
        }
        _ => Lost::without_a_word("the connection broke"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_gateway_that_stops_says_how_long_to_wait() {
        let lost = |code, reason: &str| Lost { reason: reason.into(), code: Some(code) };
        assert_eq!(lost(1012, "1500").hint(), Some(Duration::from_millis(1500)));
        assert_eq!(lost(1012, "99999999").hint(), Some(Duration::from_secs(120)));
        for other in [lost(1012, ""), lost(1012, "-1"), lost(1013, "1500")] {
            assert_eq!(other.hint(), None, "{other:?}");
        }
    }
}
