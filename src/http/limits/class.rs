//! Which limit a request comes under.

use std::num::NonZeroU32;

use crate::http::table::path;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Class {
    /// The token endpoint.
    Token,
    /// Introspection and revocation.
    TokenQuery,
    /// What a human sees.
    Pages,
    /// Registration and its management.
    Registration,
    /// Metadata, keys, and paths where nothing is.
    Public,
    /// Whether the server lives: never limited.
    Health,
}

impl Class {
    /// By path; `base` is that of the issuer.
    pub(in crate::http) fn of(path: &str, base: &str) -> Self {
        if matches!(path, path::LIVEZ | path::READYZ) {
            return Self::Health;
        }
        match path.strip_prefix(base).unwrap_or_default() {
            path::TOKEN => Self::Token,
            path::INTROSPECT | path::REVOKE => Self::TokenQuery,
            path::AUTHORIZE | path::LOGIN | path::CONSENT | path::LOGOUT | path::SIGNED_OUT | path::DOCUMENTATION => {
                Self::Pages
            }
            below if below.starts_with(path::REGISTER) => Self::Registration,
            _ => Self::Public,
        }
    }
}

/// How many requests a second, for each sender; `None`: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Of all that come from one address (IPv4) or /64 (IPv6) and are not from a client that has proven itself there.
    pub per_address: Option<NonZeroU32>,
    /// Of one client from one address, once it has.
    pub per_client: Option<NonZeroU32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ROUTES;

    #[test]
    fn every_route_has_its_class_below_any_issuer() {
        for base in ["", "/tenant"] {
            for route in ROUTES {
                let below = route.path.replace("{client_id}", "x");
                let (path, expected) = match route.path {
                    "/livez" | "/readyz" => (below, Class::Health),
                    "/oauth/token" => (format!("{base}{below}"), Class::Token),
                    "/oauth/introspect" | "/oauth/revoke" => (format!("{base}{below}"), Class::TokenQuery),
                    known if known.starts_with("/oauth/register") => (format!("{base}{below}"), Class::Registration),
                    known if known.starts_with("/.well-known") => (format!("{base}{below}"), Class::Public),
                    _ => (format!("{base}{below}"), Class::Pages),
                };
                assert_eq!(Class::of(&path, base), expected, "{path}");
            }
        }
        for nothing in
            ["/", "", "/oauth/tokens", "/tenant", "/livez/", "/.well-known/oauth-authorization-server/tenant"]
        {
            assert_eq!(Class::of(nothing, "/tenant"), Class::Public, "{nothing}");
        }
    }
}
