//! A real nats-server on this machine: started, restarted, killed, and published to.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use jobwire::cli::nats_server::{NatsServer, ServerConfig, StartError, StartOptions};
use jobwire::config::{NatsConfig, NatsSettings};
use jobwire::event::JobKey;
use jobwire::journal::connection::{ConnectError, connect, jetstream};
use jobwire::journal::publish::{PublishError, Published, Publisher};
use jobwire::journal::stream::{Applied, StreamDefinition, apply, verify};
use serde_json::json;
use tempfile::TempDir;

struct Local {
    server: NatsServer,
    context: async_nats::jetstream::Context,
    _directory: TempDir,
}

fn config(server: &NatsServer) -> NatsConfig {
    let settings = NatsSettings { url: Some(server.url()), ..NatsSettings::default() };
    settings.resolve().expect("a configuration")
}

fn definition() -> StreamDefinition {
    StreamDefinition::bundled().expect("the bundled definition")
}

fn job() -> JobKey {
    JobKey::new("training", "42").expect("a job")
}

/// A server, without a stream.
async fn server() -> Local {
    let directory = tempfile::tempdir().expect("a directory");
    let server =
        NatsServer::start(StartOptions::development(directory.path())).await.expect("a server");
    let config = config(&server);
    let connection = connect(&config, "test").await.expect("a connection");
    Local { context: jetstream(&connection, &config), server, _directory: directory }
}

/// A server with the bundled stream, and a publisher to it.
async fn with_stream() -> (Local, Publisher) {
    let local = server().await;
    apply(&local.context, &definition(), "JOBS", None).await.expect("the stream");
    let publisher = Publisher::new(local.context.clone(), "JOBS");
    (local, publisher)
}

async fn publish(publisher: &Publisher, key: &str) -> Result<Published, PublishError> {
    publisher.publish(&job(), "progress", &json!({"iteration": 1}), key).await
}

fn runs(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn the_same_key_twice_is_one_event() {
    let (_local, publisher) = with_stream().await;
    let first = publish(&publisher, "1").await.expect("published");
    let again = publish(&publisher, "1").await.expect("published");
    let other = publish(&publisher, "2").await.expect("published");
    assert_eq!(first, Published { id: 1, duplicate: false });
    assert_eq!(again, Published { id: 1, duplicate: true });
    assert_eq!(other, Published { id: 2, duplicate: false });
}

#[tokio::test]
async fn the_same_key_on_another_job_is_another_event() {
    let (_local, publisher) = with_stream().await;
    let other = JobKey::new("training", "43").expect("a job");
    publish(&publisher, "1").await.expect("published");
    let published = publisher.publish(&other, "progress", &json!({}), "1").await;
    assert_eq!(published.expect("published"), Published { id: 2, duplicate: false });
}

#[tokio::test]
async fn an_event_of_the_largest_size_is_stored() {
    let (_local, publisher) = with_stream().await;
    let rest = jobwire::event::MAX_EVENT - json!({"data": {"text": ""}}).to_string().len();
    let body = json!({"data": {"text": "x".repeat(rest)}});
    publisher.publish(&job(), "progress", &body, &"k".repeat(256)).await.expect("published");
}

#[tokio::test]
async fn a_publish_during_a_restart_is_acknowledged_once() {
    let (mut local, publisher) = with_stream().await;
    publish(&publisher, "before").await.expect("published");
    local.server.kill();
    let waiting = tokio::spawn(async move { publish(&publisher, "during").await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    local.server.restart().await.expect("a restart");
    let published = waiting.await.expect("no panic").expect("published");
    assert_eq!(published.id, 2);
    let stream = local.context.get_stream("JOBS").await.expect("the stream");
    assert_eq!(stream.cached_info().state.messages, 2);
}

#[tokio::test]
async fn without_a_stream_a_publish_gives_up_in_bounded_time_and_says_why() {
    let local = server().await;
    let publisher =
        Publisher::new(local.context.clone(), "JOBS").with_patience(Duration::from_millis(500));
    let error = publish(&publisher, "1").await.expect_err("no stream");
    assert!(matches!(error, PublishError::Unacknowledged { .. }), "{error:?}");
    assert!(error.to_string().contains("no stream takes this subject"), "{error}");
}

#[tokio::test]
async fn an_event_for_another_stream_is_refused_at_once() {
    let (local, _) = with_stream().await;
    let error = publish(&Publisher::new(local.context.clone(), "OTHER"), "1").await;
    assert!(matches!(error, Err(PublishError::Refused { .. })), "{error:?}");
}

#[tokio::test]
async fn a_restart_keeps_port_and_data() {
    let (mut local, publisher) = with_stream().await;
    publish(&publisher, "1").await.expect("published");
    let (url, pid) = (local.server.url(), local.server.pid().expect("it runs"));
    local.server.restart().await.expect("a restart");
    assert_eq!(local.server.url(), url);
    assert!(!runs(pid), "the first process is gone");
    let again = publish(&publisher, "2").await.expect("published");
    assert_eq!(again, Published { id: 2, duplicate: false });
}

#[tokio::test]
async fn a_killed_server_starts_again_with_its_data() {
    let (mut local, publisher) = with_stream().await;
    publish(&publisher, "1").await.expect("published");
    let pid = local.server.pid().expect("it runs");
    local.server.kill();
    assert!(!runs(pid) && local.server.pid().is_none());
    local.server.restart().await.expect("a restart");
    assert_eq!(publish(&publisher, "2").await.expect("published").id, 2);
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let local = server().await;
    let pid = local.server.pid().expect("it runs");
    assert!(runs(pid));
    drop(local);
    assert!(!runs(pid));
}

/// A server that wants to know who we are, and the settings that reach it.
async fn guarded(users: &str) -> (NatsServer, NatsSettings, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let config = format!("jetstream {{}}\nauthorization {{ users: [ {users} ] }}");
    let options = StartOptions {
        config: ServerConfig::Text(config),
        ..StartOptions::development(directory.path())
    };
    let server = NatsServer::start(options).await.expect("a server");
    let settings = NatsSettings { url: Some(server.url()), ..NatsSettings::default() };
    (server, settings, directory)
}

#[tokio::test]
async fn a_wrong_password_is_a_refusal_that_does_not_repeat_it() {
    let (_server, settings, _directory) = guarded("{ user: me, password: right }").await;
    for (password, welcome) in [("right", true), ("wrong", false)] {
        let settings = NatsSettings {
            user: Some("me".into()),
            password: Some(password.into()),
            ..settings.clone()
        };
        let outcome = connect(&settings.resolve().expect("a configuration"), "test").await;
        assert_eq!(outcome.is_ok(), welcome, "{password}");
        if let Err(error) = outcome {
            assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
            assert!(!error.to_string().contains("wrong"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_seed_file_with_a_line_break_lets_us_in() {
    let pair = nkeys::KeyPair::new_user();
    let (public, seed) = (pair.public_key(), pair.seed().expect("a seed"));
    let (_server, settings, directory) = guarded(&format!("{{ nkey: {public} }}")).await;
    let file = directory.path().join("seed");
    std::fs::write(&file, format!("{seed}\n")).expect("written");
    let settings = NatsSettings { nkey: Some(file), ..settings };
    connect(&settings.resolve().expect("a configuration"), "test").await.expect("a connection");
}

#[tokio::test]
async fn servers_started_together_get_ports_of_their_own() {
    let (first, second, third) = tokio::join!(server(), server(), server());
    let mut ports = [first.server.port(), second.server.port(), third.server.port()];
    ports.sort_unstable();
    assert!(ports[0] != ports[1] && ports[1] != ports[2], "{ports:?}");
}

#[tokio::test]
async fn a_server_that_cannot_start_fails_with_its_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = StartOptions {
        config: ServerConfig::Text("no_such_setting: 1".into()),
        ..StartOptions::development(directory.path())
    };
    let error = NatsServer::start(options).await.expect_err("a broken configuration");
    assert!(matches!(error, StartError::Exited { .. }), "{error:?}");
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

#[tokio::test]
async fn a_taken_port_is_told_from_the_log() {
    let local = server().await;
    let directory = tempfile::tempdir().expect("a directory");
    let options =
        StartOptions { port: local.server.port(), ..StartOptions::development(directory.path()) };
    let error = NatsServer::start(options).await.expect_err("the port is taken");
    assert!(error.to_string().contains("address already in use"), "{error}");
}

#[tokio::test]
async fn applying_the_bundled_definition_twice_changes_nothing_the_second_time() {
    let local = server().await;
    let first = apply(&local.context, &definition(), "JOBS", None).await.expect("applied");
    assert_eq!(first, Applied::Created);
    let second = apply(&local.context, &definition(), "JOBS", None).await.expect("applied");
    assert_eq!(second, Applied::Existing { changed: vec![], kept: vec![] });
    let stream = local.context.get_stream("JOBS").await.expect("the stream");
    assert_eq!(verify(&stream.cached_info().config), Default::default());
}

#[tokio::test]
async fn an_existing_stream_is_changed_where_it_can_be_and_keeps_its_events() {
    let local = server().await;
    let before = StreamDefinition::from_json(
        r#"{"subjects":["jobs.>"],"storage":"file","retention":"limits","discard":"new",
            "num_replicas":1,"max_consumers":7,"description":"mine"}"#,
    )
    .expect("a definition");
    apply(&local.context, &before, "JOBS", None).await.expect("applied");
    publish(&Publisher::new(local.context.clone(), "JOBS"), "1").await.expect("published");

    let applied = apply(&local.context, &definition(), "JOBS", None).await.expect("applied");
    let Applied::Existing { changed, kept } = applied else { panic!("it existed") };
    let names = |changes: &[jobwire::journal::stream::Change]| -> Vec<String> {
        changes.iter().map(|change| change.setting.clone()).collect()
    };
    assert_eq!(names(&kept), ["max_consumers"]);
    for setting in ["discard", "deny_delete", "deny_purge", "allow_direct", "max_age"] {
        assert!(names(&changed).contains(&setting.to_owned()), "{setting} is not in {changed:?}");
    }
    let stream = local.context.get_stream("JOBS").await.expect("the stream");
    let info = stream.cached_info();
    assert_eq!((info.state.messages, info.config.max_consumers), (1, 7));
    assert!(info.config.deny_delete && info.config.allow_direct);
}

#[tokio::test]
async fn what_the_server_refuses_is_told_in_its_words() {
    let local = server().await;
    let nonsense = StreamDefinition::from_json(r#"{"subjects":["jobs.>"],"storage":"stone"}"#)
        .expect("an object");
    let error = apply(&local.context, &nonsense, "JOBS", None).await.expect_err("refused");
    assert!(error.to_string().contains("JOBS"), "{error}");
}
