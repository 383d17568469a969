//! Whole stores, moved from one backend to another: nothing is lost on the way, and what arrives works.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "support/engines.rs"]
mod engines;

use std::{collections::BTreeMap, sync::Arc};

use engines::sqlite;
use gateward::{
    domain::{
        access::Standing,
        account::UserStatus,
        assertion::{ReplayId, SingleUse},
        audit::{Action, Event},
        client::{ClientEntry, Removal},
        credential::{Digest, SessionToken},
        refresh::RefreshState,
    },
    port::store::{
        Archive, Entry, EntryKind, Family, GrantFamily, GrantFilter, Insertion, Owner, Page, Redemption, Rotation,
        Succession, Use,
    },
    protocol::jose::Algorithm,
    store::{CopyError, Position, Progress, Stores, copy},
    testing::fixture::{
        REFRESH_LIFETIME, access_token, at, audit_entry, client, client_id, code, consent, dynamic_client, full_client,
        full_event, grant, grant_id, key, refresh_token, revocation, session, token_id, user, user_id, username,
        verified_code, verified_refresh,
    },
};

fn single(name: &str) -> SingleUse {
    SingleUse { id: ReplayId::of(&[name.as_bytes()]), until: at(600) }
}

fn family(name: &str) -> GrantFamily {
    GrantFamily {
        grant: gateward::domain::grant::Grant { expires_at: at(REFRESH_LIFETIME), ..grant(name) },
        code: Some((code(name), Some(at(1)))),
        refresh: vec![(refresh_token(name), None)],
        access: vec![],
    }
}

/// A grant in each of its life-stages.
fn families() -> Vec<GrantFamily> {
    let fresh =
        GrantFamily { grant: grant("fresh"), code: Some((code("fresh"), None)), refresh: vec![], access: vec![] };
    let mut rotated = family("rotated");
    let succession = |to: &str, seconds| Succession {
        at: at(seconds),
        sealed_successor: to.as_bytes().to_vec(),
        successor: Some(refresh_token(to).digest),
    };
    rotated.refresh[0].1 = Some(succession("second", 2));
    rotated.refresh.push((refresh_token("second"), Some(succession("third", 3))));
    rotated.refresh.push((refresh_token("third"), None));
    rotated.refresh.sort_by_key(|(token, _)| *token.digest.as_bytes());
    rotated.access = vec![access_token("of-rotated", Some("rotated")), access_token("another", Some("rotated"))];
    rotated.access.sort_by_key(|access| *access.digest.as_bytes());
    let mut revoked = family("revoked");
    revoked.grant.revocation = Some(revocation(at(9)));
    let without_code = GrantFamily { code: None, ..family("without-code") };
    let mut families = vec![fresh, rotated, revoked, without_code, family("current")];
    // One more than fits into a small part.
    families.extend((0..7).map(|i| family(&format!("more-{i}"))));
    families
}

/// Everything that a store can hold.
fn everything() -> Vec<Entry> {
    let mut entries = vec![
        Entry::Client(Box::new(client("client"))),
        Entry::Client(Box::new(dynamic_client("dynamic"))),
        Entry::Client(Box::new(full_client("full"))),
        Entry::RemovedClient { id: client_id("gone"), reason: Removal::Idle, at: at(-5) },
        Entry::AccessToken(access_token("alone", None)),
        Entry::AccessToken(access_token("revoked-alone", None)),
        Entry::RevokedAccess { id: token_id("revoked-alone"), expires_at: at(3600) },
        Entry::SingleUse(single("assertion")),
        Entry::User(user("user")),
        Entry::User(gateward::domain::account::User { status: UserStatus::Disabled, ..user("disabled") }),
        Entry::Session(session("browser", "user")),
        Entry::Session(session("other browser", "user")),
        Entry::Consent(consent("mcp:read mcp:write")),
        Entry::Consent(gateward::domain::account::Consent { client_id: client_id("full"), ..consent("mcp:read") }),
        Entry::LoginFailures { key: ReplayId::of(&[b"login"]), failures: 3, window_ends_at: at(900) },
        Entry::SigningKey(Box::new(key("old", Algorithm::ES256, at(0)))),
        Entry::SigningKey(Box::new(key("new", Algorithm::ES256, at(1000)))),
        Entry::AuditEntry(Box::new(audit_entry(1, full_event(at(5))))),
        Entry::AuditEntry(Box::new(audit_entry(2, Event::success(at(5), Action::ServerStart)))),
        Entry::AuditEntry(Box::new(audit_entry(3, Event::success(at(6), Action::ServerStop)))),
    ];
    entries.extend(families().into_iter().map(|family| Entry::Grant(Box::new(family))));
    entries
}

fn archive(stores: &Stores, kind: EntryKind) -> Arc<dyn Archive> {
    stores.archive(kind.family()).unwrap()
}

async fn import(stores: &Stores, entries: &[Entry]) {
    for kind in EntryKind::ALL {
        let of_kind: Vec<Entry> = entries.iter().filter(|entry| entry.kind() == *kind).cloned().collect();
        archive(stores, *kind).import(&of_kind).await.unwrap();
    }
}

/// By fingerprint, so that the order does not matter and a difference is shown.
fn by_fingerprint(entries: Vec<Entry>) -> BTreeMap<[u8; 32], Entry> {
    let number = entries.len();
    let map: BTreeMap<_, _> = entries.into_iter().map(|entry| (entry.fingerprint(), entry)).collect();
    assert_eq!(map.len(), number, "something comes twice");
    map
}

async fn export(stores: &Stores, part: u32) -> BTreeMap<[u8; 32], Entry> {
    let mut all = Vec::new();
    for kind in EntryKind::ALL {
        let archive = archive(stores, *kind);
        let mut cursor = None;
        loop {
            let exported = archive.export(*kind, cursor.as_deref(), part).await.unwrap();
            assert!(exported.entries.iter().all(|entry| entry.kind() == *kind));
            all.extend(exported.entries);
            match exported.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
    }
    by_fingerprint(all)
}

async fn what_is_imported_is_what_is_exported(stores: Stores) {
    import(&stores, &everything()).await;
    let whole = export(&stores, 1_000).await;
    assert_eq!(whole, by_fingerprint(everything()));
    assert_eq!(export(&stores, 2).await, whole, "in small parts");
    for kind in EntryKind::ALL {
        let expected = whole.values().filter(|entry| entry.kind() == *kind).count() as u64;
        assert_eq!(archive(&stores, *kind).count(*kind).await.unwrap(), expected, "{kind}");
    }
}

async fn importing_again_changes_nothing(stores: Stores) {
    for _ in 0..2 {
        import(&stores, &everything()).await;
    }
    assert_eq!(export(&stores, 1_000).await, by_fingerprint(everything()));
}

async fn importing_replaces_what_has_the_same_name(stores: Stores) {
    import(&stores, &everything()).await;
    let mut newer = family("rotated");
    newer.grant.revocation = Some(revocation(at(20)));
    let newer = [
        Entry::Grant(Box::new(newer)),
        Entry::Client(Box::new(client("full"))),
        Entry::RemovedClient { id: client_id("dynamic"), reason: Removal::Itself, at: at(3) },
        Entry::User(gateward::domain::account::User { status: UserStatus::Disabled, ..user("user") }),
    ];
    import(&stores, &newer).await;
    let found = export(&stores, 1_000).await;
    assert_eq!(found.len(), everything().len());
    for entry in &newer {
        assert_eq!(found.get(&entry.fingerprint()), Some(entry));
    }
    assert_eq!(stores.tokens.find_refresh(&refresh_token("third").digest).await.unwrap(), None);
}

async fn what_was_imported_is_found(stores: Stores) {
    import(&stores, &everything()).await;
    for wanted in [client("client"), dynamic_client("dynamic"), full_client("full")] {
        let found = stores.clients.find(&wanted.id).await.unwrap();
        assert_eq!(found, Some(ClientEntry::Registered(Arc::new(wanted))));
    }
    assert_eq!(stores.clients.insert(&client("gone"), None).await.unwrap(), Insertion::Taken);
    let limit = stores.clients.insert(&dynamic_client("one-more"), Some(2)).await.unwrap();
    assert_eq!(limit, Insertion::LimitReached, "imported dynamic clients count");
    assert_eq!(stores.clients.list(Page { after: None, limit: 10 }).await.unwrap().len(), 3);

    let rotated = stores.tokens.find_refresh(&refresh_token("rotated").digest).await.unwrap().unwrap();
    assert!(matches!(rotated.state, RefreshState::Rotated(rotated) if rotated.successor_used));
    let second = stores.tokens.find_refresh(&refresh_token("second").digest).await.unwrap().unwrap();
    assert!(matches!(second.state, RefreshState::Rotated(rotated) if !rotated.successor_used));
    for (name, grant) in [("of-rotated", Some("rotated")), ("alone", None)] {
        let access = access_token(name, grant);
        let found = stores.tokens.find_access(&access.digest).await.unwrap();
        assert_eq!(found, Some((access.token, Standing::Good)));
    }
    let (_, standing) = stores.tokens.find_access(&access_token("revoked-alone", None).digest).await.unwrap().unwrap();
    assert_eq!(standing, Standing::Revoked);
    assert_eq!(stores.tokens.use_once(single("assertion"), at(0)).await.unwrap(), Use::Again);
    let revoked = stores.tokens.find_grant(&grant_id("revoked")).await.unwrap().unwrap();
    assert_eq!(revoked.revocation, Some(revocation(at(9))));

    let found = stores.accounts.find_user_by_name(&username("user")).await.unwrap();
    assert_eq!(found, Some(user("user")));
    let browser = session("browser", "user");
    let found = stores.accounts.find_session(&browser.digest).await.unwrap();
    assert_eq!(found, Some((browser, user("user"))));
    let wanted = consent("mcp:read mcp:write");
    let agreed = stores.accounts.consented(&wanted.user_id, &wanted.client_id, &wanted.resource).await.unwrap();
    assert_eq!(agreed, wanted.scope);
    let failures = stores.accounts.failures(&ReplayId::of(&[b"login"]), at(0)).await.unwrap();
    assert_eq!(failures, Some((3, at(900))));
    let mut keys: Vec<_> = stores.keys.list().await.unwrap().into_iter().map(|key| key.id.to_string()).collect();
    keys.sort();
    assert_eq!(keys, ["new", "old"]);
}

async fn what_was_imported_goes_on_living(stores: Stores) {
    import(&stores, &everything()).await;
    let fresh = verified_code(stores.tokens.find_code(&code("fresh").digest).await.unwrap().unwrap());
    let redeemed = stores.tokens.redeem(&fresh, &Default::default(), at(1)).await.unwrap();
    assert_eq!(redeemed, Redemption::Redeemed);
    let third = stores.tokens.find_refresh(&refresh_token("third").digest).await.unwrap().unwrap();
    let rotated = stores.tokens.rotate(&verified_refresh(third), b"", &Default::default(), at(4)).await.unwrap();
    assert_eq!(rotated, Rotation::Rotated);

    let lives = GrantFilter { live_at: Some(at(0)), ..GrantFilter::default() };
    let live = stores.tokens.list_grants(&lives, Page { after: None, limit: 100 }).await.unwrap();
    assert_eq!(live.len(), families().len() - 1, "all but the revoked one");
    let owner = Owner::Client(client_id("client"));
    let revoked = stores.tokens.revoke_grants_of(&owner, revocation(at(5)).reason, at(5)).await.unwrap();
    assert_eq!(revoked, live.len() as u64);
    assert!(stores.accounts.set_status(&user_id("user"), UserStatus::Disabled).await.unwrap());
    let browser: Digest<SessionToken> = session("browser", "user").digest;
    assert_eq!(stores.accounts.find_session(&browser).await.unwrap(), None);

    let late = at(2 * REFRESH_LIFETIME);
    while stores.tokens.purge(late, 1_000).await.unwrap() > 0 {}
    for kind in EntryKind::ALL.iter().filter(|kind| kind.family() == Family::Tokens) {
        assert_eq!(archive(&stores, *kind).count(*kind).await.unwrap(), 0, "{kind}");
    }
}

/// Copies and returns what was said meanwhile.
async fn copied(from: &Stores, to: &Stores, start: Option<Position>) -> Result<Vec<Progress>, CopyError> {
    let mut said = Vec::new();
    let watch = &mut |progress: &Progress| {
        said.push(progress.clone());
        Ok(())
    };
    copy(from, to, EntryKind::ALL, start, watch).await.map(|()| said)
}

/// Servers write to it whatever they do, and forget what is old.
async fn an_audit_trail_may_have_more_at_the_destination_and_nothing_less(stores: Stores) {
    import(&stores, &everything()).await;
    let (other, _kept) = sqlite().await;
    let entry = |number, seconds| audit_entry(number, Event::success(at(seconds), Action::ServerStart));
    other.audit.append(&[entry(7, -100), entry(8, 5), entry(9, 100)]).await.unwrap();
    copied(&stores, &other, None).await.unwrap();
    assert_eq!(other.audit.purge(at(6), 100).await.unwrap(), 4);
    let behind_all = Position { kind: EntryKind::AuditEntry, cursor: after_the_last(&stores).await };
    let lost = copied(&stores, &other, Some(behind_all)).await.unwrap_err();
    assert!(
        matches!(&lost, CopyError::Differ { kind: EntryKind::AuditEntry, here, there } if (here.entries, there.entries) == (3, 1)),
        "{lost:?}"
    );
}

/// Where a copy of the audit trail goes on that has copied everything.
async fn after_the_last(stores: &Stores) -> Option<String> {
    let kind = EntryKind::AuditEntry;
    let mut cursor = None;
    while let Some(next) = archive(stores, kind).export(kind, cursor.as_deref(), 1).await.unwrap().next {
        cursor = Some(next);
    }
    cursor
}

async fn everything_arrives_at_sqlite_and_comes_back(stores: Stores) {
    import(&stores, &everything()).await;
    let (other, _kept) = sqlite().await;
    let said = copied(&stores, &other, None).await.unwrap();
    let verified = said.iter().filter(|progress| matches!(progress, Progress::Verified { .. })).count();
    assert_eq!(verified, EntryKind::ALL.len());
    assert_eq!(export(&other, 1_000).await, by_fingerprint(everything()));
    copied(&other, &stores, None).await.unwrap();
    assert_eq!(export(&stores, 1_000).await, by_fingerprint(everything()));
}

macro_rules! archive_contract {
    ($backend:ident, $fresh:expr) => {
        archive_contract! { [$backend, $fresh]
            what_is_imported_is_what_is_exported,
            importing_again_changes_nothing,
            importing_replaces_what_has_the_same_name,
            what_was_imported_is_found,
            what_was_imported_goes_on_living,
            everything_arrives_at_sqlite_and_comes_back,
            an_audit_trail_may_have_more_at_the_destination_and_nothing_less,
        }
    };
    ([$backend:ident, $fresh:expr] $($behaviour:ident,)+) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    let (stores, _kept) = $fresh().await;
                    super::$behaviour(stores).await;
                }
            )+
        }
    };
}

archive_contract!(in_sqlite, crate::engines::sqlite);
archive_contract!(in_postgres, crate::engines::postgres);
archive_contract!(in_redis, crate::engines::redis);
archive_contract!(in_redis_cluster, crate::engines::redis_cluster);
archive_contract!(in_postgres_and_redis, crate::engines::postgres_and_redis);

#[tokio::test]
async fn what_the_destination_held_before_is_noticed() {
    let ((from, _from), (to, _to)) = (sqlite().await, sqlite().await);
    import(&from, &everything()).await;
    to.clients.insert(&client("somebody-else"), None).await.unwrap();
    match copied(&from, &to, None).await {
        Err(CopyError::Differ { kind: EntryKind::Client, here, there }) => {
            assert_eq!((here.entries, there.entries), (3, 4))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_copy_that_was_interrupted_goes_on_where_it_stopped() {
    let ((from, _from), (to, _to)) = (sqlite().await, sqlite().await);
    import(&from, &everything()).await;
    let mut reached = None;
    let interrupt = &mut |progress: &Progress| match progress {
        Progress::Copied { next, .. } if next.kind == EntryKind::User => {
            reached = Some(next.clone());
            Err(std::io::Error::other("the plug was pulled"))
        }
        Progress::Kind { .. } | Progress::Copied { .. } | Progress::Verified { .. } => Ok(()),
    };
    let stopped = copy(&from, &to, EntryKind::ALL, None, interrupt).await;
    assert!(matches!(stopped, Err(CopyError::Watcher(_))), "{stopped:?}");
    let said = copied(&from, &to, reached).await.unwrap();
    assert!(matches!(said.first(), Some(Progress::Kind { kind: EntryKind::User, .. })), "{:?}", said.first());
    assert_eq!(export(&to, 1_000).await, by_fingerprint(everything()));
}

/// Grants whose clients refreshed every hour for a week, as many as travel together.
fn long_histories() -> Vec<Entry> {
    let history = |i: usize| {
        let name = |k: usize| format!("history-{i}-{k}");
        let rotated = |k: usize| Succession {
            at: at(1),
            sealed_successor: vec![7; 100],
            successor: Some(refresh_token(&name(k + 1)).digest),
        };
        let mut family = family(&format!("history-{i}"));
        family.refresh = (0..168).map(|k| (refresh_token(&name(k)), Some(rotated(k)))).collect();
        family.refresh.sort_by_key(|(token, _)| *token.digest.as_bytes());
        family.access = (0..168).map(|k| access_token(&name(k), Some(&format!("history-{i}")))).collect();
        family.access.sort_by_key(|access| *access.digest.as_bytes());
        Entry::Grant(Box::new(family))
    };
    (0..100).map(history).collect()
}

#[tokio::test]
async fn long_histories_arrive_in_postgres_within_the_time_of_a_call() {
    let database = engines::postgres_database().await;
    // A server on this machine is several times as fast as one behind a network.
    let stores = Stores::open(&format!("{}?statement_timeout=1s", database.url)).await.unwrap();
    let before = long_histories();
    archive(&stores, EntryKind::Grant).import(&before).await.unwrap();
    assert_eq!(export(&stores, 20).await, by_fingerprint(before));
}

/// The account was made while the copy was on its way: comparing tells, and going on is not stuck there for good.
#[tokio::test]
async fn a_session_whose_account_has_not_arrived_is_left_out() {
    for (stores, _kept) in [sqlite().await, engines::postgres().await] {
        let sessions = archive(&stores, EntryKind::Session);
        sessions.import(&[Entry::Session(session("browser", "user"))]).await.unwrap();
        assert_eq!(sessions.count(EntryKind::Session).await.unwrap(), 0);
        import(&stores, &[Entry::User(user("user")), Entry::Session(session("browser", "user"))]).await;
        assert_eq!(sessions.count(EntryKind::Session).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn memory_keeps_nothing_that_could_be_copied() {
    let (to, _kept) = sqlite().await;
    let refused = copied(&Stores::in_memory(), &to, None).await;
    assert!(matches!(refused, Err(CopyError::KeepsNothing(EntryKind::Client))), "{refused:?}");
}
