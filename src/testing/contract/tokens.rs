//! Behaviours of the token store.

use super::{has_access, has_refresh, issue, open_grant, redeemed_grant, rotate, verified_code, verified_refresh};
use crate::{
    domain::{
        access::{OpaqueRecord, Standing},
        assertion::{ReplayId, SingleUse},
        code::{CodeRecord, NewCode},
        grant::{Grant, Revocation, RevocationReason},
        redirect::{MatchedRedirect, RedirectUri},
        refresh::{RefreshRecord, RefreshState, Rotated},
        time::Timestamp,
    },
    port::store::{GrantFilter, Issue, Owner, Page, Recording, Redemption, Rotation, Use},
    store::Stores,
    testing::fixture::{
        ACCESS_LIFETIME, CODE_LIFETIME, REFRESH_LIFETIME, access_token, at, client_id, code, grant, grant_id,
        refresh_token, resource, revocation, token_id, user_id,
    },
};

pub(super) async fn find_code(stores: &Stores, name: &str) -> Option<CodeRecord> {
    stores.tokens.find_code(&code(name).digest).await.unwrap()
}

pub(super) async fn find_refresh(stores: &Stores, name: &str) -> RefreshRecord {
    stores.tokens.find_refresh(&refresh_token(name).digest).await.unwrap().unwrap()
}

pub(super) async fn find_grant(stores: &Stores, name: &str) -> Option<Grant> {
    stores.tokens.find_grant(&grant_id(name)).await.unwrap()
}

pub(super) async fn revoke(stores: &Stores, name: &str, now: i64) -> bool {
    stores.tokens.revoke_grant(&grant_id(name), revocation(at(now))).await.unwrap()
}

async fn redeem(stores: &Stores, name: &str, issue: &Issue, now: i64) -> Redemption {
    stores.tokens.redeem(&verified_code(stores, name).await, issue, at(now)).await.unwrap()
}

/// As it was opened, whether the request named its redirect URI or not.
pub async fn a_code_is_found_with_its_grant(stores: &Stores) {
    let uri = RedirectUri::parse("http://127.0.0.1:1234/cb").unwrap();
    let second = NewCode { redirect: MatchedRedirect::restore(uri), ..code("two") };
    let wide = Grant { resources: vec![resource("https://b.example/"), resource("https://A.example")], ..grant("two") };
    for (grant, code) in [(grant("one"), code("one")), (wide, second)] {
        stores.tokens.open_grant(&grant, &code).await.unwrap();
        let found = stores.tokens.find_code(&code.digest).await.unwrap().unwrap();
        let texts = |grant: &Grant| grant.resources.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(&found.grant), texts(&grant));
        assert_eq!(stores.tokens.find_grant(&grant.id).await.unwrap().as_ref(), Some(&grant));
        assert_eq!(found, CodeRecord { code, grant, spent_at: None });
    }
}

/// "Not found" is an `Option`, and there is nothing to revoke.
pub async fn what_is_unknown_is_nothing(stores: &Stores) {
    assert_eq!(find_code(stores, "nothing").await, None);
    assert_eq!(find_grant(stores, "nothing").await, None);
    assert!(!has_refresh(stores, "nothing").await);
    assert!(!has_access(stores, "nothing").await);
    assert!(!revoke(stores, "nothing", 0).await);
    assert_eq!(stores.tokens.purge(at(0), 100).await.unwrap(), 0);
}

/// The second redemption records nothing.
pub async fn a_code_is_redeemed_once(stores: &Stores) {
    open_grant(stores, "one").await;
    let [first, second] = [verified_code(stores, "one").await, verified_code(stores, "one").await];
    let redeem = async |code, refresh, now| {
        let issue = issue(refresh, Some(access_token(refresh, Some("one"))));
        stores.tokens.redeem(code, &issue, at(now)).await.unwrap()
    };
    assert_eq!(redeem(&first, "first", 1).await, Redemption::Redeemed);
    assert_eq!(redeem(&second, "second", 2).await, Redemption::AlreadyRedeemed);
    assert_eq!(find_code(stores, "one").await.unwrap().spent_at, Some(at(1)));
    assert!(has_refresh(stores, "first").await && has_access(stores, "first").await);
    assert!(!has_refresh(stores, "second").await && !has_access(stores, "second").await);
}

/// The refresh token, current; the access token; neither, if none is due.
pub async fn redeeming_records_what_is_issued(stores: &Stores) {
    let made = open_grant(stores, "one").await;
    let access = access_token("one", Some("one"));
    assert_eq!(redeem(stores, "one", &issue("one", Some(access.clone())), 1).await, Redemption::Redeemed);
    let grant = Grant { expires_at: at(REFRESH_LIFETIME), ..made };
    let expected = RefreshRecord { token: refresh_token("one"), grant, state: RefreshState::Current };
    assert_eq!(find_refresh(stores, "one").await, expected);
    let found = stores.tokens.find_access(&access.digest).await.unwrap();
    assert_eq!(found, Some((access.token, Standing::Good)));

    let bare = open_grant(stores, "bare").await;
    assert_eq!(redeem(stores, "bare", &Issue::default(), 1).await, Redemption::Redeemed);
    assert_eq!(find_grant(stores, "bare").await, Some(bare));
}

/// The last of what was issued decides.
pub async fn redeeming_lengthens_the_life_of_a_grant_and_never_shortens_it(stores: &Stores) {
    for (name, end, lives_until) in [("longer", 500, 500), ("shorter", 5, CODE_LIFETIME)] {
        open_grant(stores, name).await;
        let issue = Issue { grant_expires_at: Some(at(end)), ..Issue::default() };
        redeem(stores, name, &issue, 1).await;
        assert_eq!(find_grant(stores, name).await.unwrap().expires_at, at(lives_until));
    }
}

/// Nothing is recorded, and the code stays unspent.
pub async fn a_code_of_a_revoked_grant_is_not_redeemed(stores: &Stores) {
    open_grant(stores, "one").await;
    let code = verified_code(stores, "one").await;
    revoke(stores, "one", 1).await;
    let issue = issue("one", Some(access_token("one", Some("one"))));
    assert_eq!(stores.tokens.redeem(&code, &issue, at(2)).await.unwrap(), Redemption::GrantRevoked);
    assert_eq!(find_code(stores, "one").await.unwrap().spent_at, None);
    assert!(!has_refresh(stores, "one").await && !has_access(stores, "one").await);
    assert_eq!(find_grant(stores, "one").await.unwrap().expires_at, at(CODE_LIFETIME));
}

/// As for `domain::code::verify`, that it was spent comes first: a replay stays one.
pub async fn a_spent_code_stays_spent_when_its_grant_is_revoked(stores: &Stores) {
    open_grant(stores, "one").await;
    let code = verified_code(stores, "one").await;
    redeem(stores, "one", &Issue::default(), 1).await;
    revoke(stores, "one", 2).await;
    let again = stores.tokens.redeem(&code, &Issue::default(), at(3)).await.unwrap();
    assert_eq!(again, Redemption::AlreadyRedeemed);
    let found = find_code(stores, "one").await.unwrap();
    assert_eq!((found.spent_at, found.grant.revocation), (Some(at(1)), Some(revocation(at(2)))));
}

/// The second rotation records nothing and does not touch the first.
pub async fn a_refresh_token_is_rotated_once(stores: &Stores) {
    redeemed_grant(stores, "parent").await;
    let [first, second] = [verified_refresh(stores, "parent").await, verified_refresh(stores, "parent").await];
    let rotate = async |refresh, to: &str, now| {
        let issue = issue(to, Some(access_token(to, Some("parent"))));
        stores.tokens.rotate(refresh, to.as_bytes(), &issue, at(now)).await.unwrap()
    };
    assert_eq!(rotate(&first, "first", 2).await, Rotation::Rotated);
    assert_eq!(rotate(&second, "second", 3).await, Rotation::AlreadyRotated);
    assert!(has_refresh(stores, "first").await && has_access(stores, "first").await);
    assert!(!has_refresh(stores, "second").await && !has_access(stores, "second").await);
    let rotated = Rotated { at: at(2), sealed_successor: b"first".to_vec(), successor_used: false };
    assert_eq!(find_refresh(stores, "parent").await.state, RefreshState::Rotated(rotated));
}

/// Byte for byte, an empty box included.
pub async fn a_rotated_token_is_found_with_its_sealed_successor(stores: &Stores) {
    for (name, sealed) in [("every-byte", (0..=255).collect::<Vec<u8>>()), ("empty", vec![])] {
        redeemed_grant(stores, name).await;
        let refresh = verified_refresh(stores, name).await;
        let next = format!("{name}-next");
        stores.tokens.rotate(&refresh, &sealed, &issue(&next, None), at(2)).await.unwrap();
        let expected = RefreshState::Rotated(Rotated { at: at(2), sealed_successor: sealed, successor_used: false });
        assert_eq!(find_refresh(stores, name).await.state, expected);
        assert_eq!(find_refresh(stores, &next).await.state, RefreshState::Current);
    }
}

/// Used means rotated itself; every ancestor keeps what it knew.
pub async fn a_parent_shows_whether_its_successor_was_used(stores: &Stores) {
    redeemed_grant(stores, "a").await;
    for (from, to, now) in [("a", "b", 2), ("b", "c", 3), ("c", "d", 4)] {
        assert_eq!(rotate(stores, from, to, now).await, Rotation::Rotated);
    }
    for (name, at_, next, used) in [("a", 2, "b", true), ("b", 3, "c", true), ("c", 4, "d", false)] {
        let rotated = Rotated { at: at(at_), sealed_successor: next.as_bytes().to_vec(), successor_used: used };
        assert_eq!(find_refresh(stores, name).await.state, RefreshState::Rotated(rotated), "{name}");
    }
    assert_eq!(find_refresh(stores, "d").await.state, RefreshState::Current);
}

/// Nothing is recorded, and as for `domain::refresh::verify`, that the grant ended comes first.
pub async fn a_refresh_token_of_a_revoked_grant_is_not_rotated(stores: &Stores) {
    redeemed_grant(stores, "parent").await;
    let parent = verified_refresh(stores, "parent").await;
    rotate(stores, "parent", "child", 2).await;
    let child = verified_refresh(stores, "child").await;
    revoke(stores, "parent", 3).await;
    for refresh in [&parent, &child] {
        let rotated = stores.tokens.rotate(refresh, b"x", &issue("new", None), at(4)).await.unwrap();
        assert_eq!(rotated, Rotation::GrantRevoked);
    }
    assert!(!has_refresh(stores, "new").await);
    assert_eq!(find_refresh(stores, "child").await.state, RefreshState::Current);
}

/// As a redemption does.
pub async fn rotating_records_what_is_issued_and_lengthens_the_life_of_the_grant(stores: &Stores) {
    redeemed_grant(stores, "parent").await;
    let parent = verified_refresh(stores, "parent").await;
    let access = access_token("access", Some("parent"));
    let end = at(2 * REFRESH_LIFETIME);
    let issue = Issue { grant_expires_at: Some(end), ..issue("child", Some(access.clone())) };
    assert_eq!(stores.tokens.rotate(&parent, b"child", &issue, at(2)).await.unwrap(), Rotation::Rotated);
    let child = find_refresh(stores, "child").await;
    assert_eq!((child.token, child.state), (refresh_token("child"), RefreshState::Current));
    assert_eq!(child.grant.expires_at, end);
    assert_eq!(stores.tokens.find_access(&access.digest).await.unwrap(), Some((access.token, Standing::Good)));
}

/// With a human behind it, and without.
pub async fn an_access_token_is_found_as_it_was_recorded(stores: &Stores) {
    open_grant(stores, "one").await;
    for record in [access_token("human", Some("one")), access_token("client", None)] {
        assert_eq!(stores.tokens.record_access(&record).await.unwrap(), Recording::Recorded);
        let OpaqueRecord { digest, token } = record;
        assert_eq!(stores.tokens.find_access(&digest).await.unwrap(), Some((token, Standing::Good)));
    }
}

/// Not under one that was revoked, and not under one that nobody knows.
pub async fn an_access_token_is_recorded_only_under_an_active_grant(stores: &Stores) {
    open_grant(stores, "revoked").await;
    revoke(stores, "revoked", 1).await;
    for grant in ["revoked", "unknown"] {
        let access = access_token("token", Some(grant));
        assert_eq!(stores.tokens.record_access(&access).await.unwrap(), Recording::GrantRevoked);
        assert!(!has_access(stores, "token").await);
    }
    assert_eq!(find_grant(stores, "revoked").await.unwrap().expires_at, at(CODE_LIFETIME));
}

/// The grant is not purged before the token; a shorter token does not shorten it.
pub async fn an_access_token_lengthens_the_life_of_its_grant(stores: &Stores) {
    open_grant(stores, "one").await;
    let long = access_token("long", Some("one"));
    let mut short = access_token("short", Some("one"));
    short.token.expires_at = at(5);
    for record in [long, short] {
        stores.tokens.record_access(&record).await.unwrap();
        assert_eq!(find_grant(stores, "one").await.unwrap().expires_at, at(ACCESS_LIFETIME));
    }
}

/// That token alone; again makes no difference.
pub async fn a_revoked_access_token_is_found_as_revoked(stores: &Stores) {
    for name in ["one", "other"] {
        stores.tokens.record_access(&access_token(name, None)).await.unwrap();
    }
    for _ in 0..2 {
        stores.tokens.revoke_access(&token_id("one"), at(ACCESS_LIFETIME)).await.unwrap();
        for (name, standing) in [("one", Standing::Revoked), ("other", Standing::Good)] {
            let OpaqueRecord { digest, token } = access_token(name, None);
            assert_eq!(stores.tokens.find_access(&digest).await.unwrap(), Some((token, standing)));
        }
    }
}

/// Revoking a grant ends everything that hangs off it.
pub async fn an_access_token_of_a_revoked_grant_is_found_as_revoked(stores: &Stores) {
    open_grant(stores, "one").await;
    let OpaqueRecord { digest, token } = access_token("token", Some("one"));
    stores.tokens.record_access(&OpaqueRecord { digest, token: token.clone() }).await.unwrap();
    revoke(stores, "one", 1).await;
    assert_eq!(stores.tokens.find_access(&digest).await.unwrap(), Some((token, Standing::Revoked)));
}

/// What introspection of a JWT asks.
pub async fn standing_follows_the_token_and_its_grant(stores: &Stores) {
    for name in ["active", "revoked"] {
        open_grant(stores, name).await;
    }
    revoke(stores, "revoked", 1).await;
    stores.tokens.revoke_access(&token_id("revoked"), at(ACCESS_LIFETIME)).await.unwrap();
    for (token, grant, expected) in [
        ("token", None, Standing::Good),
        ("token", Some("active"), Standing::Good),
        ("token", Some("revoked"), Standing::Revoked),
        ("token", Some("unknown"), Standing::Revoked),
        ("revoked", None, Standing::Revoked),
        ("revoked", Some("active"), Standing::Revoked),
    ] {
        let found = stores.tokens.standing(&token_id(token), grant.map(grant_id).as_ref()).await.unwrap();
        assert_eq!(found, expected, "{token} {grant:?}");
    }
}

/// The second one is told so and does not rewrite history.
pub async fn the_first_revocation_of_a_grant_counts(stores: &Stores) {
    open_grant(stores, "one").await;
    for reason in [RevocationReason::CodeReplayed, RevocationReason::ByOperator] {
        let first = reason == RevocationReason::CodeReplayed;
        let revoked = stores.tokens.revoke_grant(&grant_id("one"), Revocation { at: at(1), reason }).await.unwrap();
        assert_eq!(revoked, first);
    }
    let revocation = Revocation { at: at(1), reason: RevocationReason::CodeReplayed };
    assert_eq!(find_grant(stores, "one").await, Some(Grant { revocation: Some(revocation), ..grant("one") }));
}

/// A client's or a human's; how many counts those that were active.
pub async fn revoking_an_owner_ends_their_active_grants_and_no_others(stores: &Stores) {
    for (name, client, user) in [("a", "c1", "u1"), ("b", "c1", "u2"), ("c", "c2", "u1"), ("d", "c2", "u2")] {
        let grant = Grant { client_id: client_id(client), user_id: user_id(user), ..grant(name) };
        stores.tokens.open_grant(&grant, &code(name)).await.unwrap();
    }
    let revoke_all =
        async |owner: Owner, reason, now| stores.tokens.revoke_grants_of(&owner, reason, at(now)).await.unwrap();
    let client = Owner::Client(client_id("c1"));
    assert_eq!(revoke_all(client.clone(), RevocationReason::ClientRemoved, 1).await, 2);
    assert_eq!(revoke_all(client, RevocationReason::ByOperator, 2).await, 0);
    assert_eq!(revoke_all(Owner::User(user_id("u1")), RevocationReason::UserDisabled, 3).await, 1);
    // A client that is called like a human is not that human.
    assert_eq!(revoke_all(Owner::Client(client_id("u2")), RevocationReason::ByOperator, 4).await, 0);
    for (name, expected) in [
        ("a", Some((1, RevocationReason::ClientRemoved))),
        ("b", Some((1, RevocationReason::ClientRemoved))),
        ("c", Some((3, RevocationReason::UserDisabled))),
        ("d", None),
    ] {
        let expected = expected.map(|(now, reason)| Revocation { at: at(now), reason });
        assert_eq!(find_grant(stores, name).await.unwrap().revocation, expected, "{name}");
    }
}

pub(super) async fn listed(stores: &Stores, filter: &GrantFilter, after: Option<&str>, limit: u32) -> String {
    let page = Page { after: after.map(grant_id), limit };
    let found = stores.tokens.list_grants(filter, page).await.unwrap();
    found.iter().map(|grant| grant.id.as_str()).collect::<Vec<_>>().join(" ")
}

/// By the bytes of their identifiers.
pub async fn grants_are_listed_in_pages_in_order(stores: &Stores) {
    for name in ["d", "B", "a", "c"] {
        open_grant(stores, name).await;
    }
    let all = GrantFilter::default();
    assert_eq!(listed(stores, &all, None, 3).await, "B a c");
    assert_eq!(listed(stores, &all, Some("c"), 3).await, "d");
    assert_eq!(listed(stores, &all, Some("bb"), 3).await, "c d");
    assert_eq!(listed(stores, &all, None, 0).await, "");
}

/// Each part of the filter narrows.
pub async fn grants_are_listed_by_owner_and_life(stores: &Stores) {
    for (name, client, user, end) in
        [("a", "c1", "u1", 100), ("b", "c1", "u2", 100), ("c", "c2", "u1", 10), ("d", "c2", "u1", 100)]
    {
        let (client_id, user_id) = (client_id(client), user_id(user));
        let grant = Grant { client_id, user_id, expires_at: at(end), ..grant(name) };
        stores.tokens.open_grant(&grant, &code(name)).await.unwrap();
    }
    revoke(stores, "b", 1).await;
    for (client, user, live_at, expected) in [
        (None, None, None, "a b c d"),
        (Some("c1"), None, None, "a b"),
        (None, Some("u1"), None, "a c d"),
        (Some("c2"), Some("u1"), None, "c d"),
        (None, None, Some(9), "a c d"),
        (None, None, Some(10), "a d"),
        (Some("c1"), Some("u2"), Some(9), ""),
    ] {
        let (client, user) = (client.map(client_id), user.map(user_id));
        let filter = GrantFilter { client, user, live_at: live_at.map(at) };
        assert_eq!(listed(stores, &filter, None, 100).await, expected, "{filter:?}");
        assert_eq!(listed(stores, &filter, Some("a"), 100).await, expected.trim_start_matches("a").trim());
    }
}

/// Asked before an unused client is removed.
pub async fn a_live_grant_is_neither_revoked_nor_expired(stores: &Stores) {
    let lives = async |now| stores.tokens.has_live_grant(&client_id("client"), at(now)).await.unwrap();
    assert!(!lives(0).await);
    open_grant(stores, "one").await;
    assert!(lives(CODE_LIFETIME - 1).await);
    assert!(!lives(CODE_LIFETIME).await);
    assert!(!stores.tokens.has_live_grant(&client_id("other"), at(0)).await.unwrap());
    revoke(stores, "one", 1).await;
    assert!(!lives(2).await);
    open_grant(stores, "two").await;
    assert!(lives(2).await);
}

pub(super) fn single(name: &str, until: i64) -> SingleUse {
    SingleUse { id: ReplayId::of(&[name.as_bytes()]), until: at(until) }
}

/// Its end is the last moment at which it would be refused anyway; then it may come again, and is noted again.
pub async fn a_use_is_first_until_it_is_over(stores: &Stores) {
    let use_once = async |name, until, now| stores.tokens.use_once(single(name, until), at(now)).await.unwrap();
    assert_eq!(use_once("one", 10, 0).await, Use::First);
    assert_eq!(use_once("one", 10, 0).await, Use::Again);
    assert_eq!(use_once("one", 99, 9).await, Use::Again);
    assert_eq!(use_once("two", 10, 9).await, Use::First);
    assert_eq!(use_once("one", 20, 10).await, Use::First);
    assert_eq!(use_once("one", 20, 19).await, Use::Again);
}

/// A store asks nobody for the time, so everything works in 1970 and in the year 5138.
pub async fn times_are_arguments(stores: &Stores) {
    for (name, start) in [("past", 0_i64), ("future", 100_000_000_000)] {
        let time = |after: i64| Timestamp::from_unix(start + after);
        let client = client_id(name);
        let expires_at = time(60);
        let grant = Grant { client_id: client.clone(), created_at: time(0), expires_at, ..grant(name) };
        stores.tokens.open_grant(&grant, &NewCode { expires_at, ..code(name) }).await.unwrap();
        let verified = verified_code(stores, name).await;
        let issue = Issue { grant_expires_at: Some(time(90)), ..Issue::default() };
        assert_eq!(stores.tokens.redeem(&verified, &issue, time(1)).await.unwrap(), Redemption::Redeemed);
        assert_eq!(find_code(stores, name).await.unwrap().spent_at, Some(time(1)));
        assert!(stores.tokens.has_live_grant(&client, time(89)).await.unwrap());
        let single = SingleUse { until: time(10), ..single(name, 0) };
        for (now, expected) in [(0, Use::First), (9, Use::Again), (10, Use::First)] {
            assert_eq!(stores.tokens.use_once(single, time(now)).await.unwrap(), expected);
        }
        stores.tokens.purge(time(89), 100).await.unwrap();
        assert!(find_grant(stores, name).await.is_some());
        stores.tokens.purge(time(90), 100).await.unwrap();
        assert!(find_grant(stores, name).await.is_none());
    }
}

/// For readiness.
pub async fn every_family_answers(stores: &Stores) {
    stores.clients.ping().await.unwrap();
    stores.tokens.ping().await.unwrap();
    stores.accounts.ping().await.unwrap();
    stores.keys.ping().await.unwrap();
    stores.audit.ping().await.unwrap();
}
