//! Where a gateway is, and which of its paths are used.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;

use crate::event::JobKey;

/// Where a gateway is looked for that no address was given of.
pub(in crate::cli) const DEFAULT_ADDRESS: &str = "http://127.0.0.1:8080";
const SOCKET: &str = "/ws/optimization";

/// A text that is no address of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no address of a gateway: http://HOST:PORT or https://HOST is one{hint}")]
pub(in crate::cli) struct AddressError {
    text: String,
    hint: &'static str,
}

/// The address of a gateway, perhaps with a path below which it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Address {
    /// `http` or `https`, host, port and path, without a slash at the end.
    base: String,
}

impl Address {
    /// The WebSocket that carries jobs of every kind, as HTTP names it.
    pub(super) fn socket(&self) -> String {
        format!("{}{SOCKET}", self.base)
    }

    /// Where the jobs are listed, with a query or without.
    pub(super) fn jobs(&self, query: &str) -> String {
        format!("{}/api/v1/jobs{query}", self.base)
    }

    /// Where the state of a job is.
    pub(super) fn job(&self, job: &JobKey) -> String {
        format!("{}/api/v1/jobs/{}/{}", self.base, job.kind(), job.id())
    }

    /// Where events of a job are published.
    pub(super) fn events(&self, job: &JobKey) -> String {
        format!("{}/events", self.job(job))
    }

    /// Whether what is sent there is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.base.starts_with("https:")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.base)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = |hint| AddressError { text: text.to_owned(), hint };
        let uri: Uri = text.trim().parse().map_err(|_| wrong(""))?;
        let scheme = match uri.scheme_str() {
            Some("http" | "ws") => "http",
            Some("https" | "wss") => "https",
            _ => return Err(wrong("")),
        };
        let authority = uri.authority().filter(|authority| !authority.host().is_empty());
        let authority = authority.ok_or_else(|| wrong(""))?;
        if authority.as_str().contains('@') {
            // Not repeated: it may be a secret.
            let hint = "; who one is, is told by a token";
            return Err(AddressError {
                text: format!("{scheme}://…@{}", authority.host()), hint
            });
        }
        if uri.query().is_some() {
            return Err(wrong(", without a query"));
        }
        let path = uri.path().trim_end_matches('/');
        let path = path.strip_suffix(SOCKET).unwrap_or(path);
        Ok(Self { base: format!("{scheme}://{authority}{path}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_any_scheme_of_the_web_and_a_path() {
        for (text, base) in [
            ("http://localhost:8080", "http://localhost:8080"),
            ("wss://jobs.example.com/", "https://jobs.example.com"),
            ("ws://h:1/gateway/ws/optimization", "http://h:1/gateway"),
            (" https://[::1]:8443/a/b/ ", "https://[::1]:8443/a/b"),
        ] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), base);
        }
    }

    #[test]
    fn what_is_no_address_is_quoted_with_what_would_be_one() {
        for text in ["", "localhost", "localhost:8080", "nats://h:4222", "http://", "http://h/?a=b"]
        {
            let told = text.parse::<Address>().expect_err(text).to_string();
            assert!(told.contains(&format!("{text:?}")) && told.contains("http://HOST"), "{told}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_repeated() {
        let told = "http://me:secret@h".parse::<Address>().expect_err("a user").to_string();
        assert!(!told.contains("secret") && told.contains("token"), "{told}");
    }
}
