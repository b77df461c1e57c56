//! Traces: short spans for what a client or a producer waits for. Off unless the environment says
//! where they go to; then nothing of this does anything.
//!
//! No span lives as long as a connection, and none is made where events are delivered.

mod carriage;
mod exporter;

use std::sync::OnceLock;

use opentelemetry::trace::{
    Span as _, SpanContext, SpanKind, Status, TraceContextExt, Tracer, TracerProvider,
};
use opentelemetry::{Context, ContextGuard, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, Span};

pub use exporter::{ExportError, Exporting, start};

/// Set once, where traces are on.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// What a span belongs to: another span, of this process or of another one. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Parent(Option<Box<SpanContext>>);

impl Parent {
    /// What the headers of a request name; nothing where traces are off.
    pub fn of_request(headers: &hyper::HeaderMap) -> Self {
        Self::valid(|| carriage::of_request(headers))
    }

    /// What the headers of a NATS message name; nothing where traces are off.
    pub fn of_message(headers: &async_nats::HeaderMap) -> Self {
        Self::valid(|| carriage::of_message(headers))
    }

    /// What was [entered](Parent::enter) on this thread.
    pub fn current() -> Self {
        Self::valid(|| Context::current().span().span_context().clone())
    }

    fn valid(find: impl FnOnce() -> SpanContext) -> Self {
        let found = TRACER.get().map(|_| find()).filter(SpanContext::is_valid);
        Self(found.map(Box::new))
    }

    /// Until the guard is dropped, [`Parent::current`] on this thread is this. `None` for nothing.
    pub fn enter(&self) -> Option<ContextGuard> {
        self.0.as_ref().map(|context| {
            Context::current().with_remote_span_context((**context).clone()).attach()
        })
    }
}

/// A span, which ends when it is dropped; nothing where traces are off.
#[derive(Debug, Default)]
pub struct ShortSpan(Option<Box<Span>>);

impl ShortSpan {
    /// A span of what others ask of us.
    pub fn serving(name: &'static str, parent: &Parent) -> Self {
        Self::begin(name, SpanKind::Server, parent)
    }

    /// A span of a message that is published.
    pub fn producing(name: &'static str, parent: &Parent) -> Self {
        Self::begin(name, SpanKind::Producer, parent)
    }

    /// A span of what happens within.
    pub fn internal(name: &'static str, parent: &Parent) -> Self {
        Self::begin(name, SpanKind::Internal, parent)
    }

    fn begin(name: &'static str, kind: SpanKind, parent: &Parent) -> Self {
        Self(TRACER.get().map(|tracer| {
            let builder = tracer.span_builder(name).with_kind(kind);
            let context = match &parent.0 {
                Some(parent) => Context::new().with_remote_span_context((**parent).clone()),
                None => Context::new(),
            };
            Box::new(builder.start_with_context(tracer, &context))
        }))
    }

    /// Notes a fact.
    pub fn note(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Notes a job.
    pub fn note_job(&mut self, job: &crate::event::JobKey) {
        if self.0.is_some() {
            self.note("jobwire.job.kind", job.kind().to_owned());
            self.note("jobwire.job.id", job.id().to_owned());
        }
    }

    /// It did not go well.
    pub fn fail(&mut self, reason: impl Into<String>) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(reason.into()));
        }
    }

    /// This span, as what others belong to.
    pub fn as_parent(&self) -> Parent {
        let context = self.0.as_ref().map(|span| span.span_context().clone());
        Parent(context.filter(SpanContext::is_valid).map(Box::new))
    }

    /// Writes the span into the headers of a NATS message, in place of what they named before.
    pub fn write_to(&self, headers: &mut async_nats::HeaderMap) {
        if let Some(span) = &self.0 {
            carriage::write(span.span_context(), headers);
        }
    }
}

/// From now on spans are made.
fn install(provider: &opentelemetry_sdk::trace::SdkTracerProvider) {
    // A second time changes nothing: there is one exporter in a process.
    let _ = TRACER.set(provider.tracer(env!("CARGO_PKG_NAME")));
}
