//! A network of our own: it spreads connections over several places, delays, stalls, holds and
//! cuts them. What a kernel would do to packets it does to the bytes of a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

/// A lost segment is sent again after this time at the earliest; a second loss doubles it.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// Pieces of at most 16 KiB that may be on their way in one direction.
const UNDER_WAY: usize = 64;

/// What the network does at present.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Nothing gets through, and nobody is told.
    pub holds: bool,
    /// Shortest and longest delay, in each direction.
    pub delay: Option<(Duration, Duration)>,
    /// Share of pieces that are lost at first, and come late.
    pub loss: f64,
    /// How long a connection lives.
    pub life: Option<Duration>,
}

/// A listener that forwards connections.
pub struct Link {
    /// Where clients connect.
    pub address: SocketAddr,
    weather: watch::Sender<Weather>,
    cuts: watch::Sender<u64>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    targets: Vec<SocketAddr>,
    next: AtomicUsize,
    /// Connections that the network ended.
    ended: AtomicUsize,
    /// Pieces that came late.
    lost: AtomicUsize,
}

impl Link {
    /// A network that does nothing yet, in front of these places, taken in turn.
    pub async fn to(targets: &[SocketAddr]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (weather, conditions) = watch::channel(Weather::default());
        let (cuts, cut) = watch::channel(0);
        let shared = Arc::new(Shared {
            targets: targets.into(),
            next: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
        });
        let task = tokio::spawn(accept(listener, shared.clone(), conditions, cut));
        Self { address, weather, cuts, shared, task }
    }

    /// Where a NATS client finds the server behind it.
    pub fn nats_url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Changes the weather, for connections that stand, too.
    pub fn change(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }

    /// Cuts every connection that is open now.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Connections that were cut, by command or because their life was over.
    pub fn connections_cut(&self) -> usize {
        self.shared.ended.load(Ordering::Relaxed)
    }

    /// Pieces that were lost at first.
    pub fn pieces_lost(&self) -> usize {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    weather: watch::Receiver<Weather>,
    cut: watch::Receiver<u64>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    let (shared, weather) = (Arc::clone(&shared), weather.clone());
                    connections.spawn(carry(client, shared, weather, cut.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection from its opening to its end.
async fn carry(
    client: TcpStream,
    shared: Arc<Shared>,
    weather: watch::Receiver<Weather>,
    mut cut: watch::Receiver<u64>,
) {
    cut.mark_unchanged();
    let Some(server) = reach(&shared).await else { return };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        _ = cut.changed() => { shared.ended.fetch_add(1, Ordering::Relaxed); }
        () = lived(weather.clone()) => { shared.ended.fetch_add(1, Ordering::Relaxed); }
        () = forward(from_client, to_server, weather.clone(), &shared) => {}
        () = forward(from_server, to_client, weather.clone(), &shared) => {}
    }
}

/// A connection to the next place where somebody listens.
async fn reach(shared: &Shared) -> Option<TcpStream> {
    for _ in &shared.targets {
        let turn = shared.next.fetch_add(1, Ordering::Relaxed);
        if let Ok(server) = TcpStream::connect(shared.targets[turn % shared.targets.len()]).await {
            return Some(server);
        }
    }
    None
}

/// Ends when the life of a connection that begins now is over.
async fn lived(mut weather: watch::Receiver<Weather>) {
    let began = Instant::now();
    loop {
        let life = weather.borrow_and_update().life;
        tokio::select! {
            () = sleep_until(began + life.unwrap_or_default()), if life.is_some() => return,
            changed = weather.changed() => if changed.is_err() { return },
        }
    }
}

/// One direction, up to its end.
async fn forward(
    mut source: OwnedReadHalf,
    sink: OwnedWriteHalf,
    weather: watch::Receiver<Weather>,
    shared: &Shared,
) {
    let (pieces, on_their_way) = mpsc::channel(UNDER_WAY);
    let conditions = weather.clone();
    let reading = async move {
        let mut buffer = vec![0; 16 << 10];
        let mut due = Instant::now();
        while let Ok(count @ 1..) = source.read(&mut buffer).await {
            let delay = delay(*conditions.borrow(), shared);
            // What comes later does not overtake.
            due = due.max(Instant::now() + delay);
            if pieces.send((due, buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, deliver(on_their_way, sink, weather));
}

async fn deliver(
    mut pieces: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut sink: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
) {
    while let Some((due, piece)) = pieces.recv().await {
        sleep_until(due).await;
        if weather.wait_for(|weather| !weather.holds).await.is_err()
            || sink.write_all(&piece).await.is_err()
        {
            return;
        }
    }
}

fn delay(weather: Weather, shared: &Shared) -> Duration {
    let mut delay = Duration::ZERO;
    if let Some((shortest, longest)) = weather.delay {
        delay = shortest + (longest - shortest).mul_f64(fastrand::f64());
    }
    let mut again = RETRANSMISSION;
    while fastrand::f64() < weather.loss {
        shared.lost.fetch_add(1, Ordering::Relaxed);
        delay += again;
        again *= 2;
    }
    delay
}

/// Waits a random time within these bounds.
pub async fn random_pause(shortest: Duration, longest: Duration) {
    sleep(shortest + (longest - shortest).mul_f64(fastrand::f64())).await;
}
