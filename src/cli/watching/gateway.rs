//! A gateway as a client sees it over HTTP: questions, answers, and the way to a WebSocket.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::address::Address;
use super::tokens::Tokens;
use crate::event::JobKey;

/// How long one question may take, body included: publishing has 30 s at the gateway.
const PATIENCE: Duration = Duration::from_secs(35);
/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read: the state of a job has 1 MiB and its life-cycle events.
const LARGEST: usize = 16 * 1024 * 1024;
/// However long a gateway asks to wait, so long is waited at most.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// Why a gateway did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum GatewayError {
    /// It cannot be reached now; later it may.
    #[error("{reason}")]
    Unreachable {
        /// For people.
        reason: String,
        /// How long it asks to be left alone, if it does.
        wait: Option<Duration>,
    },
    /// It does not want to, and will not later.
    #[error("{sentence} ({code})")]
    Refused {
        /// The status of its answer.
        status: StatusCode,
        /// The code of its answer; `HTTP_404` and the like where it gave none.
        code: String,
        /// For people.
        sentence: String,
    },
    /// What it said makes no sense.
    #[error("the answer is not that of a jobwire gateway: {0}")]
    Strange(String),
}

impl GatewayError {
    fn unreachable(reason: impl Into<String>) -> Self {
        Self::Unreachable { reason: reason.into(), wait: None }
    }
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum SetupError {
    /// The file given with `--ca` holds no certificate.
    #[error("--ca: cannot use {path}: {reason}", path = path.display())]
    Authority {
        /// The file as it was given.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system has none.
    #[error("this system has no certificate authorities ({0}); name one with --ca")]
    NoAuthorities(std::io::Error),
    /// The TLS library refuses its own protocol versions.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
}

/// A whole answer that was no error.
#[derive(Debug)]
pub(in crate::cli) struct Answer {
    body: Bytes,
}

impl Answer {
    /// Reads it as JSON.
    ///
    /// # Errors
    /// [`GatewayError::Strange`].
    pub(in crate::cli) fn json<T: DeserializeOwned>(&self) -> Result<T, GatewayError> {
        serde_json::from_slice(&self.body).map_err(|error| GatewayError::Strange(error.to_string()))
    }
}

/// How a job stands, as far as a watcher has to know it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobState {
    pub(super) status: String,
    pub(super) epoch: String,
    pub(super) position: u64,
    pub(super) last_event_id: u64,
}

/// A gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Gateway {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    address: Arc<Address>,
    tokens: Arc<Tokens>,
}

impl Gateway {
    /// Makes ready to ask; asks nothing yet.
    ///
    /// # Errors
    /// [`SetupError`].
    pub(super) fn new(
        address: Address,
        tokens: Tokens,
        authority: Option<&Path>,
    ) -> Result<Self, SetupError> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(&address, authority)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, address: Arc::new(address), tokens: Arc::new(tokens) })
    }

    /// Where it is.
    pub(in crate::cli) fn address(&self) -> &Address {
        &self.address
    }

    /// Where its tokens come from.
    pub(super) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// A part of the list of jobs.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub(in crate::cli) async fn jobs(&self, query: &str) -> Result<Answer, GatewayError> {
        self.get(self.address.jobs(query)).await
    }

    /// How a job stands.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub(super) async fn job(&self, job: &JobKey) -> Result<JobState, GatewayError> {
        self.get(self.address.job(job)).await?.json()
    }

    /// Publishes one event.
    ///
    /// # Errors
    /// [`GatewayError`]; after [`GatewayError::Unreachable`] it may be stored, and the same key
    /// again settles it.
    pub(in crate::cli) async fn publish(
        &self,
        job: &JobKey,
        key: &str,
        event: Bytes,
    ) -> Result<Answer, GatewayError> {
        let mut request = self.request(Method::POST, self.address.events(job), event)?;
        set(request.headers_mut(), header::CONTENT_TYPE, "application/json")?;
        set(request.headers_mut(), "idempotency-key", key)?;
        self.whole(request).await
    }

    async fn get(&self, uri: String) -> Result<Answer, GatewayError> {
        self.whole(self.request(Method::GET, uri, Bytes::new())?).await
    }

    async fn whole(&self, request: Request<Full<Bytes>>) -> Result<Answer, GatewayError> {
        let asking = async {
            let answer = self.send(request).await?;
            if answer.status().is_success() {
                return Ok(Answer { body: body_of(answer).await? });
            }
            Err(refusal(answer).await)
        };
        let silence = || GatewayError::unreachable(format!("no answer within {PATIENCE:?}"));
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(silence()))
    }

    /// A request with our token as it is now.
    fn request(
        &self,
        method: Method,
        uri: String,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, GatewayError> {
        let request = Request::builder().method(method).uri(uri).body(Full::new(body));
        let mut request = request.map_err(|error| GatewayError::Strange(error.to_string()))?;
        let headers = request.headers_mut();
        set(headers, header::ACCEPT, "application/json")?;
        let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        set(headers, header::USER_AGENT, agent)?;
        let token =
            self.tokens.current().map_err(|error| GatewayError::unreachable(error.to_string()))?;
        if let Some(token) = token {
            set(headers, header::AUTHORIZATION, &format!("Bearer {token}"))?;
        }
        Ok(request)
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, GatewayError> {
        let failed = |error| {
            GatewayError::unreachable(format!(
                "{} cannot be reached: {}",
                self.address,
                reasons(&error)
            ))
        };
        self.client.request(request).await.map_err(failed)
    }

    /// Asks for the WebSocket; the answer is one that switches protocols.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub(super) async fn upgrade(&self, key: &str) -> Result<Response<Incoming>, GatewayError> {
        let mut request = self.request(Method::GET, self.address.socket(), Bytes::new())?;
        let headers = request.headers_mut();
        set(headers, header::CONNECTION, "Upgrade")?;
        set(headers, header::UPGRADE, "websocket")?;
        set(headers, header::SEC_WEBSOCKET_VERSION, "13")?;
        set(headers, header::SEC_WEBSOCKET_KEY, key)?;
        let answer = self.send(request).await?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(answer);
        }
        if answer.status().is_success() {
            return Err(GatewayError::Strange("it opened no WebSocket".into()));
        }
        Err(refusal(answer).await)
    }
}

fn set(
    headers: &mut HeaderMap,
    name: impl hyper::header::IntoHeaderName,
    value: &str,
) -> Result<(), GatewayError> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| GatewayError::Strange("a header that cannot be sent".into()))?;
    // Nothing that we send in a header is fit for a log.
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

async fn body_of(answer: Response<Incoming>) -> Result<Bytes, GatewayError> {
    let body = Limited::new(answer.into_body(), LARGEST).collect().await;
    let body = body.map_err(|error| GatewayError::unreachable(reasons(&*error)))?;
    Ok(body.to_bytes())
}

/// What an answer that is an error says.
async fn refusal(answer: Response<Incoming>) -> GatewayError {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Told {
        error: Option<String>,
        code: Option<String>,
    }
    let status = answer.status();
    let wait = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait = wait.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let told = body_of(answer).await.ok();
    let told = told.and_then(|body| serde_json::from_slice::<Told>(&body).ok()).unwrap_or_default();
    let sentence = told.error.unwrap_or_else(|| format!("the answer was {status}"));
    if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
        let wait = wait.map(|wait| wait.min(LONGEST_WAIT));
        return GatewayError::Unreachable { reason: sentence, wait };
    }
    let code = told.code.unwrap_or_else(|| match status {
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED".into(),
        _ => format!("HTTP_{}", status.as_u16()),
    });
    GatewayError::Refused { status, code, sentence }
}

fn tls(address: &Address, authority: Option<&Path>) -> Result<rustls::ClientConfig, SetupError> {
    // Named here, so that no other crate's choice of features can make the library panic.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(SetupError::Tls)?;
    let builder = match authority {
        Some(path) => builder.with_root_certificates(authorities(path)?),
        None if address.is_encrypted() => {
            builder.with_native_roots().map_err(SetupError::NoAuthorities)?
        }
        None => builder.with_root_certificates(rustls::RootCertStore::empty()),
    };
    Ok(builder.with_no_client_auth())
}

fn authorities(path: &Path) -> Result<rustls::RootCertStore, SetupError> {
    let wrong = |reason: String| SetupError::Authority { path: path.to_owned(), reason };
    let mut store = rustls::RootCertStore::empty();
    for certificate in
        CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?
    {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        store.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(wrong("it holds no certificate".into()));
    }
    Ok(store)
}

/// An error with its causes: what the library says alone is "client error (Connect)".
fn reasons(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.dedup();
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}
