//! The token endpoint's messages (RFC 6749 4.1.3, 4.4.2, 5.1 and 6; RFC 7636 4.5; RFC 8707 2.2).

use serde::Serialize;

use super::{form::Form, secret::Secret};

/// A token request, one variant per grant type.
#[derive(Debug)]
pub enum TokenRequest {
    /// `grant_type=authorization_code`.
    AuthorizationCode(CodeExchange),
    /// `grant_type=refresh_token`.
    RefreshToken(Refresh),
    /// `grant_type=client_credentials`.
    ClientCredentials(ClientCredentials),
}

/// RFC 6749 4.1.3 with RFC 7636's verifier. An OAuth 2.1 client leaves `redirect_uri` out.
#[derive(Debug)]
pub struct CodeExchange {
    /// The code as presented.
    pub code: Secret,
    /// The PKCE verifier, if one was sent.
    pub code_verifier: Option<Secret>,
    /// The redirect URI, if the client repeats it.
    pub redirect_uri: Option<String>,
    /// Resources that narrow the token's audience.
    pub resources: Vec<String>,
}

/// RFC 6749 6.
#[derive(Debug)]
pub struct Refresh {
    /// The refresh token as presented.
    pub refresh_token: Secret,
    /// A narrower scope for the new access token.
    pub scope: Option<String>,
    /// Resources that narrow the token's audience.
    pub resources: Vec<String>,
}

/// RFC 6749 4.4.2.
#[derive(Debug)]
pub struct ClientCredentials {
    /// The scope asked for.
    pub scope: Option<String>,
    /// The resources asked for.
    pub resources: Vec<String>,
}

/// Why a form is not a token request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRequestError {
    /// No `grant_type`.
    MissingGrantType,
    /// A grant type that this server does not know.
    UnsupportedGrantType,
    /// No `code`.
    MissingCode,
    /// No `refresh_token`.
    MissingRefreshToken,
}

impl TryFrom<&Form> for TokenRequest {
    type Error = TokenRequestError;

    fn try_from(form: &Form) -> Result<Self, TokenRequestError> {
        let owned = |name| form.get(name).map(str::to_owned);
        let resources = || form.all("resource").map(str::to_owned).collect();
        match form.get("grant_type").ok_or(TokenRequestError::MissingGrantType)? {
            "authorization_code" => Ok(Self::AuthorizationCode(CodeExchange {
                code: Secret::new(form.get("code").ok_or(TokenRequestError::MissingCode)?),
                code_verifier: form.get("code_verifier").map(Secret::new),
                redirect_uri: owned("redirect_uri"),
                resources: resources(),
            })),
            "refresh_token" => Ok(Self::RefreshToken(Refresh {
                refresh_token: Secret::new(form.get("refresh_token").ok_or(TokenRequestError::MissingRefreshToken)?),
                scope: owned("scope"),
                resources: resources(),
            })),
            "client_credentials" => {
                Ok(Self::ClientCredentials(ClientCredentials { scope: owned("scope"), resources: resources() }))
            }
            _ => Err(TokenRequestError::UnsupportedGrantType),
        }
    }
}

/// A successful answer (RFC 6749 5.1). `scope` is always stated.
///
/// It holds live credentials, so it has no `Debug` and is written straight into the response body.
#[derive(Serialize)]
pub struct TokenResponse {
    /// The access token.
    pub access_token: String,
    /// Always `Bearer` (RFC 6750).
    pub token_type: &'static str,
    /// Seconds until the access token expires.
    pub expires_in: u64,
    /// The scope of the access token, space-separated.
    pub scope: String,
    /// The refresh token, when one is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}
