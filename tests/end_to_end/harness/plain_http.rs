//! Plain HTTP requests, byte for byte as a test writes them.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{ByteStream, within};

/// What a server answered.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Field names in lower case with their values.
    pub headers: Vec<(String, String)>,
    /// The content.
    pub body: String,
}

impl Response {
    /// The value of a header field, empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The content as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// Asks for a path.
pub async fn get(address: SocketAddr, path: &str) -> Response {
    exchange(address, &request(address, path, &[])).await
}

/// A GET request with some header fields more.
pub fn request(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> String {
    let mut text = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("connection")) {
        text.push_str("Connection: close\r\n");
    }
    text + "\r\n"
}

/// Sends a request as it is and reads the answer.
pub async fn exchange(address: SocketAddr, request: &str) -> Response {
    let exchanging = try_exchange(address, request);
    within("an HTTP exchange", exchanging).await.expect("an HTTP answer")
}

/// Sends a request as it is; an error if nobody answers.
pub async fn try_exchange(address: SocketAddr, request: &str) -> std::io::Result<Response> {
    try_exchange_over(TcpStream::connect(address).await?, request).await
}

/// The same over a connection of one's own.
pub async fn try_exchange_over(
    stream: impl ByteStream,
    request: &str,
) -> std::io::Result<Response> {
    let mut stream = BufReader::new(stream);
    stream.write_all(request.as_bytes()).await?;
    read_response(&mut stream).await
}

async fn read_response(stream: &mut BufReader<impl ByteStream>) -> std::io::Result<Response> {
    let status_line = read_line(stream).await?;
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("{status_line:?}")))?;
    let mut response = Response { status, headers: Vec::new(), body: String::new() };
    loop {
        let line = read_line(stream).await?;
        let Some((name, value)) = line.split_once(':') else { break };
        response.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let body = read_body(stream, &response).await?;
    response.body = String::from_utf8(body).map_err(std::io::Error::other)?;
    Ok(response)
}

async fn read_body(
    stream: &mut BufReader<impl ByteStream>,
    head: &Response,
) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if head.status == 101 {
        return Ok(body);
    }
    if head.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
        loop {
            let size = read_line(stream).await?;
            let size = usize::from_str_radix(&size, 16).map_err(std::io::Error::other)?;
            let mut chunk = vec![0; size];
            stream.read_exact(&mut chunk).await?;
            read_line(stream).await?;
            if size == 0 {
                return Ok(body);
            }
            body.extend(chunk);
        }
    }
    if let Ok(length) = head.header("content-length").parse() {
        body.resize(length, 0);
        stream.read_exact(&mut body).await?;
    } else {
        stream.read_to_end(&mut body).await?;
    }
    Ok(body)
}

async fn read_line(stream: &mut BufReader<impl ByteStream>) -> std::io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}
