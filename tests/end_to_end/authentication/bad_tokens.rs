//! Tokens with which nobody is let in.

use serde_json::{Value, json};

use crate::harness::issuer::*;

/// What is wrong with a token, and the token.
pub type BadToken = (&'static str, String);

/// What every bad token is made of.
pub fn good_claims() -> Value {
    watching(&["*/*"])
}

/// Every one.
pub fn every_bad_token() -> Vec<BadToken> {
    [
        malformed(),
        changed_after_signing(),
        of_wrong_algorithms(),
        of_wrong_keys(),
        of_bad_dates(),
        of_bad_claims(),
        for_others(),
    ]
    .concat()
}

fn good() -> String {
    token(&good_claims())
}

/// Good claims with one of them changed; `null` takes it away.
fn with_claim(name: &str, value: Value) -> String {
    let mut claims = good_claims();
    let members = claims.as_object_mut().expect("an object");
    members.remove(name);
    if !value.is_null() {
        members.insert(name.into(), value);
    }
    token(&claims)
}

/// Good claims with `exp` as it is written here.
fn with_expiry(written: &str) -> String {
    let claims = good_claims().to_string();
    let exp = good_claims()["exp"].to_string();
    token_of(
        SECRET,
        HS256,
        &claims.replace(&format!("\"exp\":{exp}"), &format!("\"exp\":{written}")),
    )
}

fn with_header(header: &Value) -> String {
    token_of(SECRET, &header.to_string(), &good_claims().to_string())
}

/// A good token of which a part is changed after signing.
fn with_part(place: usize, change: impl Fn(&str) -> String) -> String {
    let token = good();
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts[place] = change(&parts[place]);
    parts.join(".")
}

fn flipped(part: &str) -> String {
    let mut bytes = decode(part);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    encode(bytes)
}

fn malformed() -> Vec<BadToken> {
    let (head, _) = good().rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    vec![
        ("a word", "garbage".into()),
        ("a dot", ".".into()),
        ("two dots", "..".into()),
        ("two parts", head.clone()),
        ("the signature stripped, its dot kept", format!("{head}.")),
        ("four parts", format!("{}.AAAA", good())),
        ("five parts, as if encrypted", format!("{}.AAAA.AAAA", good())),
        ("a dot in front", format!(".{}", good())),
        ("a quoted token", format!("\"{}\"", good())),
        ("a comma behind", format!("{},", good())),
        ("two tokens with a comma", format!("{},{}", good(), good())),
        ("two tokens with a space", format!("{} {}", good(), good())),
        ("a space inside", good().replacen('.', " .", 1)),
        ("a tab inside", good().replacen('.', "\t.", 1)),
        ("the scheme twice", format!("Bearer {}", good())),
        ("letters beyond ASCII", "é.é.é".into()),
        ("padding behind the header", with_part(0, |part| format!("{part}="))),
        ("padding behind the claims", with_part(1, |part| format!("{part}=="))),
        ("padding behind the signature", with_part(2, |part| format!("{part}="))),
        ("percent-encoded", good().replace('.', "%2E")),
        ("the header in plain JSON", with_part(0, |_| HS256.into())),
        ("a header that is an array", token_of(SECRET, r#"["HS256"]"#, &good_claims().to_string())),
        ("no algorithm", with_header(&json!({ "typ": "JWT" }))),
        ("more than a token may have", with_claim("padding", "x".repeat(9_000).into())),
        ("nothing but letters, as many as may come", "a".repeat(12_000)),
    ]
}

fn changed_after_signing() -> Vec<BadToken> {
    let widened = |part: &str| {
        let claims = String::from_utf8(decode(part)).expect("JSON");
        encode(claims.replace("\"sub\":\"ann\"", "\"sub\":\"eve\""))
    };
    vec![
        ("a bit of the header flipped", with_part(0, flipped)),
        ("a bit of the claims flipped", with_part(1, flipped)),
        ("a bit of the signature flipped", with_part(2, flipped)),
        ("another subject below the signature", with_part(1, widened)),
        ("the signature cut short", with_part(2, |part| part[..20].into())),
        ("the last character of the signature gone", with_part(2, |part| part[..42].into())),
        ("the signature twice", with_part(2, |part| format!("{part}{part}"))),
        ("the signature of zeros", with_part(2, |_| encode([0; 32]))),
        (
            "the signature of another token",
            with_part(2, |_| {
                token(&json!({ "exp": now() + 60 })).rsplit('.').next().unwrap_or_default().into()
            }),
        ),
    ]
}

fn of_wrong_algorithms() -> Vec<BadToken> {
    let claims = good_claims().to_string();
    let unsigned = |algorithm: &str| {
        let header = encode(json!({ "alg": algorithm, "typ": "JWT" }).to_string());
        format!("{header}.{}.{}", encode(&claims), encode("x"))
    };
    let pem = RS256.pem.as_bytes();
    let confused = json!({ "alg": "HS256", "kid": "RS256" }).to_string();
    vec![
        ("alg none", unsigned("none")),
        ("alg None", unsigned("None")),
        ("alg NONE", unsigned("NONE")),
        ("alg nOnE", unsigned("nOnE")),
        ("an empty alg", unsigned("")),
        ("alg none without a signature", unsigned("none").trim_end_matches("eA").into()),
        ("alg none over a good signature", with_part(0, |_| encode(r#"{"alg":"none"}"#))),
        ("alg in lower case", with_header(&json!({ "alg": "hs256" }))),
        ("alg HS512 over HS256", with_header(&json!({ "alg": "HS512" }))),
        ("alg RS256 over HS256", with_header(&json!({ "alg": "RS256", "kid": "RS256" }))),
        ("alg that is a number", with_header(&json!({ "alg": 256 }))),
        ("the public key's PEM as secret", token_of(pem, HS256, &claims)),
        ("the same under the key's id", token_of(pem, &confused, &claims)),
        ("the PEM without its last line end", token_of(pem.trim_ascii(), &confused, &claims)),
        ("the EC key's PEM as secret", token_of(ES256.pem.as_bytes(), HS256, &claims)),
        ("another key's id", RS256.token("ES256", &good_claims())),
        ("ES256 under the id of the RSA key", ES256.token("RS256", &good_claims())),
        ("no id where the key has one", RS256.token_of(r#"{"alg":"RS256"}"#, &claims)),
    ]
}

fn of_wrong_keys() -> Vec<BadToken> {
    let stranger = Pair::curve();
    let named = |id: &str| with_header(&json!({ "alg": "HS256", "kid": id }));
    let brought = |member: &str, value: Value| {
        let header = json!({ "alg": "ES256", "kid": "ES256", member: value }).to_string();
        stranger.token_of(&header, &good_claims().to_string())
    };
    vec![
        ("another secret", token_of([7; 40], HS256, &good_claims().to_string())),
        ("no secret", token_of("", HS256, &good_claims().to_string())),
        ("another EC key", stranger.token("ES256", &good_claims())),
        ("another RSA key", Pair::rsa().token("RS256", &good_claims())),
        ("an unknown id", named("somebody")),
        ("an empty id", named("")),
        ("an id that is a path", named("../../../../dev/null")),
        ("an id that is SQL", named("x' UNION SELECT 'secret")),
        ("an id that is a number", with_header(&json!({ "alg": "HS256", "kid": 1 }))),
        ("an id that is null", with_header(&json!({ "alg": "HS256", "kid": null }))),
        ("a key that it brings along", brought("jwk", stranger.jwk("ES256"))),
        ("an address of keys", brought("jku", "http://127.0.0.1:1/keys".into())),
        ("an address of a certificate", brought("x5u", "http://127.0.0.1:1/cert".into())),
        ("a certificate that it brings along", brought("x5c", json!([encode("cert")]))),
        ("an extension", with_header(&json!({ "alg": "HS256", "crit": ["exp"] }))),
        (
            "an unencoded payload",
            with_header(&json!({ "alg": "HS256", "crit": ["b64"], "b64": false })),
        ),
    ]
}

fn of_bad_dates() -> Vec<BadToken> {
    let later = (now() + 600).to_string();
    vec![
        ("expired", with_expiry(&(now() - 1).to_string())),
        ("expired in 1970", with_expiry("0")),
        ("expired, as a float", with_expiry(&format!("{}.5", now() - 60))),
        ("no exp", with_claim("exp", Value::Null)),
        ("exp null", with_expiry("null")),
        ("exp as a string", with_expiry(&format!("\"{later}\""))),
        ("exp in an array", with_expiry(&format!("[{later}]"))),
        ("exp true", with_expiry("true")),
        ("exp negative", with_expiry("-1")),
        ("exp beyond 64 bits", with_expiry("99999999999999999999999")),
        ("exp beyond all numbers", with_expiry("1e999")),
        ("exp in milliseconds", with_expiry(&format!("{later}000"))),
        ("exp twice", with_expiry(&format!("{later},\"exp\":{later}"))),
        ("not valid yet", with_claim("nbf", (now() + 300).into())),
        ("not valid yet, as a float", with_claim("nbf", json!(now() as f64 + 300.5))),
        ("nbf as a string", with_claim("nbf", "0".into())),
    ]
}

fn of_bad_claims() -> Vec<BadToken> {
    vec![
        ("watch that is a string", with_claim("watch", "*/*".into())),
        ("watch that is an object", with_claim("watch", json!({ "*/*": true }))),
        ("watch that is a number", with_claim("watch", 7.into())),
        ("watch that is true", with_claim("watch", true.into())),
        ("publish that is a string", with_claim("publish", "*/*".into())),
        ("a subject that is a number", with_claim("sub", 7.into())),
        ("claims that are an array", token_of(SECRET, HS256, "[1]")),
        ("claims that are a string", token_of(SECRET, HS256, "\"claims\"")),
        ("claims that are no JSON", token_of(SECRET, HS256, "{")),
        ("no claims", token_of(SECRET, HS256, "")),
        ("claims nested deeply", token_of(SECRET, HS256, &"[".repeat(3_000))),
    ]
}

fn for_others() -> Vec<BadToken> {
    vec![
        ("another audience", with_claim("aud", "elsewhere".into())),
        ("no audience", with_claim("aud", Value::Null)),
        ("audiences without ours", with_claim("aud", json!(["elsewhere", "nowhere"]))),
        ("an empty list of audiences", with_claim("aud", json!([]))),
        ("an audience that begins like ours", with_claim("aud", "jobwire.evil.test".into())),
        ("an audience in other case", with_claim("aud", "JobWire".into())),
        ("an audience that is a number", with_claim("aud", 1.into())),
        ("another issuer", with_claim("iss", "https://evil.test".into())),
        ("no issuer", with_claim("iss", Value::Null)),
        ("an issuer with a slash more", with_claim("iss", format!("{ISSUER}/").into())),
        ("issuers in an array", with_claim("iss", json!([ISSUER]))),
    ]
}
