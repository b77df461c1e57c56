//! The commands that talk to a gateway, as a person or a script uses them: what they print and
//! where, and the exit codes, against a real gateway and a real nats-server.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../end_to_end/harness/mod.rs"]
#[allow(dead_code, reason = "the end-to-end tests use what is not used here")]
mod harness;

mod doctor;
mod jobs;
mod pages;
mod program;
mod publish;
mod tail;
