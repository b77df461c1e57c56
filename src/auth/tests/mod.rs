//! Tokens, good and bad, against the whole of `auth`; parts are tested beside themselves.

mod bad_claims;
mod bad_tokens;
mod fetching;
mod good_tokens;
mod issuer;
mod rotation;
mod settings;
