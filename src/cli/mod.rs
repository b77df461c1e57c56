//! The command line: what a person types, and the exit codes it answers with.
//!
//! Each command has a file of its own; what they do is elsewhere in the library.

mod bench;
mod child;
mod demo;
mod dev;
mod health;
pub mod nats_server;
mod outcome;
mod readiness;
mod serve;
mod signals;
mod stream;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Settings;
pub use outcome::{Failure, FailureKind};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  wrong usage or configuration; the sentence on standard error names the setting
  3  NATS cannot be reached, or does not let us in";

/// Watch long-running jobs over WebSocket, from one durable NATS JetStream stream.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    #[command(after_help = EXIT_CODES)]
    Serve(Box<ServeArguments>),
    /// Start NATS, the gateway and a demo job on this machine
    #[command(after_help = EXIT_CODES)]
    Dev(dev::DevArguments),
    /// Run a job that can be watched: shorten a tour through 52 places in Berlin
    #[command(after_help = EXIT_CODES)]
    Demo(demo::DemoArguments),
    /// Ask a gateway on this machine whether it is ready, as a container's health check does
    #[command(after_help = health::EXIT_CODES)]
    Health(health::HealthArguments),
    /// Create, change or check the stream of events
    #[command(after_help = EXIT_CODES)]
    Stream(stream::StreamArguments),
    /// Measure the gateway under load, beside other servers
    #[command(after_help = EXIT_CODES)]
    Bench(bench::BenchArguments),
}

/// What `jobwire serve` takes.
#[derive(Args, Debug)]
struct ServeArguments {
    /// Configuration file (TOML); what is given here or in the environment wins over it
    #[arg(long, env = "JOBWIRE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// Runs the command that was typed. Clap itself answers wrong usage with exit code 2.
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(arguments) => serve(*arguments),
        Command::Dev(arguments) => dev::run(arguments),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Health(arguments) => health::run(arguments),
        Command::Stream(arguments) => stream::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
    };
    outcome::exit_code(outcome)
}

fn serve(arguments: ServeArguments) -> anyhow::Result<()> {
    let config = arguments.settings.resolve(arguments.config.as_deref())?;
    crate::telemetry::init(config.log_format, &config.log)?;
    serve::run(config)
}

/// Runs a command that needs a few tasks, not many threads.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(future)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_tells_its_exit_codes() {
        for command in Cli::command().get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Exit codes:\n  0  "), "{}", command.get_name());
        }
    }
}
