//! Rounds in which all contenders take turns, so that whatever else the machine does falls on all
//! of them alike.

use std::time::Duration;

use tokio::time::sleep;

use super::bar::Bar;
use super::clock;
use super::contender::Contender;
use super::figures::{Measured, Round};

/// Measures everybody once in each round; who begins changes. `measure` gets the contender, and
/// the bar with the number of this measurement on it.
pub(super) async fn in_turn(
    contenders: &[Contender],
    rounds: usize,
    measure: impl AsyncFn(&Contender, &Step<'_>) -> anyhow::Result<Round>,
) -> anyhow::Result<Vec<Measured>> {
    let mut measured: Vec<_> =
        contenders.iter().map(|contender| Measured::new(contender.name())).collect();
    let bar = Bar::new(rounds * contenders.len());
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let place = (turn + round) % contenders.len();
            let (Some(contender), Some(measured)) =
                (contenders.get(place), measured.get_mut(place))
            else {
                continue;
            };
            let step = Step { bar: &bar, number: round * contenders.len() + turn };
            step.bar.begin(step.number, &format!("{}, round {}", contender.name(), round + 1));
            measured.rounds.push(measure(contender, &step).await?);
        }
    }
    Ok(measured)
}

/// One measurement of many.
pub(super) struct Step<'a> {
    bar: &'a Bar,
    number: usize,
}

impl Step<'_> {
    /// Waits until a moment of [`super::clock::now`], and shows how far it is; all of it takes
    /// `whole`.
    pub(super) async fn wait_until(&self, moment: u64, whole: Duration) {
        loop {
            let left = Duration::from_nanos(moment.saturating_sub(clock::now()));
            self.bar.advance(self.number, whole.saturating_sub(left), whole);
            if left.is_zero() {
                return;
            }
            sleep(left.min(Duration::from_millis(250))).await;
        }
    }
}
