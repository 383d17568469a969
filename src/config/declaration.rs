//! Clients and humans of a store, written as the tables of a configuration that would declare them.
//!
//! Without digests it is for reading, and for review beside the configuration. With them it makes another installation know the same
//! clients by the same secrets, and the same humans by the same passwords; then it is to be guarded like the store.

use serde::Serialize;

use crate::domain::{
    account::User,
    client::{AuthenticationMethod, Client},
};

/// `[[clients]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClientDeclaration {
    client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    auth_method: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    grant_types: Vec<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    redirect_uris: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    may_introspect: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks: Option<String>,
    /// The digest of the newest secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl ClientDeclaration {
    /// What would declare `client`.
    pub fn of(client: &Client, with_digests: bool) -> Self {
        let newest = client.secrets.first().filter(|_| with_digests);
        let texts = |texts: &mut dyn Iterator<Item = &str>| texts.map(str::to_owned).collect::<Vec<_>>();
        Self {
            client_id: client.id.as_str().to_owned(),
            name: client.name.clone(),
            auth_method: client.authentication.as_str(),
            grant_types: client.grant_types.iter().map(|grant| grant.as_str()).collect(),
            scope: client.scope.to_string(),
            resources: texts(&mut client.resources.iter().map(|uri| uri.as_str())),
            redirect_uris: texts(&mut client.redirect_uris.iter().map(|uri| uri.as_str())),
            may_introspect: client.may_introspect,
            jwks: client.jwks.as_ref().and_then(|keys| serde_json::to_string(keys).ok()),
            secret: newest.map(|secret| format!("sha256:{}", hex(secret.digest.as_bytes()))),
        }
    }

    fn lacks_its_secret(&self) -> bool {
        self.secret.is_none()
            && AuthenticationMethod::parse(self.auth_method).is_some_and(|method| method.uses_secret())
    }
}

/// `[[users]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserDeclaration {
    username: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_hash: Option<String>,
}

impl UserDeclaration {
    /// What would declare `user`.
    pub fn of(user: &User, with_digests: bool) -> Self {
        Self {
            username: user.username.as_str().to_owned(),
            password_hash: with_digests.then(|| user.password.expose().to_owned()),
        }
    }
}

/// `[[clients]]` in TOML. Those that are disabled are commented out: a configuration has no word for it.
///
/// # Errors
///
/// Something that TOML cannot say.
pub fn declare_clients(clients: &[Client], with_digests: bool) -> Result<String, toml::ser::Error> {
    let tables = clients.iter().map(|client| -> Result<String, toml::ser::Error> {
        let declaration = ClientDeclaration::of(client, with_digests);
        let missing = if declaration.lacks_its_secret() { "# secret = \"env:NAME\" or \"sha256:..\"\n" } else { "" };
        let table = format!("[[clients]]\n{}{missing}", toml::to_string(&declaration)?);
        Ok(if client.is_active() { table } else { commented_out(&table) })
    });
    Ok(tables.collect::<Result<Vec<_>, _>>()?.join("\n"))
}

/// `[[users]]` in TOML, as [`declare_clients`].
///
/// # Errors
///
/// Something that TOML cannot say.
pub fn declare_users(users: &[User], with_digests: bool) -> Result<String, toml::ser::Error> {
    let tables = users.iter().map(|user| -> Result<String, toml::ser::Error> {
        let missing = if with_digests { "" } else { "# password = \"file:PATH\"\n" };
        let table = format!("[[users]]\n{}{missing}", toml::to_string(&UserDeclaration::of(user, with_digests))?);
        Ok(if user.is_active() { table } else { commented_out(&table) })
    });
    Ok(tables.collect::<Result<Vec<_>, _>>()?.join("\n"))
}

fn commented_out(table: &str) -> String {
    table.lines().map(|line| format!("# {line}\n")).collect::<String>() + "# (disabled)\n"
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
