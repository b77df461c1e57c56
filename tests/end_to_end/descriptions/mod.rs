//! The descriptions of the API in `docs/`, held against what a gateway really says, so that they
//! can neither lack nor invent anything.
//!
//! Each test has conversations in which everything that a part of a description tells of is said.
//! Whatever is said must be described, down to the last field; and whatever is described, down to
//! the last value of a list, must have been said.

mod asking;
mod conversing;
mod description;

mod documents;
mod optimization;
mod paths;
mod publishing;
mod reading;
mod tokens;
mod upgrades;

/// A trace that an event belongs to.
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
