//! What catch-up costs, beside a bare JetStream consumer that reads the same events.
//!
//! ```text
//! cargo bench --bench catch_up -- --help
//! ```
//!
//! It starts a nats-server, fills its stream, starts gateways in front of it, and measures both
//! ways in turn, so that whatever else the machine does falls on both. Times are a client's:
//! from the request to the last event. Lines go to standard error, `--json` to standard output.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on ends"
)]

mod stage;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

use stage::figures::{Figures, Samples, Target, count};
use stage::fill::{Fill, Job};
use stage::gateway::Gateway;
use stage::watcher::{SlowReaders, Watcher};
use stage::{Backend, bare};

/// A window so small that old events are not in it, and a page cache that forgets a job before
/// it is asked for again.
const COLD: [&str; 4] = ["--window", "4MiB", "--page-cache", "1MiB"];
/// A window that holds everything.
const WARM: [&str; 2] = ["--window", "256MiB"];
/// Events that fill a cold gateway's window more than once.
const WINDOWS: usize = 40_000;

#[derive(Parser)]
#[command(about = "Measures catch-up beside a bare JetStream consumer")]
struct Options {
    /// What is measured
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::ALL)]
    parts: Vec<Part>,
    /// Events of other jobs that a sparse job lies among
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Subjects of those events; one fill each
    #[arg(long, value_delimiter = ',', default_values_t = [5_000, 1_000_000])]
    subjects: Vec<usize>,
    /// Jobs that are read, in turn
    #[arg(long, default_value_t = 24)]
    jobs: usize,
    /// Events of each of them
    #[arg(long, default_value_t = 1_000)]
    job_events: usize,
    /// Events of the large job
    #[arg(long, default_value_t = 100_000)]
    large_events: usize,
    /// Readers that are slow
    #[arg(long, default_value_t = 200)]
    slow_readers: usize,
    /// Bytes that each of them takes in a second
    #[arg(long, default_value_t = 10_000)]
    slow_rate: usize,
    /// Watchers of one job
    #[arg(long, default_value_t = 2_000)]
    watchers: usize,
    /// How often everything is measured
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// The gateway that is measured
    #[arg(long, default_value = env!("CARGO_BIN_EXE_jobwire"))]
    gateway: PathBuf,
    /// A second one, measured in the same rounds: before and after a change
    #[arg(long)]
    other_gateway: Option<PathBuf>,
    /// Prints the figures as JSON
    #[arg(long)]
    json: bool,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A cold job among many events of others, and a bare consumer on it
    Sparse,
    /// A job that lies in the window
    Warm,
    /// A large job, cold and warm, and a bare consumer on it
    Large,
    /// A cold job while others read slowly
    Slow,
    /// Many watchers of one job: consumers at NATS
    Watchers,
}

impl Part {
    const ALL: [Self; 5] = [Self::Sparse, Self::Warm, Self::Large, Self::Slow, Self::Watchers];
}

impl std::fmt::Display for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.to_possible_value().expect("every part has a name");
        formatter.write_str(value.get_name())
    }
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let mut figures = Figures::default();
    for part in &options.parts {
        match part {
            Part::Sparse => {
                for subjects in &options.subjects {
                    measure_sparse(&options, *subjects, &mut figures).await;
                }
            }
            Part::Warm => measure_warm(&options, &mut figures).await,
            Part::Large => measure_large(&options, &mut figures).await,
            Part::Slow => measure_slow(&options, &mut figures).await,
            Part::Watchers => measure_watchers(&options, &mut figures).await,
        }
    }
    if options.json {
        println!("{:#}", figures.to_json());
    }
}

/// One way to read a job, and how long it took each time.
struct Contender {
    name: String,
    /// `None`: the bare consumer.
    watcher: Option<(Watcher, Gateway)>,
    samples: Samples,
}

impl Contender {
    fn bare() -> Self {
        Self { name: "bare consumer".into(), watcher: None, samples: Samples::default() }
    }

    async fn gateway(name: &str, binary: &Path, backend: &Backend, arguments: &[&str]) -> Self {
        let gateway = Gateway::start(binary, backend, arguments).await;
        let watcher = Watcher::connect(gateway.address).await;
        Self { name: name.into(), watcher: Some((watcher, gateway)), samples: Samples::default() }
    }

    /// The gateway, and the other one if there is one.
    async fn gateways(options: &Options, backend: &Backend, arguments: &[&str]) -> Vec<Self> {
        let mut all = vec![Self::gateway("gateway", &options.gateway, backend, arguments).await];
        if let Some(other) = &options.other_gateway {
            all.push(Self::gateway("other gateway", other, backend, arguments).await);
        }
        all
    }

    async fn read(&mut self, backend: &Backend, job: &Job) -> Duration {
        match &mut self.watcher {
            Some((watcher, _)) => watcher.read(job).await,
            None => bare::read(&backend.stream, job).await,
        }
    }
}

/// Lets everybody read a job in every round; who begins changes.
async fn compete(backend: &Backend, contenders: &mut [Contender], jobs: &[Job], rounds: usize) {
    // One round that does not count: the server's block cache is filled.
    for round in 0..=rounds {
        let job = &jobs[round % jobs.len()];
        for turn in 0..contenders.len() {
            let place = (turn + round) % contenders.len();
            let contender = &mut contenders[place];
            let took = contender.read(backend, job).await;
            if round > 0 {
                contender.samples.add(took);
            }
        }
    }
}

async fn measure_sparse(options: &Options, subjects: usize, figures: &mut Figures) {
    let part = format!("sparse, {subjects} subjects");
    let backend = Backend::start().await;
    let fill = Fill {
        name: "sparse",
        jobs: options.jobs,
        job_events: options.job_events,
        other_events: options.events,
        subjects,
    };
    let jobs = backend.stream.fill(&fill).await;
    let mut contenders = vec![Contender::bare()];
    contenders.extend(Contender::gateways(options, &backend, &COLD).await);
    compete(&backend, &mut contenders, &jobs, options.rounds).await;
    for contender in &contenders {
        figures.add(&part, &contender.name, "ms", &contender.samples);
    }
    for gateway in &contenders[1..] {
        let ratio = gateway.samples.median() / contenders[0].samples.median();
        let what = format!("{} / bare consumer", gateway.name);
        figures.judge(&part, &what, ratio, Some(Target::AtMost(1.5)));
    }
}

async fn measure_warm(options: &Options, figures: &mut Figures) {
    let backend = Backend::start().await;
    let jobs = backend.stream.fill(&Fill::one_job("warm", options.job_events)).await;
    let mut contenders = Contender::gateways(options, &backend, &WARM).await;
    compete(&backend, &mut contenders, &jobs, options.rounds).await;
    for contender in &contenders {
        let median = contender.samples.median();
        figures.add("warm", &contender.name, "ms", &contender.samples);
        figures.judge("warm", &contender.name, median, Some(Target::AtMost(10.0)));
    }
}

async fn measure_large(options: &Options, figures: &mut Figures) {
    let backend = Backend::start().await;
    let jobs = backend.stream.fill(&Fill::one_job("large", options.large_events)).await;
    backend.stream.fill(&Fill::others("after-large", WINDOWS)).await;
    let mut cold = vec![Contender::bare()];
    cold.extend(Contender::gateways(options, &backend, &COLD).await);
    compete(&backend, &mut cold, &jobs, options.rounds).await;
    let rates: Vec<Samples> =
        cold.iter().map(|contender| contender.samples.rates(options.large_events)).collect();
    for (contender, rates) in cold.iter().zip(&rates) {
        figures.add("large, cold", &contender.name, "events/s", rates);
    }
    for (contender, own) in cold.iter().zip(&rates).skip(1) {
        let what = format!("{} / bare consumer", contender.name);
        let ratio = own.median() / rates[0].median();
        figures.judge("large, cold", &what, ratio, Some(Target::AtLeast(0.6)));
    }
    drop(cold);
    let mut warm = Contender::gateways(options, &backend, &WARM).await;
    compete(&backend, &mut warm, &jobs, options.rounds).await;
    for contender in &warm {
        let rates = contender.samples.rates(options.large_events);
        figures.add("large, warm", &contender.name, "events/s", &rates);
        let target = Some(Target::AtLeast(1e6));
        figures.judge("large, warm", &contender.name, rates.median(), target);
    }
}

async fn measure_slow(options: &Options, figures: &mut Figures) {
    let backend = Backend::start().await;
    let fill = Fill {
        name: "slow",
        jobs: options.slow_readers + options.jobs,
        job_events: options.job_events,
        other_events: 0,
        subjects: 1,
    };
    let jobs = backend.stream.fill(&fill).await;
    backend.stream.fill(&Fill::others("after-slow", WINDOWS)).await;
    let (slow, quick) = jobs.split_at(options.slow_readers);
    let mut beset: Vec<Beset> = Vec::new();
    for contender in Contender::gateways(options, &backend, &COLD).await {
        beset.push(Beset { contender, beginning: Samples::new(), beside: Samples::new() });
    }
    for round in 0..=options.rounds {
        for turn in 0..beset.len() {
            let place = (turn + round) % beset.len();
            let jobs = [0, 1, 2].map(|number| &quick[(3 * round + number) % quick.len()]);
            beset[place].measure(&backend, slow, options.slow_rate, jobs, round > 0).await;
        }
    }
    for Beset { contender: Contender { name, samples: alone, .. }, beginning, beside } in &beset {
        let part = format!("slow readers, {name}");
        figures.add(&part, "alone", "ms", alone);
        figures.add(&part, "when all of them begin", "ms", beginning);
        figures.add(&part, "while they read", "ms", beside);
        figures.judge(&part, "begin / alone", beginning.median() / alone.median(), None);
        figures.judge(&part, "read / alone", beside.median() / alone.median(), None);
    }
}

/// A gateway with slow readers.
struct Beset {
    /// How long a job takes without them.
    contender: Contender,
    /// While their first pages are read.
    beginning: Samples,
    /// Once each of them has got something.
    beside: Samples,
}

impl Beset {
    async fn measure(
        &mut self,
        backend: &Backend,
        slow: &[Job],
        rate: usize,
        jobs: [&Job; 3],
        counts: bool,
    ) {
        let Some((_, gateway)) = &self.contender.watcher else { return };
        let address = gateway.address;
        let alone = self.contender.read(backend, jobs[0]).await;
        let readers = SlowReaders::start(address, slow, rate).await;
        let beginning = self.contender.read(backend, jobs[1]).await;
        readers.have_begun().await;
        let beside = self.contender.read(backend, jobs[2]).await;
        drop(readers);
        if counts {
            self.contender.samples.add(alone);
            self.beginning.add(beginning);
            self.beside.add(beside);
        }
        // The server is left to delete their consumers.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn measure_watchers(options: &Options, figures: &mut Figures) {
    let backend = Backend::start().await;
    let jobs = backend.stream.fill(&Fill::one_job("watched", options.job_events)).await;
    backend.stream.fill(&Fill::others("after-watched", WINDOWS)).await;
    let gateway = Gateway::start(&options.gateway, &backend, &COLD).await;
    let mut watchers = Vec::new();
    for _ in 0..options.watchers {
        watchers.push(Watcher::connect(gateway.address).await);
    }
    let started = Instant::now();
    for watcher in &mut watchers {
        watcher.subscribe(&jobs[0]).await;
    }
    let mut most = backend.stream.consumers().await;
    for watcher in &mut watchers {
        watcher.read_to_the_end(&jobs[0]).await;
        most = most.max(backend.stream.consumers().await);
    }
    let took = started.elapsed().as_secs_f64() * 1e3;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let settled = backend.stream.consumers().await;
    let target = Some(Target::AtMost(2.0));
    figures.judge("watchers", "ms until all have a cold job", took, None);
    figures.judge("watchers", "consumers meanwhile, at most", count(most), target);
    figures.judge("watchers", "consumers afterwards", count(settled), target);
}
