//! Wire formats, as pure functions: from a stored event to the bytes a client gets, and from a
//! client's text to what it asks for.
//!
//! Nothing here knows sessions, windows or NATS. What a client may read is a closed list of codes
//! and sentences, all of it in these modules.

pub mod agent;
pub mod beam_search;
pub mod event_stream;
mod form;
pub mod frame;
mod message;
mod occurrence;
pub mod optimization;
pub mod table;
mod timestamp;
pub mod training;

pub use form::{Form, encode, is_final, standing};
pub use occurrence::Occurrence;
pub use timestamp::iso8601;

#[cfg(test)]
mod golden;
#[cfg(test)]
pub(crate) mod rehearsal;
