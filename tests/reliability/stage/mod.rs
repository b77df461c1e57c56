//! What the faults are injected into: gateways, networks and servers.

pub mod clock;
pub mod cluster;
pub mod link;

use std::net::SocketAddr;

use crate::harness::free_address;
use crate::harness::gateway::{Gateway, GatewayCommand};

/// Arguments of every gateway: a window so small that what is older has to be read from NATS, and
/// an end without a long farewell.
const ARGUMENTS: [&str; 4] = ["--window", "4MiB", "--drain", "1s"];

/// A ready gateway at an address of its own, to which a successor can return.
pub async fn gateway(nats_url: &str) -> Gateway {
    GatewayCommand::listening_at(free_address(), nats_url, &ARGUMENTS).start().await
}

/// Three of them, which take so long to let their watchers go.
pub async fn three_gateways(nats_url: &str, drain: &str) -> [Gateway; 3] {
    let gateway = async || {
        let arguments = ["--window", "4MiB", "--drain", drain];
        GatewayCommand::listening_at(free_address(), nats_url, &arguments).start().await
    };
    [gateway().await, gateway().await, gateway().await]
}

/// Two of them.
pub async fn two_gateways(nats_url: &str) -> [Gateway; 2] {
    [gateway(nats_url).await, gateway(nats_url).await]
}

/// Where gateways listen.
pub fn addresses(gateways: &[Gateway]) -> Vec<SocketAddr> {
    gateways.iter().map(|gateway| gateway.address).collect()
}
