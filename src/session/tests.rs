//! Connections of one worker that do not come to harm by each other.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, SinkExt, StreamExt};
use prometheus::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::socket::MAX_MESSAGE;
use super::*;
use crate::config::Timing;
use crate::config::routes::{Dialect, Routes};
use crate::drain::Drain;
use crate::journal::tail::Follower;
use crate::journal::{Answer, History, Incarnation, Question};
use crate::subject::SubjectTemplate;
use crate::window::Window;

/// History whose reader has a defect.
struct Broken;

impl History for Broken {
    fn ask(&self, _: Incarnation, question: Question) -> BoxFuture<'static, Answer> {
        async move { panic!("{question:?} was not foreseen") }.boxed()
    }
}

type Client = WebSocketStream<TcpStream>;

#[tokio::test]
async fn a_panic_closes_its_connection_with_1011_and_no_other() {
    LocalSet::new()
        .run_until(async {
            let (worker, _drain) = worker();
            let (mut unlucky, mut other) = (connect(&worker).await, connect(&worker).await);
            unlucky.send(Message::text(r#"{"type":"subscribe","jobId":"a"}"#)).await.unwrap();
            let Some(Ok(Message::Close(Some(frame)))) = unlucky.next().await else {
                panic!("a close frame")
            };
            assert_eq!((u16::from(frame.code), &*frame.reason), (1011, "the gateway failed"));

            other.send(Message::text(r#"{"type":"ping"}"#)).await.unwrap();
            let answer = other.next().await.unwrap().unwrap();
            assert_eq!(answer, Message::text(r#"{"type":"pong"}"#));
            let metrics = &worker.settings.metrics;
            let failed = metrics.closed(Dialect::Optimization, &Ending::Failed);
            assert_eq!((metrics.panics.get(), failed), (1, 1));
            while metrics.connections.get() > 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!((metrics.connections.get(), metrics.subscriptions.get()), (1, 0));
        })
        .await;
}

fn worker() -> (Rc<Worker>, watch::Sender<Drain>) {
    let (sender, drain) = watch::channel(Drain::default());
    let window = Window::new(4 << 20, Arc::new(SubjectTemplate::default()));
    window.begin("epoch", 7);
    let long = Duration::from_secs(60);
    let worker = Worker::new(WorkerSettings {
        sources: vec![Source { window, history: Arc::new(Broken) }],
        verifier: None,
        timing: Timing {
            ping_interval: long,
            pong_timeout: long,
            stuck_timeout: long,
            drain: long,
        },
        max_subscriptions: 10,
        message_rate: None,
        metrics: SessionMetrics::register(&Registry::new()).unwrap(),
        drain,
        blocked: Arc::default(),
    });
    tokio::task::spawn_local(Rc::clone(&worker).run());
    (worker, sender)
}

async fn connect(worker: &Rc<Worker>) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let endpoint =
        Endpoint::WebSocket(Box::new(Socket::new(Transport::Tcp(stream), Vec::new(), MAX_MESSAGE)));
    tokio::task::spawn_local(Rc::clone(worker).serve(endpoint, profile(), None));
    WebSocketStream::from_raw_socket(client, Role::Client, None).await
}

fn profile() -> Profile {
    let routes = Routes::resolve(Vec::new(), true, "JOBS", Duration::ZERO).unwrap();
    let route = routes.routes.iter().find(|route| route.dialect == Dialect::Optimization).unwrap();
    Profile {
        kind: Arc::clone(&route.kind),
        route: Arc::clone(route),
        job: None,
        after: None,
        epoch: None,
        grant: None,
        trace: Default::default(),
    }
}
