//! Whose pages may read what: the one check of `Origin`, and the headers of CORS (Fetch
//! standard, section 3.2).
//!
//! Browsers let a page of any site open a WebSocket here, and tell whose page it is; only we can
//! refuse. What is no browser sends no `Origin`, and passes. No cookies are used, so none are
//! allowed for.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};

use super::answer::{Answer, HttpError, set, text};
use crate::origin::AllowedOrigins;
use crate::session::Reason;

/// Methods that scripts of other origins may use.
const METHODS: &str = "GET, HEAD, POST";
/// Headers that they may send.
const HEADERS: &str =
    "authorization, content-type, last-event-id, idempotency-key, traceparent, tracestate";
/// Headers of answers that they may read, beside those that they always may.
const EXPOSED: &str = "allow, retry-after, www-authenticate";
/// Seconds for which a browser need not ask again.
const MAX_AGE: &str = "600";
/// Refused origins that are logged: anybody can make them up.
const TOLD: usize = 100;
/// Characters of a refused origin that are logged.
const SHOWN: usize = 200;

const ASKS_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOWS_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// Whose pages may use the gateway, and which were told that they may not.
#[derive(Clone)]
pub struct Origins {
    allowed: AllowedOrigins,
    told: Arc<Mutex<HashSet<String>>>,
}

/// Who sent a request.
pub enum Visitor {
    /// No browser, or a page that needs no leave.
    Unnamed,
    /// A page of an origin that is allowed.
    Page(HeaderValue),
    /// A page of an origin that is not.
    Stranger,
}

impl Origins {
    /// With what the settings say.
    pub fn new(allowed: AllowedOrigins) -> Self {
        Self { allowed, told: Arc::default() }
    }

    /// Whose request it is.
    pub fn visitor(&self, headers: &HeaderMap) -> Visitor {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return Visitor::Unnamed };
        let is_only = origins.next().is_none();
        let text = String::from_utf8_lossy(origin.as_bytes());
        if is_only && self.allowed.allows(&text, host(headers)) {
            return Visitor::Page(origin.clone());
        }
        self.tell(&text);
        Visitor::Stranger
    }

    fn tell(&self, origin: &str) {
        let shown: String = origin.chars().take(SHOWN).collect();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= TOLD || !told.insert(shown.clone()) {
            return;
        }
        let is_last = told.len() == TOLD;
        drop(told);
        tracing::warn!(
            origin = shown,
            "a page of an origin that is not allowed was refused; allowed_origins would allow it"
        );
        if is_last {
            tracing::warn!("no more refused origins are logged: {TOLD} are enough to see why");
        }
    }
}

/// The host that the request is for; `None` if it names none, or more than one.
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    hosts.next().is_none().then_some(host)
}

impl Visitor {
    /// The answer to a request that is about nothing but the origin: a refusal, or the answer to
    /// a preflight. `None`: the request is to be answered as it is.
    pub fn answer(&self, method: &Method, headers: &HeaderMap) -> Option<Answer> {
        let is_preflight = method == Method::OPTIONS
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        match self {
            Self::Stranger => Some(HttpError::Refused(Reason::Origin).into()),
            Self::Page(_) if is_preflight => Some(preflight(headers)),
            Self::Page(_) | Self::Unnamed => None,
        }
    }

    /// Lets the visitor's script read an answer, an error too.
    pub fn mark<B>(&self, answer: &mut Response<B>) {
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let headers = answer.headers_mut();
        // Without it a cache could give one page what was meant for another, or a stream for a page
        // of JSON.
        headers.append(header::VARY, HeaderValue::from_static("origin, accept"));
        if let Self::Page(origin) = self {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            let exposed = HeaderValue::from_static(EXPOSED);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}

/// The same for every path: a script learns from the request itself that there is nothing.
fn preflight(headers: &HeaderMap) -> Answer {
    let mut answer = text(StatusCode::NO_CONTENT, "");
    set(&mut answer, header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    set(&mut answer, header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    set(&mut answer, header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    if headers.get(ASKS_PRIVATE_NETWORK).is_some_and(|asked| asked == "true") {
        set(&mut answer, ALLOWS_PRIVATE_NETWORK, "true");
    }
    answer
}
