//! Where in a request a token is carried.
//!
//! It is only found here; whether it is any good is the `verifier`'s business.

use std::fmt;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName, SEC_WEBSOCKET_PROTOCOL};

/// The scheme of RFC 6750, and the subprotocol that announces a token.
const BEARER: &str = "Bearer";
/// The query parameter that holds a token.
const PARAMETER: &str = "token";

/// The place a token was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSource {
    /// `Authorization: Bearer <token>` (RFC 6750 section 2.1).
    Header,
    /// `Sec-WebSocket-Protocol: Bearer, <token>`: the protocol offered after `Bearer`.
    Subprotocol,
    /// `?token=<token>`.
    Query,
}

/// A token as it stands in a request. Its debug form hides it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Extracted<'a> {
    /// The token, not checked in any way.
    pub token: &'a str,
    /// Where it was.
    pub source: TokenSource,
}

impl fmt::Debug for Extracted<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Extracted").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Why no token can be taken from a request that seems to carry one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExtractError {
    /// The same place holds several.
    #[error("the request carries several tokens in one place")]
    Several,
    /// Not visible ASCII, or nothing after the scheme.
    #[error("the request carries a token that cannot be read")]
    Unreadable,
}

/// Finds a request's token: in the header, else in the subprotocols, else in the query where the
/// route allows that. An `Authorization` of another scheme is not ours and passed over.
///
/// # Errors
/// [`ExtractError`], rather than looking on: a request means one token.
pub fn extract<'a>(
    headers: &'a HeaderMap,
    query: Option<&'a str>,
    allow_query: bool,
) -> Result<Option<Extracted<'a>>, ExtractError> {
    let found = |source| move |token| Extracted { token, source };
    if let Some(token) = authorization(headers)? {
        return Ok(Some(token).map(found(TokenSource::Header)));
    }
    if let Some(token) = subprotocol(headers)? {
        return Ok(Some(token).map(found(TokenSource::Subprotocol)));
    }
    let query = query.filter(|_| allow_query);
    Ok(parameter(query.unwrap_or_default())?.map(found(TokenSource::Query)))
}

/// The subprotocol `Bearer` as the client wrote it, if it was offered.
///
/// The answer to an upgrade must select it then, authentication on or off: a browser fails the
/// connection if none of what it offered is selected (RFC 6455 section 4.1).
pub fn offered_bearer(headers: &HeaderMap) -> Option<&str> {
    protocols(headers).flatten().find(|protocol| is_bearer(protocol))
}

fn is_bearer(text: &str) -> bool {
    text.eq_ignore_ascii_case(BEARER)
}

fn authorization(headers: &HeaderMap) -> Result<Option<&str>, ExtractError> {
    let mut tokens = values(headers, AUTHORIZATION).filter_map(|value| match value {
        Err(error) => Some(Err(error)),
        Ok(value) => {
            let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
            is_bearer(scheme).then(|| whole(rest.trim_matches(' ')))
        }
    });
    only(&mut tokens)
}

fn subprotocol(headers: &HeaderMap) -> Result<Option<&str>, ExtractError> {
    let mut offered = protocols(headers);
    while let Some(protocol) = offered.next().transpose()? {
        if is_bearer(protocol) {
            return offered.next().transpose()?.map(whole).transpose();
        }
    }
    Ok(None)
}

fn parameter(query: &str) -> Result<Option<&str>, ExtractError> {
    // No percent-decoding: nothing in a token needs it.
    let mut tokens = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, value)| *name == PARAMETER && !value.is_empty())
        .map(|(_, value)| whole(value));
    only(&mut tokens)
}

/// Every protocol offered, in order, over all lines of the header.
fn protocols(headers: &HeaderMap) -> impl Iterator<Item = Result<&str, ExtractError>> {
    values(headers, SEC_WEBSOCKET_PROTOCOL).flat_map(|value| {
        let (list, error) = match value {
            Ok(list) => (list, None),
            Err(error) => ("", Some(Err(error))),
        };
        let names = list.split(',').map(|name| name.trim_matches([' ', '\t']));
        names.filter(|name| !name.is_empty()).map(Ok).chain(error)
    })
}

fn values(
    headers: &HeaderMap,
    name: HeaderName,
) -> impl Iterator<Item = Result<&str, ExtractError>> {
    let lines = headers.get_all(name).into_iter();
    lines.map(|value| value.to_str().map_err(|_| ExtractError::Unreadable))
}

/// A token is one run of visible characters.
fn whole(token: &str) -> Result<&str, ExtractError> {
    if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(token)
    } else {
        Err(ExtractError::Unreadable)
    }
}

fn only<'a>(
    tokens: &mut impl Iterator<Item = Result<&'a str, ExtractError>>,
) -> Result<Option<&'a str>, ExtractError> {
    let first = tokens.next().transpose()?;
    match tokens.next() {
        None => Ok(first),
        Some(_) => Err(ExtractError::Several),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).expect("a value");
        lines.iter().map(|(name, text)| (name.clone(), value(text))).collect()
    }

    fn found(
        lines: &[(HeaderName, &str)],
        query: &str,
    ) -> Result<Option<(String, TokenSource)>, ExtractError> {
        let headers = headers(lines);
        let extracted = extract(&headers, Some(query), true)?;
        Ok(extracted.map(|found| (found.token.to_owned(), found.source)))
    }

    #[test]
    fn the_header_goes_before_the_subprotocol_and_that_before_the_query() {
        let authorization = (AUTHORIZATION, "Bearer one");
        let protocol = (SEC_WEBSOCKET_PROTOCOL, "Bearer, two");
        let token = |text: &str, source| Ok(Some((text.to_owned(), source)));
        assert_eq!(
            found(&[authorization, protocol.clone()], "token=three"),
            token("one", TokenSource::Header)
        );
        assert_eq!(found(&[protocol], "token=three"), token("two", TokenSource::Subprotocol));
        assert_eq!(found(&[], "a=b&token=three"), token("three", TokenSource::Query));
        assert_eq!(found(&[], ""), Ok(None));
    }

    #[test]
    fn the_query_counts_only_where_the_route_allows_it() {
        let none = HeaderMap::new();
        assert_eq!(extract(&none, Some("token=three"), false), Ok(None));
    }

    #[test]
    fn the_scheme_is_read_in_any_case_and_others_are_passed_over() {
        for value in ["Bearer one", "bearer one", "BEARER   one "] {
            let found = found(&[(AUTHORIZATION, value)], "");
            assert_eq!(found, Ok(Some(("one".into(), TokenSource::Header))), "{value}");
        }
        let basic = (AUTHORIZATION, "Basic dXNlcg==");
        let found = found(&[basic], "token=three");
        assert_eq!(found, Ok(Some(("three".into(), TokenSource::Query))));
    }

    #[test]
    fn a_token_that_cannot_be_read_is_told_rather_than_passed_over() {
        for value in ["Bearer", "Bearer ", "Bearer a b", "Bearer a\tb", "Bearer ä"] {
            let found = found(&[(AUTHORIZATION, value)], "token=three");
            assert_eq!(found, Err(ExtractError::Unreadable), "{value:?}");
        }
        let broken = found(&[(SEC_WEBSOCKET_PROTOCOL, "Bearer, a b")], "");
        assert_eq!(broken, Err(ExtractError::Unreadable));
    }

    #[test]
    fn several_tokens_in_one_place_are_none() {
        let twice = [(AUTHORIZATION, "Bearer one"), (AUTHORIZATION, "Bearer two")];
        assert_eq!(found(&twice, ""), Err(ExtractError::Several));
        assert_eq!(found(&[], "token=a&token=b"), Err(ExtractError::Several));
    }

    #[test]
    fn the_subprotocol_after_bearer_is_the_token_wherever_the_pair_stands() {
        for offered in ["Bearer, two", "Bearer,two", "chat, Bearer , two, other", "bearer,,two"] {
            let found = found(&[(SEC_WEBSOCKET_PROTOCOL, offered)], "");
            assert_eq!(found, Ok(Some(("two".into(), TokenSource::Subprotocol))), "{offered}");
        }
        let lines = [(SEC_WEBSOCKET_PROTOCOL, "Bearer"), (SEC_WEBSOCKET_PROTOCOL, "two")];
        assert_eq!(found(&lines, ""), Ok(Some(("two".into(), TokenSource::Subprotocol))));
    }

    #[test]
    fn bearer_alone_is_offered_but_carries_no_token() {
        let headers = headers(&[(SEC_WEBSOCKET_PROTOCOL, "chat, Bearer")]);
        assert_eq!(extract(&headers, None, true), Ok(None));
        assert_eq!(offered_bearer(&headers), Some("Bearer"));
    }

    #[test]
    fn bearer_is_given_back_as_it_was_offered() {
        let offered =
            |text| offered_bearer(&headers(&[(SEC_WEBSOCKET_PROTOCOL, text)])).map(String::from);
        assert_eq!(offered("bearer, token").as_deref(), Some("bearer"));
        assert_eq!(offered("chat, Bearers"), None);
        assert_eq!(offered_bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn the_debug_form_hides_the_token() {
        let extracted = Extracted { token: "secret", source: TokenSource::Query };
        assert!(!format!("{extracted:?}").contains("secret"));
    }
}
