//! The gateway as a process of its own, as it runs in production.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

use super::Backend;

/// How long a gateway may take to start.
const START: Duration = Duration::from_secs(30);

/// A ready gateway; it ends with this value.
pub struct Gateway {
    pub address: SocketAddr,
    _process: Child,
}

impl Gateway {
    /// Starts a gateway in front of a stream and waits until it is ready.
    pub async fn start(binary: &Path, backend: &Backend, arguments: &[&str]) -> Self {
        let mut process = command(binary, &backend.server.url(), arguments)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let stdout = process.stdout.take().expect("a captured standard output");
        let mut lines = BufReader::new(stdout).lines();
        let started = async {
            let address = announced(&mut lines, "listening on ").await;
            let admin = announced(&mut lines, "admin on ").await;
            ready(admin).await;
            address
        };
        let address = timeout(START, started).await.expect("a gateway that becomes ready");
        Self { address, _process: process }
    }
}

fn command(binary: &Path, nats_url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("JOBWIRE_") || text.starts_with("NATS_") {
            command.env_remove(&name);
        }
    }
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    command.arg("serve").args(listen).args(["--nats-url", nats_url]).args(arguments);
    command.env("JOBWIRE_LOG", "warn").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

async fn announced(lines: &mut Lines<BufReader<ChildStdout>>, prefix: &str) -> SocketAddr {
    loop {
        let line = lines.next_line().await.expect("readable output").expect("a gateway that runs");
        if let Some(address) = line.strip_prefix(prefix) {
            return address.trim().parse().expect("an address");
        }
    }
}

async fn ready(admin: SocketAddr) {
    let deadline = Instant::now() + START;
    while Instant::now() < deadline {
        if status(admin).await.is_ok_and(|status| status.starts_with("HTTP/1.1 200")) {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn status(admin: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
