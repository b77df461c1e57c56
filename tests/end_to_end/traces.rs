//! Traces, as a collector gets them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::collector::Collector;
use crate::harness::deployment::{Backend, Deployment};
use crate::harness::gateway::GatewayCommand;
use crate::harness::issuer::{bearer, token, watching};
use crate::harness::nats::User;
use crate::harness::plain_http::{exchange, request};
use crate::harness::raw_client::RawClient;
use crate::harness::{PATIENCE, eventually, issuer};

/// What a client's own tracing sends along.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn traceparent() -> String {
    format!("00-{TRACE}-{SPAN}-01")
}

/// A gateway whose spans go to a collector.
async fn traced(backend: Backend, collector: &Collector, arguments: &[&str]) -> Deployment {
    let mut command = backend.gateway_command(arguments);
    for (name, value) in collector.environment() {
        command = command.with_environment(name, &value);
    }
    let gateway = command
        .with_environment("OTEL_SERVICE_NAME", "gateway-of-a-test")
        .with_environment("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
        .with_environment("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=seven")
        .start()
        .await;
    Deployment { gateway, publisher: backend.publisher, nats: backend.nats }
}

#[tokio::test]
async fn a_clients_trace_goes_on_from_its_upgrade_to_the_pages_of_its_history() {
    let collector = Collector::start().await;
    let backend = Backend::start().await;
    backend.publisher.publish_padded("old", 0..20, 20_000).await;
    backend.publisher.publish_other_jobs(8 << 20).await;
    let deployment = traced(backend, &collector, &["--window", "4MiB"]).await;
    let parent = traceparent();
    let address = deployment.gateway.address;
    let fields = [("traceparent", parent.as_str())];
    let mut client = RawClient::with_fields(address, "/ws/optimization", &fields).await;
    client.say(r#"{"type":"subscribe","jobId":"old","afterEventId":0}"#).await;
    assert_eq!(client.message().await["type"], "subscribed");

    let upgrade = collector.span("upgrade").await;
    let subscribe = collector.span("subscribe").await;
    let page = collector.span("catch_up").await;
    assert_eq!((&*upgrade.trace, &*upgrade.parent), (TRACE, SPAN));
    assert_eq!((&*subscribe.trace, &subscribe.parent), (TRACE, &upgrade.id));
    assert_eq!((&*page.trace, &page.parent), (TRACE, &subscribe.id));
    assert_eq!(upgrade.attributes["http.response.status_code"], "101");
    assert_eq!(subscribe.attributes["jobwire.job.id"], "old");
    assert!(page.attributes["jobwire.page.events"].parse::<u64>().expect("a number") > 0);
    assert_eq!(upgrade.resource["service.name"], "gateway-of-a-test");
    assert_eq!(upgrade.resource["deployment.environment"], "test");
    let heads = collector.heads();
    assert!(heads.iter().all(|head| head.starts_with("/v1/traces ")), "{heads:?}");
    assert!(heads.iter().all(|head| head.contains(r#""x-tenant": "seven""#)), "{heads:?}");
}

#[tokio::test]
async fn no_span_lasts_while_a_connection_does_and_deliveries_have_none() {
    let collector = Collector::start().await;
    let deployment = traced(Backend::start().await, &collector, &[]).await;
    deployment.publisher.publish_numbered("job", 0..1).await;
    let connected = Instant::now();
    let mut client = deployment.client().await;
    client.subscribed("job", 0).await;
    deployment.publisher.publish_numbered("job", 1..200).await;
    collector.span("upgrade").await;
    collector.span("subscribe").await;
    let stayed = connected.elapsed();
    drop(client);
    let gone = async || (deployment.metric("jobwire_connections").await == 0.0).then_some(());
    eventually("the client is gone", gone).await;
    let mut deployment = deployment;
    deployment.gateway.terminate();
    deployment.gateway.exit(PATIENCE).await;
    assert!(collector.spans().iter().all(|span| span.took < stayed), "{stayed:?}");
    let mut names: Vec<String> = collector.spans().into_iter().map(|span| span.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["subscribe", "upgrade"]);
}

#[tokio::test]
async fn an_event_that_is_published_carries_the_span_of_its_publishing() {
    let collector = Collector::start().await;
    let deployment = traced(Backend::start().await, &collector, &["--publish"]).await;
    let body = r#"{"eventType":"job_started"}"#;
    let (parent, length) = (traceparent(), body.len().to_string());
    let headers = [
        ("content-type", "application/json"),
        ("content-length", &*length),
        ("traceparent", &*parent),
    ];
    let address = deployment.gateway.address;
    let head = request(address, "/api/v1/jobs/training/1/events", &headers);
    let answer = exchange(address, &format!("{}{body}", head.replacen("GET", "POST", 1))).await;
    let id = answer.json()["id"].as_u64().expect("an id");
    let span = collector.span("publish").await;
    assert_eq!((&*span.trace, &*span.parent), (TRACE, SPAN));
    assert_eq!(span.attributes["jobwire.event.id"], id.to_string());
    let stored = deployment.publisher.headers_of(id).await;
    let stored = stored.get("traceparent").expect("a trace context").as_str();
    assert_eq!(stored, format!("00-{TRACE}-{}-01", span.id));
}

#[tokio::test]
async fn the_events_of_a_demo_carry_their_traces() {
    let collector = Collector::start().await;
    let backend = Backend::start().await;
    let words = ["demo", "--seconds", "1", "--quiet", "--nats-url", &backend.nats.url()];
    let mut command = GatewayCommand::other(&words).of_user(User::STAGE);
    for (name, value) in collector.environment() {
        command = command.with_environment(name, &value);
    }
    let outcome = command.with_environment("JOBWIRE_STREAM", "JOBS").run().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let stored = backend.publisher.headers_of(1).await;
    let stored = stored.get("traceparent").expect("a trace context").as_str().to_owned();
    let spans = collector.spans();
    let own = |span: &crate::harness::collector::Collected| stored.contains(&span.id);
    assert!(spans.iter().any(|span| own(span) && span.name == "publish"), "{stored} {spans:?}");
    assert_eq!(spans[0].resource["service.name"], "jobwire");
}

#[tokio::test]
async fn the_last_spans_leave_before_the_process_does() {
    let collector = Collector::start().await;
    let backend = Backend::start().await;
    let mut command = backend.gateway_command(&["--drain", "100ms"]);
    for (name, value) in collector.environment() {
        command = command.with_environment(name, &value);
    }
    let mut gateway = command.with_environment("OTEL_BSP_SCHEDULE_DELAY", "600000").start().await;
    RawClient::connect(gateway.address, "/ws/optimization").await.leave().await;
    gateway.terminate();
    assert_eq!(gateway.exit(PATIENCE).await.code(), Some(0));
    assert!(collector.spans().iter().any(|span| span.name == "upgrade"));
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_up_nobody() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    let backend = Backend::start().await;
    let command = backend.gateway_command(&["--drain", "100ms"]);
    let mut gateway =
        command.with_environment("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).start().await;
    RawClient::connect(gateway.address, "/ws/optimization").await.leave().await;
    gateway.terminate();
    let told = Instant::now();
    assert_eq!(gateway.exit(PATIENCE).await.code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(9), "{:?}", told.elapsed());
    assert_eq!(gateway.times_logged("the last spans are lost"), 1);
}

#[tokio::test]
async fn nothing_is_sent_where_the_sdk_is_disabled_and_grpc_is_refused() {
    let collector = Collector::start().await;
    let backend = Backend::start().await;
    let [(name, endpoint), _] = collector.environment();
    let command = backend.gateway_command(&["--drain", "100ms"]).with_environment(name, &endpoint);
    let mut gateway = command.clone().with_environment("OTEL_SDK_DISABLED", "true").start().await;
    RawClient::connect(gateway.address, "/ws/optimization").await.leave().await;
    gateway.terminate();
    gateway.exit(PATIENCE).await;
    assert!(collector.heads().is_empty());

    let refused = command.with_environment("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc").run().await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("http/protobuf"), "{refused:?}");
}

#[tokio::test]
async fn no_token_is_in_a_span_nor_in_a_log_line() {
    let collector = Collector::start().await;
    let [first, second] = collector.environment();
    let environment = [(first.0, first.1.as_str()), (second.0, second.1.as_str())];
    let all = [environment.as_slice(), &[("JOBWIRE_LOG", "trace")]].concat();
    let deployment = issuer::guarded_in("", &[], &all).await;
    let token = token(&watching(&["training/7"]));
    let address = deployment.gateway.address;
    let path = format!("/api/v1/training-jobs/7/ws?token={token}");
    let client = RawClient::connect(address, &path).await;
    let authorization = bearer(&token);
    let headers = [("Authorization", authorization.as_str())];
    exchange(address, &request(address, "/api/v1/jobs/training/7", &headers)).await;
    let bad = format!("/api/v1/training-jobs/7/ws?token={token}x");
    let _ = RawClient::try_connect(address, &bad).await;
    collector.span("upgrade").await;
    drop(client);
    let signature = token.rsplit('.').next().expect("a signature");
    let spans = format!("{:?}", collector.spans());
    assert!(!spans.contains(signature), "{spans}");
    assert_eq!(deployment.gateway.times_logged(signature), 0);
}

#[tokio::test]
async fn a_watcher_is_told_the_trace_of_an_event_wherever_it_is_read_from() {
    let deployment = Deployment::with_arguments(&["--window", "4MiB"]).await;
    let publisher = &deployment.publisher;
    publisher.publish_numbered("job", 0..1).await;
    let mut follower = deployment.client().await;
    follower.subscribed("job", 0).await;
    follower.expect("replay").await;

    let publish = async |trace: &str| {
        publisher.publish_traced("optimization/job", "progress", &json!({}), trace).await
    };
    let traced = publish(&traceparent()).await;
    let untrue = publish("00-\"-not-a-trace").await;
    let live = follower.expect("event").await;
    assert_eq!(live["event"]["traceparent"], traceparent());
    assert!(follower.expect("event").await["event"].get("traceparent").is_none());

    for place in ["the window", "the stream"] {
        let transcript = deployment.client().await.collect_until("job", 0, untrue).await;
        let told: Vec<_> = transcript.events.iter().map(|event| event.get("traceparent")).collect();
        assert_eq!(told, [None, Some(&traceparent().into()), None], "from {place}");
        assert_eq!(transcript.ids()[1], traced, "from {place}");
        publisher.publish_other_jobs(22 << 20).await;
    }
}
