//! What a session writes to and hears from: a WebSocket, or the body of a response.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::ending::{Ending, Farewell};
use super::event_pipe::{EventPipe, Opening};
use super::socket::{Incoming, Socket};
use crate::dialect::event_stream;

/// See the module's text.
pub enum Endpoint {
    /// Both sides speak.
    WebSocket(Box<Socket>),
    /// Only the gateway speaks.
    Events(EventPipe),
}

impl Endpoint {
    pub(super) fn poll_message(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Incoming, Ending>> {
        match self {
            Self::WebSocket(socket) => socket.poll_message(context),
            Self::Events(pipe) => pipe.poll_gone(context).map(|()| Err(Ending::Lost)),
        }
    }

    /// Tells how a stream of events begins. False: it has begun already, as a WebSocket always has.
    pub(super) fn open(&mut self, opening: Opening) -> bool {
        match self {
            Self::WebSocket(_) => false,
            Self::Events(pipe) => pipe.open(opening),
        }
    }

    pub(super) fn push(&mut self, frames: Bytes) {
        match self {
            Self::WebSocket(socket) => socket.push(frames),
            Self::Events(pipe) => pipe.push(frames),
        }
    }

    /// A sign of life where nothing else is to be said.
    pub(super) fn ping(&mut self) {
        match self {
            Self::WebSocket(socket) => socket.ping(),
            Self::Events(pipe) => pipe.push(Bytes::from_static(event_stream::KEEP_ALIVE)),
        }
    }

    /// Whether the client answers a ping.
    pub(super) fn answers_pings(&self) -> bool {
        matches!(self, Self::WebSocket(_))
    }

    /// Tells when to come back; a WebSocket's close frame tells it itself.
    pub(super) fn come_back_after(&mut self, wait: Duration) {
        if let Self::Events(pipe) = self {
            let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            pipe.push(event_stream::retry(milliseconds));
        }
    }

    pub(super) fn close(&mut self, farewell: &Farewell) {
        match self {
            Self::WebSocket(socket) => socket.close(farewell),
            Self::Events(pipe) => pipe.end(),
        }
    }

    pub(super) fn pending(&self) -> usize {
        match self {
            Self::WebSocket(socket) => socket.pending(),
            Self::Events(pipe) => pipe.pending(),
        }
    }

    /// Whether nothing more is to be read for now.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::WebSocket(socket) => socket.is_full(),
            // Its client asks for nothing more.
            Self::Events(_) => false,
        }
    }

    pub(super) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
    ) -> (usize, Poll<io::Result<()>>) {
        match self {
            Self::WebSocket(socket) => socket.poll_flush(context),
            Self::Events(pipe) => pipe.poll_flush(context),
        }
    }

    pub(super) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::WebSocket(socket) => socket.poll_shutdown(context),
            Self::Events(pipe) => {
                pipe.end();
                Poll::Ready(Ok(()))
            }
        }
    }

    pub(super) fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self {
            Self::WebSocket(socket) => socket.poll_discard(context),
            Self::Events(_) => Poll::Ready(Ok(0)),
        }
    }

    pub(super) fn reset(&mut self) {
        match self {
            Self::WebSocket(socket) => socket.reset(),
            Self::Events(pipe) => pipe.end(),
        }
    }
}
