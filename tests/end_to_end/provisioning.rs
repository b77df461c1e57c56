//! What an operator is told when something is missing, unsuitable or mistyped.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use async_nats::jetstream::stream;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::client::{Client, id_of};
use crate::harness::deployment::{Backend, Deployment};
use crate::harness::gateway::{Gateway, GatewayCommand, Outcome};
use crate::harness::nats::NatsServer;
use crate::harness::publisher::{Publisher, STREAM, job_stream};
use crate::harness::{eventually, free_address};

#[tokio::test]
async fn a_missing_stream_is_told_and_waited_for() {
    let backend = Backend::without_a_stream().await;
    let mut gateway = backend.gateway_command(&[]).launch().await;
    let told = not_ready_with(&gateway, STREAM).await;
    assert!(told.to_lowercase().contains("stream"), "{told}");
    assert!(gateway.is_running(), "a missing stream ends nothing");

    backend.publisher.create_stream(job_stream()).await;
    gateway.ready().await;
    let id = backend.publisher.publish("job", "progress", &json!({})).await;
    let mut client = Client::connect(gateway.address).await;
    assert_eq!(client.collect_until("job", 0, id).await.ids(), [id]);
}

#[tokio::test]
async fn a_gateway_that_starts_before_nats_waits_for_it() {
    let address = free_address();
    let url = format!("nats://{address}");
    let mut gateway = GatewayCommand::in_front_of(&url, &[]).launch().await;
    not_ready_with(&gateway, "NATS").await;
    assert!(gateway.is_running());

    let nats = NatsServer::start_at(address).await;
    Publisher::connect(&nats).await.create_stream(job_stream()).await;
    gateway.ready().await;
}

#[tokio::test]
async fn a_stream_that_forgets_what_was_read_is_refused() {
    for (retention, name) in [
        (stream::RetentionPolicy::WorkQueue, "work"),
        (stream::RetentionPolicy::Interest, "interest"),
    ] {
        let definition = stream::Config { retention, ..job_stream() };
        let backend = Backend::with_stream(definition).await;
        let mut gateway = backend.gateway_command(&[]).launch().await;
        let told = not_ready_with(&gateway, "retention").await;
        assert!(told.to_lowercase().contains(name), "{told}");
        assert!(gateway.is_running());
    }
}

#[tokio::test]
async fn a_value_out_of_bounds_is_told_before_anything_listens() {
    for (setting, value, name) in [
        ("--window", "1KiB", "window"),
        ("--workers", "0", "workers"),
        ("--ping-interval", "1ms", "ping_interval"),
        ("--stream", "a.b", "stream"),
        ("--job-grace", "9s", "job_grace"),
    ] {
        let command = GatewayCommand::bare(&["--listen", "127.0.0.1:0", setting, value]);
        let told = assert_refused(&command, name).await;
        assert_eq!(told.trim().lines().count(), 1, "more than a sentence: {told}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_told() {
    let owner = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = owner.local_addr().expect("an address").to_string();
    for setting in ["listen", "admin_listen"] {
        let (public, admin) = match setting {
            "listen" => (taken.as_str(), "127.0.0.1:0"),
            _ => ("127.0.0.1:0", taken.as_str()),
        };
        let command = GatewayCommand::bare(&["--listen", public, "--admin-listen", admin]);
        let told = assert_refused(&command, &format!(" {setting}: ")).await;
        assert!(told.contains(&taken), "{told}");
    }
}

#[tokio::test]
async fn a_stream_that_might_lose_events_is_warned_of_once_and_served() {
    let definition =
        stream::Config { discard: stream::DiscardPolicy::New, deny_delete: false, ..job_stream() };
    let mut deployment = Backend::with_stream(definition).await.deploy(&[]).await;
    let mut client = deployment.client().await;
    let before = deployment.publish_history("job", 0..1, 0).await;
    client.collect_until("job", 0, before[0]).await;

    deployment.nats.stop();
    deployment.nats.restart().await;
    let publisher = Publisher::connect(&deployment.nats).await;
    let after = publisher.publish("job", "progress", &json!({})).await;
    assert_eq!(id_of(&client.expect("event").await["event"]), after);
    for warning in ["discard: ", "deny_delete: "] {
        assert_eq!(deployment.gateway.times_logged(warning), 1, "{warning}");
    }
}

#[tokio::test]
async fn a_mistake_in_the_configuration_file_is_told_with_its_key() {
    for (text, name) in [
        ("windov = \"8MiB\"\n", "windov"),
        ("window = \"1KiB\"\n", "window"),
        ("window = [1]\n", "window"),
        ("[nats]\nurll = \"nats://127.0.0.1:4222\"\n", "urll"),
    ] {
        let (_directory, path) = configuration_file(text);
        let command = GatewayCommand::bare(&["--config", path.to_str().unwrap()]);
        assert_refused(&command, name).await;
    }
    assert_refused(&GatewayCommand::bare(&["--config", "/no/such/file.toml"]), "config").await;
}

#[tokio::test]
async fn a_mistake_in_the_environment_is_told() {
    let command = GatewayCommand::bare(&["--listen", "127.0.0.1:0"]);
    assert_refused(&command.with_environment("JOBWIRE_WINDOW", "1KiB"), "window").await;
}

#[tokio::test]
async fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let [in_file, in_environment, on_command_line] = [(); 3].map(|()| free_address());
    let url = format!("nats://{}", free_address());
    let text = format!(
        "listen = [\"{in_file}\"]\nadmin_listen = \"127.0.0.1:0\"\n[nats]\nurl = \"{url}\"\n"
    );
    let (_directory, path) = configuration_file(&text);
    let from_file = ["--config", path.to_str().unwrap()];
    let listen = on_command_line.to_string();
    let typed = [from_file.as_slice(), &["--listen", &listen]].concat();
    let environment = in_environment.to_string();

    let command = GatewayCommand::bare(&from_file);
    assert_eq!(listens_on(command).await, in_file);
    let command = GatewayCommand::bare(&from_file);
    let command = command.with_environment("JOBWIRE_LISTEN", &environment);
    assert_eq!(listens_on(command).await, in_environment);
    let command = GatewayCommand::bare(&typed);
    let command = command.with_environment("JOBWIRE_LISTEN", &environment);
    assert_eq!(listens_on(command).await, on_command_line);
}

/// Waits until `/readyz` refuses with a text that names something, and tells the text.
async fn not_ready_with(gateway: &Gateway, name: &str) -> String {
    eventually(&format!("/readyz names {name}"), async || {
        let answer = gateway.readiness().await?;
        assert_eq!(answer.status, 503, "{answer:?}");
        answer.body.to_lowercase().contains(&name.to_lowercase()).then_some(answer.body)
    })
    .await
}

/// Asserts that a gateway ends with code 2 before it listens, and tells what it complained about.
async fn assert_refused(command: &GatewayCommand, setting: &str) -> String {
    let outcome = command.run().await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains(setting), "{setting} is not named: {outcome:?}");
    assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
    assert!(!outcome.stdout.contains("listening"), "{outcome:?}");
    outcome.stderr
}

fn configuration_file(text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("jobwire.toml");
    std::fs::write(&path, text).expect("a file");
    (directory, path)
}

async fn listens_on(command: GatewayCommand) -> SocketAddr {
    command.launch().await.address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_health_check_asks_the_gateway_whether_it_is_ready() {
    let deployment = Deployment::start().await;
    let admin = deployment.gateway.admin;
    let healthy = check_health(&admin.to_string()).await;
    assert_eq!((healthy.code, healthy.stdout.as_str()), (Some(0), "ready\n"), "{healthy:?}");
    // As in a container, where the gateway listens on all addresses.
    let everywhere = check_health(&format!("0.0.0.0:{}", admin.port())).await;
    assert_eq!(everywhere.code, Some(0), "{everywhere:?}");

    let waits = GatewayCommand::in_front_of("nats://127.0.0.1:1", &[]).launch().await;
    let unready = check_health(&waits.admin.to_string()).await;
    assert_eq!(unready.code, Some(1), "{unready:?}");
    assert!(unready.stderr.contains("not ready: "), "{unready:?}");

    let nobody = check_health(&free_address().to_string()).await;
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    assert!(nobody.stderr.contains("no gateway answers at 127.0.0.1:"), "{nobody:?}");
}

async fn check_health(admin: &str) -> Outcome {
    GatewayCommand::other(&["health", "--admin-listen", admin]).run().await
}
