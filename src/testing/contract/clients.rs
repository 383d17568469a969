//! Behaviours of the client store.

use crate::{
    domain::{
        client::{Client, ClientEntry, ClientStatus, Provenance, Removal},
        identifier::ClientId,
        time::Timestamp,
    },
    port::store::{Insertion, Page, ReapRule, Replacement},
    store::Stores,
    testing::fixture::{NOW, at, client, client_id, dynamic_client, full_client},
};

/// Inserts a client that must go in.
async fn insert(stores: &Stores, client: &Client) {
    assert_eq!(stores.clients.insert(client, None).await.unwrap(), Insertion::Inserted);
}

/// The client as it is in the store.
async fn stored(stores: &Stores, name: &str) -> Client {
    match stores.clients.find(&client_id(name)).await.unwrap().unwrap() {
        ClientEntry::Registered(client) => Client::clone(&client),
        ClientEntry::Removed { .. } => unreachable!("{name} is removed"),
    }
}

async fn tombstone(stores: &Stores, name: &str) -> Option<(Removal, Timestamp)> {
    match stores.clients.find(&client_id(name)).await.unwrap()? {
        ClientEntry::Registered(_) => None,
        ClientEntry::Removed { reason, at } => Some((reason, at)),
    }
}

fn names(clients: &[Client]) -> Vec<&str> {
    clients.iter().map(|client| client.id.as_str()).collect()
}

fn all() -> Page<ClientId> {
    Page { after: None, limit: 100 }
}

/// With everything that a client can have, and with as little as possible.
pub async fn a_client_is_found_as_it_was_inserted(stores: &Stores) {
    for made in [full_client("full"), client("plain")] {
        insert(stores, &made).await;
        assert_eq!(stored(stores, made.id.as_str()).await, made);
    }
}

/// "Not found" is an `Option`.
pub async fn an_unknown_client_is_nothing(stores: &Stores) {
    assert_eq!(stores.clients.find(&client_id("nobody")).await.unwrap(), None);
    assert!(!stores.clients.remove(&client_id("nobody"), Removal::Operator, NOW).await.unwrap());
    assert!(!stores.clients.reap(&dynamic_client("nobody"), Removal::Idle, NOW).await.unwrap());
    assert_eq!(stores.clients.find(&client_id("nobody")).await.unwrap(), None);
}

/// The second client of a name is refused and changes nothing.
pub async fn an_identifier_is_given_out_once(stores: &Stores) {
    insert(stores, &full_client("one")).await;
    assert_eq!(stores.clients.insert(&client("one"), None).await.unwrap(), Insertion::Taken);
    assert_eq!(stored(stores, "one").await, full_client("one"));
}

/// Who comes back with the identifier is told why it is gone.
pub async fn a_removed_client_leaves_a_tombstone_and_its_identifier_stays_taken(stores: &Stores) {
    insert(stores, &client("one")).await;
    assert!(stores.clients.remove(&client_id("one"), Removal::Itself, at(5)).await.unwrap());
    assert_eq!(tombstone(stores, "one").await, Some((Removal::Itself, at(5))));
    assert_eq!(stores.clients.insert(&client("one"), None).await.unwrap(), Insertion::Taken);
    assert_eq!(stores.clients.list(all()).await.unwrap(), []);
}

/// The first removal counts.
pub async fn removing_again_keeps_the_first_reason(stores: &Stores) {
    insert(stores, &dynamic_client("one")).await;
    assert!(stores.clients.remove(&client_id("one"), Removal::Idle, at(5)).await.unwrap());
    assert!(!stores.clients.remove(&client_id("one"), Removal::Operator, at(9)).await.unwrap());
    assert!(!stores.clients.reap(&dynamic_client("one"), Removal::NeverAuthorized, at(9)).await.unwrap());
    assert_eq!(tombstone(stores, "one").await, Some((Removal::Idle, at(5))));
}

/// Clients of operators and of the configuration do not use it up.
pub async fn the_limit_counts_dynamic_clients_only(stores: &Stores) {
    insert(stores, &client("operator")).await;
    insert(stores, &Client { provenance: Provenance::Configured, ..client("configured") }).await;
    let insert = async |name| stores.clients.insert(&dynamic_client(name), Some(2)).await.unwrap();
    assert_eq!(insert("one").await, Insertion::Inserted);
    assert_eq!(insert("two").await, Insertion::Inserted);
    assert_eq!(insert("three").await, Insertion::LimitReached);
    assert_eq!(insert("one").await, Insertion::Taken);
    assert_eq!(stores.clients.find(&client_id("three")).await.unwrap(), None);
    assert_eq!(stores.clients.insert(&dynamic_client("three"), None).await.unwrap(), Insertion::Inserted);
}

/// However it goes: removed, reaped, or taken over by an operator.
pub async fn a_removal_makes_room_below_the_limit(stores: &Stores) {
    let insert = async |name| stores.clients.insert(&dynamic_client(name), Some(1)).await.unwrap();
    assert_eq!(insert("one").await, Insertion::Inserted);
    assert_eq!(insert("two").await, Insertion::LimitReached);
    assert!(stores.clients.remove(&client_id("one"), Removal::Operator, NOW).await.unwrap());
    assert_eq!(insert("two").await, Insertion::Inserted);
    assert!(stores.clients.reap(&dynamic_client("two"), Removal::Idle, NOW).await.unwrap());
    assert_eq!(insert("three").await, Insertion::Inserted);
    assert_eq!(stores.clients.replace(&client("three")).await.unwrap(), Replacement::Replaced);
    assert_eq!(insert("four").await, Insertion::Inserted);
    assert_eq!(insert("five").await, Insertion::LimitReached);
}

/// Everything else changes, and the version counts up.
pub async fn a_replacement_keeps_when_the_client_was_created_and_last_used(stores: &Stores) {
    insert(stores, &Client { last_used_at: Some(at(3)), ..client("one") }).await;
    let changed = Client { version: 0, created_at: at(50), last_used_at: None, ..full_client("one") };
    assert_eq!(stores.clients.replace(&changed).await.unwrap(), Replacement::Replaced);
    let expected = Client { version: 1, created_at: NOW, last_used_at: Some(at(3)), ..changed };
    assert_eq!(stored(stores, "one").await, expected);
}

/// Somebody else's change is not overwritten.
pub async fn a_replacement_of_an_old_version_is_a_conflict(stores: &Stores) {
    insert(stores, &client("one")).await;
    let changed = |status| Client { status, ..client("one") };
    assert_eq!(stores.clients.replace(&changed(ClientStatus::Disabled)).await.unwrap(), Replacement::Replaced);
    assert_eq!(stores.clients.replace(&changed(ClientStatus::Active)).await.unwrap(), Replacement::Conflict);
    assert_eq!(stored(stores, "one").await, Client { version: 1, ..changed(ClientStatus::Disabled) });
}

/// Neither one that was removed nor one that never was.
pub async fn a_client_that_is_gone_is_not_replaced(stores: &Stores) {
    insert(stores, &client("one")).await;
    stores.clients.remove(&client_id("one"), Removal::Operator, at(5)).await.unwrap();
    for name in ["one", "nobody"] {
        assert_eq!(stores.clients.replace(&client(name)).await.unwrap(), Replacement::Gone);
    }
    assert_eq!(tombstone(stores, "one").await, Some((Removal::Operator, at(5))));
}

/// Two instances may note uses in any order; the version does not change.
pub async fn a_use_is_noted_unless_a_later_one_was(stores: &Stores) {
    insert(stores, &client("one")).await;
    for (now, noted) in [(10, 10), (5, 10), (20, 20)] {
        assert!(stores.clients.touch(&client_id("one"), at(now)).await.unwrap());
        assert_eq!(stored(stores, "one").await, Client { last_used_at: Some(at(noted)), ..client("one") });
    }
}

/// Nor does a use bring it back.
pub async fn a_client_that_is_gone_is_not_touched(stores: &Stores) {
    insert(stores, &client("one")).await;
    stores.clients.remove(&client_id("one"), Removal::Operator, at(5)).await.unwrap();
    for name in ["one", "nobody"] {
        assert!(!stores.clients.touch(&client_id(name), at(6)).await.unwrap());
    }
    assert_eq!(tombstone(stores, "one").await, Some((Removal::Operator, at(5))));
}

/// By the bytes of their identifiers, whatever the order of insertion.
pub async fn clients_are_listed_in_pages_in_order(stores: &Stores) {
    for name in ["d", "B", "a", "c", "removed"] {
        insert(stores, &client(name)).await;
    }
    stores.clients.remove(&client_id("removed"), Removal::Operator, NOW).await.unwrap();
    let page = async |after: Option<&str>, limit| {
        let page = Page { after: after.map(client_id), limit };
        let found = stores.clients.list(page).await.unwrap();
        names(&found).join(" ")
    };
    assert_eq!(page(None, 2).await, "B a");
    assert_eq!(page(Some("a"), 2).await, "c d");
    assert_eq!(page(Some("d"), 2).await, "");
    assert_eq!(page(Some("bb"), 100).await, "c d");
    assert_eq!(page(None, 0).await, "");
}

/// Never used and old, or used and idle; the boundary itself is not before the boundary.
pub async fn dynamic_clients_that_the_rule_covers_are_reapable(stores: &Stores) {
    let made = |name, created, used: Option<i64>| Client {
        created_at: at(created),
        last_used_at: used.map(at),
        ..dynamic_client(name)
    };
    for client in [
        made("never-used-and-old", -101, None),
        made("never-used-and-new", -100, None),
        made("idle", -900, Some(-501)),
        made("busy", -900, Some(-500)),
    ] {
        insert(stores, &client).await;
    }
    insert(stores, &Client { created_at: at(-900), ..client("operator") }).await;
    let rule = ReapRule { never_used_before: at(-100), idle_before: at(-500) };
    let found = stores.clients.reapable(rule, 100).await.unwrap();
    let mut found = names(&found);
    found.sort_unstable();
    assert_eq!(found, ["idle", "never-used-and-old"]);
    assert_eq!(stores.clients.reapable(rule, 1).await.unwrap().len(), 1);
}

/// With the reason that it was reaped for.
pub async fn a_reaped_client_leaves_a_tombstone(stores: &Stores) {
    insert(stores, &dynamic_client("one")).await;
    assert!(stores.clients.reap(&dynamic_client("one"), Removal::NeverAuthorized, at(5)).await.unwrap());
    assert_eq!(tombstone(stores, "one").await, Some((Removal::NeverAuthorized, at(5))));
}

/// A client that is being authorized at this moment is touched first.
pub async fn a_client_that_was_touched_since_is_spared(stores: &Stores) {
    insert(stores, &dynamic_client("one")).await;
    stores.clients.touch(&client_id("one"), at(1)).await.unwrap();
    assert!(!stores.clients.reap(&dynamic_client("one"), Removal::NeverAuthorized, at(5)).await.unwrap());
    let seen = stored(stores, "one").await;
    stores.clients.touch(&client_id("one"), at(2)).await.unwrap();
    assert!(!stores.clients.reap(&seen, Removal::Idle, at(5)).await.unwrap());
    let seen = stored(stores, "one").await;
    assert!(stores.clients.reap(&seen, Removal::Idle, at(5)).await.unwrap());
}

/// An operator's client is the operator's to remove.
pub async fn a_client_that_did_not_register_itself_is_never_reaped(stores: &Stores) {
    for provenance in [Provenance::Operator, Provenance::Configured] {
        let made = Client { provenance, ..client(if provenance == Provenance::Operator { "o" } else { "c" }) };
        insert(stores, &made).await;
        assert!(!stores.clients.reap(&made, Removal::Idle, at(5)).await.unwrap());
        assert_eq!(stored(stores, made.id.as_str()).await, made);
    }
}

/// Only those from before, and no more at a time than asked for.
pub async fn tombstones_are_purged_in_batches_and_free_the_identifier(stores: &Stores) {
    insert(stores, &client("stays")).await;
    for (name, removed) in [("a", 1), ("b", 2), ("c", 3), ("d", 10)] {
        insert(stores, &client(name)).await;
        stores.clients.remove(&client_id(name), Removal::Operator, at(removed)).await.unwrap();
    }
    assert_eq!(stores.clients.purge_tombstones(at(10), 2).await.unwrap(), 2);
    assert_eq!(stores.clients.purge_tombstones(at(10), 2).await.unwrap(), 1);
    assert_eq!(stores.clients.purge_tombstones(at(10), 2).await.unwrap(), 0);
    assert_eq!(tombstone(stores, "d").await, Some((Removal::Operator, at(10))));
    assert_eq!(stores.clients.find(&client_id("a")).await.unwrap(), None);
    insert(stores, &client("a")).await;
    assert_eq!(names(&stores.clients.list(all()).await.unwrap()), ["a", "stays"]);
}
