//! The claims of a JWT access token (RFC 9068 2.2).

use serde::{Deserialize, Serialize};

/// `typ` of the JOSE header (RFC 9068 2.1).
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// RFC 9068 2.2 and 2.2.3, plus the grant that the token belongs to. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessTokenClaims {
    pub iss: String,
    pub sub: String,
    pub aud: String,
    pub exp: i64,
    pub iat: i64,
    pub nbf: i64,
    pub jti: String,
    pub client_id: String,
    pub scope: String,
    /// Absent for client credentials: no human granted anything.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub grant_id: Option<String>,
    /// When the human authenticated (RFC 9068 2.2.1).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auth_time: Option<i64>,
}
