//! From a TCP connection to one with TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A handshake takes some round trips; who has not finished by then does not mean to.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Bytes that are encrypted ahead of what the socket has taken: one record. The library's default
/// is four times as much, for every client that does not read.
pub const BUFFERED: usize = 16 * 1024;

/// Why a connection has no TLS.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// Not finished in time.
    #[error("no TLS handshake within {HANDSHAKE_TIME:?}")]
    TooSlow,
    /// What came is no TLS, or of a kind that is not spoken here.
    #[error("the TLS handshake failed: {0}")]
    Failed(#[from] io::Error),
}

/// Makes handshakes, each with the newest certificate.
#[derive(Clone)]
pub struct TlsAccept {
    newest: watch::Receiver<Arc<ServerConfig>>,
}

impl TlsAccept {
    pub(super) fn new(newest: watch::Receiver<Arc<ServerConfig>>) -> Self {
        Self { newest }
    }

    /// The server's side of a handshake.
    ///
    /// # Errors
    /// [`HandshakeError`]; the connection is closed then.
    pub async fn handshake(
        &self,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let newest = Arc::clone(&self.newest.borrow());
        let handshake = TlsAcceptor::from(newest)
            .accept_with(stream, |connection| connection.set_buffer_limit(Some(BUFFERED)));
        let finished = tokio::time::timeout(HANDSHAKE_TIME, handshake).await;
        Ok(finished.map_err(|_| HandshakeError::TooSlow)??)
    }
}
