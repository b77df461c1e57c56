//! Tokens that are signed with a good key and refused for what they claim.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::bad_tokens::{HS256, Vector};
use super::issuer::*;
use crate::auth::TokenRefusal;

/// A token of good claims with some of them changed; `null` takes one away.
fn with_claims(changes: &Value) -> String {
    let mut claims = good_claims();
    let members = claims.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    secret_token(SECRET, HS256, &claims.to_string())
}

/// A token whose claims are written as they are here.
fn with_raw_claims(claims: &str) -> String {
    secret_token(SECRET, HS256, claims)
}

/// Good claims with `exp` written as it is here.
pub fn with_raw_expiry(expiry: &str) -> String {
    let mut claims = good_claims();
    claims.as_object_mut().expect("an object").remove("exp");
    let text = claims.to_string();
    with_raw_claims(&format!("{},\"exp\":{expiry}}}", text.trim_end_matches('}')))
}

/// Tokens whose claims are not of the types that they should be.
pub fn tokens_with_bad_claims() -> Vec<Vector> {
    let refusal = TokenRefusal::Claims;
    let soon = NOW + 600;
    vec![
        ("no exp", with_claims(&json!({ "exp": null })), refusal),
        ("exp as a string", with_claims(&json!({ "exp": soon.to_string() })), refusal),
        ("exp as a word", with_claims(&json!({ "exp": "never" })), refusal),
        ("exp in an array", with_claims(&json!({ "exp": [soon] })), refusal),
        ("exp in an object", with_claims(&json!({ "exp": { "exp": soon } })), refusal),
        ("exp true", with_claims(&json!({ "exp": true })), refusal),
        ("nbf as a string", with_claims(&json!({ "nbf": "0" })), refusal),
        ("nbf negative", with_claims(&json!({ "nbf": -1 })), refusal),
        ("watch that is a string", with_claims(&json!({ "watch": "*/*" })), refusal),
        ("watch that is an object", with_claims(&json!({ "watch": { "*/*": true } })), refusal),
        ("publish that is true", with_claims(&json!({ "publish": true })), refusal),
        ("a subject that is a number", with_claims(&json!({ "sub": 7 })), refusal),
        ("an issuer in an array", with_claims(&json!({ "iss": ["https://issuer.test"] })), refusal),
        ("an audience that is a number", with_claims(&json!({ "aud": 7 })), refusal),
        (
            "an audience with a number in it",
            with_claims(&json!({ "aud": ["jobwire", 7] })),
            refusal,
        ),
    ]
}

/// Tokens whose claims are not one JSON object with every name once.
pub fn tokens_with_malformed_claims() -> Vec<Vector> {
    let refusal = TokenRefusal::Claims;
    let soon = NOW + 600;
    vec![
        (
            "exp twice",
            with_raw_claims(&format!(r#"{{"exp":1,"exp":{soon},"watch":["*/*"]}}"#)),
            refusal,
        ),
        (
            "watch twice",
            with_raw_claims(&format!(r#"{{"exp":{soon},"watch":[],"watch":["*/*"]}}"#)),
            refusal,
        ),
        (
            "claims that are an array",
            with_raw_claims(&format!(r#"[{soon},0,"a","jobwire","x",["*/*"],[]]"#)),
            refusal,
        ),
        ("claims that are null", with_raw_claims("null"), refusal),
        ("no claims at all", with_raw_claims(""), refusal),
        ("claims with more behind", with_raw_claims(&format!("{} x", good_claims())), refusal),
        (
            "claims that are no UTF-8",
            {
                let message =
                    format!("{}.{}", encode(HS256), encode(b"{\"exp\":9,\"sub\":\"\xff\"}"));
                let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
                let signature =
                    jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256);
                format!("{message}.{}", signature.expect("a signature"))
            },
            refusal,
        ),
        (
            "claims nested deeply",
            with_raw_claims(&format!(r#"{{"watch":{}"#, "[".repeat(4_000))),
            refusal,
        ),
        (
            "a pattern nested deeply",
            with_raw_claims(&format!(
                r#"{{"exp":{soon},"watch":[{}{}]}}"#,
                "[".repeat(2_000),
                "]".repeat(2_000)
            )),
            refusal,
        ),
    ]
}

/// Tokens whose `exp` is no date, whatever number it is.
pub fn tokens_with_bad_dates() -> Vec<Vector> {
    [
        ("exp null", "null"),
        ("exp not a number", "NaN"),
        ("exp endless", "Infinity"),
        ("exp beyond all numbers", "1e999"),
        ("exp beyond all dates", "1e15"),
        ("exp beyond 64 bits", "18446744073709551616"),
        ("exp far beyond 64 bits", "99999999999999999999999999999999"),
        ("exp negative", "-1"),
        ("exp negative and huge", "-9223372036854775809"),
        ("exp in hexadecimal", "0x7fffffff"),
    ]
    .map(|(what, written)| (what, with_raw_expiry(written), TokenRefusal::Claims))
    .to_vec()
}

/// Tokens that are well made, but not valid now, grant nothing, or are too large.
pub fn tokens_for_other_times_or_nothing() -> Vec<Vector> {
    vec![
        ("expired", with_claims(&json!({ "exp": NOW - 10 })), TokenRefusal::Expired),
        ("expired long ago", with_claims(&json!({ "exp": 0 })), TokenRefusal::Expired),
        (
            "expired, with a fraction",
            with_raw_expiry(&format!("{}.9", NOW - 11)),
            TokenRefusal::Expired,
        ),
        (
            "milliseconds in the past as seconds",
            with_claims(&json!({ "exp": 1_500_000 })),
            TokenRefusal::Expired,
        ),
        ("not valid yet", with_claims(&json!({ "nbf": NOW + 11 })), TokenRefusal::NotYetValid),
        (
            "not valid for a fraction more",
            with_claims(&json!({ "nbf": NOW as f64 + 10.5 })),
            TokenRefusal::NotYetValid,
        ),
        (
            "not valid in this millennium",
            with_claims(&json!({ "nbf": 200_000_000_000u64 })),
            TokenRefusal::NotYetValid,
        ),
        (
            "nothing granted",
            with_claims(&json!({ "watch": [], "publish": [] })),
            TokenRefusal::GrantsNothing,
        ),
        (
            "only malformed patterns",
            with_claims(&json!({ "watch": ["*"], "publish": [">"] })),
            TokenRefusal::GrantsNothing,
        ),
        ("one byte too many", "a".repeat(8 * 1024 + 1), TokenRefusal::TooLarge),
        (
            "a megabyte",
            format!("{}.{}.{}", encode(HS256), "e30".repeat(350_000), encode("x")),
            TokenRefusal::TooLarge,
        ),
        (
            "a good token that is too large",
            with_claims(&json!({ "padding": "x".repeat(9_000) })),
            TokenRefusal::TooLarge,
        ),
    ]
}

/// Tokens that are well made and valid, but meant for others or made by others.
pub fn tokens_for_others() -> Vec<Vector> {
    vec![
        ("another audience", with_claims(&json!({ "aud": "elsewhere" })), TokenRefusal::Audience),
        ("no audience", with_claims(&json!({ "aud": null })), TokenRefusal::Audience),
        ("no audience in the array", with_claims(&json!({ "aud": [] })), TokenRefusal::Audience),
        (
            "an audience in other case",
            with_claims(&json!({ "aud": "JobWire" })),
            TokenRefusal::Audience,
        ),
        (
            "an audience that only begins so",
            with_claims(&json!({ "aud": "jobwire.evil.test" })),
            TokenRefusal::Audience,
        ),
        (
            "another issuer",
            with_claims(&json!({ "iss": "https://evil.test" })),
            TokenRefusal::Issuer,
        ),
        (
            "an issuer with a slash more",
            with_claims(&json!({ "iss": "https://issuer.test/" })),
            TokenRefusal::Issuer,
        ),
        ("no issuer", with_claims(&json!({ "iss": null })), TokenRefusal::Issuer),
    ]
}
