//! `[[resources]]` again: what requests to them need, and the servers behind the gateway.
//!
//! A mistake here would not be noticed by anybody who is let in: what could never take effect is refused.

use std::net::SocketAddr;

use url::Url;

use super::{
    reader::Reader,
    upstream::{self, Front},
};
use crate::domain::{
    guarded::GuardedResource,
    issuer::Issuer,
    request_path::PathPrefix,
    resource::{Resource, Resources},
    scope::Scope,
    scope_rule::{Pattern, ScopeRule, ScopeRules},
};

/// What of this server itself must not be mistaken for an MCP server; `None` where that could not be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own<'a> {
    pub(super) issuer: Option<&'a Issuer>,
    pub(super) listen: Option<&'a [SocketAddr]>,
}

pub(super) fn read(root: Reader<'_>, resources: Option<&Resources>, own: Own<'_>) -> Option<Vec<GuardedResource>> {
    let tables = root.tables("resources", "resources")?;
    // Without the resources, what is wrong beside them is told all the same.
    let resource = |at: usize| resources.and_then(|resources| resources.iter().nth(at));
    let guarded: Vec<Option<GuardedResource>> =
        tables.iter().enumerate().map(|(at, table)| guarded(*table, resource(at), own)).collect();
    let guarded = guarded.into_iter().collect::<Option<Vec<GuardedResource>>>()?;
    upstream::check_all(&tables, &guarded)?;
    Some(guarded)
}

fn guarded(table: Reader<'_>, resource: Option<&Resource>, own: Own<'_>) -> Option<GuardedResource> {
    let base = table.parse("required_scope", |text| scope_of(resource, text));
    let rules = rules(table, resource);
    let upstream = table.optional("upstream", upstream::parse);
    let allowed_origins = table.each("allowed_origins", origin);
    let trust_mcp_headers = table.boolean("trust_mcp_headers");

    let (resource, upstream) = (resource?, upstream?);
    if let Some(upstream) = &upstream {
        let front = Front::of(&resource.uri).and_then(|front| match own.issuer {
            Some(issuer) => front.check_apart_from(issuer).map(|()| front),
            None => Ok(front),
        });
        if let Err(message) = front {
            table.fail("upstream", message);
            return None;
        }
        if let Some(here) = own.listen.and_then(|listen| listen.iter().find(|here| upstream::reaches(upstream, **here)))
        {
            table.fail(
                "upstream",
                format!("is this server itself, which listens on {here}: requests would go in circles"),
            );
            return None;
        }
    }
    Some(GuardedResource {
        uri: resource.uri.clone(),
        name: resource.name.clone(),
        rules: ScopeRules { base: base?, rules: rules? },
        scopes: resource.scope(),
        upstream,
        allowed_origins: allowed_origins?,
        trust_mcp_headers: trust_mcp_headers?,
    })
}

/// A scope that the resource declares: clients are told to ask for it.
fn scope_of(resource: Option<&Resource>, text: &str) -> Result<Scope, String> {
    let scope = Scope::parse(text).map_err(|error| error.to_string())?;
    let unknown = resource.map(|resource| scope.difference(&resource.scope())).unwrap_or_default();
    if unknown.is_empty() { Ok(scope) } else { Err(format!("the resource has no scope \"{unknown}\"")) }
}

fn rules(table: Reader<'_>, resource: Option<&Resource>) -> Option<Vec<ScopeRule>> {
    let rules: Vec<Option<ScopeRule>> =
        table.tables("rules", "resources.rules")?.into_iter().map(|table| rule(table, resource)).collect();
    rules.into_iter().collect()
}

fn rule(table: Reader<'_>, resource: Option<&Resource>) -> Option<ScopeRule> {
    let path = table.optional("path", |text| path(text, resource));
    let methods = table.each("methods", |text| {
        // Methods compare with case (RFC 9110 9.1): `delete` would fit nothing.
        let is_method = text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        if is_method { Ok(Box::from(text)) } else { Err("must be HTTP methods in capitals, such as DELETE") }
    });
    let mcp_method = table.optional("mcp_method", Pattern::parse);
    let mcp_name = table.optional("mcp_name", Pattern::parse);
    let scope = table.required("scope", |text| match scope_of(resource, text) {
        Ok(scope) if scope.is_empty() => Err("must be set".to_owned()),
        read => read,
    });
    let rule =
        ScopeRule { path: path?, methods: methods?, mcp_method: mcp_method?, mcp_name: mcp_name?, scope: scope? };
    if rule.path.is_none() && rule.methods.is_empty() && rule.mcp_method.is_none() && rule.mcp_name.is_none() {
        table.fail(
            "scope",
            "the rule has no condition: what every request needs is `required_scope`; else set path, methods or mcp_method",
        );
        return None;
    }
    if rule.mcp_name.is_some() && rule.mcp_method.is_none() {
        table.fail("mcp_name", "needs mcp_method: tools, prompts and resources have names of their own");
        return None;
    }
    Some(rule)
}

/// A path that requests to the resource can have.
fn path(text: &str, resource: Option<&Resource>) -> Result<PathPrefix, String> {
    let prefix =
        PathPrefix::parse(text).map_err(|_| "must be a path such as /mcp/admin, without dots, `//`, `;` or `%2f`")?;
    // No front: no request is judged by its path.
    let Some(front) = resource.and_then(|resource| Front::of(&resource.uri).ok()) else { return Ok(prefix) };
    if upstream::is_below(&prefix, front.path()) || upstream::is_below(front.path(), &prefix) {
        Ok(prefix)
    } else {
        Err(format!("no request to the resource has this path: it begins with {}", front.path()))
    }
}

/// An origin as browsers write it (RFC 6454 6.2), or a star.
fn origin(text: &str) -> Result<String, &'static str> {
    let written = Url::parse(text).map(|url| url.origin().ascii_serialization());
    // Within a host the parser takes a star for a letter like any other; no page is there.
    if text == "*" || (!text.contains('*') && written.is_ok_and(|written| written == text)) {
        return Ok(text.to_owned());
    }
    Err("must be origins such as https://app.example.com, in lower case, without a path and a default port; or \"*\"")
}
