//! What a protected resource says about itself and to whoever may not use it (RFC 9728, RFC 6750).

use std::fmt::{self, Display};

use serde::Serialize;

/// Where the metadata of a protected resource is; the resource's own path follows it (RFC 9728 3.1).
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Protected resource metadata (RFC 9728 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResourceMetadata {
    pub resource: String,
    pub authorization_servers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    pub bearer_methods_supported: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
}

/// What a challenge complains about (RFC 6750 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BearerErrorCode {
    InvalidRequest,
    InvalidToken,
    InsufficientScope,
}

impl BearerErrorCode {
    /// The spelling on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
        }
    }
}

/// The value of `WWW-Authenticate` (RFC 6750 3, with the parameter of RFC 9728 5.1). Prints as it goes on the wire; the parts
/// must hold neither quotes nor backslashes, which URIs and scopes do not.
#[derive(Debug, Clone, Copy)]
pub struct BearerChallenge<'a, S> {
    /// The URL of the metadata.
    pub resource_metadata: &'a str,
    /// What the request needs; left out if it prints as nothing.
    pub scope: &'a S,
    /// `None` if the request carried no credentials (RFC 6750 3.1).
    pub error: Option<BearerErrorCode>,
}

impl<S: Display> Display for BearerChallenge<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"Bearer resource_metadata="{}""#, self.resource_metadata)?;
        let scope = self.scope.to_string();
        if !scope.is_empty() {
            write!(f, r#", scope="{scope}""#)?;
        }
        if let Some(error) = self.error {
            write!(f, r#", error="{}""#, error.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_without_credentials_has_no_error_and_without_scope_no_scope() {
        let challenge = |scope, error| {
            BearerChallenge { resource_metadata: "https://a.example/.well-known/x", scope: &scope, error }.to_string()
        };
        assert_eq!(
            challenge("mcp:read", None),
            r#"Bearer resource_metadata="https://a.example/.well-known/x", scope="mcp:read""#
        );
        assert_eq!(
            challenge("", Some(BearerErrorCode::InvalidToken)),
            r#"Bearer resource_metadata="https://a.example/.well-known/x", error="invalid_token""#
        );
    }

    #[test]
    fn members_that_say_nothing_are_left_out() {
        let metadata = ResourceMetadata {
            resource: "https://a.example/mcp".into(),
            authorization_servers: vec!["https://auth.example".into()],
            scopes_supported: vec![],
            bearer_methods_supported: ["header"],
            resource_name: None,
        };
        assert_eq!(
            serde_json::to_string(&metadata).unwrap(),
            r#"{"resource":"https://a.example/mcp","authorization_servers":["https://auth.example"],"bearer_methods_supported":["header"]}"#
        );
    }
}
