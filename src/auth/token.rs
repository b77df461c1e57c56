//! A token taken apart: header and claims, by type and nothing more.
//!
//! What the values must be is decided in `verifier`. Both are read by strict types of our own:
//! a name given twice, a `null` or a date in quotes is an error, never a claim that is absent
//! (CVE-2026-25537 was that).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, Error, IgnoredAny, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// Last second of the year 9999: no date of a token is later.
const LATEST: u64 = 253_402_300_799;

/// Not the compact form, or a part that is not base64url of a JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not base64url of a JSON object of this form")]
pub(super) struct NotReadable;

/// The compact form (RFC 7515 section 7.1): three parts with dots between.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    /// Header and payload with the dot: what is signed.
    pub message: &'a str,
    pub header: &'a str,
    pub payload: &'a str,
    pub signature: &'a str,
}

impl<'a> Parts<'a> {
    /// Splits a token at its two dots.
    pub fn split(token: &'a str) -> Result<Self, NotReadable> {
        let (message, signature) = token.rsplit_once('.').ok_or(NotReadable)?;
        let (header, payload) = message.split_once('.').ok_or(NotReadable)?;
        if payload.contains('.') || signature.is_empty() {
            return Err(NotReadable);
        }
        Ok(Self { message, header, payload, signature })
    }
}

/// What of a header is looked at. `jwk`, `jku`, `x5u` and `x5c` are not: a token never says
/// which key it is checked with, except by the id of one of ours (RFC 8725 section 3.10).
#[derive(Deserialize)]
pub(super) struct Header {
    pub alg: String,
    #[serde(default, deserialize_with = "present")]
    pub kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub crit: Option<IgnoredAny>,
}

/// What of the claims is looked at.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub exp: NumericDate,
    #[serde(default, deserialize_with = "present")]
    pub nbf: Option<NumericDate>,
    #[serde(default, deserialize_with = "present")]
    pub sub: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub aud: Option<Audience>,
    #[serde(default, deserialize_with = "present")]
    pub iss: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub watch: Option<Vec<serde_json::Value>>,
    #[serde(default, deserialize_with = "present")]
    pub publish: Option<Vec<serde_json::Value>>,
}

/// One audience or several (RFC 7519 section 4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    /// Whether one of them is a given name.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Several(several) => several.iter().any(|one| one == name),
        }
    }
}

/// Seconds since 1970 as a JSON number (RFC 7519 section 2), between 1970 and the year 9999.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct NumericDate(f64);

impl NumericDate {
    /// The last whole second that is not after it.
    pub fn floor(self) -> u64 {
        self.0.floor() as u64
    }

    /// The first whole second that is not before it.
    pub fn ceiling(self) -> u64 {
        self.0.ceil() as u64
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = NumericDate;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("seconds since 1970, as a number")
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<NumericDate, E> {
                self.visit_f64(seconds as f64)
            }

            fn visit_f64<E: Error>(self, seconds: f64) -> Result<NumericDate, E> {
                // Not-a-number is in no range.
                if (0.0..=LATEST as f64).contains(&seconds) {
                    Ok(NumericDate(seconds))
                } else {
                    Err(E::invalid_value(Unexpected::Float(seconds), &self))
                }
            }
        }
        // Integers below 0 come as i64, which is not taken.
        deserializer.deserialize_any(Number)
    }
}

/// Reads a member that may be absent; `null` is a value like others, not absence.
fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Reads a part of a token.
pub(super) fn read<T: DeserializeOwned>(part: &str) -> Result<T, NotReadable> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| NotReadable)?;
    // serde would read an array as a struct too.
    if json.first() != Some(&b'{') && json.trim_ascii_start().first() != Some(&b'{') {
        return Err(NotReadable);
    }
    serde_json::from_slice(&json).map_err(|_| NotReadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(json: &str) -> Result<Claims, NotReadable> {
        read(&URL_SAFE_NO_PAD.encode(json))
    }

    #[test]
    fn a_date_is_a_number_between_1970_and_9999() {
        for (json, seconds) in [("0", 0), ("1.5", 1), ("1e3", 1_000), ("253402300799", LATEST)] {
            let read = claims(&format!("{{\"exp\":{json}}}")).expect("claims");
            assert_eq!(read.exp.floor(), seconds, "{json}");
        }
        for json in [
            "\"5\"",
            "null",
            "true",
            "[5]",
            "{}",
            "-1",
            "-0.5",
            "NaN",
            "Infinity",
            "1e999",
            "1e20",
            "253402300800",
            "18446744073709551616",
            "",
            "0x5",
            "5s",
        ] {
            assert!(claims(&format!("{{\"exp\":{json}}}")).is_err(), "{json}");
        }
    }

    #[test]
    fn a_date_between_two_seconds_counts_against_the_token() {
        let date = claims(r#"{"exp":1.5}"#).expect("claims").exp;
        assert_eq!((date.floor(), date.ceiling()), (1, 2));
    }

    #[test]
    fn null_is_not_absence() {
        for name in ["nbf", "sub", "aud", "iss", "watch", "publish"] {
            assert!(claims(&format!("{{\"exp\":5,\"{name}\":null}}")).is_err(), "{name}");
        }
    }

    #[test]
    fn a_claim_given_twice_is_an_error_however_it_is_written() {
        assert!(claims(r#"{"exp":5,"exp":5}"#).is_err());
        assert!(claims(r#"{"exp":5,"e\u0078p":9}"#).is_err());
        assert!(claims(r#"{"exp":5,"watch":[],"watch":["*/*"]}"#).is_err());
    }

    #[test]
    fn an_array_is_not_taken_for_an_object() {
        assert!(claims("[5,5,\"a\",\"b\",\"c\",[],[]]").is_err());
    }

    #[test]
    fn a_token_has_three_parts() {
        for token in ["", ".", "a", "a.b", "a.b.", "a.b.c.d", "a..b.c", "...."] {
            assert!(Parts::split(token).is_err(), "{token}");
        }
        let parts = Parts::split("a.b.c").map(|parts| (parts.message, parts.signature));
        assert_eq!(parts, Ok(("a.b", "c")));
    }
}
