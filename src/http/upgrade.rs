//! From an HTTP request to a session.

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::upgrade::Upgraded;
use hyper_tungstenite::HyperWebsocket;
use hyper_util::rt::TokioIo;
use std::borrow::Cow;
use std::rc::Rc;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::access;
use super::answer::{Answer, HttpError};
use super::peer::Peer;
use super::places::Visit;
use super::query::Query;
use super::server::Public;
use crate::auth::offered_bearer;
use crate::event::{JobKey, MAX_NAME, check_name};
use crate::session::{Endpoint, Profile, Reason, Socket, Transport, Worker};
use crate::traces::{Parent, ShortSpan};

/// Answers an upgrade, and begins the session once the answer is on its way.
///
/// # Errors
/// The refusal, where the request is no proper upgrade, its token does not allow it, or the
/// process is stopping.
pub async fn upgrade(
    public: &Public,
    worker: &Rc<Worker>,
    peer: &Rc<Peer>,
    mut profile: Profile,
    job: Option<&str>,
    request: Request<Incoming>,
) -> Result<Answer, Answer> {
    if !hyper_tungstenite::is_upgrade_request(&request) {
        return Err(HttpError::UpgradeRequired.into());
    }
    let mut span = ShortSpan::serving("upgrade", &Parent::of_request(request.headers()));
    span.note("http.route", profile.route.path.as_str().to_owned());
    span.note("jobwire.dialect", profile.route.dialect.name());
    profile.trace = span.as_parent();
    let answer = begin(public, worker, peer, profile, job, request).await;
    let (Ok(told) | Err(told)) = &answer;
    span.note("http.response.status_code", i64::from(told.status().as_u16()));
    if told.status().is_server_error() {
        span.fail("refused");
    }
    answer
}

async fn begin(
    public: &Public,
    worker: &Rc<Worker>,
    peer: &Rc<Peer>,
    mut profile: Profile,
    job: Option<&str>,
    mut request: Request<Incoming>,
) -> Result<Answer, Answer> {
    if public.drain.borrow().spread().is_some() {
        return Err(HttpError::Draining.into());
    }
    // The kind that the query names, for routes whose jobs may be of any kind.
    let kind = Query::of(&request).get("kind").map(Cow::into_owned);
    if let Some(id) = job {
        let kind = kind.as_deref().unwrap_or(&profile.kind);
        let job = JobKey::new(kind, id).map_err(|_| HttpError::InvalidJob)?;
        profile.job = Some(job);
    } else if let Some(kind) = kind {
        check_name(&kind, MAX_NAME).map_err(|_| HttpError::InvalidJob)?;
        profile.kind = kind.into();
    }
    let grant = access::authenticate(public, &profile.route, &request).await?;
    profile.grant = grant.map(Box::new);
    if let Some(job) = &profile.job {
        access::check_watch(profile.grant.as_deref(), job)?;
    }
    let (mut answer, websocket) =
        hyper_tungstenite::upgrade(&mut request, None).map_err(|_| HttpError::BadUpgrade)?;
    // A browser that offers subprotocols fails unless one is selected.
    if let Some(Ok(protocol)) = offered_bearer(request.headers()).map(HeaderValue::from_str) {
        answer.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let address = public.proxies.client(peer.address, request.headers());
    let place = public.places.take(&Visit::of(address, &profile), Instant::now());
    // In a box of its own, which is gone when the session stands.
    let standing = Box::pin(stand(Rc::clone(worker), websocket, profile, place.refusal()));
    let peer = Rc::clone(peer);
    tokio::task::spawn_local(async move {
        if let Some(session) = standing.await {
            session.await;
        }
        drop((place, peer));
    });
    Ok(answer)
}

/// The session, to be run; `None` if the client is gone before the answer was written.
async fn stand(
    worker: Rc<Worker>,
    websocket: HyperWebsocket,
    profile: Profile,
    refusal: Option<Reason>,
) -> Option<impl Future<Output = ()>> {
    let socket = socket(websocket, profile.max_message()).await?;
    Some(worker.serve(Endpoint::WebSocket(Box::new(socket)), profile, refusal))
}

/// The stream below the upgrade, and what was read of it already; `None` if the client is gone
/// before the answer was written.
async fn socket(websocket: HyperWebsocket, max_message: usize) -> Option<Socket> {
    let upgraded: Upgraded = websocket.await.ok()?.into_inner().into_inner();
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let transport = Transport::Tcp(parts.io.into_inner());
            return Some(Socket::new(transport, parts.read_buf.to_vec(), max_message));
        }
        Err(upgraded) => upgraded,
    };
    match upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>() {
        Ok(parts) => {
            let transport = Transport::Tls(Box::new(parts.io.into_inner()));
            Some(Socket::new(transport, parts.read_buf.to_vec(), max_message))
        }
        Err(_) => {
            tracing::error!("a connection was upgraded that is neither TCP nor TLS");
            None
        }
    }
}
