//! jobwire: watch long-running jobs over WebSocket, from one durable NATS JetStream stream.
//!
//! `event ← journal ← window ← subscription ← session ← http ← cli`, and
//! `event ← dialect ← session, http` and `event ← auth ← session, http`: a module knows only what
//! is left of it.

pub mod auth;
pub mod cli;
pub mod config;
pub mod dialect;
pub mod drain;
pub mod event;
pub mod http;
pub mod journal;
pub mod metrics;
pub mod recent;
pub mod session;
pub mod subscription;
pub mod telemetry;
pub mod window;
