//! Every figure that is measured: its name, its unit, and how several rounds become one number.

use serde_json::{Map, Value, json};

/// Something that is measured.
#[derive(Debug, PartialEq)]
pub(super) struct Figure {
    /// In JSON; ends with the unit.
    pub(super) key: &'static str,
    /// In tables.
    pub(super) title: &'static str,
    /// In tables.
    pub(super) unit: &'static str,
    /// Digits after the point, in tables.
    pub(super) digits: usize,
    /// What it means to compare two contenders by it.
    pub(super) compared: Compared,
}

/// Whether contenders are compared by a figure.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Compared {
    /// As a ratio.
    Ratio,
    /// No.
    No,
    /// It has to be 0 in every round; the rounds are added up.
    MustBeZero,
    /// It has to be 1 in every round; the worst one is shown.
    MustBeOne,
}

macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident = $key:literal, $title:literal, $unit:literal, $digits:literal, $compared:ident;)*) => {
        $($(#[$doc])* pub(super) const $name: Figure = Figure {
            key: $key, title: $title, unit: $unit, digits: $digits, compared: Compared::$compared,
        };)*
    };
}

figures! {
    /// Different events that came, of those that should have.
    DELIVERY_RATIO = "deliveryRatio", "delivered", "", 6, MustBeOne;
    /// Events that did not come.
    LOST = "lost", "lost", "", 0, MustBeZero;
    /// Events that came once more.
    DUPLICATES = "duplicates", "duplicates", "", 0, MustBeZero;
    /// Events that came after a later one.
    REORDERED = "reordered", "out of order", "", 0, MustBeZero;
    /// Events that came to somebody else.
    MISDELIVERED = "misdelivered", "of other jobs", "", 0, MustBeZero;
    /// Connections that ended and should not have.
    CUT = "lostConnections", "connections lost", "", 0, MustBeZero;
    /// Events times watchers, in a second.
    DELIVERIES = "deliveriesPerSecond", "deliveries", "/s", 0, No;
    /// From due to received.
    P50 = "latencyP50Ms", "latency p50", "ms", 3, Ratio;
    /// From due to received.
    P99 = "latencyP99Ms", "latency p99", "ms", 3, Ratio;
    /// From due to received.
    P999 = "latencyP999Ms", "latency p99.9", "ms", 3, Ratio;
    /// From due to received.
    MAX = "latencyMaxMs", "latency max", "ms", 3, Ratio;
    /// Gateway and broker.
    CPU_BOTH = "cpuPerDeliveryUs", "CPU per delivery", "µs", 3, Ratio;
    /// What is not the broker.
    CPU_SERVER = "serverCpuPerDeliveryUs", "  of it server", "µs", 3, No;
    /// The broker.
    CPU_BROKER = "brokerCpuPerDeliveryUs", "  of it broker", "µs", 3, No;
    /// In the measured time.
    CPU_SERVER_SECONDS = "serverCpuSeconds", "CPU of the server", "s", 2, No;
    /// In the measured time.
    CPU_BROKER_SECONDS = "brokerCpuSeconds", "CPU of the broker", "s", 2, No;
    /// In the measured time.
    CPU_LOAD_SECONDS = "loadCpuSeconds", "CPU of the load generator", "s", 2, No;
    /// Resident, at the end.
    MEMORY_SERVER = "serverMemoryMb", "memory of the server", "MB", 1, No;
    /// Resident, at the end.
    MEMORY_BROKER = "brokerMemoryMb", "memory of the broker", "MB", 1, No;
    /// Resident, at the end.
    MEMORY_LOAD = "loadMemoryMb", "memory of the load generator", "MB", 1, No;
    /// How much of the time the receiving thread computed.
    RECEIVING_BUSY = "receivingBusy", "receiving thread busy", "", 3, No;
    /// How many times as much the receiving thread could take.
    HEADROOM = "receivingHeadroom", "head-room of the receiving thread", "×", 1, No;
    /// Deliveries that a second of the receiving thread's computing is enough for.
    CAPACITY = "receivingCapacity", "what the receiving thread can take", "/s", 0, No;
    /// From asking for all of a job to its last event.
    REPLAY = "replayEventsPerSecond", "replay", "events/s", 0, Ratio;
    /// From asking for all of a job to its last event.
    REPLAY_TIME = "replayMs", "time of a replay", "ms", 1, Ratio;
    /// Live latency of others while nobody replays.
    LIVE_ALONE_P50 = "liveAloneP50Ms", "live p50 of others before", "ms", 3, No;
    /// Live latency of others while nobody replays.
    LIVE_ALONE_P99 = "liveAloneP99Ms", "live p99 of others before", "ms", 3, No;
    /// Live latency of others while one client replays without a pause.
    LIVE_BESIDE_P50 = "liveBesideP50Ms", "live p50 of others meanwhile", "ms", 3, No;
    /// Live latency of others while one client replays without a pause.
    LIVE_BESIDE_P99 = "liveBesideP99Ms", "live p99 of others meanwhile", "ms", 3, No;
    /// Replays that this was while.
    LIVE_REPLAYS = "liveReplays", "replays meanwhile", "", 0, No;
    /// From the first connect to the last client's last missed event.
    STORM = "allCaughtUpMs", "until all have caught up", "ms", 1, Ratio;
    /// From a client's connect to its last missed event.
    STORM_P50 = "caughtUpP50Ms", "until one has caught up, p50", "ms", 1, Ratio;
    /// From a client's connect to its last missed event.
    STORM_P99 = "caughtUpP99Ms", "until one has caught up, p99", "ms", 1, Ratio;
    /// Resident, before the storm.
    MEMORY_CALM = "serverMemoryBeforeMb", "memory of the server before", "MB", 1, No;
    /// Resident, the most that was seen.
    MEMORY_PEAK = "serverMemoryPeakMb", "memory of the server, most", "MB", 1, No;
    /// Connections that began to get events, in a second.
    ACCEPTED = "connectionsPerSecond", "connected and subscribed", "/s", 0, Ratio;
    /// Of server and broker, without what they have with nobody connected.
    MEMORY_EACH = "memoryPerConnectionKb", "memory per connection", "KB", 2, Ratio;
    /// Of server and broker, while nothing happens.
    CPU_IDLE = "idleCpuPerConnectionUs", "idle CPU per connection", "µs/s", 3, Ratio;
    /// From due to sent, by us.
    LATENESS = "publishLatenessP99Ms", "load generator late, p99", "ms", 3, No;
}

/// What one round brought.
#[derive(Debug, Default, Clone)]
pub(super) struct Round(Vec<(&'static Figure, f64)>);

impl Round {
    /// Adds a figure.
    pub(super) fn add(&mut self, figure: &'static Figure, value: f64) {
        self.0.push((figure, value));
    }

    /// Adds a figure, if it is known.
    pub(super) fn add_known(&mut self, figure: &'static Figure, value: Option<f64>) {
        self.0.extend(value.map(|value| (figure, value)));
    }

    fn get(&self, figure: &Figure) -> Option<f64> {
        self.0.iter().find(|(other, _)| *other == figure).map(|(_, value)| *value)
    }

    fn to_json(&self) -> Value {
        let fields = self.0.iter().map(|(figure, value)| (figure.key.to_owned(), json!(value)));
        Value::Object(fields.collect())
    }
}

/// Several numbers, summed up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Summary {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
    pub(super) sum: f64,
}

impl Summary {
    /// Of some numbers; `None` of none.
    pub(super) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let median = (values.get(last / 2)? + values.get(last.div_ceil(2))?) / 2.0;
        let (least, most) = (*values.first()?, *values.last()?);
        Some(Self { median, least, most, sum: values.iter().sum() })
    }

    /// For a program to read.
    pub(super) fn to_json(self) -> Value {
        json!({ "median": self.median, "min": self.least, "max": self.most })
    }
}

/// All rounds of one contender.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// Its name.
    pub(super) name: String,
    /// In the order in which they were measured.
    pub(super) rounds: Vec<Round>,
}

impl Measured {
    /// Nothing yet.
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), rounds: Vec::new() }
    }

    /// The figures that it has, in their order.
    pub(super) fn figures(&self) -> Vec<&'static Figure> {
        let mut figures: Vec<&'static Figure> = Vec::new();
        for (figure, _) in self.rounds.iter().flat_map(|round| &round.0) {
            if !figures.contains(figure) {
                figures.push(figure);
            }
        }
        figures
    }

    /// One figure over all rounds.
    pub(super) fn summary(&self, figure: &Figure) -> Option<Summary> {
        Summary::of(self.rounds.iter().filter_map(|round| round.get(figure)).collect())
    }

    /// Round by round, this one's figure divided by the other one's.
    pub(super) fn ratio(&self, other: &Self, figure: &Figure) -> Option<Summary> {
        let pairs = self.rounds.iter().zip(&other.rounds);
        let ratios = pairs.filter_map(|(ours, theirs)| {
            Some(ours.get(figure)? / theirs.get(figure).filter(|value| *value > 0.0)?)
        });
        Summary::of(ratios.collect())
    }

    /// What is not as it has to be, for people; `None` if all is.
    pub(super) fn fault(&self) -> Option<String> {
        let faults: Vec<_> = self
            .figures()
            .into_iter()
            .filter(|figure| figure.compared == Compared::MustBeZero)
            .filter_map(|figure| Some((figure, self.summary(figure)?.sum)))
            .filter(|(_, sum)| *sum > 0.0)
            .map(|(figure, sum)| format!("{sum} {}", figure.title))
            .collect();
        (!faults.is_empty()).then(|| format!("{}: {}", self.name, faults.join(", ")))
    }

    /// For a program to read.
    pub(super) fn to_json(&self) -> Value {
        let mut summary = Map::new();
        for figure in self.figures() {
            let value = self.summary(figure).map(Summary::to_json);
            summary.insert(figure.key.to_owned(), json!(value));
        }
        let rounds: Vec<_> = self.rounds.iter().map(Round::to_json).collect();
        json!({ "name": self.name, "summary": summary, "rounds": rounds })
    }
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "no count here needs more than 52 bits")]
pub(super) fn count(number: u64) -> f64 {
    number as f64
}

/// Nanoseconds as milliseconds.
pub(super) fn milliseconds(nanoseconds: u64) -> f64 {
    count(nanoseconds) / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str, values: &[f64]) -> Measured {
        let rounds = values.iter().map(|value| {
            let mut round = Round::default();
            round.add(&P50, *value);
            round
        });
        Measured { name: name.into(), rounds: rounds.collect() }
    }

    #[test]
    fn a_summary_has_the_middle_of_odd_and_even_numbers() {
        let summary = Summary::of(vec![9.0, 1.0, 2.0]).expect("numbers");
        assert_eq!((summary.median, summary.least, summary.most), (2.0, 1.0, 9.0));
        assert_eq!(Summary::of(vec![1.0, 4.0, 2.0, 3.0]).map(|summary| summary.median), Some(2.5));
        assert_eq!(Summary::of(Vec::new()), None);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let ours = measured("a", &[1.0, 10.0, 3.0]);
        let ratio = ours.ratio(&measured("b", &[2.0, 10.0, 1.0]), &P50).expect("a ratio");
        assert_eq!((ratio.median, ratio.least, ratio.most), (1.0, 0.5, 3.0));
        assert_eq!(ours.ratio(&measured("b", &[0.0, 0.0, 0.0]), &P50), None);
    }

    #[test]
    fn what_must_be_zero_is_added_up_over_the_rounds() {
        let mut measured = measured("gateway", &[1.0, 1.0]);
        assert_eq!(measured.fault(), None);
        for (round, lost) in measured.rounds.iter_mut().zip([0.0, 3.0]) {
            round.add(&LOST, lost);
        }
        assert_eq!(measured.fault().as_deref(), Some("gateway: 3 lost"));
    }
}
