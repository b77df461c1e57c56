//! Keys that come over HTTP or from a file: they change, they go away, they are nonsense.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::issuer::*;
use crate::auth::jwks::{FetchError, Jwks, KeySource};
use crate::auth::key::KeySetError;
use crate::auth::{
    AuthConfig, AuthMetrics, AuthMode, AuthSettings, JwksLocation, TokenRefusal, Verifier,
};

/// A server with one answer, which can be changed, and the requests it got.
struct Server {
    address: SocketAddr,
    answer: Arc<Mutex<Vec<u8>>>,
    requests: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let answer = Arc::new(Mutex::new(answer.into()));
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (answers, seen) = (Arc::clone(&answer), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 4_096];
                let length = stream.read(&mut request).await.unwrap_or_default();
                let text = String::from_utf8_lossy(&request[..length]).into_owned();
                seen.lock().expect("a lock").push(text);
                let answer = answers.lock().expect("a lock").clone();
                // A client that has seen enough closes: that is its right.
                let _ = stream.write_all(&answer).await;
            }
        });
        Self { address, answer, requests, task }
    }

    fn put(&self, answer: impl Into<Vec<u8>>) {
        *self.answer.lock().expect("a lock") = answer.into();
    }

    fn requests(&self) -> usize {
        self.requests.lock().expect("a lock").len()
    }

    fn url(&self) -> String {
        format!("http://{}/keys?tenant=1", self.address)
    }

    async fn fetch(&self) -> Result<usize, FetchError> {
        let location = JwksLocation::Url(self.url().parse().expect("an address"));
        let source = Jwks::new(&location).expect("a client");
        source.fetch().await.map(|keys| keys.len())
    }
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn set(keys: &[Value]) -> String {
    answer("200 OK", &json!({ "keys": keys }).to_string())
}

fn token(pair: &Pair, algorithm: Algorithm, id: &str) -> String {
    let header = format!(r#"{{"alg":"{algorithm:?}","kid":"{id}"}}"#);
    pair.token(algorithm, &header, &good_claims().to_string())
}

/// A gateway as it is configured, with the task running.
fn gateway(settings: AuthSettings) -> (Verifier, AuthMetrics) {
    let settings = AuthSettings {
        mode: Some(AuthMode::Jwt),
        audience: Some(vec!["jobwire".into()]),
        ..settings
    };
    let Ok(AuthConfig::Jwt(config)) = settings.resolve() else { panic!("settings") };
    let metrics = AuthMetrics::of_a_test();
    let (verifier, refresh) = Verifier::new(*config, metrics.clone()).expect("a verifier");
    tokio::spawn(refresh.expect("a task").run());
    (verifier, metrics)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not happen within five seconds");
}

async fn authenticate(gateway: &Verifier, token: &str) -> Result<(), TokenRefusal> {
    let query = format!("token={token}");
    let headers = hyper::HeaderMap::new();
    gateway.authenticate(&headers, Some(&query), true, at(NOW)).await.map(|_| ())
}

#[tokio::test]
async fn keys_of_every_type_are_read_from_an_address() {
    let server = Server::start(set(&[
        TRUSTED.rsa.jwk(Algorithm::RS256, "rsa"),
        TRUSTED.rsa.jwk(Algorithm::PS512, "pss"),
        TRUSTED.p256.jwk(Algorithm::ES256, "p256"),
        TRUSTED.p384.jwk(Algorithm::ES384, "p384"),
        TRUSTED.edwards.jwk(Algorithm::EdDSA, "ed"),
    ]))
    .await;
    let (gateway, metrics) =
        gateway(AuthSettings { jwks_url: Some(server.url()), ..Default::default() });
    until("the first fetch", || gateway.is_ready()).await;
    for (pair, algorithm, id) in [
        (&TRUSTED.rsa, Algorithm::RS256, "rsa"),
        (&TRUSTED.rsa, Algorithm::PS512, "pss"),
        (&TRUSTED.p256, Algorithm::ES256, "p256"),
        (&TRUSTED.p384, Algorithm::ES384, "p384"),
        (&TRUSTED.edwards, Algorithm::EdDSA, "ed"),
    ] {
        assert!(gateway.verify(&token(pair, algorithm, id), at(NOW)).is_ok(), "{id}");
    }
    assert_eq!(metrics.fetches("fetched"), 1);
    let request = server.requests.lock().expect("a lock").join("");
    assert!(request.starts_with("GET /keys?tenant=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.to_ascii_lowercase().contains("\r\nuser-agent: jobwire/"), "{request}");
}

#[tokio::test]
async fn a_rotated_key_is_taken_and_the_old_one_refused_after_one_request() {
    let server = Server::start(set(&[TRUSTED.p256.jwk(Algorithm::ES256, "old")])).await;
    let (gateway, _) = gateway(AuthSettings { jwks_url: Some(server.url()), ..Default::default() });
    until("the first fetch", || gateway.is_ready()).await;
    let old = token(&TRUSTED.p256, Algorithm::ES256, "old");
    let new = token(&OTHER.p256, Algorithm::ES256, "new");
    assert_eq!(authenticate(&gateway, &old).await, Ok(()));
    server.put(set(&[OTHER.p256.jwk(Algorithm::ES256, "new")]));
    assert_eq!(authenticate(&gateway, &new).await, Ok(()));
    assert_eq!(authenticate(&gateway, &old).await, Err(TokenRefusal::UnknownKey));
    for _ in 0..20 {
        let unknown = token(&OTHER.p256, Algorithm::ES256, "unknown");
        assert_eq!(authenticate(&gateway, &unknown).await, Err(TokenRefusal::UnknownKey));
    }
    assert_eq!(server.requests(), 2, "one at the start and one for the new key");
}

#[tokio::test]
async fn keys_stay_when_nobody_answers_at_the_address_any_more() {
    let server = Server::start(set(&[TRUSTED.p256.jwk(Algorithm::ES256, "a")])).await;
    let (gateway, metrics) =
        gateway(AuthSettings { jwks_url: Some(server.url()), ..Default::default() });
    until("the first fetch", || gateway.is_ready()).await;
    server.task.abort();
    let _ = server.task.await;
    let unknown = token(&TRUSTED.p256, Algorithm::ES256, "b");
    assert_eq!(authenticate(&gateway, &unknown).await, Err(TokenRefusal::UnknownKey));
    assert_eq!(metrics.fetches("unreachable"), 1);
    let known = token(&TRUSTED.p256, Algorithm::ES256, "a");
    assert_eq!(authenticate(&gateway, &known).await, Ok(()));
}

#[tokio::test]
async fn what_is_no_set_of_keys_is_not_taken_for_one() {
    let server = Server::start("").await;
    let large = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(300 * 1024));
    let many: Vec<_> = (0..65).map(|_| TRUSTED.p256.jwk(Algorithm::ES256, "a")).collect();
    for (text, label) in [
        (String::new(), "unreachable"),
        ("nonsense\r\n\r\n".into(), "unreachable"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"keys\":".into(), "unreachable"),
        (answer("404 Not Found", ""), "status"),
        (answer("500 Internal Server Error", r#"{"keys":[]}"#), "status"),
        (answer("302 Found\r\nlocation: http://127.0.0.1:1/", ""), "status"),
        (answer("200 OK", "<html>"), "set"),
        (answer("200 OK", "[]"), "set"),
        (answer("200 OK", r#"{"keys":{}}"#), "set"),
        (answer("200 OK", r#"{"keys":[]}"#), "set"),
        (answer("200 OK", &"[".repeat(10_000)), "set"),
        (answer("200 OK", &large), "too_large"),
        (set(&many), "set"),
    ] {
        server.put(text.clone());
        let told = server.fetch().await.map_err(|error| error.label());
        let begin: String = text.chars().take(60).collect();
        assert_eq!(told, Err(label), "{begin:?}");
    }
}

#[tokio::test]
async fn keys_that_are_of_no_use_are_left_out_of_a_set() {
    let good = TRUSTED.p256.jwk(Algorithm::ES256, "good");
    let changed = |name: &str, value: Value| {
        let mut key = TRUSTED.p256.jwk(Algorithm::ES256, "changed");
        key[name] = value;
        key
    };
    let secret = json!({ "kty": "oct", "alg": "HS256", "kid": "s", "k": encode([7; 32]) });
    let useless = [
        secret,
        changed("use", "enc".into()),
        changed("key_ops", json!(["sign"])),
        changed("alg", "ES384".into()),
        changed("alg", "RS256".into()),
        changed("alg", "HS256".into()),
        changed("alg", "none".into()),
        changed("alg", "RSA-OAEP".into()),
        changed("x", "AAAA".into()),
        changed("x", "!".into()),
        changed("kid", 7.into()),
        changed("kty", "XYZ".into()),
        changed("crv", "P-521".into()),
        json!({ "kty": "RSA", "alg": "RS256", "n": encode([255; 128]), "e": "AQAB" }),
        json!({ "kty": "RSA", "alg": "RS256", "n": encode([255; 2_000]), "e": "AQAB" }),
        json!({ "kty": "OKP", "crv": "X25519", "x": encode([7; 32]) }),
        json!({}),
        json!(null),
        json!("key"),
    ];
    let server = Server::start(set(&[vec![good], useless.to_vec()].concat())).await;
    assert_eq!(server.fetch().await.expect("a set"), 1);
    for key in useless {
        server.put(set(std::slice::from_ref(&key)));
        let told = server.fetch().await;
        assert!(matches!(told, Err(FetchError::Set(KeySetError::Empty))), "{key} gave {told:?}");
    }
}

#[tokio::test]
async fn a_key_without_an_algorithm_has_that_of_its_type() {
    let mut keys = vec![
        TRUSTED.rsa.jwk(Algorithm::RS256, "rsa"),
        TRUSTED.p384.jwk(Algorithm::ES384, "p384"),
        TRUSTED.edwards.jwk(Algorithm::EdDSA, "ed"),
    ];
    for key in &mut keys {
        key.as_object_mut().expect("an object").remove("alg");
    }
    let server = Server::start(set(&keys)).await;
    let (gateway, _) = gateway(AuthSettings { jwks_url: Some(server.url()), ..Default::default() });
    until("the first fetch", || gateway.is_ready()).await;
    let verify =
        |pair, algorithm, id| gateway.verify(&token(pair, algorithm, id), at(NOW)).map(|_| ());
    assert_eq!(verify(&TRUSTED.rsa, Algorithm::RS256, "rsa"), Ok(()));
    assert_eq!(verify(&TRUSTED.rsa, Algorithm::PS256, "rsa"), Err(TokenRefusal::Algorithm));
    assert_eq!(verify(&TRUSTED.p384, Algorithm::ES384, "p384"), Ok(()));
    assert_eq!(verify(&TRUSTED.edwards, Algorithm::EdDSA, "ed"), Ok(()));
}

#[tokio::test]
async fn a_file_of_keys_is_there_at_once_and_may_be_replaced() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let secret = json!({ "kty": "oct", "alg": "HS256", "kid": "shared", "k": encode(SECRET) });
    let write = |keys: Value| {
        std::fs::write(file.path(), json!({ "keys": keys }).to_string()).expect("a file");
    };
    write(json!([secret]));
    let (gateway, _) =
        gateway(AuthSettings { jwks_file: Some(file.path().into()), ..Default::default() });
    let shared =
        secret_token(SECRET, r#"{"alg":"HS256","kid":"shared"}"#, &good_claims().to_string());
    assert!(gateway.verify(&shared, at(NOW)).is_ok());
    write(json!([TRUSTED.edwards.jwk(Algorithm::EdDSA, "new")]));
    let new = token(&TRUSTED.edwards, Algorithm::EdDSA, "new");
    assert_eq!(authenticate(&gateway, &new).await, Ok(()));
    assert_eq!(authenticate(&gateway, &shared).await, Err(TokenRefusal::UnknownKey));
}

#[tokio::test]
async fn an_address_with_tls_is_not_taken_without_a_certificate() {
    let server = Server::start(set(&[TRUSTED.p256.jwk(Algorithm::ES256, "a")])).await;
    let address = format!("https://{}/keys", server.address);
    let location = JwksLocation::Url(address.parse().expect("an address"));
    match Jwks::new(&location) {
        Ok(source) => {
            let told = source.fetch().await;
            assert!(matches!(told, Err(FetchError::Unreachable(_))), "{told:?}");
        }
        // A system without authorities says so before any request.
        Err(error) => assert!(error.to_string().starts_with("auth.jwks_url")),
    }
}
