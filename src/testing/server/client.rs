//! Clients of a test server.
#![expect(clippy::expect_used, reason = "a client that cannot be made has failed the test")]

use super::{Answer, REDIRECT};
use crate::{
    domain::{
        client::{AuthenticationMethod, GrantType},
        redirect::RedirectUri,
        resource::ResourceUri,
        scope::Scope,
    },
    service::administer_clients::ClientSpec,
};

/// A registered client, and what it knows.
#[derive(Debug, Clone)]
pub struct TestClient {
    pub id: String,
    pub secret: Option<String>,
    pub method: AuthenticationMethod,
}

impl TestClient {
    /// From the answer to a registration.
    pub fn registered(answer: &Answer) -> Self {
        let body = answer.json();
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let method = text("token_endpoint_auth_method").and_then(|name| AuthenticationMethod::parse(&name));
        Self {
            id: text("client_id").expect("a client_id"),
            secret: text("client_secret"),
            method: method.expect("an authentication method"),
        }
    }

    /// The secret of a client that has one.
    pub fn secret(&self) -> &str {
        self.secret.as_deref().expect("a client with a secret")
    }
}

/// A public client of humans, with codes to [`REDIRECT`] and refresh tokens.
pub fn public_client() -> ClientSpec {
    ClientSpec {
        name: Some("Ada's Notebook".to_owned()),
        authentication: AuthenticationMethod::None,
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        redirect_uris: vec![redirect(REDIRECT)],
        scope: Scope::none(),
        resources: vec![],
        may_introspect: false,
        jwks: None,
    }
}

/// A worker that acts for itself.
pub fn machine() -> ClientSpec {
    ClientSpec {
        name: Some("worker".to_owned()),
        authentication: AuthenticationMethod::ClientSecretBasic,
        grant_types: vec![GrantType::ClientCredentials],
        redirect_uris: vec![],
        scope: Scope::parse("mcp:read files:read").expect("a scope"),
        ..public_client()
    }
}

/// A resource server that asks about the tokens of `resource`.
pub fn resource_server(resource: &str) -> ClientSpec {
    ClientSpec {
        name: Some("resource server".to_owned()),
        authentication: AuthenticationMethod::ClientSecretBasic,
        grant_types: vec![],
        redirect_uris: vec![],
        resources: vec![ResourceUri::parse(resource).expect("a resource indicator")],
        may_introspect: true,
        ..public_client()
    }
}

/// A redirect URI that may be registered.
pub fn redirect(uri: &str) -> RedirectUri {
    RedirectUri::parse(uri).expect("a redirect URI")
}
