//! Tokens that are taken, and what they grant.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::issuer::*;
use crate::auth::{Grant, TokenRefusal};
use crate::event::JobKey;

fn job(kind: &str, id: &str) -> JobKey {
    JobKey::new(kind, id).expect("a job")
}

fn grant_of(claims: &Value) -> Result<Grant, TokenRefusal> {
    let token = secret_token(SECRET, r#"{"alg":"HS256"}"#, &claims.to_string());
    gateway().0.verify(&token, at(NOW))
}

#[test]
fn every_algorithm_is_understood() {
    let (gateway, metrics) = gateway();
    let claims = good_claims().to_string();
    let header = |algorithm: Algorithm| {
        format!(r#"{{"alg":"{algorithm:?}","typ":"JWT","kid":"{algorithm:?}"}}"#)
    };
    let pairs = RSA.map(|algorithm| (algorithm, &TRUSTED.rsa)).into_iter().chain([
        (Algorithm::ES256, &TRUSTED.p256),
        (Algorithm::ES384, &TRUSTED.p384),
        (Algorithm::EdDSA, &TRUSTED.edwards),
    ]);
    let mut tokens: Vec<_> =
        pairs.map(|(algorithm, pair)| pair.token(algorithm, &header(algorithm), &claims)).collect();
    tokens.push(secret_token(SECRET, r#"{"alg":"HS256"}"#, &claims));
    for token in &tokens {
        let outcome = gateway.verify(token, at(NOW));
        assert_eq!(outcome.map(|grant| grant.subject), Ok(Some("ann".into())), "{token}");
    }
    assert_eq!((tokens.len(), metrics.tokens("accepted")), (10, 10));
}

#[test]
fn a_grant_says_who_what_and_until_when() {
    let grant = grant_of(&good_claims()).expect("a grant");
    assert_eq!(grant.subject.as_deref(), Some("ann"));
    assert_eq!(grant.expires_at, at(NOW + 600));
    assert_eq!(grant.valid_until, at(NOW + 610));
    assert!(grant.may_watch(&job("training", "1")) && grant.may_watch(&job("agent", "team7-x")));
    assert!(!grant.may_watch(&job("agent", "team8")) && !grant.may_watch(&job("other", "1")));
    assert!(grant.may_publish(&job("training", "42")) && !grant.may_publish(&job("training", "4")));
}

#[test]
fn a_token_lasts_to_its_last_second_and_the_leeway() {
    let (gateway, _) = gateway();
    let token = secret_token(SECRET, r#"{"alg":"HS256"}"#, &good_claims().to_string());
    for (moment, expected) in [
        (NOW - 71, Err(TokenRefusal::NotYetValid)),
        (NOW - 70, Ok(())),
        (NOW + 609, Ok(())),
        (NOW + 610, Err(TokenRefusal::Expired)),
    ] {
        assert_eq!(gateway.verify(&token, at(moment)).map(|_| ()), expected, "{moment}");
    }
}

#[test]
fn a_missing_claim_grants_the_default_and_an_empty_one_nothing() {
    let pattern = |text: &str| vec![text.parse().expect("a pattern")];
    let policy = crate::auth::Policy {
        default_watch: pattern("open/*"),
        default_publish: pattern("open/in"),
        ..policy()
    };
    let (gateway, _) = gateway_with(policy);
    let verify = |watch: Option<Value>, publish: Option<Value>| {
        let mut claims = good_claims();
        let members = claims.as_object_mut().expect("an object");
        for (name, value) in [("watch", watch), ("publish", publish)] {
            members.remove(name);
            members.extend(value.map(|value| (name.to_owned(), value)));
        }
        let token = secret_token(SECRET, r#"{"alg":"HS256"}"#, &claims.to_string());
        gateway.verify(&token, at(NOW))
    };
    let open = job("open", "in");
    let missing = verify(None, None).expect("a grant");
    assert!(missing.may_watch(&open) && missing.may_publish(&open));
    let empty = verify(Some(json!([])), None).expect("a grant");
    assert!(!empty.may_watch(&open) && empty.may_publish(&open));
    let own = verify(Some(json!(["mine/*"])), Some(json!([]))).expect("a grant");
    assert!(!own.may_watch(&open) && !own.may_publish(&open) && own.may_watch(&job("mine", "1")));
    assert_eq!(verify(Some(json!([])), Some(json!([]))), Err(TokenRefusal::GrantsNothing));
}

#[test]
fn nothing_is_granted_by_default() {
    let mut claims = good_claims();
    claims
        .as_object_mut()
        .expect("an object")
        .retain(|name, _| name != "watch" && name != "publish");
    assert_eq!(grant_of(&claims), Err(TokenRefusal::GrantsNothing));
}

#[test]
fn a_malformed_pattern_grants_nothing_and_leaves_the_others() {
    let (gateway, metrics) = gateway();
    let mut claims = good_claims();
    claims["watch"] =
        json!(["*", "training", "a/b/c", 7, null, ["*/*"], {"*/*": 1}, "ok/*", "", "*a/*"]);
    let token = secret_token(SECRET, r#"{"alg":"HS256"}"#, &claims.to_string());
    let grant = gateway.verify(&token, at(NOW)).expect("a grant");
    assert_eq!(grant.watch.len(), 1);
    assert!(grant.may_watch(&job("ok", "1")) && !grant.may_watch(&job("training", "1")));
    assert_eq!(metrics.malformed_patterns(), 9);
}

#[test]
fn one_of_several_audiences_is_enough() {
    let mut claims = good_claims();
    claims["aud"] = json!(["elsewhere", "jobwire"]);
    assert!(grant_of(&claims).is_ok());
}

#[test]
fn audience_and_issuer_are_looked_at_only_if_configured() {
    let open = crate::auth::Policy { audience: vec![], issuer: vec![], ..policy() };
    let mut claims = good_claims();
    claims["aud"] = "elsewhere".into();
    claims["iss"] = "somebody".into();
    let token = secret_token(SECRET, r#"{"alg":"HS256"}"#, &claims.to_string());
    assert!(gateway_with(open).0.verify(&token, at(NOW)).is_ok());
}

#[test]
fn keys_that_a_token_brings_along_are_ignored() {
    let header = json!({
        "alg": "HS256", "jku": "https://evil.test/keys", "x5u": "https://evil.test/cert",
        "jwk": OTHER.p256.jwk(Algorithm::ES256, "evil"), "x5c": ["AAAA"],
    });
    let token = secret_token(SECRET, &header.to_string(), &good_claims().to_string());
    assert!(gateway().0.verify(&token, at(NOW)).is_ok());
}

#[test]
fn dates_may_have_fractions() {
    let mut claims = good_claims();
    claims["exp"] = json!(NOW as f64 + 5.5);
    let grant = grant_of(&claims).expect("a grant");
    assert_eq!(grant.expires_at, at(NOW + 5));
}

#[test]
fn a_good_token_is_checked_in_well_under_a_millisecond() {
    let (gateway, _) = gateway();
    let header = r#"{"alg":"ES256","kid":"ES256"}"#;
    let token = TRUSTED.p256.token(Algorithm::ES256, header, &good_claims().to_string());
    let best = super::bad_tokens::quickest(|| assert!(gateway.verify(&token, at(NOW)).is_ok()));
    assert!(best < Duration::from_millis(2), "{best:?}");
}

#[tokio::test]
async fn a_request_is_authenticated_by_the_token_it_carries() {
    let (gateway, metrics) = gateway();
    let token = secret_token(SECRET, r#"{"alg":"HS256"}"#, &good_claims().to_string());
    let query = format!("token={token}");
    let mut headers = HeaderMap::new();
    let asked = gateway.authenticate(&headers, Some(&query), true, at(NOW)).await;
    assert!(asked.is_ok());
    let asked = gateway.authenticate(&headers, Some(&query), false, at(NOW)).await;
    assert_eq!(asked, Err(TokenRefusal::Missing));
    headers.insert(AUTHORIZATION, "Bearer a b".parse().expect("a value"));
    let asked = gateway.authenticate(&headers, Some(&query), true, at(NOW)).await;
    assert_eq!(asked, Err(TokenRefusal::Ambiguous));
    let counted = ["accepted", "missing", "ambiguous"].map(|outcome| metrics.tokens(outcome));
    assert_eq!(counted, [1, 1, 1]);
}
