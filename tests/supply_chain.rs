//! What `deny.toml` says of versions and sources, held against `Cargo.lock`, without a further
//! tool. Licences, duplicates and advisories are cargo-deny's: `make supply-chain`.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use semver::{Version, VersionReq};
use toml::{Table, Value};

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A crate, or versions of it, that must not be used.
struct Ban {
    name: String,
    versions: VersionReq,
    reason: String,
}

fn table(text: &str) -> Table {
    text.parse().expect("TOML")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect("a text")
}

fn locked() -> Vec<Value> {
    let lock = table(include_str!("../Cargo.lock"));
    lock["package"].as_array().expect("packages").clone()
}

fn bans() -> Vec<Ban> {
    let rules = table(include_str!("../deny.toml"));
    let denied = rules["bans"]["deny"].as_array().expect("a list of bans").clone();
    let ban = |rule: &Value| {
        let (name, versions) =
            text(rule, "crate").split_once(':').unwrap_or((text(rule, "crate"), "*"));
        let versions = VersionReq::parse(versions).expect("versions");
        Ban { name: name.to_owned(), versions, reason: text(rule, "reason").to_owned() }
    };
    denied.iter().map(ban).collect()
}

/// What is wrong with a package, if anything.
fn complaint(bans: &[Ban], name: &str, version: &str) -> Option<String> {
    let parsed = Version::parse(version).expect("a version");
    let banned = bans.iter().find(|ban| ban.name == name && ban.versions.matches(&parsed))?;
    Some(format!("{name} {version}: {}", banned.reason))
}

#[test]
fn no_locked_version_is_banned() {
    let (bans, packages) = (bans(), locked());
    assert!(packages.len() > 100, "{} packages were read", packages.len());
    let complaints: Vec<String> = packages
        .iter()
        .filter_map(|package| complaint(&bans, text(package, "name"), text(package, "version")))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn the_floors_that_bear_on_security_are_banned_below() {
    let bans = bans();
    for (name, below, floor) in [
        ("bytes", "1.11.0", "1.11.1"),
        ("h2", "0.4.15", "0.4.16"),
        ("jsonwebtoken", "10.2.0", "10.3.0"),
        ("rustls", "0.23.17", "0.23.18"),
        ("rustls-webpki", "0.103.12", "0.103.13"),
        ("time", "0.3.46", "0.3.47"),
        ("tokio", "1.44.1", "1.44.2"),
        ("tracing-subscriber", "0.3.19", "0.3.20"),
    ] {
        assert!(complaint(&bans, name, below).is_some(), "{name} {below}");
        assert_eq!(complaint(&bans, name, floor), None, "{name} {floor}");
    }
    assert!(complaint(&bans, "rsa", "0.9.8").is_some());
}

#[test]
fn every_dependency_comes_from_crates_io_with_a_checksum() {
    for package in locked() {
        let name = text(&package, "name");
        if name == env!("CARGO_PKG_NAME") {
            continue;
        }
        assert_eq!(package.get("source").and_then(Value::as_str), Some(REGISTRY), "{name}");
        assert!(package.get("checksum").is_some(), "{name} has no checksum");
    }
}
