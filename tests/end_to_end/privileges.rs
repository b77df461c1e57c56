//! What each user of NATS may do, by `nats/users.conf`; that it is enough, and what an operator is
//! told where it is not.

use std::process::{Output, Stdio};

use async_nats::Event;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::harness::deployment::Backend;
use crate::harness::event_reader::EventReader;
use crate::harness::gateway::{Gateway, GatewayCommand};
use crate::harness::nats::{NatsServer, User, binary};
use crate::harness::plain_http::exchange;
use crate::harness::publisher::{STREAM, job_stream};
use crate::harness::tls::Certificates;
use crate::harness::{eventually, free_address, within};

/// What a gateway publishes to.
const READING: [&str; 6] = [
    "$JS.API.STREAM.INFO.JOBS",
    "$JS.API.STREAM.MSG.GET.JOBS",
    "$JS.API.DIRECT.GET.JOBS",
    "$JS.API.CONSUMER.CREATE.JOBS.jobwire-tail-1.>",
    "$JS.API.CONSUMER.MSG.NEXT.JOBS.jobwire-tail-1",
    "$JS.API.CONSUMER.DELETE.JOBS.jobwire-tail-1",
];

/// What changes a stream, or tells of others.
const MANAGING: [&str; 13] = [
    "$JS.API.STREAM.DELETE.JOBS",
    "$JS.API.STREAM.PURGE.JOBS",
    "$JS.API.STREAM.MSG.DELETE.JOBS",
    "$JS.API.STREAM.SNAPSHOT.JOBS",
    "$JS.API.STREAM.RESTORE.JOBS",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.INFO.OTHER",
    "$JS.API.CONSUMER.NAMES.JOBS",
    "$JS.API.CONSUMER.LIST.JOBS",
    "$JS.API.CONSUMER.DURABLE.CREATE.JOBS.mine",
    "$JS.API.CONSUMER.CREATE.OTHER.jobwire-tail-1.>",
    "$JS.API.INFO",
];

const CHANGING: [&str; 2] = ["$JS.API.STREAM.CREATE.JOBS", "$JS.API.STREAM.UPDATE.JOBS"];
const EVENTS: [&str; 2] = ["jobs.training.1.progress", "jobs.optimization.1.progress"];
/// What is in the stream's subjects and is no event's.
const NO_EVENTS: [&str; 3] = ["jobs", "jobs.training.1", "jobs.training.1.progress.more"];

/// Everything, others' answers, and what the server tells of others.
const LISTENING: [&str; 7] = [
    ">",
    "jobs.>",
    "jobs.training.1.progress",
    "_INBOX_gateway.>",
    "_INBOX_operator.>",
    "$JS.EVENT.ADVISORY.>",
    "$JS.API.>",
];

#[tokio::test]
async fn a_gateway_reads_and_neither_writes_nor_manages() {
    let nats = NatsServer::start().await;
    let mut gateway = Probe::connect(&nats, User::GATEWAY).await;
    gateway.may_publish(&READING).await;
    gateway.may_not_publish(&[&EVENTS[..], &NO_EVENTS, &CHANGING, &MANAGING].concat()).await;
    gateway.may_subscribe(&["_INBOX_gateway.answer"]).await;
    let others = LISTENING.iter().filter(|subject| **subject != "_INBOX_gateway.>");
    gateway.may_not_subscribe(&others.copied().collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_publishing_gateway_also_writes_events_and_nothing_else() {
    let nats = NatsServer::start().await;
    let mut gateway = Probe::connect(&nats, User::PUBLISHING_GATEWAY).await;
    gateway.may_publish(&[&READING[..], &EVENTS].concat()).await;
    gateway.may_not_publish(&[&NO_EVENTS[..], &CHANGING, &MANAGING].concat()).await;
    gateway.may_subscribe(&["_INBOX_publishing_gateway.answer"]).await;
    gateway.may_not_subscribe(&LISTENING).await;
}

#[tokio::test]
async fn a_producer_writes_events_of_its_kind_and_reads_nothing() {
    let nats = NatsServer::start().await;
    let mut producer = Probe::connect(&nats, User::PRODUCER).await;
    producer.may_publish(&["jobs.training.1.progress"]).await;
    producer.may_not_publish(&["jobs.optimization.1.progress"]).await;
    producer.may_not_publish(&[&NO_EVENTS[..], &READING, &CHANGING, &MANAGING].concat()).await;
    producer.may_subscribe(&["_INBOX.answer"]).await;
    producer.may_not_subscribe(&LISTENING).await;
}

#[tokio::test]
async fn an_operator_defines_the_stream_and_can_neither_empty_nor_read_it() {
    let nats = NatsServer::start().await;
    let mut operator = Probe::connect(&nats, User::OPERATOR).await;
    operator.may_publish(&[&CHANGING[..], &["$JS.API.STREAM.INFO.JOBS"]].concat()).await;
    operator.may_not_publish(&[&EVENTS[..], &READING[1..], &MANAGING].concat()).await;
    operator.may_subscribe(&["_INBOX_operator.answer"]).await;
    let others = LISTENING.iter().filter(|subject| **subject != "_INBOX_operator.>");
    operator.may_not_subscribe(&others.copied().collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_producer_cannot_send_an_acknowledgement_into_another_job() {
    let backend = Backend::start().await;
    let producer = backend.nats.connect_as(User::PRODUCER).await;
    let stored = async || backend.publisher.stream_state().await.messages;
    for forged in ["jobs.optimization.9.completed", "jobs.training.9.completed"] {
        let event = "jobs.training.1.progress";
        producer.publish_with_reply(event, forged, "{}".into()).await.expect("sent");
    }
    // What was sent before is stored by the time that this one is acknowledged.
    let context = async_nats::jetstream::new(producer);
    let sent = context.publish("jobs.training.1.progress", "{}".into()).await.expect("sent");
    assert_eq!(sent.await.expect("acknowledged").sequence, 3);
    backend.publisher.publish("after", "progress", &json!({})).await;
    assert_eq!(stored().await, 4, "two events, the third, and the one after");
}

#[tokio::test]
async fn a_right_that_a_gateway_lacks_is_named_and_once_granted_it_is_ready() {
    for (right, told) in [
        ("$JS.API.STREAM.INFO.JOBS", "publish on $JS.API.STREAM.INFO.JOBS"),
        ("$JS.API.STREAM.MSG.GET.JOBS", "publish on $JS.API.STREAM.MSG.GET.JOBS"),
        ("$JS.API.DIRECT.GET.JOBS", "publish on $JS.API.DIRECT.GET.JOBS"),
        ("$JS.API.CONSUMER.CREATE.JOBS.*.>", "publish on $JS.API.CONSUMER.CREATE.JOBS.*.>"),
        ("$JS.API.CONSUMER.MSG.NEXT.JOBS.*", "publish on $JS.API.CONSUMER.MSG.NEXT.JOBS.*"),
        ("_INBOX_gateway.>", "subscribe on _INBOX_gateway.>, or nats.inbox_prefix"),
    ] {
        let nats = NatsServer::start_without(User::GATEWAY, right).await;
        let mut backend = Backend::of(nats).await;
        backend.publisher.create_stream(job_stream()).await;
        let mut gateway = backend.gateway_command(&[]).launch().await;
        gateway.expect_denials();
        let told_by_readyz = eventually(&format!("/readyz names {right}"), async || {
            let answer = gateway.readiness().await?;
            answer.body.contains(told).then_some(answer)
        })
        .await;
        assert_eq!(told_by_readyz.status, 503, "{told_by_readyz:?}");
        logged(&gateway, told).await;
        backend.nats.grant_everything_that_users_may();
        gateway.ready().await;
    }
}

#[tokio::test]
async fn a_gateway_that_may_not_delete_its_consumers_serves_and_says_so_once() {
    let right = "$JS.API.CONSUMER.DELETE.JOBS.*";
    let backend = Backend::of(NatsServer::start_without(User::GATEWAY, right).await).await;
    backend.publisher.create_stream(job_stream()).await;
    let id = backend.publisher.publish_of("training/1", "progress", &json!({})).await;
    let mut gateway = backend.gateway(&[]).await;
    gateway.expect_denials();
    for _ in 0..2 {
        // A list that begins in the stream, below the window, is read with a consumer.
        let list = gateway.public_get(&format!("/api/v1/jobs?cursor=o0-{id}")).await;
        assert_eq!(list.status, 200, "{list:?}");
    }
    logged(&gateway, right).await;
    assert_eq!(gateway.times_logged("CONSUMER.DELETE.JOBS.*"), 1);
}

#[tokio::test]
async fn a_gateway_that_may_not_publish_tells_its_log_why_and_its_producer_that_it_is_refused() {
    let backend = Backend::start().await;
    let command = backend.gateway_command(&["--publish"]).of_user(User::GATEWAY);
    let mut gateway = command.start().await;
    gateway.expect_denials();
    let body = r#"{"eventType":"progress"}"#;
    let answer = exchange(
        gateway.address,
        &format!(
            "POST /api/v1/jobs/training/1/events HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            gateway.address,
            body.len()
        ),
    )
    .await;
    assert_eq!((answer.status, &answer.json()["code"]), (502, &json!("REFUSED_BY_STREAM")));
    assert!(!answer.body.contains("NATS"), "{answer:?}");
    logged(&gateway, "could not be published").await;
    logged(&gateway, "publish on jobs.training.1.progress").await;
    assert_eq!(backend.publisher.stream_state().await.messages, 0);
}

#[tokio::test]
async fn what_a_command_may_not_do_is_named() {
    let backend = Backend::start().await;
    for (action, missing) in [
        ("apply", "publish on $JS.API.STREAM.INFO.JOBS"),
        ("verify", "publish on $JS.API.STREAM.INFO.JOBS"),
    ] {
        let output = stream_command(action, &backend.nats.url(), User::PRODUCER, &[]).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(missing), "{output:?}");
    }
    let other = [("JOBWIRE_STREAM", "OTHER".to_owned())];
    let output = stream_command("apply", &backend.nats.url(), User::OPERATOR, &other).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("publish on $JS.API.STREAM.INFO.OTHER"), "{told}");
}

#[tokio::test]
async fn with_the_example_of_a_server_everybody_can_do_their_work() {
    let server = ExampleServer::start();
    let tls = [("NATS_CA", server.authority())];
    let run = async |action| stream_command(action, &server.url, User::OPERATOR, &tls).await;
    eventually("the operator applies the stream", async || {
        let output = run("apply").await;
        output.status.success().then_some(())
    })
    .await;
    let verified = run("verify").await;
    assert!(verified.status.success(), "{verified:?}");

    let ca = server.authority();
    let command = |arguments: &[&str]| {
        GatewayCommand::in_front_of(&server.url, arguments).with_environment("NATS_CA", &ca)
    };
    let (reading, publishing) = (command(&[]).start().await, command(&["--publish"]).start().await);
    let options = User::PRODUCER.options().add_root_certificates(ca.clone().into());
    let connected = within("the producer connects", options.connect(&*server.url)).await;
    let context = async_nats::jetstream::new(connected.expect("a connection"));
    let sent = context.publish("jobs.training.1.progress", "{}".into()).await.expect("sent");
    assert_eq!(
        within("the event is stored", sent.into_future()).await.expect("stored").sequence,
        1
    );
    for gateway in [&reading, &publishing] {
        let path = "/api/v1/jobs/training/1/events";
        let mut events = EventReader::open(gateway.address, path, &[]).await;
        assert_eq!(events.ids(1).await, [1]);
    }
}

/// Waits until a gateway has logged something.
async fn logged(gateway: &Gateway, text: &str) {
    let times = async || (gateway.times_logged(text) > 0).then_some(());
    eventually(&format!("the log has {text}"), times).await;
}

/// A user who tries out what the server permits.
struct Probe {
    client: async_nats::Client,
    reports: mpsc::UnboundedReceiver<String>,
}

impl Probe {
    /// A subject that nobody may publish to.
    const DENIED: &str = "denied.to.everybody";

    async fn connect(nats: &NatsServer, user: User) -> Self {
        let (sender, reports) = mpsc::unbounded_channel();
        let options = user.options().event_callback(move |event| {
            if let Event::ServerError(error) = event {
                let _ = sender.send(error.to_string());
            }
            std::future::ready(())
        });
        let client = options.connect(nats.url()).await.expect("a connection");
        Self { client, reports }
    }

    async fn may_publish(&mut self, subjects: &[&str]) {
        for subject in subjects {
            assert!(self.publishes(subject).await, "may publish to {subject}");
        }
    }

    async fn may_not_publish(&mut self, subjects: &[&str]) {
        for subject in subjects {
            assert!(!self.publishes(subject).await, "may not publish to {subject}");
        }
    }

    async fn may_subscribe(&mut self, subjects: &[&str]) {
        for subject in subjects {
            assert!(self.subscribes(subject).await, "may subscribe to {subject}");
        }
    }

    async fn may_not_subscribe(&mut self, subjects: &[&str]) {
        for subject in subjects {
            assert!(!self.subscribes(subject).await, "may not subscribe to {subject}");
        }
    }

    async fn publishes(&mut self, subject: &str) -> bool {
        self.client.publish(subject.to_owned(), "".into()).await.expect("sent");
        self.is_permitted(&format!("Publish to \"{subject}\"")).await
    }

    async fn subscribes(&mut self, subject: &str) -> bool {
        let _messages = self.client.subscribe(subject.to_owned()).await.expect("sent");
        self.is_permitted(&format!("Subscription to \"{subject}\"")).await
    }

    /// The server reports in order: what it has not reported before it reports what is denied for
    /// certain was permitted.
    async fn is_permitted(&mut self, action: &str) -> bool {
        self.client.publish(Self::DENIED, "".into()).await.expect("sent");
        let mut is_permitted = true;
        loop {
            let report = within("the server reports", self.reports.recv()).await.expect("a report");
            if report.contains(Self::DENIED) {
                return is_permitted;
            }
            assert!(report.contains(action), "{report} instead of {action}");
            is_permitted = false;
        }
    }
}

/// `nats/server.conf` at work, with nothing changed but the addresses and the directory.
struct ExampleServer {
    url: String,
    directory: TempDir,
    _process: Child,
}

impl ExampleServer {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name| directory.path().join(name);
        let certificates = Certificates::new();
        let issued = certificates.issue();
        std::fs::write(path("ca.pem"), certificates.authority()).expect("a file");
        std::fs::write(path("tls.pem"), issued.certificate).expect("a file");
        std::fs::write(path("key.pem"), issued.key).expect("a file");
        let (address, monitoring) = (free_address(), free_address());
        let process = Command::new(binary())
            .args(["-c", concat!(env!("CARGO_MANIFEST_DIR"), "/nats/server.conf")])
            .args(["-a", "127.0.0.1", "-p", &address.port().to_string()])
            .args(["-m", &monitoring.port().to_string(), "-sd"])
            .arg(directory.path())
            .envs(User::passwords())
            .env("TLS_CERTIFICATE", path("tls.pem"))
            .env("TLS_KEY", path("key.pem"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the nats-server starts");
        Self { url: format!("tls://{address}"), directory, _process: process }
    }

    fn authority(&self) -> String {
        self.directory.path().join("ca.pem").to_str().expect("a path in UTF-8").to_owned()
    }
}

/// Runs `jobwire stream apply` or `verify`.
async fn stream_command(
    action: &str,
    url: &str,
    user: User,
    environment: &[(&str, String)],
) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jobwire"));
    command.args(["stream", action, "--nats-url", url]).envs(user.environment());
    command.env("JOBWIRE_STREAM", STREAM).envs(environment.iter().cloned());
    within("the command ends", command.output()).await.expect("the binary")
}
