//! `jobwire doctor`: looks at everything that a gateway needs, and says what mends what is wrong.
//!
//! `broker` looks at NATS, `permissions` tries each subject, `round_trip` publishes and watches,
//! and `report` writes what was found.

mod broker;
mod check;
mod permissions;
mod report;
mod round_trip;

use std::path::PathBuf;

use clap::Args;

use super::outcome::Failure;
use super::palette::Palette;
use super::publish::Carrier;
use super::standard_output;
use super::watching::{Gateway, GatewayArguments};
use crate::config::{
    Config, LogFormat, NatsConfig, NatsIdentity, NatsSettings, PersonalNatsSettings, Settings,
};
use crate::event::{MAX_NAME, check_name};
use crate::journal::connection::{ConnectError, Connection, connect};
use crate::telemetry;
use check::Check;
use report::{Format, Report};

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  no check failed; what was skipped is said so
  1  a check failed
  2  wrong usage or configuration
  3  NATS cannot be reached, or does not let us in

Examples:
  jobwire doctor --config /etc/jobwire.toml
  jobwire doctor --url https://jobs.example.com --token-file token --format json
  jobwire doctor --format prometheus > /var/lib/node_exporter/jobwire.prom";

/// How long an event of the round trip is tried.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(8);

/// What `jobwire doctor --help` begins with.
pub(super) const LONG_ABOUT: &str = "\
Look at everything that a gateway needs: NATS, JetStream, the stream, the permissions of the \
gateway's user (each subject is tried), clocks, and with --url a gateway: events of a small job are \
published, watched over a connection that is cut, and counted.

Give it what the gateway has: the same configuration file, the same environment. It changes nothing \
but for the events of that job, a handful, which stay in the stream.";

/// What `jobwire doctor` takes.
#[derive(Args, Debug)]
pub(super) struct DoctorArguments {
    /// Configuration file of the gateway
    #[arg(long, env = "JOBWIRE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How the report is written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: Format,
    /// Kind of the job that is published and watched
    #[arg(
        long,
        value_name = "KIND",
        env = "JOBWIRE_DOCTOR_KIND",
        default_value = "jobwire-doctor"
    )]
    kind: String,
    #[command(flatten)]
    gateway: GatewayArguments,
    #[command(flatten)]
    producer: ProducerArguments,
    #[command(flatten)]
    nats: PersonalNatsSettings,
}

/// Who publishes the events of the round trip.
#[derive(Args, Debug)]
#[command(next_help_heading = "Producer of the round trip")]
struct ProducerArguments {
    /// Credentials file of a NATS user that may publish
    #[arg(long, env = "JOBWIRE_PRODUCER_CREDS", value_name = "FILE")]
    producer_credentials: Option<PathBuf>,
    /// File with the nkey seed of one
    #[arg(long, env = "JOBWIRE_PRODUCER_NKEY", value_name = "FILE")]
    producer_nkey: Option<PathBuf>,
    /// Name of one
    #[arg(long, env = "JOBWIRE_PRODUCER_USER", value_name = "NAME")]
    producer_user: Option<String>,
    /// Password of that user
    #[arg(long, env = "JOBWIRE_PRODUCER_PASSWORD", value_name = "TEXT", hide_env_values = true)]
    producer_password: Option<String>,
    /// Prefix of that user's inboxes
    #[arg(long, env = "JOBWIRE_PRODUCER_INBOX_PREFIX", value_name = "SUBJECT")]
    producer_inbox_prefix: Option<String>,
}

impl ProducerArguments {
    /// The same NATS as somebody else; `None` if nobody was named.
    fn over(&self, nats: &NatsConfig) -> anyhow::Result<Option<NatsConfig>> {
        let settings = NatsSettings {
            credentials: self.producer_credentials.clone(),
            nkey: self.producer_nkey.clone(),
            user: self.producer_user.clone(),
            password: self.producer_password.clone(),
            ..NatsSettings::default()
        };
        let identity = settings.resolve()?.identity;
        let inbox_prefix = self.producer_inbox_prefix.clone();
        let is_somebody = identity != NatsIdentity::Anonymous;
        Ok(is_somebody.then(|| NatsConfig { identity, inbox_prefix, ..nats.clone() }))
    }
}

pub(super) fn run(arguments: DoctorArguments) -> anyhow::Result<()> {
    // What the library logs of denials and the like is in the report.
    telemetry::init(LogFormat::Text, "off")?;
    check_name(&arguments.kind, MAX_NAME)
        .map_err(|error| Failure::usage(format!("--kind: {:?} {error}", arguments.kind)))?;
    let config = configuration(&arguments)?;
    let producer = arguments.producer.over(&config.nats)?;
    let has_url = arguments.gateway.url.as_ref().is_some_and(|url| !url.is_empty());
    let gateway = if has_url { Some(arguments.gateway.gateway()?) } else { None };
    let (report, is_reached) = super::block_on(async {
        let mut report = Report::default();
        let is_reached = look_at_nats(&config, &mut report).await?;
        let producers = Producers { named: producer, anybody: is_reached };
        look_at_gateway(&arguments, &config, producers, gateway.as_ref(), &mut report).await;
        Ok((report, is_reached))
    })?;
    let text = report.text(arguments.format, Palette::of(&std::io::stdout()))?;
    standard_output::write(text.as_bytes())?;
    match (is_reached, report.is_good()) {
        (false, _) => Err(Failure::unreachable("NATS cannot be reached").into()),
        (true, false) => Err(Failure::failed("a check failed").into()),
        (true, true) => Ok(()),
    }
}

/// What the gateway would have.
fn configuration(arguments: &DoctorArguments) -> anyhow::Result<Config> {
    let personal = arguments.nats.clone();
    let settings = Settings { nats: personal.nats.clone(), ..Settings::default() };
    let mut config = settings.resolve(arguments.config.as_deref())?;
    // A gateway knows no contexts; without its file, a person may name one.
    if arguments.config.is_none() || personal.context.is_some() {
        config.nats = personal.resolve()?;
    }
    Ok(config)
}

/// Whether there is a connection.
async fn look_at_nats(config: &Config, report: &mut Report) -> Result<bool, ConnectError> {
    let connection = match connect(&config.nats, "jobwire doctor").await {
        Ok(connection) => connection,
        Err(error @ (ConnectError::Address { .. } | ConnectError::File { .. })) => {
            return Err(error);
        }
        Err(error) => {
            report.checks.push(no_connection(&error));
            return Ok(false);
        }
    };
    report.checks.extend(broker::server(&connection, &config.nats));
    for stream in streams(config) {
        look_at_stream(&connection, config, &stream, report).await;
    }
    Ok(true)
}

fn no_connection(error: &ConnectError) -> Check {
    let mend = match error {
        ConnectError::Refused { .. } => {
            "Check who we are to NATS: NATS_CREDS, NATS_NKEY, or NATS_USER and NATS_PASSWORD"
        }
        _ => "Is nats-server running, and does the network let us through? NATS_URL names it",
    };
    Check::failed("nats", error.to_string(), mend)
}

/// Those that the gateway's routes read.
fn streams(config: &Config) -> Vec<String> {
    let named = config.routes.sources.iter().map(|source| source.stream.clone());
    let mut streams: Vec<String> = named.collect();
    streams.sort();
    streams.dedup();
    streams
}

async fn look_at_stream(
    connection: &Connection,
    config: &Config,
    stream: &str,
    report: &mut Report,
) {
    let is_there = broker::stream(connection, &config.nats, stream, report).await;
    let rights = permissions::reading(connection, &config.nats, stream).await;
    // Without a stream nothing is learnt by being allowed to ask.
    report.checks.extend(rights.into_iter().filter(|check| is_there || check.mend.is_some()));
    if config.publish && is_there && stream == config.nats.stream {
        let subject = "jobs.jobwire-doctor.rights.progress";
        report.checks.push(permissions::publishing(connection, subject).await.about(subject));
    }
}

async fn look_at_gateway(
    arguments: &DoctorArguments,
    config: &Config,
    producers: Producers,
    gateway: Option<&Gateway>,
    report: &mut Report,
) {
    let enable = "Name a gateway with --url or JOBWIRE_URL";
    let Some(gateway) = gateway else {
        let found = "no gateway was named";
        return report.checks.push(Check::skipped("round-trip", found, enable));
    };
    let answers = round_trip::gateway(gateway).await;
    let is_there = answers.mend.is_none();
    report.checks.push(answers);
    if !is_there {
        let found = "the gateway does not answer us";
        return report.checks.push(Check::skipped("round-trip", found, "Mend that first"));
    }
    match carriers(config, producers, gateway).await {
        Ok(carriers) => {
            let check = round_trip::run(gateway, &arguments.kind, &carriers, report).await;
            report.checks.push(check);
        }
        Err(error) => report.checks.push(Check::failed(
            "round-trip",
            format!("as the producer: {error}"),
            "Check --producer-credentials, --producer-nkey, or --producer-user and its password",
        )),
    }
}

/// Who may be able to publish by NATS.
struct Producers {
    /// A user who was named for it.
    named: Option<NatsConfig>,
    /// Whether NATS can be reached as nobody in particular.
    anybody: bool,
}

/// Who may publish: the producer that was named and nobody else; or the gateway, and where NATS
/// knows no users, anybody.
async fn carriers(
    config: &Config,
    producers: Producers,
    gateway: &Gateway,
) -> Result<Vec<(&'static str, Carrier)>, ConnectError> {
    if let Some(producer) = producers.named {
        return Ok(vec![("NATS", Carrier::by_nats(producer, PATIENCE).await?)]);
    }
    let mut carriers = vec![("HTTP", Carrier::by_http(gateway.clone(), PATIENCE))];
    let is_named = config.nats.url.contains('@') || config.nats.tls_client.is_some();
    let is_open = config.nats.identity == NatsIdentity::Anonymous && !is_named;
    if is_open && producers.anybody {
        carriers.push(("NATS", Carrier::by_nats(config.nats.clone(), PATIENCE).await?));
    }
    Ok(carriers)
}
