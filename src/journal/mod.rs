//! The journal: the only code that knows NATS.
//!
//! Connections, the stream's definition, the tail that feeds the window's owner, pages of older
//! history, publishing. It knows events and configuration, and nothing of windows, sockets or
//! wire formats.

mod history;

pub use history::{Answer, Bounds, History, LeaderView, Page, PageRead, Question};
