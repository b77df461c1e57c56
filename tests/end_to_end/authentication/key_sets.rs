//! Keys that are fetched from an issuer's address.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{ask_with, assert_refused};
use crate::harness::deployment::Backend;
use crate::harness::gateway::GatewayCommand;
use crate::harness::issuer::{Pair, watching};
use crate::harness::{eventually, free_address};

const PATH: &str = "/ws/optimization";

#[tokio::test]
async fn a_key_that_appears_is_taken_with_the_first_token_that_names_it() {
    let (first, second) = (Pair::curve(), Pair::curve());
    let issuer = KeyServer::start(free_address(), &[first.jwk("2026-a")]).await;
    let backend = Backend::start().await;
    let gateway = in_front(&backend, &issuer.address).start().await;
    let claims = watching(&["*/*"]);
    let (old, new) = (first.token("2026-a", &claims), second.token("2026-b", &claims));
    assert_eq!(ask_with(gateway.address, PATH, &old).await.status, 101);
    assert_eq!(issuer.fetches(), 1);

    issuer.serve(&[first.jwk("2026-a"), second.jwk("2026-b")]);
    assert_eq!(ask_with(gateway.address, PATH, &new).await.status, 101, "after one fetch more");
    assert_eq!(issuer.fetches(), 2);
    assert_eq!(ask_with(gateway.address, PATH, &old).await.status, 101);
    let forged = Pair::curve().token("2026-b", &claims);
    assert_refused(&ask_with(gateway.address, PATH, &forged).await, "another key of that name");
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn a_key_that_is_withdrawn_counts_no_longer_after_the_next_fetch() {
    let (first, second) = (Pair::rsa(), Pair::curve());
    let issuer = KeyServer::start(free_address(), &[first.jwk("2026-a")]).await;
    let backend = Backend::start().await;
    let gateway = in_front(&backend, &issuer.address).start().await;
    let claims = watching(&["*/*"]);
    assert_eq!(ask_with(gateway.address, PATH, &first.token("2026-a", &claims)).await.status, 101);
    issuer.serve(&[second.jwk("2026-b")]);
    assert_eq!(ask_with(gateway.address, PATH, &second.token("2026-b", &claims)).await.status, 101);
    let withdrawn = ask_with(gateway.address, PATH, &first.token("2026-a", &claims)).await;
    assert_refused(&withdrawn, "a withdrawn key");
}

#[tokio::test]
async fn a_flood_of_unknown_keys_costs_the_issuer_one_request() {
    let pair = Pair::curve();
    let issuer = KeyServer::start(free_address(), &[pair.jwk("known")]).await;
    let backend = Backend::start().await;
    let gateway = in_front(&backend, &issuer.address).start().await;
    let claims = watching(&["*/*"]);
    let tokens: Vec<String> =
        (0..300).map(|number| pair.token(&format!("made-up-{number}"), &claims)).collect();
    for batch in tokens.chunks(50) {
        let asking = batch.iter().map(|token| ask_with(gateway.address, PATH, token));
        for answer in join_all(asking).await {
            assert_refused(&answer, "a made-up key");
        }
    }
    assert_eq!(issuer.fetches(), 2, "the one at the start, and one for all of them");
    assert_eq!(ask_with(gateway.address, PATH, &pair.token("known", &claims)).await.status, 101);
}

#[tokio::test]
async fn without_keys_nobody_is_told_that_a_token_is_bad() {
    let pair = Pair::curve();
    let address = free_address();
    let backend = Backend::start().await;
    let gateway = in_front(&backend, &address).launch().await;
    let token = pair.token("key", &watching(&["*/*"]));
    for path in super::PLACES {
        let answer = ask_with(gateway.address, path, &token).await;
        assert_eq!(answer.status, 503, "{path}: {answer:?}");
        assert_eq!(answer.header("www-authenticate"), "", "{answer:?}");
        assert_ne!(answer.header("retry-after"), "", "{answer:?}");
        assert_eq!(answer.json()["code"], "UNAVAILABLE", "{answer:?}");
    }
    assert_refused(&super::ask(gateway.address, PATH, &[]).await, "no token at all");
    assert_refused(&ask_with(gateway.address, PATH, "garbage").await, "what no key could mend");
    assert_ne!(gateway.readiness().await.expect("an answer").status, 200, "not ready yet");

    let _issuer = KeyServer::start(address, &[pair.jwk("key")]).await;
    eventually("the keys are fetched", async || {
        (ask_with(gateway.address, PATH, &token).await.status == 101).then_some(())
    })
    .await;
    gateway.ready().await;
}

#[tokio::test]
async fn an_issuer_that_fails_takes_no_keys_away() {
    let pair = Pair::curve();
    let issuer = KeyServer::start(free_address(), &[pair.jwk("key")]).await;
    let backend = Backend::start().await;
    let gateway = in_front(&backend, &issuer.address).start().await;
    let claims = watching(&["*/*"]);
    *issuer.served.lock().expect("the keys") = "<html>Bad gateway</html>".into();
    let unknown = pair.token("unknown", &claims);
    assert_refused(&ask_with(gateway.address, PATH, &unknown).await, "an unknown key");
    assert_eq!(issuer.fetches(), 2);
    assert_eq!(ask_with(gateway.address, PATH, &pair.token("key", &claims)).await.status, 101);
    assert_eq!(gateway.readiness().await.expect("an answer").status, 200);
}

fn in_front(backend: &Backend, issuer: &SocketAddr) -> GatewayCommand {
    let url = format!("http://{issuer}/keys.json");
    let keys = ["--auth-mode", "jwt", "--auth-jwks-url", &url, "--auth-audience", "jobwire"];
    backend.gateway_command(&keys)
}

/// An issuer's address that gives its keys to everybody who asks.
struct KeyServer {
    address: SocketAddr,
    served: Arc<Mutex<String>>,
    fetches: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl KeyServer {
    async fn start(address: SocketAddr, keys: &[Value]) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let (served, fetches) = <(Arc<Mutex<String>>, Arc<AtomicUsize>)>::default();
        let (text, count) = (Arc::clone(&served), Arc::clone(&fetches));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let text = text.lock().expect("the keys").clone();
                tokio::spawn(answer(stream, text));
            }
        });
        let server = Self { address, served, fetches, task };
        server.serve(keys);
        server
    }

    fn serve(&self, keys: &[Value]) {
        *self.served.lock().expect("the keys") = json!({ "keys": keys }).to_string();
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: TcpStream, text: String) {
    let (reading, mut writing) = stream.split();
    let mut lines = BufReader::new(reading).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.is_empty() {
            break;
        }
    }
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
    // Whoever asked may be gone.
    let _ = writing.write_all((head + &text).as_bytes()).await;
}
