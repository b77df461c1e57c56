//! From an HTTP request to a session.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use hyper::Request;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_tungstenite::HyperWebsocket;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::answer::{Answer, HttpError};
use super::server::Public;
use crate::event::{JobKey, MAX_NAME, check_name};
use crate::session::{Profile, Socket, Transport, Worker};

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
    let (answer, websocket) =
        hyper_tungstenite::upgrade(&mut request, None).map_err(|_| HttpError::BadUpgrade)?;
    let place = Place::take(public);
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        // A client that is gone before the answer was written needs no session.
        if let Ok(socket) = socket(websocket).await {
            worker.serve(socket, profile, place.is_free).await;
        }
        drop(place);
    });
    Ok(answer)
}

/// The kind that the query names, for routes whose jobs may be of any kind.
fn kind_of(request: &Request<Incoming>) -> Option<&str> {
    request.uri().query()?.split('&').find_map(|pair| pair.strip_prefix("kind="))
}

/// A connection's place among those that the process may have.
struct Place {
    connections: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    is_free: bool,
}

impl Place {
    fn take(public: &Public) -> Self {
        let connections = std::sync::Arc::clone(&public.connections);
        let before = connections.fetch_add(1, Ordering::Relaxed);
        Self { connections, is_free: before < public.max_connections }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
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
