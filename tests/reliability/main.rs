//! Faults, injected into real processes, and what watchers got all the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a broken expectation is how a test fails"
)]

#[path = "../checker/defects.rs"]
mod defects;
#[path = "../checker/history.rs"]
mod history;
#[path = "../checker/verdict.rs"]
mod verdict;
