//! A certificate with its key: two PEM files, read, judged, and made into what handshakes use.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerConfig;
use rustls::{Error as RustlsError, InconsistentKeys};
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// The one protocol that is spoken inside (RFC 7301).
const PROTOCOL: &[u8] = b"http/1.1";

const UNREADABLE: &str = "unreadable";
const MALFORMED: &str = "malformed";
const MISMATCHED: &str = "mismatched";

/// Where a certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFiles {
    /// The server's certificate, then the chain up to an authority.
    pub certificate: PathBuf,
    /// The key of the server's certificate.
    pub key: PathBuf,
}

/// A certificate and a key that belong together.
#[derive(Clone, Debug)]
pub struct Pair {
    /// What it was made of.
    pub(super) contents: Contents,
    /// What handshakes use.
    pub server: Arc<ServerConfig>,
    /// When the server's certificate expires; `None` if it does not tell.
    pub expires: Option<SystemTime>,
}

/// What is wrong with a file of the pair, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairError {
    /// The setting that names the file.
    pub setting: &'static str,
    path: PathBuf,
    problem: Problem,
}

impl fmt::Display for PairError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.path.display(), self.problem)
    }
}

impl std::error::Error for PairError {}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error("is empty: it must hold {0} in PEM")]
    Empty(&'static str),
    #[error("has no CERTIFICATE block: it must hold the server's certificate and its chain in PEM")]
    NoCertificate,
    #[error("has no PRIVATE KEY block: it must hold the certificate's key in PEM")]
    NoKey,
    #[error("is encrypted: give a key without a passphrase, in a file that only jobwire can read")]
    Encrypted,
    #[error("is not PEM: {0}; is it complete?")]
    NotPem(String),
    #[error("cannot be used as a key: it must be an RSA, ECDSA (P-256, P-384) or Ed25519 key")]
    UnusableKey,
    #[error("cannot be used as a certificate: {0}")]
    UnusableCertificate(String),
    #[error(
        "is not the key of the first certificate in tls.certificate: that must be the server's \
         own, with its chain after it"
    )]
    Mismatched,
}

impl PairError {
    /// Every label.
    pub(super) const LABELS: [&str; 3] = [UNREADABLE, MALFORMED, MISMATCHED];

    /// The kind of problem as a metric's label.
    pub(super) fn label(&self) -> &'static str {
        match self.problem {
            Problem::Unreadable(_) => UNREADABLE,
            Problem::Mismatched => MISMATCHED,
            _ => MALFORMED,
        }
    }
}

/// What stands in the two files.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl fmt::Debug for Contents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("hidden")
    }
}

impl PemFiles {
    /// Reads the files and makes a pair of them.
    ///
    /// # Errors
    /// [`PairError`], with the setting and the file.
    pub fn load(&self) -> Result<Pair, PairError> {
        self.pair(self.read()?)
    }

    pub(super) fn read(&self) -> Result<Contents, PairError> {
        let certificate = read(&self.certificate).map_err(|problem| self.of_chain(problem))?;
        let key = read(&self.key).map_err(|problem| self.of_key(problem))?;
        Ok(Contents { certificate, key })
    }

    pub(super) fn pair(&self, contents: Contents) -> Result<Pair, PairError> {
        let chain = chain(&contents.certificate).map_err(|problem| self.of_chain(problem))?;
        let key = key(&contents.key).map_err(|problem| self.of_key(problem))?;
        let expires = chain.first().and_then(expiry);
        let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map(|builder| builder.with_no_client_auth())
            .and_then(|builder| builder.with_single_cert(chain, key))
            .map_err(|error| self.refused(&error))?;
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Pair { contents, server: Arc::new(server), expires })
    }

    fn refused(&self, error: &RustlsError) -> PairError {
        match error {
            RustlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                self.of_key(Problem::Mismatched)
            }
            RustlsError::InvalidCertificate(_) => {
                self.of_chain(Problem::UnusableCertificate(error.to_string()))
            }
            _ => self.of_key(Problem::UnusableKey),
        }
    }

    fn of_chain(&self, problem: Problem) -> PairError {
        PairError { setting: "tls.certificate", path: self.certificate.clone(), problem }
    }

    fn of_key(&self, problem: Problem) -> PairError {
        PairError { setting: "tls.key", path: self.key.clone(), problem }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(path).map_err(|error| Problem::Unreadable(error.to_string()))
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Problem> {
    if pem.trim_ascii().is_empty() {
        return Err(Problem::Empty("the server's certificate and its chain"));
    }
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(Problem::NoCertificate),
        Ok(chain) => Ok(chain),
        Err(error) => Err(Problem::NotPem(error.to_string())),
    }
}

fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Problem> {
    if pem.trim_ascii().is_empty() {
        return Err(Problem::Empty("the certificate's key"));
    }
    // Both the block of PKCS #8 and the header of the older form have this word.
    if pem.windows(9).any(|word| word == b"ENCRYPTED") {
        return Err(Problem::Encrypted);
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        PemError::NoItemsFound => Problem::NoKey,
        error => Problem::NotPem(error.to_string()),
    })
}

fn expiry(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let certificate = Certificate::from_der(certificate).ok()?;
    Some(certificate.tbs_certificate().validity().not_after.to_system_time())
}
