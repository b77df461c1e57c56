//! Who is measured against whom, and where: the options that all measurements share.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::broker::NamedBroker;
use super::contender::Contender;
use crate::cli::outcome::Failure;

/// Rounds of a comparison.
const ROUNDS: usize = 5;

/// A server to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Against {
    /// The NATS server's own WebSocket listener, with core subscriptions
    NatsWs,
    /// A server that does nothing but one write per socket: what any server costs at least
    Floor,
}

/// The options.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Who is measured")]
pub(super) struct Setup {
    /// Measure these under the same load in the same run, in turn; several with commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SERVER")]
    pub(super) against: Vec<Against>,
    /// Another server, started by a command that prints how to talk to it (benches/peers/README.md)
    #[arg(long, value_name = "NAME=COMMAND", value_parser = named)]
    pub(super) peer: Vec<(String, String)>,
    /// Another build of the gateway, measured in the same rounds: before and after a change
    #[arg(long, value_name = "FILE")]
    pub(super) other: Option<PathBuf>,
    /// The build of the gateway that is measured [default: this one]
    #[arg(long, value_name = "FILE")]
    pub(super) executable: Option<PathBuf>,
    /// A further argument of `jobwire serve`, such as --serve=--workers=1; several times
    #[arg(long = "serve", value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub(super) serve: Vec<String>,
    /// A gateway that runs already, by IP and port; its NATS has to be named, too
    #[arg(long, value_name = "ADDRESS", requires = "nats", conflicts_with_all = ["other", "executable", "serve"])]
    pub(super) gateway: Option<SocketAddr>,
    /// Process of that gateway, on this machine; without it nothing is known of its CPU and memory
    #[arg(long, value_name = "PID", requires = "gateway")]
    pub(super) gateway_pid: Option<u32>,
    /// A NATS server that runs already and has the stream JOBS, into which all events go
    #[arg(long, value_name = "URL")]
    pub(super) nats: Option<String>,
    /// Process of that server
    #[arg(long, value_name = "PID", requires = "nats")]
    pub(super) nats_pid: Option<u32>,
    /// Where that server listens for WebSockets, by IP and port
    #[arg(long, value_name = "ADDRESS", requires = "nats")]
    pub(super) nats_websocket: Option<SocketAddr>,
    /// How often everything is measured [default: 5 with others to compare with, else 1]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) rounds: Option<u16>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
    /// Lets the floor leave out one of so many writes, to see that it is noticed
    #[arg(long, hide = true, default_value_t = 0)]
    pub(super) drop_every: u64,
}

fn named(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, command)) if !name.is_empty() && !command.is_empty() => {
            Ok((name.to_owned(), command.to_owned()))
        }
        _ => Err("it should be NAME=COMMAND, such as socketio='node server.js'".into()),
    }
}

impl Setup {
    /// The gateway first, then all it is compared with.
    pub(super) fn contenders(&self) -> Result<Vec<Contender>, Failure> {
        let mut all = vec![self.gateway()?];
        if let Some(other) = &self.other {
            all.push(self.build("other gateway", other.clone()));
        }
        all.extend(self.against.iter().map(|against| match against {
            Against::NatsWs => Contender::NatsWebSocket,
            Against::Floor => Contender::Floor { drop_every: self.drop_every },
        }));
        all.extend(self.peer.iter().map(|(name, command)| Contender::Peer {
            name: name.clone(),
            command: command.clone(),
        }));
        Ok(all)
    }

    /// The gateway alone.
    pub(super) fn gateway(&self) -> Result<Contender, Failure> {
        if let Some(address) = self.gateway {
            return Ok(Contender::NamedGateway { address, pid: self.gateway_pid });
        }
        let executable = match &self.executable {
            Some(executable) => executable.clone(),
            None => std::env::current_exe().map_err(|error| {
                Failure::failed(format!("where this program is cannot be found out: {error}"))
            })?,
        };
        Ok(self.build("gateway", executable))
    }

    fn build(&self, name: &str, executable: PathBuf) -> Contender {
        Contender::Gateway { name: name.into(), executable, arguments: self.serve.clone() }
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
