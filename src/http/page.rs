//! The page, embedded in the program. It is built by `clients/page/build`.

use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, StatusCode};

use super::answer::{Answer, set, with_type};

/// Only what we serve ourselves; `ws:` and `wss:` because older Safari does not count them as
/// `'self'`.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// A file of the page, and its copy that is compressed with gzip where that is worth it.
struct File {
    media_type: &'static str,
    plain: &'static [u8],
    compressed: Option<&'static [u8]>,
}

const INDEX: File = File {
    media_type: "text/html; charset=utf-8",
    plain: include_bytes!("ui/index.html"),
    compressed: Some(include_bytes!("ui/index.html.gz")),
};
const STYLES: File = File {
    media_type: "text/css; charset=utf-8",
    plain: include_bytes!("ui/page.css"),
    compressed: Some(include_bytes!("ui/page.css.gz")),
};
const SCRIPT: File = File {
    media_type: "text/javascript; charset=utf-8",
    plain: include_bytes!("ui/page.js"),
    compressed: Some(include_bytes!("ui/page.js.gz")),
};
const ICON: File =
    File { media_type: "image/svg+xml", plain: include_bytes!("ui/favicon.svg"), compressed: None };

/// The file at a path of the page, compressed if the request's headers allow that.
pub fn find(path: &str, headers: &HeaderMap) -> Option<Answer> {
    let file = match path {
        "/" => INDEX,
        "/page.css" => STYLES,
        "/page.js" => SCRIPT,
        "/favicon.svg" => ICON,
        _ => return None,
    };
    let compressed = file.compressed.filter(|_| takes_gzip(headers));
    let body = Bytes::from_static(compressed.unwrap_or(file.plain));
    let mut answer = with_type(StatusCode::OK, file.media_type, body);
    if compressed.is_some() {
        set(&mut answer, header::CONTENT_ENCODING, "gzip");
    }
    set(&mut answer, header::VARY, "accept-encoding");
    set(&mut answer, header::CONTENT_SECURITY_POLICY, POLICY);
    set(&mut answer, header::REFERRER_POLICY, "no-referrer");
    Some(answer)
}

/// Whether gzip is named as an encoding, and not with a weight of zero (RFC 9110, 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let named = headers.get_all(header::ACCEPT_ENCODING).iter();
    named
        .filter_map(|value: &HeaderValue| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
            is_gzip && weight.is_none_or(|weight| weight > 0.0)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoding(accepted: &'static str) -> Option<HeaderValue> {
        let accepted = HeaderValue::from_static(accepted);
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, accepted)]);
        let answer = find("/page.js", &headers).expect("a file");
        answer.headers().get(header::CONTENT_ENCODING).cloned()
    }

    #[test]
    fn a_file_is_compressed_for_who_takes_that() {
        for accepted in ["gzip", "br, GZIP;q=0.5", "deflate,gzip; q=1"] {
            assert_eq!(encoding(accepted), Some(HeaderValue::from_static("gzip")), "{accepted}");
        }
        for refused in ["", "br", "gzip;q=0", "gzip; q=0.0", "xgzip"] {
            assert_eq!(encoding(refused), None, "{refused}");
        }
    }
}
