//! Proof Key for Code Exchange (RFC 7636), S256 only and for every client (OAuth 2.1 4.1.1).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::protocol::secret::Secret;

/// Why an authorization request's PKCE parameters are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChallengeError {
    /// No `code_challenge`.
    #[error("code_challenge is required")]
    Missing,
    /// `plain`, or nothing, which means `plain` (RFC 7636 4.3), or an unknown method.
    #[error("code_challenge_method must be S256")]
    MethodNotS256,
    /// Not 43 characters of base64url.
    #[error("code_challenge must be 43 characters of base64url")]
    Malformed,
}

/// The S256 challenge: SHA-256 of the verifier to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeChallenge([u8; 32]);

impl CodeChallenge {
    /// Judges the two parameters of an authorization request.
    pub fn parse(challenge: Option<&str>, method: Option<&str>) -> Result<Self, ChallengeError> {
        let challenge = challenge.ok_or(ChallengeError::Missing)?;
        if method != Some("S256") {
            return Err(ChallengeError::MethodNotS256);
        }
        // RFC 7636 4.2: base64url of 32 bytes, without padding, is exactly 43 characters.
        if challenge.len() != 43 {
            return Err(ChallengeError::Malformed);
        }
        let bytes = URL_SAFE_NO_PAD.decode(challenge).map_err(|_| ChallengeError::Malformed)?;
        bytes.try_into().map(Self).map_err(|_| ChallengeError::Malformed)
    }

    /// From the bytes that a store kept.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For a store to keep.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// RFC 7636 4.6: whether `verifier` is the one that this challenge was made from.
    pub fn is_met_by(&self, verifier: &CodeVerifier<'_>) -> bool {
        let hash: [u8; 32] = Sha256::digest(verifier.0.as_bytes()).into();
        hash.ct_eq(&self.0).into()
    }
}

/// A well-formed verifier: 43 to 128 unreserved characters (RFC 7636 4.1).
pub struct CodeVerifier<'a>(&'a str);

impl<'a> CodeVerifier<'a> {
    /// `None` if the text cannot be a verifier.
    pub fn parse(verifier: &'a Secret) -> Option<Self> {
        let text = verifier.expose();
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        ((43..=128).contains(&text.len()) && text.bytes().all(unreserved)).then_some(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_rfc_7636_appendix_b_verifies() {
        let challenge =
            CodeChallenge::parse(Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"), Some("S256")).unwrap();
        let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert!(challenge.is_met_by(&CodeVerifier::parse(&verifier).unwrap()));
    }

    #[test]
    fn plain_is_refused_by_name_and_by_default() {
        let challenge = Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        for method in [None, Some("plain"), Some("s256")] {
            assert_eq!(CodeChallenge::parse(challenge, method), Err(ChallengeError::MethodNotS256));
        }
    }

    #[test]
    fn a_challenge_is_exactly_forty_three_characters_of_base64url() {
        let good = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        for bad in [&good[1..], &format!("{good}A"), &good.replace('-', "+"), &good.replace('E', "=")] {
            assert_eq!(CodeChallenge::parse(Some(bad), Some("S256")), Err(ChallengeError::Malformed));
        }
    }

    #[test]
    fn a_verifier_has_43_to_128_unreserved_characters() {
        for (length, good) in [(42, false), (43, true), (128, true), (129, false)] {
            assert_eq!(CodeVerifier::parse(&Secret::new("a".repeat(length))).is_some(), good, "{length}");
        }
        assert!(CodeVerifier::parse(&Secret::new("a".repeat(42) + "+")).is_none());
    }

    proptest! {
        #[test]
        fn only_the_verifier_of_a_challenge_meets_it(a in "[A-Za-z0-9._~-]{43,128}", b in "[A-Za-z0-9._~-]{43,128}") {
            let challenge = CodeChallenge::parse(
                Some(&URL_SAFE_NO_PAD.encode(Sha256::digest(a.as_bytes()))), Some("S256")).unwrap();
            let [first, second] = [&a, &b].map(|v| Secret::new(v.as_str()));
            prop_assert!(challenge.is_met_by(&CodeVerifier::parse(&first).unwrap()));
            prop_assert_eq!(challenge.is_met_by(&CodeVerifier::parse(&second).unwrap()), a == b);
        }
    }
}
