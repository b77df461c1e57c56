//! Listeners and the threads behind them.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use super::admin::Admin;
use super::answer::Answer;
use super::origin::Origins;
use super::peer::{OpenConnections, Peer};
use super::places::Places;
use super::publish::Publishing;
use super::routes;
use crate::address::TrustedProxies;
use crate::auth::Verifier;
use crate::config::routes::Routes;
use crate::drain::Drain;
use crate::journal::catalog::Catalog;
use crate::session::{Reason, Refusals, Worker, WorkerSettings};
use crate::tls::TlsAccept;
use crate::vital;
use crate::window::Window;

/// Connects that may wait to be accepted. With the usual 128, two hundred connects at once fell
/// from 11,800 to 390 a second (measured).
const BACKLOG: u32 = 4_096;
/// Accepted connections that wait for a worker.
const HANDOVER: usize = 4_096;
/// Slow headers are cut after this; hyper has no time-out unless it is given a timer.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// Bytes of headers; hyper's default of 408 KiB is far more than any client needs.
const HEADER_BYTES: usize = 16 * 1024;
/// Headers of a request.
const HEADERS: usize = 100;
/// What is said where there is no room for one more connection.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\n\
    Content-Type: application/json\r\nContent-Length: 61\r\n\r\n\
    {\"error\":\"The gateway has no room, try again\",\"code\":\"LIMIT\"}";

/// A listener that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: cannot listen on {address}: {source}")]
pub struct BindError {
    setting: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// What the kernel may hold for a client, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct KernelQueue {
    /// Bytes.
    pub send_buffer: u32,
    /// How long bytes may be under way to a machine that confirms none.
    pub unconfirmed_timeout: Duration,
}

impl KernelQueue {
    /// Sets it on a listening socket: accepted ones inherit it.
    fn apply(self, socket: &TcpSocket) -> io::Result<()> {
        socket.set_send_buffer_size(self.send_buffer)?;
        // Whoever gets events is not pinged. Without this a client that is gone without a word,
        // and gets just so few that the buffer never fills, stayed for a quarter of an hour.
        #[cfg(target_os = "linux")]
        {
            let time = u32::try_from(self.unconfirmed_timeout.as_millis()).unwrap_or(u32::MAX);
            rustix::net::sockopt::set_tcp_user_timeout(socket, time)?;
        }
        Ok(())
    }
}

/// Listens on an address.
///
/// # Errors
/// [`BindError`], with the setting's name.
pub fn bind(
    setting: &'static str,
    address: SocketAddr,
    queue: Option<KernelQueue>,
) -> Result<TcpListener, BindError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        queue.map_or(Ok(()), |queue| queue.apply(&socket))?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source| BindError { setting, address, source })
}

/// One stream, as requests that are no sessions read it.
pub struct PublicSource {
    /// The newest events.
    pub window: Window,
    /// How jobs stand, and older ones.
    pub catalog: Catalog,
}

impl PublicSource {
    /// Whether events are stored that the window does not hold.
    pub fn holds_more_than_its_window(&self) -> bool {
        let ring = self.window.read();
        ring.stream().is_some_and(|stream| stream.first <= ring.floor())
    }
}

/// What the public listener answers from.
#[derive(Clone)]
pub struct Public {
    /// The streams, in the order in which routes number them.
    pub sources: Arc<[PublicSource]>,
    /// Which path means what.
    pub routes: Arc<Routes>,
    /// Whether the process is stopping.
    pub drain: watch::Receiver<Drain>,
    /// Whose pages may use it.
    pub origins: Origins,
    /// How many connections there may be.
    pub open: OpenConnections,
    /// How many of them may be WebSockets or streams.
    pub places: Places,
    /// Whose word on a client's address counts.
    pub proxies: TrustedProxies,
    /// What is refused.
    pub refusals: Refusals,
    /// What publishing needs; `None`: it is off.
    pub publishing: Option<Publishing>,
    /// Who checks tokens; `None`: nobody asks for one.
    pub verifier: Option<Verifier>,
    /// Who makes TLS handshakes; `None`: connections are plain.
    pub tls: Option<TlsAccept>,
}

/// The threads that serve connections.
pub struct Serving {
    workers: Vec<mpsc::Sender<(std::net::TcpStream, Peer)>>,
    public: Public,
}

impl Serving {
    /// Starts the workers' threads.
    ///
    /// # Errors
    /// The system gives no thread, or no runtime.
    pub fn start(count: usize, public: &Public, settings: &WorkerSettings) -> io::Result<Self> {
        let workers = (0..count)
            .map(|number| {
                let (sender, receiver) = mpsc::channel(HANDOVER);
                let (public, settings) = (public.clone(), settings.clone());
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                    let worker = run_worker(public, settings, receiver);
                    LocalSet::new().block_on(&runtime, worker);
                })?;
                Ok(sender)
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self { workers, public: public.clone() })
    }

    /// Accepts connections and hands them to the workers in turn, for ever.
    pub async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut turn = 0usize;
        loop {
            let (stream, address) = accept(&listener).await;
            let Some(peer) = self.public.open.open(address.ip()) else {
                self.turn_away(stream);
                continue;
            };
            turn = turn.wrapping_add(1);
            let Some(worker) = self.workers.get(turn % self.workers.len().max(1)) else { return };
            let handed = stream
                .set_nodelay(true)
                .and_then(|()| stream.into_std())
                .map(|stream| worker.try_send((stream, peer)));
            if !matches!(handed, Ok(Ok(()))) {
                tracing::debug!("a connection was dropped before it was served");
            }
        }
    }

    /// Closes a connection for which there is no room at all. Over TLS nothing can be said.
    fn turn_away(&self, stream: TcpStream) {
        self.public.refusals.count(Reason::Connections);
        if self.public.tls.is_none()
            && let Err(error) = stream.into_std().and_then(say_no_room)
        {
            tracing::debug!(%error, "a connection was closed without a word");
        }
    }
}

/// Serves the admin port, for ever.
pub async fn serve_admin(listener: TcpListener, admin: Arc<Admin>) {
    loop {
        let (stream, _) = accept(&listener).await;
        let admin = Arc::clone(&admin);
        let service = service_fn(move |request| {
            let answer = admin.answer(&request);
            std::future::ready(Ok::<Answer, Infallible>(answer))
        });
        let connection = protocol().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an admin connection broke");
            }
        });
    }
}

/// The next connection, whatever it takes.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                // Out of file descriptors, mostly: it passes when connections end.
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Answers without waiting for the question. What has come of it is taken: closing a socket with
/// unread bytes resets it, and the answer might not be seen.
fn say_no_room(mut stream: std::net::TcpStream) -> io::Result<()> {
    stream.write_all(NO_ROOM)?;
    stream.shutdown(Shutdown::Write)?;
    match stream.read(&mut [0; HEADER_BYTES]) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

fn protocol() -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_BYTES)
        .max_headers(HEADERS);
    protocol
}

async fn run_worker(
    public: Public,
    settings: WorkerSettings,
    mut connections: mpsc::Receiver<(std::net::TcpStream, Peer)>,
) {
    let worker = Worker::new(settings);
    let running = tokio::task::spawn_local(Rc::clone(&worker).run());
    tokio::task::spawn_local(vital::watch("worker", running));
    let public = Rc::new(public);
    while let Some((stream, peer)) = connections.recv().await {
        match TcpStream::from_std(stream) {
            Ok(stream) => {
                let (public, worker) = (Rc::clone(&public), Rc::clone(&worker));
                serve_connection(public, worker, stream, Rc::new(peer));
            }
            Err(error) => tracing::warn!(%error, "a connection cannot be served"),
        }
    }
}

/// Handshakes are made here and not where connections are accepted: they take time and computing.
/// A task of its own kind for each: one that could be either has room for both.
fn serve_connection(public: Rc<Public>, worker: Rc<Worker>, stream: TcpStream, peer: Rc<Peer>) {
    match public.tls.clone() {
        None => tokio::task::spawn_local(serve_http(public, worker, stream, peer)),
        Some(tls) => tokio::task::spawn_local(async move {
            match tls.handshake(stream).await {
                Ok(stream) => serve_http(public, worker, stream, peer).await,
                Err(error) => {
                    tracing::debug!(%error, "a connection was closed before any request");
                }
            }
        }),
    };
}

async fn serve_http<S>(public: Rc<Public>, worker: Rc<Worker>, stream: S, peer: Rc<Peer>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(|request| {
        peer.has_asked.set(true);
        let (public, worker, peer) = (&public, &worker, &peer);
        async move { Ok::<_, Infallible>(routes::answer(public, worker, peer, request).await) }
    });
    let connection = protocol().serve_connection(TokioIo::new(stream), service).with_upgrades();
    if let Err(error) = connection.await {
        if let Some(reason) = refusal(&error, &peer) {
            public.refusals.count(reason);
        }
        tracing::debug!(%error, "an HTTP connection broke");
    }
}

/// What the library refused by itself. A connection that has asked before and is silent now is
/// closed as well, but that is no refusal.
fn refusal(error: &hyper::Error, peer: &Peer) -> Option<Reason> {
    if error.is_parse_too_large() {
        Some(Reason::HeaderSize)
    } else {
        (error.is_timeout() && !peer.has_asked.get()).then_some(Reason::HeaderTime)
    }
}
