//! A network between client and gateway that breaks on command.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Forwards connections to one place.
pub struct CutProxy {
    /// Where clients connect.
    pub address: SocketAddr,
    cuts: watch::Sender<u64>,
    upstream_held: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl CutProxy {
    /// A proxy in front of an address.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (cuts, cut) = watch::channel(0);
        let (upstream_held, held) = watch::channel(false);
        let task = tokio::spawn(accept(listener, target, cut, held));
        Self { address, cuts, upstream_held, task }
    }

    /// Cuts every connection that is open now.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// From now on nothing that clients send gets through, and nobody is told.
    pub fn hold_what_clients_send(&self) {
        self.upstream_held.send_replace(true);
    }
}

impl Drop for CutProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    cut: watch::Receiver<u64>,
    held: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(connect(client, target, cut.clone(), held.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(
    client: TcpStream,
    target: SocketAddr,
    mut cut: watch::Receiver<u64>,
    held: watch::Receiver<bool>,
) {
    cut.mark_unchanged();
    let Ok(server) = TcpStream::connect(target).await else { return };
    let never_held = watch::channel(false).1;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        _ = cut.changed() => {}
        () = forward(from_client, to_server, held) => {}
        () = forward(from_server, to_client, never_held) => {}
    }
}

async fn forward(
    mut source: OwnedReadHalf,
    mut sink: OwnedWriteHalf,
    mut held: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = source.read(&mut buffer).await {
        if *held.borrow() && held.wait_for(|held| !held).await.is_err() {
            return;
        }
        if sink.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
