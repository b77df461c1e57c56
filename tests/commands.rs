//! The commands as a person types them: what they print, what they leave in the stream, and the
//! exit codes, against a real nats-server.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::process::{Output, Stdio};
use std::time::Duration;

use jobwire::cli::nats_server::{NatsServer, StartOptions};
use jobwire::config::NatsSettings;
use jobwire::event::StoredBody;
use jobwire::journal::connection::{connect, jetstream};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// A server with nothing in it.
struct Nats {
    server: NatsServer,
    _directory: TempDir,
}

impl Nats {
    async fn empty() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let options = StartOptions::development(directory.path());
        Self { server: NatsServer::start(options).await.expect("a server"), _directory: directory }
    }

    async fn with_stream() -> Self {
        let nats = Self::empty().await;
        assert_eq!(exit_code(&nats.run(&["stream", "apply"]).await), 0);
        nats
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = jobwire(words);
        command.env("NATS_URL", self.server.url());
        command
    }

    async fn run(&self, words: &[&str]) -> Output {
        finish(self.command(words).spawn().expect("a process")).await
    }

    /// Every event in the stream: its subject, its body, its de-duplication key.
    async fn events(&self) -> Vec<(String, Value, String)> {
        let settings = NatsSettings { url: Some(self.server.url()), ..NatsSettings::default() };
        let config = settings.resolve().expect("a configuration");
        let connection = connect(&config, "test").await.expect("a connection");
        let context = jetstream(&connection, &config);
        let stream = context.get_stream("JOBS").await.expect("the stream");
        let mut events = Vec::new();
        for id in 1..=stream.cached_info().state.last_sequence {
            let message = stream.get_raw_message(id).await.expect("an event");
            StoredBody::parse(&message.payload).expect("within the contract");
            let body = serde_json::from_slice(&message.payload).expect("JSON");
            let key = message.headers.get("Nats-Msg-Id").expect("a key").to_string();
            events.push((message.subject.to_string(), body, key));
        }
        events
    }
}

/// The program, without what this machine's environment says about NATS.
fn jobwire(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jobwire"));
    command.args(words).env_clear().kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn finish(process: Child) -> Output {
    let output = timeout(Duration::from_secs(30), process.wait_with_output()).await;
    output.expect("it ends").expect("its output")
}

fn exit_code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("no exit code: {output:?}"))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn types(events: &[(String, Value, String)]) -> Vec<&str> {
    let types = events.iter().map(|(_, body, _)| body["eventType"].as_str().expect("a type"));
    types.collect()
}

/// The types without repetitions next to each other.
fn course(events: &[(String, Value, String)]) -> Vec<&str> {
    let mut types = types(events);
    types.dedup();
    types
}

#[tokio::test]
async fn a_demo_tells_its_whole_life() {
    let nats = Nats::with_stream().await;
    let output = nats.run(&["demo", "--seconds", "2", "--seed", "7", "--json"]).await;
    assert_eq!(exit_code(&output), 0, "{}", stderr(&output));
    let events = nats.events().await;

    assert_eq!(
        course(&events),
        ["job_created", "job_started", "iteration_completed", "job_completed"]
    );
    for (subject, body, _) in &events {
        let event_type = body["eventType"].as_str().expect("a type");
        assert_eq!(subject, &format!("jobs.optimization.berlin52-7.{event_type}"));
        assert!(body["timestamp"].is_string());
    }
    assert_eq!(events[0].1["data"]["config"]["optimum"], 7542);
    assert_eq!(events[1].1["data"]["config"]["places"].as_array().map(Vec::len), Some(52));
    let (_, last, _) = events.last().expect("an event");
    assert_eq!(last["data"]["tour"].as_array().map(Vec::len), Some(52));

    let result: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    assert_eq!(result["status"], "completed");
    assert_eq!(result["length"], last["data"]["length"]);
    assert_eq!(result["lastEventId"], events.len());
}

#[tokio::test]
async fn the_steps_of_a_demo_are_counted_and_scored() {
    let nats = Nats::with_stream().await;
    let began = std::time::Instant::now();
    nats.run(&["demo", "--seconds", "2"]).await;
    let seconds = began.elapsed().as_secs();
    let events = nats.events().await;
    let steps: Vec<_> =
        events.iter().filter(|(subject, ..)| subject.ends_with(".iteration_completed")).collect();
    assert_eq!(steps.len(), 16);
    let mut last_best = 0.0;
    for (number, (_, body, _)) in (1..).zip(&steps) {
        assert_eq!(body["iteration"], number);
        let data = &body["data"];
        let progress = data["progress"].as_f64().expect("how far it is");
        assert!((progress - f64::from(number) / 16.0).abs() < 0.001, "{data}");
        let score = data["score"].as_f64().expect("a score");
        let best = data["best"].as_f64().expect("a best score");
        assert!(0.0 < score && score <= best && best <= 1.0 && best >= last_best, "{data}");
        last_best = best;
    }
    let stages = [&steps[0].1["stage"], &steps[15].1["stage"]];
    assert_eq!(stages, ["exploring", "polishing"]);
    assert!(steps[0].1["data"]["tour"].is_array(), "the first tour is told");
    let tours = steps.iter().filter(|(_, body, _)| body["data"]["tour"].is_array()).count();
    assert!(tours as u64 <= seconds + 1, "{tours} tours in {seconds} s");
}

#[tokio::test]
async fn a_demo_that_runs_again_is_not_taken_for_a_repetition() {
    let nats = Nats::with_stream().await;
    for _ in 0..2 {
        nats.run(&["demo", "--seconds", "1", "--job", "again"]).await;
    }
    assert_eq!(nats.events().await.len(), 2 * (2 + 8 + 1));
}

#[tokio::test]
async fn a_demo_is_paused_resumed_and_cancelled_by_lines() {
    let nats = Nats::with_stream().await;
    let mut process = nats
        .command(&["demo", "--seconds", "60", "--json"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut input = process.stdin.take().expect("its input");
    for line in ["pause\n", "r\n", "nonsense\n", "cancel\n"] {
        sleep(Duration::from_millis(400)).await;
        input.write_all(line.as_bytes()).await.expect("written");
    }
    let output = finish(process).await;
    assert_eq!(exit_code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("nonsense"));

    let events = nats.events().await;
    let course = course(&events);
    assert_eq!(
        course,
        [
            "job_created",
            "job_started",
            "iteration_completed",
            "job_paused",
            "job_resumed",
            "iteration_completed",
            "job_cancelled"
        ]
    );
    let of = |wanted: &str| events.iter().find(|(_, body, _)| body["eventType"] == wanted);
    let (_, paused, _) = of("job_paused").expect("a pause");
    let (_, resumed, _) = of("job_resumed").expect("a resumption");
    assert!(paused["data"]["pausedAt"].is_string());
    assert_eq!(paused["data"]["currentIteration"], resumed["data"]["resumeFromIteration"]);
}

#[tokio::test]
async fn a_signal_cancels_a_demo_and_the_end_of_its_input_does_not() {
    let nats = Nats::with_stream().await;
    let process = nats.command(&["demo", "--seconds", "60"]).spawn().expect("a process");
    sleep(Duration::from_millis(700)).await;
    let id = process.id().and_then(|id| rustix::process::Pid::from_raw(id.try_into().ok()?));
    rustix::process::kill_process(id.expect("it still runs"), rustix::process::Signal::INT)
        .expect("a signal");
    let output = finish(process).await;
    assert_eq!(exit_code(&output), 0, "{}", stderr(&output));
    let events = nats.events().await;
    let (_, last, _) = events.last().expect("an event");
    assert_eq!(last["eventType"], "job_cancelled");
    let steps = events.len() - 3;
    assert!(steps > 0, "it ran");
    assert_eq!(last["data"]["finalIteration"], steps);
}

#[tokio::test]
async fn a_demo_without_a_stream_says_how_to_get_one() {
    let nats = Nats::empty().await;
    let output = nats.run(&["demo"]).await;
    assert_eq!(exit_code(&output), 1);
    assert!(stderr(&output).contains("jobwire stream apply"), "{}", stderr(&output));
}

#[tokio::test]
async fn an_unfit_stream_is_told_and_fails_the_check() {
    let nats = Nats::empty().await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    let unfit = r#"{"subjects":["jobs.>"],"retention":"workqueue","storage":"file"}"#;
    std::fs::write(file.path(), unfit).expect("written");
    let path = file.path().to_str().expect("a path");
    assert_eq!(exit_code(&nats.run(&["stream", "apply", "--file", path]).await), 0);

    let output = nats.run(&["stream", "verify"]).await;
    assert_eq!(exit_code(&output), 1);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("unsuitable: retention"), "{told}");
    assert!(told.contains("warning: deny_delete"), "{told}");
}

#[tokio::test]
async fn a_fit_stream_passes_the_check() {
    let nats = Nats::with_stream().await;
    let output = nats.run(&["stream", "verify"]).await;
    assert_eq!(exit_code(&output), 0);
    assert!(!String::from_utf8_lossy(&output.stdout).contains("warning"));
}

#[tokio::test]
async fn exit_codes_tell_usage_from_an_absent_nats() {
    // No other test listens there, and what ended before it served listens nowhere.
    let [listen, admin] = ["--listen=127.0.0.83:18080", "--admin-listen=127.0.0.83:19090"];
    let absent = "--nats-url=nats://127.0.0.1:1";
    let cases: [(&[&str], i32, &str); 8] = [
        (&["stream", "verify", absent], 3, "nats://127.0.0.1:1"),
        (&["dev", absent, listen, admin], 3, "127.0.0.1:1"),
        (&["dev", absent, "--listen=127.0.0.1:0", admin], 2, "--listen: name a port"),
        (&["demo", "--kind", "a.b"], 2, "--kind"),
        (&["demo", "--seconds", "0"], 2, "--seconds"),
        (&["demo", "--nats-user", "me"], 2, "nats.user"),
        (&["stream", "apply", "--file", "/nowhere"], 2, "--file"),
        (&["serve", "--config", "/nowhere"], 2, "config"),
    ];
    for (words, code, told) in cases {
        let output = finish(jobwire(words).spawn().expect("a process")).await;
        assert_eq!(exit_code(&output), code, "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(told), "{words:?}: {}", stderr(&output));
    }
}
