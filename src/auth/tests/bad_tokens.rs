//! Tokens that are refused, each for the reason it should be, and quickly.

use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::bad_claims::{
    tokens_for_other_times_or_nothing, tokens_for_others, tokens_with_bad_claims,
    tokens_with_bad_dates, tokens_with_malformed_claims, with_raw_expiry,
};
use super::issuer::*;
use crate::auth::TokenRefusal;

/// What is wrong with a token, the token, and what is told.
pub type Vector = (&'static str, String, TokenRefusal);

pub const HS256: &str = r#"{"alg":"HS256"}"#;

/// Longest time that a refusal may take, with room for a busy machine and a debug build.
const LIMIT: Duration = Duration::from_millis(1);

/// The shortest of several runs: what the work itself takes.
pub fn quickest(work: impl Fn()) -> Duration {
    let run = |_| {
        let begin = Instant::now();
        work();
        begin.elapsed()
    };
    (0..20).map(run).min().unwrap_or_default()
}

fn good() -> String {
    secret_token(SECRET, HS256, &good_claims().to_string())
}

/// A token whose header is written as it is here, signed with the secret.
fn with_header(header: &str) -> String {
    secret_token(SECRET, header, &good_claims().to_string())
}

/// A token of which one part is changed after signing.
fn with_part(place: usize, change: impl Fn(&str) -> String) -> String {
    let token = good();
    let mut parts: Vec<String> = token.split('.').map(String::from).collect();
    parts[place] = change(&parts[place]);
    parts.join(".")
}

/// A token for the trusted P-256 key whose signature is changed.
fn with_signature(change: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let header = r#"{"alg":"ES256","kid":"ES256"}"#;
    let token = TRUSTED.p256.token(Algorithm::ES256, header, &good_claims().to_string());
    let (message, signature) = token.rsplit_once('.').expect("a signature");
    format!("{message}.{}", encode(change(&decode(signature))))
}

fn malformed_tokens() -> Vec<Vector> {
    let refusal = TokenRefusal::Malformed;
    let claims = good_claims().to_string();
    vec![
        ("nothing at all", String::new(), refusal),
        ("one dot", ".".into(), refusal),
        ("two dots", "..".into(), refusal),
        ("a word", "garbage".into(), refusal),
        ("binary", "\u{0}\u{1}.\u{2}.\u{3}".into(), refusal),
        ("not ASCII", "é.é.é".into(), refusal),
        ("a header alone", encode(HS256), refusal),
        ("no signature part", format!("{}.{}", encode(HS256), encode(&claims)), refusal),
        ("an empty signature", with_part(2, |_| String::new()), refusal),
        ("four parts", format!("{}.AAAA", good()), refusal),
        ("five parts, as if encrypted", format!("{}.AAAA.AAAA", good()), refusal),
        ("an empty part in front", format!(".{}", good()), refusal),
        ("no header", with_part(0, |_| String::new()), refusal),
        ("a space in front", format!(" {}", good()), refusal),
        ("a line end behind", format!("{}\n", good()), refusal),
        ("a header in plain JSON", with_part(0, |_| HS256.into()), refusal),
        ("a header that is no base64", with_part(0, |_| "!!!!".into()), refusal),
        ("padding", with_part(2, |part| format!("{part}=")), refusal),
        ("base64 instead of base64url", with_part(2, |_| "+/+/".into()), refusal),
        ("a header that is an array", with_header(r#"["HS256",null,null]"#), refusal),
        ("a header that is a string", with_header(r#""HS256""#), refusal),
        ("a header cut short", with_header(r#"{"alg":"HS256""#), refusal),
        ("a header with more behind", with_header(r#"{"alg":"HS256"}{}"#), refusal),
        ("no algorithm", with_header(r#"{"typ":"JWT"}"#), refusal),
        ("an algorithm that is a number", with_header(r#"{"alg":256}"#), refusal),
        ("algorithms in an array", with_header(r#"{"alg":["HS256","none"]}"#), refusal),
        ("the algorithm twice", with_header(r#"{"alg":"HS256","alg":"none"}"#), refusal),
        (
            "the algorithm twice, once escaped",
            with_header(r#"{"alg":"HS256","\u0061lg":"none"}"#),
            refusal,
        ),
        ("the key's id twice", with_header(r#"{"alg":"HS256","kid":"a","kid":"b"}"#), refusal),
        ("an id that is null", with_header(r#"{"alg":"HS256","kid":null}"#), refusal),
        ("an id that is an object", with_header(r#"{"alg":"HS256","kid":{"a":1}}"#), refusal),
        ("a header that is no UTF-8", with_part(0, |_| encode(b"{\"alg\":\"\xff\"}")), refusal),
        (
            "a header nested deeply",
            with_header(&format!("{{\"alg\":{}", "[".repeat(4_000))),
            refusal,
        ),
        ("a bearer scheme in the token", format!("Bearer {}", good()), refusal),
    ]
}

fn tokens_of_untrusted_keys() -> Vec<Vector> {
    let claims = good_claims().to_string();
    let es256 = r#"{"alg":"ES256","kid":"ES256"}"#;
    let eddsa = r#"{"alg":"EdDSA","kid":"EdDSA"}"#;
    let rs256 = r#"{"alg":"RS256","kid":"RS256"}"#;
    let pem = TRUSTED.rsa.pem.as_bytes();
    let own_key = json!({
        "alg": "ES256", "kid": "ES256", "jwk": OTHER.p256.jwk(Algorithm::ES256, "ES256"),
        "jku": "https://evil.test/keys", "x5u": "https://evil.test/cert",
    });
    let other = &*OTHER;
    let refusal = TokenRefusal::Signature;
    vec![
        ("another secret", secret_token(&[7; 32], HS256, &claims), refusal),
        ("an empty secret", secret_token(b"", HS256, &claims), refusal),
        ("the RSA key as secret", secret_token(pem, HS256, &claims), refusal),
        ("the trimmed RSA key as secret", secret_token(pem.trim_ascii(), HS256, &claims), refusal),
        ("another RSA key", other.rsa.token(Algorithm::RS256, rs256, &claims), refusal),
        ("another P-256 key", other.p256.token(Algorithm::ES256, es256, &claims), refusal),
        ("another Ed25519 key", other.edwards.token(Algorithm::EdDSA, eddsa, &claims), refusal),
        (
            "a key that the token brings along",
            other.p256.token(Algorithm::ES256, &own_key.to_string(), &claims),
            refusal,
        ),
        (
            "another padding than the header says",
            TRUSTED.rsa.token(Algorithm::PS256, rs256, &claims),
            refusal,
        ),
        (
            "another hash than the header says",
            TRUSTED.rsa.token(Algorithm::RS512, rs256, &claims),
            refusal,
        ),
    ]
}

fn tokens_with_another_signature() -> Vec<Vector> {
    let swapped = |signature: &[u8]| [&signature[32..], &signature[..32]].concat();
    let refusal = TokenRefusal::Signature;
    vec![
        ("r and s swapped", with_signature(swapped), refusal),
        ("r and s zero", with_signature(|_| vec![0; 64]), refusal),
        ("r zero", with_signature(|whole| [&[0; 32], &whole[32..]].concat()), refusal),
        ("s zero", with_signature(|whole| [&whole[..32], &[0; 32]].concat()), refusal),
        ("r and s as large as can be", with_signature(|_| vec![0xff; 64]), refusal),
        ("a signature cut short", with_signature(|whole| whole[..63].to_vec()), refusal),
        ("a signature of one byte", with_signature(|_| vec![1]), refusal),
        ("a longer signature", with_signature(|whole| [whole, &[0]].concat()), refusal),
        (
            "a signature in DER",
            with_signature(|whole| {
                [&[0x30, 0x44, 2, 32], &whole[..32], &[2, 32], &whole[32..]].concat()
            }),
            refusal,
        ),
        (
            "a signature with one bit changed",
            with_signature(|whole| {
                let mut whole = whole.to_vec();
                whole[40] ^= 1;
                whole
            }),
            refusal,
        ),
        (
            "other claims below the signature",
            with_part(1, |_| encode(good_claims().to_string().replace("ann", "bob"))),
            refusal,
        ),
        (
            "a wider grant below the signature",
            with_part(1, |part| {
                encode(String::from_utf8(decode(part)).expect("text").replace("training/*", "*/*"))
            }),
            refusal,
        ),
        (
            "claims cut short below the signature",
            with_part(1, |part| part[..part.len() / 2].into()),
            refusal,
        ),
        (
            "a JSON bomb below a wrong signature",
            with_part(1, |_| encode("[".repeat(4_000))),
            refusal,
        ),
        (
            "another header over the signature",
            with_part(0, |_| encode(r#"{"typ":"JWT","alg":"HS256"}"#)),
            refusal,
        ),
    ]
}

fn tokens_of_other_algorithms() -> Vec<Vector> {
    let claims = good_claims().to_string();
    let unsigned = |algorithm: &str| {
        format!(
            "{}.{}.{}",
            encode(format!(r#"{{"alg":"{algorithm}"}}"#)),
            encode(&claims),
            encode("x")
        )
    };
    let algorithm = TokenRefusal::Algorithm;
    let pem = TRUSTED.rsa.pem.as_bytes();
    vec![
        ("alg none", unsigned("none"), algorithm),
        ("alg None", unsigned("None"), algorithm),
        ("alg NONE", unsigned("NONE"), algorithm),
        ("alg nOnE", unsigned("nOnE"), algorithm),
        ("an empty alg", unsigned(""), algorithm),
        ("alg in lower case", with_header(r#"{"alg":"hs256"}"#), algorithm),
        ("alg HS1", with_header(r#"{"alg":"HS1"}"#), algorithm),
        ("alg ES512", with_header(r#"{"alg":"ES512"}"#), algorithm),
        ("alg ES256K", with_header(r#"{"alg":"ES256K"}"#), algorithm),
        ("an encryption as alg", with_header(r#"{"alg":"RSA-OAEP"}"#), algorithm),
        ("alg HS384 on the key for HS256", with_header(r#"{"alg":"HS384"}"#), algorithm),
        (
            "HS256 with the RSA key as secret, under its id",
            secret_token(pem, r#"{"alg":"HS256","kid":"RS256"}"#, &claims),
            algorithm,
        ),
        (
            "RS512 with the key that is for RS256",
            TRUSTED.rsa.token(Algorithm::RS512, r#"{"alg":"RS512","kid":"RS256"}"#, &claims),
            algorithm,
        ),
        (
            "PS256 with the key that is for RS256",
            TRUSTED.rsa.token(Algorithm::PS256, r#"{"alg":"PS256","kid":"RS256"}"#, &claims),
            algorithm,
        ),
        (
            "a good signature under the id of another key",
            TRUSTED.p256.token(Algorithm::ES256, r#"{"alg":"ES256","kid":"ES384"}"#, &claims),
            algorithm,
        ),
        (
            "no id where the key has one",
            TRUSTED.p256.token(Algorithm::ES256, r#"{"alg":"ES256"}"#, &claims),
            algorithm,
        ),
    ]
}

fn tokens_that_name_no_key_or_an_extension() -> Vec<Vector> {
    let named = |id: &str| with_header(&json!({ "alg": "HS256", "kid": id }).to_string());
    let key = TokenRefusal::UnknownKey;
    vec![
        ("an unknown id", named("somebody"), key),
        ("an id that is empty", named(""), key),
        ("an id that is a path", named("../../../../etc/passwd"), key),
        ("an id that is a device", named("/dev/null"), key),
        ("an id that is SQL", named("x' UNION SELECT 'secret"), key),
        ("an id that is an address", named("https://evil.test/keys"), key),
        ("an id with a zero byte", named("ES256\u{0}"), key),
        ("an id in other case", named("es256"), key),
        ("an id that is very long", named(&"k".repeat(3_000)), key),
        (
            "an extension that must be understood",
            with_header(r#"{"alg":"HS256","crit":["exp"]}"#),
            TokenRefusal::Critical,
        ),
        (
            "no extension that must be understood",
            with_header(r#"{"alg":"HS256","crit":[]}"#),
            TokenRefusal::Critical,
        ),
        (
            "an extension that is null",
            with_header(r#"{"alg":"HS256","crit":null}"#),
            TokenRefusal::Critical,
        ),
        (
            "an unencoded payload",
            with_header(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#),
            TokenRefusal::Critical,
        ),
    ]
}

fn every_bad_token() -> Vec<Vector> {
    [
        malformed_tokens(),
        tokens_of_untrusted_keys(),
        tokens_with_another_signature(),
        tokens_of_other_algorithms(),
        tokens_that_name_no_key_or_an_extension(),
        tokens_with_bad_claims(),
        tokens_with_bad_dates(),
        tokens_with_malformed_claims(),
        tokens_for_others(),
        tokens_for_other_times_or_nothing(),
    ]
    .concat()
}

#[test]
fn every_bad_token_is_refused_for_its_reason() {
    let (gateway, metrics) = gateway();
    let vectors = every_bad_token();
    assert!(vectors.len() >= 100, "only {} tokens", vectors.len());
    let mut wrong = Vec::new();
    for (what, token, refusal) in &vectors {
        let outcome = gateway.verify(token, at(NOW));
        if outcome != Err(*refusal) {
            wrong.push(format!("{what}: {outcome:?}, not {refusal:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(metrics.tokens("accepted"), 0);
}

#[test]
fn the_token_that_the_bad_ones_are_made_of_is_good() {
    assert!(gateway().0.verify(&good(), at(NOW)).is_ok());
    assert!(gateway().0.verify(&with_signature(<[u8]>::to_vec), at(NOW)).is_ok());
    assert!(gateway().0.verify(&with_raw_expiry(&(NOW + 9).to_string()), at(NOW)).is_ok());
}

#[test]
fn every_bad_token_is_refused_within_a_millisecond() {
    let (gateway, _) = gateway();
    for (what, token, _) in every_bad_token() {
        let best = quickest(|| assert!(gateway.verify(&token, at(NOW)).is_err()));
        assert!(best < LIMIT, "{what} took {best:?}");
    }
}

#[test]
fn no_cut_of_a_good_token_is_taken() {
    let (gateway, _) = gateway();
    let token = good();
    for length in 0..token.len() {
        assert!(gateway.verify(&token[..length], at(NOW)).is_err(), "the first {length} bytes");
    }
}

#[test]
fn no_token_with_one_character_changed_is_taken() {
    let (gateway, _) = gateway();
    let token = good();
    for place in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("text");
        assert!(gateway.verify(&changed, at(NOW)).is_err(), "changed at {place}");
    }
}
