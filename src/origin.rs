//! Which web pages may use the gateway: origins (RFC 6454) and the patterns that allow them.
//! Pure.

use std::net::Ipv6Addr;
use std::str::FromStr;

/// Where a page came from, as a browser tells it in `Origin`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    place: Place,
}

/// A host, and a port where one is written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// A name or an IPv4 address, in lower case.
    Name(String),
    V6(Ipv6Addr),
}

/// An entry of the list of allowed origins.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// `*`.
    Any,
    /// `null`: sandboxed frames, files, and pages that hide where they are from.
    Null,
    Exact(Origin),
    /// `https://*.example.com`, here as the origin `https://example.com`.
    Below(Origin),
}

/// Why an entry allows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no origin such as https://app.example.com, https://app.example.com:8443, \
     https://*.example.com, null or *, with nothing after the host and the port"
)]
pub struct MalformedOrigin;

/// Origins that are allowed beside a page's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins {
    patterns: Vec<Pattern>,
}

impl AllowedOrigins {
    /// Allows what an entry says, too.
    ///
    /// # Errors
    /// [`MalformedOrigin`]; nothing has changed then.
    pub fn allow(&mut self, entry: &str) -> Result<(), MalformedOrigin> {
        self.patterns.push(entry.parse()?);
        Ok(())
    }

    /// Whether a page of this origin may use the gateway that it calls by `host`, the value of
    /// the request's `Host`. Its own pages may always; whether they came by TLS is not compared,
    /// since that may have ended before us.
    pub fn allows(&self, origin: &str, host: Option<&str>) -> bool {
        if self.patterns.contains(&Pattern::Any) {
            return true;
        }
        if origin == "null" {
            return self.patterns.contains(&Pattern::Null);
        }
        let Ok(origin) = origin.parse::<Origin>() else { return false };
        let own = host.and_then(|host| host.parse::<Place>().ok());
        own.is_some_and(|own| origin.is_at(&own))
            || self.patterns.iter().any(|pattern| pattern.matches(&origin))
    }
}

impl Pattern {
    fn matches(&self, origin: &Origin) -> bool {
        match self {
            Self::Any => true,
            Self::Null => false,
            Self::Exact(exact) => exact == origin,
            Self::Below(parent) => origin.parent().is_some_and(|above| above == *parent),
        }
    }
}

impl FromStr for Pattern {
    type Err = MalformedOrigin;

    fn from_str(text: &str) -> Result<Self, MalformedOrigin> {
        match text {
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::Null),
            _ => {}
        }
        match text.split_once("://*.") {
            None => text.parse().map(Self::Exact),
            Some((scheme, parent)) => {
                let origin: Origin = format!("{scheme}://{parent}").parse()?;
                match origin.place.host {
                    Host::Name(_) => Ok(Self::Below(origin)),
                    Host::V6(_) => Err(MalformedOrigin),
                }
            }
        }
    }
}

impl Origin {
    /// Whether a page of this origin came from there.
    fn is_at(&self, place: &Place) -> bool {
        let port = place.port.or_else(|| default_port(&self.scheme));
        self.place.host == place.host && self.place.port == port
    }

    /// The same without the first label of the name.
    fn parent(&self) -> Option<Self> {
        let Host::Name(name) = &self.place.host else { return None };
        let (label, parent) = name.split_once('.')?;
        let host = Host::Name(parent.to_owned());
        let place = Place { host, port: self.place.port };
        (!label.is_empty()).then(|| Self { scheme: self.scheme.clone(), place })
    }
}

impl FromStr for Origin {
    type Err = MalformedOrigin;

    fn from_str(text: &str) -> Result<Self, MalformedOrigin> {
        let (scheme, place) = text.split_once("://").ok_or(MalformedOrigin)?;
        let scheme = scheme.to_ascii_lowercase();
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let mut place: Place = place.parse()?;
        place.port = place.port.or_else(|| default_port(&scheme));
        if is_scheme { Ok(Self { scheme, place }) } else { Err(MalformedOrigin) }
    }
}

impl FromStr for Place {
    type Err = MalformedOrigin;

    fn from_str(text: &str) -> Result<Self, MalformedOrigin> {
        // The colons of an IPv6 address stand in brackets.
        let end = text.find(']').unwrap_or_default();
        let (host, port) = match text.get(end..).and_then(|rest| rest.find(':')) {
            Some(colon) => text.split_at(end + colon),
            None => (text, ""),
        };
        let port = port.strip_prefix(':').map(number_of_port).transpose()?;
        Ok(Self { host: host.parse()?, port })
    }
}

impl FromStr for Host {
    type Err = MalformedOrigin;

    fn from_str(text: &str) -> Result<Self, MalformedOrigin> {
        if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return address.parse().map(Self::V6).map_err(|_| MalformedOrigin);
        }
        // Nothing that could hide another host: no user, no path, no escapes, no wildcard.
        let is_name = text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        if is_name && text.starts_with(|first: char| first != '.') {
            Ok(Self::Name(text.to_ascii_lowercase()))
        } else {
            Err(MalformedOrigin)
        }
    }
}

fn number_of_port(text: &str) -> Result<u16, MalformedOrigin> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).ok_or(MalformedOrigin)
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(entries: &[&str]) -> AllowedOrigins {
        let mut allowed = AllowedOrigins::default();
        for entry in entries {
            allowed.allow(entry).unwrap_or_else(|error| panic!("{entry:?} {error}"));
        }
        allowed
    }

    #[test]
    fn an_entry_allows_what_it_says_and_nothing_that_looks_like_it() {
        let exact = "https://app.example.com";
        let with_port = "https://app.example.com:8443";
        let below = "https://*.example.com";
        for (entry, origin, expected) in [
            (exact, "https://app.example.com", true),
            (exact, "https://app.example.com:443", true),
            (exact, "HTTPS://App.Example.COM", true),
            (exact, "http://app.example.com", false),
            (exact, "wss://app.example.com", false),
            (exact, "https://app.example.com:8443", false),
            (exact, "https://app.example.com.", false),
            (exact, "https://app.example.com.evil.org", false),
            (exact, "https://evil-app.example.com", false),
            (exact, "https://evilapp.example.com", false),
            (exact, "https://example.com", false),
            (exact, "https://app.example.com@evil.org", false),
            (exact, "https://evil.org@app.example.com", false),
            (exact, "https://user:secret@app.example.com", false),
            (exact, "https://app.example.com/", false),
            (exact, "https://app.example.com#", false),
            (exact, "https://app.example.com:", false),
            (exact, "https://app.example.com:+443", false),
            (exact, "https://app.example.com:65979", false),
            (exact, "https://app.example.com:443:443", false),
            (exact, "https://app%2eexample.com", false),
            (exact, " https://app.example.com", false),
            (exact, "https://app.example.com https://evil.org", false),
            (exact, "app.example.com", false),
            (exact, "//app.example.com", false),
            (exact, "null", false),
            (exact, "", false),
            (with_port, "https://app.example.com:8443", true),
            (with_port, "https://app.example.com:08443", true),
            (with_port, "https://app.example.com", false),
            ("https://app.example.com:443", "https://app.example.com", true),
            ("http://app.example.com:443", "https://app.example.com", false),
            (below, "https://app.example.com", true),
            (below, "https://APP.example.com:443", true),
            (below, "https://example.com", false),
            (below, "https://a.b.example.com", false),
            (below, "https://.example.com", false),
            (below, "https://evilexample.com", false),
            (below, "https://app.example.com.evil.org", false),
            (below, "https://app.example.com:8443", false),
            (below, "http://app.example.com", false),
            (below, "https://evil.org/.example.com", false),
            ("https://*.example.com:8443", "https://app.example.com:8443", true),
            ("https://[::1]:8443", "https://[0:0:0:0:0:0:0:1]:8443", true),
            ("https://[::1]:8443", "https://[::2]:8443", false),
            ("https://[::1]", "https://[::1]evil.org", false),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000", true),
            ("http://localhost:3000", "http://127.0.0.1:3000", false),
            ("capacitor://localhost", "capacitor://localhost", true),
            ("null", "null", true),
            ("null", "https://app.example.com", false),
            ("*", "https://anything.example.org:1234", true),
            ("*", "null", true),
        ] {
            assert_eq!(allowed(&[entry]).allows(origin, None), expected, "{entry} {origin:?}");
        }
    }

    #[test]
    fn a_page_may_always_use_the_gateway_that_it_came_from() {
        let nothing = AllowedOrigins::default();
        for (origin, host, expected) in [
            ("http://127.0.0.1:8080", Some("127.0.0.1:8080"), true),
            ("https://jobs.example.com", Some("jobs.example.com"), true),
            ("http://jobs.example.com", Some("jobs.example.com"), true),
            ("https://jobs.example.com", Some("Jobs.Example.com:443"), true),
            ("http://jobs.example.com:80", Some("jobs.example.com"), true),
            ("https://jobs.example.com", Some("jobs.example.com:80"), false),
            ("https://jobs.example.com:8443", Some("jobs.example.com"), false),
            ("https://jobs.example.com", Some("jobs.example.com:8443"), false),
            ("https://jobs.example.com.", Some("jobs.example.com."), true),
            ("https://jobs.example.com", Some("jobs.example.com."), false),
            ("http://[::1]:8080", Some("[::1]:8080"), true),
            ("http://[::1]:8080", Some("[::2]:8080"), false),
            ("https://jobs.example.com", Some("user@jobs.example.com"), false),
            ("https://evil.org", Some("jobs.example.com"), false),
            ("null", Some("null"), false),
            ("null", Some("jobs.example.com"), false),
            ("", Some(""), false),
            ("https://jobs.example.com", None, false),
        ] {
            assert_eq!(nothing.allows(origin, host), expected, "{origin} at {host:?}");
        }
        let other = allowed(&["https://app.example.com"]);
        assert!(other.allows("https://jobs.example.com", Some("jobs.example.com")));
    }

    #[test]
    fn an_entry_that_is_no_origin_is_refused() {
        for entry in [
            "",
            " ",
            "app.example.com",
            "https://",
            "https://*",
            "https://*.",
            "*.example.com",
            "https://app.*.com",
            "https://*app.example.com",
            "https://*.*.example.com",
            "https://*.[::1]",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://user@app.example.com",
            "https://app.example.com:x",
            "https://app.example.com:",
            "https://[::1",
            "1https://app.example.com",
            "https://app.example.com, https://b.example.com",
            "NULL",
        ] {
            let mut allowed = AllowedOrigins::default();
            assert_eq!(allowed.allow(entry), Err(MalformedOrigin), "{entry:?}");
        }
    }
}
