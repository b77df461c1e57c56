//! `jobwire jobs`.

use serde_json::json;

use crate::harness::deployment::Deployment;
use crate::harness::free_address;
use crate::program::Program;

#[tokio::test]
async fn jobs_are_listed_by_kind_and_state() {
    let stage = Deployment::start().await;
    stage.tell("training/7", &[("job_started", json!({}))]).await;
    stage.tell("agent/t1", &[("job_started", json!({})), ("job_failed", json!({}))]).await;
    let jobs = async |words: &[&str]| {
        let run = Program::at(&stage, &[&["jobs"], words].concat()).run().await;
        assert_eq!(run.code, Some(0), "{run:?}");
        run
    };
    let table = jobs(&[]).await.stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("KIND") && lines.len() == 3, "{table}");
    assert!(table.contains("t1") && table.contains("running") && table.contains("failed"));
    let ids = |lines: Vec<serde_json::Value>| -> Vec<String> {
        lines.iter().map(|job| job["jobId"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids(jobs(&["-o", "json", "--kind", "training"]).await.json()), ["7"]);
    assert_eq!(ids(jobs(&["-o", "json", "--state", "failed,paused"]).await.json()), ["t1"]);
    let one = jobs(&["-o", "json", "--limit", "1"]).await;
    assert_eq!(one.json().len(), 1);
    assert!(one.stderr.contains("there may be more"), "{one:?}");
}

#[tokio::test]
async fn a_list_that_cannot_be_had_is_told() {
    let nowhere = format!("http://{}", free_address());
    let run = Program::new(&["jobs", "--url", &nowhere]).run().await;
    assert_eq!(run.code, Some(3), "{run:?}");
    for words in [["--kind", "a b"], ["--state", "asleep"], ["--url", "nats://x"]] {
        let run = Program::new(&[&["jobs"], words.as_slice()].concat()).run().await;
        assert_eq!(run.code, Some(2), "{run:?}");
    }
}
