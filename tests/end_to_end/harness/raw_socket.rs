//! A WebSocket as bytes: frames as a test writes them, rules or no rules, and what comes back.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::client::PATH;
use super::within;

/// FIN, and the first bits of every whole message.
pub const FIN: u8 = 0x80;
/// Opcodes of RFC 6455.
pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// An upgraded connection without a protocol on our side.
pub struct RawSocket {
    stream: TcpStream,
}

/// A frame of the server.
#[derive(Debug, PartialEq, Eq)]
pub struct ServerFrame {
    /// FIN, reserved bits and opcode.
    pub first: u8,
    /// The payload.
    pub payload: Vec<u8>,
}

impl RawSocket {
    /// Upgrades a new connection where the optimisation dialect is spoken.
    pub async fn connect(address: SocketAddr) -> Self {
        let connecting = TcpStream::connect(address);
        Self::over(within("the connection", connecting).await.expect("a connection"), address).await
    }

    /// The same with a receive buffer as small as the system allows.
    pub async fn connect_with_a_small_buffer(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4 << 10).expect("a small receive buffer");
        let stream = within("the connection", socket.connect(address)).await.expect("a connection");
        Self::over(stream, address).await
    }

    async fn over(mut stream: TcpStream, address: SocketAddr) -> Self {
        let request = format!(
            "GET {PATH} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("an open connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(
                within("the upgrade is answered", stream.read_u8()).await.expect("an answer"),
            );
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Self { stream }
    }

    /// The port on our side.
    pub fn port(&self) -> u16 {
        self.stream.local_addr().expect("a connected socket").port()
    }

    /// Sends bytes that the server may hang up on while they are on their way.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = within("bytes are sent", self.stream.write_all(bytes)).await;
    }

    /// Sends the same bytes again and again, until the server takes no more or all were sent;
    /// tells how often it did.
    pub async fn flood(
        &mut self,
        bytes: &[u8],
        times: usize,
        patience: std::time::Duration,
    ) -> usize {
        for sent in 0..times {
            match tokio::time::timeout(patience, self.stream.write_all(bytes)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return sent,
            }
        }
        times
    }

    /// The next frame, however long it takes; `None`: the server has ended the stream.
    pub async fn next(&mut self) -> Option<ServerFrame> {
        self.read().await.ok()
    }

    async fn read(&mut self) -> std::io::Result<ServerFrame> {
        let first = self.stream.read_u8().await?;
        let length = match self.stream.read_u8().await? {
            126 => u64::from(self.stream.read_u16().await?),
            127 => self.stream.read_u64().await?,
            length => u64::from(length),
        };
        let mut payload = vec![0; usize::try_from(length).expect("a length that a server sends")];
        self.stream.read_exact(&mut payload).await?;
        Ok(ServerFrame { first, payload })
    }

    /// Reads to the close frame and then to the end of the stream; tells the code.
    pub async fn close_code(&mut self) -> Option<u16> {
        while let Some(frame) = self.next().await {
            if frame.first == FIN | CLOSE {
                let code = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                assert_eq!(self.next().await, None, "nothing follows a close");
                return code;
            }
        }
        None
    }
}

/// A masked frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x5a, 0x11, 0xc3, 0x07];
    let mut frame = header(first, 0x80, payload.len() as u64);
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A frame as only servers may send it.
pub fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, 0, payload.len() as u64);
    frame.extend(payload);
    frame
}

/// The beginning of a masked frame that declares a length in eight bytes, and nothing of it.
pub fn declaring(first: u8, length: u64) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | 127];
    frame.extend(length.to_be_bytes());
    frame.extend([0; 4]);
    frame
}

fn header(first: u8, masked: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        0..=125 => header.push(masked | length as u8),
        126..=0xffff => {
            header.push(masked | 126);
            header.extend((length as u16).to_be_bytes());
        }
        _ => {
            header.push(masked | 127);
            header.extend(length.to_be_bytes());
        }
    }
    header
}
