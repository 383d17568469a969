//! Behaviours of the key store.

use crate::{
    port::store::Addition,
    protocol::jose::Algorithm::{ES256, RS256},
    store::Stores,
    testing::fixture::{at, key, key_id},
};

/// Nothing about a key changes in the store.
pub async fn a_key_is_listed_as_it_was_added(stores: &Stores) {
    assert_eq!(stores.keys.list().await.unwrap(), []);
    let made = key("one", ES256, at(0));
    assert_eq!(stores.keys.add(&made, None).await.unwrap(), Addition::Added);
    assert_eq!(stores.keys.list().await.unwrap(), [made]);
}

/// Two instances that rotate at once make one key.
pub async fn a_key_is_added_only_behind_the_one_it_was_made_for(stores: &Stores) {
    let [one, two, three] = ["one", "two", "three"].map(key_id);
    let add = async |name, from, newest| stores.keys.add(&key(name, ES256, at(from)), newest).await.unwrap();
    assert_eq!(add("one", 0, Some(&two)).await, Addition::Superseded);
    assert_eq!(add("one", 0, None).await, Addition::Added);
    assert_eq!(add("two", 10, None).await, Addition::Superseded);
    assert_eq!(add("two", 10, Some(&one)).await, Addition::Added);
    assert_eq!(add("three", 10, Some(&one)).await, Addition::Superseded);
    assert_eq!(add("three", 20, Some(&three)).await, Addition::Superseded);
    // A name that is there already was an addition, too.
    assert_eq!(add("one", 20, Some(&two)).await, Addition::Superseded);
    let all: Vec<_> = stores.keys.list().await.unwrap().into_iter().map(|key| (key.id, key.signs_from)).collect();
    assert_eq!(all, [(one, at(0)), (two, at(10))]);
}

/// As `domain::key::newest` has it: by `signs_from`, then by identifier; when it was added does not matter.
pub async fn the_newest_key_signs_latest_and_then_has_the_greatest_name(stores: &Stores) {
    let add = async |name, from, newest| stores.keys.add(&key(name, ES256, at(from)), newest).await.unwrap();
    let [a, b, c] = ["a", "b", "c"].map(key_id);
    assert_eq!(add("b", 10, None).await, Addition::Added);
    assert_eq!(add("a", 10, Some(&b)).await, Addition::Added);
    assert_eq!(add("c", 5, Some(&a)).await, Addition::Superseded);
    assert_eq!(add("c", 5, Some(&b)).await, Addition::Added);
    assert_eq!(add("d", 20, Some(&c)).await, Addition::Superseded);
    assert_eq!(add("d", 20, Some(&b)).await, Addition::Added);
}

/// The newest key is the newest of its algorithm.
pub async fn algorithms_do_not_stand_in_each_others_way(stores: &Stores) {
    assert_eq!(stores.keys.add(&key("ec", ES256, at(10)), None).await.unwrap(), Addition::Added);
    let rsa = key("rsa", RS256, at(0));
    assert_eq!(stores.keys.add(&rsa, Some(&key_id("ec"))).await.unwrap(), Addition::Superseded);
    assert_eq!(stores.keys.add(&rsa, None).await.unwrap(), Addition::Added);
}

/// A key that is gone is gone, and its place is free.
pub async fn a_key_is_removed_once(stores: &Stores) {
    stores.keys.add(&key("one", ES256, at(0)), None).await.unwrap();
    assert!(stores.keys.remove(&key_id("one")).await.unwrap());
    assert!(!stores.keys.remove(&key_id("one")).await.unwrap());
    assert_eq!(stores.keys.list().await.unwrap(), []);
    assert_eq!(stores.keys.add(&key("two", ES256, at(0)), None).await.unwrap(), Addition::Added);
}
