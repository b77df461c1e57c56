//! A WebSocket over a byte stream, with one outgoing queue.
//!
//! tungstenite reads frames and keeps the protocol; its own replies (pong, close) go into the
//! same queue as our frames, so that a half-written frame is always finished first.

use std::io::{self, Read, Write};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper_tungstenite::tungstenite::error::{CapacityError, Error};
use hyper_tungstenite::tungstenite::protocol::frame::CloseFrame;
use hyper_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use hyper_tungstenite::tungstenite::{Message, Utf8Bytes, WebSocket};
use tokio::io::ReadBuf;

use super::ending::{Ending, Farewell};
use super::outgoing::Outgoing;
use super::refusals::Reason;
use super::transport::Transport;

/// Bytes of a client's message at most (PROTOCOLS section 1).
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Reads that a message of the largest size may take. With 64 KiB that makes a buffer of 256 bytes, which a
/// connection keeps while it is idle, and which is filled with zeros before each read: enough for what
/// clients say, tokens aside.
const READS: usize = 256;

/// What tungstenite reads from and writes to.
struct Pipe {
    transport: Transport,
    outgoing: Outgoing,
    /// Who is woken when there is something to read.
    reader: Waker,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = ReadBuf::new(buffer);
        let mut context = Context::from_waker(&self.reader);
        match self.transport.poll_read(&mut context, &mut read) {
            Poll::Ready(result) => result.map(|()| read.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.push(Bytes::copy_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a client sent.
#[derive(Debug)]
pub enum Incoming {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message.
    Binary(Bytes),
    /// A ping or pong; answered already where it needs an answer.
    Control,
}

/// See the module's text.
pub struct Socket {
    websocket: WebSocket<Pipe>,
}

impl Socket {
    /// A server's socket over an upgraded stream, of which `read` bytes were read already, for
    /// messages of at most `max_message` bytes.
    pub fn new(transport: Transport, read: Vec<u8>, max_message: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(max_message / READS)
            .write_buffer_size(0)
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message));
        let pipe = Pipe { transport, outgoing: Outgoing::default(), reader: Waker::noop().clone() };
        Self { websocket: WebSocket::from_partially_read(pipe, read, Role::Server, Some(config)) }
    }

    /// The next message, control frames included.
    ///
    /// # Errors
    /// How the connection ends.
    pub fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Result<Incoming, Ending>> {
        let pipe = self.websocket.get_mut();
        if !pipe.reader.will_wake(context.waker()) {
            pipe.reader = context.waker().clone();
        }
        let message = self.websocket.read();
        // Whatever the protocol answers by itself goes into the queue now.
        let flushed = self.websocket.flush();
        match message {
            Ok(Message::Text(text)) => Poll::Ready(Ok(Incoming::Text(text))),
            Ok(Message::Binary(payload)) => Poll::Ready(Ok(Incoming::Binary(payload))),
            Ok(Message::Close(_)) => Poll::Ready(Err(Ending::ClientClosed)),
            Ok(_) if flushed.is_ok() => Poll::Ready(Ok(Incoming::Control)),
            Ok(_) => Poll::Ready(Err(Ending::Lost)),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => Poll::Ready(Err(ending_of(&error))),
        }
    }

    /// Appends whole frames to the queue.
    pub fn push(&mut self, frames: Bytes) {
        self.websocket.get_mut().outgoing.push(frames);
    }

    /// Appends a ping.
    pub fn ping(&mut self) {
        // An empty ping of a server (RFC 6455, section 5.5.2).
        self.push(Bytes::from_static(&[0x89, 0x00]));
    }

    /// Appends a close frame. Nothing may be pushed afterwards.
    pub fn close(&mut self, farewell: &Farewell) {
        let frame = CloseFrame {
            code: farewell.code.0.into(),
            reason: Utf8Bytes::from(farewell.reason.as_str()),
        };
        // Fails only where the close handshake has begun already; then there is nothing to add.
        if self.websocket.close(Some(frame)).is_ok() {
            let _ = self.websocket.flush();
        }
    }

    /// Bytes that wait.
    pub fn pending(&self) -> usize {
        let pipe = self.websocket.get_ref();
        pipe.outgoing.pending() + pipe.transport.held()
    }

    /// Whether nothing more is to be read: a client's requests make answers, and wait for these.
    pub fn is_full(&self) -> bool {
        self.websocket.get_ref().outgoing.is_full()
    }

    /// Writes what waits; tells how many bytes the socket took, and whether any are left.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> (usize, Poll<io::Result<()>>) {
        let pipe = self.websocket.get_mut();
        pipe.transport.poll_send(context, &mut pipe.outgoing)
    }

    /// Ends our side of the stream.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.websocket.get_mut().transport.poll_shutdown(context)
    }

    /// Reads and throws away; `Ok(0)`: the client's side has ended.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut scratch = [0; 4096];
        let mut read = ReadBuf::new(&mut scratch);
        let transport = &mut self.websocket.get_mut().transport;
        transport.poll_read(context, &mut read).map_ok(|()| read.filled().len())
    }

    /// Gives the connection up without a word: the peer sees a reset, and the kernel frees what
    /// it had queued.
    pub fn reset(&mut self) {
        if let Err(error) = self.websocket.get_ref().transport.reset_on_drop() {
            tracing::debug!(%error, "a stuck connection is closed without a reset");
        }
    }
}

fn ending_of(error: &Error) -> Ending {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            Ending::Refused(Reason::MessageSize)
        }
        Error::Utf8(_) => Ending::NotUtf8,
        Error::Protocol(error) => {
            use hyper_tungstenite::tungstenite::error::ProtocolError;
            match error {
                ProtocolError::ResetWithoutClosingHandshake => Ending::Lost,
                _ => Ending::Violation,
            }
        }
        Error::ConnectionClosed => Ending::ClientClosed,
        _ => Ending::Lost,
    }
}
