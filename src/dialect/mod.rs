//! Wire formats, as pure functions: from a stored event to the bytes a client gets, and from a
//! client's text to what it asks for.
//!
//! Nothing here knows sessions, windows or NATS. What a client may read is a closed list of codes
//! and sentences, all of it in these modules.

mod form;
pub mod frame;
pub mod optimization;
mod timestamp;

pub use form::{Form, encode, is_final, standing};

pub use timestamp::iso8601;
