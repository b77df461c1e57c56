//! `jobwire bench` as a person runs it, small: what it measures, what it says of it, how it ends.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod processes;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// How long one run may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A run, and where its temporary files are.
struct Bench {
    process: Child,
    temporary: TempDir,
}

impl Bench {
    fn start(words: &str) -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_jobwire"));
        command.arg("bench").args(words.split_whitespace()).env("TMPDIR", temporary.path());
        // These must not show in what is measured, nor where.
        command.env("NATS_URL", "nats://127.0.0.1:1").env("JOBWIRE_WORKERS", "nonsense");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let process = command.spawn().expect("a process");
        Self { process, temporary }
    }

    async fn run(words: &str) -> Output {
        let Self { process, temporary } = Self::start(words);
        let output = timeout(PATIENCE, process.wait_with_output()).await;
        let output = output.expect("it ends").expect("its output");
        assert_eq!(leftovers(temporary.path()), Vec::<PathBuf>::new());
        output
    }

    fn pid(&self) -> Pid {
        let id = self.process.id().expect("it runs");
        Pid::from_raw(id.try_into().expect("a process id")).expect("a process id")
    }
}

fn leftovers(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("the directory");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// What a run printed that went as it should.
async fn measured(words: &str) -> Value {
    let output = Bench::run(&format!("{words} --json")).await;
    let (told, complaint) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{complaint}");
    let value: Value = serde_json::from_slice(told).expect("JSON");
    assert_eq!(value["clean"], true, "{value:#}");
    value
}

/// The median of a contender's figure.
fn median(value: &Value, contender: &str, figure: &str) -> f64 {
    let contenders = value["contenders"].as_array().expect("contenders");
    let contender = contenders.iter().find(|measured| measured["name"] == contender);
    let contender = contender.unwrap_or_else(|| panic!("no {contender:?} in {value:#}"));
    let median = &contender["summary"][figure]["median"];
    median.as_f64().unwrap_or_else(|| panic!("no {figure} in {contender:#}"))
}

fn names(value: &Value) -> Vec<&str> {
    let contenders = value["contenders"].as_array().expect("contenders");
    contenders.iter().map(|measured| measured["name"].as_str().expect("a name")).collect()
}

/// All came once, and some time passed.
fn assert_delivered(value: &Value, contender: &str) {
    assert_eq!(median(value, contender, "deliveryRatio"), 1.0, "{contender}");
    for fault in ["lost", "duplicates", "reordered", "misdelivered", "lostConnections"] {
        assert_eq!(median(value, contender, fault), 0.0, "{contender}: {fault}");
    }
}

fn assert_latencies_rise(value: &Value, contender: &str) {
    let figures = ["latencyP50Ms", "latencyP99Ms", "latencyP999Ms", "latencyMaxMs"];
    let times = figures.map(|figure| median(value, contender, figure));
    assert!(times[0] > 0.0 && times.is_sorted(), "{contender}: {times:?}");
}

#[tokio::test]
async fn fan_out_measures_everybody_in_each_round() {
    let value = measured(
        "fan-out --jobs 3 --watchers 5 --rate 20 --seconds 1 --warm-up 0.3 --rounds 2 \
         --against nats-ws,floor",
    )
    .await;
    assert_eq!(value["command"], "fan-out");
    assert_eq!(value["load"]["deliveriesPerSecond"], 300.0);
    assert_eq!(names(&value), ["gateway", "nats-ws", "floor"]);
    for contender in names(&value) {
        assert_delivered(&value, contender);
        assert_latencies_rise(&value, contender);
        assert!(median(&value, contender, "cpuPerDeliveryUs") > 0.0, "{contender}");
    }
    assert!(median(&value, "gateway", "serverMemoryMb") > 1.0);
    for measured in value["contenders"].as_array().expect("contenders") {
        assert_eq!(measured["rounds"].as_array().map(Vec::len), Some(2));
    }
    let ratios = value["ratios"].as_array().expect("ratios");
    assert!(
        ratios
            .iter()
            .any(|ratio| { ratio["against"] == "floor" && ratio["figure"] == "cpuPerDeliveryUs" })
    );
}

#[tokio::test]
async fn latency_measures_one_job_and_prints_a_table() {
    let output = Bench::run(
        "latency --watchers 5 --rate 20 --seconds 1 --warm-up 0.2 --against floor --rounds 1",
    )
    .await;
    assert_eq!(output.status.code(), Some(0));
    let table = String::from_utf8(output.stdout).expect("text");
    for part in ["latency p99.9, ms", "CPU per delivery, µs", "lost", "gateway, divided by"] {
        assert!(table.contains(part), "{part} is missing in:\n{table}");
    }
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "no bar where there is no terminal");
}

#[tokio::test]
async fn replay_measures_a_job_cold_and_warm_beside_a_bare_consumer() {
    let value =
        measured("replay --events 2000 --live-watchers 3 --live-seconds 0.5 --rounds 1").await;
    assert_eq!(names(&value), ["gateway, cold", "bare consumer", "gateway, warm"]);
    for contender in names(&value) {
        assert!(median(&value, contender, "replayEventsPerSecond") > 0.0, "{contender}");
    }
    for contender in ["gateway, cold", "gateway, warm"] {
        assert_eq!(median(&value, contender, "deliveryRatio"), 1.0);
        assert!(median(&value, contender, "liveBesideP99Ms") > 0.0);
        assert!(median(&value, contender, "liveReplays") >= 1.0);
    }
}

#[tokio::test]
async fn storm_counts_until_all_have_what_they_missed() {
    let value = measured("storm --clients 40 --missed 10 --jobs 4 --rounds 1").await;
    assert_eq!(names(&value), ["gateway, warm", "gateway, cold"]);
    for contender in names(&value) {
        assert_delivered(&value, contender);
        let (one, all) = (
            median(&value, contender, "caughtUpP50Ms"),
            median(&value, contender, "allCaughtUpMs"),
        );
        assert!(one > 0.0 && one <= all, "{contender}: {one} of {all} ms");
        assert!(median(&value, contender, "serverMemoryPeakMb") > 1.0);
    }
}

#[tokio::test]
async fn idle_measures_connections_that_stand() {
    let value =
        measured("idle --connections 60 --jobs 3 --seconds 0.5 --rounds 1 --against nats-ws").await;
    for contender in ["gateway", "nats-ws"] {
        assert_delivered(&value, contender);
        assert!(median(&value, contender, "connectionsPerSecond") > 0.0);
        assert!(median(&value, contender, "memoryPerConnectionKb") > 0.0);
        assert!(median(&value, contender, "idleCpuPerConnectionUs") >= 0.0);
    }
}

#[tokio::test]
async fn headroom_is_told_for_one_event_in_a_write_and_for_several() {
    let value = measured("headroom --watchers 10 --deliveries 20000 --rate 10").await;
    assert_eq!(names(&value), ["1 in a write", "4 in a write", "16 in a write"]);
    for contender in names(&value) {
        assert_delivered(&value, contender);
        assert!(median(&value, contender, "receivingHeadroom") > 1.0, "{contender}");
    }
}

#[tokio::test]
async fn a_server_that_leaves_out_events_is_named_and_the_run_fails() {
    let output = Bench::run(
        "fan-out --watchers 10 --rate 20 --seconds 1 --warm-up 0.2 --rounds 1 --against floor \
         --drop-every 7 --patience 1 --json",
    )
    .await;
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).expect("text");
    assert!(complaint.contains("floor: ") && complaint.contains(" lost"), "{complaint}");
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(value["clean"], false);
    assert!(median(&value, "floor", "deliveryRatio") < 1.0);
    assert_delivered(&value, "gateway");
}

#[tokio::test]
async fn a_load_that_makes_no_sense_is_refused_with_the_option_that_is_wrong() {
    for (words, part) in [
        ("fan-out --rate 0", "--rate"),
        ("fan-out --size 10", "--size"),
        ("fan-out --rate 0.1 --seconds 1 --warm-up 0", "--rate"),
        ("fan-out --watchers 1000000", "open files"),
        ("fan-out --peer nothing", "NAME=COMMAND"),
        ("fan-out --gateway 127.0.0.1:1", "--nats"),
        ("headroom --deliveries 1", "--deliveries"),
        ("replay --live-seconds 0", "--live-seconds"),
    ] {
        let output = Bench::run(words).await;
        let complaint = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{words}: {complaint}");
        assert!(complaint.contains(part), "{words}: {complaint}");
    }
}

#[tokio::test]
async fn an_adapter_that_says_nothing_is_named() {
    let output =
        Bench::run("fan-out --watchers 1 --rate 10 --seconds 1 --rounds 1 --peer mute=true").await;
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).expect("text");
    assert!(complaint.contains("one line of JSON"), "{complaint}");
}

#[tokio::test]
async fn being_told_to_stop_leaves_no_child_and_no_file() {
    let mut bench = Bench::start("fan-out --watchers 5 --rate 20 --seconds 600");
    let children = timeout(PATIENCE, async {
        loop {
            let children = processes::children(bench.pid());
            // NATS and the gateway.
            if children.len() == 2 {
                return children;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    let children = children.await.expect("children");
    kill_process(bench.pid(), Signal::INT).expect("a signal");
    let status = timeout(PATIENCE, bench.process.wait()).await.expect("it ends");
    assert_eq!(status.expect("a status").code(), Some(1));
    let left: Vec<_> = children.iter().filter(|child| child.exists()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(leftovers(bench.temporary.path()), Vec::<PathBuf>::new());
}
