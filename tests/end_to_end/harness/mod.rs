//! A stage for the tests: a NATS server, gateways, clients and what stands between them.

pub mod client;
pub mod collector;
pub mod cut_proxy;
pub mod deployment;
pub mod event_reader;
pub mod field_client;
pub mod gateway;
pub mod issuer;
pub mod memory_limit;
pub mod nats;
pub mod packet_filter;
pub mod plain_http;
pub mod publisher;
pub mod raw_client;
pub mod raw_socket;
pub mod tls;
pub mod transcript;
pub mod watcher;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};

/// Longest wait for anything that has no time of its own in the contract.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition is looked at that nothing announces.
const GLANCE: Duration = Duration::from_millis(20);

/// A connection of any kind.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Whether somebody has said that the tests have not the rights of root. Then it is told, past what
/// the test runner keeps to itself, what is not shown.
pub fn is_without_root(consequence: &str) -> bool {
    let told = std::env::var("JOBWIRE_TESTS_WITHOUT_ROOT").is_ok_and(|value| value == "1");
    if told {
        let line = format!("WITHOUT ROOT: {consequence}, and a test shows less\n");
        std::io::stderr().write_all(line.as_bytes()).expect("a standard error");
    }
    told
}

/// Awaits something for at most [`PATIENCE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    within_time(PATIENCE, what, future).await
}

/// Awaits something for at most `limit`.
pub async fn within_time<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: did not happen within {limit:?}"),
    }
}

/// Looks again and again, for at most [`PATIENCE`], until there is an answer.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, look).await
}

/// Looks again and again, for at most `limit`, until there is an answer.
pub async fn eventually_within<T>(
    limit: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = look().await {
            return answer;
        }
        assert!(started.elapsed() < limit, "{what}: not so after {limit:?}");
        tokio::time::sleep(GLANCE).await;
    }
}

/// An address that nobody listens on, for what must come back at the same place.
///
/// It lies below the ports that outgoing connections take, so that none of them can sit on it
/// while its owner is away.
pub fn free_address() -> SocketAddr {
    let first = fastrand::u16(0..12_000);
    (0..12_000)
        .map(|step| SocketAddr::from((Ipv4Addr::LOCALHOST, 20_000 + (first + step) % 12_000)))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("a free port between 20000 and 32000")
}
