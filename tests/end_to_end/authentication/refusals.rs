//! Who is refused before the upgrade, and who is not.

use serde_json::json;

use super::bad_tokens::{every_bad_token, good_claims};
use super::{PLACES, ask, ask_with, assert_refused, is_websocket};
use crate::harness::deployment::Deployment;
use crate::harness::issuer::{self, *};
use crate::harness::plain_http::exchange;

#[tokio::test]
async fn every_bad_token_is_refused_before_the_upgrade() {
    let deployment = guarded().await;
    let bad = every_bad_token();
    assert!(bad.len() >= 100, "only {} tokens", bad.len());
    for (what, token) in &bad {
        let answer = ask_with(deployment.gateway.address, "/ws/optimization", token).await;
        assert_refused(&answer, what);
        assert!(!answer.body.contains(token.as_str()), "{what} is repeated: {answer:?}");
    }
    let good = token(&good_claims());
    let answer = ask_with(deployment.gateway.address, "/ws/optimization", &good).await;
    assert_eq!(answer.status, 101, "what they were made of is good: {answer:?}");
}

#[tokio::test]
async fn every_place_asks_for_a_token_and_takes_a_good_one() {
    let deployment = guarded().await;
    for job in ["agent/7", "training/7"] {
        // Ended jobs, whose streams of events end too.
        deployment.publisher.publish_of(job, "job_completed", &json!({})).await;
    }
    let address = deployment.gateway.address;
    let expired = token(&watching_until(&["*/*"], now() - 1));
    let forged = token_of([7; 40], HS256, &good_claims().to_string());
    let confused = token_of(RS256.pem.as_bytes(), HS256, &good_claims().to_string());
    for path in PLACES {
        let without = ask(address, path, &[]).await;
        assert_refused(&without, path);
        assert_eq!(
            without.header("www-authenticate"),
            "Bearer",
            "nothing was wrong, it was missing"
        );
        for bad in [&expired, &forged, &confused] {
            let answer = ask_with(address, path, bad).await;
            assert_refused(&answer, path);
            assert!(answer.header("www-authenticate").contains("invalid_token"), "{answer:?}");
        }
    }
    for path in PLACES {
        let answer = ask_with(address, path, &token(&good_claims())).await;
        assert_eq!(answer.status, if is_websocket(path) { 101 } else { 200 }, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn every_kind_of_key_opens_the_door() {
    let deployment = guarded().await;
    let claims = |name: &str, value| {
        let mut claims = good_claims();
        claims[name] = value;
        claims
    };
    for (what, token) in [
        ("a secret", token(&good_claims())),
        ("RS256", RS256.token("RS256", &good_claims())),
        ("ES256", ES256.token("ES256", &good_claims())),
        ("EdDSA", EDDSA.token("EdDSA", &good_claims())),
        ("several audiences", issuer::token(&claims("aud", json!(["elsewhere", AUDIENCE])))),
        ("exp as a float", issuer::token(&claims("exp", json!(now() as f64 + 60.5)))),
        ("a claim of somebody else's", issuer::token(&claims("roles", json!([{ "a": [] }])))),
        // Nobody is asked to look at it (RFC 7519 section 4.1.6).
        ("iat in the future", issuer::token(&claims("iat", json!(now() + 3_600)))),
    ] {
        let answer = ask_with(deployment.gateway.address, "/ws/optimization", &token).await;
        assert_eq!(answer.status, 101, "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn a_token_that_grants_nothing_is_403() {
    let deployment = guarded().await;
    for watch in [
        json!([]),
        json!([7, true, null, ["training/*"], { "training": "*" }]),
        json!(["*", "training", "training/", "/7", "training/*/7", "tr*g/7", "training/>", ""]),
        json!([[["*/*"]]]),
    ] {
        let mut claims = good_claims();
        claims["watch"] = watch.clone();
        for path in PLACES {
            let answer = ask_with(deployment.gateway.address, path, &token(&claims)).await;
            assert_eq!(answer.status, 403, "{watch} at {path}: {answer:?}");
            assert!(answer.header("www-authenticate").contains("insufficient_scope"), "{answer:?}");
            assert_eq!(answer.json()["code"], "FORBIDDEN", "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_token_without_watch_grants_what_the_configuration_says() {
    let deployment = guarded_with("default_watch = [\"training/*\"]", &[]).await;
    let mut claims = good_claims();
    claims.as_object_mut().expect("an object").remove("watch");
    let token = token(&claims);
    let address = deployment.gateway.address;
    assert_eq!(ask_with(address, "/api/v1/training-jobs/7/ws", &token).await.status, 101);
    assert_eq!(ask_with(address, "/ws/agent-progress/7", &token).await.status, 403);
}

#[tokio::test]
async fn a_request_that_carries_its_token_otherwise_is_refused() {
    let deployment = guarded().await;
    let good = token(&good_claims());
    let with_good = bearer(&good);
    let cookie = format!("token={good}; access_token={good}");
    let basic = format!("Basic {good}");
    let jwt = format!("JWT {good}");
    let tab = format!("Bearer\t{good}");
    let glued = format!("Bearer{good}");
    let protocol = format!("bearer.{good}");
    let fields: [(&str, &[(&str, &str)]); 13] = [
        ("an empty value", &[("Authorization", "")]),
        ("the scheme alone", &[("Authorization", "Bearer")]),
        ("the scheme and a space", &[("Authorization", "Bearer ")]),
        ("the token alone", &[("Authorization", &good)]),
        ("Basic", &[("Authorization", &basic)]),
        ("JWT", &[("Authorization", &jwt)]),
        ("a tab behind the scheme", &[("Authorization", &tab)]),
        ("nothing behind the scheme", &[("Authorization", &glued)]),
        ("twice", &[("Authorization", &with_good), ("Authorization", &with_good)]),
        ("good and bad", &[("Authorization", &with_good), ("Authorization", "Bearer x")]),
        ("a cookie", &[("Cookie", &cookie)]),
        ("another header", &[("X-Access-Token", &good), ("Proxy-Authorization", &with_good)]),
        ("one subprotocol", &[("Sec-WebSocket-Protocol", &protocol)]),
    ];
    for (what, fields) in fields {
        let answer = ask(deployment.gateway.address, "/ws/optimization", fields).await;
        assert_refused(&answer, what);
    }
}

#[tokio::test]
async fn the_scheme_is_read_in_any_case_and_with_any_number_of_spaces() {
    let deployment = guarded().await;
    for scheme in ["Bearer ", "bearer ", "BEARER ", "bEaReR ", "Bearer    "] {
        let value = format!("{scheme}{}  ", token(&good_claims()));
        let fields = [("authorization", value.as_str())];
        let answer = ask(deployment.gateway.address, "/ws/optimization", &fields).await;
        assert_eq!(answer.status, 101, "{scheme:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_request_larger_than_any_token_is_refused_by_its_size() {
    let deployment = guarded().await;
    let value = bearer(&"a".repeat(40_000));
    let fields = [("Authorization", value.as_str())];
    let answer = ask(deployment.gateway.address, "/ws/optimization", &fields).await;
    assert_eq!(answer.status, 431);
}

#[tokio::test]
async fn a_token_does_not_open_what_is_not_there_and_none_is_needed_for_the_page() {
    let deployment = guarded().await;
    let address = deployment.gateway.address;
    assert_eq!(ask_with(address, "/ws/nothing", &token(&good_claims())).await.status, 404);
    assert_eq!(deployment.gateway.public_get("/").await.status, 200);
    assert_no_upgrade_by_post(&deployment).await;
}

async fn assert_no_upgrade_by_post(deployment: &Deployment) {
    let address = deployment.gateway.address;
    let request =
        format!("POST /api/v1/jobs HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    assert_eq!(exchange(address, &request).await.status, 405);
}
