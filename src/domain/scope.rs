//! Scope (RFC 6749 3.3): a set of case-sensitive tokens.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Always known, and no permission at any resource. It asks to act while the human is away (OpenID Connect Core 11); whether
/// there is a refresh token is decided by the client's grant types.
pub const OFFLINE_ACCESS: &str = "offline_access";

/// The text is not a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a scope is one or more space-separated tokens of printable ASCII without quotes and backslashes")]
pub struct InvalidScope;

/// One scope token: 1 to 128 characters of `%x21 / %x23-5B / %x5D-7E`. Clones share the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScopeToken(Arc<str>);

impl ScopeToken {
    /// Reads one token.
    pub fn parse(text: &str) -> Result<Self, InvalidScope> {
        let allowed = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
        if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidScope)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether whoever holds this token may do what `needed` names: `mcp:*` covers `mcp:read` and `mcp:tools:call`, not `mcp`.
    pub fn covers(&self, needed: &Self) -> bool {
        let all_below = self.0.strip_suffix('*').filter(|prefix| prefix.ends_with(':'));
        self == needed || all_below.is_some_and(|prefix| needed.0.starts_with(prefix))
    }

    /// Whether it is `offline_access`.
    pub fn is_offline_access(&self) -> bool {
        &*self.0 == OFFLINE_ACCESS
    }
}

impl TryFrom<String> for ScopeToken {
    type Error = InvalidScope;
    fn try_from(text: String) -> Result<Self, InvalidScope> {
        Self::parse(&text)
    }
}

impl From<ScopeToken> for String {
    fn from(token: ScopeToken) -> String {
        token.0.as_ref().into()
    }
}

impl fmt::Display for ScopeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A set of scope tokens, possibly empty. Prints sorted and space-separated. Clones share it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(
    /// Sorted, each once.
    Arc<[ScopeToken]>,
);

impl Scope {
    /// The empty scope.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads tokens separated by single spaces; several spaces are tolerated, other white space is not.
    pub fn parse(text: &str) -> Result<Self, InvalidScope> {
        text.split(' ').filter(|t| !t.is_empty()).map(ScopeToken::parse).collect()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the token is in the set.
    pub fn contains(&self, token: &ScopeToken) -> bool {
        self.0.binary_search(token).is_ok()
    }

    /// Whether every token is in `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.iter().all(|token| other.contains(token))
    }

    /// Whether every token of `needed` is covered by one of these.
    pub fn satisfies(&self, needed: &Self) -> bool {
        needed.0.iter().all(|token| self.contains(token) || self.0.iter().any(|held| held.covers(token)))
    }

    /// The tokens in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.only(|token| other.contains(token))
    }

    /// The tokens in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).cloned().collect()
    }

    /// The tokens that `other` lacks.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.only(|token| !other.contains(token))
    }

    /// The tokens that are `wanted`.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&ScopeToken) -> bool) -> Self {
        // Mostly all of them are.
        if self.0.iter().all(&wanted) {
            self.clone()
        } else {
            Self(self.0.iter().filter(|t| wanted(t)).cloned().collect())
        }
    }

    /// What of it is within `ceiling`, and `offline_access`, which no ceiling is about.
    #[must_use]
    pub fn under(&self, ceiling: &Self) -> Self {
        self.only(|token| ceiling.contains(token) || token.is_offline_access())
    }

    /// Without `offline_access`, which is no permission.
    #[must_use]
    pub fn without_offline_access(&self) -> Self {
        self.only(|token| !token.is_offline_access())
    }

    /// The tokens, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &ScopeToken> {
        self.0.iter()
    }
}

impl FromIterator<ScopeToken> for Scope {
    fn from_iter<I: IntoIterator<Item = ScopeToken>>(tokens: I) -> Self {
        let mut tokens: Vec<ScopeToken> = tokens.into_iter().collect();
        tokens.sort_unstable();
        tokens.dedup();
        Self(tokens.into())
    }
}

impl TryFrom<String> for Scope {
    type Error = InvalidScope;
    fn try_from(text: String) -> Result<Self, InvalidScope> {
        Self::parse(&text)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> String {
        scope.to_string()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, token) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(&token.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_backslashes_and_control_characters_are_no_scope() {
        for bad in ["a\"b", "a\\b", "a\tb", "a\r\nb", "é"] {
            assert_eq!(Scope::parse(bad), Err(InvalidScope));
        }
    }

    #[test]
    fn order_and_repetition_do_not_matter() {
        assert_eq!(Scope::parse("b a  b").unwrap(), Scope::parse("a b").unwrap());
    }

    #[test]
    fn tokens_are_case_sensitive() {
        assert!(!Scope::parse("MCP:read").unwrap().is_within(&Scope::parse("mcp:read").unwrap()));
    }

    #[test]
    fn a_star_behind_a_colon_covers_what_lies_below_and_nothing_else() {
        let satisfies =
            |held: &str, needed: &str| Scope::parse(held).unwrap().satisfies(&Scope::parse(needed).unwrap());
        assert!(satisfies("mcp:*", "mcp:read mcp:tools:call"));
        assert!(satisfies("mcp:tools:* mcp:read", "mcp:read mcp:tools:call"));
        assert!(satisfies("mcp:read", "mcp:read") && satisfies("x", ""));
        for (held, needed) in [
            ("mcp:*", "mcp"),
            ("mcp:*", "mcpx:read"),
            ("*", "mcp:read"),
            ("mcp*", "mcp:read"),
            ("mcp:read", "mcp:*"),
            ("mcp:*", "mcp:read other"),
            ("", "mcp:read"),
        ] {
            assert!(!satisfies(held, needed), "{held} {needed}");
        }
    }

    proptest! {
        #[test]
        fn a_scope_prints_as_something_that_reads_back(tokens in proptest::collection::vec("[!#-\\[\\]-~]{1,12}", 0..6)) {
            let scope = Scope::parse(&tokens.join(" ")).unwrap();
            prop_assert_eq!(Scope::parse(&scope.to_string()).unwrap(), scope);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,80}") {
            let _ = Scope::parse(&text);
        }

        #[test]
        fn what_differs_and_what_is_shared_make_up_the_whole(a in "[abc ]{0,8}", b in "[abc ]{0,8}") {
            let (a, b) = (Scope::parse(&a).unwrap(), Scope::parse(&b).unwrap());
            prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a);
        }
    }
}
