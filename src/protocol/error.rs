//! One enum of error codes per endpoint: an endpoint can only say what its specification lets it say.

use serde::Serialize;

/// Declares a wire-code enum: each variant with its specification text as documentation and its spelling.
macro_rules! wire_codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every code of this endpoint.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The spelling on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

wire_codes! {
    /// The authorization endpoint (RFC 6749 4.1.2.1, RFC 8707 2, OpenID Connect Core 3.1.2.6).
    AuthorizationErrorCode {
        /// The request is malformed.
        InvalidRequest = "invalid_request",
        /// This client may not ask for a code.
        UnauthorizedClient = "unauthorized_client",
        /// The human said no.
        AccessDenied = "access_denied",
        /// Only `code` is supported.
        UnsupportedResponseType = "unsupported_response_type",
        /// Nothing that was asked for can be granted.
        InvalidScope = "invalid_scope",
        /// RFC 8707: the resource is unknown, malformed or out of reach.
        InvalidTarget = "invalid_target",
        /// OpenID Connect: `prompt=none` and nobody is logged in.
        LoginRequired = "login_required",
        /// OpenID Connect: `prompt=none` and consent is missing.
        ConsentRequired = "consent_required",
        /// Something failed here that is not the client's doing.
        ServerError = "server_error",
        /// The store is down; try again later.
        TemporarilyUnavailable = "temporarily_unavailable",
    }
}

wire_codes! {
    /// The token endpoint (RFC 6749 5.2, RFC 8707 2).
    TokenErrorCode {
        /// The request is malformed.
        InvalidRequest = "invalid_request",
        /// Client authentication failed.
        InvalidClient = "invalid_client",
        /// The code or refresh token is not good, or not this client's.
        InvalidGrant = "invalid_grant",
        /// This client may not use this grant type.
        UnauthorizedClient = "unauthorized_client",
        /// No such grant type here.
        UnsupportedGrantType = "unsupported_grant_type",
        /// More scope than was granted, or nothing that is known.
        InvalidScope = "invalid_scope",
        /// RFC 8707: the resource is unknown, malformed or out of reach.
        InvalidTarget = "invalid_target",
        /// The store is down; try again later.
        TemporarilyUnavailable = "temporarily_unavailable",
        /// Something failed here that is not the client's doing.
        ServerError = "server_error",
    }
}

wire_codes! {
    /// Dynamic client registration and its management (RFC 7591 3.2.2, RFC 7592, RFC 6750 3.1).
    RegistrationErrorCode {
        /// A redirect URI is missing or not acceptable.
        InvalidRedirectUri = "invalid_redirect_uri",
        /// Another member leaves nothing usable.
        InvalidClientMetadata = "invalid_client_metadata",
        /// The request is not JSON, or is too large.
        InvalidRequest = "invalid_request",
        /// The registration or initial access token is missing or wrong.
        InvalidToken = "invalid_token",
        /// Policy closes registration, or a limit is reached.
        AccessDenied = "access_denied",
        /// The store is down; try again later.
        TemporarilyUnavailable = "temporarily_unavailable",
        /// Something failed here that is not the client's doing.
        ServerError = "server_error",
    }
}

wire_codes! {
    /// Introspection (RFC 7662 2.3) and revocation (RFC 7009 2.2.1): the request or its client may be refused, never the token.
    TokenQueryErrorCode {
        /// The request is malformed.
        InvalidRequest = "invalid_request",
        /// Client authentication failed.
        InvalidClient = "invalid_client",
        /// The store is down; try again later.
        TemporarilyUnavailable = "temporarily_unavailable",
        /// Something failed here that is not the client's doing.
        ServerError = "server_error",
    }
}

/// The JSON form of an error (RFC 6749 5.2). The description is fixed text: nothing internal can reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// The wire code.
    pub error: &'static str,
    /// One sentence for the developer who reads it.
    pub error_description: &'static str,
}
