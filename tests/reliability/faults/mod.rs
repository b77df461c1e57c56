//! Faults, one a test.

mod cluster;
mod network;
mod permissions;
mod processes;
mod storage;
mod streams;
