//! Every store keeps the same contract, and the contract notices stores that do not.

#[path = "support/engines.rs"]
mod engines;

use std::{collections::BTreeSet, fs, time::Duration};

use gateward::{
    metrics::Metrics,
    store::Stores,
    store_contract,
    testing::contract::{self, broken},
};

store_contract!(memory, || async { (Stores::in_memory(), ()) });
store_contract!(sqlite, engines::sqlite);
store_contract!(postgres, engines::postgres);
store_contract!(redis, engines::redis);
store_contract!(redis_cluster, engines::redis_cluster);
store_contract!(postgres_and_redis, engines::postgres_and_redis);
store_contract!(postgres_with_copies, fresh_postgres_with_copies);
store_contract!(memory_measured, || async { (Stores::in_memory().measured(&mut Metrics::default()), ()) });

/// Clients, and who may act, are read from copies; nobody else changes them, so nobody has to tell of it.
async fn fresh_postgres_with_copies() -> engines::Fresh {
    let (stores, kept) = engines::postgres().await;
    let bound = Duration::from_secs(60);
    (stores.with_client_copies(bound).with_account_copies(bound), kept)
}

/// The behaviours that such a store fails.
///
/// In one thread, so that contenders always look before any of them acts: what is noticed does not depend on luck.
async fn failed_by(broken: fn() -> Stores) -> BTreeSet<&'static str> {
    let mut failed = BTreeSet::new();
    for behaviour in contract::ALL {
        if tokio::spawn((behaviour.run)(broken())).await.is_err() {
            failed.insert(behaviour.name);
        }
    }
    failed
}

#[tokio::test]
async fn a_store_that_forgets_fails_the_contract() {
    let failed = failed_by(broken::forgetful).await;
    for name in [
        "a_code_is_redeemed_once",
        "a_code_is_redeemed_once_under_race",
        "a_spent_code_stays_spent_when_its_grant_is_revoked",
        "a_refresh_token_is_rotated_once",
        "a_refresh_token_is_rotated_once_under_race",
        "a_rotated_token_is_found_with_its_sealed_successor",
        "a_code_of_a_revoked_grant_is_not_redeemed",
        "a_refresh_token_of_a_revoked_grant_is_not_rotated",
        "an_access_token_is_recorded_only_under_an_active_grant",
        "a_revoked_access_token_is_found_as_revoked",
        "an_access_token_of_a_revoked_grant_is_found_as_revoked",
        "standing_follows_the_token_and_its_grant",
        "the_first_revocation_of_a_grant_counts",
        "revoking_an_owner_ends_their_active_grants_and_no_others",
        "a_grant_that_is_revoked_while_its_code_is_redeemed_has_no_live_child",
        "a_use_is_first_until_it_is_over",
        "a_use_is_first_once_under_race",
        "a_purge_keeps_a_revoked_grant_revoked",
    ] {
        assert!(failed.contains(name), "the suite does not notice: {name}");
    }
}

#[tokio::test]
async fn a_store_that_checks_before_it_writes_fails_the_races_and_nothing_else() {
    let expected = BTreeSet::from([
        "a_code_is_redeemed_once_under_race",
        "a_refresh_token_is_rotated_once_under_race",
        "a_grant_is_revoked_once_under_race",
    ]);
    let failed = failed_by(broken::double_spending).await;
    assert_eq!(failed, expected);
}

#[tokio::test]
async fn the_store_that_the_broken_ones_are_made_of_fails_nothing() {
    assert_eq!(failed_by(Stores::in_memory).await, BTreeSet::new());
}

/// A behaviour that nobody runs proves nothing.
#[test]
fn every_behaviour_that_is_written_is_run() {
    let listed: BTreeSet<String> = contract::ALL.iter().map(|behaviour| behaviour.name.to_owned()).collect();
    let mut written = BTreeSet::new();
    for family in ["clients", "tokens", "purges", "accounts", "keys", "audit", "races"] {
        let path = format!("{}/src/testing/contract/{family}.rs", env!("CARGO_MANIFEST_DIR"));
        for line in fs::read_to_string(path).unwrap().lines() {
            written
                .extend(line.strip_prefix("pub async fn ").and_then(|rest| rest.split('(').next()).map(str::to_owned));
        }
    }
    assert_eq!(written, listed);
}
