//! An issuer of tokens for tests: keys made at random, and tokens of any shape signed with them.
//!
//! No key is stored anywhere. Tokens are put together by hand, since a library would not make
//! most of those that are needed here.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::auth::key::Key;
use crate::auth::verifier::Policy;
use crate::auth::{AuthMetrics, Keys, Verifier};

/// The second at which every test takes place, if it does not say otherwise.
pub const NOW: u64 = 1_800_000_000;
/// The secret of HS256.
pub const SECRET: &[u8] = b"thirty-two bytes, as RFC 7518 asks";

/// A key pair: what an issuer signs with, and what a gateway is given.
pub struct Pair {
    signing: EncodingKey,
    /// The public half in PEM.
    pub pem: String,
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

impl Pair {
    /// A new RSA key of a size.
    pub fn rsa(size: KeySize) -> Self {
        let pair = RsaKeyPair::generate(size).expect("a key");
        let private: Pkcs8V1Der<'static> = pair.as_der().expect("DER");
        let private = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(private.as_ref())
        );
        let public: PublicKeyX509Der<'static> = pair.public_key().as_der().expect("DER");
        let signing = EncodingKey::from_rsa_pem(private.as_bytes()).expect("a key");
        Self { signing, pem: pem(public.as_ref()) }
    }

    /// A new key on a curve.
    pub fn curve(algorithm: Algorithm) -> Self {
        let curve = match algorithm {
            Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
            _ => &ECDSA_P256_SHA256_FIXED_SIGNING,
        };
        let pair = EcdsaKeyPair::generate(curve).expect("a key");
        let private = pair.to_pkcs8v1().expect("DER");
        let public: PublicKeyX509Der<'static> = pair.public_key().as_der().expect("DER");
        Self { signing: EncodingKey::from_ec_der(private.as_ref()), pem: pem(public.as_ref()) }
    }

    /// A new Ed25519 key.
    pub fn edwards() -> Self {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let private = Ed25519KeyPair::generate_pkcs8v1(&random).expect("DER");
        let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).expect("a key");
        let public: PublicKeyX509Der<'static> = pair.public_key().as_der().expect("DER");
        Self { signing: EncodingKey::from_ed_der(private.as_ref()), pem: pem(public.as_ref()) }
    }

    /// The public half as the gateway holds it.
    pub fn key(&self, algorithm: Algorithm, id: Option<&str>) -> Key {
        Key::from_pem(algorithm, id, &self.pem).expect("a public key")
    }

    /// The public half as a JWK with an id.
    pub fn jwk(&self, algorithm: Algorithm, id: &str) -> Value {
        let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&self.signing, algorithm);
        let mut jwk = serde_json::to_value(jwk.expect("a JWK")).expect("JSON");
        jwk["kid"] = id.into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// A token of a header and claims as they are written.
    pub fn token(&self, algorithm: Algorithm, header: &str, claims: &str) -> String {
        sign(algorithm, &self.signing, header, claims)
    }
}

/// The keys of the issuer that the gateway trusts.
pub struct Issuer {
    pub rsa: Pair,
    pub p256: Pair,
    pub p384: Pair,
    pub edwards: Pair,
}

impl Issuer {
    fn new() -> Self {
        Self {
            rsa: Pair::rsa(KeySize::Rsa2048),
            p256: Pair::curve(Algorithm::ES256),
            p384: Pair::curve(Algorithm::ES384),
            edwards: Pair::edwards(),
        }
    }
}

/// The issuer that the gateway trusts.
pub static TRUSTED: LazyLock<Issuer> = LazyLock::new(Issuer::new);
/// One that it does not.
pub static OTHER: LazyLock<Issuer> = LazyLock::new(Issuer::new);

/// A token with HS256.
pub fn secret_token(secret: &[u8], header: &str, claims: &str) -> String {
    sign(Algorithm::HS256, &EncodingKey::from_secret(secret), header, claims)
}

fn sign(algorithm: Algorithm, key: &EncodingKey, header: &str, claims: &str) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    crate::auth::key::choose_backend();
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm);
    format!("{message}.{}", signature.expect("a signature"))
}

/// A part of a token.
pub fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// The bytes of a part of a token.
pub fn decode(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).expect("base64url")
}

/// Claims that are taken, as an object to change.
pub fn good_claims() -> Value {
    json!({
        "sub": "ann", "iss": "https://issuer.test", "aud": "jobwire",
        "iat": NOW - 60, "nbf": NOW - 60, "exp": NOW + 600,
        "watch": ["training/*", "agent/team7-*"], "publish": ["training/42"],
    })
}

/// The moment a number of seconds after 1970.
pub fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// What the gateway asks of tokens in tests.
pub fn policy() -> Policy {
    Policy {
        audience: vec!["jobwire".into()],
        issuer: vec!["https://issuer.test".into()],
        leeway: Duration::from_secs(10),
        default_watch: Vec::new(),
        default_publish: Vec::new(),
        max_token: 8 * 1024,
    }
}

/// Every key of the trusted issuer, named after its algorithm. The secret has no id, and one of
/// the RSA keys has none, so that a token without an id could mean either.
pub fn keys() -> Vec<Key> {
    let mut keys = vec![
        Key::from_secret(SECRET).expect("a secret"),
        TRUSTED.p256.key(Algorithm::ES256, Some("ES256")),
        TRUSTED.p384.key(Algorithm::ES384, Some("ES384")),
        TRUSTED.edwards.key(Algorithm::EdDSA, Some("EdDSA")),
        TRUSTED.rsa.key(Algorithm::RS256, None),
    ];
    for algorithm in RSA {
        keys.push(TRUSTED.rsa.key(algorithm, Some(&format!("{algorithm:?}"))));
    }
    keys
}

/// The algorithms of RSA keys.
pub const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// A gateway that trusts the issuer, and what it counts.
pub fn gateway() -> (Verifier, AuthMetrics) {
    gateway_with(policy())
}

/// The same with a policy of its own.
pub fn gateway_with(policy: Policy) -> (Verifier, AuthMetrics) {
    let metrics = AuthMetrics::of_a_test();
    (Verifier::with_keys(Keys::fixed(keys()), policy, metrics.clone()), metrics)
}
