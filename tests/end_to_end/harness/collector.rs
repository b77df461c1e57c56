//! A collector of traces: OTLP over HTTP, as an OpenTelemetry collector takes it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;

use super::eventually;

/// A span as it came.
#[derive(Clone, Debug)]
pub struct Collected {
    /// Its name.
    pub name: String,
    /// Its trace, in hexadecimal.
    pub trace: String,
    /// Itself, in hexadecimal.
    pub id: String,
    /// What it belongs to, in hexadecimal; nothing for a root.
    pub parent: String,
    /// How long it took.
    pub took: Duration,
    /// Its own attributes.
    pub attributes: HashMap<String, String>,
    /// Those of the process that sent it.
    pub resource: HashMap<String, String>,
}

/// See the module's text.
pub struct Collector {
    address: SocketAddr,
    got: Arc<Mutex<Got>>,
}

#[derive(Default)]
struct Got {
    spans: Vec<Collected>,
    heads: Vec<String>,
}

impl Collector {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let got: Arc<Mutex<Got>> = Arc::default();
        let taking = Arc::clone(&got);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let got = Arc::clone(&taking);
                let service = service_fn(move |request| take(Arc::clone(&got), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, got }
    }

    /// The variables that make a process send its spans here, soon.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", self.address)),
            ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned()),
        ]
    }

    /// Everything that has come.
    pub fn spans(&self) -> Vec<Collected> {
        self.got.lock().expect("spans").spans.clone()
    }

    /// Path and headers of each request that has come.
    pub fn heads(&self) -> Vec<String> {
        self.got.lock().expect("heads").heads.clone()
    }

    /// Waits for a span of this name.
    pub async fn span(&self, name: &str) -> Collected {
        let look = async || self.spans().into_iter().find(|span| span.name == name);
        eventually(&format!("a span {name}"), look).await
    }
}

async fn take(
    got: Arc<Mutex<Got>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let head = format!("{} {:?}", request.uri().path(), request.headers());
    let body = request.into_body().collect().await.expect("a whole body").to_bytes();
    let export = ExportTraceServiceRequest::decode(body).expect("a request of OTLP");
    let mut got = got.lock().expect("what came");
    got.heads.push(head);
    for of_process in export.resource_spans {
        let resource =
            attributes(of_process.resource.map(|all| all.attributes).unwrap_or_default());
        let spans = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
        got.spans.extend(spans.map(|span| collected(span, resource.clone())));
    }
    Ok(Response::new(Full::default()))
}

fn collected(span: Span, resource: HashMap<String, String>) -> Collected {
    let hexadecimal =
        |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Collected {
        trace: hexadecimal(&span.trace_id),
        id: hexadecimal(&span.span_id),
        parent: hexadecimal(&span.parent_span_id),
        took: Duration::from_nanos(span.end_time_unix_nano - span.start_time_unix_nano),
        attributes: attributes(span.attributes),
        name: span.name,
        resource,
    }
}

fn attributes(pairs: Vec<KeyValue>) -> HashMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    pairs.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}
