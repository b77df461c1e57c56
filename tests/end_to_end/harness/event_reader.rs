//! A reader of Server-Sent Events that shows every field of every block.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use super::plain_http::request;
use super::{ByteStream, within};

/// What stands between two empty lines.
#[derive(Debug, Default, PartialEq)]
pub struct Block {
    /// `id`.
    pub id: Option<u64>,
    /// `event`, the name under which a browser tells it.
    pub name: String,
    /// `data`.
    pub data: Value,
    /// `retry`, in milliseconds.
    pub retry: Option<u64>,
    /// Whether it was nothing but a comment.
    pub is_comment: bool,
}

/// An answer that is read event by event.
pub struct EventReader {
    stream: BufReader<Box<dyn ByteStream>>,
    /// The header fields, in lower case.
    pub head: String,
    /// Content that has come and was not read yet.
    content: Vec<u8>,
}

impl EventReader {
    /// Asks for a job's events, which must be granted.
    pub async fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let stream = within("the connection", TcpStream::connect(address)).await;
        Self::ask(stream.expect("a connection"), address, path, headers).await
    }

    /// The same with a receive buffer as small as the system allows.
    pub async fn open_with_a_small_buffer(address: SocketAddr, path: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4 << 10).expect("a small receive buffer");
        let stream = within("the connection", socket.connect(address)).await;
        Self::ask(stream.expect("a connection"), address, path, &[]).await
    }

    /// Asks over a connection of one's own.
    pub async fn ask(
        stream: impl ByteStream + 'static,
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Self {
        let request = request(address, path, headers);
        let asking = Self::try_ask(stream, &request);
        let reader = within("the answer's head", asking).await.expect("an unbroken connection");
        assert!(reader.head.starts_with("http/1.1 200 "), "{}", reader.head);
        reader
    }

    /// Asks over a connection that may break, for what may be refused: see `head`.
    pub async fn try_ask(
        mut stream: impl ByteStream + 'static,
        request: &str,
    ) -> std::io::Result<Self> {
        stream.write_all(request.as_bytes()).await?;
        let stream = BufReader::with_capacity(4 << 10, Box::new(stream) as Box<dyn ByteStream>);
        let mut reader = Self { stream, head: String::new(), content: Vec::new() };
        while !reader.head.ends_with("\r\n\r\n") {
            if reader.stream.read_line(&mut reader.head).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        reader.head.make_ascii_lowercase();
        Ok(reader)
    }

    /// The next block, comments included; `None` at the proper end of the answer.
    pub async fn block(&mut self) -> Option<Block> {
        self.try_block().await.expect("an unbroken connection")
    }

    /// The same on a connection that may break.
    pub async fn try_block(&mut self) -> std::io::Result<Option<Block>> {
        within("a block comes", self.read_block()).await
    }

    /// The same without a limit in time.
    pub async fn read_block(&mut self) -> std::io::Result<Option<Block>> {
        loop {
            if let Some(end) = self.content.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.content.drain(..end + 2).collect();
                return Ok(Some(parse(&String::from_utf8(block).expect("UTF-8"))));
            }
            if !self.read_chunk().await? {
                assert!(self.content.is_empty(), "half a block at the end");
                return Ok(None);
            }
        }
    }

    /// The next event, comments left out; `None` at the proper end of the answer.
    pub async fn event(&mut self) -> Option<Block> {
        loop {
            let block = self.block().await?;
            if !block.is_comment && block.retry.is_none() {
                return Some(block);
            }
        }
    }

    /// The ids of the next events.
    pub async fn ids(&mut self, count: usize) -> Vec<u64> {
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            let event = self.event().await.expect("an event before the end");
            ids.push(event.id.expect("an id with every event"));
        }
        ids
    }

    /// The events up to the proper end of the answer.
    pub async fn rest(&mut self) -> Vec<Block> {
        let mut events = Vec::new();
        while let Some(event) = self.event().await {
            events.push(event);
        }
        events
    }

    /// Reads a chunk; `false` if it was the last one.
    async fn read_chunk(&mut self) -> std::io::Result<bool> {
        let mut size = String::new();
        if self.stream.read_line(&mut size).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let size = usize::from_str_radix(size.trim_end(), 16).map_err(std::io::Error::other)?;
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).await?;
        chunk.truncate(size);
        self.content.extend(chunk);
        Ok(size > 0)
    }
}

#[allow(dead_code, reason = "what tests/reliability injects faults with")]
impl EventReader {
    /// What is left of an answer that is no stream of events, up to the connection's end.
    pub async fn into_body(mut self) -> std::io::Result<String> {
        let mut body = String::new();
        self.stream.read_to_string(&mut body).await?;
        Ok(body)
    }
}

fn parse(text: &str) -> Block {
    let mut block = Block { is_comment: true, ..Block::default() };
    let mut data: Vec<&str> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with(':')) {
        block.is_comment = false;
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => block.id = Some(value.parse().expect("a number as id")),
            "event" => block.name = value.to_owned(),
            "data" => data.push(value),
            "retry" => block.retry = Some(value.parse().expect("milliseconds")),
            _ => panic!("an unknown field in {text:?}"),
        }
    }
    if !data.is_empty() {
        block.data = serde_json::from_str(&data.join("\n")).expect("JSON as data");
    }
    block
}
