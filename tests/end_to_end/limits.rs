//! What one client may take of a gateway: over each limit there is a clear refusal, which is
//! counted, and nobody else notices.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::client::{PATH, id_of, subscribe_request};
use crate::harness::deployment::Deployment;
use crate::harness::issuer::{bearer, guarded_with, now, token};
use crate::harness::plain_http::{Response, exchange, request};
use crate::harness::raw_client::{Heard, RawClient};
use crate::harness::{eventually, within_time};

/// Where proxies tell whom they speak for.
const FORWARDED: &str = "X-Forwarded-For";

/// When slow headers and idle connections must be gone, with patience.
const CUT: Duration = Duration::from_secs(13);

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_fits_when_another_has_left() {
    let deployment = Deployment::with_arguments(&["--max-connections", "2"]).await;
    deployment.tell("optimization/job", &[("note", json!({}))]).await;
    let (first, second) = (watching(&deployment, &[]).await, watching(&deployment, &[]).await);
    assert_refused(&deployment, &[]).await;
    assert_limit(&events(&deployment, &[]).await, 503);
    assert_eq!(refusals(&deployment, "connections").await, 2.0);

    first.leave().await;
    let third = admitted(&deployment, &[]).await;
    assert_all_hear(&deployment, [second, third]).await;
}

#[tokio::test]
async fn an_address_behind_a_trusted_proxy_has_connections_of_its_own() {
    let arguments = ["--max-connections-per-address", "2", "--trusted-proxies", "127.0.0.0/8"];
    let deployment = Deployment::with_arguments(&arguments).await;
    deployment.tell("optimization/job", &[("note", json!({}))]).await;
    let ann = [(FORWARDED, "198.51.100.1, 192.0.2.1, 127.0.0.9")];
    let bob = [(FORWARDED, "192.0.2.2")];
    let (first, second) = (watching(&deployment, &ann).await, watching(&deployment, &ann).await);
    assert_refused(&deployment, &ann).await;
    assert_limit(&events(&deployment, &ann).await, 503);
    assert_eq!(refusals(&deployment, "address").await, 2.0);

    let other = watching(&deployment, &bob).await;
    first.leave().await;
    let third = admitted(&deployment, &ann).await;
    assert_all_hear(&deployment, [second, third, other]).await;
}

#[tokio::test]
async fn nobody_gets_another_address_by_saying_so() {
    let deployment = Deployment::with_arguments(&["--max-connections-per-address", "1"]).await;
    deployment.tell("optimization/job", &[("note", json!({}))]).await;
    let first = watching(&deployment, &[(FORWARDED, "192.0.2.1")]).await;
    assert_refused(&deployment, &[(FORWARDED, "192.0.2.2")]).await;
    assert_all_hear(&deployment, [first]).await;
}

#[tokio::test]
async fn who_connects_once_a_second_is_never_refused_and_who_does_at_once_soon_is() {
    let deployment = Deployment::with_arguments(&["--max-connects-per-address", "1"]).await;
    deployment.tell("optimization/job", &[("note", json!({}))]).await;
    let end = deployment.tell("optimization/over", &[("job_completed", json!({}))]).await[0];
    // Whoever knows the end of a job gets no stream of it, but needs a place to learn so.
    let over = format!("/api/v1/jobs/optimization/over/events?after={end}");
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..6 {
        seconds.tick().await;
        watching(&deployment, &[]).await.leave().await;
    }

    let held = eventually("there is a place", async || try_watch(&deployment, &[]).await).await;
    let refused = async || try_watch(&deployment, &[]).await.is_none().then_some(());
    eventually("it is too often", refused).await;
    let answer = eventually("it is too often for a stream", async || {
        let answer = get(&deployment, &over, &[]).await;
        (answer.status != 204).then_some(answer)
    });
    assert_limit(&answer.await, 429);
    assert!(refusals(&deployment, "address_rate").await >= 2.0);
    assert_all_hear(&deployment, [held]).await;
}

#[tokio::test]
async fn tokens_of_one_subject_share_their_connections() {
    let deployment = guarded_with("", &["--max-connections-per-subject", "1"]).await;
    deployment.publisher.publish("job", "note", &json!({})).await;
    let claims = json!({
        "iss": "https://issuer.test", "aud": "jobwire", "exp": now() + 600, "watch": ["*/*"],
    });
    let of = |subject: &str| {
        let mut claims = claims.clone();
        claims["sub"] = subject.into();
        bearer(&token(&claims))
    };
    let (ann, bob, nobody) = (of("ann"), of("bob"), bearer(&token(&claims)));
    let first = watching(&deployment, &[("Authorization", &ann)]).await;
    // Another token, but the same subject.
    let again = of("ann");
    assert_refused(&deployment, &[("Authorization", &again)]).await;
    assert_limit(&events(&deployment, &[("Authorization", &ann)]).await, 503);
    assert_eq!(refusals(&deployment, "subject").await, 2.0);

    let other = watching(&deployment, &[("Authorization", &bob)]).await;
    let mut nameless = Vec::new();
    for _ in 0..2 {
        nameless.push(watching(&deployment, &[("Authorization", &nobody)]).await);
    }
    assert_all_hear(&deployment, nameless.into_iter().chain([first, other])).await;
}

#[tokio::test]
async fn a_flood_of_messages_or_pings_ends_its_connection_with_1013() {
    let deployment = Deployment::start().await;
    deployment.tell("optimization/job", &[("note", json!({}))]).await;
    let bystander = watching(&deployment, &[]).await;
    let messages =
        [Message::text(r#"{"type":"ping"}"#), Message::Ping("x".into()), Message::text("")];
    for (count, message) in (1u8..).zip(messages) {
        let mut client = deployment.client().await;
        for _ in 0..6_000 {
            client.send_unwelcome(message.clone()).await;
        }
        let (code, reason) = client.closed().await;
        assert_eq!((code, reason.is_empty()), (1013, false), "{message:?}");
        assert_eq!(refusals(&deployment, "message_rate").await, f64::from(count));
    }
    assert_all_hear(&deployment, [bystander]).await;
}

#[tokio::test]
async fn a_client_that_leaves_a_thousand_jobs_and_watches_others_at_once_is_no_flood() {
    let deployment = Deployment::start().await;
    let jobs: Vec<String> = (0..1_000).map(|number| format!("job-{number}")).collect();
    let published = jobs.iter().map(|job| (job.clone(), 0)).collect();
    let last = deployment.publisher.publish_all(published, "").await.last().unwrap().id;
    deployment.lists("optimization/job-999", last).await;
    let leave = |job: &String| json!({ "type": "unsubscribe", "jobId": job });
    let requests =
        jobs.iter().map(leave).chain(jobs.iter().map(|job| subscribe_request(job, None)));
    let mut client = deployment.client().await;
    let mut subscribed = 0;
    let mut hear = |message: serde_json::Value| match message["type"].as_str() {
        Some("subscribed") => subscribed += 1,
        other => assert_eq!(other, Some("unsubscribed"), "{message}"),
    };
    client.send_all(requests, &mut hear).await;
    for _ in 0..2_000 {
        if subscribed == 1_000 {
            break;
        }
        let message = client.next_message().await;
        subscribed += usize::from(message["type"] == "subscribed");
    }
    assert_eq!(subscribed, 1_000);
    let id = deployment.publisher.publish("job-500", "note", &json!({})).await;
    assert_eq!(id_of(&client.expect("event").await["event"]), id);
}

#[tokio::test]
async fn connections_that_ask_for_nothing_are_bounded_too_and_cost_nobody_a_socket() {
    let deployment = Deployment::with_arguments(&["--max-connections", "1"]).await;
    deployment.tell("optimization/job", &[("note", json!({}))]).await;
    let watcher = watching(&deployment, &[]).await;
    let mut idle = Vec::new();
    let refused = eventually("there is no room for more", async || {
        let address = deployment.gateway.address;
        idle.push(TcpStream::connect(address).await.expect("a connection that is not served"));
        let answer = deployment.gateway.public_get("/").await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_limit(&refused, 503);
    assert!(idle.len() >= 32, "only {} idle connections", idle.len());
    assert!(refusals(&deployment, "connections").await >= 1.0);

    idle.clear();
    let fits = async || (deployment.gateway.public_get("/").await.status == 200).then_some(());
    eventually("there is room again", fits).await;
    assert_all_hear(&deployment, [watcher]).await;
}

#[tokio::test]
async fn headers_that_come_too_slowly_are_counted_but_a_connection_that_is_no_longer_used_is_not() {
    let deployment = Deployment::start().await;
    let address = deployment.gateway.address;
    let idle = async {
        let mut idle = BufReader::new(TcpStream::connect(address).await.expect("a connection"));
        let asked = request(address, "/favicon.svg", &[("Connection", "keep-alive")]);
        idle.write_all(asked.as_bytes()).await.expect("a request is sent");
        let mut status = String::new();
        idle.read_line(&mut status).await.expect("an answer");
        assert!(status.contains(" 200 "), "{status}");
        let kept = Instant::now();
        idle.read_to_end(&mut Vec::new()).await.expect("a proper end");
        kept.elapsed()
    };
    let slow = async {
        let slow = TcpStream::connect(address).await.expect("a connection");
        let (mut reader, mut writer) = slow.into_split();
        let begun = Instant::now();
        let dripping = tokio::spawn(async move {
            for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: xxxxxxxxxxxxxxxx".iter() {
                if writer.write_all(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        // A clean end or a reset.
        let _ = reader.read_to_end(&mut Vec::new()).await;
        dripping.abort();
        begun.elapsed()
    };
    let cutting = async { tokio::join!(idle, slow) };
    let (idle, slow) = within_time(CUT, "both are cut", cutting).await;
    let least = Duration::from_secs(8);
    assert!(idle > least && slow > least, "cut after {idle:?} and {slow:?}");
    assert_eq!(refusals(&deployment, "header_time").await, 1.0);
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused_with_431_and_counted() {
    let deployment = Deployment::start().await;
    let large = "x".repeat(17 << 10);
    let large = request(deployment.gateway.address, "/", &[("X-Large", &large)]);
    assert_eq!(exchange(deployment.gateway.address, &large).await.status, 431);
    let counted = async || (refusals(&deployment, "header_size").await == 1.0).then_some(());
    eventually("it is counted", counted).await;
}

#[tokio::test]
async fn what_a_client_may_not_do_is_counted_by_reason() {
    let arguments = ["--max-subscriptions", "1", "--allowed-origins", "https://app.example.com"];
    let deployment = guarded_with("default_watch = [\"optimization/*\"]", &arguments).await;
    let claims = json!({ "iss": "https://issuer.test", "aud": "jobwire", "exp": now() + 600 });
    let token = bearer(&token(&claims));
    let fields = [("Authorization", token.as_str())];
    deployment.publisher.publish("job", "note", &json!({})).await;

    let mut client = watching(&deployment, &fields).await;
    client.say(r#"{"type":"subscribe","jobId":"other"}"#).await;
    assert_eq!(client.message().await["code"], "LIMIT");
    client.say(r#"{"type":"subscribe","jobId":"job","kind":"agent"}"#).await;
    assert_eq!(client.message().await["code"], "FORBIDDEN");
    client.say("x".repeat(65 << 10)).await;
    assert_eq!(client.closed().await.0, 1009);
    let answer = get(&deployment, "/api/v1/jobs/agent/job", &fields).await;
    assert_eq!((answer.status, &answer.json()["code"]), (403, &json!("FORBIDDEN")));
    let stranger = [("Origin", "https://evil.example.com")];
    assert_eq!(get(&deployment, "/api/v1/jobs", &stranger).await.status, 403);

    for (reason, count) in
        [("subscriptions", 1.0), ("forbidden", 2.0), ("message_size", 1.0), ("origin", 1.0)]
    {
        assert_eq!(refusals(&deployment, reason).await, count, "{reason}");
    }
}

#[tokio::test]
async fn a_job_with_all_its_watchers_counts_whom_it_refuses() {
    let deployment = Deployment::configured(
        r#"
        [[route]]
        path = "/watch/{job}"
        dialect = "agent"
        max_connections_per_job = 1
        "#,
    )
    .await;
    let mut first = deployment.raw_client("/watch/1").await;
    first.message().await;
    assert_eq!(deployment.raw_client("/watch/1").await.closed().await.0, 1013);
    assert_eq!(refusals(&deployment, "job").await, 1.0);
    first.hears_nothing().await;
}

/// A client that watches the job, from a place of its own.
async fn watching(deployment: &Deployment, fields: &[(&str, &str)]) -> RawClient {
    try_watch(deployment, fields).await.expect("a place")
}

/// The same once there is a place.
async fn admitted(deployment: &Deployment, fields: &[(&str, &str)]) -> RawClient {
    eventually("there is a place", async || try_watch(deployment, fields).await).await
}

/// The same; `None` if it is refused as the contract says.
async fn try_watch(deployment: &Deployment, fields: &[(&str, &str)]) -> Option<RawClient> {
    let mut client = RawClient::with_fields(deployment.gateway.address, PATH, fields).await;
    client.say(r#"{"type":"subscribe","jobId":"job"}"#).await;
    match client.hear().await {
        Heard::Message(message) => {
            assert_eq!(message["type"], "subscribed", "{message}");
            Some(client)
        }
        Heard::Closed(code, reason) => {
            assert_eq!((code, reason.is_empty()), (1013, false), "a limit is told with a reason");
            None
        }
    }
}

async fn assert_refused(deployment: &Deployment, fields: &[(&str, &str)]) {
    assert!(try_watch(deployment, fields).await.is_none(), "one more than allowed");
}

/// The answer to who asks for a stream of the job and does not get it.
async fn events(deployment: &Deployment, fields: &[(&str, &str)]) -> Response {
    get(deployment, "/api/v1/jobs/optimization/job/events", fields).await
}

async fn get(deployment: &Deployment, path: &str, fields: &[(&str, &str)]) -> Response {
    let address = deployment.gateway.address;
    exchange(address, &request(address, path, fields)).await
}

/// An answer that tells of a limit.
fn assert_limit(answer: &Response, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0));
    let body = answer.json();
    assert_eq!(body["code"], "LIMIT", "{body}");
    assert!(body["error"].as_str().is_some_and(|sentence| !sentence.is_empty()), "{body}");
}

/// Every client hears the job's next event, and nothing before it.
async fn assert_all_hear(deployment: &Deployment, clients: impl IntoIterator<Item = RawClient>) {
    let id = deployment.publisher.publish("job", "note", &json!({})).await;
    for mut client in clients {
        assert_eq!(id_of(&client.message().await["event"]), id);
    }
}

async fn refusals(deployment: &Deployment, reason: &str) -> f64 {
    deployment.metric(&format!("jobwire_refusals_total{{reason=\"{reason}\"}}")).await
}
