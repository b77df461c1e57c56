//! TLS on the public listener, for those who have nothing before the gateway that ends it.
//!
//! A certificate and its key are two files, looked at again every few seconds: new handshakes get
//! what is in them now, connections that stand keep what they have. What is wrong with the files
//! is told in the words of [`PairError`], before anything listens and later in the log.

mod accept;
mod metrics;
mod pair;
mod reload;

pub use accept::{BUFFERED, HandshakeError, TlsAccept};
pub use metrics::TlsMetrics;
pub use pair::{Pair, PairError, PemFiles};
pub use reload::Reload;
