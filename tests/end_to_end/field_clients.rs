//! Clients as there are in the field, in Node, Python and a browser, on one gateway at once.
//!
//! They know the contracts of their systems and nothing else, and judge every message themselves.

mod scripts;
mod strictness;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::harness::client::{events_in, id_of};
use crate::harness::cut_proxy::CutProxy;
use crate::harness::deployment::Deployment;
use crate::harness::field_client::{Field, FieldClient, Language};
use crate::harness::issuer::{guarded_with, token, watching};
use scripts::{Script, agent, beam_search, optimization, training};

/// More heartbeats than a real route sends, so that there are some.
const HEARTBEATS: &str = "[[route]]\npath = \"/ws/agent-progress/{job}\"\ndialect = \"agent\"\n\
                          heartbeat = \"500ms\"\n";

/// The clients of one dialect that watch one job, one of each language.
struct Watchers {
    script: Script,
    clients: Vec<FieldClient>,
}

#[tokio::test]
async fn every_client_sees_its_job_to_the_end_and_all_languages_see_the_same() {
    let mut field = Field::start();
    let allowed = format!("allowed_origins = [{:?}]\n{HEARTBEATS}", field.origin);
    let deployment = Deployment::configured(&allowed).await;
    // What cuts the connections of those who come back by themselves.
    let proxy = CutProxy::start(deployment.gateway.address).await;
    let mut all = Vec::new();
    for script in [optimization(), beam_search(), training(), agent()] {
        deployment.tell(script.job, &script.beginning).await;
        let mut options = script.options(deployment.gateway.address);
        if script.dialect == "optimization" {
            options["address"] = proxy.address.to_string().into();
        }
        let mut clients = Vec::new();
        for language in Language::ALL {
            clients.push(field.open(language, script.dialect, &options).await);
        }
        all.push(Watchers { script, clients });
    }
    let home = json!({
        "address": deployment.gateway.address, "job": "prompt-17",
        "types": scripts::TYPES_OF_OPTIMIZATION,
    });
    let mut at_home = field.open_at_home("events", &home).await;
    at_home.received(1).await;
    for watchers in &mut all {
        for client in &mut watchers.clients {
            client.received(watchers.script.first_messages).await;
        }
    }

    for watchers in &all {
        deployment.tell(watchers.script.job, &watchers.script.middle).await;
    }
    for (watchers, sign) in [(0, "\"pong\""), (3, "\"heartbeat\"")] {
        for client in &mut all[watchers].clients {
            client.heard(sign).await;
        }
    }
    proxy.cut();
    // Stored while nobody who was cut is there.
    for watchers in &all {
        deployment.tell(watchers.script.job, &watchers.script.retry).await;
    }
    for client in &mut all[0].clients {
        client.opened(2).await;
    }
    for watchers in &all {
        deployment.tell(watchers.script.job, &watchers.script.ending).await;
    }

    at_home.is_content().await;
    for watchers in &mut all {
        for client in &mut watchers.clients {
            client.is_content().await;
        }
        let cuts = usize::from(watchers.script.dialect == "optimization");
        for client in &watchers.clients {
            assert_eq!(client.count("open"), 1 + cuts, "nobody else's connection was ended");
        }
        let seen = watchers.all_saw_the_same();
        (watchers.script.expected)(&seen);
        assert_late_clients_see_the_end(&mut field, &deployment, &watchers.script, &seen).await;
    }
    let events: Vec<Value> = at_home.texts().iter().map(|text| parsed(text)).collect();
    assert_eq!(events, all[0].all_saw_the_same(), "an EventSource is told the same events");
    for client in &all[2].clients {
        assert_eq!(client.all("selected"), ["Bearer"], "a browser asks for this");
    }
    field.close().await;
}

#[tokio::test]
async fn a_training_client_is_let_in_by_its_token_and_by_no_other() {
    let mut field = Field::start();
    let deployment = guarded_with("", &["--allowed-origins", &field.origin]).await;
    let script = training();
    for (event_type, payload) in script.beginning.iter().chain(&script.ending) {
        deployment.publisher.publish_of(script.job, event_type, payload).await;
    }
    let mut options = script.options(deployment.gateway.address);
    for (job, is_let_in) in [("training/42", true), ("training/43", false)] {
        options["token"] = token(&watching(&[job])).into();
        for language in Language::ALL {
            let mut client = field.open(language, script.dialect, &options).await;
            if is_let_in {
                client.is_content().await;
                assert_eq!(client.all("selected"), ["Bearer"]);
            } else {
                client.complains().await;
                assert_eq!(client.count("open"), 0, "refused before the upgrade");
            }
        }
    }
    field.close().await;
}

#[tokio::test]
async fn clients_that_poll_a_training_run_see_its_end() {
    let mut field = Field::start();
    let deployment = Deployment::with_arguments(&["--allowed-origins", &field.origin]).await;
    let script = training();
    deployment.tell(script.job, &script.beginning).await;
    let (_, id) = script.job.split_once('/').expect("kind/id");
    let address = deployment.gateway.address;
    let options = json!({ "address": address, "job": id, "pollEvery": 100 });
    let mut clients = Vec::new();
    for language in Language::ALL {
        clients.push(field.open(language, "training_polling", &options).await);
    }
    for events in [&script.middle, &script.retry, &script.ending] {
        for client in &mut clients {
            let before = client.texts().len();
            client.received(before + 2).await;
        }
        deployment.tell(script.job, events).await;
    }
    for client in &mut clients {
        client.is_content().await;
        let told: Vec<Value> = client.texts().iter().map(|text| parsed(text)).collect();
        let statuses: BTreeSet<&str> =
            told.iter().filter_map(|state| state["status"].as_str()).collect();
        assert!(statuses.is_superset(&BTreeSet::from(["running", "succeeded"])), "{statuses:?}");
        assert!(!statuses.contains("failed"), "it was to be tried again: {statuses:?}");
        let (first, last) = (&told[0], &told[told.len() - 1]);
        assert_eq!((&first["job_id"], &first["current_epoch"]), (&json!(42), &json!(1)));
        assert_eq!((&last["model_id"], &last["current_epoch"]), (&json!("m-7"), &json!(4)));
    }
    let ends = clients.iter().map(|client| client.texts().pop());
    assert_eq!(ends.collect::<BTreeSet<_>>().len(), 1, "the same end for all");

    let unknown = json!({ "address": address, "job": "nothing" });
    for language in Language::ALL {
        let mut client = field.open(language, "training_polling", &unknown).await;
        assert!(client.complains().await.contains("404"));
    }
    field.close().await;
}

#[tokio::test]
async fn a_final_failure_and_a_job_that_is_not_there_are_told_in_every_systems_way() {
    let mut field = Field::start();
    let deployment = Deployment::with_arguments(&["--allowed-origins", &field.origin]).await;
    let failed = json!({ "data": {
        "error": "out of memory", "code": "OOM", "errorStack": "at step 3", "message": "out of memory",
    } });
    let mut clients = Vec::new();
    for script in [optimization(), beam_search(), training(), agent()] {
        deployment.tell(script.job, &script.beginning).await;
        deployment.tell(script.job, &[("job_failed", failed.clone())]).await;
        let options = script.options(deployment.gateway.address);
        for language in Language::ALL {
            clients.push((script.dialect, field.open(language, script.dialect, &options).await));
        }
    }
    let unknown = json!({ "address": deployment.gateway.address, "job": "nothing" });
    let mut unaware = Vec::new();
    for language in Language::ALL {
        unaware.push(field.open(language, "optimization", &unknown).await);
    }
    let mut last = BTreeMap::<&str, Vec<Value>>::new();
    for (dialect, client) in &mut clients {
        client.is_content().await;
        let messages = client.texts();
        let message = messages.iter().map(|text| parsed(text)).rfind(is_no_heartbeat);
        last.entry(dialect).or_default().push(message.expect("a last message"));
    }
    for message in &last["beam_search"] {
        assert_eq!(message["error"], json!({ "message": "out of memory", "code": "OOM" }));
    }
    for message in &last["training"] {
        assert_eq!(
            (&message["type"], &message["error_message"]),
            (&json!("error"), &json!("out of memory"))
        );
    }
    for message in &last["agent"] {
        assert_eq!((&message["step"], &message["error"]), (&json!("failed"), &json!(true)));
    }
    for client in &mut unaware {
        client.is_content().await;
        let told: Vec<Value> = client.texts().iter().map(|text| parsed(text)).collect();
        assert_eq!(told.last().expect("an answer")["error"], "Job not found");
    }
    field.close().await;
}

impl Watchers {
    /// What one of them received, after it was compared with what the others did.
    fn all_saw_the_same(&self) -> Vec<Value> {
        let seen: Vec<Vec<String>> =
            self.clients.iter().map(|client| self.script.comparable(&client.texts())).collect();
        for other in &seen[1..] {
            assert_eq!(other, &seen[0], "{}: another language saw something else", self.script.job);
        }
        seen[0].iter().map(|text| parsed(text)).collect()
    }
}

/// Clients that come after the end see the final state, the same in every language.
async fn assert_late_clients_see_the_end(
    field: &mut Field,
    deployment: &Deployment,
    script: &Script,
    seen: &[Value],
) {
    let mut options = vec![script.options(deployment.gateway.address)];
    if script.dialect == "optimization" {
        let mut resumed = options[0].clone();
        resumed["after"] = id_of(&seen[seen.len() / 2]).into();
        options.push(resumed);
    }
    for options in options {
        let mut late = Vec::new();
        for language in Language::ALL {
            late.push(field.open(language, script.dialect, &options).await);
        }
        for client in &mut late {
            client.is_content().await;
        }
        let late = Watchers { script: script.clone(), clients: late };
        let told = late.all_saw_the_same();
        assert_eq!(told.last(), seen.last(), "{}: the same final message", script.job);
        let expected = match script.dialect {
            // The status before the final message.
            "training" => {
                assert_eq!((told.len(), &told[0]["status"]), (2, &json!("succeeded")));
                continue;
            }
            "optimization" if options["after"] != 0 => &seen[seen.len() / 2 + 1..],
            _ => seen,
        };
        assert_eq!(told, expected, "{}: what a late client is told", script.job);
    }
}

impl Script {
    /// What of the messages must be the same for everybody, whenever they came.
    fn comparable(&self, texts: &[String]) -> Vec<String> {
        match self.dialect {
            // As history or live, as it happens.
            "optimization" => {
                let events = texts.iter().flat_map(|text| events_in(&parsed(text)));
                events.map(|event| event.to_string()).collect()
            }
            // The first one is of the moment of the connection.
            "training" | "agent" => {
                let mut first = parsed(&texts[0]);
                first.as_object_mut().expect("an object").remove("timestamp");
                let rest = texts[1..].iter().filter(|text| is_no_heartbeat(&parsed(text)));
                [first.to_string()].into_iter().chain(rest.cloned()).collect()
            }
            _ => texts.to_vec(),
        }
    }
}

fn is_no_heartbeat(message: &Value) -> bool {
    message.get("heartbeat").is_none()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}
