//! `jobwire publish`.

use serde_json::{Value, json};

use crate::harness::deployment::{Backend, Deployment};
use crate::harness::free_address;
use crate::harness::nats::User;
use crate::program::Program;

/// By NATS, as a user.
fn by_nats(stage: &Deployment, user: User, words: &[&str]) -> Program {
    let program = Program::new(&[&["publish"], words].concat()).with("NATS_URL", &stage.nats.url());
    user.environment()
        .into_iter()
        .fold(program, |program, (name, value)| program.with(name, &value))
}

async fn stored(stage: &Deployment, job: &str) -> Vec<Value> {
    let path = format!("/api/v1/jobs/{job}/events?after=0&wait=5");
    let request = [("Accept", "application/json")];
    let request = crate::harness::plain_http::request(stage.gateway.address, &path, &request);
    let answer = crate::harness::plain_http::try_exchange(stage.gateway.address, &request).await;
    answer.expect("an answer").json()["events"].as_array().expect("events").clone()
}

#[tokio::test]
async fn an_event_of_flags_is_stored_by_nats_as_it_was_given() {
    let stage = Deployment::start().await;
    let words = [
        "7",
        "--kind=training",
        "--type=progress",
        "--iteration=3",
        "--stage=warm up",
        "--data",
        "{\"progress\":0.30}",
    ];
    let run = by_nats(&stage, User::PRODUCER, &words).run().await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let events = stored(&stage, "training/7").await;
    assert_eq!(run.stdout, format!("{}\n", events[0]["id"]));
    assert_eq!(events[0]["data"], json!({"progress":0.3}));
    assert_eq!((&events[0]["iteration"], &events[0]["stage"]), (&json!(3), &json!("warm up")));
    let denied = by_nats(&stage, User::PRODUCER, &["7", "--type=log", "--patience=2s"]).run().await;
    assert_eq!(denied.code, Some(1), "another kind is not this user's: {denied:?}");
    assert!(denied.stderr.contains("jobs.optimization.7.log"), "{denied:?}");
}

#[tokio::test]
async fn lines_are_stored_by_http_and_the_same_key_stores_nothing_again() {
    let stage = Deployment::with_arguments(&["--publish"]).await;
    let lines = "{\"eventType\":\"job_started\"}\n\n{\"eventType\":\"log\",\"data\":{\"n\":1}}\n";
    let words = ["publish", "x", "--key", "run-1", "-o", "json"];
    let run = Program::at(&stage, &words).run_with(lines).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let first = run.json();
    assert_eq!(
        first.iter().map(|line| line["line"].as_u64()).collect::<Vec<_>>(),
        [Some(1), Some(3)]
    );
    let again = Program::at(&stage, &words).run_with(lines).await;
    assert!(again.stderr.contains("2 more had been stored before"), "{again:?}");
    let ids = |lines: &[Value]| lines.iter().map(|line| line["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&again.json()), ids(&first));
    assert_eq!(stored(&stage, "optimization/x").await.len(), 2);
}

#[tokio::test]
async fn a_wrong_line_is_named_and_nothing_after_it_is_stored() {
    let stage = Deployment::with_arguments(&["--publish"]).await;
    let lines = "{\"eventType\":\"job_started\"}\n{\"eventType\":\"log\",\"data\":7}\n{\"eventType\":\"log\"}\n";
    let run = Program::at(&stage, &["publish", "x"]).run_with(lines).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("line 2: data has to be an object"), "{run:?}");
    assert!(run.stderr.contains("stored 1 event;"), "{run:?}");
    assert_eq!(stored(&stage, "optimization/x").await.len(), 1);
}

#[tokio::test]
async fn lines_are_stored_as_they_come_and_ctrl_c_ends_it() {
    let stage = Deployment::with_arguments(&["--publish"]).await;
    let mut publish = Program::at(&stage, &["publish", "x"]).fed().start();
    publish.feed("{\"eventType\":\"job_started\"}\n").await;
    let id = publish.line().await.expect("an id, though more may come");
    assert_eq!(stored(&stage, "optimization/x").await[0]["id"].to_string(), id);
    publish.interrupt();
    assert_eq!(publish.end().await.code(), Some(130));
}

#[tokio::test]
async fn what_cannot_be_published_is_told_with_an_exit_code_of_its_own() {
    let stage = Deployment::start().await;
    for words in [["--data", "[]"], ["--iteration", "x"], ["--key", "a b"], ["--type", "a.b"]] {
        let words = [["publish", "x", "--type", "log"].as_slice(), &words].concat();
        let run = Program::at(&stage, &words).run().await;
        assert_eq!(run.code, Some(2), "{words:?}: {run:?}");
    }
    let off = Program::at(&stage, &["publish", "x", "--type", "log"]).run().await;
    assert_eq!(off.code, Some(5), "{off:?}");
    assert!(off.stderr.contains("PUBLISHING_OFF"), "{off:?}");
    let nowhere = free_address();
    let (nats, http) = (format!("nats://{nowhere}"), format!("http://{nowhere}"));
    for address in [["--nats-url", &nats], ["--url", &http]] {
        let words = [["publish", "x", "--type=log", "--patience=1s"].as_slice(), &address].concat();
        let run = Program::new(&words).run().await;
        assert_eq!(run.code, Some(3), "{run:?}");
    }
}

#[tokio::test]
async fn a_context_of_the_nats_command_line_is_understood() {
    let backend = Backend::start().await;
    let home = tempfile::tempdir().expect("a directory");
    let contexts = home.path().join(".config/nats/context");
    std::fs::create_dir_all(&contexts).expect("a directory");
    let user = User::PRODUCER;
    let context =
        json!({"url": backend.nats.url(), "user": user.name, "password": user.password()});
    std::fs::write(contexts.join("lab.json"), context.to_string()).expect("a written file");
    let home = home.path().to_str().expect("a path in UTF-8");
    let words = ["publish", "7", "--kind=training", "--type=log"];
    let named = Program::new(&words).with("HOME", home).with("NATS_CONTEXT", "lab").run().await;
    assert_eq!(named.code, Some(0), "{named:?}");
    std::fs::write(contexts.join("../context.txt"), "lab").expect("a written file");
    let selected = Program::new(&words).with("HOME", home).run().await;
    assert_eq!(selected.code, Some(0), "{selected:?}");
    let unknown = Program::new(&[&words, ["--context=gone"].as_slice()].concat());
    let unknown = unknown.with("HOME", home).run().await;
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.stderr.contains("gone.json"), "{unknown:?}");
}
