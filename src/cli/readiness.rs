//! Waiting for a gateway of ours to be ready.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Pause between two looks at a gateway that starts.
const POLL: Duration = Duration::from_millis(100);

/// Waits until the gateway with this admin address says that it is ready; for ever if need be.
pub(super) async fn until_ready(admin: SocketAddr) {
    while !matches!(timeout(Duration::from_secs(1), is_ready(admin)).await, Ok(Ok(true))) {
        sleep(POLL).await;
    }
}

async fn is_ready(admin: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status).await?;
    Ok(status.split(' ').nth(1) == Some("200"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_gateway_is_ready_when_it_answers_200() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            for answer in ["HTTP/1.1 503 no\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                stream.write_all(answer.as_bytes()).await.expect("written");
            }
        });
        assert!(!is_ready(address).await.expect("an answer"));
        assert!(is_ready(address).await.expect("an answer"));
        server.await.expect("no panic");
    }
}
