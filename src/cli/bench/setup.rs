//! Who is measured against whom, and where: the options that measurements share.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::broker::NamedBroker;
use super::contender::Contender;
use crate::cli::outcome::Failure;

/// Rounds of a comparison.
const ROUNDS: usize = 5;

/// The gateway that is measured.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "What is measured")]
pub(super) struct Setup {
    /// How often everything is measured [default: 5 with others to compare with, else 1]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
    /// The build of the gateway that is measured [default: this one]
    #[arg(long, value_name = "FILE")]
    executable: Option<PathBuf>,
    /// Another build, measured in the same rounds: before and after a change
    #[arg(long, value_name = "FILE")]
    other: Option<PathBuf>,
    /// A further argument of `jobwire serve`, such as --serve=--workers=1; several times
    #[arg(long = "serve", value_name = "ARGUMENT", allow_hyphen_values = true)]
    serve: Vec<String>,
    /// A gateway that runs already, by IP and port; its NATS has to be named, too
    #[arg(long, value_name = "ADDRESS", requires = "nats",
          conflicts_with_all = ["other", "executable", "serve"])]
    gateway: Option<SocketAddr>,
    /// Process of that gateway on this machine; without it its CPU and memory are not known
    #[arg(long, value_name = "PID", requires = "gateway")]
    gateway_pid: Option<u32>,
    /// A NATS server that runs already and has the stream JOBS; all events stay in it
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    /// Process of that server on this machine
    #[arg(long, value_name = "PID", requires = "nats")]
    nats_pid: Option<u32>,
    /// Where that server listens for WebSockets, by IP and port
    #[arg(long, value_name = "ADDRESS", requires = "nats")]
    nats_websocket: Option<SocketAddr>,
}

/// What the gateway is compared with.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "What it is compared with")]
pub(super) struct Rivals {
    /// Servers under the same load in the same run, in turn; several with commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SERVER")]
    against: Vec<Against>,
    /// Another server, started by a command that prints how to talk to it, as those in
    /// benches/peers do; several times
    #[arg(long, value_name = "NAME=COMMAND", value_parser = named)]
    peer: Vec<(String, String)>,
    /// Events that the floor may put into one write when it is late; 1: a write for every event and
    /// socket, however late it gets
    #[arg(long, value_name = "EVENTS", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..=1_000))]
    floor_batch: u64,
    /// Lets the floor leave out one of so many writes, to see that it is noticed
    #[arg(long, hide = true, default_value_t = 0)]
    drop_every: u64,
}

/// A server to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Against {
    /// The NATS server's own WebSocket listener, with core subscriptions
    NatsWs,
    /// A server that does nothing but one write for each event and socket
    Floor,
}

fn named(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, command)) if !name.is_empty() && !command.is_empty() => {
            Ok((name.to_owned(), command.to_owned()))
        }
        _ => Err("it should be NAME=COMMAND, such as socketio='node server.mjs'".into()),
    }
}

impl Rivals {
    /// In the order in which they were named.
    pub(super) fn contenders(&self) -> Vec<Contender> {
        let against = self.against.iter().map(|against| match against {
            Against::NatsWs => Contender::NatsWebSocket,
            Against::Floor => {
                Contender::Floor { batch: self.floor_batch, drop_every: self.drop_every }
            }
        });
        let peers = self.peer.iter().map(|(name, command)| Contender::Peer {
            name: name.clone(),
            command: command.clone(),
        });
        against.chain(peers).collect()
    }
}

impl Setup {
    /// The gateway, and the other build of it if there is one. `way` is added to their names, and
    /// `environment` holds settings, over which what was said on the command line wins.
    ///
    /// # Errors
    /// [`Failure`] if this program's own file cannot be found.
    pub(super) fn gateways(
        &self,
        way: &str,
        environment: &[(&'static str, &'static str)],
    ) -> Result<Vec<Contender>, Failure> {
        if let Some(address) = self.gateway {
            return Ok(vec![Contender::NamedGateway { address, pid: self.gateway_pid }]);
        }
        let build = |name: &str, executable: PathBuf| Contender::Gateway {
            name: format!("{name}{way}"),
            executable,
            arguments: self.serve.clone(),
            environment: environment.to_vec(),
        };
        let executable = match &self.executable {
            Some(executable) => executable.clone(),
            None => std::env::current_exe().map_err(|error| {
                Failure::failed(format!("where this program is cannot be found out: {error}"))
            })?,
        };
        let mut gateways = vec![build("gateway", executable)];
        gateways.extend(self.other.iter().map(|other| build("other gateway", other.clone())));
        Ok(gateways)
    }

    /// Whether the gateway is one that runs already, whose settings are not ours to choose.
    pub(super) fn is_named(&self) -> bool {
        self.gateway.is_some()
    }

    /// How often everything is measured.
    pub(super) fn rounds(&self, contenders: usize) -> usize {
        match self.rounds {
            Some(rounds) => rounds.into(),
            None if contenders > 1 => ROUNDS,
            None => 1,
        }
    }

    /// The NATS that was named.
    pub(super) fn named_broker(&self) -> Option<NamedBroker> {
        let url = self.nats.clone()?;
        Some(NamedBroker { url, websocket: self.nats_websocket, pid: self.nats_pid })
    }
}
