//! `jobwire stream apply` and `jobwire stream verify`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use async_nats::jetstream::{self, context::GetStreamErrorKind};
use clap::{Args, Subcommand};

use super::outcome::Failure;
use crate::config::{LogFormat, NatsConfig, PersonalNatsSettings};
use crate::journal::connection::{connect, jetstream};
use crate::journal::stream::{Applied, StreamDefinition, Verdict, apply, verify};
use crate::telemetry;

/// What `jobwire stream` takes.
#[derive(Args, Debug)]
pub(super) struct StreamArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Create the stream, or change what differs from its definition; never deletes anything
    Apply(ApplyArguments),
    /// Check that the stream is fit for the gateway; exit code 1 if it is not
    Verify(VerifyArguments),
}

#[derive(Args, Debug)]
struct ApplyArguments {
    /// Stream definition in the server's JSON [default: the one this program was built with]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Copies of the stream in a cluster, instead of the definition's
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=5))]
    replicas: Option<u8>,
    #[command(flatten)]
    nats: PersonalNatsSettings,
}

#[derive(Args, Debug)]
struct VerifyArguments {
    #[command(flatten)]
    nats: PersonalNatsSettings,
}

pub(super) fn run(arguments: StreamArguments) -> anyhow::Result<()> {
    telemetry::init(LogFormat::Text, "warn")?;
    super::block_on(async {
        match arguments.action {
            Action::Apply(arguments) => run_apply(arguments).await,
            Action::Verify(arguments) => run_verify(arguments.nats.resolve()?).await,
        }
    })
}

async fn run_apply(arguments: ApplyArguments) -> anyhow::Result<()> {
    let config = arguments.nats.resolve()?;
    let definition = definition(arguments.file.as_deref())?;
    let connection = connect(&config, "jobwire stream").await?;
    let context = jetstream(&connection, &config);
    let replicas = arguments.replicas.map(usize::from);
    let applying = apply(&context, &definition, &config.stream, replicas);
    let applied = connection.permitted(applying).await??;
    report(&config.stream, &applied);
    Ok(())
}

fn definition(file: Option<&Path>) -> anyhow::Result<StreamDefinition> {
    let Some(path) = file else { return Ok(StreamDefinition::bundled()?) };
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("--file: cannot read {}: {error}", path.display()))
    })?;
    StreamDefinition::from_json(&text).with_context(|| format!("--file {}", path.display()))
}

fn report(stream: &str, applied: &Applied) {
    match applied {
        Applied::Created => println!("stream {stream}: created"),
        Applied::Existing { changed, kept } => {
            if changed.is_empty() {
                println!("stream {stream}: unchanged");
            }
            for change in changed {
                println!("stream {stream}: changed {change}");
            }
            for change in kept {
                println!("stream {stream}: cannot be changed any more, left as it is: {change}");
            }
        }
    }
}

async fn run_verify(config: NatsConfig) -> anyhow::Result<()> {
    let connection = connect(&config, "jobwire stream").await?;
    let context = jetstream(&connection, &config);
    let asking = configuration(&context, &config.stream);
    let verdict = verify(&connection.permitted(asking).await??);
    let Verdict { refusals, warnings } = &verdict;
    for warning in warnings {
        println!("warning: {warning}");
    }
    for refusal in refusals {
        println!("unsuitable: {refusal}");
    }
    if !refusals.is_empty() {
        let sentence = format!("stream {} cannot be served from", config.stream);
        return Err(Failure::failed(sentence).into());
    }
    println!("stream {}: fit for the gateway", config.stream);
    Ok(())
}

/// The stream's configuration; a missing stream is an error that says how to get one.
pub(super) async fn configuration(
    context: &jetstream::Context,
    stream: &str,
) -> Result<jetstream::stream::Config, Failure> {
    match context.get_stream(stream).await {
        Ok(stream) => Ok(stream.cached_info().config.clone()),
        Err(error) => Err(match error.kind() {
            GetStreamErrorKind::JetStream(_) => Failure::failed(format!(
                "stream {stream}: {error}; `jobwire stream apply` creates it"
            )),
            _ => Failure::unreachable(format!("stream {stream}: no answer from NATS: {error}")),
        }),
    }
}
