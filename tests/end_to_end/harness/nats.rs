//! A nats-server of one's own: started, stopped, killed, frozen and brought back.
//!
//! Its users are those of `nats/users.conf`, with nothing more than that, and one more for the
//! tests themselves, who may do everything.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::{NamedTempFile, TempDir};

use super::{eventually, free_address};

/// The users as they are meant for production.
const USERS: &str = include_str!("../../../nats/users.conf");

/// Who one is to the nats-server.
#[derive(Clone, Copy, Debug)]
pub struct User {
    /// The name.
    pub name: &'static str,
    /// The one prefix of inboxes that the user may subscribe to.
    pub inbox_prefix: &'static str,
    /// Where the server's configuration takes the password from.
    password_variable: &'static str,
}

impl User {
    /// A gateway that only reads.
    pub const GATEWAY: Self = Self::new("gateway", "_INBOX_gateway", "GATEWAY_PASSWORD");
    /// A gateway that events are published through.
    pub const PUBLISHING_GATEWAY: Self =
        Self::new("publishing_gateway", "_INBOX_publishing_gateway", "PUBLISHING_GATEWAY_PASSWORD");
    /// Writes events of training jobs.
    pub const PRODUCER: Self =
        Self::new("training_producer", "_INBOX", "TRAINING_PRODUCER_PASSWORD");
    /// Applies the stream's definition.
    pub const OPERATOR: Self = Self::new("operator", "_INBOX_operator", "OPERATOR_PASSWORD");
    /// The test itself, who may do everything; `nats/users.conf` has no such user.
    pub const STAGE: Self = Self::new("stage", "_INBOX", "STAGE_PASSWORD");

    const ALL: [Self; 5] =
        [Self::GATEWAY, Self::PUBLISHING_GATEWAY, Self::PRODUCER, Self::OPERATOR, Self::STAGE];

    const fn new(
        name: &'static str,
        inbox_prefix: &'static str,
        password_variable: &'static str,
    ) -> Self {
        Self { name, inbox_prefix, password_variable }
    }

    /// The password in every test.
    pub fn password(self) -> String {
        format!("password-of-{}", self.name)
    }

    /// How a program of ours is told who it is.
    pub fn environment(self) -> [(&'static str, String); 3] {
        [
            ("NATS_USER", self.name.into()),
            ("NATS_PASSWORD", self.password()),
            ("NATS_INBOX_PREFIX", self.inbox_prefix.into()),
        ]
    }

    /// What the server's environment has to hold.
    pub fn passwords() -> impl Iterator<Item = (&'static str, String)> {
        Self::ALL.into_iter().map(|user| (user.password_variable, user.password()))
    }

    /// Options for a connection as this user.
    pub fn options(self) -> async_nats::ConnectOptions {
        async_nats::ConnectOptions::with_user_and_password(self.name.into(), self.password())
            .custom_inbox_prefix(self.inbox_prefix)
    }
}

/// A running nats-server with JetStream and its own storage.
pub struct NatsServer {
    process: Option<Child>,
    address: SocketAddr,
    storage: TempDir,
    configuration: NamedTempFile,
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
        let file = NamedTempFile::new().expect("a file for the configuration");
        let mut server = Self { process: None, address, storage, configuration: file };
        server.configure(&configuration(USERS));
        server
    }

    /// Starts a server whose gateways may also read other streams than the one of jobwire, and
    /// publish to any.
    pub async fn start_with_foreign_streams() -> Self {
        let users = USERS.replace(".JOBS", ".*").replace(r#""jobs.*.*.*""#, r#""*.>""#);
        Self::configured(&configuration(&users)).await
    }

    /// Starts a server where one of the users lacks a right that `nats/users.conf` gives.
    pub async fn start_without(user: User, right: &str) -> Self {
        let (before, rights) =
            USERS.split_once(&format!("user: {},", user.name)).expect("the user's rights");
        let less = rights.replacen(&format!("\"{right}\""), "\"nothing\"", 1);
        assert_ne!(less, rights, "{right} is not in nats/users.conf");
        let users = format!("{before}user: {},{less}", user.name);
        Self::configured(&configuration(&users)).await
    }

    /// Gives all users, while it runs, what `nats/users.conf` gives.
    pub fn grant_everything_that_users_may(&mut self) {
        self.configure(&configuration(USERS));
        self.reload();
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
        self.process = Some(self.spawn());
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
        self.connect_as(User::STAGE).await
    }

    /// The same as one of the users.
    pub async fn connect_as(&self, user: User) -> async_nats::Client {
        user.options()
            .reconnect_delay_callback(|_| Duration::from_millis(50))
            .connect(self.url())
            .await
            .expect("a connection to the nats-server")
    }

    async fn answers(&self) -> bool {
        let attempt = User::STAGE.options().max_reconnects(1).connect(self.url());
        let Ok(client) = attempt.await else { return false };
        async_nats::jetstream::new(client).query_account().await.is_ok()
    }

    fn spawn(&self) -> Child {
        Command::new(binary())
            .arg("-c")
            .arg(self.configuration.path())
            .args([
                "-js",
                "-a",
                &self.address.ip().to_string(),
                "-p",
                &self.address.port().to_string(),
            ])
            .arg("-sd")
            .arg(self.storage.path())
            .envs(User::passwords())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the nats-server starts")
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
        std::fs::write(self.configuration.path(), text).expect("a written configuration");
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

/// What the server is started with: the users, and the test among them.
fn configuration(users: &str) -> String {
    let with_stage = "users: [ { user: stage, password: $STAGE_PASSWORD } ";
    let everybody = users.replacen("users: [", with_stage, 1);
    assert_ne!(everybody, users, "nats/users.conf has a list of users");
    format!("jetstream {{}}\n{everybody}")
}

/// Found or fetched once, as `jobwire dev` does it.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| jobwire::cli::nats_server::locate().expect("a nats-server"))
}
