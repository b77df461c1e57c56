//! Settings: what is taken, and which setting an error names.

use std::io::Write;
use std::time::Duration;

use aws_lc_rs::rsa::KeySize;
use clap::{CommandFactory, Parser};
use jsonwebtoken::Algorithm;
use tempfile::NamedTempFile;

use super::issuer::*;
use crate::auth::{AuthConfig, AuthMode, AuthSettings, JwksLocation, JwtConfig};
use crate::config::ConfigError;

/// A command with the settings of tokens and those they will stand beside.
#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    all: crate::config::Settings,
}

fn file(content: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(content.as_bytes()).expect("a file");
    file
}

fn path(file: &NamedTempFile) -> String {
    file.path().to_str().expect("a path").to_owned()
}

fn from_toml(text: &str) -> AuthSettings {
    toml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn config(text: &str) -> Result<JwtConfig, ConfigError> {
    match from_toml(text).resolve()? {
        AuthConfig::Jwt(config) => Ok(*config),
        AuthConfig::Off => panic!("off: {text}"),
    }
}

/// The setting that an error is about, with the whole text.
fn wrong(text: &str) -> (String, String) {
    match from_toml(text).resolve() {
        Err(ConfigError::Invalid { setting, problem }) => (setting.into(), problem),
        other => panic!("{text} gave {other:?}"),
    }
}

const SECRET_LINE: &str = "mode = 'jwt'\nsecret = 'thirty-two bytes, as RFC 7518 asks'\n";

#[test]
fn tokens_are_off_unless_asked_for() {
    assert!(matches!(AuthSettings::default().resolve(), Ok(AuthConfig::Off)));
    assert!(matches!(from_toml("mode = 'off'").resolve(), Ok(AuthConfig::Off)));
}

#[test]
fn defaults_are_strict() {
    let config = config(SECRET_LINE).expect("a configuration");
    let policy = config.policy;
    assert_eq!((policy.leeway, policy.max_token), (Duration::from_secs(10), 8 * 1024));
    assert!(policy.default_watch.is_empty() && policy.default_publish.is_empty());
    assert!(config.jwks.is_none());
}

#[test]
fn keys_without_jwt_are_a_contradiction_whatever_they_are() {
    for line in [
        "secret = 'x'",
        "secret_file = 'x'",
        "public_keys = ['RS256=x']",
        "jwks_file = 'x'",
        "jwks_url = 'https://x'",
        "jwks_refresh = '1m'",
        "jwks_max_age = '1m'",
        "audience = ['x']",
        "issuer = ['x']",
        "leeway = '1s'",
        "default_watch = ['*/*']",
        "default_publish = []",
        "max_token = '1KiB'",
    ] {
        for mode in ["", "mode = 'off'\n"] {
            let (setting, problem) = wrong(&format!("{mode}{line}"));
            let name = line.split(' ').next().expect("a name");
            assert_eq!(setting, "auth.mode");
            assert!(problem.contains(&format!("auth.{name} ")), "{line}: {problem}");
        }
    }
}

#[test]
fn an_error_names_the_setting() {
    let secret = file("thirty-two bytes, as RFC 7518 asks\n");
    let short = file("short");
    let pem = file(&TRUSTED.p256.pem);
    let (secret, short, pem) = (path(&secret), path(&short), path(&pem));
    for (text, setting) in [
        ("mode = 'jwt'".to_owned(), "auth.mode"),
        (format!("{SECRET_LINE}secret_file = '{secret}'"), "auth.secret_file"),
        (format!("mode = 'jwt'\nsecret_file = '{short}'"), "auth.secret_file"),
        (format!("mode = 'jwt'\nsecret_file = '{pem}'"), "auth.secret_file"),
        ("mode = 'jwt'\nsecret_file = '/does/not/exist'".into(), "auth.secret_file"),
        ("mode = 'jwt'\nsecret = 'short'".into(), "auth.secret"),
        ("mode = 'jwt'\nsecret = ''".into(), "auth.secret"),
        (format!("mode = 'jwt'\npublic_keys = ['{pem}']"), "auth.public_keys"),
        (format!("mode = 'jwt'\npublic_keys = ['none={pem}']"), "auth.public_keys"),
        (format!("mode = 'jwt'\npublic_keys = ['HS256={pem}']"), "auth.public_keys"),
        (format!("mode = 'jwt'\npublic_keys = ['RS256={pem}']"), "auth.public_keys"),
        (format!("mode = 'jwt'\npublic_keys = ['ES384={pem}']"), "auth.public_keys"),
        (format!("mode = 'jwt'\npublic_keys = ['ES256={secret}']"), "auth.public_keys"),
        ("mode = 'jwt'\npublic_keys = ['ES256=/does/not/exist']".into(), "auth.public_keys"),
        ("mode = 'jwt'\njwks_file = '/does/not/exist'".into(), "auth.jwks_file"),
        (format!("mode = 'jwt'\njwks_file = '{secret}'"), "auth.jwks_file"),
        ("mode = 'jwt'\njwks_url = 'https://x'\njwks_file = 'y'".into(), "auth.jwks_url"),
        ("mode = 'jwt'\njwks_url = 'ftp://x/y'".into(), "auth.jwks_url"),
        ("mode = 'jwt'\njwks_url = '/keys'".into(), "auth.jwks_url"),
        ("mode = 'jwt'\njwks_url = 'issuer.test'".into(), "auth.jwks_url"),
        ("mode = 'jwt'\njwks_url = 'https://user@x/y'".into(), "auth.jwks_url"),
        ("mode = 'jwt'\njwks_url = 'https://x'\njwks_refresh = '1s'".into(), "auth.jwks_refresh"),
        ("mode = 'jwt'\njwks_url = 'https://x'\njwks_max_age = '1m'".into(), "auth.jwks_max_age"),
        (
            "mode = 'jwt'\njwks_url = 'https://x'\njwks_refresh = '9000years'".into(),
            "auth.jwks_refresh",
        ),
        (
            "mode = 'jwt'\njwks_url = 'https://x'\njwks_max_age = '9000years'".into(),
            "auth.jwks_max_age",
        ),
        (format!("{SECRET_LINE}jwks_refresh = '1m'"), "auth.jwks_refresh"),
        (format!("{SECRET_LINE}jwks_max_age = '1m'"), "auth.jwks_max_age"),
        (format!("{SECRET_LINE}leeway = '31s'"), "auth.leeway"),
        (format!("{SECRET_LINE}max_token = '17KiB'"), "auth.max_token"),
        (format!("{SECRET_LINE}max_token = '10B'"), "auth.max_token"),
        (format!("{SECRET_LINE}audience = []"), "auth.audience"),
        (format!("{SECRET_LINE}issuer = ['']"), "auth.issuer"),
        (format!("{SECRET_LINE}default_watch = ['*']"), "auth.default_watch"),
        (format!("{SECRET_LINE}default_publish = ['a/b/c']"), "auth.default_publish"),
    ] {
        let (named, problem) = wrong(&text);
        assert_eq!(named, setting, "{text}: {problem}");
        assert!(!problem.contains("thirty-two"), "no secret in an error: {problem}");
    }
}

#[test]
fn public_keys_are_read_with_algorithm_and_id() {
    let p256 = file(&TRUSTED.p256.pem);
    let rsa = file(&TRUSTED.rsa.pem);
    let text = format!(
        "mode = 'jwt'\npublic_keys = ['ES256:2026:a={}', 'PS256={}']",
        path(&p256),
        path(&rsa)
    );
    let keys = config(&text).expect("a configuration").keys;
    let told: Vec<_> = keys.iter().map(|key| (key.algorithm(), key.id())).collect();
    assert_eq!(told, [(Algorithm::ES256, Some("2026:a")), (Algorithm::PS256, None)]);
}

#[test]
fn a_private_key_a_certificate_or_two_keys_are_no_public_key() {
    let pem = &TRUSTED.p256.pem;
    for content in [
        pem.replace("PUBLIC", "PRIVATE"),
        pem.replace("PUBLIC KEY", "CERTIFICATE"),
        format!("{pem}{pem}"),
        pem.replace("BEGIN", "Begin"),
        pem[..40].to_owned(),
        String::new(),
    ] {
        let file = file(&content);
        let text = format!("mode = 'jwt'\npublic_keys = ['ES256={}']", path(&file));
        assert_eq!(wrong(&text).0, "auth.public_keys", "{content}");
    }
}

#[test]
fn an_rsa_key_that_is_too_short_is_told_with_its_size() {
    let large = Pair::rsa(KeySize::Rsa3072);
    let kept = file(&large.pem);
    let text = format!("mode = 'jwt'\npublic_keys = ['RS256={}']", path(&kept));
    assert!(config(&text).is_ok());
    let small = file(SMALL_RSA_KEY);
    let (_, problem) = wrong(&format!("mode = 'jwt'\npublic_keys = ['RS256={}']", path(&small)));
    assert!(problem.contains("1024 bits"), "{problem}");
}

/// A public key with 1,024 bits; its private half is lost.
const SMALL_RSA_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHHmjcQAUgyBkcfq+a68GHBLg\n\
WixH7bdRgqdZgzK1d6Rwnsu5jZlzu2JEXHP30HcR97tziKhruu7FJWpPVCND8ghn\n\
6OvJlZ55g+Ecg6DaJn2t8PXoxwv89tM2tupI4GbtUerGPoqd1Z6FG6suhzWJkwQD\n\
0FsZnR+XyRspL3KrIQIDAQAB\n\
-----END PUBLIC KEY-----";

#[test]
fn an_address_is_kept_with_its_times() {
    let text = "mode = 'jwt'\njwks_url = 'https://issuer.test/keys'\njwks_refresh = '2days'";
    let jwks = config(text).expect("a configuration").jwks.expect("an address");
    assert_eq!(jwks.location, JwksLocation::Url("https://issuer.test/keys".parse().expect("one")));
    assert_eq!(jwks.refresh, Duration::from_secs(2 * 86_400));
    assert_eq!(jwks.max_age, jwks.refresh, "the default is never shorter than the interval");
}

#[test]
fn the_line_end_of_a_secret_file_is_not_part_of_the_secret() {
    let secret = String::from_utf8(SECRET.into()).expect("text");
    let file = file(&format!("{secret}\r\n"));
    let config = config(&format!("mode = 'jwt'\nsecret_file = '{}'", path(&file)));
    let keys = crate::auth::Keys::fixed(config.expect("a configuration").keys);
    let metrics = crate::auth::AuthMetrics::of_a_test();
    let gateway = crate::auth::Verifier::with_keys(keys, policy(), metrics);
    let token = secret_token(SECRET, r#"{"alg":"HS256"}"#, &good_claims().to_string());
    assert!(gateway.verify(&token, at(NOW)).is_ok());
}

#[test]
fn flags_lists_and_toml_say_the_same() {
    let flags = Command::try_parse_from([
        "command",
        "--auth-mode=jwt",
        "--auth-jwks-url=https://issuer.test/keys",
        "--auth-audience=a,b",
        "--auth-leeway=5s",
        "--auth-default-watch=training/*,agent/x-*",
        "--auth-max-token=4KiB",
    ])
    .expect("flags");
    let text = "mode = 'jwt'\njwks_url = 'https://issuer.test/keys'\naudience = ['a', 'b']\n\
                leeway = '5s'\ndefault_watch = ['training/*', 'agent/x-*']\nmax_token = '4KiB'";
    let told = |settings: AuthSettings| format!("{:?}", settings.resolve().expect("settings"));
    assert_eq!(flags.all.auth.mode, Some(AuthMode::Jwt));
    assert_eq!(told(flags.all.auth), told(from_toml(text)));
}

#[test]
fn settings_survive_the_way_through_toml() {
    let text = format!("{SECRET_LINE}leeway = '5s'\nmax_token = '4KiB'\nissuer = ['x']");
    let settings = from_toml(&text);
    let again: AuthSettings =
        toml::Table::try_from(&settings).expect("a table").try_into().expect("settings");
    assert_eq!(format!("{again:?}"), format!("{settings:?}"));
    assert_eq!(again.secret, settings.secret);
}

#[test]
fn a_setting_that_does_not_exist_is_an_error() {
    assert!(toml::from_str::<AuthSettings>("secrets = 'x'").is_err());
}

#[test]
fn the_secret_is_neither_in_the_help_nor_in_the_debug_form() {
    Command::command().debug_assert();
    let help = Command::command().render_long_help().to_string();
    assert!(!help.contains("--auth-secret <"), "{help}");
    assert!(help.contains("JOBWIRE_AUTH_SECRET"), "{help}");
    let settings = from_toml(SECRET_LINE);
    let debug = format!("{settings:?} {:?}", settings.clone().resolve());
    assert!(!debug.contains("thirty-two"), "{debug}");
}
