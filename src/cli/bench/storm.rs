//! `jobwire bench storm`: many clients lose their connection, miss some events, and come back all
//! at once.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::connection::Watch;
use super::contender::{Contender, Crowding};
use super::conversation::Conversation;
use super::fan_out::{self, AT_ONCE};
use super::figures::{self, Round, count, milliseconds};
use super::report::Report;
use super::scene::{Stage, Used};
use super::schedule::Schedule;
use super::setup::Setup;
use super::turns::in_turn;
use super::{clock, limits};
use crate::cli::outcome::Failure;

/// A window so small that what was missed is not in it. The page cache stays as it is: that many
/// ask for the same is what it is for.
const COLD: [(&str, &str); 1] = [("JOBWIRE_WINDOW", "4MiB")];
/// Bytes of other events that fill the cold window more than once.
const FLOOD: usize = 16 << 20;
/// Pause between two looks at the memory.
const LOOK: Duration = Duration::from_millis(20);

/// What `jobwire bench storm` takes.
#[derive(Args, Debug)]
pub(super) struct StormArguments {
    /// Clients that come back
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    clients: u32,
    /// Events that each of them has missed
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    missed: u32,
    /// Jobs that they watch, one each
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    jobs: u32,
    /// Bytes of an event
    #[arg(long, value_name = "BYTES", default_value_t = 260)]
    size: usize,
    /// Seconds without any event after which those that are missing are taken for lost
    #[arg(long, default_value_t = 20.0)]
    patience: f64,
    #[command(flatten)]
    setup: Setup,
}

pub(super) async fn run(arguments: &StormArguments) -> anyhow::Result<()> {
    let StormArguments { clients, missed, jobs, size, patience, ref setup } = *arguments;
    fan_out::size(size)?;
    limits::make_room(clients as usize)?;
    let patience = Duration::try_from_secs_f64(patience)
        .map_err(|error| Failure::usage(format!("--patience: {error}")))?;
    let contenders = contenders(setup)?;
    let storm = Storm { clients, missed, jobs, size, patience, setup };
    let rounds = setup.rounds(contenders.len());
    let measured =
        in_turn(&contenders, rounds, async |contender, _| storm.round(contender).await).await?;
    let report = Report {
        command: "storm",
        load: json!({
            "clients": clients, "missed": missed, "jobs": jobs, "size": size, "rounds": rounds,
        }),
        contenders: measured,
        notes: Vec::new(),
    };
    report.tell(setup.json)
}

/// From the window, and below it.
fn contenders(setup: &Setup) -> Result<Vec<Contender>, Failure> {
    if setup.is_named() {
        return setup.gateways("", &[]);
    }
    let mut contenders = setup.gateways(", warm", &[])?;
    contenders.extend(setup.gateways(", cold", &COLD)?);
    Ok(contenders)
}

struct Storm<'a> {
    clients: u32,
    missed: u32,
    jobs: u32,
    size: usize,
    patience: Duration,
    setup: &'a Setup,
}

impl Storm<'_> {
    async fn round(&self, contender: &Contender) -> anyhow::Result<Round> {
        let stage = Stage::open(self.setup, self.jobs, self.size).await?;
        let clients = self.clients as usize;
        let crowding = Crowding { watchers: clients, jobs: self.jobs, size: self.size };
        let served = contender.serve(Some(&stage.broker), crowding).await?;
        let crowd = served.crowd(&stage.publishing.jobs, Conversation::gateway_after())?;
        let watches = self.watches(&stage.first_ids);
        crowd.connect(watches.clone(), AT_ONCE);
        crowd.ready(clients).await?;
        crowd.disconnect(vec![2; self.jobs as usize]);
        let missed = Schedule::at_once(self.jobs, 2, self.missed);
        stage.publishing.run(missed).await?;
        // Warm ones get it too: both have as much in the stream.
        stage.flood(u32::try_from(FLOOD / self.size)?).await?;
        sleep(Duration::from_secs(1)).await;
        let before = Used::now(Some(&served), Some(&stage.broker), crowd.busy())?;
        let mut peak = before.server.map(|usage| usage.memory);
        crowd.caught_up_with(self.missed + 1);
        let (start, mut last, mut changed) = (clock::now(), 0, Instant::now());
        crowd.connect(watches, clients);
        while crowd.caught_up() < clients && changed.elapsed() < self.patience {
            if crowd.deliveries() != last {
                (last, changed) = (crowd.deliveries(), Instant::now());
            }
            peak = peak.max(served.usage()?.map(|usage| usage.memory));
            sleep(LOOK).await;
        }
        let after = Used::now(Some(&served), Some(&stage.broker), crowd.busy())?;
        let (all, cut) = (crowd.last_caught_up().saturating_sub(start), crowd.lost());
        let outcome = crowd.finish(vec![missed.end(); self.jobs as usize])?;
        drop(served);
        stage.broker.stop();
        let expected = u64::from(self.clients) * u64::from(self.missed);
        let mut round = Round::default();
        outcome.tally.tell(expected, &mut round);
        round.add(&figures::CUT, count(cut as u64));
        round.add(&figures::STORM, milliseconds(all));
        let each = |quantile| milliseconds(outcome.catching_up.value_at_quantile(quantile));
        round.add(&figures::STORM_P50, each(0.5));
        round.add(&figures::STORM_P99, each(0.99));
        let megabytes = |memory: u64| count(memory) / 1e6;
        let calm = before.server.map(|usage| megabytes(usage.memory));
        round.add_known(&figures::MEMORY_CALM, calm);
        round.add_known(&figures::MEMORY_PEAK, peak.map(megabytes));
        after.tell_since(&before, expected, &mut round);
        Ok(round)
    }

    fn watches(&self, first_ids: &[u64]) -> Vec<Watch> {
        let jobs = (0..self.jobs).zip(first_ids).cycle();
        let watches = jobs.map(|(job, id)| Watch { job, first: 2, after: *id });
        watches.take(self.clients as usize).collect()
    }
}
