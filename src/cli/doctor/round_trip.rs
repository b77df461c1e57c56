//! The whole way: publish, watch, lose the connection, come back, and see whether anything is
//! missing.
//!
//! A few small events of a job of its own stay in the stream. Where nothing may be published, this
//! is skipped, and says what would allow it: it is not taken for good.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::timeout;

use super::check::Check;
use super::report::Report;
use crate::cli::publish::{Carrier, CarrierError};
use crate::cli::watching::{
    Gateway, GatewayError, Item, Patience, Signal, State, Terms, Watch, WatchError,
};
use crate::event::JobKey;
use crate::http::batch::one;

const NAME: &str = "round-trip";
/// How long each part may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Events before the connection is cut, and after it.
const HALF: usize = 3;

/// Whether the gateway answers, and takes our token.
pub(super) async fn gateway(gateway: &Gateway) -> Check {
    let address = gateway.address();
    match gateway.jobs("?limit=1").await {
        Ok(_) => Check::passed("gateway", format!("answers at {address}")),
        Err(error @ GatewayError::Unreachable { .. }) => Check::failed(
            "gateway",
            format!("{address}: {error}"),
            "Is the gateway running and ready? /readyz at its admin address says what is missing; \
             --url or JOBWIRE_URL says where it is looked for",
        ),
        Err(error @ GatewayError::Refused { .. }) => Check::failed(
            "gateway",
            format!("{address}: {error}"),
            "Give a token that may watch: --token, --token-file or JOBWIRE_TOKEN (tests.token in \
             the Helm chart)",
        ),
        Err(error @ GatewayError::Strange(_)) => Check::failed(
            "gateway",
            format!("{address}: {error}"),
            "Something else listens there: check --url or JOBWIRE_URL",
        ),
    }
}

/// Why it did not come to its end.
enum Obstacle {
    /// Nobody may publish here.
    NotPermitted(String),
    /// Something is wrong.
    Wrong(String),
}

impl From<WatchError> for Obstacle {
    fn from(error: WatchError) -> Self {
        Self::Wrong(format!("the watch ended: {error}"))
    }
}

impl From<CarrierError> for Obstacle {
    fn from(error: CarrierError) -> Self {
        match &error {
            CarrierError::Http(GatewayError::Refused { status, .. })
                if matches!(status.as_u16(), 401 | 403) =>
            {
                Self::NotPermitted(error.to_string())
            }
            _ => Self::Wrong(format!("an event was not stored: {error}")),
        }
    }
}

/// Runs it with the first carrier that may publish.
pub(super) async fn run(
    gateway: &Gateway,
    kind: &str,
    carriers: &[(&'static str, Carrier)],
    report: &mut Report,
) -> Check {
    let mut refusals = Vec::new();
    for (way, carrier) in carriers {
        match RoundTrip::new(gateway, kind, carrier).run().await {
            Ok(slowest) => {
                report.round_trip = Some(slowest.as_secs_f64());
                let milliseconds = slowest.as_secs_f64() * 1e3;
                let count = 2 * HALF;
                return Check::passed(
                    NAME,
                    format!(
                        "{count} events published by {way}, watched over a cut connection: none \
                         missing, none twice; the slowest took {milliseconds:.1} ms"
                    ),
                );
            }
            Err(Obstacle::NotPermitted(reason)) => refusals.push(format!("by {way}: {reason}")),
            Err(Obstacle::Wrong(reason)) => {
                return Check::failed(
                    NAME,
                    reason,
                    "Look at the gateway's log and metrics, and at the checks above",
                );
            }
        }
    }
    let reason = match refusals.is_empty() {
        true => "nobody is there to publish with".to_owned(),
        false => refusals.join("; "),
    };
    Check::skipped(
        NAME,
        format!("nothing may be published: {reason}"),
        format!(
            "Give a NATS user that may publish jobs.{kind}.*.* (--producer-credentials, \
             --producer-user), or turn publishing on (publish = true, or tokens) and give a token \
             whose claims watch and publish have {kind}/*"
        ),
    )
}

struct RoundTrip<'a> {
    gateway: &'a Gateway,
    job: Option<JobKey>,
    carrier: &'a Carrier,
    published: Vec<u64>,
    seen: Vec<u64>,
    slowest: Duration,
}

impl<'a> RoundTrip<'a> {
    fn new(gateway: &'a Gateway, kind: &str, carrier: &'a Carrier) -> Self {
        let job = JobKey::new(kind, &format!("doctor-{:016x}", fastrand::u64(..))).ok();
        Self {
            gateway,
            job,
            carrier,
            published: Vec::new(),
            seen: Vec::new(),
            slowest: Duration::ZERO,
        }
    }

    async fn run(mut self) -> Result<Duration, Obstacle> {
        let job = self.job.clone();
        let job = job.ok_or_else(|| Obstacle::Wrong("no such kind can be".into()))?;
        self.publish(&job, "job_started").await?;
        let patience = Patience { at_first: PATIENCE, later: PATIENCE };
        let mut watch = Watch::new(self.gateway.clone(), Terms::of(job.clone()), patience);
        self.see_all(&mut watch).await?;
        for _ in 1..HALF {
            self.publish_and_see(&job, "progress", &mut watch).await?;
        }
        // Without a word, as a network does; and something happens meanwhile.
        watch.cut();
        for _ in 1..HALF {
            self.publish(&job, "progress").await?;
        }
        self.see_all(&mut watch).await?;
        self.publish_and_see(&job, "job_completed", &mut watch).await?;
        watch.close().await;
        match self.seen == self.published {
            true => Ok(self.slowest),
            false => Err(Obstacle::Wrong(format!(
                "published were {:?}, watched {:?}",
                self.published, self.seen
            ))),
        }
    }

    async fn publish(&mut self, job: &JobKey, event_type: &str) -> Result<(), Obstacle> {
        let count = self.published.len() + 1;
        let event = format!("{{\"eventType\":\"{event_type}\",\"data\":{{\"count\":{count}}}}}");
        let events = one(Bytes::from(event)).map_err(|error| Obstacle::Wrong(error.to_string()))?;
        for event in events {
            let stored = self.carrier.publish(job, &count.to_string(), event).await?;
            self.published.push(stored.id);
        }
        Ok(())
    }

    async fn publish_and_see(
        &mut self,
        job: &JobKey,
        event_type: &str,
        watch: &mut Watch,
    ) -> Result<(), Obstacle> {
        let started = Instant::now();
        self.publish(job, event_type).await?;
        self.see_all(watch).await?;
        self.slowest = self.slowest.max(started.elapsed());
        Ok(())
    }

    /// Watches until everything that was published has come.
    async fn see_all(&mut self, watch: &mut Watch) -> Result<(), Obstacle> {
        let (published, seen) = (self.published.clone(), &mut self.seen);
        let seeing = async {
            while seen.len() < published.len() || !watch.conversation().is_up_to_date() {
                match watch.next().await? {
                    Signal::Item(Item::Event(event) | Item::Unasked(event)) => seen.push(event.id),
                    Signal::Item(Item::Gap(gap)) => {
                        let told = format!("the gateway tells a gap after {}", gap.requested_after);
                        return Err(Obstacle::Wrong(told));
                    }
                    Signal::Item(Item::Reset { .. } | Item::Malformed { .. }) => {
                        let told = "the gateway tells of another stream or event".to_owned();
                        return Err(Obstacle::Wrong(told));
                    }
                    Signal::State(State::Ended(_) | State::Live | State::CatchingUp)
                    | Signal::State(State::Connecting(_) | State::Reconnecting(_)) => {}
                }
            }
            Ok(())
        };
        let late =
            |_| Err(Obstacle::Wrong(format!("published events did not come in {PATIENCE:?}")));
        timeout(PATIENCE, seeing).await.unwrap_or_else(late)
    }
}
