//! What the operator of a test server decides, unless the test says otherwise.
#![expect(clippy::expect_used, reason = "constants that do not parse are a mistake in this file")]

use std::time::Duration;

use super::{OPAQUE_RESOURCE, RESOURCE};
use crate::{
    domain::{
        account::SessionLifetime,
        key::KeySchedule,
        policy::{
            ClientLockoutPolicy, ConsentPolicy, KeyPolicy, Lifetimes, LoginPolicy, Policy, RegistrationMode,
            RegistrationPolicy,
        },
        resource::{Resource, ResourceUri, Resources, ScopeDefinition, TokenFormat},
        scope::{Scope, ScopeToken},
    },
    protocol::jose::Algorithm,
};

/// A resource with scopes that are described as `.. <name>`.
pub fn resource(uri: &str, scopes: &[&str], token_format: TokenFormat) -> Resource {
    Resource {
        uri: ResourceUri::parse(uri).expect("a resource indicator"),
        aliases: vec![],
        name: format!("Service at {uri}"),
        scopes: scopes.iter().map(|name| ScopeDefinition { name: token(name), description: words(name) }).collect(),
        default_scope: Scope::none(),
        token_format,
        token_lifetime: Duration::from_secs(3600),
    }
}

fn token(name: &str) -> ScopeToken {
    ScopeToken::parse(name).expect("a scope token")
}

fn words(name: &str) -> String {
    format!("Do what {} means", name.replace(':', " "))
}

/// The policy of `config/default.toml`, with two resources.
pub fn policy() -> Policy {
    let day = Duration::from_secs(24 * 3600);
    let mcp = Resource {
        aliases: vec![ResourceUri::parse("https://alias.example.com/v1").expect("a resource indicator")],
        default_scope: Scope::parse("mcp:read").expect("a scope"),
        ..resource(RESOURCE, &["mcp:read", "mcp:write", "mcp:execute"], TokenFormat::Jwt(Algorithm::ES256))
    };
    let files = Resource {
        token_lifetime: Duration::from_secs(1800),
        ..resource(OPAQUE_RESOURCE, &["files:read", "mcp:read"], TokenFormat::Opaque)
    };
    Policy {
        resources: Resources::new(vec![mcp, files]).expect("two different resources"),
        lifetimes: Lifetimes {
            code: Duration::from_secs(60),
            refresh: 7 * day,
            refresh_reuse_window: Duration::from_secs(60),
            session: SessionLifetime { idle: day / 12, absolute: day / 2 },
            interaction: Duration::from_secs(600),
            secret_overlap: day,
            assertion: Duration::from_secs(300),
        },
        registration: RegistrationPolicy {
            mode: RegistrationMode::Open,
            allow_client_credentials: false,
            scope_ceiling: None,
            max_clients: 10_000,
            reap_unauthorized_after: day,
            reap_idle_after: 90 * day,
        },
        login: LoginPolicy { max_failures: 10, max_failures_per_account: 100, window: Duration::from_secs(900) },
        client_lockout: ClientLockoutPolicy { max_failures: 20, window: Duration::from_secs(300) },
        consent: ConsentPolicy { remember_unvouched: false },
        keys: KeyPolicy {
            schedule: KeySchedule { rotation_period: 30 * day, publish_ahead: day, verify_after: day },
            algorithms: vec![],
        },
        audit_retention: 90 * day,
    }
}
