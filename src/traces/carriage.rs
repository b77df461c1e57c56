//! How trace context travels: `traceparent` and `tracestate` (W3C Trace Context) in the headers of
//! HTTP requests and of NATS messages.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// Headers of a NATS message, read.
struct Read<'a>(&'a async_nats::HeaderMap);

impl Extractor for Read<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(async_nats::HeaderValue::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        Vec::new()
    }
}

/// Headers of a NATS message, written.
struct Write<'a>(&'a mut async_nats::HeaderMap);

impl Injector for Write<'_> {
    fn set(&mut self, key: &str, value: String) {
        // The library panics at a line break; an empty state need not travel.
        if !value.is_empty() && value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            self.0.insert(key, value);
        }
    }
}

pub(super) fn of_request(headers: &hyper::HeaderMap) -> SpanContext {
    extract(&HeaderExtractor(headers))
}

pub(super) fn of_message(headers: &async_nats::HeaderMap) -> SpanContext {
    extract(&Read(headers))
}

fn extract(extractor: &dyn Extractor) -> SpanContext {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), extractor);
    context.span().span_context().clone()
}

pub(super) fn write(span: &SpanContext, headers: &mut async_nats::HeaderMap) {
    let context = Context::new().with_remote_span_context(span.clone());
    TraceContextPropagator::new().inject_context(&context, &mut Write(headers));
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_context_passes_from_a_request_to_a_message_and_back() {
        let mut request = hyper::HeaderMap::new();
        request.insert("traceparent", PARENT.parse().unwrap());
        request.insert("tracestate", "a=1".parse().unwrap());
        let span = of_request(&request);
        let mut message = async_nats::HeaderMap::new();
        write(&span, &mut message);
        let header = |name: &str| message.get(name).map(async_nats::HeaderValue::as_str);
        assert_eq!((header("traceparent"), header("tracestate")), (Some(PARENT), Some("a=1")));
        assert_eq!(of_message(&message), span);
    }

    #[test]
    fn what_is_no_trace_context_is_none() {
        for broken in
            ["", "00", "00-0-0-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]
        {
            let mut request = hyper::HeaderMap::new();
            request.insert("traceparent", broken.parse().unwrap());
            assert!(!of_request(&request).is_valid(), "{broken:?}");
        }
    }
}
