//! Protected resources as the one who judges requests to them sees them: the gateway, and forward authentication.

use url::Url;

use super::{resource::ResourceUri, scope::Scope, scope_rule::ScopeRules};

/// What the operator says about requests to a protected resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardedResource {
    /// Its registered name, as clients call it: what its tokens carry.
    pub uri: ResourceUri,
    /// For people.
    pub name: String,
    /// What requests need.
    pub rules: ScopeRules,
    /// Every scope of the resource.
    pub scopes: Scope,
    /// The MCP server behind, if this server is its gateway: http or https, without user, query and fragment. Without one, only
    /// forward authentication judges its requests.
    pub upstream: Option<Url>,
    /// Web pages whose scripts may call it, beside those of the resource itself; `*` for any. In the form of an `Origin` header.
    pub allowed_origins: Vec<String>,
    /// Forward authentication judges by `Mcp-Method` and `Mcp-Name`, without the body.
    pub trust_mcp_headers: bool,
}
