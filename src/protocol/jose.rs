//! JOSE words: algorithm names (RFC 7518, RFC 8037), public keys (RFC 7517) and client assertions (RFC 7523).

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::secret::Secret;

/// The signature algorithms that this server signs with or accepts. `none` has no name here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Algorithm {
    ES256,
    EdDSA,
    RS256,
    PS256,
    /// Shared-secret MAC: only for access tokens, only when the operator sets `OAUTH_TOKEN_SECRET`.
    HS256,
}

impl Algorithm {
    /// Public-key algorithms, for access tokens and client assertions.
    pub const ASYMMETRIC: &[Self] = &[Self::ES256, Self::EdDSA, Self::RS256, Self::PS256];

    /// The `alg` value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ES256 => "ES256",
            Self::EdDSA => "EdDSA",
            Self::RS256 => "RS256",
            Self::PS256 => "PS256",
            Self::HS256 => "HS256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of ES256, EdDSA, RS256, PS256, HS256")]
pub struct UnknownAlgorithm;

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        match name {
            "ES256" => Ok(Self::ES256),
            // RFC 9864 names the curve; both spellings mean the same signature.
            "EdDSA" | "Ed25519" => Ok(Self::EdDSA),
            "RS256" => Ok(Self::RS256),
            "PS256" => Ok(Self::PS256),
            "HS256" => Ok(Self::HS256),
            _ => Err(UnknownAlgorithm),
        }
    }
}

/// A public key (RFC 7517 4). Private members are not read, so they can neither be kept nor published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    pub kty: String,
    #[serde(rename = "use", skip_serializing_if = "Option::is_none", default)]
    pub public_key_use: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub alg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub e: Option<String>,
}

/// A set of public keys (RFC 7517 5).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwkSet {
    pub keys: Vec<Jwk>,
}

/// The claims of a client assertion (RFC 7523 3). Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AssertionClaims {
    pub iss: String,
    pub sub: String,
    /// A single string; an array is refused when it is read.
    pub aud: String,
    pub exp: i64,
    #[serde(default)]
    pub nbf: Option<i64>,
    #[serde(default)]
    pub iat: Option<i64>,
    pub jti: String,
}

/// The `sub` of a compact JWS whose signature nobody has checked: good for finding the keys to check it with, and for nothing
/// else.
pub fn unverified_subject(assertion: &Secret) -> Option<String> {
    #[derive(Deserialize)]
    struct Subject {
        sub: String,
    }
    let payload = assertion.expose().split('.').nth(1)?;
    let json = URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice::<Subject>(&json).ok().map(|claims| claims.sub)
}
