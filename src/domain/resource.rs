//! Protected resources (RFC 8707, RFC 9728): what tokens are for.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

use super::scope::{OFFLINE_ACCESS, Scope, ScopeToken};
use crate::protocol::jose::Algorithm;

/// The text is no resource indicator (RFC 8707 2): not an absolute URI, or one with a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a resource is an absolute URI without a fragment")]
pub struct InvalidResource;

/// A resource indicator. Two are equal when they name the same resource: scheme and host compare case-insensitively and an
/// empty path is `/`; the text as given is what tokens carry. Clones share it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceUri {
    text: Arc<str>,
    canonical: Arc<str>,
}

impl ResourceUri {
    /// Reads a resource indicator of at most 2048 bytes.
    pub fn parse(text: &str) -> Result<Self, InvalidResource> {
        if text.len() > 2048 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidResource);
        }
        let url = Url::parse(text).map_err(|_| InvalidResource)?;
        // The parser resolves dot segments; a name that needs resolving could be read in two ways.
        if url.fragment().is_some() || text.contains('#') || has_dot_segments(text) {
            return Err(InvalidResource);
        }
        Ok(Self { text: text.into(), canonical: url.as_str().into() })
    }

    /// The text as given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What equality compares: the same for every text that names this resource. For a store to find it by.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

fn has_dot_segments(text: &str) -> bool {
    let path = text.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase().replace("%2e", ".");
    path.split(['/', '\\']).any(|segment| matches!(segment, "." | ".."))
}

impl PartialEq for ResourceUri {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}
impl Eq for ResourceUri {}

impl TryFrom<String> for ResourceUri {
    type Error = InvalidResource;
    fn try_from(text: String) -> Result<Self, InvalidResource> {
        Self::parse(&text)
    }
}

impl From<ResourceUri> for String {
    fn from(uri: ResourceUri) -> String {
        uri.text.as_ref().into()
    }
}

impl fmt::Display for ResourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How a resource's access tokens look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFormat {
    /// RFC 9068, signed with this algorithm; verified offline.
    Jwt(Algorithm),
    /// A random text that only introspection explains.
    Opaque,
}

/// A permission at a resource, with a sentence for the human who grants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeDefinition {
    pub name: ScopeToken,
    pub description: String,
}

/// A registered resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The canonical name: what goes into `aud`.
    pub uri: ResourceUri,
    /// Other names that clients use for it.
    pub aliases: Vec<ResourceUri>,
    /// For people.
    pub name: String,
    pub scopes: Vec<ScopeDefinition>,
    /// What a request without `scope` means; empty means every scope of the resource.
    pub default_scope: Scope,
    pub token_format: TokenFormat,
    /// Lifetime of its access tokens.
    pub token_lifetime: Duration,
}

impl Resource {
    /// Every scope of the resource, without `offline_access`.
    pub fn scope(&self) -> Scope {
        self.scopes.iter().map(|s| s.name.clone()).collect()
    }

    /// Whether the scope is one of the resource.
    pub fn offers(&self, token: &ScopeToken) -> bool {
        self.scopes.iter().any(|scope| scope.name == *token)
    }

    /// What a request without `scope` asks for.
    pub fn default_scope(&self) -> Scope {
        if self.default_scope.is_empty() { self.scope() } else { self.default_scope.clone() }
    }

    /// What of a granted scope means something here; `None` if nothing does. `offline_access` means something everywhere, and
    /// permits nothing by itself.
    pub fn scope_at(&self, granted: &Scope) -> Option<Scope> {
        let here = granted.only(|token| self.offers(token) || token.is_offline_access());
        (!here.is_empty()).then_some(here)
    }

    fn is_called(&self, name: &ResourceUri) -> bool {
        self.uri == *name || self.aliases.contains(name)
    }
}

/// Every resource that this server issues tokens for; the first is the default. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources {
    all: Vec<Resource>,
    scopes_supported: Scope,
}

/// Why a list of resources is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidResources {
    /// There is none.
    #[error("at least one resource is needed")]
    Empty,
    /// Two resources answer to one name.
    #[error("two resources are called {0}")]
    Ambiguous(ResourceUri),
}

impl Resources {
    /// Takes the registered resources, the default one first.
    pub fn new(resources: Vec<Resource>) -> Result<Self, InvalidResources> {
        if resources.is_empty() {
            return Err(InvalidResources::Empty);
        }
        for (i, resource) in resources.iter().enumerate() {
            for name in resource.aliases.iter().chain([&resource.uri]) {
                if resources[i + 1..].iter().any(|later| later.is_called(name)) {
                    return Err(InvalidResources::Ambiguous(name.clone()));
                }
            }
        }
        let own = resources.iter().flat_map(|resource| &resource.scopes).map(|scope| scope.name.clone());
        let scopes_supported = own.chain(ScopeToken::parse(OFFLINE_ACCESS)).collect();
        Ok(Self { all: resources, scopes_supported })
    }

    /// The one that a request without `resource` means.
    pub fn default_resource(&self) -> &Resource {
        &self.all[0]
    }

    /// The resource that a client calls `name`: RFC 8707 2, `invalid_target` if `None`.
    pub fn find(&self, name: &str) -> Option<&Resource> {
        // Nearly always it is the registered text, which names what it names without being parsed.
        self.registered_as(name).or_else(|| {
            let name = ResourceUri::parse(name).ok()?;
            self.all.iter().find(|r| r.is_called(&name))
        })
    }

    /// Reads a name, which need not be one of theirs; one that is shares their text and is not parsed again.
    pub fn read(&self, name: &str) -> Result<ResourceUri, InvalidResource> {
        self.registered_as(name).map_or_else(|| ResourceUri::parse(name), |resource| Ok(resource.uri.clone()))
    }

    fn registered_as(&self, text: &str) -> Option<&Resource> {
        self.all.iter().find(|resource| *resource.uri.text == *text)
    }

    /// All of them, the default one first.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.all.iter()
    }

    /// Every scope of every resource, and `offline_access`.
    pub fn scopes_supported(&self) -> &Scope {
        &self.scopes_supported
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uri(text: &str) -> ResourceUri {
        ResourceUri::parse(text).unwrap()
    }

    #[test]
    fn an_empty_path_and_a_slash_are_the_same() {
        assert_eq!(uri("https://mcp.example.com"), uri("https://mcp.example.com/"));
    }

    #[test]
    fn scheme_and_host_compare_without_case_and_the_path_with_it() {
        assert_eq!(uri("HTTPS://MCP.example.COM/mcp"), uri("https://mcp.example.com/mcp"));
        assert_ne!(uri("https://mcp.example.com/MCP"), uri("https://mcp.example.com/mcp"));
        assert_ne!(uri("https://mcp.example.com/mcp/"), uri("https://mcp.example.com/mcp"));
    }

    #[test]
    fn relative_references_fragments_and_dot_segments_are_no_resource() {
        for bad in [
            "mcp",
            "/mcp",
            "https://a.example/#x",
            "https://a.example/x/../mcp",
            "https://a.example/%2E%2e/mcp",
            "https://a.example/ x",
        ] {
            assert_eq!(ResourceUri::parse(bad), Err(InvalidResource), "{bad}");
        }
    }

    #[test]
    fn the_text_as_given_is_kept() {
        assert_eq!(uri("https://MCP.example.com").as_str(), "https://MCP.example.com");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,120}") {
            let _ = ResourceUri::parse(&text);
        }
    }
}
