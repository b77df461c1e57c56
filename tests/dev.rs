//! `jobwire dev` as a whole: NATS, gateway and demo come up with one command and leave nothing.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod processes;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// A running `jobwire dev`, and where its temporary files are.
struct Dev {
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
    temporary: tempfile::TempDir,
}

impl Drop for Dev {
    /// Asked, not killed: killed, it could not stop its children, and this is also how a test
    /// that fails ends.
    fn drop(&mut self) {
        let Some(id) = self.process.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)) else {
            return;
        };
        let _ = kill_process(id, Signal::TERM);
        for _ in 0..100 {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Two ports that are free at the moment: dev wants to know them before it starts.
fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

impl Dev {
    fn start(words: &[&str]) -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let [listen, admin] = free_ports();
        let mut process = Command::new(env!("CARGO_BIN_EXE_jobwire"))
            .arg("dev")
            .arg(format!("--listen=127.0.0.1:{listen}"))
            .arg(format!("--admin-listen=127.0.0.1:{admin}"))
            .args(words)
            .env("TMPDIR", temporary.path())
            .env_remove("NATS_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("a process");
        let output = BufReader::new(process.stdout.take().expect("its output")).lines();
        Self { process, output, temporary }
    }

    /// Reads what it prints until a line has this text.
    async fn until(&mut self, text: &str) -> String {
        let found = async {
            while let Some(line) = self.output.next_line().await.expect("its output") {
                if line.contains(text) {
                    return line;
                }
            }
            panic!("it ended before it printed {text:?}")
        };
        timeout(Duration::from_secs(60), found).await.expect("in time")
    }

    fn pid(&self) -> Pid {
        let id = self.process.id().expect("it runs");
        Pid::from_raw(id.try_into().expect("a process id")).expect("a process id")
    }

    async fn ends_with(&mut self, code: i32) {
        let status = timeout(Duration::from_secs(30), self.process.wait()).await;
        assert_eq!(status.expect("in time").expect("a status").code(), Some(code));
    }

    /// The data directories of its NATS servers.
    fn leftovers(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.temporary.path()).expect("the directory");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }
}

fn alive(processes: &[PathBuf]) -> Vec<&Path> {
    processes.iter().map(PathBuf::as_path).filter(|path| path.exists()).collect()
}

#[tokio::test]
async fn everything_starts_and_a_signal_ends_all_of_it() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut dev = Dev::start(&[]);
        dev.until("berlin52-").await;
        let children = processes::children(dev.pid());
        assert_eq!(children.len(), 3, "NATS, gateway and demo");
        kill_process(dev.pid(), signal).expect("a signal");
        dev.ends_with(0).await;
        assert_eq!(alive(&children), [] as [&Path; 0]);
        assert_eq!(dev.leftovers(), [] as [PathBuf; 0]);
    }
}

#[tokio::test]
async fn one_demo_follows_the_other() {
    let mut dev = Dev::start(&["--demo-seconds", "1"]);
    let first = dev.until("berlin52-").await;
    assert!(dev.until("ended").await.contains("exit status: 0"));
    assert_ne!(dev.until("berlin52-").await, first);
}

#[tokio::test]
async fn a_page_that_another_port_serves_may_use_the_gateway() {
    let mut dev = Dev::start(&["--no-demo"]);
    let line = dev.until("gateway").await;
    let address = line.split("http://").nth(1).and_then(|rest| rest.split(' ').next());
    let address = address.expect("the gateway's address");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!(
        "GET /api/v1/jobs HTTP/1.1\r\nHost: {address}\r\nOrigin: http://localhost:3000\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("access-control-allow-origin: http://localhost:3000\r\n"), "{answer}");
}

#[tokio::test]
async fn a_gateway_that_ends_ends_everything() {
    let mut dev = Dev::start(&["--no-demo"]);
    dev.until("gateway").await;
    let children = processes::children(dev.pid());
    let gateway = children
        .iter()
        .find(|path| {
            std::fs::read_to_string(path.join("cmdline")).unwrap_or_default().contains("serve")
        })
        .expect("the gateway");
    let id = gateway.file_name().and_then(|name| name.to_str()?.parse().ok()).expect("its id");
    kill_process(Pid::from_raw(id).expect("its id"), Signal::KILL).expect("killed");
    dev.ends_with(1).await;
    assert_eq!(alive(&children), [] as [&Path; 0]);
}

#[tokio::test]
async fn stopped_while_it_starts_it_leaves_nothing() {
    let mut dev = Dev::start(&[]);
    dev.until("NATS").await;
    let children = processes::children(dev.pid());
    assert!(!children.is_empty(), "NATS runs");
    kill_process(dev.pid(), Signal::TERM).expect("a signal");
    timeout(Duration::from_secs(30), dev.process.wait()).await.expect("in time").expect("its end");
    assert_eq!(alive(&children), [] as [&Path; 0]);
    assert_eq!(dev.leftovers(), [] as [PathBuf; 0]);
}
