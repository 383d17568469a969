//! Where everything is: the paths, the routes, and which of them a request is for.

use std::collections::HashMap;

use crate::service::{REGISTRATION_PATH, TOKEN_PATH};

/// Where everything is, below the issuer.
pub mod path {
    use super::{REGISTRATION_PATH, TOKEN_PATH};

    pub const AUTHORIZE: &str = "/oauth/authorize";
    pub const TOKEN: &str = TOKEN_PATH;
    pub const REGISTER: &str = REGISTRATION_PATH;
    /// RFC 7592: the client is in the path.
    pub const REGISTERED: &str = "/oauth/register/{client_id}";
    pub const REVOKE: &str = "/oauth/revoke";
    pub const INTROSPECT: &str = "/oauth/introspect";
    pub const JWKS: &str = "/.well-known/jwks.json";
    pub const LOGIN: &str = "/oauth/login";
    pub const CONSENT: &str = "/oauth/consent";
    pub const LOGOUT: &str = "/oauth/logout";
    pub const SIGNED_OUT: &str = "/oauth/signed-out";
    pub const DOCUMENTATION: &str = "/oauth/about";
    /// RFC 8414 3.
    pub const METADATA: &str = "/.well-known/oauth-authorization-server";
    /// OpenID Connect Discovery 4.
    pub const OPENID: &str = "/.well-known/openid-configuration";
    /// At the root, whatever the issuer is.
    pub const LIVEZ: &str = "/livez";
    /// At the root, whatever the issuer is.
    pub const READYZ: &str = "/readyz";
}

/// One route: its path below the issuer, and its methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub path: &'static str,
    pub methods: &'static [&'static str],
    /// Whether scripts of other origins may ask and read the answers; cookies play no part in them.
    pub open_to_scripts: bool,
}

const fn open(path: &'static str, methods: &'static [&'static str]) -> Route {
    Route { path, methods, open_to_scripts: true }
}

const fn closed(path: &'static str, methods: &'static [&'static str]) -> Route {
    Route { path, methods, open_to_scripts: false }
}

/// Every route.
pub const ROUTES: &[Route] = &[
    open(path::METADATA, &["GET"]),
    open(path::OPENID, &["GET"]),
    open(path::JWKS, &["GET"]),
    closed(path::AUTHORIZE, &["GET", "POST"]),
    closed(path::LOGIN, &["POST"]),
    closed(path::CONSENT, &["GET", "POST"]),
    closed(path::LOGOUT, &["POST"]),
    closed(path::SIGNED_OUT, &["GET"]),
    open(path::TOKEN, &["POST"]),
    open(path::REGISTER, &["POST"]),
    open(path::REGISTERED, &["GET", "PUT", "DELETE"]),
    open(path::REVOKE, &["POST"]),
    closed(path::INTROSPECT, &["POST"]),
    closed(path::DOCUMENTATION, &["GET"]),
    closed(path::LIVEZ, &["GET"]),
    closed(path::READYZ, &["GET"]),
];

/// A place in [`ROUTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteIndex(pub(super) usize);

impl RouteIndex {
    /// The route.
    pub fn route(self) -> &'static Route {
        &ROUTES[self.0]
    }
}

/// Which route a path leads to, for one issuer. axum's router comes to the same result, but only on its way inside.
pub(super) struct RouteTable {
    exact: HashMap<String, RouteIndex>,
    /// Before the client of [`path::REGISTERED`].
    registered: (String, RouteIndex),
}

impl RouteTable {
    /// `base`: the path of the issuer.
    pub(super) fn new(base: &str) -> Self {
        let mut exact = HashMap::new();
        let mut registered = (String::new(), RouteIndex(0));
        for (at, route) in ROUTES.iter().enumerate() {
            let at = RouteIndex(at);
            match route.path {
                path::REGISTERED => registered = (format!("{base}{}/", path::REGISTER), at),
                path::LIVEZ | path::READYZ => drop(exact.insert(route.path.to_owned(), at)),
                below => drop(exact.insert(format!("{base}{below}"), at)),
            }
            if let path::METADATA | path::OPENID = route.path {
                exact.insert(inserted(route.path, base), at);
            }
        }
        Self { exact, registered }
    }

    /// The route of a path as it was sent; none for one that leads nowhere.
    pub(super) fn find(&self, path: &str) -> Option<RouteIndex> {
        let found = self.exact.get(path).copied();
        found.or_else(|| {
            let (before, at) = &self.registered;
            let client = path.strip_prefix(before.as_str())?;
            (!client.is_empty() && !client.contains('/')).then_some(*at)
        })
    }
}

/// A well-known path with the issuer's path behind it (RFC 8414 3.1).
pub(super) fn inserted(well_known: &str, base: &str) -> String {
    format!("{well_known}{base}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_below_any_issuer() {
        for base in ["", "/tenant"] {
            let table = RouteTable::new(base);
            for (at, route) in ROUTES.iter().enumerate() {
                let below = route.path.replace("{client_id}", "x");
                let path = if route.path.starts_with("/oauth") || route.path == path::JWKS {
                    format!("{base}{below}")
                } else {
                    below
                };
                let expected =
                    if base.is_empty() || !route.path.starts_with("/.well-known/o") { Some(at) } else { None };
                assert_eq!(table.find(&path).map(|found| found.0), expected, "{path}");
            }
        }
        let table = RouteTable::new("/tenant");
        for form in ["/.well-known/oauth-authorization-server/tenant", "/tenant/.well-known/oauth-authorization-server"]
        {
            assert_eq!(table.find(form).map(|found| found.route().path), Some(path::METADATA), "{form}");
        }
    }

    #[test]
    fn what_leads_nowhere_is_not_found() {
        let table = RouteTable::new("/tenant");
        for nothing in [
            "/",
            "",
            "/tenant",
            "/oauth/token",
            "/tenant/livez",
            "/tenant/oauth/register/",
            "/tenant/oauth/register/a/b",
        ] {
            assert_eq!(table.find(nothing), None, "{nothing}");
        }
    }
}
