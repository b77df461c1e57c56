//! One key that signatures are checked with, and sets of them.
//!
//! A key is bound to one algorithm when it is read, and that alone is used with it (RFC 8725
//! section 3.1). Where sets come from is in `jwks`; which set is in force, in `keys`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;

/// Shortest RSA modulus, in bits (RFC 7518 section 3.3).
const LEAST_MODULUS: usize = 2_048;
/// Longest RSA modulus, in bits: the verifier takes no longer one.
const MOST_MODULUS: usize = 8_192;
/// Most keys in a set: each key with the same id is one signature to check.
const MOST_KEYS: usize = 64;

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A private key, a certificate, several blocks, or no PEM at all.
    #[error("is not one public key in PEM (BEGIN PUBLIC KEY or BEGIN RSA PUBLIC KEY)")]
    NotPublicPem,
    /// A secret where a public key belongs.
    #[error("holds a secret, which only a file of keys or auth.secret may")]
    Secret,
    /// The key's type or curve is not the algorithm's.
    #[error("is not a key for {0:?}")]
    NotForAlgorithm(Algorithm),
    /// A key without an algorithm, of a type that has several and no usual one.
    #[error("names no algorithm that is supported")]
    NoAlgorithm,
    /// Made for encryption, or for signing alone.
    #[error("is not meant for checking signatures")]
    NotForSignatures,
    /// Too short, or longer than the verifier takes.
    #[error("has {bits} bits; {least} to {most} are accepted")]
    Size {
        /// Bits of the modulus or secret.
        bits: usize,
        /// Fewest bits accepted.
        least: usize,
        /// Most bits accepted.
        most: usize,
    },
    /// Its numbers cannot be read.
    #[error("cannot be read")]
    Unreadable,
}

/// Why a set of keys cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not a JWK set (RFC 7517 section 5).
    #[error("it is not a JWK set: an object with an array of keys")]
    Malformed,
    /// More keys than a set may have.
    #[error("it has more than {MOST_KEYS} keys")]
    TooMany,
    /// None of its keys is of use.
    #[error("none of its keys can check a signature")]
    Empty,
}

/// Whether a set may hold secrets: a file of ours may, what anybody can fetch may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrets {
    Allowed,
    Refused,
}

/// A key, the one algorithm it is used with, and the id by which tokens name it.
#[derive(Clone, Debug)]
pub struct Key {
    algorithm: Algorithm,
    id: Option<Box<str>>,
    material: DecodingKey,
}

impl Key {
    /// A shared secret, used with HS256.
    ///
    /// # Errors
    /// [`KeyError::Size`] for fewer bytes than the hash has (RFC 7518 section 3.2).
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        Self { algorithm: Algorithm::HS256, id: None, material: DecodingKey::from_secret(secret) }
            .checked()
    }

    /// A public key in PEM, used with one algorithm.
    ///
    /// # Errors
    /// [`KeyError`] if it is none, not of the algorithm's type and curve, or too short.
    pub fn from_pem(algorithm: Algorithm, id: Option<&str>, pem: &str) -> Result<Self, KeyError> {
        let mut beginnings = pem.match_indices("-----BEGIN ").map(|(at, _)| pem.split_at(at).1);
        let is_public = beginnings.next().is_some_and(|block| {
            block.starts_with("-----BEGIN PUBLIC KEY-----")
                || block.starts_with("-----BEGIN RSA PUBLIC KEY-----")
        });
        if !is_public || beginnings.next().is_some() {
            return Err(KeyError::NotPublicPem);
        }
        let material = match algorithm.family() {
            AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem.as_bytes()),
            AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem.as_bytes()),
            AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem.as_bytes()),
            AlgorithmFamily::Hmac => return Err(KeyError::NotForAlgorithm(algorithm)),
        };
        let material = material.map_err(|_| KeyError::NotForAlgorithm(algorithm))?;
        Self { algorithm, id: id.map(Into::into), material }.checked()
    }

    fn from_jwk(jwk: &Jwk, secrets: Secrets) -> Result<Self, KeyError> {
        let is_secret = matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_));
        if is_secret && secrets == Secrets::Refused {
            return Err(KeyError::Secret);
        }
        let common = &jwk.common;
        let is_for_signatures = common
            .public_key_use
            .as_ref()
            .is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
            && (common.key_operations.as_ref())
                .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !is_for_signatures {
            return Err(KeyError::NotForSignatures);
        }
        let usual = usual_algorithm(&jwk.algorithm);
        let algorithm = match common.key_algorithm {
            Some(named) => Algorithm::try_from(named).map_err(|_| KeyError::NoAlgorithm)?,
            None => usual.ok_or(KeyError::NoAlgorithm)?,
        };
        let has_curve = matches!(algorithm.family(), AlgorithmFamily::Ec | AlgorithmFamily::Ed);
        if has_curve && usual != Some(algorithm) {
            // Coordinates alone do not tell the curve that they are of.
            return Err(KeyError::NotForAlgorithm(algorithm));
        }
        let material = DecodingKey::from_jwk(jwk).map_err(|_| KeyError::Unreadable)?;
        Self { algorithm, id: common.key_id.as_deref().map(Into::into), material }.checked()
    }

    fn checked(self) -> Result<Self, KeyError> {
        let fits = self.material.family() == self.algorithm.family();
        if !fits {
            return Err(KeyError::NotForAlgorithm(self.algorithm));
        }
        let bytes = self.material.try_get_as_bytes().map_or(0, <[u8]>::len);
        let expected = |length: usize| {
            if bytes == length { Ok(()) } else { Err(KeyError::NotForAlgorithm(self.algorithm)) }
        };
        match self.algorithm {
            // An uncompressed point: a byte and two coordinates.
            Algorithm::ES256 => expected(1 + 2 * 32)?,
            Algorithm::ES384 => expected(1 + 2 * 48)?,
            Algorithm::EdDSA => expected(32)?,
            Algorithm::HS256 => size_within(bytes * 8, 256, usize::MAX)?,
            Algorithm::HS384 => size_within(bytes * 8, 384, usize::MAX)?,
            Algorithm::HS512 => size_within(bytes * 8, 512, usize::MAX)?,
            _ => size_within(modulus_bits(&self.material)?, LEAST_MODULUS, MOST_MODULUS)?,
        }
        Ok(self)
    }

    /// The id by which tokens name the key (`kid`).
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The only algorithm that the key is used with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether a signature, in base64url, is this key's over a message.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] if the signature is not base64url.
    pub(crate) fn verifies(&self, signature: &str, message: &[u8]) -> Result<bool, KeyError> {
        jsonwebtoken::crypto::verify(signature, message, &self.material, self.algorithm)
            .map_err(|_| KeyError::Unreadable)
    }
}

/// Has signatures checked by aws-lc. Without this the library picks a backend by the features
/// it was built with, and panics in the middle of a request if those name none or two.
pub(crate) fn choose_backend() {
    // An error means that it was chosen before.
    let _ = aws_lc::DEFAULT_PROVIDER.install_default();
}

/// The algorithm of a key that names none. Issuers that leave it out for RSA mean RS256.
fn usual_algorithm(parameters: &AlgorithmParameters) -> Option<Algorithm> {
    match parameters {
        AlgorithmParameters::RSA(_) => Some(Algorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => Some(Algorithm::ES256),
            EllipticCurve::P384 => Some(Algorithm::ES384),
            _ => None,
        },
        AlgorithmParameters::OctetKeyPair(key) => {
            (key.curve == EllipticCurve::Ed25519).then_some(Algorithm::EdDSA)
        }
        _ => None,
    }
}

fn size_within(bits: usize, least: usize, most: usize) -> Result<(), KeyError> {
    if (least..=most).contains(&bits) { Ok(()) } else { Err(KeyError::Size { bits, least, most }) }
}

fn modulus_bits(material: &DecodingKey) -> Result<usize, KeyError> {
    let bits = |modulus: &[u8]| {
        let mut significant = modulus.iter().skip_while(|byte| **byte == 0);
        let first = significant.next().map_or(0, |byte| 8 - byte.leading_zeros() as usize);
        first + 8 * significant.count()
    };
    // The only way to the numbers of a key, whatever form it was read from.
    choose_backend();
    let jwk = Jwk::from_decoding_key(material, None).map_err(|_| KeyError::Unreadable)?;
    let AlgorithmParameters::RSA(numbers) = jwk.algorithm else {
        return Err(KeyError::Unreadable);
    };
    URL_SAFE_NO_PAD
        .decode(numbers.n)
        .map(|modulus| bits(&modulus))
        .map_err(|_| KeyError::Unreadable)
}

/// Reads a JWK set. Keys that are of no use are left out, as RFC 7517 section 5 advises.
///
/// # Errors
/// [`KeySetError`] if it is no set, too large a one, or one without a usable key.
pub(crate) fn read_set(json: &[u8], secrets: Secrets) -> Result<Vec<Key>, KeySetError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(json).map_err(|_| KeySetError::Malformed)?;
    if set.keys.len() > MOST_KEYS {
        return Err(KeySetError::TooMany);
    }
    let read = |value| {
        let jwk: Jwk = serde_json::from_value(value).map_err(|_| KeyError::Unreadable)?;
        Key::from_jwk(&jwk, secrets)
    };
    let mut keys = Vec::new();
    for (place, value) in set.keys.into_iter().enumerate() {
        match read(value) {
            Ok(key) => keys.push(key),
            Err(reason) => tracing::debug!(place, %reason, "a key of the set is left out"),
        }
    }
    if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(keys) }
}
