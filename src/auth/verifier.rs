//! The check of a token: from text to grant or refusal.
//!
//! How a token is taken apart is in `token`, which keys there are in `keys`. The order of the
//! checks matters: nothing of the claims is looked at before the signature is known to be good.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::HeaderMap;
use jsonwebtoken::Algorithm;

use super::carriage::extract;
use super::grant::Grant;
use super::jwks::{ConnectorError, Jwks};
use super::key::choose_backend;
use super::keys::{Keys, Schedule};
use super::metrics::AuthMetrics;
use super::pattern::Pattern;
use super::refresh::KeyRefresh;
use super::refusal::TokenRefusal;
use super::settings::{JwksLocation, JwtConfig};
use super::token::{self, Claims, Header, Parts};

/// What a token must say besides being signed, and what it grants when it does not say.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Who we are: `aud` must name one of these. Empty: not looked at.
    pub audience: Vec<String>,
    /// Whom we trust: `iss` must be one of these. Empty: not looked at.
    pub issuer: Vec<String>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// What a token without `watch` grants.
    pub default_watch: Vec<Pattern>,
    /// What a token without `publish` grants.
    pub default_publish: Vec<Pattern>,
    /// Largest token, in bytes.
    pub max_token: usize,
}

/// Checks tokens. Cheap to clone, and shared by all threads.
#[derive(Clone)]
pub struct Verifier {
    keys: Keys,
    policy: Arc<Policy>,
    metrics: AuthMetrics,
}

impl Verifier {
    /// A verifier as configured, and the task that keeps its keys fresh, if they are fetched:
    /// spawn that on any runtime. It ends with the verifier's last clone.
    ///
    /// # Errors
    /// [`ConnectorError`] if keys come over HTTPS and there can be none.
    pub fn new(
        config: JwtConfig,
        metrics: AuthMetrics,
    ) -> Result<(Self, Option<KeyRefresh<Jwks>>), ConnectorError> {
        warn_of_weaknesses(&config);
        let (keys, refresh) = match config.jwks {
            None => (Keys::fixed(config.keys), None),
            Some(jwks) => {
                let source = Jwks::new(&jwks.location)?;
                let schedule = Schedule { refresh: jwks.refresh, max_age: jwks.max_age };
                let (keys, refresh) =
                    Keys::fetched(config.keys, jwks.initial, source, schedule, metrics.clone());
                (keys, Some(refresh))
            }
        };
        Ok((Self::with_keys(keys, config.policy, metrics), refresh))
    }

    /// A verifier with keys that somebody else made.
    pub fn with_keys(keys: Keys, policy: Policy, metrics: AuthMetrics) -> Self {
        choose_backend();
        Self { keys, policy: Arc::new(policy), metrics }
    }

    /// Whether every key there should be is here; for readiness.
    pub fn is_ready(&self) -> bool {
        self.keys.are_complete()
    }

    /// Finds a request's token and checks it. If its key is not known, waits for one refresh of
    /// the keys, at most 5 s and at most once a minute in the process; otherwise not at all.
    ///
    /// # Errors
    /// [`TokenRefusal`], counted.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        allow_query: bool,
        now: SystemTime,
    ) -> Result<Grant, TokenRefusal> {
        let token = match extract(headers, query, allow_query) {
            Ok(Some(found)) => found.token,
            Ok(None) => return self.counted(Err(TokenRefusal::Missing)),
            Err(error) => return self.counted(Err(error.into())),
        };
        let mut outcome = self.check(token, now);
        if outcome == Err(TokenRefusal::UnknownKey) && self.keys.refreshed().await {
            outcome = self.check(token, now);
        }
        self.counted(outcome)
    }

    /// Checks a token without waiting for anything. If its key is not known, a refresh of the
    /// keys is asked for, so that the same token may be taken a moment later.
    ///
    /// # Errors
    /// [`TokenRefusal`], counted.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Grant, TokenRefusal> {
        let outcome = self.check(token, now);
        if outcome == Err(TokenRefusal::UnknownKey) {
            self.keys.ask();
        }
        self.counted(outcome)
    }

    fn counted(&self, outcome: Result<Grant, TokenRefusal>) -> Result<Grant, TokenRefusal> {
        match &outcome {
            Ok(_) => self.metrics.accepted(),
            Err(refusal) => self.metrics.refused(*refusal),
        }
        outcome
    }

    fn check(&self, token: &str, now: SystemTime) -> Result<Grant, TokenRefusal> {
        if token.len() > self.policy.max_token {
            return Err(TokenRefusal::TooLarge);
        }
        let parts = Parts::split(token).map_err(|_| TokenRefusal::Malformed)?;
        let header: Header = token::read(parts.header).map_err(|_| TokenRefusal::Malformed)?;
        if header.crit.is_some() {
            return Err(TokenRefusal::Critical);
        }
        // `none` is no algorithm of the library, in any spelling.
        let algorithm = header.alg.parse().map_err(|_| TokenRefusal::Algorithm)?;
        self.check_signature(&parts, header.kid.as_deref(), algorithm)?;
        let claims: Claims = token::read(parts.payload).map_err(|_| TokenRefusal::Claims)?;
        self.policy.check(&claims, now)?;
        self.grant(claims)
    }

    fn check_signature(
        &self,
        parts: &Parts<'_>,
        key: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<(), TokenRefusal> {
        let keys = self.keys.current();
        if keys.named(key).next().is_none() {
            return Err(if keys.is_complete {
                TokenRefusal::UnknownKey
            } else {
                TokenRefusal::KeysUnavailable
            });
        }
        let mut refusal = TokenRefusal::Algorithm;
        for key in keys.named(key).filter(|key| key.algorithm() == algorithm) {
            match key.verifies(parts.signature, parts.message.as_bytes()) {
                Ok(true) => return Ok(()),
                Ok(false) => refusal = TokenRefusal::Signature,
                Err(_) => return Err(TokenRefusal::Malformed),
            }
        }
        Err(refusal)
    }

    fn grant(&self, claims: Claims) -> Result<Grant, TokenRefusal> {
        let expires_at = SystemTime::UNIX_EPOCH + Duration::from_secs(claims.exp.floor());
        let granted = |claim, default: &Vec<Pattern>| match claim {
            Some(patterns) => self.patterns(patterns),
            None => default.clone(),
        };
        let grant = Grant {
            subject: claims.sub.map(Into::into),
            expires_at,
            valid_until: expires_at + self.policy.leeway,
            watch: granted(claims.watch, &self.policy.default_watch),
            publish: granted(claims.publish, &self.policy.default_publish),
        };
        if grant.is_empty() { Err(TokenRefusal::GrantsNothing) } else { Ok(grant) }
    }

    /// Reads the patterns of a claim. One that is none grants nothing and takes nothing away.
    fn patterns(&self, claim: Vec<serde_json::Value>) -> Vec<Pattern> {
        let parse = |value: serde_json::Value| {
            let parsed = value.as_str().and_then(|text| text.parse().ok());
            if parsed.is_none() {
                self.metrics.malformed_pattern(&value.to_string());
            }
            parsed
        };
        claim.into_iter().filter_map(parse).collect()
    }
}

/// Says what is allowed, and yet seldom meant.
fn warn_of_weaknesses(config: &JwtConfig) {
    if config.policy.audience.is_empty() {
        tracing::warn!("auth.audience is not set: tokens made for other services are taken too");
    }
    let location = config.jwks.as_ref().map(|jwks| &jwks.location);
    if let Some(JwksLocation::Url(address)) = location
        && address.scheme_str() == Some("http")
    {
        tracing::warn!("auth.jwks_url is not https: who is on the way there can make up keys");
    }
}

impl Policy {
    fn check(&self, claims: &Claims, now: SystemTime) -> Result<(), TokenRefusal> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let leeway = self.leeway.as_secs();
        if now >= claims.exp.floor().saturating_add(leeway) {
            return Err(TokenRefusal::Expired);
        }
        if claims.nbf.is_some_and(|begin| now.saturating_add(leeway) < begin.ceiling()) {
            return Err(TokenRefusal::NotYetValid);
        }
        let is_for_us =
            |name: &String| claims.aud.as_ref().is_some_and(|audience| audience.contains(name));
        if !self.audience.is_empty() && !self.audience.iter().any(is_for_us) {
            return Err(TokenRefusal::Audience);
        }
        let is_trusted = claims.iss.as_ref().is_some_and(|issuer| self.issuer.contains(issuer));
        if !self.issuer.is_empty() && !is_trusted {
            return Err(TokenRefusal::Issuer);
        }
        Ok(())
    }
}
