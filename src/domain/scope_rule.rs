//! Which scope a request to a protected resource needs: by path, by HTTP method, and by MCP method and name.
//!
//! Rules only ever add: a request needs the base scope and that of every rule that fits it. So no order of rules, and no rule
//! that somebody forgot, makes a request need less than the base. A rule that asks for what nobody looked at fits.
//! For the same reason neither paths nor methods are told apart by case: there are servers that do not (Express, hypercorn).

use std::borrow::Cow;

use thiserror::Error;

use super::{
    request_path::{PathPrefix, RequestPath},
    scope::Scope,
};
use crate::protocol::mcp::Call;

/// A text, or the beginning of one: `tools/call`, `tools/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    open: bool,
}

/// The text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a name, or the beginning of one and a star at its end")]
pub struct InvalidPattern;

impl Pattern {
    /// Reads a pattern. A star counts at the end only.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let (text, open) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
        if text.contains('*') || (text.is_empty() && !open) {
            return Err(InvalidPattern);
        }
        Ok(Self { text: text.into(), open })
    }

    fn fits(&self, text: &str) -> bool {
        if self.open { text.starts_with(&*self.text) } else { *self.text == *text }
    }
}

/// What needs more than the base scope. Conditions that are not set fit every request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeRule {
    /// The path and everything below it.
    pub path: Option<PathPrefix>,
    /// HTTP methods, in capitals; empty for all.
    pub methods: Vec<Box<str>>,
    /// For instance `tools/call`.
    pub mcp_method: Option<Pattern>,
    /// For instance the name of a tool.
    pub mcp_name: Option<Pattern>,
    /// What it needs.
    pub scope: Scope,
}

impl ScopeRule {
    fn looks_into_messages(&self) -> bool {
        self.mcp_method.is_some() || self.mcp_name.is_some()
    }

    fn fits(&self, method: &str, path: &RequestPath<'_>, calls: Calls<'_>) -> bool {
        // RFC 9110 9.3.2: HEAD does whatever GET does, and routers hand it to the same handler.
        let is =
            |named: &str| named.eq_ignore_ascii_case(method) || (named == "GET" && method.eq_ignore_ascii_case("HEAD"));
        let any_method = match calls {
            Calls::Known(_) | Calls::Hidden => false,
            Calls::Tunnel => self.looks_into_messages(),
        };
        let here = self.path.as_ref().is_none_or(|prefix| path.is_below_in_any_case(prefix))
            && (any_method || self.methods.is_empty() || self.methods.iter().any(|named| is(named)));
        let said = |call: &Call| {
            let method = self.mcp_method.as_ref().is_none_or(|pattern| pattern.fits(&call.method));
            let name = self
                .mcp_name
                .as_ref()
                .is_none_or(|pattern| call.name.as_deref().is_some_and(|name| pattern.fits(name)));
            method && name
        };
        here && match calls {
            _ if !self.looks_into_messages() => true,
            Calls::Known(calls) => calls.iter().any(said),
            Calls::Hidden | Calls::Tunnel => true,
        }
    }
}

/// What a request calls, as far as somebody looked.
#[derive(Debug, Clone, Copy)]
pub enum Calls<'a> {
    /// These.
    Known(&'a [Call]),
    /// Nobody looked: it could be anything.
    Hidden,
    /// Nobody can look: anything may follow, whatever the method of the request that opens it.
    Tunnel,
}

/// The rules of one resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeRules {
    /// What every request needs.
    pub base: Scope,
    /// What some need beside it.
    pub rules: Vec<ScopeRule>,
}

impl ScopeRules {
    /// Everything that a request needs.
    pub fn needed(&self, method: &str, path: &RequestPath<'_>, calls: Calls<'_>) -> Cow<'_, Scope> {
        let fitting = self.rules.iter().filter(|rule| rule.fits(method, path, calls));
        fitting.fold(Cow::Borrowed(&self.base), |needed, rule| Cow::Owned(needed.union(&rule.scope)))
    }

    /// Whether what a request needs depends on what its message says.
    pub fn look_into_messages(&self, method: &str, path: &RequestPath<'_>) -> bool {
        self.rules.iter().any(|rule| rule.looks_into_messages() && rule.fits(method, path, Calls::Hidden))
    }

    /// Everything that any rule needs, without `offline_access`: for the metadata of the resource.
    pub fn scopes(&self) -> Scope {
        let all = self.rules.iter().fold(self.base.clone(), |all, rule| all.union(&rule.scope));
        all.without_offline_access()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        Scope::parse(text).unwrap()
    }

    fn call(method: &str, name: &str) -> Call {
        Call { method: method.into(), name: Some(name.into()) }
    }

    fn rules() -> ScopeRules {
        let pattern = |text| Some(Pattern::parse(text).unwrap());
        ScopeRules {
            base: scope("mcp:read"),
            rules: vec![
                ScopeRule {
                    path: Some(PathPrefix::parse("/mcp/admin").unwrap()),
                    scope: scope("mcp:admin"),
                    ..ScopeRule::default()
                },
                ScopeRule { methods: vec!["DELETE".into()], scope: scope("mcp:end"), ..ScopeRule::default() },
                ScopeRule {
                    mcp_method: pattern("tools/call"),
                    mcp_name: pattern("launch-*"),
                    scope: scope("mcp:execute"),
                    ..ScopeRule::default()
                },
            ],
        }
    }

    fn needed(method: &str, path: &str, calls: Calls<'_>) -> String {
        rules().needed(method, &RequestPath::parse(path).unwrap(), calls).to_string()
    }

    #[test]
    fn what_no_rule_fits_needs_the_base_scope() {
        assert_eq!(needed("POST", "/mcp", Calls::Known(&[call("tools/call", "whoami")])), "mcp:read");
        assert_eq!(needed("GET", "/mcp", Calls::Known(&[])), "mcp:read");
        assert_eq!(needed("POST", "/mcp", Calls::Known(&[call("prompts/get", "launch-x")])), "mcp:read");
    }

    #[test]
    fn every_rule_that_fits_adds_its_scope() {
        let launch = [call("tools/list", ""), call("tools/call", "launch-specialist")];
        assert_eq!(needed("POST", "/mcp", Calls::Known(&launch)), "mcp:execute mcp:read");
        assert_eq!(needed("DELETE", "/mcp/admin/x", Calls::Known(&launch)), "mcp:admin mcp:end mcp:execute mcp:read");
    }

    #[test]
    fn a_rule_for_get_holds_for_head() {
        let rule = ScopeRule { methods: vec!["GET".into()], scope: scope("x"), ..ScopeRule::default() };
        let rules = ScopeRules { base: Scope::none(), rules: vec![rule] };
        let needed = |method| rules.needed(method, &RequestPath::parse("/").unwrap(), Calls::Known(&[])).to_string();
        assert_eq!([needed("GET"), needed("HEAD"), needed("POST")], ["x", "x", ""]);
    }

    #[test]
    fn a_message_is_looked_into_only_where_a_rule_asks_for_it() {
        let look = |rules: &ScopeRules, path| rules.look_into_messages("POST", &RequestPath::parse(path).unwrap());
        assert!(look(&rules(), "/anywhere"));
        let mut rules = rules();
        rules.rules[2].path = Some(PathPrefix::parse("/mcp").unwrap());
        assert!(look(&rules, "/mcp/x") && !look(&rules, "/files"));
        assert!(!look(&ScopeRules::default(), "/mcp"));
    }

    #[test]
    fn what_nobody_looked_at_needs_whatever_it_could_be() {
        assert_eq!(needed("POST", "/mcp", Calls::Hidden), "mcp:execute mcp:read");
    }

    #[test]
    fn a_call_without_a_name_fits_no_rule_about_names() {
        let nameless = [Call { method: "tools/call".into(), name: None }];
        assert_eq!(needed("POST", "/mcp", Calls::Known(&nameless)), "mcp:read");
    }

    #[test]
    fn offline_access_is_not_among_the_scopes_of_a_resource() {
        let rules = ScopeRules { base: scope("a offline_access"), rules: vec![] };
        assert_eq!(rules.scopes(), scope("a"));
    }

    #[test]
    fn a_star_counts_at_the_end_only() {
        assert!(Pattern::parse("*").unwrap().fits("anything"));
        assert_eq!(Pattern::parse("a*b"), Err(InvalidPattern));
        assert_eq!(Pattern::parse("a**"), Err(InvalidPattern));
        assert_eq!(Pattern::parse(""), Err(InvalidPattern));
    }
}
