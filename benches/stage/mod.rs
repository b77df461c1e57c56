//! What the parts of the benchmark stand on: a server with events in it, a gateway, watchers,
//! and figures.

pub mod bare;
pub mod figures;
pub mod fill;
pub mod gateway;
pub mod watcher;

use jobwire::cli::nats_server::{NatsServer, StartOptions};
use tempfile::TempDir;

use fill::Stream;

/// A nats-server of the benchmark's own, with the stream in it.
pub struct Backend {
    pub server: NatsServer,
    pub stream: Stream,
    // Dropped last: the server writes into it.
    _storage: TempDir,
}

impl Backend {
    /// A server with an empty stream.
    pub async fn start() -> Self {
        let storage = tempfile::tempdir().expect("a directory for the server");
        let options = StartOptions::development(storage.path());
        let server = NatsServer::start(options).await.expect("a nats-server");
        let stream = Stream::create(&server.url()).await;
        Self { server, stream, _storage: storage }
    }
}
