//! An echo for protocol test-suites: the same upgrade, socket, queue and turns as a session has,
//! with another answer. Only with the feature `conformance`, never in what is shipped.

use bytes::{Bytes, BytesMut};

use super::connection::Session;
use super::socket::Incoming;
use crate::dialect::frame::TextFrame;

/// Where the echo is mounted.
pub const PATH: &str = "/__echo";
/// Bytes of a message at most: test-suites send up to 16 MiB.
pub(super) const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// FIN and the opcode of a binary frame.
const FINAL_BINARY: u8 = 0x82;

impl Session {
    pub(super) fn echo(&self, incoming: &Incoming) {
        let frame = match incoming {
            Incoming::Text(text) => frame(text.as_bytes()),
            Incoming::Binary(payload) => {
                let mut frame = BytesMut::from(frame(payload));
                if let Some(first) = frame.first_mut() {
                    *first = FINAL_BINARY;
                }
                frame.freeze()
            }
            Incoming::Control => return,
        };
        self.state.borrow_mut().socket.push(frame);
    }
}

fn frame(payload: &[u8]) -> Bytes {
    let mut frame = TextFrame::with_capacity(payload.len());
    frame.push_bytes(payload);
    frame.finish().0
}
