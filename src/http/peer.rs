//! Who is at the other end of a TCP connection, and how many there are.
//!
//! Beside the WebSockets and streams, which [`super::places`] counts, there are connections that
//! ask for less, or for nothing yet. They are bounded here: a few more than there are places, so
//! that who finds no place can still be told so.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Connections beyond the places: at least so many, else a part of the places.
const LEAST_RESERVE: usize = 64;
const RESERVE_PART: usize = 20;

/// The open connections of the public addresses. Cheap to clone.
#[derive(Clone)]
pub struct OpenConnections {
    most: usize,
    open: Arc<AtomicUsize>,
}

impl OpenConnections {
    /// So many as so many places need.
    pub fn for_places(places: usize) -> Self {
        let reserve = (places / RESERVE_PART).max(LEAST_RESERVE);
        Self { most: places.saturating_add(reserve), open: Arc::default() }
    }

    /// One more, unless there are too many.
    pub fn open(&self, address: IpAddr) -> Option<Peer> {
        let peer = Peer { address, has_asked: Cell::new(false), open: Arc::clone(&self.open) };
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        (before < self.most).then_some(peer)
    }
}

/// The other end of a connection, which is open as long as anybody holds this.
pub struct Peer {
    /// Its address: perhaps a proxy's.
    pub address: IpAddr,
    /// Whether a whole request came from it.
    pub has_asked: Cell<bool>,
    open: Arc<AtomicUsize>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn there_are_a_few_more_connections_than_places() {
        for (places, most) in [(1, 65), (2_000, 2_100), (usize::MAX, usize::MAX)] {
            assert_eq!(OpenConnections::for_places(places).most, most);
        }
    }

    #[test]
    fn one_that_is_closed_makes_room_for_another_and_one_that_is_refused_takes_none() {
        let connections = OpenConnections::for_places(1);
        let mut open: Vec<Peer> = (0..65).filter_map(|_| connections.open(PEER)).collect();
        assert_eq!(open.len(), 65);
        assert!(connections.open(PEER).is_none() && connections.open(PEER).is_none());
        open.pop();
        open.extend(connections.open(PEER));
        assert_eq!((open.len(), connections.open(PEER).is_none()), (65, true));
    }
}
