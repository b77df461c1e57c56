//! Whose pages may use the gateway: what a browser is allowed, and what it lets a script read.

use serde_json::{Value, json};

use crate::harness::deployment::{Backend, Deployment};
use crate::harness::event_reader::EventReader;
use crate::harness::gateway::GatewayCommand;
use crate::harness::plain_http::{Response, exchange, request};

/// A page that the gateway was told about, one of a family that it was told about, and another.
const APP: &str = "https://app.example.com";
const FAMILY: &str = "http://one.example.net:3000";
const EVIL: &str = "https://app.example.com.evil.org";

const ALLOWED: &str = "--allowed-origins=https://app.example.com,http://*.example.net:3000";

const EVENTS: &str = "/api/v1/jobs/optimization/job/events";

/// Where WebSockets are: one path at least for each dialect.
const WEBSOCKETS: [&str; 5] = [
    "/",
    "/ws/optimization",
    "/api/v1/training-jobs/job/ws",
    "/api/v1/training-jobs/job/stream",
    "/ws/agent-progress/job",
];

#[tokio::test]
async fn an_upgrade_is_refused_to_pages_of_other_origins_and_to_nobody_else() {
    let deployment = Deployment::with_arguments(&[ALLOWED]).await;
    let own = format!("http://{}", deployment.gateway.address);
    for path in WEBSOCKETS {
        for origin in [APP, FAMILY, &own] {
            let answer = upgrade(&deployment, path, &[("Origin", origin)]).await;
            assert_eq!(answer.status, 101, "{path} {origin}: {answer:?}");
        }
        assert_eq!(upgrade(&deployment, path, &[]).await.status, 101, "{path}: no browser");
        for origin in [EVIL, "null", "http://one.example.net", "", "nonsense"] {
            assert_forbidden(&upgrade(&deployment, path, &[("Origin", origin)]).await);
        }
        let two = [("Origin", APP), ("Origin", APP)];
        assert_forbidden(&upgrade(&deployment, path, &two).await);
    }
}

#[tokio::test]
async fn without_a_list_only_the_gateways_own_pages_may_use_it() {
    let deployment = Deployment::start().await;
    let own = format!("http://{}", deployment.gateway.address);
    let ended_before_us = format!("https://{}", deployment.gateway.address);
    for origin in [&own, &ended_before_us] {
        let answer = upgrade(&deployment, "/ws/optimization", &[("Origin", origin)]).await;
        assert_eq!(answer.status, 101, "{origin}: {answer:?}");
        assert_readable(&get(&deployment, "/api/v1/jobs", origin).await, origin);
    }
    for origin in ["http://127.0.0.1", "http://localhost:3000", "null"] {
        assert_forbidden(&get(&deployment, "/api/v1/jobs", origin).await);
    }
}

#[tokio::test]
async fn every_resource_is_refused_to_pages_of_other_origins() {
    let deployment = Deployment::with_arguments(&[ALLOWED]).await;
    for path in ["/", "/page.js", "/api/v1/jobs", EVENTS, "/ws/optimization", "/no/such"] {
        for method in ["GET", "POST", "OPTIONS", "DELETE"] {
            let answer = send(&deployment, method, path, &[("Origin", EVIL)]).await;
            assert_eq!(answer.status, 403, "{method} {path}: {answer:?}");
        }
        assert_forbidden(&get(&deployment, path, EVIL).await);
    }
}

#[tokio::test]
async fn a_script_of_an_allowed_origin_reads_lists_events_and_errors() {
    let deployment = Deployment::with_arguments(&[ALLOWED, "--job-grace=0s"]).await;
    let event = deployment.publisher.publish("job", "job_started", &json!({})).await;
    deployment.lists("optimization/job", event).await;
    for origin in [APP, FAMILY] {
        let list = get(&deployment, "/api/v1/jobs", origin).await;
        assert_eq!(list.status, 200);
        assert_readable(&list, origin);
        assert!(list.header("access-control-expose-headers").contains("retry-after"), "{list:?}");

        let address = deployment.gateway.address;
        let mut reader = EventReader::open(address, EVENTS, &[("Origin", origin)]).await;
        assert!(reader.head.contains(&format!("access-control-allow-origin: {origin}\r\n")));
        assert!(reader.head.contains("vary: origin, accept\r\n"), "{}", reader.head);
        assert_eq!(reader.ids(1).await, [event]);

        for (path, status) in [
            ("/no/such", 404),
            ("/ws/optimization", 426),
            ("/api/v1/jobs/optimization/unknown/events", 404),
            ("/api/v1/jobs/optimization/job/events?after=x", 400),
        ] {
            let error = get(&deployment, path, origin).await;
            assert_eq!(error.status, status, "{path}: {error:?}");
            assert_readable(&error, origin);
        }
    }
    let delete = send(&deployment, "DELETE", "/api/v1/jobs", &[("Origin", APP)]).await;
    assert_eq!(delete.status, 405);
    assert_readable(&delete, APP);
}

#[tokio::test]
async fn a_script_can_read_that_its_token_is_missing() {
    let secret = "0123456789abcdef0123456789abcdef";
    let command = Backend::start().await;
    let gateway = command
        .gateway_command(&[ALLOWED, "--auth-mode=jwt"])
        .with_environment("JOBWIRE_AUTH_SECRET", secret)
        .start()
        .await;
    for path in ["/api/v1/jobs", EVENTS] {
        let answer =
            exchange(gateway.address, &request(gateway.address, path, &[("Origin", APP)])).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert_readable(&answer, APP);
    }
    let asking = preflight(&[("Origin", APP)]);
    let text = request(gateway.address, EVENTS, &asking).replacen("GET", "OPTIONS", 1);
    assert_eq!(exchange(gateway.address, &text).await.status, 204, "a preflight has no token");
}

#[tokio::test]
async fn an_answer_to_nobodys_page_tells_caches_that_it_depends_on_the_origin() {
    let deployment = Deployment::start().await;
    for path in ["/api/v1/jobs", "/no/such", "/"] {
        let answer = send(&deployment, "GET", path, &[]).await;
        let varies = |(name, value): &(String, String)| name == "vary" && value == "origin, accept";
        assert!(answer.headers.iter().any(varies), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{answer:?}");
    }
}

#[tokio::test]
async fn a_preflight_tells_what_a_script_may_send() {
    let deployment = Deployment::with_arguments(&[ALLOWED]).await;
    for path in ["/api/v1/jobs", EVENTS, "/no/such"] {
        let answer = send(&deployment, "OPTIONS", path, &preflight(&[("Origin", APP)])).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_readable(&answer, APP);
        assert_eq!(answer.header("access-control-allow-methods"), "GET, HEAD, POST");
        let headers = "authorization, content-type, last-event-id, idempotency-key, traceparent, \
                       tracestate";
        assert_eq!(answer.header("access-control-allow-headers"), headers);
        assert_eq!(answer.header("access-control-max-age"), "600");
        assert_eq!(answer.header("access-control-allow-private-network"), "");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
    }
    let private = ("Access-Control-Request-Private-Network", "true");
    let answer =
        send(&deployment, "OPTIONS", EVENTS, &preflight(&[("Origin", APP), private])).await;
    assert_eq!(answer.header("access-control-allow-private-network"), "true");
    let refused =
        send(&deployment, "OPTIONS", EVENTS, &preflight(&[("Origin", EVIL), private])).await;
    assert_forbidden(&refused);
    assert_eq!(refused.header("access-control-allow-private-network"), "");
}

#[tokio::test]
async fn options_without_an_origin_are_the_methods_of_the_path() {
    let deployment = Deployment::start().await;
    for path in ["/", "/api/v1/jobs", "/ws/optimization"] {
        let answer = send(&deployment, "OPTIONS", path, &[]).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS", "{path}");
    }
    let answer = send(&deployment, "OPTIONS", "/api/v1/jobs/a/1/events", &[]).await;
    assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS, POST");
    assert_eq!(send(&deployment, "OPTIONS", "/no/such", &[]).await.status, 404);
}

#[tokio::test]
async fn any_origin_is_allowed_by_a_star_and_null_by_its_name() {
    let any = Deployment::with_arguments(&["--allowed-origins=*"]).await;
    for origin in [APP, EVIL, "null"] {
        assert_readable(&get(&any, "/api/v1/jobs", origin).await, origin);
    }
    let two = [("Origin", APP), ("Origin", EVIL)];
    assert_forbidden(&send(&any, "GET", "/api/v1/jobs", &two).await);

    let null = Deployment::with_arguments(&["--allowed-origins=null"]).await;
    assert_readable(&get(&null, "/api/v1/jobs", "null").await, "null");
    assert_forbidden(&get(&null, "/api/v1/jobs", APP).await);
}

#[tokio::test]
async fn a_refused_origin_is_logged_once_with_the_setting_and_many_are_not() {
    let deployment = Deployment::start().await;
    for _ in 0..3 {
        assert_forbidden(&get(&deployment, "/api/v1/jobs", APP).await);
    }
    assert_eq!(deployment.gateway.times_logged(APP), 1);
    assert_eq!(deployment.gateway.times_logged("allowed_origins"), 1);
    for number in 0..150 {
        let origin = format!("https://{number}.example.org");
        assert_forbidden(&get(&deployment, "/api/v1/jobs", &origin).await);
    }
    assert_eq!(deployment.gateway.times_logged("allowed_origins"), 100);
}

#[tokio::test]
async fn an_entry_that_is_no_origin_is_refused_at_the_start() {
    for entry in ["https://app.example.com/", "app.example.com", "https://*", ""] {
        let entries = format!("--allowed-origins={APP},{entry}");
        let outcome = GatewayCommand::bare(&[&entries]).run().await;
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        let told = format!("allowed_origins: {entry:?} is no origin");
        assert!(outcome.stderr.contains(&told), "{told}: {outcome:?}");
    }
}

/// What a browser asks before a request that a form could not send.
fn preflight<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let asking = [
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,content-type"),
    ];
    [&asking, more].concat()
}

async fn upgrade(deployment: &Deployment, path: &str, fields: &[(&str, &str)]) -> Response {
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    send(deployment, "GET", path, &[&upgrade, fields].concat()).await
}

async fn get(deployment: &Deployment, path: &str, origin: &str) -> Response {
    send(deployment, "GET", path, &[("Origin", origin)]).await
}

async fn send(
    deployment: &Deployment,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> Response {
    let address = deployment.gateway.address;
    let text = request(address, path, fields).replacen("GET", method, 1);
    exchange(address, &text).await
}

fn assert_readable(answer: &Response, origin: &str) {
    assert_eq!(answer.header("access-control-allow-origin"), origin, "{answer:?}");
    assert_eq!(answer.header("vary"), "origin, accept", "{answer:?}");
}

fn assert_forbidden(answer: &Response) {
    assert_eq!(answer.status, 403, "{answer:?}");
    let body: Value = answer.json();
    assert_eq!(body["code"], "ORIGIN_FORBIDDEN", "{answer:?}");
    assert!(body["error"].as_str().is_some_and(|sentence| !sentence.is_empty()), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), "", "{answer:?}");
    assert_eq!(answer.header("vary"), "origin, accept", "{answer:?}");
}
