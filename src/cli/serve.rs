//! `jobwire serve`: builds the gateway from its configuration and runs it until it is told to
//! stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::sync::watch;

use super::outcome::Failure;
use super::signals::StopSignals;
use crate::auth::{AuthConfig, Verifier};
use crate::config::routes::SourceConfig;
use crate::config::{Config, NatsConfig, TlsConfig};
use crate::drain::Drain;
use crate::families::signed;
use crate::http::{
    self, Admin, Intake, KernelQueue, OpenConnections, Origins, Places, Public, PublicSource,
    Publishing, Readiness, Serving,
};
use crate::journal::catalog::Catalog;
use crate::journal::catch_up::CatchUp;
use crate::journal::connection::{Connection, connect_in_background, jetstream};
use crate::journal::publish::Publisher;
use crate::journal::requests::StreamApi;
use crate::journal::tail::{Tail, TailStatus};
use crate::metrics::{Metrics, Observed, ObservedRuntime, ObservedStream, Purpose};
use crate::session::{Source, WorkerSettings};
use crate::tls::{Reload, TlsAccept};
use crate::traces;
use crate::vital;
use crate::window::Window;

/// How long an event that came over HTTP is tried, while its producer waits.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(8);
/// How long connections that were closed last have to end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Serves until the process is told to stop.
pub fn run(config: Config) -> anyhow::Result<()> {
    // The workers have threads of their own; this runtime is for the tail, catch-up, accepting
    // and the admin port.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?;
    let exporting = traces::start().map_err(|error| Failure::usage(error.to_string()))?;
    let connections = Connections::open(&config.nats).await?;
    let listeners = Listeners::bind(&config)?;
    let metrics = Arc::new(Metrics::new(&config.routes)?);
    let verifier = verifier(&config.auth, &metrics)?;
    let (drain_sender, drain) = watch::channel(Drain::default());
    let (sources, tails): (Vec<Source>, Vec<_>) = config
        .routes
        .sources
        .iter()
        .map(|source| connections.follow(source, &config, &metrics))
        .unzip();
    let windows: Vec<Window> = sources.iter().map(|source| source.window.clone()).collect();

    let mut nats = vec![connections.tail.clone(), connections.history.clone()];
    let publishing = match config.publish {
        true => {
            let (publishing, connection) = publishing(&config, &metrics).await?;
            nats.push(connection);
            Some(publishing)
        }
        false => None,
    };
    metrics.sessions.connections_limit.set(signed(config.clients.connections.in_all as u64));
    let public = Public {
        publishing,
        sources: connections.readable(&config, &windows),
        routes: Arc::new(config.routes.clone()),
        drain: drain.clone(),
        origins: Origins::new(config.allowed_origins.clone()),
        open: OpenConnections::for_places(config.clients.connections.in_all),
        places: Places::new(config.clients.connections.clone()),
        proxies: config.clients.trusted_proxies.clone(),
        refusals: metrics.sessions.refusals.clone(),
        requests: metrics.http.clone(),
        verifier: verifier.clone(),
        tls: config.tls.clone().map(|tls| accept_tls(tls, &metrics)),
    };
    let settings = WorkerSettings {
        sources,
        verifier: verifier.clone(),
        timing: config.timing.clone(),
        max_subscriptions: config.clients.max_subscriptions,
        message_rate: config.clients.message_rate,
        metrics: metrics.sessions.clone(),
        drain: drain.clone(),
        blocked: Arc::default(),
    };
    let serving = Arc::new(Serving::start(config.workers, &public, &settings)?);
    tokio::spawn(tell_readiness(tails.clone()));
    let observed = Observed {
        streams: observed_streams(&config, &windows, &tails),
        connections: nats,
        runtimes: observed_runtimes(connections.tail_thread.metrics(), &serving),
        drain: drain.clone(),
    };
    let readiness = Readiness { tails: named(&config, tails), drain, verifier };
    listeners.serve(&serving, Admin { readiness, metrics, observed });

    signals.next().await;
    drain_connections(&drain_sender, config.timing.drain, &public.places, &mut signals).await;
    if let Some(exporting) = exporting {
        exporting.end().await;
    }
    Ok(())
}

fn observed_runtimes(tail: RuntimeMetrics, serving: &Serving) -> Vec<ObservedRuntime> {
    let of = |purpose, metrics| ObservedRuntime { purpose, metrics };
    let workers = serving.runtimes().iter().cloned();
    let workers = workers.map(|metrics| of(Purpose::Connections, metrics));
    [of(Purpose::Other, Handle::current().metrics()), of(Purpose::Tail, tail)]
        .into_iter()
        .chain(workers)
        .collect()
}

fn named(
    config: &Config,
    tails: Vec<watch::Receiver<TailStatus>>,
) -> Vec<(String, watch::Receiver<TailStatus>)> {
    let names = config.routes.sources.iter().map(|source| source.stream.to_string());
    names.zip(tails).collect()
}

/// What metrics look at of each stream.
fn observed_streams(
    config: &Config,
    windows: &[Window],
    tails: &[watch::Receiver<TailStatus>],
) -> Vec<ObservedStream> {
    let sources = config.routes.sources.iter().zip(windows).zip(tails);
    sources
        .map(|((source, window), tail)| ObservedStream {
            name: source.stream.clone(),
            window: window.clone(),
            tail: tail.clone(),
        })
        .collect()
}

/// Who checks tokens; `None`: nobody asks for one.
fn verifier(auth: &AuthConfig, metrics: &Metrics) -> anyhow::Result<Option<Verifier>> {
    let AuthConfig::Jwt(config) = auth else { return Ok(None) };
    let (verifier, refresh) = Verifier::new((**config).clone(), metrics.auth.clone())?;
    if let Some(refresh) = refresh {
        tokio::spawn(refresh.run());
    }
    Ok(Some(verifier))
}

/// Who makes TLS handshakes, with files that are looked at from now on.
fn accept_tls(TlsConfig { files, pair }: TlsConfig, metrics: &Metrics) -> TlsAccept {
    let (accept, reload) = Reload::new(files, pair, metrics.tls.clone());
    tokio::spawn(reload.run());
    accept
}

/// Who publishes what comes over HTTP, on a connection of its own: what waits to be written never
/// stands before what is read.
async fn publishing(
    config: &Config,
    metrics: &Metrics,
) -> anyhow::Result<(Publishing, Connection)> {
    let connection = connect_in_background(&config.nats, "jobwire publish").await?;
    let context = jetstream(&connection, &config.nats);
    let publisher = |source: &SourceConfig| {
        Publisher::new(context.clone(), source.stream.as_str())
            .with_subjects(Arc::clone(&source.subjects))
            .with_patience(PUBLISH_PATIENCE)
            .with_denials(connection.denials().clone())
            .with_counts(connection.requests().clone())
    };
    let publishing = Publishing {
        publishers: config.routes.sources.iter().map(publisher).collect(),
        intake: Intake::default(),
        metrics: metrics.publishing.clone(),
    };
    Ok((publishing, connection))
}

/// Two connections to NATS: a large history never stands before a live event.
struct Connections {
    tail: Connection,
    /// Where the tail's connection and the tail itself run.
    tail_thread: Handle,
    history: Connection,
}

impl Connections {
    async fn open(config: &NatsConfig) -> anyhow::Result<Self> {
        let tail_thread = tail_thread()?;
        let nats = config.clone();
        let tail =
            tail_thread.spawn(async move { connect_in_background(&nats, "jobwire tail").await });
        Ok(Self {
            tail: tail.await??,
            tail_thread,
            history: connect_in_background(config, "jobwire catch-up").await?,
        })
    }

    /// The streams, as requests that are no sessions read them.
    fn readable(&self, config: &Config, windows: &[Window]) -> Arc<[PublicSource]> {
        let sources = config.routes.sources.iter().zip(windows);
        let readable = sources.map(|(source, window)| {
            let subjects = Arc::clone(&source.subjects);
            let connection = self.history.clone();
            let api = StreamApi::new(connection, &config.nats, &source.stream, subjects);
            PublicSource { window: window.clone(), catalog: Catalog::new(api) }
        });
        readable.collect()
    }

    /// Begins to follow one stream.
    fn follow(
        &self,
        source: &SourceConfig,
        config: &Config,
        metrics: &Metrics,
    ) -> (Source, watch::Receiver<TailStatus>) {
        // The budgets are the process's, all streams together.
        let streams = config.routes.sources.len();
        let api = |connection: &Connection| {
            let subjects = Arc::clone(&source.subjects);
            StreamApi::new(connection.clone(), &config.nats, &source.stream, subjects)
        };
        let window = Window::new(config.limits.window / streams, Arc::clone(&source.subjects));
        window.count_kinds(config.routes.routes.iter().map(|route| Arc::clone(&route.kind)));
        let of_tail = Arc::new(metrics.journal.of_tail(&source.stream));
        let (tail, status) = Tail::new(api(&self.tail), window.clone(), of_tail);
        let history = CatchUp::new(
            api(&self.history),
            tokio::runtime::Handle::current(),
            config.limits.catch_up_slots.div_ceil(streams),
            config.limits.page_cache / streams,
            Arc::new(metrics.journal.clone()),
        );
        tokio::spawn(vital::watch("tail", self.tail_thread.spawn(tail.run())));
        tokio::spawn(vital::watch("catch-up", tokio::spawn(history.clone().run())));
        (Source { window, history: Arc::new(history) }, status)
    }
}

/// A thread for the tail and its connection alone. On a runtime of several threads each event woke
/// one of them to read it, and another one to take it.
fn tail_thread() -> std::io::Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("tail".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}

/// The bound listeners, and what is said of them.
struct Listeners {
    public: Vec<TcpListener>,
    admin: TcpListener,
}

impl Listeners {
    fn bind(config: &Config) -> anyhow::Result<Self> {
        let queue = KernelQueue {
            send_buffer: config.limits.send_buffer,
            unconfirmed_timeout: config.timing.unconfirmed_timeout(),
        };
        let public = config
            .listen
            .iter()
            .map(|address| http::bind("listen", *address, Some(queue)))
            .collect::<Result<Vec<_>, _>>()?;
        let admin = http::bind("admin_listen", config.admin_listen, None)?;
        // On standard output, so that whoever asked for port 0 learns which it became.
        for listener in &public {
            println!("listening on {}", listener.local_addr()?);
        }
        println!("admin on {}", admin.local_addr()?);
        Ok(Self { public, admin })
    }

    fn serve(self, serving: &Arc<Serving>, admin: Admin) {
        for listener in self.public {
            let accepting = tokio::spawn(Arc::clone(serving).accept(listener));
            tokio::spawn(vital::watch("accept", accepting));
        }
        tokio::spawn(http::serve_admin(self.admin, Arc::new(admin)));
    }
}

/// Says once that watchers are served.
async fn tell_readiness(tails: Vec<watch::Receiver<TailStatus>>) {
    for mut tail in tails {
        if tail.wait_for(TailStatus::is_ready).await.is_err() {
            return;
        }
    }
    tracing::info!("ready");
}

/// Closes the connections over the drain time; a second signal ends it at once.
async fn drain_connections(
    drain: &watch::Sender<Drain>,
    spread: Duration,
    places: &Places,
    signals: &mut StopSignals,
) {
    tracing::info!(seconds = spread.as_secs_f64(), "stopping: closing the connections");
    drain.send_replace(Drain::Draining(spread));
    let all_gone = async {
        while places.count() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = all_gone => tracing::info!("every connection is closed"),
        () = tokio::time::sleep(spread + LAST_WORDS) => tracing::info!("the drain time is over"),
        () = signals.next() => tracing::info!("told twice: stopping now"),
    }
}
