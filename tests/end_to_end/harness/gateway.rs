//! The gateway as a process: its command line, its two addresses, its log and its end.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::nats::User;
use super::plain_http::{Response, get, request, try_exchange};
use super::{eventually, within, within_time};

/// How a gateway is started.
#[derive(Clone, Debug, Default)]
pub struct GatewayCommand {
    arguments: Vec<String>,
    environment: HashMap<String, String>,
}

impl GatewayCommand {
    /// `jobwire serve` with these arguments and no others.
    pub fn bare(arguments: &[&str]) -> Self {
        Self::other(&[&["serve"], arguments].concat())
    }

    /// Any other command of the same program.
    pub fn other(words: &[&str]) -> Self {
        let arguments = words.iter().map(ToString::to_string).collect();
        Self { arguments, ..Self::default() }
    }

    /// `jobwire serve` on free ports, in front of the tests' stream.
    pub fn in_front_of(nats_url: &str, arguments: &[&str]) -> Self {
        let free = "127.0.0.1:0".parse().expect("an address");
        Self::listening_at(free, nats_url, arguments)
    }

    /// `jobwire serve` on a given public address, in front of the tests' stream. To NATS it is a
    /// gateway that only reads, unless `--publish` is among the arguments.
    pub fn listening_at(listen: SocketAddr, nats_url: &str, arguments: &[&str]) -> Self {
        let listen = listen.to_string();
        let given = ["--listen", &listen, "--admin-listen", "127.0.0.1:0", "--nats-url", nats_url];
        let user = match arguments.contains(&"--publish") {
            true => User::PUBLISHING_GATEWAY,
            false => User::GATEWAY,
        };
        Self::bare(&[&given, ["--stream", super::publisher::STREAM].as_slice(), arguments].concat())
            .of_user(user)
    }

    /// The same as another user of NATS.
    pub fn of_user(mut self, user: User) -> Self {
        let settings = user.environment().map(|(name, value)| (name.to_owned(), value));
        self.environment.extend(settings);
        self
    }

    /// The same with an environment variable.
    pub fn with_environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Starts a gateway and waits until it listens, ready or not.
    pub async fn launch(&self) -> Gateway {
        let mut process = self.command().spawn().expect("the gateway's binary");
        let log = Log::default();
        let (announce, mut announced) = mpsc::unbounded_channel();
        let stdout = process.stdout.take().expect("a captured standard output");
        let stderr = process.stderr.take().expect("a captured standard error");
        tokio::spawn(read_lines(stdout, log.clone(), Some(announce)));
        tokio::spawn(read_lines(stderr, log.clone(), None));
        let listening = addresses(&mut announced);
        let Some((address, admin)) = within("the gateway listens", listening).await else {
            panic!("the gateway ended before it listened:\n{}", log.text());
        };
        Gateway { command: self.clone(), process, address, admin, log, expects_denials: false }
    }

    /// Starts a gateway and waits until it is ready.
    pub async fn start(&self) -> Gateway {
        let gateway = self.launch().await;
        gateway.ready().await;
        gateway
    }

    /// Runs a gateway that ends by itself.
    pub async fn run(&self) -> Outcome {
        let output = self.command().output();
        let output = within("the gateway ends by itself", output).await.expect("the binary");
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jobwire"));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["JOBWIRE_", "NATS_", "OTEL_"].iter().any(|ours| text.starts_with(ours)) {
                command.env_remove(&name);
            }
        }
        command.args(&self.arguments).envs(&self.environment).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// How a run went that ended by itself.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code, if no signal ended it.
    pub code: Option<i32>,
    /// What was printed.
    pub stdout: String,
    /// What was logged or complained about.
    pub stderr: String,
}

/// A running gateway; it does not outlive the test.
pub struct Gateway {
    /// Where clients connect.
    pub address: SocketAddr,
    /// Where its operator looks.
    pub admin: SocketAddr,
    command: GatewayCommand,
    process: Child,
    log: Log,
    expects_denials: bool,
}

impl Gateway {
    /// Waits until `/readyz` says yes.
    pub async fn ready(&self) {
        let ready = async || (self.readiness().await?.status == 200).then_some(());
        eventually("the gateway is ready", ready).await;
    }

    /// What `/readyz` says, if anybody answers.
    pub async fn readiness(&self) -> Option<Response> {
        let request = request(self.admin, "/readyz", &[]);
        let asking = try_exchange(self.admin, &request);
        within("/readyz answers", asking).await.ok()
    }

    /// Asks for a path at the admin address.
    pub async fn admin_get(&self, path: &str) -> Response {
        get(self.admin, path).await
    }

    /// Asks for a path at the public address.
    pub async fn public_get(&self, path: &str) -> Response {
        get(self.address, path).await
    }

    /// A metric's samples added up over all labels; nothing counted yet is 0.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.admin_get("/metrics").await.body;
        let samples = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let family = series.split('{').next()?;
            (family == name).then(|| value.parse::<f64>().expect("a number in every sample"))
        });
        samples.sum()
    }

    /// Its process id.
    pub fn process_id(&self) -> u32 {
        self.process.id().expect("a running gateway")
    }

    /// Its resident memory in bytes; from now on the peak is that of what follows.
    pub fn begin_memory_peak(&self) -> usize {
        let process = self.process_id();
        std::fs::write(format!("/proc/{process}/clear_refs"), "5").expect("a process of ours");
        self.peak_memory()
    }

    /// The most resident memory that it has had, in bytes.
    pub fn peak_memory(&self) -> usize {
        let process = self.process_id();
        let status = std::fs::read_to_string(format!("/proc/{process}/status"));
        let status = status.expect("the state of a process of ours");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes =
            peak.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<usize>().ok());
        kilobytes.expect("its peak of resident memory") << 10
    }

    /// How many of the newest lines of its log contain a text.
    pub fn times_logged(&self, text: &str) -> usize {
        self.log.text().lines().filter(|line| line.contains(text)).count()
    }

    /// From now on NATS may deny it something. A gateway of any other test fails it then.
    pub fn expect_denials(&mut self) {
        self.expects_denials = true;
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(pid.expect("a running gateway"), signal).expect("a process of ours");
    }

    /// Ends it with SIGKILL and waits until it is gone.
    pub async fn kill(&mut self) {
        within("the gateway is killed", self.process.kill()).await.expect("a process of ours");
    }

    /// Kills it and starts another one at the same public address; ready or not.
    pub async fn replace(&mut self) {
        self.kill().await;
        let mut successor = self.command.launch().await;
        assert_eq!(self.address, successor.address, "restarts need a given address");
        successor.log.continue_from(&self.log);
        *self = successor;
    }

    /// Whether it is still at work.
    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("the state of a process of ours").is_none()
    }

    /// Waits for its end.
    pub async fn exit(&mut self, limit: Duration) -> ExitStatus {
        let exiting = self.process.wait();
        within_time(limit, "the gateway ends", exiting).await.expect("a process of ours")
    }
}

#[allow(dead_code, reason = "what tests/reliability injects faults with")]
impl Gateway {
    /// Lets it stand still: its sockets stay open and nothing answers.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen gateway go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- gateway at {} ---\n{}---", self.address, self.log.text());
        } else if !self.expects_denials {
            let denied = self.times_logged("the NATS user may not");
            assert_eq!(denied, 0, "nats/users.conf is not enough:\n{}", self.log.text());
        }
    }
}

/// What a gateway wrote, the newest lines of it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    const LINES: usize = 400;

    fn add(&self, line: String) {
        let mut lines = self.0.lock().expect("a log");
        if lines.len() == 2 * Self::LINES {
            lines.drain(..Self::LINES);
        }
        lines.push(line);
    }

    fn continue_from(&mut self, before: &Self) {
        let earlier = before.0.lock().expect("a log").clone();
        self.0.lock().expect("a log").splice(..0, earlier);
    }

    fn text(&self) -> String {
        self.0.lock().expect("a log").iter().map(|line| format!("{line}\n")).collect()
    }
}

async fn read_lines(
    source: impl AsyncRead + Unpin,
    log: Log,
    announce: Option<mpsc::UnboundedSender<String>>,
) {
    let mut lines = BufReader::new(source).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(announce) = &announce {
            let _ = announce.send(line.clone());
        }
        log.add(line);
    }
}

/// The public and the admin address, as the gateway prints them; `None` if it ends before.
async fn addresses(
    announced: &mut mpsc::UnboundedReceiver<String>,
) -> Option<(SocketAddr, SocketAddr)> {
    let (mut public, mut admin) = (None, None);
    loop {
        if let (Some(public), Some(admin)) = (public, admin) {
            return Some((public, admin));
        }
        let line = announced.recv().await?;
        if let Some(address) = line.strip_prefix("listening on ") {
            public = Some(address.trim().parse().expect("an address after \"listening on\""));
        }
        if let Some(address) = line.strip_prefix("admin on ") {
            admin = Some(address.trim().parse().expect("an address after \"admin on\""));
        }
    }
}
