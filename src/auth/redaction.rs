//! Addresses without what must not stand in a log.
//!
//! It hides more than `carriage` reads: a token in a parameter that we ignore is a token still.

use hyper::Uri;

/// What stands where a token was.
const HIDDEN: &str = "hidden";
/// How every JWT begins: `{"` in base64url.
const JWT_BEGINNING: &str = "eyJ";

/// Path and query of an address for logs, every token replaced.
///
/// A parameter's value is hidden if its name, percent-decoded and in any case, contains `token`,
/// or if the value looks like a JWT wherever it stands.
pub fn loggable(uri: &Uri) -> String {
    let Some(query) = uri.query() else { return without_jwt(uri.path()) };
    let mut text = without_jwt(uri.path());
    let mut separator = '?';
    for parameter in query.split_inclusive(['&', ';']) {
        text.push(separator);
        let bare = parameter.strip_suffix(['&', ';']).unwrap_or(parameter);
        separator =
            parameter.chars().next_back().filter(|last| "&;".contains(*last)).unwrap_or('&');
        text.push_str(&redact(bare));
    }
    text
}

fn redact(parameter: &str) -> String {
    let (name, value) = parameter.split_once('=').unwrap_or(("", parameter));
    if decode(name).to_ascii_lowercase().contains("token") {
        return format!("{name}={HIDDEN}");
    }
    if decode(value).contains(JWT_BEGINNING) || decode(name).contains(JWT_BEGINNING) {
        return HIDDEN.into();
    }
    parameter.into()
}

fn without_jwt(path: &str) -> String {
    if decode(path).contains(JWT_BEGINNING) {
        path.split('/')
            .map(|part| if decode(part).contains(JWT_BEGINNING) { HIDDEN } else { part })
            .collect::<Vec<_>>()
            .join("/")
    } else {
        path.into()
    }
}

/// Percent-decoding that takes broken escapes as they are; only to look at, never to use.
fn decode(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let escaped = (byte == b'%').then(|| Some(hex(ahead.next()?)? << 4 | hex(ahead.next()?)?));
        if let Some(Some(escaped)) = escaped {
            bytes = ahead;
            decoded.push(escaped);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn logged(uri: &str) -> String {
        loggable(&uri.parse().expect("an address"))
    }

    #[test]
    fn a_token_is_not_in_the_log_however_it_is_written() {
        let token = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln";
        for uri in [
            format!("/ws?token={token}"),
            format!("/ws?a=1&token={token}&b=2"),
            format!("/ws?a=1;token={token}"),
            format!("/ws?TOKEN={token}"),
            format!("/ws?%74ok%65n={token}"),
            format!("/ws?access_token={token}"),
            format!("/ws?jwt={token}"),
            "/ws?a=%65yJhbGciOiJIUzI1NiJ9.e30.c2ln".into(),
            format!("/ws?{token}"),
            format!("/ws?{token}=1"),
            format!("/ws/{token}?a=1"),
            format!("https://host/ws?token={token}"),
        ] {
            let text = logged(&uri);
            assert!(!text.contains("c2ln") && text.contains(HIDDEN), "{uri} became {text}");
        }
    }

    #[test]
    fn everything_else_stays_as_it_was() {
        for uri in ["/", "/ws?kind=agent&after=5", "/a?b", "/a?b=%zz&c=%", "/a?x=1;y=2&&z="] {
            assert_eq!(logged(uri), uri);
        }
        assert_eq!(logged("/ws?a=1&token=secret&b=2"), "/ws?a=1&token=hidden&b=2");
    }

    proptest! {
        #[test]
        fn no_value_of_a_token_parameter_survives(
            before in "[a-z]{0,5}", secret in "[A-Z0-9]{8,20}", after in "[a-z=&;%0-9]{0,9}",
        ) {
            let text = logged(&format!("/ws?{before}=1&token={secret}&{after}"));
            prop_assert!(!text.contains(&secret), "{}", text);
        }
    }
}
