//! Where the private servers are that `tests/run` started.

use gateward::{adapter::entropy::OsEntropy, domain::identifier::GrantId, port::entropy::Entropy};

/// A name that nobody has used, for a part of a shared server.
pub(crate) fn fresh_name() -> String {
    let entropy: &dyn Entropy = &OsEntropy::new().unwrap();
    GrantId::from_entropy(entropy.name()).to_string()
}

/// A standalone Redis.
pub(crate) fn redis_url() -> String {
    variable("GATEWARD_TEST_REDIS", "a private Redis")
}

/// One node of a Redis cluster.
pub(crate) fn redis_cluster_url() -> String {
    variable("GATEWARD_TEST_REDIS_CLUSTER", "a private Redis cluster")
}

#[expect(clippy::panic, reason = "a test without its server has failed, and is not skipped")]
#[expect(clippy::disallowed_methods, reason = "tests/run says in the environment what it started")]
fn variable(name: &str, what: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run tests/run, which starts {what}"))
}
