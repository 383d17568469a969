//! `[[clients]]`: clients that the operator declares.

use serde_json::Value as Json;

use super::{reader::Reader, registration::known_scope, secret::Source};
use crate::{
    domain::{
        client::{AuthenticationMethod, GrantType},
        credential::{ClientSecret, Digest},
        identifier::ClientId,
        redirect::RedirectUri,
        registration::{MAX_KEYS, MAX_NAME, MAX_REDIRECT_URIS, is_usable},
        resource::{ResourceUri, Resources},
        scope::{OFFLINE_ACCESS, Scope},
    },
    protocol::{jose::JwkSet, secret::Secret},
};

/// A client that the configuration declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSpec {
    pub id: ClientId,
    pub name: Option<String>,
    pub authentication: AuthenticationMethod,
    /// Set exactly if `authentication` uses a secret.
    pub secret: Option<Digest<ClientSecret>>,
    /// Set exactly if `authentication` is `private_key_jwt`.
    pub jwks: Option<JwkSet>,
    pub redirect_uris: Vec<RedirectUri>,
    /// Sorted, without repetition.
    pub grant_types: Vec<GrantType>,
    /// Never empty if it may use any grant: the default is spelled out.
    pub scope: Scope,
    /// By their registered names; empty means all.
    pub resources: Vec<ResourceUri>,
    pub may_introspect: bool,
}

impl ClientSpec {
    fn may_use(&self, grant: GrantType) -> bool {
        self.grant_types.contains(&grant)
    }

    /// The key that is wrong in the light of the others, and why.
    fn contradiction(&self, states_scope: bool) -> Option<(&'static str, &'static str)> {
        let public = self.authentication == AuthenticationMethod::None;
        let contradictions = [
            (self.authentication.uses_secret() && self.secret.is_none(), "auth_method", "this method needs `secret`"),
            (!self.authentication.uses_secret() && self.secret.is_some(), "secret", "auth_method uses no secret"),
            (
                self.authentication == AuthenticationMethod::PrivateKeyJwt && self.jwks.is_none(),
                "auth_method",
                "private_key_jwt needs `jwks`",
            ),
            (
                self.authentication != AuthenticationMethod::PrivateKeyJwt && self.jwks.is_some(),
                "jwks",
                "keys are for auth_method = \"private_key_jwt\"",
            ),
            (
                public && self.may_use(GrantType::ClientCredentials),
                "grant_types",
                "client_credentials needs `secret` or `jwks` (RFC 6749 4.4)",
            ),
            (
                self.may_use(GrantType::AuthorizationCode) && self.redirect_uris.is_empty(),
                "redirect_uris",
                "authorization_code needs at least one",
            ),
            (
                self.grant_types == [GrantType::RefreshToken],
                "grant_types",
                "a refresh token comes from authorization_code",
            ),
            (
                self.may_use(GrantType::ClientCredentials) && !states_scope,
                "scope",
                "client_credentials needs it stated: no human decides",
            ),
            (
                self.grant_types.is_empty() && !self.may_introspect,
                "grant_types",
                "without a grant type, a client can only introspect: set grant_types or may_introspect",
            ),
            (self.may_introspect && public, "may_introspect", "needs `secret` or `jwks`"),
            (
                self.may_introspect && self.resources.is_empty(),
                "may_introspect",
                "needs `resources`: it sees the tokens of these only",
            ),
        ];
        contradictions.into_iter().find(|(wrong, ..)| *wrong).map(|(_, key, why)| (key, why))
    }
}

pub(super) fn read(root: Reader<'_>, resources: Option<&Resources>) -> Option<Vec<ClientSpec>> {
    let mut seen: Vec<ClientId> = Vec::new();
    let tables = root.tables("clients", "clients")?;
    let clients: Vec<Option<ClientSpec>> = tables
        .into_iter()
        .map(|table| {
            let client = client(table, resources)?;
            if seen.contains(&client.id) {
                table.fail("client_id", format!("\"{}\" is declared twice", client.id));
                return None;
            }
            seen.push(client.id.clone());
            Some(client)
        })
        .collect();
    clients.into_iter().collect()
}

fn client(table: Reader<'_>, resources: Option<&Resources>) -> Option<ClientSpec> {
    let id = table.required("client_id", ClientId::parse);
    let name = table.optional("name", |text| {
        if text.len() > MAX_NAME { Err(format!("longer than {MAX_NAME} bytes")) } else { Ok(text.to_owned()) }
    });
    let grant_types = table.each("grant_types", |text| {
        GrantType::parse(text).ok_or("must be authorization_code, refresh_token or client_credentials")
    });
    let scope = table.optional("scope", |text| known_scope(text, resources));
    let redirect_uris = table.each("redirect_uris", RedirectUri::parse);
    let method = table.optional("auth_method", |text| {
        AuthenticationMethod::parse(text)
            .ok_or("must be none, client_secret_basic, client_secret_post or private_key_jwt")
    });
    let secret = table.optional("secret", |text| table.digest("secret", text));
    let jwks = table.optional("jwks", |text| jwks(&table, text));
    let reachable = table.each("resources", |text| reachable(text, resources));
    let may_introspect = table.boolean("may_introspect");

    let (secret, jwks, reachable) = (secret?, jwks?, reachable?);
    let mut grant_types = grant_types?;
    grant_types.sort();
    grant_types.dedup();
    let redirect_uris = redirect_uris?;
    if redirect_uris.len() > MAX_REDIRECT_URIS {
        table.fail("redirect_uris", format!("more than {MAX_REDIRECT_URIS}"));
        return None;
    }
    let scope = scope?;
    let states_scope = scope.is_some();
    let client = ClientSpec {
        id: id?,
        name: name?,
        authentication: method?.unwrap_or(match (&secret, &jwks) {
            (Some(_), _) => AuthenticationMethod::ClientSecretBasic,
            (None, Some(_)) => AuthenticationMethod::PrivateKeyJwt,
            (None, None) => AuthenticationMethod::None,
        }),
        scope: scope.unwrap_or_else(|| every_scope(&reachable, &grant_types, resources)),
        secret,
        jwks,
        redirect_uris,
        grant_types,
        resources: reachable,
        may_introspect: may_introspect?,
    };
    match client.contradiction(states_scope) {
        Some((key, why)) => {
            table.fail(key, why);
            None
        }
        None => Some(client),
    }
}

/// The registered name of a resource that a client may reach.
fn reachable(text: &str, resources: Option<&Resources>) -> Result<ResourceUri, String> {
    let uri = ResourceUri::parse(text).map_err(|error| error.to_string())?;
    match resources {
        Some(resources) => {
            let found = resources.find(text).map(|resource| resource.uri.clone());
            found.ok_or_else(|| format!("no [[resources]] is called {uri}"))
        }
        None => Ok(uri),
    }
}

/// What a client may ask humans for when its `scope` is not stated: every scope of its resources. `offline_access` goes with
/// refresh tokens.
fn every_scope(reachable: &[ResourceUri], grants: &[GrantType], resources: Option<&Resources>) -> Scope {
    if !grants.contains(&GrantType::AuthorizationCode) {
        return Scope::none();
    }
    let own = resources
        .into_iter()
        .flat_map(Resources::iter)
        .filter(|resource| reachable.is_empty() || reachable.contains(&resource.uri))
        .fold(Scope::none(), |all, resource| all.union(&resource.scope()));
    match Scope::parse(OFFLINE_ACCESS) {
        Ok(offline) if grants.contains(&GrantType::RefreshToken) => own.union(&offline),
        Ok(_) | Err(_) => own,
    }
}

fn jwks(table: &Reader<'_>, text: &str) -> Result<JwkSet, String> {
    let fetched = match Source::parse(text) {
        Some(source) => Some(table.fetch(&source)?),
        None => None,
    };
    let text = fetched.as_ref().map_or(text, Secret::expose);
    // The message of the parser could repeat a part of a private key.
    let json: Json =
        serde_json::from_str(text).map_err(|_| "must be a JSON Web Key Set: {\"keys\": [..]}".to_owned())?;
    let keys = json.get("keys").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    if keys.iter().any(|key| key.get("d").is_some() || key.get("k").is_some()) {
        return Err("holds a private or shared key: only the public half belongs here".to_owned());
    }
    let set: JwkSet = serde_json::from_value(json).map_err(|_| "a key is malformed (RFC 7517 4)".to_owned())?;
    if set.keys.is_empty() || set.keys.len() > MAX_KEYS || !set.keys.iter().all(is_usable) {
        return Err(format!("must hold 1 to {MAX_KEYS} signing keys: EC P-256, OKP Ed25519 or RSA"));
    }
    Ok(set)
}
