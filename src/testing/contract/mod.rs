//! What every store must do, once for all backends: each behaviour is a public async function named as a sentence, and
//! [`store_contract!`](crate::store_contract) stamps all of them for one backend.
//!
//! A behaviour gets stores that nobody has touched. Races are behaviours: contenders are released by one barrier, and there is
//! no sleeping and no second try. [`broken`] holds stores that must fail here.
#![expect(clippy::unwrap_used, reason = "a store that fails or forgets is what the suite is there to report")]

pub mod accounts;
pub mod audit;
pub mod broken;
pub mod clients;
pub mod keys;
pub mod purges;
pub mod races;
pub mod tokens;

use std::{future::Future, pin::Pin};

use super::fixture::{self, at};
use crate::{
    domain::{access::OpaqueRecord, code::VerifiedCode, grant::Grant, refresh::VerifiedRefresh},
    port::store::{Issue, Redemption, Rotation},
    store::Stores,
};

/// A behaviour by name.
#[derive(Debug, Clone, Copy)]
pub struct Behaviour {
    pub name: &'static str,
    pub run: fn(Stores) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Hands the list of all behaviours to a macro, behind the arguments given here.
#[macro_export]
macro_rules! store_behaviours {
    ([$($callback:tt)*] $($args:tt)*) => {
        $($callback)* ! {
            [$($args)*]
            clients: a_client_is_found_as_it_was_inserted,
            clients: an_unknown_client_is_nothing,
            clients: an_identifier_is_given_out_once,
            clients: a_removed_client_leaves_a_tombstone_and_its_identifier_stays_taken,
            clients: removing_again_keeps_the_first_reason,
            clients: the_limit_counts_dynamic_clients_only,
            clients: a_removal_makes_room_below_the_limit,
            clients: a_replacement_keeps_when_the_client_was_created_and_last_used,
            clients: a_replacement_of_an_old_version_is_a_conflict,
            clients: a_client_that_is_gone_is_not_replaced,
            clients: a_use_is_noted_unless_a_later_one_was,
            clients: a_client_that_is_gone_is_not_touched,
            clients: clients_are_listed_in_pages_in_order,
            clients: dynamic_clients_that_the_rule_covers_are_reapable,
            clients: a_reaped_client_leaves_a_tombstone,
            clients: a_client_that_was_touched_since_is_spared,
            clients: a_client_that_did_not_register_itself_is_never_reaped,
            clients: tombstones_are_purged_in_batches_and_free_the_identifier,
            tokens: a_code_is_found_with_its_grant,
            tokens: what_is_unknown_is_nothing,
            tokens: a_code_is_redeemed_once,
            tokens: redeeming_records_what_is_issued,
            tokens: redeeming_lengthens_the_life_of_a_grant_and_never_shortens_it,
            tokens: a_code_of_a_revoked_grant_is_not_redeemed,
            tokens: a_spent_code_stays_spent_when_its_grant_is_revoked,
            tokens: a_refresh_token_is_rotated_once,
            tokens: a_rotated_token_is_found_with_its_sealed_successor,
            tokens: a_parent_shows_whether_its_successor_was_used,
            tokens: a_refresh_token_of_a_revoked_grant_is_not_rotated,
            tokens: rotating_records_what_is_issued_and_lengthens_the_life_of_the_grant,
            tokens: an_access_token_is_found_as_it_was_recorded,
            tokens: an_access_token_is_recorded_only_under_an_active_grant,
            tokens: an_access_token_lengthens_the_life_of_its_grant,
            tokens: a_revoked_access_token_is_found_as_revoked,
            tokens: an_access_token_of_a_revoked_grant_is_found_as_revoked,
            tokens: standing_follows_the_token_and_its_grant,
            tokens: the_first_revocation_of_a_grant_counts,
            tokens: revoking_an_owner_ends_their_active_grants_and_no_others,
            tokens: grants_are_listed_in_pages_in_order,
            tokens: grants_are_listed_by_owner_and_life,
            tokens: a_live_grant_is_neither_revoked_nor_expired,
            tokens: a_use_is_first_until_it_is_over,
            tokens: times_are_arguments,
            purges: a_purge_forgets_uses_and_revocations_that_are_over,
            purges: a_revoked_access_token_stays_revoked_until_it_expires,
            purges: a_purge_forgets_an_unspent_code_with_its_unused_grant,
            purges: a_purge_keeps_a_spent_code_as_long_as_its_grant,
            purges: a_purge_forgets_a_refresh_token_when_it_has_expired,
            purges: a_purge_forgets_expired_access_tokens,
            purges: a_purge_keeps_a_revoked_grant_revoked,
            purges: a_purge_forgets_an_expired_grant_with_all_that_hangs_off_it,
            purges: a_purge_works_in_batches_and_comes_to_an_end,
            tokens: every_family_answers,
            accounts: an_account_is_found_by_identifier_and_name,
            accounts: a_login_name_is_taken_once,
            accounts: accounts_are_listed_in_pages_in_order,
            accounts: a_new_password_ends_every_session_of_its_account,
            accounts: sessions_end_together_and_the_account_stays_as_it_is,
            accounts: disabling_an_account_ends_its_sessions_and_enabling_brings_none_back,
            accounts: an_account_may_act_while_it_is_active,
            accounts: an_unknown_account_is_not_changed,
            accounts: a_session_is_found_with_its_account,
            accounts: only_an_active_account_gets_a_session,
            accounts: a_session_replaces_another,
            accounts: a_refused_session_replaces_nothing,
            accounts: a_session_is_seen_later_and_never_earlier,
            accounts: a_session_is_closed_once,
            accounts: consent_adds_up_per_client_and_resource,
            accounts: consent_is_found_by_any_name_of_its_resource,
            accounts: consent_is_forgotten_for_one_client_or_for_all,
            accounts: the_consents_of_a_client_are_forgotten_for_every_human,
            accounts: failures_are_counted_in_a_window_that_ends,
            accounts: failures_are_cleared,
            accounts: a_purge_forgets_sessions_and_windows_that_are_over,
            accounts: a_purge_of_accounts_works_in_batches,
            keys: a_key_is_listed_as_it_was_added,
            keys: a_key_is_added_only_behind_the_one_it_was_made_for,
            keys: the_newest_key_signs_latest_and_then_has_the_greatest_name,
            keys: algorithms_do_not_stand_in_each_others_way,
            keys: a_key_is_removed_once,
            audit: entries_are_listed_as_they_were_appended_the_newest_first,
            audit: an_entry_that_is_appended_again_is_there_once,
            audit: entries_are_listed_in_pages,
            audit: a_period_begins_with_its_first_second_and_ends_before_its_last,
            audit: entries_are_found_by_what_they_say,
            audit: words_of_a_newer_version_are_read_as_they_are,
            audit: the_turns_of_an_instance_are_told_from_those_of_others,
            audit: a_purge_takes_the_oldest_entries_in_batches,
            races: a_code_is_redeemed_once_under_race,
            races: a_refresh_token_is_rotated_once_under_race,
            races: a_grant_that_is_revoked_while_its_code_is_redeemed_has_no_live_child,
            races: a_grant_that_is_revoked_while_a_token_is_rotated_has_no_live_child,
            races: a_grant_that_is_revoked_while_access_is_recorded_has_no_live_child,
            races: a_grant_is_revoked_once_under_race,
            races: a_use_is_first_once_under_race,
            races: a_purge_takes_a_grant_whole_or_leaves_it_under_race,
            races: one_of_many_new_keys_is_added_under_race,
            races: an_identifier_is_given_out_once_under_race,
            races: the_limit_of_dynamic_clients_holds_under_race,
            races: one_of_many_replacements_wins_under_race,
            races: a_client_is_reaped_or_touched_and_never_both_under_race,
            races: a_login_name_is_taken_once_under_race,
            races: no_session_outlives_the_disabling_of_its_account_under_race,
            races: consents_add_up_under_race,
            races: failures_are_counted_exactly_under_race,
            races: entries_that_several_append_at_once_are_all_there_under_race,
            races: a_call_that_is_dropped_midway_happens_entirely_or_not_at_all,
        }
    };
}

/// Stamps every behaviour as a test of one backend:
///
/// ```
/// use gateward::{store::Stores, store_contract};
///
/// store_contract!(memory, || async { (Stores::in_memory(), ()) });
/// # fn main() {}
/// ```
///
/// The closure makes untouched stores for each test, and whatever has to outlive them.
#[macro_export]
macro_rules! store_contract {
    ($backend:ident, $open:expr) => {
        mod $backend {
            use super::*;
            $crate::store_behaviours! { [$crate::stamp_store_behaviours] $open }
        }
    };
}

/// See [`store_contract!`](crate::store_contract).
#[doc(hidden)]
#[macro_export]
macro_rules! stamp_store_behaviours {
    ([$open:expr] $($family:ident : $name:ident,)+) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $name() {
            let (stores, kept) = ($open)().await;
            $crate::testing::contract::$family::$name(&stores).await;
            stores.close().await;
            drop(kept);
        }
    )+ };
}

macro_rules! behaviours {
    ([] $($family:ident : $name:ident,)+) => {
        /// Every behaviour, for whoever wants to run them in another way.
        pub const ALL: &[Behaviour] = &[ $(
            Behaviour {
                name: stringify!($name),
                run: |stores| Box::pin(async move { $family::$name(&stores).await }),
            },
        )+ ];
    };
}
store_behaviours! { [behaviours] }

/// Opens the grant of this name with its code.
async fn open_grant(stores: &Stores, name: &str) -> Grant {
    let grant = fixture::grant(name);
    stores.tokens.open_grant(&grant, &fixture::code(name)).await.unwrap();
    grant
}

/// Looks up the code of this grant and proves it.
async fn verified_code(stores: &Stores, name: &str) -> VerifiedCode<'static> {
    let record = stores.tokens.find_code(&fixture::code(name).digest).await.unwrap();
    fixture::verified_code(record.unwrap())
}

/// Looks up a refresh token and proves it.
async fn verified_refresh(stores: &Stores, name: &str) -> VerifiedRefresh<'static> {
    let record = stores.tokens.find_refresh(&fixture::refresh_token(name).digest).await.unwrap();
    fixture::verified_refresh(record.unwrap())
}

/// A refresh token and an access token of these names.
fn issue(refresh: &str, access: Option<OpaqueRecord>) -> Issue {
    Issue {
        refresh: Some(fixture::refresh_token(refresh)),
        access,
        grant_expires_at: Some(at(fixture::REFRESH_LIFETIME)),
    }
}

/// Opens a grant and redeems its code for a refresh token of the same name.
async fn redeemed_grant(stores: &Stores, name: &str) -> Grant {
    let grant = open_grant(stores, name).await;
    let code = verified_code(stores, name).await;
    let redeemed = stores.tokens.redeem(&code, &issue(name, None), at(1)).await.unwrap();
    assert_eq!(redeemed, Redemption::Redeemed);
    grant
}

/// Rotates one refresh token into another; what is sealed is the name of the successor.
async fn rotate(stores: &Stores, from: &str, to: &str, now: i64) -> Rotation {
    let refresh = verified_refresh(stores, from).await;
    stores.tokens.rotate(&refresh, to.as_bytes(), &issue(to, None), at(now)).await.unwrap()
}

/// Whether a refresh token of this name is known.
async fn has_refresh(stores: &Stores, name: &str) -> bool {
    stores.tokens.find_refresh(&fixture::refresh_token(name).digest).await.unwrap().is_some()
}

/// Whether an opaque access token of this name is known.
async fn has_access(stores: &Stores, name: &str) -> bool {
    stores.tokens.find_access(&fixture::access_token(name, None).digest).await.unwrap().is_some()
}
