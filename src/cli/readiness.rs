//! Waiting for a gateway of ours to be ready.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::{sleep, timeout};

use super::health;

/// Pause between two looks at a gateway that starts.
const POLL: Duration = Duration::from_millis(100);

/// Waits until the gateway with this admin address says that it is ready; for ever if need be.
pub(super) async fn until_ready(admin: SocketAddr) {
    while !matches!(timeout(Duration::from_secs(1), is_ready(admin)).await, Ok(Ok(true))) {
        sleep(POLL).await;
    }
}

async fn is_ready(admin: SocketAddr) -> anyhow::Result<bool> {
    Ok(health::readiness(admin).await?.0 == StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_gateway_is_ready_when_it_answers_200() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            for answer in ["HTTP/1.1 503 no\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut request = [0; 1024];
                assert!(stream.read(&mut request).await.expect("a request") > 0);
                stream.write_all(answer.as_bytes()).await.expect("written");
            }
        });
        assert!(!is_ready(address).await.expect("an answer"));
        assert!(is_ready(address).await.expect("an answer"));
        server.await.expect("no panic");
    }
}
