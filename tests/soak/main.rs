//! A soak: thousands of connections come and go for as long as one likes, and at the end nothing is
//! left of them. `cargo test --release --test soak -- --help`.

#[path = "../end_to_end/harness/mod.rs"]
#[allow(dead_code, reason = "the end-to-end tests use what is not used here")]
mod harness;

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Parser;
use harness::client::{Client, events_in, id_of};
use harness::deployment::Deployment;
use harness::gateway::Gateway;
use serde_json::json;
use tokio::task::LocalSet;

/// Lets connections come and go in front of a gateway, and says whether it keeps anything of them.
///
/// Exit codes: 0 nothing is kept, 1 something is.
#[derive(Parser)]
#[command(name = "soak")]
struct Arguments {
    /// Connections at any time
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Minutes, warm-up included
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Minutes until memory is looked at: windows and caches must be full
    #[arg(long, default_value_t = 10)]
    warm_up: u64,
    /// Events per second, of all jobs together
    #[arg(long, default_value_t = 50)]
    rate: u64,
    /// What the gateway may keep of the stream: so little that it is full after the warm-up
    #[arg(long, default_value = "4MiB")]
    window: String,
    /// Jobs
    #[arg(long, default_value_t = 50)]
    jobs: usize,
}

/// What a gateway holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    at: f64,
    bytes: f64,
    files: usize,
    threads: usize,
    connections: f64,
    subscriptions: f64,
}

impl Held {
    async fn by(gateway: &Gateway, started: Instant) -> Self {
        let process = gateway.process_id();
        let status = std::fs::read_to_string(format!("/proc/{process}/status"));
        let status = status.expect("the state of a process of ours");
        let number = |name: &str| -> f64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
            line.split_whitespace().next().and_then(|text| text.parse().ok()).expect("a number")
        };
        let files = std::fs::read_dir(format!("/proc/{process}/fd")).expect("its files").count();
        Self {
            at: started.elapsed().as_secs_f64(),
            bytes: number("VmRSS:") * 1024.0,
            files,
            threads: number("Threads:") as usize,
            connections: gateway.metric("jobwire_connections").await,
            subscriptions: gateway.metric("jobwire_subscriptions").await,
        }
    }
}

/// What clients did.
#[derive(Default)]
struct Done {
    connections: Cell<u64>,
    events: Cell<u64>,
    broken: Cell<u64>,
}

/// A client that lives for a while, and comes back where it was.
async fn client(address: std::net::SocketAddr, job: String, until: Instant, done: Rc<Done>) {
    let mut last = 0;
    while Instant::now() < until {
        let life = Duration::from_millis(fastrand::u64(10_000..120_000));
        let ends = until.min(Instant::now() + life);
        let Ok(mut client) = Client::try_connect(address).await else {
            done.broken.set(done.broken.get() + 1);
            tokio::time::sleep(Duration::from_millis(fastrand::u64(100..2_000))).await;
            continue;
        };
        done.connections.set(done.connections.get() + 1);
        let after = (last > 0).then_some(last);
        let subscribe = json!({ "type": "subscribe", "jobId": job, "afterEventId": after });
        if client.try_send(&subscribe).await.is_err() {
            continue;
        }
        let reading = async {
            while let Ok(message) = client.read().await {
                for event in events_in(&message) {
                    let id = id_of(&event);
                    assert!(id > last, "{id} after {last}");
                    last = id;
                    done.events.set(done.events.get() + 1);
                }
            }
            done.broken.set(done.broken.get() + 1);
        };
        let _ = tokio::time::timeout_at(ends.into(), reading).await;
    }
}

/// Bytes an hour, by the line that fits best.
fn slope(samples: &[Held]) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: fn(&Held) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (at, bytes) = (mean(|held| held.at), mean(|held| held.bytes));
    let together: f64 = samples.iter().map(|held| (held.at - at) * (held.bytes - bytes)).sum();
    let alone: f64 = samples.iter().map(|held| (held.at - at).powi(2)).sum();
    together / alone * 3_600.0
}

async fn soak(arguments: Arguments) -> ExitCode {
    let window = format!("--window={}", arguments.window);
    let deployment = Deployment::with_arguments(&[&window]).await;
    let job = |number: usize| format!("soak-{number}");
    for number in 0..arguments.jobs {
        deployment.publisher.publish(&job(number), "job_started", &json!({})).await;
    }
    let started = Instant::now();
    let before = Held::by(&deployment.gateway, started).await;
    let consumers_before = deployment.publisher.stream_state().await.consumer_count;
    let until = started + Duration::from_secs(arguments.minutes * 60);
    let done = Rc::new(Done::default());
    let local = LocalSet::new();
    let publisher = deployment.publisher.clone();
    let (rate, jobs) = (arguments.rate, arguments.jobs);
    local.spawn_local(async move {
        let mut ticks =
            tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate).expect("a rate"));
        while Instant::now() < until {
            ticks.tick().await;
            let body = json!({ "data": { "text": "x".repeat(fastrand::usize(50..400)) } });
            publisher
                .publish(&format!("soak-{}", fastrand::usize(0..jobs)), "progress", &body)
                .await;
        }
    });
    for number in 0..arguments.connections {
        let name = job(number % jobs);
        let done = Rc::clone(&done);
        let address = deployment.gateway.address;
        local.spawn_local(async move {
            // Not all at once: that is another test.
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..20_000))).await;
            client(address, name, until, done).await;
        });
    }
    let samples = local.run_until(watch(&deployment.gateway, started, until, &done)).await;
    local.await;
    tokio::time::sleep(Duration::from_secs(45)).await;
    let after = Held::by(&deployment.gateway, started).await;
    let consumers = deployment.publisher.stream_state().await.consumer_count;
    println!(
        "before {before:?}, {consumers_before} consumers\nafter  {after:?}, {consumers} consumers"
    );
    let warm: Vec<Held> =
        samples.into_iter().filter(|held| held.at > arguments.warm_up as f64 * 60.0).collect();
    let mean = warm.iter().map(|held| held.bytes).sum::<f64>() / warm.len() as f64;
    let slope = slope(&warm);
    println!(
        "{} connections, {} events; memory {:.1} MiB, {:+.2} % an hour",
        done.connections.get(),
        done.events.get(),
        mean / 1_048_576.0,
        slope / mean * 100.0
    );
    let kept = after.files > before.files
        || after.threads > before.threads
        || after.connections > 0.0
        || after.subscriptions > 0.0
        || consumers > consumers_before;
    if kept || done.broken.get() > 0 || slope / mean > 0.01 {
        println!("something is kept, or {} connections broke", done.broken.get());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Looks at the gateway every ten seconds.
async fn watch(gateway: &Gateway, started: Instant, until: Instant, done: &Done) -> Vec<Held> {
    let mut samples = Vec::new();
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let held = Held::by(gateway, started).await;
        samples.push(held);
        if samples.len() % 6 == 0 {
            println!(
                "{:>4.0} s  {:>6.1} MiB  {:>5} files  {:>6} connections now, {:>8} so far  {:>9} events",
                held.at,
                held.bytes / 1_048_576.0,
                held.files,
                held.connections,
                done.connections.get(),
                done.events.get()
            );
        }
    }
    samples
}

fn main() -> ExitCode {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(soak(Arguments::parse()))
}
