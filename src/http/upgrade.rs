//! From an HTTP request to a session.

use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper::{Request, header};
use hyper_tungstenite::HyperWebsocket;
use hyper_util::rt::TokioIo;
use std::rc::Rc;
use tokio::net::TcpStream;

use super::answer::{Answer, HttpError, set};
use super::server::Public;
use crate::event::{JobKey, MAX_NAME, check_name};
use crate::session::{Endpoint, Profile, Socket, Transport, Worker};

/// The subprotocol that stands for a token beside it (PROTOCOLS section 3).
const BEARER: &str = "Bearer";

/// Answers an upgrade, and begins the session once the answer is on its way.
///
/// # Errors
/// [`HttpError`] where the request is no proper upgrade, or the process is stopping.
pub fn upgrade(
    public: &Public,
    worker: &Rc<Worker>,
    mut profile: Profile,
    job: Option<&str>,
    mut request: Request<Incoming>,
) -> Result<Answer, HttpError> {
    if !hyper_tungstenite::is_upgrade_request(&request) {
        return Err(HttpError::UpgradeRequired);
    }
    if public.drain.borrow().spread().is_some() {
        return Err(HttpError::Draining);
    }
    if let Some(id) = job {
        let kind = kind_of(&request).unwrap_or(&profile.kind);
        let job = JobKey::new(kind, id).map_err(|_| HttpError::InvalidJob)?;
        profile.job = Some(job);
    } else if let Some(kind) = kind_of(&request) {
        check_name(kind, MAX_NAME).map_err(|_| HttpError::InvalidJob)?;
        profile.kind = kind.into();
    }
    let (mut answer, websocket) =
        hyper_tungstenite::upgrade(&mut request, None).map_err(|_| HttpError::BadUpgrade)?;
    if offers_bearer(&request) {
        // A browser that offers subprotocols fails unless one is selected.
        set(&mut answer, header::SEC_WEBSOCKET_PROTOCOL, BEARER);
    }
    let place = public.places.take(&profile);
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        // A client that is gone before the answer was written needs no session.
        if let Ok(socket) = socket(websocket).await {
            let endpoint = Endpoint::WebSocket(Box::new(socket));
            worker.serve(endpoint, profile, place.refusal()).await;
        }
        drop(place);
    });
    Ok(answer)
}

/// Whether `Bearer` is among the offered subprotocols.
fn offers_bearer(request: &Request<Incoming>) -> bool {
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    offered
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|protocol| protocol.trim() == BEARER)
}

/// The kind that the query names, for routes whose jobs may be of any kind.
fn kind_of(request: &Request<Incoming>) -> Option<&str> {
    request.uri().query()?.split('&').find_map(|pair| pair.strip_prefix("kind="))
}

/// The stream below the upgrade, and what was read of it already.
async fn socket(
    websocket: HyperWebsocket,
) -> Result<Socket, hyper_tungstenite::tungstenite::Error> {
    let upgraded: Upgraded = websocket.await?.into_inner().into_inner();
    Ok(match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => Socket::new(Transport::Tcp(parts.io.into_inner()), parts.read_buf.to_vec()),
        Err(upgraded) => {
            Socket::new(Transport::Other(Box::new(TokioIo::new(upgraded))), Vec::new())
        }
    })
}
