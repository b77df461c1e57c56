//! Where an issuer's keys come from: a file, or an address that is asked over HTTP.
//!
//! When they are fetched, and how long they count, is in `refresh` and `keys`.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::{Request, StatusCode, Uri, header};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;

use super::key::{Key, KeySetError, Secrets, read_set};
use super::settings::JwksLocation;
use crate::https;

/// Largest set of keys, in bytes.
const LARGEST_SET: usize = 256 * 1024;

/// Why keys could not be fetched; those there are stay in force.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    File(io::Error),
    /// Nobody answers there, or the answer breaks off, or its certificate is not accepted.
    #[error("there is no answer: {0}")]
    Unreachable(String),
    /// An answer other than 200; redirects are not followed.
    #[error("the answer is {0}, not 200")]
    Status(StatusCode),
    /// More bytes than a set of keys has.
    #[error("it is larger than {LARGEST_SET} bytes")]
    TooLarge,
    /// What was read is no set of keys for us.
    #[error(transparent)]
    Set(#[from] KeySetError),
    /// It took too long.
    #[error("it took too long")]
    TimedOut,
}

impl FetchError {
    /// The words of [`FetchError::label`].
    pub const LABELS: [&str; 6] =
        ["file", "unreachable", "status", "too_large", "set", "timed_out"];

    /// A word for metrics; one of a fixed few.
    pub fn label(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Unreachable(_) => "unreachable",
            Self::Status(_) => "status",
            Self::TooLarge => "too_large",
            Self::Set(_) => "set",
            Self::TimedOut => "timed_out",
        }
    }
}

/// Why keys cannot be fetched at all.
#[derive(Debug, thiserror::Error)]
#[error("auth.jwks_url: {0}")]
pub struct ConnectorError(#[from] https::ConnectorError);

/// Something keys can be fetched from, again and again.
pub trait KeySource: Send + 'static {
    /// Fetches the keys of this moment.
    fn fetch(&self) -> impl Future<Output = Result<Vec<Key>, FetchError>> + Send;
}

type HttpClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// A JWK set (RFC 7517 section 5) in a file or at an address.
pub struct Jwks(Place);

enum Place {
    File(PathBuf),
    Url { client: Box<HttpClient>, address: Uri },
}

impl Jwks {
    /// Makes ready to fetch from a place; fetches nothing yet.
    ///
    /// # Errors
    /// [`ConnectorError`] if the address needs TLS and there can be none.
    pub fn new(location: &JwksLocation) -> Result<Self, ConnectorError> {
        Ok(Self(match location {
            JwksLocation::File(path) => Place::File(path.clone()),
            JwksLocation::Url(address) => {
                Place::Url { client: Box::new(client(address)?), address: address.clone() }
            }
        }))
    }
}

impl KeySource for Jwks {
    async fn fetch(&self) -> Result<Vec<Key>, FetchError> {
        match &self.0 {
            Place::File(path) => {
                let path = path.clone();
                let reading = tokio::task::spawn_blocking(move || read_file(&path)).await;
                reading.unwrap_or_else(|error| Err(FetchError::File(error.into())))
            }
            Place::Url { client, address } => get(client, address).await,
        }
    }
}

/// The library's client keeps no connection open: the next fetch is minutes away.
fn client(address: &Uri) -> Result<HttpClient, ConnectorError> {
    let connector = https::connector(address.scheme_str() == Some("https"))?;
    Ok(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
}

async fn get(client: &HttpClient, address: &Uri) -> Result<Vec<Key>, FetchError> {
    let unreachable = |error: &dyn std::error::Error| FetchError::Unreachable(reasons(error));
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = address.clone();
    let accepted = header::HeaderValue::from_static("application/jwk-set+json, application/json");
    request.headers_mut().insert(header::ACCEPT, accepted);
    let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    request.headers_mut().insert(header::USER_AGENT, header::HeaderValue::from_static(agent));

    let answer = client.request(request).await.map_err(|error| unreachable(&error))?;
    if answer.status() != StatusCode::OK {
        return Err(FetchError::Status(answer.status()));
    }
    let body = Limited::new(answer.into_body(), LARGEST_SET).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { FetchError::TooLarge } else { unreachable(&*error) }
    })?;
    Ok(read_set(&body.to_bytes(), Secrets::Refused)?)
}

/// An error with its causes: what the client says alone is "client error (Connect)".
fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Reads a set of keys from a file, which may hold secrets too. It may wait for the disk.
///
/// # Errors
/// [`FetchError`] if it cannot be read or holds no usable keys.
pub(super) fn read_file(path: &Path) -> Result<Vec<Key>, FetchError> {
    let file = std::fs::File::open(path).map_err(FetchError::File)?;
    let mut json = Vec::new();
    let limit = LARGEST_SET as u64 + 1;
    file.take(limit).read_to_end(&mut json).map_err(FetchError::File)?;
    if json.len() > LARGEST_SET {
        return Err(FetchError::TooLarge);
    }
    Ok(read_set(&json, Secrets::Allowed)?)
}
