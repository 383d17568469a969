//! What is checked, as data: one [`Check`] beside the code that makes it, and a list of all.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{authorize, cors, discovery, keys, mcp, mcp_metadata, metadata, registration, token, transport};

/// One thing that has to hold for MCP clients to get along with a server.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// `group.name`: stable, for scripts.
    pub name: &'static str,
    /// What holds if it passes.
    pub title: &'static str,
    /// Who or what does not work if it does not hold.
    pub breaks: &'static str,
    /// What to do then.
    pub remedy: &'static str,
}

impl Check {
    /// What its name begins with.
    pub fn group(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(group, _)| group)
    }
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Pass,
    /// It could not be made, or makes no sense here.
    Skipped,
    /// Some clients, or some situations, will not get along; or something optional is missing.
    Warning,
    /// A mainstream client breaks, or a rule that protects people does.
    Failure,
}

/// The checks of an authorization server, in the order in which they are made.
pub(super) const OF_AUTHORIZATION_SERVERS: &[&[&Check]] = &[
    transport::CHECKS,
    discovery::CHECKS,
    metadata::CHECKS,
    keys::CHECKS,
    cors::CHECKS,
    token::CHECKS,
    registration::CHECKS,
    authorize::CHECKS,
];

/// The checks of an MCP server, in the order in which they are made.
pub(super) const OF_MCP_SERVERS: &[&[&Check]] = &[transport::CHECKS, mcp::CHECKS, mcp_metadata::CHECKS];

/// Every check, once.
pub fn checks() -> Vec<&'static Check> {
    let mut seen = BTreeSet::new();
    let all = OF_AUTHORIZATION_SERVERS.iter().chain(OF_MCP_SERVERS).copied().flatten().copied();
    all.filter(|check| seen.insert(check.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_one_check() {
        let all = checks();
        for check in &all {
            assert_eq!(all.iter().filter(|other| other.name == check.name).count(), 1, "{}", check.name);
            assert!(!check.title.is_empty() && !check.breaks.is_empty() && !check.remedy.is_empty(), "{}", check.name);
        }
    }

    #[test]
    fn the_words_are_printable_everywhere() {
        for check in checks() {
            for text in [check.name, check.title, check.breaks, check.remedy] {
                assert!(text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{text}");
            }
        }
    }
}
