//! `jobwire tail`.

use std::io::Write;
use std::time::Duration;

use async_nats::jetstream::stream;
use serde_json::{Value, json};

use crate::harness::deployment::{Backend, Deployment};
use crate::harness::gateway::GatewayCommand;
use crate::harness::issuer::{guarded, now, token, watching, watching_until};
use crate::harness::publisher::job_stream;
use crate::harness::tls::Certificates;
use crate::harness::{eventually, free_address};
use crate::program::{Program, Running};

fn a_whole_life(ending: &'static str) -> [(&'static str, Value); 4] {
    [
        ("job_started", json!({"data":{"config":{"iterations":2}}})),
        ("iteration_completed", json!({"iteration":1,"stage":"exploring","data":{"score":0.5}})),
        ("log", json!({"data":{"message":"half\nway"},"timestamp":"2020-01-01T00:00:00Z"})),
        (ending, json!({"data":{"error":"out of memory"}})),
    ]
}

async fn with_a_job(ending: &'static str) -> (Deployment, Vec<u64>) {
    let stage = Deployment::start().await;
    let ids = stage.tell("optimization/watched", &a_whole_life(ending)).await;
    (stage, ids)
}

fn event_ids(lines: &[Value]) -> Vec<u64> {
    lines.iter().filter_map(|line| line["event"]["id"].as_u64()).collect()
}

fn states(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["state"].as_str()).collect()
}

fn is_live(line: &Value) -> bool {
    line["state"] == "live"
}

#[tokio::test]
async fn a_job_that_completed_is_shown_in_each_format_and_ends_with_0() {
    let (stage, ids) = with_a_job("job_completed").await;
    let tail = async |words: &[&str]| {
        let run = Program::at(&stage, &[&["tail", "watched"], words].concat()).run().await;
        assert_eq!(run.code, Some(0), "{words:?}: {run:?}");
        run
    };
    let json = tail(&["-o", "json"]).await.json();
    assert_eq!(
        json.iter().map(|event| event["id"].as_u64()).collect::<Vec<_>>(),
        ids.iter().map(|id| Some(*id)).collect::<Vec<_>>()
    );
    assert_eq!(json[1]["data"]["score"], 0.5);
    let raw = tail(&["-o", "raw", "--type", "iteration_completed"]).await;
    assert_eq!(raw.stdout, "{\"score\":0.5}\n");
    let template = ["-o", "template", "--template", "{{id}} {{stage}} {{data.score}}"];
    let template = tail(&[&template, ["--type=iteration_completed,log"].as_slice()].concat()).await;
    assert_eq!(template.stdout, format!("{} exploring 0.5\n{}  \n", ids[1], ids[2]));
    let pretty = tail(&[]).await;
    let lines: Vec<&str> = pretty.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[1].contains("iteration 1 · exploring · score 0.5"), "{lines:?}");
    assert!(lines[2].starts_with("2020-01-01 00:00:00") && !pretty.stdout.contains('\u{1b}'));
    assert_eq!(pretty.stderr, "", "there is nothing to talk about");
    let recent = tail(&["-o", "json", "--since", "1h"]).await.json();
    assert_eq!(recent.len(), 3, "the log is of 2020: {recent:?}");
}

#[tokio::test]
async fn the_exit_code_is_the_outcome_of_the_job() {
    for (ending, code, told) in [
        ("job_failed", 1, "job watched failed: out of memory"),
        ("job_cancelled", 1, "job watched was cancelled"),
    ] {
        let (stage, ids) = with_a_job(ending).await;
        // The cause is told whether its event is wanted or not.
        let run = Program::at(&stage, &["tail", "watched", "-o", "raw", "--type=log"]).run().await;
        assert_eq!(run.code, Some(code), "{run:?}");
        assert_eq!(run.stdout.lines().count(), 1, "{run:?}");
        assert!(run.stderr.contains(told), "{run:?}");
        // Who begins after the end is told of it too.
        let last = ids[3].to_string();
        let run = Program::at(&stage, &["tail", "watched", "--after", &last]).run().await;
        assert_eq!((run.code, run.stdout.as_str()), (Some(code), ""), "{run:?}");
    }
}

#[tokio::test]
async fn a_job_that_goes_on_is_left_where_it_is_when_nothing_is_to_be_followed() {
    let stage = Deployment::start().await;
    let ids = stage.tell("training/7", &[("job_started", json!({}))]).await;
    let words = ["tail", "7", "--kind", "training", "--no-follow", "-o", "json", "--states"];
    let run = Program::at(&stage, &words).run().await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let lines = run.json();
    assert_eq!(
        (event_ids(&lines), states(&lines)),
        (ids.clone(), vec!["connecting", "catching-up", "live", "closed"])
    );
    let done = &lines.last().expect("a line")["done"];
    assert_eq!((&done["outcome"], &done["lastEventId"]), (&Value::Null, &json!(ids[0])));
}

#[tokio::test]
async fn what_cannot_be_is_told_with_an_exit_code_of_its_own() {
    let stage = Deployment::start().await;
    let usage: [&[&str]; 8] = [
        &["tail"],
        &["tail", "a.b"],
        &["tail", "x", "--type", "a b"],
        &["tail", "x", "--after", "-1"],
        &["tail", "x", "-o", "template"],
        &["tail", "x", "-o", "template", "--template", "{{score}}"],
        &["tail", "x", "--states"],
        &["tail", "x", "--url", "localhost"],
    ];
    for words in usage {
        let run = Program::at(&stage, words).run().await;
        assert_eq!(run.code, Some(2), "{words:?}: {run:?}");
        assert!(run.stdout.is_empty() && run.stderr.len() > 20, "{run:?}");
    }
    let absent = Program::at(&stage, &["tail", "nobody"]).run().await;
    assert_eq!(absent.code, Some(5), "{absent:?}");
    assert!(absent.stderr.contains("there is no job nobody of kind optimization"), "{absent:?}");

    let nowhere = format!("http://{}", free_address());
    let words = ["tail", "x", "--url", &nowhere, "--give-up", "1s"];
    let unreachable = Program::at(&stage, &words).run().await;
    assert_eq!(unreachable.code, Some(3), "{unreachable:?}");
    assert!(unreachable.stderr.contains(&nowhere), "{unreachable:?}");
    let other = format!("http://{}", stage.gateway.admin);
    let stranger = Program::at(&stage, &["tail", "x", "--url", &other]).run().await;
    assert_eq!(stranger.code, Some(5), "another server is no gateway: {stranger:?}");
}

#[tokio::test]
async fn a_gateway_that_is_killed_and_comes_back_costs_no_event() {
    let backend = Backend::start().await;
    let command = GatewayCommand::listening_at(free_address(), &backend.nats.url(), &[]);
    let mut gateway = command.start().await;
    let url = format!("http://{}", gateway.address);
    let mut ids = vec![backend.publisher.publish("long", "job_started", &json!({})).await];
    let mut tail = Program::new(&["tail", "long", "-o", "json", "--states", "--url", &url]).start();
    let mut lines = tail.until(is_live).await;
    for round in 0..2 {
        for number in 0..20 {
            let event = json!({ "iteration": round * 20 + number });
            ids.push(backend.publisher.publish("long", "progress", &event).await);
        }
        let last = ids.last().copied();
        lines.extend(tail.until(|line| line["event"]["id"].as_u64() == last).await);
        gateway.kill().await;
        lines.extend(tail.until(|line| line["state"] == "reconnecting").await);
        ids.push(backend.publisher.publish("long", "progress", &json!({})).await);
        gateway = command.start().await;
    }
    ids.push(backend.publisher.publish("long", "job_completed", &json!({})).await);
    let (rest, code) = tail.rest().await;
    lines.extend(rest);
    assert_eq!(code, Some(0));
    assert_eq!(event_ids(&lines), ids);
    assert_eq!(lines.last().expect("a line")["done"]["outcome"], "completed");
}

#[tokio::test]
async fn events_that_are_no_longer_stored_are_told_as_a_gap() {
    let definition = stream::Config { max_messages: 5, ..job_stream() };
    let backend = Backend::with_stream(definition).await;
    let mut ids = vec![backend.publisher.publish("watched", "job_started", &json!({})).await];
    for number in 0..20 {
        let event = json!({ "iteration": number });
        ids.push(backend.publisher.publish("watched", "progress", &event).await);
    }
    ids.push(backend.publisher.publish("watched", "job_completed", &json!({})).await);
    // A gateway that ran before still had them in its window.
    let stage = backend.deploy(&[]).await;
    let first = ids[0].to_string();
    let words = ["tail", "watched", "--after", &first, "-o", "json", "--states"];

    let run = Program::at(&stage, &words).run().await;
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(run.stderr.contains("events are missing"), "{run:?}");
    let lines = run.json();
    let at = lines.iter().position(|line| line.get("gap").is_some()).expect("a gap");
    assert_eq!(lines[at]["gap"]["requestedAfter"], ids[0]);
    assert_eq!(lines[at]["gap"]["firstAvailable"], ids[ids.len() - 5]);
    assert_eq!(event_ids(&lines[at..]), ids[ids.len() - 5..], "what there is follows");

    let strict = Program::at(&stage, &[words.as_slice(), &["--on-gap=fail"]].concat()).run().await;
    assert_eq!(strict.code, Some(4), "{strict:?}");
    assert!(event_ids(&strict.json()).is_empty(), "{strict:?}");
    assert!(strict.stdout.contains("\"HISTORY_TRUNCATED\""), "{strict:?}");
}

#[tokio::test]
async fn ctrl_c_ends_it_cleanly() {
    let stage = Deployment::start().await;
    let ids = stage.tell("optimization/watched", &[("job_started", json!({}))]).await;
    let mut tail = Program::at(&stage, &["tail", "watched", "-o", "json", "--states"]).start();
    tail.until(is_live).await;
    tail.interrupt();
    let (rest, code) = tail.rest().await;
    assert_eq!(code, Some(130));
    assert_eq!(rest.last().expect("a line")["done"]["lastEventId"], ids[0]);
    eventually("the gateway has no connection", async || {
        (stage.metric("jobwire_connections").await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nobody_who_reads_on_is_no_failure() {
    let stage = Deployment::start().await;
    stage.tell("optimization/watched", &[("job_started", json!({}))]).await;
    let mut tail = Program::at(&stage, &["tail", "watched", "-o", "raw"]).start();
    tail.line().await.expect("a line");
    let ending = tokio::spawn(tail.unread());
    // Until it writes again it cannot know. Ends with the test.
    let telling = async {
        loop {
            stage.publisher.publish("watched", "progress", &json!({})).await;
        }
    };
    let status = tokio::select! {
        status = ending => status.expect("no panic"),
        () = telling => unreachable!("for ever"),
    };
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_job_that_is_not_there_yet_is_waited_for_if_wanted() {
    let stage = Deployment::with_arguments(&["--job-grace", "50ms"]).await;
    let words = ["tail", "later", "--wait", "-o", "json", "--states"];
    let mut tail = Program::at(&stage, &words).start();
    tail.until(|line| line["reason"] == "the job is not there yet").await;
    let id = stage.publisher.publish("later", "job_completed", &json!({})).await;
    let (rest, code) = tail.rest().await;
    assert_eq!((event_ids(&rest), code), (vec![id], Some(0)));
}

/// A file with a text.
fn file_of(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("a written file");
    file
}

/// Waits until the token has expired, in whose place there is another one; what was told before.
async fn until_renewed(
    tail: &mut Running,
    file: &tempfile::NamedTempFile,
    expires: u64,
) -> Vec<Value> {
    let told = tail.until(is_live).await;
    std::fs::write(file.path(), token(&watching(&["optimization/*"]))).expect("a written file");
    while now() <= expires + 1 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    told
}

#[tokio::test]
async fn a_token_in_a_file_is_renewed_before_it_expires() {
    let stage = guarded().await;
    let mut ids = vec![stage.publisher.publish("watched", "job_started", &json!({})).await];
    let without = Program::at(&stage, &["tail", "watched"]).run().await;
    assert_eq!(without.code, Some(5), "{without:?}");
    assert!(without.stderr.contains("--token-file"), "{without:?}");

    let expires = now() + 6;
    let file = file_of(&token(&watching_until(&["optimization/*"], expires)));
    let path = file.path().to_str().expect("a path in UTF-8").to_owned();
    let words = ["tail", "watched", "-o", "json", "--states", "--token-file", &path];
    let mut tail = Program::at(&stage, &words).start();
    let mut lines = until_renewed(&mut tail, &file, expires).await;
    ids.push(stage.publisher.publish("watched", "job_completed", &json!({})).await);
    let (rest, code) = tail.rest().await;
    lines.extend(rest);
    assert_eq!((event_ids(&lines), code), (ids, Some(0)), "{lines:?}");
    assert!(!states(&lines).contains(&"reconnecting"), "{lines:?}");
    let live = lines.iter().position(is_live);
    assert!(live > lines.iter().position(|line| line["event"]["id"] == 1), "{lines:?}");
}

#[tokio::test]
async fn a_token_that_expires_and_cannot_be_renewed_ends_it() {
    let stage = guarded().await;
    stage.publisher.publish("watched", "job_started", &json!({})).await;
    let token = token(&watching_until(&["optimization/*"], now() + 3));
    let words = ["tail", "watched", "-o", "json", "--states"];
    let run = Program::at(&stage, &words).with("JOBWIRE_TOKEN", &token).run().await;
    assert_eq!(run.code, Some(5), "{run:?}");
    assert!(run.stdout.contains("\"UNAUTHORIZED\""), "{run:?}");
    assert!(!run.stderr.contains(&token) && !run.stdout.contains(&token));
}

#[tokio::test]
async fn a_gateway_with_tls_is_trusted_by_its_authority_and_by_no_other() {
    let (certificates, _) = Certificates::mounted();
    let arguments = certificates.arguments();
    let stage = Deployment::with_arguments(&arguments.each_ref().map(String::as_str)).await;
    let id = stage.publisher.publish("watched", "job_completed", &json!({})).await;
    let url = format!("https://localhost:{}", stage.gateway.address.port());
    let trusting = async |authority: String| {
        let file = file_of(&authority);
        let path = file.path().to_str().expect("a path in UTF-8");
        let words = ["tail", "watched", "-o", "json", "--url", &url, "--give-up=0s", "--ca", path];
        Program::new(&words).run().await
    };
    let run = trusting(certificates.authority()).await;
    assert_eq!((run.code, run.json()[0]["id"].as_u64()), (Some(0), Some(id)), "{run:?}");
    let other = trusting(Certificates::new().authority()).await;
    assert_eq!(other.code, Some(3), "{other:?}");
    assert!(other.stderr.contains("certificate"), "{other:?}");
    assert_eq!(trusting("none".into()).await.code, Some(2));
}
