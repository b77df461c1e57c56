//! Sessions: one connection each, and the workers that they belong to.
//!
//! A worker is one thread with one runtime. It owns its connections outright: only it reads from
//! them and writes to them. Live events are written in place by the worker's distribution, where
//! nothing is pending; what is behind is read by the connection's own task. Requests come in,
//! batches go out, and a connection ends with a named reason ([`Ending`]).
//!
//! What a subscription means is decided in `subscription`, how a message looks in `dialect`.
//! HTTP and routes are not known here; of TLS only how its bytes reach the socket.

mod behind;
mod clock;
mod connection;
mod conversation;
mod delivery;
mod distribution;
#[cfg(feature = "conformance")]
pub mod echo;
mod ending;
mod endpoint;
mod event_pipe;
mod metrics;
mod outgoing;
mod polling;
mod read_refusal;
mod refusals;
mod requests;
#[cfg(test)]
mod simulation;
mod socket;
mod times;
mod transport;
mod watch;
mod wheel;
mod worker;

#[cfg(test)]
mod tests;

pub use connection::{Profile, Session};
pub use ending::{CloseCode, Ending};
pub use endpoint::Endpoint;
pub use event_pipe::{EventBody, EventPipe, Opening, event_pipe};
pub use metrics::SessionMetrics;
pub use polling::{PollRequest, PolledPage};
pub use read_refusal::ReadRefusal;
pub use refusals::{Reason, Refusals};
pub use socket::Socket;
pub use transport::Transport;
pub use worker::{Charge, Source, Worker, WorkerSettings};
