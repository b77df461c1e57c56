//! Publishing over HTTP: what a producer without NATS can rely on.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::deployment::{Backend, Deployment};
use crate::harness::nats::User;
use crate::harness::plain_http::{Response, exchange};
use crate::harness::{eventually, within};

const ON: [&str; 1] = ["--publish"];
const JSON: (&str, &str) = ("Content-Type", "application/json");
const LINES: (&str, &str) = ("Content-Type", "application/x-ndjson");

impl Deployment {
    /// Publishes to a job, `kind/id`.
    async fn post(&self, job: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let address = self.gateway.address;
        let mut request = format!(
            "POST /api/v1/jobs/{job}/events HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        exchange(address, &format!("{request}\r\n{body}")).await
    }

    async fn stored(&self) -> u64 {
        self.publisher.stream_state().await.messages
    }
}

fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

fn ids_of(answer: &Response) -> Vec<u64> {
    let answer = answer.json();
    let events = answer["events"].as_array().unwrap_or_else(|| panic!("no events in {answer}"));
    events.iter().map(|event| event["id"].as_u64().expect("an id")).collect()
}

#[tokio::test]
async fn a_published_event_reaches_watchers_under_the_id_that_was_answered() {
    let deployment = Deployment::with_arguments(&ON).await;
    let mut client = deployment.client().await;
    let first =
        deployment.post("optimization/job", &[JSON], r#"{"eventType":"job_started"}"#).await;
    assert_eq!(first.status, 201, "{first:?}");
    let first = first.json();
    assert_eq!(first, json!({ "id": first["id"], "duplicate": false }));
    client.subscribe("job", 0).await;
    client.skip_to("replay").await;
    // Numbers stay as they were written.
    let body = r#"{"eventType":"score","iteration":1.50,"data":{"score":1E2},"timestamp":"2026-03-01T10:00:00Z"}"#;
    let second = deployment.post("optimization/job", &[JSON], body).await.json();
    let told = client.skip_to("event").await;
    assert_eq!(told["event"]["id"], second["id"]);
    let page = deployment.gateway.public_get("/api/v1/jobs/optimization/job").await.body;
    assert!(page.contains(r#""iteration":1.50,"data":{"score":1E2}"#), "{page}");
}

#[tokio::test]
async fn lines_are_stored_in_their_order_and_answered_line_by_line() {
    let deployment = Deployment::with_arguments(&ON).await;
    let events: Vec<Value> = (0..200)
        .map(|number| json!({ "eventType": "progress", "data": { "number": number } }))
        .collect();
    let body = format!("\n{}\n\n", lines(&events));
    let started = Instant::now();
    let answer = deployment.post("training/7", &[LINES], &body).await;
    println!("200 lines took {:?}", started.elapsed());
    assert_eq!(answer.status, 201, "{answer:?}");
    let ids = ids_of(&answer);
    assert!(ids.len() == 200 && ids.is_sorted(), "{ids:?}");
    assert_eq!(answer.json()["events"][0], json!({ "line": 2, "id": ids[0], "duplicate": false }));
    let mut reader = deployment.events("training/7", "").await;
    for (number, id) in ids.iter().enumerate() {
        let told = reader.event().await.expect("an event");
        assert_eq!((told.id, &told.data["data"]["number"]), (Some(*id), &json!(number)));
    }
}

#[tokio::test]
async fn the_same_key_again_is_the_same_event() {
    let deployment = Deployment::with_arguments(&ON).await;
    let key = [JSON, ("Idempotency-Key", "attempt-1")];
    let body = r#"{"eventType":"progress"}"#;
    let first = deployment.post("a/1", &key, body).await.json();
    let again = deployment.post("a/1", &key, body).await;
    assert_eq!(
        (again.status, again.json()),
        (201, json!({ "id": first["id"], "duplicate": true }))
    );
    // On another job it is another event, and without a key each request is one of its own.
    let other = deployment.post("a/2", &key, body).await.json();
    assert_eq!(other["duplicate"], false);
    for _ in 0..2 {
        assert_eq!(deployment.post("a/1", &[JSON], body).await.json()["duplicate"], false);
    }
    assert_eq!(deployment.stored().await, 4);

    let key = [LINES, ("Idempotency-Key", "attempt-2")];
    let whole = lines(&[json!({ "eventType": "a" }), json!({ "eventType": "b" })]);
    // The first attempt broke off after a line, as far as the stream is concerned.
    let beginning = deployment.post("a/3", &key, &whole[..whole.find('\n').unwrap() + 1]).await;
    let answer = deployment.post("a/3", &key, &whole).await;
    let told = answer.json()["events"].clone();
    assert_eq!(
        (&told[0]["id"], &told[0]["duplicate"]),
        (&beginning.json()["events"][0]["id"], &json!(true))
    );
    assert_eq!(told[1]["duplicate"], false);
    let again = deployment.post("a/3", &key, &whole).await;
    assert_eq!(ids_of(&again), ids_of(&answer));
}

#[tokio::test]
async fn a_wrong_event_is_pointed_at_and_nothing_of_its_request_is_stored() {
    let deployment = Deployment::with_arguments(&ON).await;
    let good = r#"{"eventType":"progress"}"#;
    for (wrong, pointer) in [
        (r#"{"data":{}}"#, "/eventType"),
        (r#"{"eventType":"a b"}"#, "/eventType"),
        (r#"{"eventType":"a","iteration":"1"}"#, "/iteration"),
        (r#"{"eventType":"a","stage":{}}"#, "/stage"),
        (r#"{"eventType":"a","data":"x"}"#, "/data"),
        (r#"{"eventType":"a","timestamp":1}"#, "/timestamp"),
        (r#"{"eventType":"a""#, ""),
        ("[]", ""),
    ] {
        let one = deployment.post("a/1", &[JSON], wrong).await;
        let many = deployment.post("a/1", &[LINES], &format!("{good}\n\n{wrong}\n{good}\n")).await;
        for (answer, line) in [(one, 1), (many, 3)] {
            assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
            let told = answer.json();
            assert_eq!((&told["code"], &told["line"]), (&json!("INVALID_EVENT"), &json!(line)));
            assert_eq!(told["pointer"], pointer, "{wrong}: {told}");
            let sentence = told["error"].as_str().expect("a sentence");
            assert!(sentence.ends_with("nothing of this request was stored"), "{sentence}");
        }
    }
    for body in ["", " \n\n"] {
        let answer = deployment.post("a/1", &[LINES], body).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("INVALID_EVENT")));
    }
    assert_eq!(deployment.stored().await, 0);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_before_it_is_read() {
    let deployment = Deployment::with_arguments(&ON).await;
    let body = r#"{"eventType":"a"}"#;
    let refused = async |headers: &[(&str, &str)], status: u16, code: &str| {
        let answer = deployment.post("a/1", headers, body).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{headers:?}");
    };
    refused(&[], 415, "UNSUPPORTED_BODY").await;
    refused(&[("Content-Type", "text/plain")], 415, "UNSUPPORTED_BODY").await;
    refused(&[JSON, ("Content-Encoding", "gzip")], 415, "UNSUPPORTED_BODY").await;
    let long = "k".repeat(201);
    for key in ["", "a b", "\u{e4}", &long] {
        refused(&[JSON, ("Idempotency-Key", key)], 400, "INVALID_IDEMPOTENCY_KEY").await;
    }
    let answer = deployment.post("a.b/1", &[JSON], body).await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("INVALID_JOB_ID")));
    assert_eq!(deployment.stored().await, 0);
}

#[tokio::test]
async fn too_large_is_413_and_says_how_much_is_allowed() {
    let deployment = Deployment::with_arguments(&ON).await;
    let large = json!({ "eventType": "a", "data": { "x": "x".repeat(512 << 10) } }).to_string();
    let answer = deployment.post("a/1", &[JSON], &large).await;
    assert_eq!((answer.status, &answer.json()["code"]), (413, &json!("INVALID_EVENT")));
    assert!(answer.body.contains("524288 are allowed"), "{answer:?}");
    let many = "{\"eventType\":\"a\"}\n".repeat(1_001);
    let answer = deployment.post("a/1", &[LINES], &many).await;
    assert!(answer.status == 413 && answer.body.contains("1000 events"), "{answer:?}");
    // The length alone is enough; a body without one is cut where it becomes too long.
    let address = deployment.gateway.address;
    for header in ["Content-Length: 4194305", "Transfer-Encoding: chunked"] {
        let head = format!(
            "POST /api/v1/jobs/a/1/events HTTP/1.1\r\nHost: {address}\r\n{header}\r\n\
             Content-Type: application/x-ndjson\r\n\r\n"
        );
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(head.as_bytes()).await.expect("a head is sent");
        let (mut reading, mut writing) = stream.into_split();
        let sending = tokio::spawn(async move {
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(1 << 16));
            for _ in 0..100 {
                if writing.write_all(chunk.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        let mut answer = vec![0; 12];
        within("an answer", reading.read_exact(&mut answer)).await.expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413", "{header}");
        sending.abort();
    }
    assert_eq!(deployment.stored().await, 0);
    let most = json!({ "eventType": "a", "data": { "x": "x".repeat(500 << 10) } });
    assert_eq!(deployment.post("a/1", &[LINES], &lines(&vec![most; 8])).await.status, 201);
}

#[tokio::test]
async fn publishing_is_off_unless_tokens_are_asked_for_or_it_is_turned_on() {
    let deployment = Deployment::start().await;
    let answer = deployment.post("a/1", &[JSON], r#"{"eventType":"a"}"#).await;
    assert_eq!((answer.status, &answer.json()["code"]), (403, &json!("PUBLISHING_OFF")));
    assert!(answer.body.contains("publish = true"), "{answer:?}");
    assert_eq!(deployment.stored().await, 0);
}

#[tokio::test]
async fn a_token_publishes_to_the_jobs_that_it_names_and_to_no_other() {
    let secret = "a secret of at least thirty-two bytes";
    let configuration = tempfile::tempdir().expect("a directory");
    let file = configuration.path().join("secret");
    std::fs::write(&file, secret).expect("a secret in a file");
    let path = configuration.path().join("jobwire.toml");
    let text = format!(
        "[auth]\nmode = \"jwt\"\nsecret_file = \"{}\"\ndefault_watch = [\"*/*\"]\n",
        file.display()
    );
    std::fs::write(&path, text).expect("a configuration in a file");
    let backend = Backend::start().await;
    let command = backend.gateway_command(&["--config", path.to_str().expect("a path")]);
    let gateway = command.of_user(User::PUBLISHING_GATEWAY).start().await;
    let deployment = Deployment { gateway, publisher: backend.publisher, nats: backend.nats };
    let bearer = |publish: Value| {
        let exp = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs() + 60;
        let claims = json!({ "exp": exp, "publish": publish });
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key);
        format!("Bearer {}", token.expect("a token"))
    };
    let body = r#"{"eventType":"a"}"#;
    let nobody = deployment.post("training/1", &[JSON], body).await;
    assert_eq!(nobody.status, 401, "{nobody:?}");
    for (publish, job, status) in [
        (json!(["training/*"]), "training/1", 201),
        (json!(["training/*"]), "agent/1", 403),
        (json!(["training/team7-*"]), "training/team7-1", 201),
        (json!(["training/team7-*"]), "training/team70", 403),
        (json!([]), "training/1", 403),
    ] {
        let headers = [JSON, ("Authorization", &*bearer(publish.clone()))];
        let answer = deployment.post(job, &headers, body).await;
        assert_eq!(answer.status, status, "{publish} on {job}: {answer:?}");
    }
    let in_query =
        format!("training/1/events?token={}", &bearer(json!(["training/*"]))["Bearer ".len()..]);
    let request = format!(
        "POST /api/v1/jobs/{in_query} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: application/json\r\n\r\n{body}",
        deployment.gateway.address,
        body.len()
    );
    assert_eq!(exchange(deployment.gateway.address, &request).await.status, 401);
    assert_eq!(deployment.stored().await, 2);
}

#[tokio::test]
async fn while_nats_is_away_it_is_told_and_the_same_key_stores_it_once_afterwards() {
    let mut deployment = Deployment::with_arguments(&ON).await;
    let key = [LINES, ("Idempotency-Key", "one")];
    let body = lines(&[json!({ "eventType": "a" }), json!({ "eventType": "b" })]);
    deployment.nats.stop();
    let answer = deployment.post("a/1", &key, &body).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{answer:?}");
    let told = answer.json();
    assert_eq!(
        (&told["code"], &told["line"], &told["events"]),
        (&json!("UNAVAILABLE"), &json!(1), &json!([]))
    );
    assert!(told["error"].as_str().is_some_and(|error| error.contains("Idempotency-Key")));
    assert_eq!(told["idempotencyKey"], "one");
    deployment.nats.restart().await;
    let stored = eventually("it is stored", async || {
        let answer = deployment.post("a/1", &key, &body).await;
        (answer.status == 201).then_some(answer)
    })
    .await;
    let again = deployment.post("a/1", &key, &body).await;
    assert_eq!(stored.json()["events"][0]["duplicate"], false, "nothing was sent late by itself");
    assert_eq!(ids_of(&stored), ids_of(&again));
    assert_eq!(deployment.stored().await, 2);
}

#[tokio::test]
async fn what_the_stream_refuses_is_told_without_its_reasons() {
    let definition = async_nats::jetstream::stream::Config {
        max_message_size: 1_000,
        ..crate::harness::publisher::job_stream()
    };
    let deployment = Backend::with_stream(definition).await.deploy(&ON).await;
    let large = json!({ "eventType": "b", "data": { "x": "x".repeat(2_000) } });
    let body = lines(&[json!({ "eventType": "a" }), large, json!({ "eventType": "c" })]);
    let answer = deployment.post("a/1", &[LINES], &body).await;
    assert_eq!(answer.status, 502, "{answer:?}");
    let told = answer.json();
    assert_eq!((&told["code"], &told["line"]), (&json!("REFUSED_BY_STREAM"), &json!(2)));
    assert_eq!(told["events"].as_array().map(Vec::len), Some(1), "the line before it: {told}");
    assert_eq!(deployment.stored().await, 1, "nothing after it");
    assert_eq!(deployment.gateway.times_logged("could not be published"), 1);
}

#[tokio::test]
async fn the_subjects_of_the_stream_are_those_of_its_configuration() {
    let backend = Backend::for_foreign_streams().await;
    let orders = async_nats::jetstream::stream::Config {
        name: "ORDERS".into(),
        subjects: vec!["orders.>".into()],
        allow_direct: true,
        ..Default::default()
    };
    backend.publisher.create_stream(orders).await;
    backend.publisher.create_stream(crate::harness::publisher::job_stream()).await;
    let deployment = backend
        .deploy_configured_with(
            "[[route]]\npath = \"/orders/{job}\"\ndialect = \"agent\"\nkind = \"orders\"\n\
             stream = \"ORDERS\"\nsubject = \"orders.{job}.evt.{type}\"\n",
            &ON,
        )
        .await;
    let answer = deployment.post("orders/17", &[JSON], r#"{"eventType":"shipped"}"#).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(deployment.stored().await, 0, "not in the stream of the others");
    let told = deployment.events("orders/17", "").await.event().await.expect("the event");
    assert_eq!((told.id, &*told.name), (answer.json()["id"].as_u64(), "shipped"));
}

#[tokio::test]
async fn other_methods_are_refused_with_those_that_there_are() {
    let deployment = Deployment::with_arguments(&ON).await;
    let address = deployment.gateway.address;
    for (path, allow) in [
        ("/api/v1/jobs/a/1/events", "GET, HEAD, OPTIONS, POST"),
        ("/api/v1/jobs/a/1", "GET, HEAD, OPTIONS"),
        ("/api/v1/jobs", "GET, HEAD, OPTIONS"),
    ] {
        let request = format!(
            "PUT {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        let answer = exchange(address, &request).await;
        assert_eq!((answer.status, answer.header("allow")), (405, allow), "{path}");
    }
}

#[tokio::test]
async fn the_trace_of_a_request_goes_with_its_events() {
    let deployment = Deployment::with_arguments(&ON).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [JSON, ("traceparent", trace), ("tracestate", "a=b")];
    let id = deployment.post("a/1", &headers, r#"{"eventType":"a"}"#).await.json()["id"].clone();
    let stored = deployment.publisher.headers_of(id.as_u64().expect("an id")).await;
    let stored = |name: &str| stored.get(name).map(|value| value.as_str().to_owned());
    assert_eq!(stored("traceparent").as_deref(), Some(trace));
    assert_eq!(stored("tracestate").as_deref(), Some("a=b"));
    let long = "x".repeat(600);
    let headers = [JSON, ("traceparent", &*long)];
    assert_eq!(deployment.post("a/1", &headers, r#"{"eventType":"a"}"#).await.status, 201);
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let deployment = Deployment::with_arguments(&ON).await;
    let address = deployment.gateway.address;
    let body = r#"{"eventType":"a"}"#;
    let head = format!(
        "POST /api/v1/jobs/a/1/events HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nExpect: 100-continue\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("a head is sent");
    let mut told = [0; 25];
    within("an answer", stream.read_exact(&mut told)).await.expect("an answer");
    assert_eq!(String::from_utf8_lossy(&told), "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.expect("a body is sent");
    let mut rest = String::new();
    within("the rest", stream.read_to_string(&mut rest)).await.expect("an answer");
    assert!(rest.starts_with("HTTP/1.1 201"), "{rest}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up_and_nobody_else_waits_for_it() {
    let deployment = Deployment::with_arguments(&ON).await;
    let address = deployment.gateway.address;
    let head = format!(
        "POST /api/v1/jobs/a/1/events HTTP/1.1\r\nHost: {address}\r\nContent-Length: 4000000\r\n\
         Content-Type: application/json\r\n\r\n"
    );
    // What is only announced takes no room.
    let mut waiting = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(head.as_bytes()).await.expect("a head is sent");
        waiting.push(stream);
    }
    assert_eq!(deployment.post("a/1", &[JSON], r#"{"eventType":"a"}"#).await.status, 201);
    // Seventeen that are nearly there are more than all the room.
    for stream in &mut waiting[..17] {
        let body = vec![b' '; 3_990_000];
        within("a body is sent", stream.write_all(&body)).await.expect("a body is sent");
    }
    eventually("there is no more room", async || {
        let answer = deployment.post("a/1", &[LINES], &" ".repeat(3 << 20)).await;
        (answer.status == 503 && answer.json()["code"] == "LIMIT").then_some(())
    })
    .await;
    let mut answer = String::new();
    let limit = Duration::from_secs(45);
    let reading = waiting[39].read_to_string(&mut answer);
    tokio::time::timeout(limit, reading).await.expect("given up").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    drop(waiting);
    eventually("there is room again", async || {
        let answer = deployment.post("a/1", &[JSON], r#"{"eventType":"a"}"#).await;
        (answer.status == 201).then_some(())
    })
    .await;
}
