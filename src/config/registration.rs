//! `[registration]`.

use std::{num::NonZeroU32, time::Duration};

use super::reader::Reader;
use crate::domain::{
    policy::{RegistrationMode, RegistrationPolicy},
    resource::Resources,
    scope::{InvalidScope, Scope},
};

/// How many registrations one address may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistrationRate {
    /// So many at once, and
    pub burst: NonZeroU32,
    /// one more each time this has passed.
    pub period: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ModeName {
    Open,
    InitialAccessToken,
    Closed,
}

pub(super) fn read(
    section: Reader<'_>,
    resources: Option<&Resources>,
) -> Option<(RegistrationPolicy, RegistrationRate)> {
    let day = 24 * 3600;
    let mode = section.one_of(
        "mode",
        &[
            ("open", ModeName::Open),
            ("initial_access_token", ModeName::InitialAccessToken),
            ("closed", ModeName::Closed),
        ],
    );
    let tokens = section.each("initial_access_tokens", |text| section.digest("initial_access_tokens", text));
    let allow_client_credentials = section.boolean("allow_client_credentials");
    let scope_ceiling = section.optional("scope_ceiling", |text| known_scope(text, resources));
    let max_clients = section.integer("max_clients", 0..=i64::MAX);
    let reap_unauthorized_after = section.duration("reap_unauthorized_after", 60, 3650 * day);
    let reap_idle_after = section.duration("reap_idle_after", 3600, 3650 * day);
    let rate = section.subsection("per_address", "registration.per_address").and_then(read_rate);
    let mode = match (mode?, tokens?) {
        (ModeName::InitialAccessToken, tokens) if tokens.is_empty() => {
            section.fail("initial_access_tokens", "mode = \"initial_access_token\" needs at least one");
            return None;
        }
        (ModeName::InitialAccessToken, tokens) => RegistrationMode::InitialAccessToken(tokens),
        (ModeName::Open | ModeName::Closed, tokens) if !tokens.is_empty() => {
            section.fail("initial_access_tokens", "has no effect unless mode = \"initial_access_token\"");
            return None;
        }
        (ModeName::Open, _) => RegistrationMode::Open,
        (ModeName::Closed, _) => RegistrationMode::Closed,
    };
    let policy = RegistrationPolicy {
        mode,
        allow_client_credentials: allow_client_credentials?,
        scope_ceiling: scope_ceiling?,
        max_clients: max_clients?,
        reap_unauthorized_after: reap_unauthorized_after?,
        reap_idle_after: reap_idle_after?,
    };
    Some((policy, rate?))
}

fn read_rate(section: Reader<'_>) -> Option<RegistrationRate> {
    let burst = section.integer("burst", 1..=1_000_000).and_then(NonZeroU32::new);
    let period = section.duration("period", 1, 24 * 3600);
    Some(RegistrationRate { burst: burst?, period: period? })
}

/// A scope whose every token some resource has. Without resources, nothing is known about them: that is reported elsewhere.
pub(super) fn known_scope(text: &str, resources: Option<&Resources>) -> Result<Scope, String> {
    let scope = Scope::parse(text).map_err(|error: InvalidScope| error.to_string())?;
    let Some(resources) = resources else { return Ok(scope) };
    let unknown = scope.difference(resources.scopes_supported());
    if unknown.is_empty() { Ok(scope) } else { Err(format!("no resource has the scope \"{unknown}\"")) }
}
