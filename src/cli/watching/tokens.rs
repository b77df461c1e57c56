//! The token: a text that stays, or a file that is read anew whenever one is needed.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// Longest token: more does not fit into a request's headers.
const LONGEST: usize = 16 * 1024;
/// A token is renewed so long before it expires, or when four fifths of its time are over.
const AHEAD: Duration = Duration::from_secs(60);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum TokenError {
    /// The file cannot be read.
    #[error("--token-file: cannot read {path}: {source}", path = path.display())]
    File {
        /// The file as it was given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It holds nothing that could be sent.
    #[error("{0}: a token is 1 to {LONGEST} visible ASCII characters, without white space inside")]
    NoToken(&'static str),
}

/// Where tokens come from.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) enum Tokens {
    /// None is sent.
    #[default]
    None,
    /// Always the same.
    Text(String),
    /// What stands in a file at the moment.
    File(PathBuf),
}

impl Tokens {
    /// The token to use now.
    ///
    /// # Errors
    /// [`TokenError`].
    pub(super) fn current(&self) -> Result<Option<String>, TokenError> {
        match self {
            Self::None => Ok(None),
            Self::Text(text) => checked(text, "--token").map(Some),
            // It has a few lines, and lies on this machine.
            Self::File(path) => match std::fs::read_to_string(path) {
                Ok(text) => checked(&text, "--token-file").map(Some),
                Err(source) => Err(TokenError::File { path: path.clone(), source }),
            },
        }
    }

    /// Whether another token may be had when one is no longer good.
    pub(super) fn are_renewable(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

fn checked(text: &str, source: &'static str) -> Result<String, TokenError> {
    let token = text.trim();
    let fits = (1..=LONGEST).contains(&token.len());
    if !fits || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenError::NoToken(source));
    }
    Ok(token.to_owned())
}

/// In how long another token should be had in place of this one; `None` if it does not say when it
/// expires. Nothing of it is checked here: that is the gateway's to do.
pub(super) fn renew_in(token: &str) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let Claims { exp } = serde_json::from_slice(&payload).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let left = Duration::try_from_secs_f64(exp - now.as_secs_f64()).unwrap_or_default();
    Some(left - AHEAD.min(left / 5))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expiring_in(seconds: u64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        let claims = format!("{{\"exp\":{}}}", now.as_secs() + seconds);
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_is_renewed_before_it_expires() {
        let seconds = |seconds| renew_in(&expiring_in(seconds)).expect("a time").as_secs();
        assert!((3_530..=3_540).contains(&seconds(3_600)));
        assert!((6..=8).contains(&seconds(10)));
        assert_eq!(renew_in("not-a-jwt"), None);
        assert_eq!(renew_in(&expiring_in(0)), Some(Duration::ZERO));
    }

    #[test]
    fn what_cannot_be_sent_is_no_token() {
        for text in ["", "  \n", "a b", "a\nb", "ä"] {
            assert!(Tokens::Text(text.into()).current().is_err(), "{text:?}");
        }
        assert_eq!(
            Tokens::Text(" a.b.c\n".into()).current().expect("a token"),
            Some("a.b.c".into())
        );
    }
}
