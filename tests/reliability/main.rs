//! Faults, injected into real processes, and what watchers got all the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a broken expectation is how a test fails"
)]

#[path = "../checker/defects.rs"]
mod defects;
#[allow(dead_code, reason = "the stage is set for the end-to-end tests, which use all of it")]
#[path = "../end_to_end/harness/mod.rs"]
mod harness;
#[path = "../checker/history.rs"]
mod history;
#[path = "../checker/verdict.rs"]
mod verdict;

mod chaos;
mod faults;
mod stage;
