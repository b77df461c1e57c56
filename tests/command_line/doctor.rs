//! `jobwire doctor`: what it finds where all is well, and where something is not.

use async_nats::jetstream::stream;
use serde_json::Value;

use crate::harness::deployment::{Backend, Deployment};
use crate::harness::free_address;
use crate::harness::issuer::{guarded, now, token};
use crate::harness::nats::{NatsServer, User};
use crate::harness::publisher::job_stream;
use crate::program::{Program, Run};

/// With the rights of a user, and with JSON to be read.
fn doctor(url: &str, user: User, words: &[&str]) -> Program {
    let is_formatted = words.iter().any(|word| word.starts_with("--format"));
    let format: &[&str] = if is_formatted { &[] } else { &["--format=json"] };
    let words = [&["doctor"], format, words].concat();
    let program = Program::new(&words).with("NATS_URL", url);
    user.environment()
        .into_iter()
        .fold(program, |program, (name, value)| program.with(name, &value))
}

fn checks(run: &Run) -> Vec<Value> {
    let report: Value = serde_json::from_str(&run.stdout).expect("JSON");
    report["checks"].as_array().expect("checks").clone()
}

/// The check of this name; the first, if there are several.
fn check(run: &Run, name: &str) -> Value {
    let found = checks(run).into_iter().find(|check| check["check"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {run:?}"))
}

fn failed(run: &Run) -> Vec<Value> {
    checks(run).into_iter().filter(|check| check["verdict"] == "failed").collect()
}

fn url(stage: &Deployment) -> String {
    format!("http://{}", stage.gateway.address)
}

#[tokio::test]
async fn where_all_is_well_events_make_the_whole_way_over_a_cut_connection() {
    let stage = Deployment::with_arguments(&["--publish"]).await;
    let words = ["--url", &url(&stage)];
    let run = doctor(&stage.nats.url(), User::PUBLISHING_GATEWAY, &words).run().await;
    assert_eq!(run.code, Some(0), "{run:?}");
    for name in ["nats", "version", "jetstream", "clock", "permissions", "gateway", "round-trip"] {
        assert_eq!(check(&run, name)["verdict"], "passed", "{name}: {run:?}");
    }
    assert_eq!(stage.publisher.stream_state().await.messages, 6, "the events of one round trip");
}

#[tokio::test]
async fn a_producer_of_its_own_makes_the_round_trip_where_the_gateway_only_reads() {
    let stage = Deployment::start().await;
    let url = url(&stage);
    let words = ["--url", url.as_str()];
    let run = doctor(&stage.nats.url(), User::GATEWAY, &words).run().await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let skipped = check(&run, "round-trip");
    assert_eq!(skipped["verdict"], "skipped", "never taken for good: {run:?}");
    assert!(skipped["mend"].as_str().expect("a mend").contains("--producer-credentials"));
    assert_eq!(stage.publisher.stream_state().await.messages, 0);

    let words =
        [words.as_slice(), &["--kind=training", "--producer-user=training_producer"]].concat();
    let run = doctor(&stage.nats.url(), User::GATEWAY, &words)
        .with("JOBWIRE_PRODUCER_PASSWORD", &User::PRODUCER.password())
        .run()
        .await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(check(&run, "round-trip")["verdict"], "passed", "{run:?}");
}

#[tokio::test]
async fn each_right_that_is_missing_is_named() {
    for right in [
        "$JS.API.STREAM.INFO.JOBS",
        "$JS.API.STREAM.MSG.GET.JOBS",
        "$JS.API.DIRECT.GET.JOBS",
        "$JS.API.CONSUMER.CREATE.JOBS.*.>",
        "$JS.API.CONSUMER.MSG.NEXT.JOBS.*",
        "$JS.API.CONSUMER.DELETE.JOBS.*",
    ] {
        let nats = NatsServer::start_without(User::GATEWAY, right).await;
        let backend = Backend::of(nats).await;
        backend.publisher.create_stream(job_stream()).await;
        let run = doctor(&backend.nats.url(), User::GATEWAY, &[]).run().await;
        assert_eq!(run.code, Some(1), "{right}: {run:?}");
        let failed = failed(&run);
        assert_eq!(failed.len(), 1, "{right}: {run:?}");
        assert!(failed[0]["found"].as_str().expect("a text").contains(right), "{right}: {run:?}");
    }
}

#[tokio::test]
async fn a_publisher_without_the_right_to_publish_is_told() {
    let nats = NatsServer::start_without(User::PUBLISHING_GATEWAY, "jobs.*.*.*").await;
    let backend = Backend::of(nats).await;
    backend.publisher.create_stream(job_stream()).await;
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    std::io::Write::write_all(&mut file, b"publish = true").expect("a written file");
    let words = ["--config", file.path().to_str().expect("a path in UTF-8")];
    let run = doctor(&backend.nats.url(), User::PUBLISHING_GATEWAY, &words).run().await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(failed(&run)[0]["found"].as_str().expect("a text").contains("may not publish"));
    assert_eq!(backend.publisher.stream_state().await.messages, 0);
}

#[tokio::test]
async fn a_stream_that_is_missing_or_unfit_is_told_with_what_mends_it() {
    let backend = Backend::without_a_stream().await;
    let run = doctor(&backend.nats.url(), User::GATEWAY, &[]).run().await;
    assert_eq!(run.code, Some(1), "{run:?}");
    let missing = check(&run, "stream");
    assert!(missing["mend"].as_str().expect("a mend").contains("jobwire stream apply"), "{run:?}");

    let unfit = stream::Config { allow_direct: false, max_consumers: 10, ..job_stream() };
    backend.publisher.create_stream(unfit).await;
    let run = doctor(&backend.nats.url(), User::GATEWAY, &[]).run().await;
    assert_eq!(run.code, Some(1), "{run:?}");
    let found = |word: &str| {
        let checks = checks(&run);
        let about =
            checks.iter().find(|check| check["found"].as_str().unwrap_or("").contains(word));
        about.unwrap_or_else(|| panic!("no {word} in {run:?}"))["verdict"].clone()
    };
    assert_eq!(found("allow_direct"), "failed");
    assert_eq!(found("max_consumers"), "warning");
}

#[tokio::test]
async fn nats_that_is_not_there_or_lets_nobody_in_ends_with_3() {
    let nowhere = format!("nats://{}", free_address());
    let run = doctor(&nowhere, User::GATEWAY, &[]).run().await;
    assert_eq!(run.code, Some(3), "{run:?}");
    assert_eq!(check(&run, "nats")["verdict"], "failed");
    let nats = NatsServer::start().await;
    let run = doctor(&nats.url(), User::GATEWAY, &[]).with("NATS_PASSWORD", "wrong").run().await;
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(check(&run, "nats")["mend"].as_str().expect("a mend").contains("NATS_CREDS"));
}

#[tokio::test]
async fn a_gateway_that_wants_a_token_makes_the_round_trip_with_a_good_one() {
    let stage = guarded().await;
    let url = url(&stage);
    let words = ["--url", url.as_str()];
    let without = doctor(&stage.nats.url(), User::GATEWAY, &words).run().await;
    assert_eq!(without.code, Some(1), "{without:?}");
    assert!(check(&without, "gateway")["mend"].as_str().expect("a mend").contains("--token"));
    assert_eq!(check(&without, "round-trip")["verdict"], "skipped");

    let jobs = ["jobwire-doctor/*"];
    let claims = serde_json::json!({ "sub": "doctor", "iss": "https://issuer.test", "aud": "jobwire",
        "exp": now() + 600, "watch": jobs });
    let watcher = doctor(&stage.nats.url(), User::GATEWAY, &words);
    let watcher = watcher.with("JOBWIRE_TOKEN", &token(&claims)).run().await;
    assert_eq!(check(&watcher, "gateway")["verdict"], "passed", "{watcher:?}");
    assert_eq!(check(&watcher, "round-trip")["verdict"], "skipped", "{watcher:?}");
}

#[tokio::test]
async fn people_and_prometheus_read_it_too() {
    let backend = Backend::start().await;
    let text = doctor(&backend.nats.url(), User::GATEWAY, &["--format=text"]).run().await;
    assert!(text.stdout.contains("passed   nats") && text.stdout.contains("skipped"), "{text:?}");
    let run = doctor(&backend.nats.url(), User::GATEWAY, &["--format=prometheus"]).run().await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let is_metric = |line: &str| line.starts_with("# ") || line.starts_with("jobwire_doctor_");
    assert!(run.stdout.lines().all(is_metric), "{run:?}");
    assert!(run.stdout.contains("jobwire_doctor_success 1\n"), "{run:?}");
    assert!(run.stdout.contains("jobwire_doctor_clock_skew_seconds "), "{run:?}");
}
