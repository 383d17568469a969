//! The authorization server metadata document (RFC 8414 2, OpenID Connect Discovery 3).

use serde::Serialize;

/// Both well-known documents: they are byte for byte the same.
///
/// Only what is wired and exercised by a test may have a member here.
#[derive(Debug, Clone, Serialize)]
pub struct ServerMetadata {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<String>,
    pub revocation_endpoint: String,
    pub introspection_endpoint: String,
    pub jwks_uri: String,
    pub scopes_supported: Vec<String>,
    pub response_types_supported: &'static [&'static str],
    pub response_modes_supported: &'static [&'static str],
    pub grant_types_supported: Vec<&'static str>,
    pub token_endpoint_auth_methods_supported: Vec<&'static str>,
    pub token_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    pub introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    pub introspection_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    pub revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    pub revocation_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    pub code_challenge_methods_supported: &'static [&'static str],
    pub authorization_response_iss_parameter_supported: bool,
    pub prompt_values_supported: &'static [&'static str],
    pub service_documentation: String,
    pub ui_locales_supported: &'static [&'static str],
    /// Required by OpenID Connect Discovery 3, and so by clients that read the document under its OpenID name.
    pub subject_types_supported: &'static [&'static str],
    /// The same. No ID token is issued; this names what signs access tokens.
    pub id_token_signing_alg_values_supported: Vec<&'static str>,
}
