//! Faults, one a test.

mod cluster;
mod network;
mod processes;
mod storage;
