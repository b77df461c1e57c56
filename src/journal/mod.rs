//! The journal: the only code that knows NATS.
//!
//! Connections, the stream's definition, and publishing with acknowledgement. What is read from
//! the journal is kept by the window, not here.

pub mod connection;
pub mod publish;
pub mod stream;
