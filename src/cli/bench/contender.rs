//! The servers that are measured: the gateway, the nats-server's own WebSocket, the one that only
//! writes, and others through adapters.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio::time::timeout;

use super::broker::Broker;
use super::conversation::{Conversation, Jobs};
use super::crowd::{Crowd, CrowdError, Target};
use super::floor::Order;
use super::schedule::Schedule;
use super::usage::Usage;
use crate::cli::child::Child;
use crate::cli::outcome::Failure;
use crate::cli::readiness::until_ready;

/// How long a server may take to start.
const START: Duration = Duration::from_secs(30);

/// A server to be measured.
#[derive(Debug, Clone)]
pub(super) enum Contender {
    /// The gateway: an executable, arguments of `serve`, and settings over which they win.
    Gateway {
        name: String,
        executable: PathBuf,
        arguments: Vec<String>,
        environment: Vec<(&'static str, &'static str)>,
    },
    /// A gateway that somebody else runs.
    NamedGateway { address: SocketAddr, pid: Option<u32> },
    /// Core subscriptions on the broker's WebSocket listener.
    NatsWebSocket,
    /// The server that does nothing but write: so many events at once at most, and one of so many
    /// writes left out, if not 0.
    Floor { batch: u64, drop_every: u64 },
    /// No server at all: a consumer of NATS.
    BareConsumer,
    /// A command that starts a server, and says on standard output how to talk to it.
    Peer { name: String, command: String },
}

/// How large the crowd is, for servers that have to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crowding {
    pub(super) watchers: usize,
    pub(super) jobs: u32,
    pub(super) size: usize,
}

/// A server that is ready.
pub(super) struct Served {
    address: SocketAddr,
    pub(super) conversation: Conversation,
    /// `None`: it is the broker itself, or runs elsewhere.
    pid: Option<u32>,
    child: Option<Child>,
    // A server that prints later must not find its output closed.
    _output: Option<Lines<BufReader<ChildStdout>>>,
}

/// What an adapter prints as its first line.
#[derive(Debug, Deserialize)]
struct Introduction {
    address: SocketAddr,
    #[serde(flatten)]
    conversation: Conversation,
}

impl Contender {
    /// For people and for JSON.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Gateway { name, .. } | Self::Peer { name, .. } => name,
            Self::NamedGateway { .. } => "gateway",
            Self::NatsWebSocket => "nats-ws",
            Self::BareConsumer => "bare consumer",
            Self::Floor { .. } => "floor",
        }
    }

    /// Whether events reach it through the broker.
    pub(super) fn needs_broker(&self) -> bool {
        !matches!(self, Self::Floor { .. })
    }

    /// Starts it and waits until it is ready.
    pub(super) async fn serve(
        &self,
        broker: Option<&Broker>,
        crowding: Crowding,
    ) -> anyhow::Result<Served> {
        let broker = || broker.ok_or_else(|| anyhow::anyhow!("no NATS for {}", self.name()));
        let starting = async {
            match self {
                Self::Gateway { executable, arguments, environment, .. } => {
                    gateway(executable, arguments, environment, broker()?).await
                }
                Self::NamedGateway { address, pid } => {
                    Ok(Served::elsewhere(*address, Conversation::gateway_live(), *pid))
                }
                Self::NatsWebSocket => nats(broker()?),
                Self::BareConsumer => Err(anyhow::anyhow!("a consumer serves nobody")),
                Self::Floor { batch, drop_every } => floor(crowding, *batch, *drop_every).await,
                Self::Peer { command, .. } => peer(command, broker()?).await,
            }
        };
        timeout(START, starting).await.map_err(|_| {
            Failure::failed(format!("{} was not ready within {START:?}", self.name()))
        })?
    }
}

async fn gateway(
    executable: &PathBuf,
    arguments: &[String],
    environment: &[(&str, &str)],
    broker: &Broker,
) -> anyhow::Result<Served> {
    let mut command = Command::new(executable);
    // What the environment says must not show in the figures.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("JOBWIRE_") {
            command.env_remove(name);
        }
    }
    command.args(["serve", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--log=warn"]);
    command.args(arguments).envs(environment.iter().copied());
    let (child, mut output) = start(command, broker)?;
    let address = announced(&mut output, "listening on ").await?.parse()?;
    let admin = announced(&mut output, "admin on ").await?.parse()?;
    until_ready(admin).await;
    Ok(Served::started(address, Conversation::gateway_live(), child, output))
}

fn nats(broker: &Broker) -> anyhow::Result<Served> {
    let address = broker.websocket.ok_or_else(|| {
        Failure::usage("where the NATS server listens for WebSockets is not known: name it with --nats-websocket")
    })?;
    Ok(Served::elsewhere(address, Conversation::nats(), None))
}

async fn floor(crowding: Crowding, batch: u64, drop_every: u64) -> anyhow::Result<Served> {
    let Crowding { watchers, jobs, size } = crowding;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "floor-server"]);
    command.arg(format!("--watchers={watchers}"));
    command.arg(format!("--jobs={jobs}"));
    command.arg(format!("--size={size}"));
    command.arg(format!("--batch={batch}"));
    command.arg(format!("--drop-every={drop_every}"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Child::spawn(command)?;
    let mut output = lines(&mut child)?;
    let address = announced(&mut output, "listening on ").await?.parse()?;
    Ok(Served::started(address, Conversation::floor(), child, output))
}

async fn peer(command: &str, broker: &Broker) -> anyhow::Result<Served> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec {command}"));
    let (child, mut output) = start(shell, broker)?;
    let line = output.next_line().await?.unwrap_or_default();
    let Introduction { address, conversation } = serde_json::from_str(&line).map_err(|error| {
        Failure::failed(format!(
            "{command:?} should print how to talk to it, as one line of JSON, and printed \
             {line:?}: {error}"
        ))
    })?;
    Ok(Served::started(address, conversation, child, output))
}

fn start(
    mut command: Command,
    broker: &Broker,
) -> anyhow::Result<(Child, Lines<BufReader<ChildStdout>>)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = Child::spawn_with_nats(command, &broker.settings)?;
    let output = lines(&mut child)?;
    Ok((child, output))
}

fn lines(child: &mut Child) -> anyhow::Result<Lines<BufReader<ChildStdout>>> {
    let output = child.process().stdout.take();
    Ok(BufReader::new(output.ok_or_else(|| anyhow::anyhow!("no standard output"))?).lines())
}

async fn announced(
    output: &mut Lines<BufReader<ChildStdout>>,
    prefix: &str,
) -> anyhow::Result<String> {
    while let Some(line) = output.next_line().await? {
        if let Some(rest) = line.strip_prefix(prefix) {
            return Ok(rest.trim().to_owned());
        }
    }
    Err(Failure::failed(format!("the server ended before it said {prefix:?}")).into())
}

impl Served {
    fn started(
        address: SocketAddr,
        conversation: Conversation,
        mut child: Child,
        output: Lines<BufReader<ChildStdout>>,
    ) -> Self {
        let pid = child.process().id();
        Self { address, conversation, pid, child: Some(child), _output: Some(output) }
    }

    fn elsewhere(address: SocketAddr, conversation: Conversation, pid: Option<u32>) -> Self {
        Self { address, conversation, pid, child: None, _output: None }
    }

    /// What its process has used, if it has one of its own that is known.
    pub(super) fn usage(&self) -> Result<Option<Usage>, Failure> {
        self.pid.map(Usage::of).transpose()
    }

    /// Watchers, who say this to it.
    ///
    /// # Errors
    /// [`CrowdError`] if they cannot begin.
    pub(super) fn crowd(
        &self,
        jobs: &Jobs,
        conversation: Conversation,
    ) -> Result<Crowd, CrowdError> {
        Crowd::start(Target { address: self.address, conversation, jobs: jobs.clone() })
    }

    /// Tells the floor to write.
    pub(super) async fn order(&mut self, schedule: &Schedule) -> anyhow::Result<()> {
        let stdin = self.child.as_mut().and_then(|child| child.process().stdin.as_mut());
        let stdin = stdin.ok_or_else(|| anyhow::anyhow!("no standard input"))?;
        stdin.write_all(Order::of(schedule).line().as_bytes()).await?;
        Ok(stdin.flush().await?)
    }
}
