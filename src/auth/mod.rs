//! Who may watch and publish what: tokens, the keys that they are checked with, and grants.
//!
//! A request's token is found by [`extract`], checked by a [`Verifier`] and becomes a [`Grant`].
//! Nothing here knows sockets, routes or answers, and nothing waits in the path of a request
//! except [`Verifier::authenticate`], for at most one refresh of the keys.

mod carriage;
mod grant;
mod jwks;
mod key;
mod keys;
mod metrics;
mod pattern;
mod redaction;
mod refresh;
mod refusal;
mod settings;
mod token;
mod verifier;

pub use carriage::{ExtractError, Extracted, TokenSource, extract, offered_bearer};
pub use grant::Grant;
pub use jsonwebtoken::Algorithm;
pub use jwks::{ConnectorError, FetchError, Jwks, KeySource};
pub use key::{Key, KeyError, KeySetError};
pub use keys::{Keys, Schedule};
pub use metrics::AuthMetrics;
pub use pattern::{Pattern, PatternError};
pub use redaction::loggable;
pub use refresh::KeyRefresh;
pub use refusal::TokenRefusal;
pub use settings::{
    AuthConfig, AuthMode, AuthSettings, JwksConfig, JwksLocation, JwtConfig, Secret,
};
pub use verifier::{Policy, Verifier};

#[cfg(test)]
mod tests;
