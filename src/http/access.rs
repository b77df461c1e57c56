//! Who may do what: the token of a request, and what it allows.

use std::time::SystemTime;

use hyper::body::Incoming;
use hyper::header;
use hyper::{Request, StatusCode};

use super::answer::{Answer, HttpError, json, set};
use super::server::Public;
use crate::auth::{Grant, TokenRefusal};
use crate::config::routes::Route;
use crate::event::JobKey;
use crate::session::Reason;

/// What the token of a request allows; `None` where nobody asks for tokens.
///
/// # Errors
/// The refusal to send: 401, 403, or 503 while no keys are known.
pub async fn authenticate(
    public: &Public,
    route: &Route,
    request: &Request<Incoming>,
) -> Result<Option<Grant>, Answer> {
    authenticated(public, request, route.token_in_query).await
}

/// Whether a request may publish to a job. Its token comes in a header: URLs are written to many
/// logs, and a token that can change something is not to be found there.
///
/// # Errors
/// The refusal to send: 401, 403, or 503 while no keys are known.
pub async fn check_publish(
    public: &Public,
    job: &JobKey,
    request: &Request<Incoming>,
) -> Result<(), Answer> {
    match authenticated(public, request, false).await? {
        Some(grant) if !grant.may_publish(job) => Err(HttpError::Refused(Reason::Forbidden).into()),
        _ => Ok(()),
    }
}

async fn authenticated(
    public: &Public,
    request: &Request<Incoming>,
    token_in_query: bool,
) -> Result<Option<Grant>, Answer> {
    let Some(verifier) = &public.verifier else { return Ok(None) };
    let query = request.uri().query();
    verifier
        .authenticate(request.headers(), query, token_in_query, SystemTime::now())
        .await
        .map(Some)
        .map_err(refuse)
}

/// Whether a grant allows watching a job.
///
/// # Errors
/// 403.
pub fn check_watch(grant: Option<&Grant>, job: &JobKey) -> Result<(), HttpError> {
    if grant.is_none_or(|grant| grant.may_watch(job)) {
        Ok(())
    } else {
        Err(HttpError::Refused(Reason::Forbidden))
    }
}

fn refuse(refusal: TokenRefusal) -> Answer {
    let code = match refusal.status() {
        StatusCode::FORBIDDEN => "FORBIDDEN",
        StatusCode::SERVICE_UNAVAILABLE => "UNAVAILABLE",
        _ => "UNAUTHORIZED",
    };
    let body = serde_json::json!({ "error": refusal.to_string(), "code": code });
    let mut answer = json(refusal.status(), &body);
    match refusal.challenge() {
        Some(challenge) => set(&mut answer, header::WWW_AUTHENTICATE, challenge),
        None => set(&mut answer, header::RETRY_AFTER, "1"),
    }
    answer
}
