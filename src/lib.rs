//! jobwire: watch long-running jobs over WebSocket, from one durable NATS JetStream stream.
//!
//! `event, subject ← journal ← window ← subscription ← session ← http ← cli`,
//! `event ← progress ← encoded ← dialect ← session, http` and `event ← auth ← session, http`: a
//! module knows only what is left of it.

pub mod address;
pub mod auth;
pub mod cli;
pub mod config;
pub mod dialect;
pub mod drain;
pub mod encoded;
pub mod event;
pub mod families;
pub mod fields;
pub mod http;
pub mod https;
pub mod journal;
pub mod metrics;
pub mod origin;
pub mod progress;
pub mod rate;
pub mod recent;
pub mod session;
pub mod subject;
pub mod subscription;
pub mod telemetry;
pub mod tls;
pub mod traces;
pub mod vital;
pub mod window;
