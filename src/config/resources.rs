//! `[[resources]]`.

use url::Url;

use super::reader::Reader;
use crate::{
    domain::{
        resource::{InvalidResources, Resource, ResourceUri, Resources, ScopeDefinition, TokenFormat},
        scope::{OFFLINE_ACCESS, Scope, ScopeToken},
    },
    protocol::jose::Algorithm,
};

/// How tokens are signed for resources that do not say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signing {
    pub(super) default: Algorithm,
    /// Whether the operator set `OAUTH_TOKEN_SECRET`.
    pub(super) has_secret: bool,
}

pub(super) fn read(root: Reader<'_>, signing: Option<Signing>) -> Option<Resources> {
    let resources: Vec<Option<Resource>> =
        root.tables("resources", "resources")?.into_iter().map(|table| resource(table, signing)).collect();
    let resources = resources.into_iter().collect::<Option<Vec<Resource>>>()?;
    Resources::new(resources)
        .map_err(|error| {
            let advice = match &error {
                InvalidResources::Empty => ": declare the MCP server that tokens are for, with [[resources]]",
                InvalidResources::Ambiguous(_) => "",
            };
            root.fail("resources", format!("{error}{advice}"));
        })
        .ok()
}

fn resource(table: Reader<'_>, signing: Option<Signing>) -> Option<Resource> {
    let uri = table.required("uri", ResourceUri::parse);
    let aliases = table.each("aliases", ResourceUri::parse);
    let name = table.text("name");
    let scopes = scopes(table);
    let default_scope = table.parse("default_scope", Scope::parse);
    let opaque = table.one_of("token_format", &[("jwt", false), ("opaque", true)]);
    let algorithm = table.optional("algorithm", str::parse::<Algorithm>);
    let token_lifetime = table.duration("token_lifetime", 10, 366 * 24 * 3600);

    let (uri, scopes, default_scope, algorithm) = (uri?, scopes?, default_scope?, algorithm?);
    let known: Scope = scopes.iter().map(|s| s.name.clone()).collect();
    if !default_scope.is_within(&known) {
        table.fail("default_scope", format!("the resource has no scope \"{}\"", default_scope.difference(&known)));
        return None;
    }
    let signing = signing?;
    let token_format = match (opaque?, algorithm) {
        (true, None) => TokenFormat::Opaque,
        (true, Some(_)) => {
            table.fail("algorithm", "an opaque token is not signed");
            return None;
        }
        (false, Some(Algorithm::HS256)) if !signing.has_secret => {
            table.fail("algorithm", "HS256 needs the environment variable OAUTH_TOKEN_SECRET");
            return None;
        }
        (false, Some(algorithm)) => TokenFormat::Jwt(algorithm),
        (false, None) if signing.has_secret => TokenFormat::Jwt(Algorithm::HS256),
        (false, None) => TokenFormat::Jwt(signing.default),
    };
    let name = match name? {
        "" => host(&uri),
        name => name.to_owned(),
    };
    Some(Resource {
        uri,
        aliases: aliases?,
        name,
        scopes,
        default_scope,
        token_format,
        token_lifetime: token_lifetime?,
    })
}

fn scopes(table: Reader<'_>) -> Option<Vec<ScopeDefinition>> {
    let tables = table.tables("scopes", "resources.scopes")?;
    if tables.is_empty() {
        table.fail(
            "scopes",
            "at least one is needed: scopes = [{ name = \"mcp:execute\", description = \"Call tools\" }]",
        );
        return None;
    }
    let mut seen = Scope::none();
    let scopes: Vec<Option<ScopeDefinition>> = tables
        .into_iter()
        .map(|table| {
            let name = table.required("name", |text| match ScopeToken::parse(text) {
                Ok(name) if name.as_str() == OFFLINE_ACCESS => Err("offline_access is always known".to_owned()),
                Ok(name) if seen.contains(&name) => Err(format!("\"{name}\" is declared twice")),
                Ok(name) => {
                    seen = seen.union(&Scope::from_iter([name.clone()]));
                    Ok(name)
                }
                Err(error) => Err(error.to_string()),
            });
            let description = table.required("description", |text| Ok::<_, String>(text.to_owned()));
            Some(ScopeDefinition { name: name?, description: description? })
        })
        .collect();
    scopes.into_iter().collect()
}

fn host(uri: &ResourceUri) -> String {
    let host = Url::parse(uri.as_str()).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.unwrap_or_else(|| uri.as_str().to_owned())
}
