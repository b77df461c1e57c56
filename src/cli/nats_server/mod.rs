//! A NATS server on this machine, for `jobwire dev` and for the tests: found or fetched, started,
//! stopped. Production runs its own; nothing of the gateway depends on this.

mod fetch;
mod locate;
mod process;

pub use locate::{LocateError, Locator, locate};
pub use process::{NatsServer, ServerConfig, StartError, StartOptions};

/// The server configuration for development, `nats/dev.conf`.
pub const DEVELOPMENT_CONFIG: &str = include_str!("../../../nats/dev.conf");
