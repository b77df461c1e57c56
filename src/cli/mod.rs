//! The command line: what a person types, and the exit codes it answers with.
//!
//! Each command has a file of its own; what they do is elsewhere in the library.

mod bench;
mod child;
mod completions;
mod demo;
mod dev;
mod doctor;
mod health;
mod jobs;
pub mod nats_server;
mod outcome;
mod palette;
mod publish;
mod readiness;
mod serve;
mod signals;
mod standard_output;
mod stream;
mod tail;
mod watching;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

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
    /// Show a job's events, as they are stored and as they come
    #[command(long_about = tail::LONG_ABOUT, after_help = tail::EXIT_CODES)]
    Tail(Box<tail::TailArguments>),
    /// Publish events of a job, by NATS or by a gateway
    #[command(long_about = publish::LONG_ABOUT, after_help = publish::EXIT_CODES)]
    Publish(Box<publish::PublishArguments>),
    /// List jobs
    #[command(long_about = jobs::LONG_ABOUT, after_help = jobs::EXIT_CODES)]
    Jobs(jobs::JobsArguments),
    /// Start NATS, the gateway and a demo job on this machine
    #[command(long_about = dev::LONG_ABOUT, after_help = EXIT_CODES)]
    Dev(dev::DevArguments),
    /// Run a job that can be watched: shorten a tour through 52 places in Berlin
    #[command(long_about = demo::LONG_ABOUT, after_help = EXIT_CODES)]
    Demo(demo::DemoArguments),
    /// Ask a gateway on this machine whether it is ready, as a container's health check does
    #[command(after_help = health::EXIT_CODES)]
    Health(health::HealthArguments),
    /// Look at everything that a gateway needs, and say what mends what is wrong
    #[command(long_about = doctor::LONG_ABOUT, after_help = doctor::EXIT_CODES)]
    Doctor(Box<doctor::DoctorArguments>),
    /// Create, change or check the stream of events
    #[command(after_help = EXIT_CODES)]
    Stream(stream::StreamArguments),
    /// Measure the gateway under load, beside other servers
    #[command(after_help = EXIT_CODES)]
    Bench(bench::BenchArguments),
    /// Write what a shell completes the commands with to standard output
    #[command(after_help = completions::COMPLETIONS_HELP)]
    Completions(completions::CompletionsArguments),
    /// Write the manual pages
    #[command(after_help = completions::MAN_HELP)]
    Man(completions::ManArguments),
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
        Command::Tail(arguments) => tail::run(*arguments),
        Command::Publish(arguments) => publish::run(*arguments),
        Command::Jobs(arguments) => jobs::run(arguments),
        Command::Dev(arguments) => dev::run(arguments),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Health(arguments) => health::run(arguments),
        Command::Doctor(arguments) => doctor::run(*arguments),
        Command::Stream(arguments) => stream::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Completions(arguments) => completions::complete(&arguments, Cli::command()),
        Command::Man(arguments) => completions::man(arguments, Cli::command()),
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
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(future);
    // A read of standard input that is under way would be waited for.
    runtime.shutdown_background();
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_command_that_has_more_to_say_says_it() {
        let mut cli = Cli::command();
        let tail = cli.find_subcommand_mut("tail").expect("a command");
        assert!(tail.render_long_help().to_string().contains("After a cut it goes on"));
    }

    #[test]
    fn every_command_tells_its_exit_codes() {
        for command in Cli::command().get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Exit codes:\n  0  "), "{}", command.get_name());
        }
    }
}
