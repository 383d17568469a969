//! `[login]` and `[consent]`.

use super::reader::Reader;
use crate::domain::policy::{ConsentPolicy, LoginPolicy};

/// The policy, and how many passwords are hashed at the same time.
pub(super) fn read(section: Reader<'_>) -> Option<(LoginPolicy, usize)> {
    let max_failures = section.integer("max_failures", 1..=1_000_000);
    let max_failures_per_account = section.integer("max_failures_per_account", 1..=1_000_000);
    let window = section.duration("window", 1, 24 * 3600);
    let concurrency = section.integer("password_hash_concurrency", 1..=1024);
    let policy = LoginPolicy {
        max_failures: max_failures?,
        max_failures_per_account: max_failures_per_account?,
        window: window?,
    };
    Some((policy, concurrency?))
}

pub(super) fn read_consent(section: Reader<'_>) -> Option<ConsentPolicy> {
    section.boolean("remember_unvouched").map(|remember_unvouched| ConsentPolicy { remember_unvouched })
}
