//! Why a token is refused: the closed list, with what a client and what a metric is told.
//!
//! How an answer is made of it is `http`'s business.

use hyper::StatusCode;

use super::carriage::ExtractError;

/// Why a request with this token, or without one, goes no further.
///
/// The sentence is all that a client learns; it tells nothing of our keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenRefusal {
    /// No token where one is looked for.
    #[error("A token is needed: send it as Authorization: Bearer")]
    Missing,
    /// More than one token, or one that cannot be read out of the request.
    #[error("The request must carry its token once, in one place")]
    Ambiguous,
    /// More bytes than the configuration allows.
    #[error("The token is too large")]
    TooLarge,
    /// Not a signed token in compact form (RFC 7515 section 7.1).
    #[error("The token is not a signed JWT")]
    Malformed,
    /// It asks for an extension to be understood (`crit`, RFC 7515 section 4.1.11).
    #[error("The token needs an extension that is not supported")]
    Critical,
    /// Its algorithm is none of ours, or not the one that its key is for (RFC 8725 section 3.1).
    #[error("The token is signed with an algorithm that is not accepted")]
    Algorithm,
    /// No key of ours has its `kid`.
    #[error("The token is signed with a key that is not known")]
    UnknownKey,
    /// The signature is not of this key and this content.
    #[error("The token's signature is wrong")]
    Signature,
    /// A claim that is needed is missing, or one has another type than RFC 7519 says.
    #[error("The token's claims are incomplete or of a wrong type; exp is required, as a number")]
    Claims,
    /// `exp` is past.
    #[error("The token has expired")]
    Expired,
    /// `nbf` is to come.
    #[error("The token is not valid yet")]
    NotYetValid,
    /// `aud` is not us.
    #[error("The token is meant for another audience")]
    Audience,
    /// `iss` is not one that we trust.
    #[error("The token's issuer is not accepted")]
    Issuer,
    /// Valid, but no pattern of it allows anything.
    #[error("The token is valid, but grants nothing here")]
    GrantsNothing,
    /// The issuer's keys could not be fetched yet, or for too long.
    #[error("Tokens cannot be checked at the moment: try again")]
    KeysUnavailable,
}

impl TokenRefusal {
    /// Every refusal there is.
    pub const ALL: [Self; 15] = [
        Self::Missing,
        Self::Ambiguous,
        Self::TooLarge,
        Self::Malformed,
        Self::Critical,
        Self::Algorithm,
        Self::UnknownKey,
        Self::Signature,
        Self::Claims,
        Self::Expired,
        Self::NotYetValid,
        Self::Audience,
        Self::Issuer,
        Self::GrantsNothing,
        Self::KeysUnavailable,
    ];

    /// A word for metrics; one of a fixed few.
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Ambiguous => "ambiguous",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Critical => "critical",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Audience => "audience",
            Self::Issuer => "issuer",
            Self::GrantsNothing => "grants_nothing",
            Self::KeysUnavailable => "keys_unavailable",
        }
    }

    /// 401 for who cannot show who they are, 403 for who may do nothing, 503 for a fault of ours.
    pub fn status(self) -> StatusCode {
        match self {
            Self::GrantsNothing => StatusCode::FORBIDDEN,
            Self::KeysUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    /// The value of `WWW-Authenticate` (RFC 6750 section 3), for 401 and 403.
    pub fn challenge(self) -> Option<&'static str> {
        match self {
            Self::KeysUnavailable => None,
            Self::Missing => Some("Bearer"),
            Self::Ambiguous => Some("Bearer error=\"invalid_request\""),
            Self::GrantsNothing => Some("Bearer error=\"insufficient_scope\""),
            _ => Some("Bearer error=\"invalid_token\""),
        }
    }
}

impl From<ExtractError> for TokenRefusal {
    fn from(error: ExtractError) -> Self {
        match error {
            ExtractError::Several | ExtractError::Unreadable => Self::Ambiguous,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_refusal_has_a_label_and_a_sentence_of_its_own() {
        let labels: HashSet<_> = TokenRefusal::ALL.map(TokenRefusal::label).into();
        let sentences: HashSet<_> = TokenRefusal::ALL.map(|refusal| refusal.to_string()).into();
        assert_eq!((labels.len(), sentences.len()), (15, 15));
    }

    #[test]
    fn a_challenge_comes_with_401_and_403_alone() {
        for refusal in TokenRefusal::ALL {
            let told = matches!(refusal.status().as_u16(), 401 | 403);
            assert_eq!(refusal.challenge().is_some(), told, "{refusal:?}");
        }
        assert_eq!(TokenRefusal::GrantsNothing.status(), StatusCode::FORBIDDEN);
        assert_eq!(TokenRefusal::Expired.status(), StatusCode::UNAUTHORIZED);
    }
}
