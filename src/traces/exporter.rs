//! Where spans go to: OTLP over HTTP, as the `OTEL_` variables of the environment say.

use std::env;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;

use crate::https::{self, ConnectorError};

/// What is waited for at the end, so that the last spans leave too.
const LAST_SPANS: Duration = Duration::from_secs(2);
/// Largest answer of a collector, in bytes.
const LARGEST_ANSWER: usize = 64 * 1024;
/// The specification's default of `OTEL_EXPORTER_OTLP_TIMEOUT`, in milliseconds.
const TIMEOUT: u64 = 10_000;

/// Why traces are wanted and cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The library cannot do what the environment says.
    #[error("traces cannot be sent as the OTEL_ variables say: {0}")]
    Settings(#[from] ExporterBuildError),
    /// Only one way of OTLP is spoken; the library would take it in silence.
    #[error(
        "OTEL_EXPORTER_OTLP_PROTOCOL: {0:?} is not spoken, but http/protobuf, mostly at port 4318"
    )]
    Protocol(String),
    /// They go to an address with TLS, and there can be none.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT: {0}")]
    Tls(#[from] ConnectorError),
}

/// Sends spans for as long as it is there.
pub struct Exporting(SdkTracerProvider);

/// Begins to make spans and to send them, if the environment says where to. Within a runtime, over
/// which they are sent.
///
/// # Errors
/// [`ExportError`]. A collector that is away is none: that is logged, and spans are lost.
pub fn start() -> Result<Option<Exporting>, ExportError> {
    if !is_wanted(|name| env::var(name).ok()) {
        return Ok(None);
    }
    let protocol = first_of(["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
    if let Some(other) = protocol.filter(|protocol| protocol != "http/protobuf") {
        return Err(ExportError::Protocol(other));
    }
    let exporter =
        SpanExporter::builder().with_http().with_http_client(Collector::new()?).build()?;
    let provider = SdkTracerProvider::builder()
        .with_resource(resource())
        .with_batch_exporter(exporter)
        .build();
    super::install(&provider);
    tracing::info!("traces are sent over OTLP");
    Ok(Some(Exporting(provider)))
}

impl Exporting {
    /// Sends what is left, for at most 2 s.
    pub async fn end(self) {
        let ending = move || self.0.shutdown_with_timeout(LAST_SPANS);
        match tokio::task::spawn_blocking(ending).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans are lost"),
            Err(error) => tracing::warn!(%error, "the last spans are lost"),
        }
    }
}

/// Whether the environment asks for traces.
fn is_wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let given = |name: &str| variable(name).is_some_and(|value| !value.trim().is_empty());
    let is = |name: &str, word: &str| {
        variable(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(word))
    };
    let has_endpoint =
        given("OTEL_EXPORTER_OTLP_ENDPOINT") || given("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    has_endpoint && !is("OTEL_SDK_DISABLED", "true") && !is("OTEL_TRACES_EXPORTER", "none")
}

/// Who we are, unless the environment says otherwise.
fn resource() -> Resource {
    // The builder reads the environment; what is set here goes before it.
    let told = Resource::builder().build();
    let name = told.get(&"service.name".into()).map(|name| name.to_string());
    let is_told = name.is_some_and(|name| !name.starts_with("unknown_service"));
    let builder = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    let named = if is_told { builder } else { builder.with_service_name(env!("CARGO_PKG_NAME")) };
    named.build()
}

/// Sends requests over this process's own HTTP client and runtime: the library asks on a thread of
/// its own.
#[derive(Debug)]
struct Collector {
    runtime: Handle,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
}

impl Collector {
    fn new() -> Result<Self, ConnectorError> {
        let endpoint =
            first_of(["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]);
        let tls = endpoint.is_some_and(|endpoint| endpoint.starts_with("https"));
        let timeout = first_of(["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"]);
        let timeout = timeout.and_then(|timeout| timeout.parse().ok()).unwrap_or(TIMEOUT);
        Ok(Self {
            runtime: Handle::current(),
            client: Client::builder(TokioExecutor::new()).build(https::connector(tls)?),
            timeout: Duration::from_millis(timeout),
        })
    }
}

fn first_of(names: [&str; 2]) -> Option<String> {
    names.into_iter().find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()))
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, timeout) = (self.client.clone(), self.timeout);
        let exchange = async move {
            let answer = client.request(request.map(Full::new)).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        };
        // A time-out, too, has to begin within the runtime.
        self.runtime.spawn(async move { tokio::time::timeout(timeout, exchange).await }).await??
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(variables: &[(&str, &str)]) -> bool {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        is_wanted(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn traces_are_off_unless_there_is_an_endpoint() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        assert!(!wanted(&[]));
        assert!(!wanted(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]));
        assert!(wanted(&[endpoint]));
        assert!(wanted(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector/v1/traces")]));
        assert!(wanted(&[endpoint, ("OTEL_SDK_DISABLED", "false")]));
        assert!(!wanted(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]));
        assert!(!wanted(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]));
    }
}
