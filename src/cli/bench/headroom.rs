//! `jobwire bench headroom`: how much the receiving side can take, shown with a server that only
//! writes, as fast as it can.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::sleep;

use super::connection::Watch;
use super::contender::{Contender, Crowding};
use super::conversation::Jobs;
use super::fan_out::AT_ONCE;
use super::figures::{self, Measured, Round, count};
use super::report::Report;
use super::scene::Used;
use super::schedule::Schedule;
use super::stamp;
use super::{fan_out, limits};
use crate::cli::outcome::Failure;

/// How long no event may come.
const PATIENCE: Duration = Duration::from_secs(5);
/// Events that a server under load puts into one write: one, and as many as it has seen.
const BATCHES: [u64; 3] = [1, 4, 16];

/// What `jobwire bench headroom` takes.
#[derive(Args, Debug)]
pub(super) struct HeadroomArguments {
    /// Watchers of one job
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    watchers: u32,
    /// The load that the factor is told for: events in a second
    #[arg(long, value_name = "EVENTS", default_value_t = 400.0)]
    rate: f64,
    /// Deliveries that are measured, in all
    #[arg(long, default_value_t = 2_000_000)]
    deliveries: u64,
    /// Bytes of an event
    #[arg(long, value_name = "BYTES", default_value_t = 260)]
    size: usize,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: &HeadroomArguments) -> anyhow::Result<()> {
    let HeadroomArguments { watchers, rate, deliveries, size, json } = *arguments;
    fan_out::size(size)?;
    limits::make_room(watchers as usize)?;
    let each = u32::try_from(deliveries / u64::from(watchers)).unwrap_or(u32::MAX);
    if each == 0 || u64::from(each) >= stamp::MOST_EVENTS {
        return Err(Failure::usage(format!(
            "--deliveries: {deliveries} make no number of events for {watchers} watchers"
        ))
        .into());
    }
    let mut contenders = Vec::new();
    for batch in BATCHES {
        let mut measured = Measured::new(format!("{batch} in a write"));
        measured.rounds.push(flood(watchers, each, size, batch, rate).await?);
        contenders.push(measured);
    }
    let report = Report {
        command: "headroom",
        load: json!({
            "watchers": watchers, "rate": rate, "deliveries": deliveries, "size": size,
            "deliveriesPerSecond": rate * f64::from(watchers),
        }),
        contenders,
        notes: vec![format!(
            "The head-room is what the receiving thread can take, divided by a load of {watchers} \
             watchers × {rate} events a second."
        )],
    };
    report.tell(json)
}

/// Lets the floor write without a pause.
async fn flood(
    watchers: u32,
    each: u32,
    size: usize,
    batch: u64,
    rate: f64,
) -> anyhow::Result<Round> {
    let crowding = Crowding { watchers: watchers as usize, jobs: 1, size };
    let mut served = Contender::Floor { batch, drop_every: 0 }.serve(None, crowding).await?;
    let crowd = served.crowd(&Jobs::new(), served.conversation.clone())?;
    let watch = Watch { job: 0, first: 1, after: 0 };
    crowd.connect(vec![watch; watchers as usize], AT_ONCE);
    crowd.ready(watchers as usize).await?;
    sleep(Duration::from_millis(300)).await;
    let expected = u64::from(each) * u64::from(watchers);
    let before = Used::now(Some(&served), None, crowd.busy())?;
    let schedule = Schedule::at_once(1, 1, each);
    served.order(&schedule).await?;
    crowd.delivered(expected, PATIENCE).await;
    let after = Used::now(Some(&served), None, crowd.busy())?;
    let lost = crowd.lost();
    let outcome = crowd.finish(vec![schedule.end()])?;
    let mut round = Round::default();
    outcome.tally.tell(expected, &mut round);
    round.add(&figures::CUT, count(lost as u64));
    let seconds = count(after.at.saturating_sub(before.at)) / 1e9;
    round.add(&figures::DELIVERIES, count(expected) / seconds);
    let capacity = count(expected) * 1e9 / count(after.received_since(&before).max(1));
    round.add(&figures::CAPACITY, capacity);
    round.add(&figures::HEADROOM, capacity / (rate * f64::from(watchers)));
    Ok(round)
}
