//! The page, embedded in the program.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header;

use super::answer::{Answer, set, with_type};

/// Only what we serve ourselves; `ws:` and `wss:` because older Safari does not count them as
/// `'self'`.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The file at a path of the page.
pub fn find(path: &str) -> Option<Answer> {
    let (media_type, body): (&'static str, &'static [u8]) = match path {
        "/" => ("text/html; charset=utf-8", include_bytes!("ui/index.html")),
        "/page.css" => ("text/css; charset=utf-8", include_bytes!("ui/page.css")),
        "/page.js" => ("text/javascript; charset=utf-8", include_bytes!("ui/page.js")),
        "/favicon.svg" => ("image/svg+xml", include_bytes!("ui/favicon.svg")),
        _ => return None,
    };
    let mut answer = with_type(StatusCode::OK, media_type, Bytes::from_static(body));
    set(&mut answer, header::CONTENT_SECURITY_POLICY, POLICY);
    set(&mut answer, header::REFERRER_POLICY, "no-referrer");
    Some(answer)
}
