//! The journal: the only code that knows NATS.
//!
//! Connections, the stream's definition, the tail that feeds the window, pages of older history,
//! and publishing with acknowledgement. It knows events and configuration, and nothing of
//! windows, sockets or wire formats: what the tail reads goes to whoever implements
//! [`tail::Follower`], and what [`history::History`] answers it does not keep beyond a bounded
//! cache of pages.

pub mod connection;
pub mod publish;
pub mod stream;

pub mod catalog;
pub mod catch_up;
mod consumer;
pub mod denials;
mod history;
mod pages;
mod reading;
pub mod request_counts;
pub mod requests;
pub mod tail;

pub use history::{Answer, Bounds, History, Incarnation, LeaderView, Page, PageRead, Question};
