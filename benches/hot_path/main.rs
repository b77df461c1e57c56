//! The hot path and nothing else: an event comes into the window, becomes a frame, and is written to
//! each watcher's socket. Run under an instruction counter by `benches/hot_path/check`.
//!
//! Nobody reads the sockets: what is written stays in the kernel's buffers, which are large enough
//! for a run, so that no instruction of a client is counted.

#![allow(clippy::expect_used, reason = "a benchmark that cannot go on ends")]

use std::net::TcpStream as Client;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jobwire::config::Timing;
use jobwire::config::routes::{Dialect, Routes};
use jobwire::drain::Drain;
use jobwire::journal::tail::{Arrival, Follower};
use jobwire::journal::{Answer, History, Incarnation, Question};
use jobwire::session::{
    Endpoint, Profile, SessionMetrics, Socket, Source, Transport, Worker, WorkerSettings,
};
use jobwire::subject::SubjectTemplate;
use jobwire::window::Window;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::LocalSet;

/// Nothing that is timed may happen in a run, which takes seconds under a counter.
const NEVER: Duration = Duration::from_secs(3_600);
/// Pause between two looks at what was delivered: few, since each is counted, too.
const LOOK: Duration = Duration::from_millis(20);
/// So many looks at one event are in vain.
const LOOKS: usize = 1_000;
/// What a client's message may have.
const MAX_MESSAGE: usize = 64 * 1_024;

#[derive(Parser)]
#[command(about = "Delivers events to sockets that nobody reads")]
struct Arguments {
    /// Events, one after the other
    #[arg(long, default_value_t = 100)]
    events: u64,
    /// Watchers of their job
    #[arg(long, default_value_t = 100)]
    watchers: u64,
}

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let delivered = LocalSet::new().block_on(&runtime, deliver(&arguments));
    println!("{delivered} deliveries");
}

async fn deliver(arguments: &Arguments) -> u64 {
    let stage = Stage::new();
    stage.publish(1);
    let mut clients = Vec::new();
    for _ in 0..arguments.watchers {
        clients.push(stage.watch().await);
    }
    // Each of them has the first event.
    stage.until_delivered(arguments.watchers).await;
    for event in 1..=arguments.events {
        stage.publish(event + 1);
        stage.until_delivered((event + 1) * arguments.watchers).await;
    }
    stage.metrics.delivered.get()
}

/// A window, a worker, and what it counts.
struct Stage {
    window: Window,
    worker: Rc<Worker>,
    metrics: SessionMetrics,
    _drain: watch::Sender<Drain>,
}

impl Stage {
    fn new() -> Self {
        let (sender, drain) = watch::channel(Drain::default());
        let window = Window::new(16 << 20, Arc::new(SubjectTemplate::default()));
        window.begin("epoch", 0);
        let metrics = SessionMetrics::register(&Registry::new()).expect("families");
        let worker = Worker::new(WorkerSettings {
            sources: vec![Source { window: window.clone(), history: Arc::new(Nothing) }],
            verifier: None,
            timing: Timing {
                ping_interval: NEVER,
                pong_timeout: NEVER,
                stuck_timeout: NEVER,
                drain: NEVER,
            },
            max_subscriptions: 1,
            message_rate: None,
            metrics: metrics.clone(),
            drain,
            blocked: Arc::default(),
        });
        tokio::task::spawn_local(Rc::clone(&worker).run());
        Self { window, worker, metrics, _drain: sender }
    }

    /// An event of 260 bytes.
    fn publish(&self, id: u64) {
        let payload = format!(
            r#"{{"eventType":"progress","timestamp":"2026-01-01T00:00:00Z","iteration":{id},"data":{{"note":"{:0>160}"}}}}"#,
            ""
        );
        self.window.take(&[Arrival {
            id,
            stored_at: 1_767_225_600_000_000_000,
            subject: "jobs.optimization.job.progress",
            payload: payload.as_bytes(),
            traceparent: None,
        }]);
    }

    /// A watcher of the job, from its beginning.
    async fn watch(&self) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let client = Client::connect(listener.local_addr().expect("an address")).expect("a client");
        let (stream, _) = listener.accept().await.expect("a connection");
        let socket = Socket::new(Transport::Tcp(stream), subscribe(), MAX_MESSAGE);
        let endpoint = Endpoint::WebSocket(Box::new(socket));
        let serving = Rc::clone(&self.worker).serve(endpoint, profile(), None);
        tokio::task::spawn_local(serving);
        client
    }

    async fn until_delivered(&self, deliveries: u64) {
        for _ in 0..LOOKS {
            if self.metrics.delivered.get() >= deliveries {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
        panic!("{} of {deliveries} deliveries", self.metrics.delivered.get());
    }
}

/// What the upgrade has read already: a text frame (RFC 6455, section 5.2) whose mask is zero.
fn subscribe() -> Vec<u8> {
    let text = br#"{"type":"subscribe","jobId":"job","afterEventId":0}"#;
    let length = u8::try_from(text.len()).expect("a short message");
    let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(text);
    frame
}

fn profile() -> Profile {
    let routes = Routes::resolve(Vec::new(), true, "JOBS", Duration::ZERO).expect("routes");
    let route = routes.routes.iter().find(|route| route.dialect == Dialect::Optimization);
    Profile::of_route(route.expect("a route of this dialect"))
}

/// A journal in which nothing is older than the window.
struct Nothing;

impl History for Nothing {
    fn ask(&self, _: Incarnation, question: Question) -> BoxFuture<'static, Answer> {
        let answer = match question {
            Question::First(_) => Answer::First(Some(1)),
            _ => Answer::Unavailable,
        };
        std::future::ready(answer).boxed()
    }
}
