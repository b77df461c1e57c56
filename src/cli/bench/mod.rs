//! `jobwire bench`: what the gateway takes and gives under load, beside other servers under the
//! same load in the same run.
//!
//! Servers are processes of their own, started anew for every round. The load is fixed before it
//! begins and is not held up by who cannot keep up with it. The side that receives is one thread
//! with raw sockets, because it shares the machine with what it measures.

mod bar;
mod bare;
mod broker;
mod clock;
mod connection;
mod contender;
mod conversation;
mod crowd;
mod fan_out;
mod figures;
mod floor;
mod frames;
mod headroom;
mod idle;
mod latency;
mod limits;
mod publish;
mod replay;
mod report;
mod scanner;
mod scene;
mod schedule;
mod setup;
mod stamp;
mod storm;
mod tally;
mod turns;
mod usage;

use clap::{Args, Subcommand};

use super::outcome::Failure;
use super::signals::StopSignals;

/// What `jobwire bench` takes.
#[derive(Args, Debug)]
pub(super) struct BenchArguments {
    #[command(subcommand)]
    measurement: Measurement,
}

#[derive(Debug, Subcommand)]
enum Measurement {
    /// Live events of some jobs, each to many watchers, at a fixed rate
    FanOut(fan_out::FanOutArguments),
    /// From publish to receipt where nothing is under strain: one job, few watchers
    Latency(latency::LatencyArguments),
    /// All of a large job to one client, cold and warm, beside a bare consumer of NATS
    Replay(replay::ReplayArguments),
    /// Many clients that come back at once and have missed some events, warm and cold
    Storm(storm::StormArguments),
    /// Memory and CPU of connections on which nothing happens, and how quickly they stand
    Idle(idle::IdleArguments),
    /// How much the receiving side of these measurements can take
    Headroom(headroom::HeadroomArguments),
    /// Writes and does nothing else
    #[command(hide = true)]
    FloorServer(floor::FloorArguments),
}

pub(super) fn run(arguments: BenchArguments) -> anyhow::Result<()> {
    if let Measurement::FloorServer(arguments) = &arguments.measurement {
        return floor::run(arguments);
    }
    // One thread: it publishes, and has to leave the cores to the servers.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(until_stopped(measure(arguments.measurement)))
}

/// Whatever was started ends by being dropped.
async fn until_stopped(measuring: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?;
    tokio::select! {
        outcome = measuring => outcome,
        () = signals.next() => Err(Failure::failed("stopped before the end").into()),
    }
}

async fn measure(measurement: Measurement) -> anyhow::Result<()> {
    match measurement {
        Measurement::FanOut(arguments) => fan_out::run(&arguments, "fan-out").await,
        Measurement::Latency(arguments) => latency::run(arguments).await,
        Measurement::Replay(arguments) => replay::run(&arguments).await,
        Measurement::Storm(arguments) => storm::run(&arguments).await,
        Measurement::Idle(arguments) => idle::run(&arguments).await,
        Measurement::Headroom(arguments) => headroom::run(&arguments).await,
        Measurement::FloorServer(_) => Ok(()),
    }
}
