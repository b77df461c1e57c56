//! The command line: what a person types, and the exit codes it answers with.

pub mod nats_server;
