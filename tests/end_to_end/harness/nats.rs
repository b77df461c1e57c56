//! A nats-server of one's own: started, stopped, killed, frozen and brought back.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::{NamedTempFile, TempDir};

use super::{eventually, free_address};

/// A running nats-server with JetStream and its own storage.
pub struct NatsServer {
    process: Option<Child>,
    address: SocketAddr,
    storage: TempDir,
    /// A configuration file of its own, if it has one.
    configuration: Option<NamedTempFile>,
}

impl NatsServer {
    /// Starts a server on a free port and waits until it answers.
    pub async fn start() -> Self {
        Self::start_at(free_address()).await
    }

    /// Starts a server at a given address and waits until it answers.
    pub async fn start_at(address: SocketAddr) -> Self {
        let mut server = Self::idle_at(address);
        server.restart().await;
        server
    }

    /// A server at a given address that was not started yet.
    pub fn idle_at(address: SocketAddr) -> Self {
        let storage = tempfile::tempdir().expect("a directory for the streams");
        Self { process: None, address, storage, configuration: None }
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Asks it to end and waits until it has.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.reap();
    }

    /// Ends it without a warning.
    pub fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill().expect("the server is ours to kill");
        }
        self.reap();
    }

    /// Starts it again, on the same port and with what it had stored.
    pub async fn restart(&mut self) {
        self.launch();
        self.ready().await;
    }

    /// Starts it and does not wait for it.
    pub fn launch(&mut self) {
        self.process = Some(spawn(self.address, &self.storage, self.configuration.as_ref()));
    }

    /// Waits until it answers, which one of several does only when most of them run.
    pub async fn ready(&self) {
        eventually("the nats-server answers", async || self.answers().await.then_some(())).await;
    }

    /// A copy of what a stopped server has stored.
    pub fn copy_of_storage(&self) -> TempDir {
        assert!(self.process.is_none(), "a server at work changes its files");
        let copy = tempfile::tempdir().expect("a directory for the copy");
        copy_directory(self.storage.path(), copy.path());
        copy
    }

    /// Gives a stopped server what it had stored when the copy was made.
    pub fn restore_storage(&mut self, copy: &TempDir) {
        assert!(self.process.is_none(), "a server at work changes its files");
        self.storage = tempfile::tempdir().expect("a directory for the streams");
        copy_directory(copy.path(), self.storage.path());
    }

    /// Lets it stand still, and waits until it does: its sockets stay open and nothing answers.
    pub async fn freeze(&self) {
        self.signal(Signal::STOP);
        eventually("the nats-server stands still", async || self.is_frozen().then_some(())).await;
    }

    fn is_frozen(&self) -> bool {
        let process = self.process.as_ref().expect("a running server").id();
        let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("its threads");
        threads.flatten().all(|thread| {
            let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            status.lines().any(|line| line.starts_with("State:\tT"))
        })
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// A connection of the test's own, which comes back quickly after a restart.
    pub async fn connect(&self) -> async_nats::Client {
        async_nats::ConnectOptions::new()
            .reconnect_delay_callback(|_| Duration::from_millis(50))
            .connect(self.url())
            .await
            .expect("a connection to the nats-server")
    }

    async fn answers(&self) -> bool {
        let attempt = async_nats::ConnectOptions::new().max_reconnects(1).connect(self.url());
        let Ok(client) = attempt.await else { return false };
        async_nats::jetstream::new(client).query_account().await.is_ok()
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
            kill_process(pid.expect("a process id"), signal).expect("a process of ours");
        }
    }

    fn reap(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.wait().expect("the server's end");
        }
    }
}

#[allow(dead_code, reason = "what tests/reliability injects faults with")]
impl NatsServer {
    /// Starts a server on a free port with a configuration of this text, and waits until it
    /// answers.
    pub async fn configured(text: &str) -> Self {
        let mut server = Self::idle_at(free_address());
        server.configure(text);
        server.restart().await;
        server
    }

    /// Gives it a configuration, which holds from its next start or [`Self::reload`] on.
    pub fn configure(&mut self, text: &str) {
        let file = self.configuration.get_or_insert_with(|| {
            NamedTempFile::new().expect("a file for the server's configuration")
        });
        std::fs::write(file.path(), text).expect("a written configuration");
    }

    /// Lets a running server read its configuration again.
    pub fn reload(&self) {
        self.signal(Signal::HUP);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn copy_directory(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry of it");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            std::fs::create_dir(&target).expect("a directory in the copy");
            copy_directory(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).expect("a file in the copy");
        }
    }
}

fn spawn(address: SocketAddr, storage: &TempDir, configuration: Option<&NamedTempFile>) -> Child {
    Command::new(binary())
        .args(configuration.iter().flat_map(|file| [OsStr::new("-c"), file.path().as_os_str()]))
        .args(["-js", "-a", &address.ip().to_string(), "-p", &address.port().to_string()])
        .arg("-sd")
        .arg(storage.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the nats-server starts")
}

/// Found or fetched once, as `jobwire dev` does it.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| jobwire::cli::nats_server::locate().expect("a nats-server"))
}
