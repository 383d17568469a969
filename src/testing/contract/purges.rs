//! Behaviours of the token store when it forgets: what is over goes, and what a replay would be recognised by stays.

use super::{
    has_access, has_refresh, issue, open_grant, redeemed_grant, rotate,
    tokens::{find_code, find_grant, find_refresh, listed, revoke, single},
    verified_refresh,
};
use crate::{
    domain::{
        access::Standing,
        grant::Grant,
        refresh::{RefreshState, Rotated},
    },
    port::store::{GrantFilter, Issue, Use},
    store::Stores,
    testing::fixture::{
        ACCESS_LIFETIME, CODE_LIFETIME, NOW, REFRESH_LIFETIME, access_token, at, code, grant, grant_id, token_id,
    },
};

async fn purge(stores: &Stores, now: i64) -> u64 {
    stores.tokens.purge(at(now), 1_000).await.unwrap()
}

/// And none before.
pub async fn a_purge_forgets_uses_and_revocations_that_are_over(stores: &Stores) {
    stores.tokens.use_once(single("use", 10), at(0)).await.unwrap();
    stores.tokens.revoke_access(&token_id("token"), at(20)).await.unwrap();
    assert_eq!(purge(stores, 9).await, 0);
    assert_eq!(stores.tokens.use_once(single("use", 10), at(9)).await.unwrap(), Use::Again);
    assert_eq!(purge(stores, 10).await, 1);
    assert_eq!(stores.tokens.standing(&token_id("token"), None).await.unwrap(), Standing::Revoked);
    assert_eq!(purge(stores, 20).await, 1);
    assert_eq!(purge(stores, 20).await, 0);
}

/// Whichever of two revocations of it named the later end.
pub async fn a_revoked_access_token_stays_revoked_until_it_expires(stores: &Stores) {
    for end in [20, 30, 10] {
        stores.tokens.revoke_access(&token_id("token"), at(end)).await.unwrap();
    }
    purge(stores, 29).await;
    assert_eq!(stores.tokens.standing(&token_id("token"), None).await.unwrap(), Standing::Revoked);
    assert_eq!(purge(stores, 30).await, 1);
}

/// Nobody came back with it in time. A grant that something else hangs off stays.
pub async fn a_purge_forgets_an_unspent_code_with_its_unused_grant(stores: &Stores) {
    for name in ["unused", "used"] {
        let grant = Grant { expires_at: at(10 * CODE_LIFETIME), ..grant(name) };
        stores.tokens.open_grant(&grant, &code(name)).await.unwrap();
    }
    stores.tokens.record_access(&access_token("token", Some("used"))).await.unwrap();
    assert_eq!(purge(stores, CODE_LIFETIME - 1).await, 0);
    assert_ne!(purge(stores, CODE_LIFETIME).await, 0);
    for name in ["unused", "used"] {
        assert_eq!(find_code(stores, name).await, None);
        assert_eq!(find_grant(stores, name).await.is_some(), name == "used");
    }
    assert_eq!(purge(stores, CODE_LIFETIME).await, 0);
}

/// However late a replay comes, it is recognised.
pub async fn a_purge_keeps_a_spent_code_as_long_as_its_grant(stores: &Stores) {
    redeemed_grant(stores, "one").await;
    assert_eq!(purge(stores, REFRESH_LIFETIME - 1).await, 0);
    assert_eq!(find_code(stores, "one").await.unwrap().spent_at, Some(at(1)));
    assert_ne!(purge(stores, REFRESH_LIFETIME).await, 0);
    assert_eq!(find_code(stores, "one").await, None);
}

/// Current or rotated: until then a replay is recognised, and after that a copy is worth nothing.
pub async fn a_purge_forgets_a_refresh_token_when_it_has_expired(stores: &Stores) {
    redeemed_grant(stores, "parent").await;
    let parent = verified_refresh(stores, "parent").await;
    let mut issue = Issue { grant_expires_at: Some(at(2 * REFRESH_LIFETIME)), ..issue("child", None) };
    if let Some(child) = &mut issue.refresh {
        child.expires_at = at(2 * REFRESH_LIFETIME);
    }
    stores.tokens.rotate(&parent, b"child", &issue, at(2)).await.unwrap();
    purge(stores, REFRESH_LIFETIME - 1).await;
    let rotated = Rotated { at: at(2), sealed_successor: b"child".to_vec(), successor_used: false };
    assert_eq!(find_refresh(stores, "parent").await.state, RefreshState::Rotated(rotated));
    assert_eq!(purge(stores, REFRESH_LIFETIME).await, 1);
    assert!(!has_refresh(stores, "parent").await && has_refresh(stores, "child").await);
}

/// With a grant and without; the grant stays.
pub async fn a_purge_forgets_expired_access_tokens(stores: &Stores) {
    redeemed_grant(stores, "one").await;
    for record in [access_token("human", Some("one")), access_token("client", None)] {
        stores.tokens.record_access(&record).await.unwrap();
    }
    assert_eq!(purge(stores, ACCESS_LIFETIME - 1).await, 0);
    assert_eq!(purge(stores, ACCESS_LIFETIME).await, 2);
    assert!(!has_access(stores, "human").await && !has_access(stores, "client").await);
    assert!(has_refresh(stores, "one").await);
}

/// While it lives it stays revoked, and after that it is unknown, which stands for revoked.
pub async fn a_purge_keeps_a_revoked_grant_revoked(stores: &Stores) {
    redeemed_grant(stores, "one").await;
    revoke(stores, "one", 2).await;
    for (now, found) in [(REFRESH_LIFETIME - 1, true), (REFRESH_LIFETIME, false)] {
        purge(stores, now).await;
        assert_eq!(find_grant(stores, "one").await.is_some_and(|grant| !grant.is_active()), found);
        let standing = stores.tokens.standing(&token_id("token"), Some(&grant_id("one"))).await.unwrap();
        assert_eq!(standing, Standing::Revoked);
    }
}

/// Its code, its refresh tokens of every generation, its access tokens; and nothing of its neighbour.
pub async fn a_purge_forgets_an_expired_grant_with_all_that_hangs_off_it(stores: &Stores) {
    let long = Issue { grant_expires_at: Some(at(2 * REFRESH_LIFETIME)), ..Issue::default() };
    for name in ["over", "lives"] {
        redeemed_grant(stores, name).await;
        rotate(stores, name, &format!("{name}-child"), 2).await;
        stores.tokens.record_access(&access_token(name, Some(name))).await.unwrap();
    }
    let child = verified_refresh(stores, "lives-child").await;
    stores.tokens.rotate(&child, b"x", &long, at(3)).await.unwrap();
    purge(stores, REFRESH_LIFETIME).await;
    for name in ["over", "lives"] {
        let lives = name == "lives";
        assert_eq!(find_grant(stores, name).await.is_some(), lives);
        assert_eq!(find_code(stores, name).await.is_some(), lives);
        // These were all made to expire by now, whoever's they are.
        assert!(!has_refresh(stores, name).await && !has_refresh(stores, &format!("{name}-child")).await);
        assert!(!has_access(stores, name).await);
    }
}

/// A mass expiry does not stop the world.
pub async fn a_purge_works_in_batches_and_comes_to_an_end(stores: &Stores) {
    for i in 0..5 {
        stores.tokens.use_once(single(&i.to_string(), 10), at(0)).await.unwrap();
        open_grant(stores, &i.to_string()).await;
    }
    let mut batches = Vec::new();
    loop {
        let purged = stores.tokens.purge(at(CODE_LIFETIME), 2).await.unwrap();
        if purged == 0 {
            break;
        }
        batches.push(purged);
    }
    // Five uses and five grants, two at a time. A backend may count the codes, too.
    assert!(batches.len() >= 3 && batches.iter().all(|batch| *batch <= 6), "{batches:?}");
    assert!(batches.iter().sum::<u64>() >= 10, "{batches:?}");
    assert_eq!(listed(stores, &GrantFilter::default(), None, 100).await, "");
    assert_eq!(stores.tokens.use_once(single("0", 10), NOW).await.unwrap(), Use::First);
}
