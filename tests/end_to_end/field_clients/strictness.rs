//! The clients themselves: a message that breaks a contract does not pass them.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::harness::field_client::{Field, FieldClient, Language};

const TIME: &str = "2026-03-01T10:00:00Z";

#[tokio::test]
async fn no_message_that_breaks_a_contract_passes_a_client() {
    let mut field = Field::start();
    let cases = [optimization(), beam_search(), training(), agent()].concat();
    let mut clients = Vec::new();
    for (dialect, messages) in &cases {
        let server = serve(messages.clone()).await;
        let options = match *dialect {
            "training" => json!({ "address": server, "job": "7", "token": "x" }),
            _ => json!({ "address": server, "job": "7" }),
        };
        for language in Language::ALL {
            let client = field.open(language, dialect, &options).await;
            clients.push((messages, client));
        }
        // A few at a time, as each is a program.
        if clients.len() >= 12 {
            hear(&mut clients).await;
        }
    }
    hear(&mut clients).await;
    field.close().await;
}

async fn hear(clients: &mut Vec<(&Vec<String>, FieldClient)>) {
    for (messages, mut client) in clients.drain(..) {
        let problem = client.complains().await;
        assert!(!problem.is_empty(), "{messages:?}");
        assert_eq!(client.texts().len(), messages.len(), "complained too early: {problem}");
    }
}

/// A dialect, and messages of which only the last is bad.
type Case = (&'static str, Vec<String>);

fn case(dialect: &'static str, messages: &[Value]) -> Case {
    (dialect, messages.iter().map(ToString::to_string).collect())
}

fn optimization() -> Vec<Case> {
    let event = |id: Value| json!({ "id": id, "eventType": "progress", "timestamp": TIME });
    let told = |event: Value| json!({ "type": "event", "jobId": "7", "event": event });
    let with_null =
        json!({ "id": 5, "eventType": "progress", "timestamp": TIME, "iteration": null });
    let fine = told(event(json!(5)));
    vec![
        case("optimization", &[fine.clone(), json!({ "type": "progress", "jobId": "7" })]),
        case("optimization", &[told(event(json!("5")))]),
        case("optimization", &[fine.clone(), told(event(json!(5)))]),
        case("optimization", &[told(with_null)]),
        case("optimization", &[json!({ "type": "subscribed", "jobId": "8" })]),
        case("optimization", &[fine, json!({ "type": "error", "error": "job not found" })]),
    ]
}

fn beam_search() -> Vec<Case> {
    let of = |message: Value| {
        let mut message = message;
        message["jobId"] = "7".into();
        message["timestamp"] = TIME.into();
        message
    };
    let started = of(json!({
        "type": "started", "config": { "prompt": "p", "N": 1, "M": 1, "iterations": 1 },
    }));
    let score = json!({ "alignmentScore": 1, "aestheticScore": 1 });
    let candidate =
        json!({ "iteration": 1, "candidateId": 1, "totalCandidates": 1, "score": score });
    let mut scoreless = of(candidate);
    scoreless["type"] = "candidate".into();
    vec![
        case("beam_search", &[started.clone(), of(json!({ "type": "log", "message": "m" }))]),
        case("beam_search", &[started.clone(), scoreless]),
        case(
            "beam_search",
            &[of(json!({ "type": "complete", "result": { "iterations": 1, "duration": 1 } }))],
        ),
        case("beam_search", &[json!({ "type": "started", "jobId": "7", "config": {} })]),
        case("beam_search", &[started, of(json!({ "type": "error", "error": "a text" }))]),
    ]
}

fn training() -> Vec<Case> {
    let progress = json!({
        "type": "progress", "job_id": 7, "status": "running", "progress": 0.5, "current_epoch": 1,
        "total_epochs": 2, "current_loss": 0.5, "timestamp": TIME,
    });
    let with = |name: &str, value: Value| {
        let mut message = progress.clone();
        message[name] = value;
        message
    };
    let mut without = progress.clone();
    without.as_object_mut().expect("an object").remove("total_epochs");
    vec![
        case("training", &[with("type", json!("log"))]),
        case("training", &[with("job_id", json!("7"))]),
        case("training", &[progress.clone(), with("progress", json!(50))]),
        case("training", &[progress.clone(), without]),
        case("training", &[progress.clone(), with("current_epoch", json!(null))]),
        case("training", &[progress.clone(), with("type", json!("heartbeat"))]),
        case("training", &[progress.clone(), with("type", json!("complete"))]),
    ]
}

fn agent() -> Vec<Case> {
    let connected = json!({
        "step": "connected", "percent": 0, "message": "Connected to agent progress stream",
        "timestamp": TIME,
    });
    let step = json!({ "step": "scam_db", "percent": 40, "message": "m", "timestamp": TIME });
    let with = |name: &str, value: Value| {
        let mut message = step.clone();
        message[name] = value;
        message
    };
    let heartbeat = json!({ "heartbeat": true, "timestamp": TIME, "step": "scam_db" });
    vec![
        case("agent", std::slice::from_ref(&step)),
        case("agent", &[connected.clone(), with("percent", json!(40.0))]),
        case("agent", &[connected.clone(), with("percent", json!("40"))]),
        case("agent", &[connected.clone(), with("message", json!(null))]),
        case("agent", &[connected.clone(), with("timestamp", json!(1_700_000_000))]),
        case("agent", &[connected.clone(), heartbeat]),
        case("agent", &[connected.clone(), connected]),
    ]
}

/// A server that says these messages to everybody, whatever they ask for.
async fn serve(messages: Vec<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(say(stream, messages.clone()));
        }
    });
    address
}

async fn say(stream: TcpStream, messages: Vec<String>) {
    #[expect(clippy::result_large_err, reason = "the library's callback has this type")]
    let select = |request: &Request, mut answer: Response| {
        if request.headers().contains_key("sec-websocket-protocol") {
            let bearer = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert("sec-websocket-protocol", bearer);
        }
        Ok(answer)
    };
    let Ok(mut socket) = accept_hdr_async(stream, select).await else { return };
    for message in messages {
        if socket.send(Message::text(message)).await.is_err() {
            return;
        }
    }
    while let Some(Ok(_)) = socket.next().await {}
}
