//! The other end of a gateway: what the commands that talk to one have in common.
//!
//! `gateway` speaks HTTP and opens WebSockets, `link` is one WebSocket, `conversation` what is said
//! on it about one job (no socket, no clock), and `watch` joins them: it comes back after every cut
//! and tells each event once.

mod address;
mod arguments;
mod backoff;
mod conversation;
mod gateway;
mod link;
mod tokens;
mod watch;

pub(super) use arguments::GatewayArguments;
pub(super) use backoff::Backoff;
pub(super) use conversation::{Conversation, Event, Gap, Item, OnGap, Outcome, Terms};
pub(super) use gateway::{Gateway, GatewayError};
pub(super) use watch::{Patience, Signal, State, Watch, WatchError};
