//! WebSocket framing of messages that are encoded once and sent to many (RFC 6455, section 5.2).

use bytes::{Bytes, BytesMut};

/// The largest header of an unmasked frame: two bytes and a length of eight.
const LONGEST_HEADER: usize = 10;
/// FIN and the opcode of a text frame.
const FINAL_TEXT: u8 = 0x81;

/// A text message under construction. Room for the header is kept free in front.
pub struct TextFrame {
    buffer: BytesMut,
}

impl TextFrame {
    /// An empty message with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        let mut buffer = BytesMut::with_capacity(LONGEST_HEADER + capacity);
        buffer.extend_from_slice(&[0; LONGEST_HEADER]);
        Self { buffer }
    }

    /// Appends text.
    pub fn push(&mut self, text: &str) {
        self.buffer.extend_from_slice(text.as_bytes());
    }

    /// Appends bytes that are known to be UTF-8.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Appends a number in decimal.
    pub fn push_number(&mut self, number: u64) {
        use std::fmt::Write;
        // Writing to memory does not fail.
        let _ = write!(self.buffer, "{number}");
    }

    /// Appends text that holds nothing to escape, in quotes.
    pub fn push_plain_string(&mut self, text: &str) {
        self.push("\"");
        self.push(text);
        self.push("\"");
    }

    /// Bytes of payload so far.
    pub fn len(&self) -> usize {
        self.buffer.len() - LONGEST_HEADER
    }

    /// Whether nothing was appended yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole frame, and how many of its bytes are header.
    pub fn finish(mut self) -> (Bytes, usize) {
        let (header, length) = header(self.len());
        let start = LONGEST_HEADER - length;
        if let (Some(place), Some(header)) =
            (self.buffer.get_mut(start..LONGEST_HEADER), header.get(..length))
        {
            place.copy_from_slice(header);
        }
        (self.buffer.freeze().slice(start..), length)
    }
}

/// A whole text frame around a payload.
pub fn text(payload: &str) -> Bytes {
    let mut frame = TextFrame::with_capacity(payload.len());
    frame.push(payload);
    frame.finish().0
}

fn header(payload: usize) -> ([u8; LONGEST_HEADER], usize) {
    let mut header = [FINAL_TEXT, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    match (u8::try_from(payload), u16::try_from(payload)) {
        (Ok(short @ 0..=125), _) => {
            header[1] = short;
            (header, 2)
        }
        (_, Ok(medium)) => {
            header[1] = 126;
            header[2..4].copy_from_slice(&medium.to_be_bytes());
            (header, 4)
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&(payload as u64).to_be_bytes());
            (header, LONGEST_HEADER)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use hyper_tungstenite::tungstenite::protocol::Role;
    use hyper_tungstenite::tungstenite::{Message, WebSocket};

    use super::*;

    #[test]
    fn a_websocket_reads_back_every_length() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 300_000] {
            let payload = "x".repeat(length);
            let stream = Cursor::new(text(&payload).to_vec());
            let mut socket = WebSocket::from_raw_socket(stream, Role::Client, None);
            assert_eq!(socket.read().unwrap(), Message::text(payload), "{length}");
        }
    }
}
