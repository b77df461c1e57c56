//! `jobwire bench latency`: from publish to receipt where nothing is under strain.

use clap::Args;

use super::fan_out::{self, FanOutArguments, Timing};
use super::setup::{Rivals, Setup};

/// What `jobwire bench latency` takes.
#[derive(Args, Debug)]
pub(super) struct LatencyArguments {
    /// Watchers of the one job
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    watchers: u32,
    /// Events in a second
    #[arg(long, value_name = "EVENTS", default_value_t = 100.0)]
    rate: f64,
    #[command(flatten)]
    timing: Timing,
    #[command(flatten)]
    rivals: Rivals,
    #[command(flatten)]
    setup: Setup,
}

pub(super) async fn run(arguments: LatencyArguments) -> anyhow::Result<()> {
    let LatencyArguments { watchers, rate, timing, rivals, setup } = arguments;
    let arguments = FanOutArguments { jobs: 1, watchers, rate, timing, rivals, setup };
    fan_out::run(&arguments, "latency").await
}
