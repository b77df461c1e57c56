//! WebSocket frames as a client sees them (RFC 6455, section 5.2): headers of a server's frames
//! are read, our own are masked.

/// A text frame.
pub(super) const TEXT: u8 = 1;
/// A binary frame.
pub(super) const BINARY: u8 = 2;
/// The other side goes.
pub(super) const CLOSE: u8 = 8;
/// The other side wants a pong.
pub(super) const PING: u8 = 9;
/// Its answer.
pub(super) const PONG: u8 = 10;

/// Any key will do: nobody is between us and the server.
const KEY: [u8; 4] = [0x3a, 0x91, 0x5c, 0xe7];

/// A server has masked a frame, which it must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server sent a masked frame")]
pub(super) struct MaskedByServer;

/// What stands before a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// What kind of frame; 0 goes on with the last one.
    pub(super) opcode: u8,
    /// Bytes of the header itself.
    pub(super) size: usize,
    /// Bytes of payload.
    pub(super) payload: u64,
}

impl Header {
    /// Reads the header at the beginning; `None` if it is not whole yet.
    ///
    /// # Errors
    /// [`MaskedByServer`]: these bytes are no frames of a server.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, MaskedByServer> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        if second & 0x80 != 0 {
            return Err(MaskedByServer);
        }
        let length = match second {
            126 => rest.first_chunk().map(|bytes| (4, u64::from(u16::from_be_bytes(*bytes)))),
            127 => rest.first_chunk().map(|bytes| (10, u64::from_be_bytes(*bytes))),
            short => Some((2, u64::from(short))),
        };
        Ok(length.map(|(size, payload)| Self { opcode: first & 0x0f, size, payload }))
    }
}

/// A whole frame of a client.
pub(super) fn of_client(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(opcode, payload.len(), 0x80);
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A whole frame of a server.
pub(super) fn of_server(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(opcode, payload.len(), 0);
    frame.extend(payload);
    frame
}

/// The payload of a client's frame of at most 125 bytes, unmasked.
pub(super) fn short_of_client(frame: &[u8]) -> Option<Vec<u8>> {
    let &[_, length, ref rest @ ..] = frame else { return None };
    let (key, payload) = rest.split_first_chunk::<4>()?;
    let payload = payload.get(..usize::from(length & 0x7f))?;
    Some(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect())
}

fn head(opcode: u8, payload: usize, mask: u8) -> Vec<u8> {
    let mut head = Vec::with_capacity(payload + 14);
    head.push(0x80 | opcode);
    match (u8::try_from(payload), u16::try_from(payload)) {
        (Ok(short @ 0..=125), _) => head.push(mask | short),
        (_, Ok(medium)) => {
            head.push(mask | 126);
            head.extend(medium.to_be_bytes());
        }
        _ => {
            head.push(mask | 127);
            head.extend((payload as u64).to_be_bytes());
        }
    }
    head
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use hyper_tungstenite::tungstenite::protocol::Role;
    use hyper_tungstenite::tungstenite::{Message, WebSocket};

    use super::*;

    const LENGTHS: [usize; 9] = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 300_000];

    #[test]
    fn headers_of_all_lengths_are_read_and_no_part_of_one_is() {
        for length in LENGTHS {
            let frame = of_server(TEXT, &vec![b'x'; length]);
            let header = Header::read(&frame).expect("a frame").expect("a whole header");
            assert_eq!(header.size + length, frame.len());
            assert_eq!((header.opcode, header.payload), (TEXT, length as u64));
            for cut in 0..header.size {
                assert_eq!(Header::read(&frame[..cut]), Ok(None), "{cut} of {length}");
            }
        }
    }

    #[test]
    fn a_websocket_server_reads_our_frames_of_all_lengths() {
        for length in LENGTHS {
            let payload = "x".repeat(length);
            let stream = Cursor::new(of_client(TEXT, payload.as_bytes()));
            let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
            assert_eq!(socket.read().expect("a message"), Message::text(payload), "{length}");
        }
    }

    #[test]
    fn a_short_frame_of_a_client_is_read_back() {
        assert_eq!(short_of_client(&of_client(TEXT, b"12345")).as_deref(), Some(&b"12345"[..]));
        assert_eq!(short_of_client(&of_client(TEXT, b"12345")[..9]), None);
    }

    #[test]
    fn a_masked_frame_of_a_server_is_refused() {
        assert_eq!(Header::read(&of_client(TEXT, b"x")), Err(MaskedByServer));
    }
}
