//! Tokens, and gateways that ask for them.

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

const SECRET: &str = "a secret of more than thirty-two bytes";

/// The configuration of a gateway that asks for [`token`]s.
pub const WITH_TOKENS: &str =
    "[auth]\nmode = \"jwt\"\nsecret = \"a secret of more than thirty-two bytes\"\n";

/// How one is started that can check none: nobody gives it keys.
pub const WITHOUT_KEYS: [&str; 4] =
    ["--auth-mode", "jwt", "--auth-jwks-url", "http://127.0.0.1:1/keys"];

/// A token with which these may be watched.
pub fn token(watch: &[&str]) -> String {
    signed(&json!({ "exp": 4_102_444_800_u64, "watch": watch }))
}

/// A token with which these may be published to.
pub fn producer_token(publish: &[&str]) -> String {
    signed(&json!({ "exp": 4_102_444_800_u64, "publish": publish }))
}

fn signed(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes()))
        .expect("a signed token")
}
