//! What a person who watches a job, and a person who runs the gateway, can rely on.
//!
//! Every test here starts a nats-server and the gateway's own binary and talks to them over real
//! sockets. The nats-server is found or fetched as `jobwire dev` does it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a broken expectation is how a test fails"
)]

mod harness;

mod agent;
mod authentication;
mod beam_search;
mod bounds;
mod conversations;
mod crowds;
mod cursors;
mod descriptions;
mod drain;
mod errors;
mod event_stream;
mod faults;
mod field_clients;
mod hostile;
mod http;
mod limits;
mod metrics;
mod origins;
mod polling;
mod privileges;
mod provisioning;
mod publishing;
mod replaying;
mod rewinds;
mod routes;
mod subscribing;
mod tls;
mod traces;
mod training;
