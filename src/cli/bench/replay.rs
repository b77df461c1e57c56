//! `jobwire bench replay`: all of a large job to one client, cold and warm, beside a bare consumer
//! of NATS; and what others notice of it.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::connection::Watch;
use super::contender::{Contender, Crowding, Served};
use super::conversation::{Conversation, Jobs};
use super::fan_out::{self, AT_ONCE};
use super::figures::{self, Round, count, milliseconds};
use super::publish::Publishing;
use super::report::Report;
use super::scene::{Stage, Used};
use super::schedule::Schedule;
use super::setup::Setup;
use super::tally::Tally;
use super::turns::in_turn;
use super::{bare, clock, limits};
use crate::cli::outcome::Failure;

/// How long one replay may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// A window so small that the job is not in it, and a page cache that forgets its beginning
/// before it is asked for again.
const COLD: [(&str, &str); 2] = [("JOBWIRE_WINDOW", "4MiB"), ("JOBWIRE_PAGE_CACHE", "1MiB")];
/// A window that holds everything.
const WARM: [(&str, &str); 1] = [("JOBWIRE_WINDOW", "512MiB")];
/// Bytes of other events that fill the cold window more than once.
const FLOOD: usize = 16 << 20;

/// What `jobwire bench replay` takes.
#[derive(Args, Debug)]
pub(super) struct ReplayArguments {
    /// Events of the job
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    events: u32,
    /// Watchers of another job, whose latency is measured without and with replays; 0: none
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(..=100_000))]
    live_watchers: u32,
    /// Events of that job in a second
    #[arg(long, value_name = "EVENTS", default_value_t = 100.0)]
    live_rate: f64,
    /// Seconds for which they are measured, each time
    #[arg(long, default_value_t = 3.0)]
    live_seconds: f64,
    /// Bytes of an event
    #[arg(long, value_name = "BYTES", default_value_t = 260)]
    size: usize,
    #[command(flatten)]
    setup: Setup,
}

pub(super) async fn run(arguments: &ReplayArguments) -> anyhow::Result<()> {
    let ReplayArguments { events, live_watchers, live_rate, live_seconds, size, ref setup } =
        *arguments;
    fan_out::size(size)?;
    fan_out::positive("--live-rate", live_rate)?;
    fan_out::positive("--live-seconds", live_seconds)?;
    limits::make_room(live_watchers as usize)?;
    let contenders = contenders(setup)?;
    let stage = Stage::open(setup, 1, size).await?;
    // All of it is in the stream before anybody reads, and not the newest.
    stage.publishing.run(Schedule::at_once(1, 2, events - 1)).await?;
    stage.flood(u32::try_from(FLOOD / size)?).await?;
    let replaying = Replaying { stage: &stage, events, live_watchers, live_rate, live_seconds };
    let rounds = setup.rounds(contenders.len());
    let measured =
        in_turn(&contenders, rounds, async |contender, _| replaying.round(contender).await);
    let contenders = measured.await?;
    stage.broker.stop();
    let report = Report {
        command: "replay",
        load: json!({
            "events": events, "size": size, "rounds": rounds, "liveWatchers": live_watchers,
            "liveRate": live_rate, "liveSeconds": live_seconds,
        }),
        contenders,
        notes: vec![
            "A replay counts from the client's connect, or the consumer's creation, to the last \
             event."
                .into(),
        ],
    };
    report.tell(setup.json)
}

/// Cold, warm, and without a gateway.
fn contenders(setup: &Setup) -> Result<Vec<Contender>, Failure> {
    let mut contenders = match setup.is_named() {
        true => setup.gateways("", &[])?,
        false => setup.gateways(", cold", &COLD)?,
    };
    contenders.push(Contender::BareConsumer);
    if !setup.is_named() {
        contenders.extend(setup.gateways(", warm", &WARM)?);
    }
    Ok(contenders)
}

struct Replaying<'a> {
    stage: &'a Stage,
    events: u32,
    live_watchers: u32,
    live_rate: f64,
    live_seconds: f64,
}

impl Replaying<'_> {
    async fn round(&self, contender: &Contender) -> anyhow::Result<Round> {
        if matches!(contender, Contender::BareConsumer) {
            return self.bare().await;
        }
        let crowding = Crowding { watchers: 1, jobs: 1, size: 0 };
        let served = contender.serve(Some(&self.stage.broker), crowding).await?;
        // Once without counting: neither side pays for what is only done the first time.
        let mut tally = Tally::new();
        self.replay(&served, &mut tally).await?;
        let before = Used::now(Some(&served), Some(&self.stage.broker), 0)?;
        let took = self.replay(&served, &mut tally).await?;
        let after = Used::now(Some(&served), Some(&self.stage.broker), 0)?;
        let mut round = Round::default();
        self.speed(took, &mut round);
        if self.live_watchers > 0 {
            self.live(&served, &mut tally, &mut round).await?;
        }
        tally.tell(tally.delivered + tally.lost, &mut round);
        after.tell_costs_since(&before, u64::from(self.events), &mut round);
        Ok(round)
    }

    async fn bare(&self) -> anyhow::Result<Round> {
        let Publishing { jobs, .. } = &self.stage.publishing;
        let url = self.stage.broker.settings.url.clone().unwrap_or_default();
        let read = || bare::read(url.clone(), jobs.filter(0), u64::from(self.events));
        read().await?;
        let before = Used::now(None, Some(&self.stage.broker), 0)?;
        let took = read().await?;
        let after = Used::now(None, Some(&self.stage.broker), 0)?;
        let mut round = Round::default();
        self.speed(took, &mut round);
        after.tell_costs_since(&before, u64::from(self.events), &mut round);
        Ok(round)
    }

    fn speed(&self, took: Duration, round: &mut Round) {
        round.add(&figures::REPLAY, f64::from(self.events) / took.as_secs_f64());
        round.add(&figures::REPLAY_TIME, took.as_secs_f64() * 1e3);
    }

    /// One client that asks for all of the job; what came is added to the tally.
    async fn replay(&self, served: &Served, tally: &mut Tally) -> anyhow::Result<Duration> {
        let jobs = &self.stage.publishing.jobs;
        let crowd = served.crowd(jobs, Conversation::gateway_after())?;
        crowd.caught_up_with(self.events);
        let started = Instant::now();
        crowd.connect(vec![Watch { job: 0, first: 1, after: 0 }], 1);
        while crowd.caught_up() == 0 {
            crowd.check()?;
            if started.elapsed() > PATIENCE {
                return Err(Failure::failed(format!(
                    "a replay had {} of {} events after {PATIENCE:?}",
                    crowd.deliveries(),
                    self.events
                ))
                .into());
            }
            sleep(Duration::from_millis(5)).await;
        }
        let outcome = crowd.finish(vec![self.events + 1])?;
        tally.add(&outcome.tally);
        Ok(Duration::from_nanos(outcome.catching_up.max()))
    }

    /// The latency of others, without replays and with one after the other.
    async fn live(
        &self,
        served: &Served,
        tally: &mut Tally,
        round: &mut Round,
    ) -> anyhow::Result<()> {
        let alone = self.watched(served).await?;
        let beside = self.watched(served);
        tokio::pin!(beside);
        let mut replays = 0_u64;
        let beside = loop {
            tokio::select! {
                biased;
                outcome = &mut beside => break outcome?,
                took = self.replay(served, tally) => {
                    took?;
                    replays += 1;
                }
            }
        };
        round.add(&figures::LIVE_REPLAYS, count(replays));
        for (live, p50, p99) in [
            (&alone, &figures::LIVE_ALONE_P50, &figures::LIVE_ALONE_P99),
            (&beside, &figures::LIVE_BESIDE_P50, &figures::LIVE_BESIDE_P99),
        ] {
            round.add(p50, milliseconds(live.latency.value_at_quantile(0.5)));
            round.add(p99, milliseconds(live.latency.value_at_quantile(0.99)));
            tally.add(live);
        }
        Ok(())
    }

    /// A crowd that watches a job of its own for the agreed time.
    async fn watched(&self, served: &Served) -> anyhow::Result<Tally> {
        let jobs = Jobs::new();
        let publishing = Publishing { jobs: jobs.clone(), ..self.stage.publishing.clone() };
        publishing.run(Schedule::at_once(1, 1, 1)).await?;
        let crowd = served.crowd(&jobs, Conversation::gateway_live())?;
        let watchers = self.live_watchers as usize;
        crowd.connect(vec![Watch { job: 0, first: 2, after: 0 }; watchers], AT_ONCE);
        crowd.ready(watchers).await?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        let each = (self.live_rate * self.live_seconds).ceil() as u32;
        let start = clock::now() + 50_000_000;
        let interval = 1e9 / self.live_rate;
        let schedule = Schedule { start, interval, jobs: 1, first: 2, each };
        crowd.measure_from(start);
        let patience = Duration::from_secs_f64(self.live_seconds) + PATIENCE;
        timeout(patience, publishing.run(schedule)).await??;
        let expected = schedule.events() * u64::from(self.live_watchers);
        crowd.delivered(expected, Duration::from_secs(5)).await;
        Ok(crowd.finish(vec![schedule.end()])?.tally)
    }
}
