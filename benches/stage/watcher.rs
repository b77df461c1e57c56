//! Clients of the gateway that cost as little as possible themselves: nothing is parsed while
//! the clock runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::fill::Job;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What stands before an event's id, and nowhere else in our messages.
const ID: &str = "\"id\":";
/// How often a slow reader reads.
const SLOW_TICK: Duration = Duration::from_millis(100);
/// What comes before events has fewer bytes than this.
const ANSWERS: usize = 1_000;

/// One connection.
pub struct Watcher {
    socket: WebSocketStream<TcpStream>,
}

impl Watcher {
    /// Connects to a gateway.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        Self::upgrade(stream, address, 256 << 10).await
    }

    /// Connects with buffers as small as the system allows.
    async fn connect_small(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4 << 10).expect("a small receive buffer");
        let stream = socket.connect(address).await.expect("a connection");
        Self::upgrade(stream, address, 4 << 10).await
    }

    async fn upgrade(stream: TcpStream, address: SocketAddr, read_buffer: usize) -> Self {
        stream.set_nodelay(true).expect("a socket of ours");
        let config = WebSocketConfig::default().read_buffer_size(read_buffer);
        let url = format!("ws://{address}/ws/optimization");
        let upgrading = client_async_with_config(url, stream, Some(config));
        let (socket, _) = upgrading.await.expect("a WebSocket connection");
        Self { socket }
    }

    /// From asking for all of a job to having its last event.
    pub async fn read(&mut self, job: &Job) -> Duration {
        let started = Instant::now();
        self.subscribe(job).await;
        let mut messages: Vec<Utf8Bytes> = Vec::new();
        while messages.last().and_then(|text| last_id(text)) != Some(job.last) {
            messages.push(self.next().await);
        }
        let took = started.elapsed();
        let events: usize = messages.iter().map(|text| text.matches(ID).count()).sum();
        assert_eq!(events, job.events, "the events of {}", job.id);
        self.unsubscribe(job).await;
        took
    }

    /// Asks for all of a job.
    pub async fn subscribe(&mut self, job: &Job) {
        let id = &job.id;
        self.send(format!(r#"{{"type":"subscribe","jobId":"{id}","afterEventId":0}}"#)).await;
    }

    /// Reads until the job's last event is there.
    pub async fn read_to_the_end(&mut self, job: &Job) {
        while last_id(&self.next().await) != Some(job.last) {}
    }

    async fn unsubscribe(&mut self, job: &Job) {
        self.send(format!(r#"{{"type":"unsubscribe","jobId":"{}"}}"#, job.id)).await;
        while !self.next().await.contains("\"unsubscribed\"") {}
    }

    async fn send(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.expect("an open connection");
    }

    async fn next(&mut self) -> Utf8Bytes {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            match message.expect("a message in time").expect("an open connection") {
                Ok(Message::Text(text)) if text.contains_error() => panic!("{text}"),
                Ok(Message::Text(text)) => return text,
                Ok(Message::Ping(_)) => {}
                other => panic!("instead of a text: {other:?}"),
            }
        }
    }
}

trait ErrorMessage {
    fn contains_error(&self) -> bool;
}

impl ErrorMessage for Utf8Bytes {
    /// Our payloads do not have this text, and a message's type is at its beginning.
    fn contains_error(&self) -> bool {
        self.get(..32).is_some_and(|head| head.contains("\"error\""))
    }
}

/// The id of a message's last event.
fn last_id(text: &str) -> Option<u64> {
    let digits = text.get(text.rfind(ID)? + ID.len()..)?;
    digits.split(|byte: char| !byte.is_ascii_digit()).next()?.parse().ok()
}

/// Readers that take this many bytes in a second each, one job each; they end with this value.
pub struct SlowReaders {
    number: usize,
    begun: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl SlowReaders {
    /// Connects them all and lets them ask for their jobs.
    pub async fn start(address: SocketAddr, jobs: &[Job], bytes_per_second: usize) -> Self {
        let (mut tasks, begun) = (JoinSet::new(), Arc::<AtomicUsize>::default());
        for job in jobs {
            let mut watcher = Watcher::connect_small(address).await;
            watcher.subscribe(job).await;
            let begun = Arc::clone(&begun);
            tasks.spawn(async move { watcher.read_slowly(bytes_per_second, &begun).await });
        }
        Self { number: jobs.len(), begun, _tasks: tasks }
    }

    /// Waits until every one of them has got events.
    pub async fn have_begun(&self) {
        while self.begun.load(Ordering::Relaxed) < self.number {
            tokio::time::sleep(SLOW_TICK).await;
        }
    }
}

impl Watcher {
    /// Takes raw bytes off the connection, at a steady rate.
    async fn read_slowly(mut self, bytes_per_second: usize, begun: &AtomicUsize) {
        let mut ticks = tokio::time::interval(SLOW_TICK);
        let mut portion = vec![0; bytes_per_second / 10];
        let stream = self.socket.get_mut();
        let mut taken = 0;
        loop {
            ticks.tick().await;
            let Ok(read @ 1..) = stream.read(&mut portion).await else { return };
            if taken <= ANSWERS && taken + read > ANSWERS {
                begun.fetch_add(1, Ordering::Relaxed);
            }
            taken += read;
        }
    }
}
