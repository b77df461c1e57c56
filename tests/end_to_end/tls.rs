//! TLS on the public address: the same for watchers as without it, and certificates that change
//! while the gateway is at work.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::client::{Client, PATH, id_of};
use crate::harness::deployment::{Backend, Deployment};
use crate::harness::event_reader::EventReader;
use crate::harness::gateway::GatewayCommand;
use crate::harness::plain_http::{Response, request, try_exchange, try_exchange_over};
use crate::harness::publisher::ids;
use crate::harness::tls::Certificates;
use crate::harness::{eventually, within, within_time};

/// What the gateway gives a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn pages_and_lists_are_served_over_either_version_of_tls() {
    let (certificates, deployment) = deploy(&[]).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let stream = tcp(deployment.gateway.address).await;
        let stream = certificates.secure_with(stream, &[version], &["h2", "http/1.1"]).await;
        let stream = stream.expect("a TLS handshake");
        let session = stream.get_ref().1;
        assert_eq!(session.protocol_version(), Some(version.version));
        assert_eq!(session.alpn_protocol(), Some(b"http/1.1".as_slice()));
        let page = get_over(stream, &deployment, "/").await;
        assert_eq!(page.status, 200);
        assert!(page.header("content-type").starts_with("text/html"), "{page:?}");
    }
    let stream = certificates.connect(deployment.gateway.address).await;
    let list = get_over(stream, &deployment, "/api/v1/jobs").await.json();
    assert_eq!(list["jobs"], json!([]));
}

#[tokio::test]
async fn a_client_that_speaks_only_http_2_is_refused_in_the_handshake() {
    let (certificates, deployment) = deploy(&[]).await;
    let stream = tcp(deployment.gateway.address).await;
    let refused = certificates.secure_with(stream, rustls::DEFAULT_VERSIONS, &["h2"]).await;
    let refused = refused.expect_err("no protocol in common").to_string();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
}

#[tokio::test]
async fn a_watcher_over_tls_gets_history_and_then_live_events() {
    let (certificates, deployment) = deploy(&[]).await;
    let publisher = &deployment.publisher;
    let history = ids(&publisher.publish_padded("job", 0..200, 3_000).await);
    let mut client = watcher(&certificates, &deployment).await;
    let transcript = client.collect_until("job", 0, *history.last().unwrap()).await;
    assert_eq!(transcript.ids(), history);
    for number in 200..220 {
        let published = publisher.publish_numbered("job", number..number + 1).await;
        assert_eq!(id_of(&client.expect("event").await["event"]), published[0].id);
    }
    client.expect_nothing_but_a_pong().await;
}

#[tokio::test]
async fn an_event_stream_over_tls_brings_history_and_live_events() {
    let (certificates, deployment) = deploy(&[]).await;
    let publisher = &deployment.publisher;
    let history = ids(&publisher.publish_padded("job", 0..50, 3_000).await);
    let stream = certificates.connect(deployment.gateway.address).await;
    let path = "/api/v1/jobs/optimization/job/events";
    let mut reader = EventReader::ask(stream, deployment.gateway.address, path, &[]).await;
    assert_eq!(reader.ids(50).await, history);
    let live = ids(&publisher.publish_numbered("job", 50..60).await);
    assert_eq!(reader.ids(10).await, live);
}

/// Each event is larger than all buffers on the way, and none follows before it has come: what
/// is encrypted and not sent would stay where it is.
#[tokio::test]
async fn a_slow_reader_over_tls_gets_every_event_to_its_last_byte() {
    let (certificates, deployment) = deploy(&["--send-buffer", "4KiB"]).await;
    let publisher = &deployment.publisher;
    publisher.publish_numbered("job", 0..1).await;
    let stream = with_a_small_buffer(deployment.gateway.address).await;
    let stream = certificates.secure(stream).await.expect("a TLS handshake");
    let mut client = Client::over(stream, deployment.gateway.address).await;
    client.subscribed("job", None).await;
    for number in 1..40 {
        let size = 20_000 + 997 * number as usize;
        let published = publisher.publish_padded("job", number..number + 1, size).await;
        // Lets the gateway run into a socket that is full.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let message = client.next_message().await;
        let event =
            if message["type"] == "replay" { &message["data"][0] } else { &message["event"] };
        assert_eq!(id_of(event), published[0].id);
    }
    client.expect_nothing_but_a_pong().await;
}

#[tokio::test]
async fn a_client_over_tls_that_takes_nothing_is_reset() {
    let (certificates, deployment) =
        deploy(&["--send-buffer", "4KiB", "--stuck-timeout", "1s"]).await;
    deployment.publisher.publish_padded("job", 0..50, 20_000).await;
    let stream = with_a_small_buffer(deployment.gateway.address).await;
    let stream = certificates.secure(stream).await.expect("a TLS handshake");
    let mut client = Client::over(stream, deployment.gateway.address).await;
    client.subscribe("job", 0).await;
    let stuck = "jobwire_connections_closed_total{dialect=\"optimization\",reason=\"stuck\"}";
    eventually("the connection is reset", async || {
        let metrics = deployment.gateway.admin_get("/metrics").await.body;
        metrics.contains(&format!("{stuck} 1\n")).then_some(())
    })
    .await;
    let reset = async {
        loop {
            if let Err(ended) = client.read().await {
                return ended.to_string();
            }
        }
    };
    let broken = within("the reset arrives", reset).await;
    assert!(broken.to_lowercase().contains("reset"), "{broken}");
}

#[tokio::test]
async fn a_closed_connection_ends_with_a_close_notify() {
    let (certificates, deployment) = deploy(&[]).await;
    let address = deployment.gateway.address;
    let mut stream = certificates.connect(address).await;
    stream.write_all(request(address, "/", &[]).as_bytes()).await.expect("a request");
    let mut answer = Vec::new();
    let ended = within("the answer ends", stream.read_to_end(&mut answer)).await;
    ended.expect("no end without a close_notify");

    let mut stream = certificates.connect(address).await;
    let upgrade = request(
        address,
        PATH,
        &[
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ],
    );
    stream.write_all(upgrade.as_bytes()).await.expect("an upgrade");
    // A binary message, which is not understood: the gateway closes with 1003.
    stream.write_all(&[0x82, 0x81, 0, 0, 0, 0, b'x']).await.expect("a message");
    let mut answer = Vec::new();
    let ended = within("the connection ends", stream.read_to_end(&mut answer)).await;
    ended.expect("no end without a close_notify");
    assert!(answer.windows(4).any(|bytes| bytes[0] == 0x88 && bytes[2..] == [0x03, 0xeb]));
}

#[tokio::test]
async fn a_changed_certificate_is_seen_by_new_connections_and_old_ones_live_on() {
    let (mut certificates, deployment) = deploy(&[]).await;
    let address = deployment.gateway.address;
    let first = certificates.seen(address).await;
    let mut watcher = watcher(&certificates, &deployment).await;
    deployment.publisher.publish_numbered("job", 0..1).await;
    watcher.subscribed("job", None).await;

    let issued = certificates.issue();
    certificates.mount(&issued.certificate, &issued.key);
    assert_ne!(first, issued.der);
    sees(&certificates, address, &issued.der).await;
    let published = deployment.publisher.publish_numbered("job", 1..2).await;
    assert_eq!(id_of(&watcher.expect("event").await["event"]), published[0].id);
    assert_eq!(deployment.metric(r#"jobwire_tls_reloads_total{outcome="taken"}"#).await, 1.0);
    assert_eq!(deployment.gateway.times_logged("were read anew"), 1);
}

#[tokio::test]
async fn a_broken_change_keeps_the_old_certificate_and_is_told_once() {
    let (mut certificates, deployment) = deploy(&[]).await;
    let address = deployment.gateway.address;
    let first = certificates.seen(address).await;
    let (issued, other) = (certificates.issue(), certificates.issue());
    certificates.mount(&issued.certificate, &other.key);
    let told = || deployment.gateway.times_logged("cannot be used");
    eventually("the mistake is told", async || (told() > 0).then_some(())).await;
    assert_eq!(certificates.seen(address).await, first);

    certificates.mount("", &issued.key);
    eventually("the next mistake is told", async || (told() > 1).then_some(())).await;
    assert_eq!(certificates.seen(address).await, first);
    certificates.mount(&issued.certificate, &issued.key);
    sees(&certificates, address, &issued.der).await;
    assert_eq!(told(), 2, "each mistake once");
    for outcome in ["mismatched", "malformed", "taken"] {
        let counted = format!("jobwire_tls_reloads_total{{outcome={outcome:?}}}");
        assert_eq!(deployment.metric(&counted).await, 1.0, "{outcome}");
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_refused_at_the_start() {
    let (mut certificates, issued) = Certificates::mounted();
    let other = certificates.issue();
    let encrypted = issued.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    for (certificate, key, setting, sentence) in [
        (&*issued.certificate, &*other.key, "tls.key", "is not the key of the first certificate"),
        ("", &*issued.key, "tls.certificate", "is empty"),
        (&*issued.certificate, "\n", "tls.key", "is empty"),
        (&*issued.certificate, &*encrypted, "tls.key", "is encrypted"),
        (&*issued.key, &*issued.key, "tls.certificate", "has no CERTIFICATE block"),
        (&*issued.certificate, &*issued.certificate, "tls.key", "has no PRIVATE KEY block"),
        (&issued.certificate[..200], &*issued.key, "tls.certificate", "is it complete?"),
    ] {
        certificates.mount(certificate, key);
        let [certificate, key] = certificates.arguments();
        assert_refused(&[&certificate, &key], setting, sentence).await;
    }
    let [certificate, key] = certificates.arguments();
    assert_refused(&[&certificate], "tls.key", "tls.certificate needs it").await;
    assert_refused(&[&key], "tls.certificate", "tls.key needs it").await;
    let missing = ["--tls-certificate=/nowhere/tls.crt", &key];
    assert_refused(&missing, "tls.certificate: /nowhere/tls.crt", "cannot be read").await;
}

#[tokio::test]
async fn plain_http_at_a_tls_address_is_closed_and_nobody_else_notices() {
    let (certificates, deployment) = deploy(&[]).await;
    deployment.publisher.publish_numbered("job", 0..1).await;
    let mut watcher = watcher(&certificates, &deployment).await;
    watcher.subscribed("job", None).await;
    let address = deployment.gateway.address;
    for _ in 0..20 {
        let request = request(address, "/", &[]);
        let refused = try_exchange(address, &request);
        within("the connection is closed", refused).await.expect_err("no answer in plain HTTP");
    }
    let published = deployment.publisher.publish_numbered("job", 1..2).await;
    assert_eq!(id_of(&watcher.expect("event").await["event"]), published[0].id);
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_cut_and_holds_up_nobody() {
    let (certificates, deployment) = deploy(&["--workers", "1"]).await;
    let address = deployment.gateway.address;
    let mut silent = tcp(address).await;
    let mut slow = tcp(address).await;
    // The head of a record that is never finished.
    slow.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.expect("a beginning");
    let started = Instant::now();
    let stream = certificates.connect(address).await;
    assert_eq!(get_over(stream, &deployment, "/").await.status, 200);
    for stream in [&mut silent, &mut slow] {
        let mut answer = Vec::new();
        let cut = stream.read_to_end(&mut answer);
        // Whether the cut is a clean end or a reset is the same to us.
        let _ = within_time(HANDSHAKE + Duration::from_secs(5), "the cut", cut).await;
    }
    assert!(started.elapsed() >= HANDSHAKE / 2, "slow is not that quick");
}

/// A gateway with a certificate of its own.
async fn deploy(arguments: &[&str]) -> (Certificates, Deployment) {
    let (certificates, _) = Certificates::mounted();
    let [certificate, key] = certificates.arguments();
    let arguments = [arguments, &[&certificate, &key]].concat();
    let deployment = Backend::start().await.deploy(&arguments).await;
    (certificates, deployment)
}

async fn watcher(certificates: &Certificates, deployment: &Deployment) -> Client {
    let address = deployment.gateway.address;
    Client::over(certificates.connect(address).await, address).await
}

async fn tcp(address: SocketAddr) -> TcpStream {
    within("the connection", TcpStream::connect(address)).await.expect("a connection")
}

async fn with_a_small_buffer(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4 << 10).expect("a small receive buffer");
    within("the connection", socket.connect(address)).await.expect("a connection")
}

async fn get_over(
    stream: impl crate::harness::ByteStream,
    deployment: &Deployment,
    path: &str,
) -> Response {
    let request = request(deployment.gateway.address, path, &[]);
    let exchanging = try_exchange_over(stream, &request);
    within("an exchange over TLS", exchanging).await.expect("an answer")
}

async fn sees(
    certificates: &Certificates,
    address: SocketAddr,
    certificate: &rustls::pki_types::CertificateDer<'_>,
) {
    eventually("a new connection sees the new certificate", async || {
        (certificates.seen(address).await == *certificate).then_some(())
    })
    .await;
}

async fn assert_refused(arguments: &[&str], setting: &str, sentence: &str) {
    let listen = ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"];
    let outcome = GatewayCommand::bare(&[&listen, arguments].concat()).run().await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains(setting), "{setting}: {outcome:?}");
    assert!(outcome.stderr.contains(sentence), "{sentence}: {outcome:?}");
    assert!(!outcome.stdout.contains("listening"), "{outcome:?}");
}
