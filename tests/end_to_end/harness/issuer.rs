//! An issuer of tokens: keys made at random, tokens of any shape, and gateways that trust it.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::deployment::{Backend, Deployment};
use super::gateway::GatewayCommand;

/// The secret of HS256.
pub const SECRET: &str = "a secret of more than thirty-two bytes";
/// Whom tokens are for.
pub const AUDIENCE: &str = "jobwire";
/// Whom tokens are of.
pub const ISSUER: &str = "https://issuer.test";
/// The header of a token that is signed with the secret.
pub const HS256: &str = r#"{"alg":"HS256"}"#;

/// A key pair of the algorithm that it is named after.
pub struct Pair {
    algorithm: Algorithm,
    private: EncodingKey,
    /// The public half.
    pub pem: String,
}

/// The keys of the issuer that gateways trust, each with its algorithm's name as id.
pub static RS256: LazyLock<Pair> = LazyLock::new(Pair::rsa);
/// On the curve P-256.
pub static ES256: LazyLock<Pair> = LazyLock::new(Pair::curve);
/// Ed25519.
pub static EDDSA: LazyLock<Pair> = LazyLock::new(Pair::edwards);

impl Pair {
    /// A new RSA key.
    pub fn rsa() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let der: Pkcs8V1Der<'static> = pair.as_der().expect("its private half");
        let private = pem("PRIVATE", der.as_ref());
        let private = EncodingKey::from_rsa_pem(private.as_bytes()).expect("a private key");
        Self::new(Algorithm::RS256, private, pair.public_key())
    }

    /// A new key on the curve P-256.
    pub fn curve() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let der = pair.to_pkcs8v1().expect("its private half");
        Self::new(Algorithm::ES256, EncodingKey::from_ec_der(der.as_ref()), pair.public_key())
    }

    fn edwards() -> Self {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let der = Ed25519KeyPair::generate_pkcs8v1(&random).expect("a key");
        let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).expect("a key");
        Self::new(Algorithm::EdDSA, EncodingKey::from_ed_der(der.as_ref()), pair.public_key())
    }

    fn new(
        algorithm: Algorithm,
        private: EncodingKey,
        public: &impl AsDer<PublicKeyX509Der<'static>>,
    ) -> Self {
        let public = public.as_der().expect("its public half");
        Self { algorithm, private, pem: pem("PUBLIC", public.as_ref()) }
    }

    /// The public half as a JWK with an id.
    pub fn jwk(&self, id: &str) -> Value {
        let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&self.private, self.algorithm);
        let mut jwk = serde_json::to_value(jwk.expect("a JWK")).expect("JSON");
        jwk["kid"] = id.into();
        jwk
    }

    /// A token that names a key and is signed with this one.
    pub fn token(&self, id: &str, claims: &Value) -> String {
        let header = json!({ "alg": format!("{:?}", self.algorithm), "kid": id }).to_string();
        self.token_of(&header, &claims.to_string())
    }

    /// A token of a header and claims as they are written.
    pub fn token_of(&self, header: &str, claims: &str) -> String {
        sign(self.algorithm, &self.private, header, claims)
    }
}

fn pem(half: &str, der: &[u8]) -> String {
    let der = STANDARD.encode(der);
    format!("-----BEGIN {half} KEY-----\n{der}\n-----END {half} KEY-----\n")
}

/// A good token with these claims.
pub fn token(claims: &Value) -> String {
    token_of(SECRET, HS256, &claims.to_string())
}

/// A token with HS256, whatever its header says.
pub fn token_of(secret: impl AsRef<[u8]>, header: &str, claims: &str) -> String {
    sign(Algorithm::HS256, &EncodingKey::from_secret(secret.as_ref()), header, claims)
}

fn sign(algorithm: Algorithm, key: &EncodingKey, header: &str, claims: &str) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm);
    format!("{message}.{}", signature.expect("a signature"))
}

/// A part of a token.
pub fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// What a part of a token stands for.
pub fn decode(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).expect("base64url")
}

/// Claims that allow watching these jobs for ten minutes.
pub fn watching(jobs: &[&str]) -> Value {
    watching_until(jobs, now() + 600)
}

/// Claims that allow watching these jobs until a second after 1970.
pub fn watching_until(jobs: &[&str], expires: u64) -> Value {
    json!({ "sub": "ann", "iss": ISSUER, "aud": AUDIENCE, "exp": expires, "watch": jobs })
}

/// Whole seconds since 1970.
pub fn now() -> u64 {
    since_1970().as_secs()
}

/// The time since 1970.
pub fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970")
}

/// The value of `Authorization` for a token.
pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// A gateway that trusts the issuer, in front of an empty stream, with clocks that do not differ.
pub async fn guarded() -> Deployment {
    guarded_with("leeway = \"0s\"", &[]).await
}

/// The same with `[auth]` ending in these lines, and with arguments.
pub async fn guarded_with(lines: &str, arguments: &[&str]) -> Deployment {
    guarded_in(lines, arguments, &[]).await
}

/// The same with environment variables.
pub async fn guarded_in(
    lines: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Deployment {
    let keys = KeyFiles::write();
    let configuration = keys.path("jobwire.toml");
    std::fs::write(&configuration, keys.configuration(lines)).expect("a written file");
    let arguments = [["--config", &configuration].as_slice(), arguments].concat();
    // The files are read once, before the gateway listens.
    let Backend { publisher, nats } = Backend::start().await;
    let mut command = GatewayCommand::in_front_of(&nats.url(), &arguments);
    for (name, value) in environment {
        command = command.with_environment(name, value);
    }
    Deployment { gateway: command.start().await, publisher, nats }
}

/// The issuer's keys as files.
struct KeyFiles(TempDir);

impl KeyFiles {
    fn write() -> Self {
        let files = Self(tempfile::tempdir().expect("a directory for keys"));
        let pairs = [("RS256", &RS256.pem), ("ES256", &ES256.pem), ("EdDSA", &EDDSA.pem)];
        for (name, text) in pairs.into_iter().chain([("secret", &SECRET.to_owned())]) {
            std::fs::write(files.path(name), text).expect("a written key");
        }
        files
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    fn configuration(&self, lines: &str) -> String {
        let public = ["RS256", "ES256", "EdDSA"];
        let public = public.map(|name| format!("{name}:{name}={}", self.path(name)));
        let secret = self.path("secret");
        format!(
            "[auth]\nmode = \"jwt\"\nsecret_file = {secret:?}\npublic_keys = {public:?}\n\
             audience = [{AUDIENCE:?}]\nissuer = [{ISSUER:?}]\n{lines}\n"
        )
    }
}
