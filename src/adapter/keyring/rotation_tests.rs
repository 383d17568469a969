//! How keys follow each other, on one instance and on several.

use proptest::prelude::*;

use super::{tests::*, *};
use crate::{domain::policy::CLOCK_SKEW, port::crypto::Purpose};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(NOW.unix() + seconds)
}

fn published(keyring: &Keyring, now: Timestamp) -> Vec<String> {
    keyring.published_keys(now).keys.into_iter().map(|key| key.kid.unwrap()).collect()
}

fn sign(keyring: &Keyring, now: Timestamp) -> String {
    keyring.sign(Algorithm::ES256, &claims(), now).unwrap()
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

/// When the first key's successor is due, and when it signs. The first key counts as having started a little earlier.
const DUE: i64 = 10_000 - 1_000 - 60;
const TURN: i64 = 10_000 - 60;

#[tokio::test]
async fn the_first_key_signs_at_once_and_where_the_clock_is_behind() {
    let keyring = maintained(&[Algorithm::ES256]).await;
    sign(&keyring, NOW);
    sign(&keyring, NOW.minus(CLOCK_SKEW));
}

#[tokio::test]
async fn maintaining_twice_changes_nothing() {
    let keyring = maintained(Algorithm::ASYMMETRIC).await;
    assert_eq!(keyring.maintain(at(1)).await.unwrap(), Maintenance::default());
    assert_eq!(keyring.keys(NOW).len(), 4);
}

#[tokio::test]
async fn a_successor_is_published_ahead_then_signs_and_the_old_key_verifies_until_its_tokens_have_expired() {
    let keyring = maintained(&[Algorithm::ES256]).await;
    let old_token = sign(&keyring, NOW);
    let old = kid(&old_token);
    assert!(keyring.maintain(at(DUE - 1)).await.unwrap().added.is_empty());
    let added = keyring.maintain(at(DUE)).await.unwrap().added;
    let new = added[0].as_str().to_owned();

    assert_eq!(published(&keyring, at(DUE)), [new.clone(), old.clone()], "pending: published, newest first");
    assert_eq!(kid(&sign(&keyring, at(TURN - 1))), old, "and does not sign");
    assert_eq!(kid(&sign(&keyring, at(TURN))), new);
    assert_eq!(published(&keyring, at(TURN + 499)), [new.clone(), old.clone()]);
    assert!(recognised(&keyring, &old_token));

    assert_eq!(published(&keyring, at(TURN + 500)), [new]);
    assert_eq!(keyring.maintain(at(TURN + 499)).await.unwrap(), Maintenance::default());
    let done = keyring.maintain(at(TURN + 500)).await.unwrap();
    assert_eq!(done, Maintenance { added: vec![], removed: vec![KeyId::parse(&old).unwrap()] });
    assert!(!recognised(&keyring, &old_token));
}

#[tokio::test]
async fn after_a_long_stop_the_successor_is_still_published_ahead() {
    let keyring = maintained(&[Algorithm::ES256]).await;
    let old = kid(&sign(&keyring, NOW));
    keyring.maintain(at(1_000_000)).await.unwrap();
    assert_eq!(kid(&sign(&keyring, at(1_000_999))), old);
    assert_ne!(kid(&sign(&keyring, at(1_001_000))), old);
}

#[tokio::test]
async fn a_rotation_by_hand_is_published_ahead_and_done_once() {
    let keyring = maintained(&[Algorithm::ES256]).await;
    let first = keyring.rotate(Algorithm::ES256, false, at(10)).await.unwrap();
    assert_eq!((first.signs_from, first.added), (at(1_010), true));
    let again = keyring.rotate(Algorithm::ES256, false, at(20)).await.unwrap();
    assert_eq!(again, Rotation { added: false, ..first.clone() });
    assert_ne!(kid(&sign(&keyring, at(1_009))), first.id.as_str());
    assert_eq!(kid(&sign(&keyring, at(1_010))), first.id.as_str());
}

#[tokio::test]
async fn a_key_from_a_clock_that_ran_ahead_does_not_hold_up_a_rotation_by_hand() {
    let keyring = maintained(&[Algorithm::ES256]).await;
    let far = keyring.maintain(at(1_000_000)).await.unwrap().added;
    let rotation = keyring.rotate(Algorithm::ES256, false, at(10)).await.unwrap();
    assert_eq!((rotation.signs_from, rotation.added), (at(1_010), true));
    assert!(!far.contains(&rotation.id));
    assert_eq!(kid(&sign(&keyring, at(1_010))), rotation.id.as_str());
}

#[tokio::test]
async fn a_rotation_at_once_signs_at_once_and_keeps_old_tokens_good() {
    let keyring = maintained(&[Algorithm::ES256]).await;
    let old_token = sign(&keyring, NOW);
    let pending = keyring.rotate(Algorithm::ES256, false, NOW).await.unwrap();
    let urgent = keyring.rotate(Algorithm::ES256, true, at(5)).await.unwrap();
    assert_eq!((urgent.signs_from, urgent.added), (at(5), true));
    assert_eq!(kid(&sign(&keyring, at(5))), urgent.id.as_str());
    assert!(recognised(&keyring, &old_token));
    let next = keyring.rotate(Algorithm::ES256, true, at(5)).await.unwrap();
    assert_eq!(next.signs_from, at(6), "twice in one second: strictly later");
    assert_eq!(kid(&sign(&keyring, at(1_000))), pending.id.as_str(), "what was published takes its turn");
}

#[tokio::test]
async fn a_revoked_key_is_neither_published_nor_recognised_and_another_one_signs_at_once() {
    let keyring = maintained(&[Algorithm::ES256]).await;
    let leaked = sign(&keyring, NOW);
    assert!(recognised(&keyring, &leaked));
    let id = KeyId::parse(&kid(&leaked)).unwrap();
    let revocation = keyring.revoke(&id, at(5)).await.unwrap().unwrap();
    let successor = revocation.successor.unwrap();
    assert_eq!(kid(&sign(&keyring, at(5))), successor.as_str());
    assert_eq!(published(&keyring, at(5)), [successor.as_str()]);
    assert!(!recognised(&keyring, &leaked), "not even what was recognised before");
    assert_eq!(keyring.revoke(&id, at(5)).await.unwrap(), None, "it is gone");
}

#[tokio::test]
async fn revoking_a_key_that_does_not_sign_makes_none_and_leaves_the_others_as_they_are() {
    let keyring = maintained(&[Algorithm::ES256]).await;
    let token = sign(&keyring, NOW);
    let pending = keyring.rotate(Algorithm::ES256, false, at(1)).await.unwrap().id;
    let revocation = keyring.revoke(&pending, at(2)).await.unwrap().unwrap();
    assert_eq!(revocation, Revocation { algorithm: Algorithm::ES256, successor: None });
    assert_eq!(published(&keyring, at(2)), [kid(&token)]);
    assert_eq!(kid(&sign(&keyring, at(2_000))), kid(&token), "nothing takes its turn");
    // The old key verifies only, and goes without a trace.
    keyring.rotate(Algorithm::ES256, true, at(3)).await.unwrap();
    let old = KeyId::parse(&kid(&token)).unwrap();
    assert_eq!(keyring.revoke(&old, at(4)).await.unwrap().unwrap().successor, None);
    assert!(!recognised(&keyring, &token));
    sign(&keyring, at(4));
}

#[tokio::test]
async fn a_key_that_was_published_ahead_takes_its_turn_behind_the_successor_of_a_revoked_one() {
    let keyring = maintained(&[Algorithm::ES256]).await;
    let pending = keyring.rotate(Algorithm::ES256, false, NOW).await.unwrap();
    let leaked = KeyId::parse(&kid(&sign(&keyring, NOW))).unwrap();
    let successor = keyring.revoke(&leaked, at(5)).await.unwrap().unwrap().successor.unwrap();
    assert_eq!(kid(&sign(&keyring, at(999))), successor.as_str());
    assert_eq!(kid(&sign(&keyring, at(1_000))), pending.id.as_str());
}

#[tokio::test]
async fn a_rotation_without_a_key_makes_the_first_one_and_hs256_has_none() {
    let keyring = load(&Arc::default(), &[]).await;
    assert!(keyring.rotate(Algorithm::EdDSA, false, NOW).await.unwrap().added);
    assert!(keyring.sign(Algorithm::EdDSA, &claims(), NOW).is_ok());
    let refused = keyring.rotate(Algorithm::HS256, true, NOW).await;
    assert!(matches!(refused, Err(KeyringError::Generate(SigningKeyError::Symmetric))));
}

#[tokio::test]
async fn instances_that_race_on_one_store_make_one_key_and_recognise_each_other() {
    let store = Arc::default();
    let (a, b) = (load(&store, &[Algorithm::ES256]).await, load(&store, &[Algorithm::ES256]).await);
    for now in [NOW, at(DUE)] {
        let (one, two) = tokio::join!(a.maintain(now), b.maintain(now));
        assert_eq!(one.unwrap().added.len() + two.unwrap().added.len(), 1);
        a.refresh().await.unwrap();
        b.refresh().await.unwrap();
    }
    assert_eq!(store.0.lock().unwrap().len(), 2);
    for now in [at(DUE), at(TURN)] {
        assert!(recognised(&b, &sign(&a, now)) && recognised(&a, &sign(&b, now)));
        assert_eq!(kid(&sign(&a, now)), kid(&sign(&b, now)));
    }
}

#[tokio::test]
async fn a_stale_instance_loses_to_the_store() {
    let store = Arc::default();
    let (fresh, stale) = (load(&store, &[Algorithm::ES256]).await, load(&store, &[Algorithm::ES256]).await);
    fresh.maintain(NOW).await.unwrap();
    // It has not read the new key: its own first key must not get in.
    assert_eq!(stale.add(Algorithm::ES256, NOW, None, NOW).await.unwrap(), None);
    assert_eq!(store.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_is_parsed_once_for_as_long_as_it_stays() {
    let keyring = maintained(&[Algorithm::ES256]).await;
    let id = keyring.keys(NOW)[0].0.id.clone();
    let before = Arc::clone(keyring.current().by_id(id.as_str()).unwrap());
    keyring.refresh().await.unwrap();
    assert!(Arc::ptr_eq(&before, keyring.current().by_id(id.as_str()).unwrap()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_key_that_signs_is_the_one_whose_phase_is_signing(starts in prop::collection::vec(0i64..20, 1..6), now in 0i64..25) {
        let sealer = sealer();
        let record = |signs_from: &i64| {
            let key = crate::adapter::signing_key::SigningKey::generate(Algorithm::EdDSA).unwrap();
            let context = snapshot::context(Algorithm::EdDSA, key.id().as_str());
            KeyRecord {
                id: key.id().clone(),
                algorithm: Algorithm::EdDSA,
                public: key.public().clone(),
                sealed_private: sealer.seal(Purpose::SigningKey, &context, &key.to_pkcs8().unwrap()),
                created_at: Timestamp::EPOCH,
                signs_from: Timestamp::from_unix(*signs_from),
            }
        };
        let records: Vec<_> = starts.iter().map(record).collect();
        let now = Timestamp::from_unix(now);
        let signing = records.iter().find(|key| SCHEDULE.phase(key, &records, now) == KeyPhase::Signing).map(|key| key.id.clone());
        let snapshot = Snapshot::open(records, &*sealer, &Snapshot::default()).unwrap();
        let chosen = snapshot.signing(Algorithm::EdDSA, now).map(|ready| ready.key.id().clone());
        prop_assert_eq!(chosen, signing);
    }
}

#[tokio::test]
async fn a_first_key_from_a_clock_that_ran_ahead_does_not_keep_the_server_from_signing() {
    let keyring = maintained(&[Algorithm::ES256]).await;
    let year_before = at(-365 * 24 * 3600);
    assert!(keyring.sign(Algorithm::ES256, &claims(), year_before).is_err());
    assert_eq!(keyring.maintain(year_before).await.unwrap().added.len(), 1);
    sign(&keyring, year_before);
    assert_eq!(keyring.maintain(year_before).await.unwrap(), Maintenance::default());
}
