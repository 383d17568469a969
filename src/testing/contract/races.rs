//! Behaviours when many do the same thing at the same moment, possibly on several machines.
//!
//! Every contender first does what may be done ahead (look up, verify), then waits at a barrier, then acts.

use std::{
    collections::BTreeSet,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tokio::sync::Barrier;

use super::{has_access, has_refresh, issue, open_grant, redeemed_grant, rotate, verified_code, verified_refresh};
use crate::{
    domain::{
        access::Standing,
        account::{Consent, User, UserStatus},
        assertion::{ReplayId, SingleUse},
        audit::{Action, Event, Filter},
        client::{Client, ClientEntry, Removal},
        grant::{Revocation, RevocationReason},
        refresh::{RefreshState, Rotated},
    },
    port::store::{
        Addition, Creation, Insertion, Page, Recording, Redemption, Replacement, Rotation, StoreResult, Use,
    },
    protocol::jose::Algorithm,
    store::Stores,
    testing::fixture::{
        CODE_LIFETIME, NOW, RESOURCE, access_token, at, audit_entry, client, client_id, code, consent, dynamic_client,
        grant_id, key, key_id, refresh_token, resource, revocation, scope, session, token_id, user, user_id,
    },
};

const CONTENDERS: usize = 64;

/// Runs `act` once per contender, each in a task of its own; the barrier opens when all of them wait at it.
async fn race<T, F>(stores: &Stores, act: impl Fn(usize, Stores, Arc<Barrier>) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(CONTENDERS));
    let tasks: Vec<_> = (0..CONTENDERS).map(|i| tokio::spawn(act(i, stores.clone(), Arc::clone(&barrier)))).collect();
    let mut outcomes = Vec::with_capacity(CONTENDERS);
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

fn count<T: PartialEq>(outcomes: &[T], wanted: &T) -> usize {
    outcomes.iter().filter(|outcome| *outcome == wanted).count()
}

/// The pairs of contenders that race each other: one of each pair attacks.
const PAIRS: usize = CONTENDERS / 2;

/// Sixty-three of sixty-four come too late, and record nothing.
pub async fn a_code_is_redeemed_once_under_race(stores: &Stores) {
    open_grant(stores, "grant").await;
    let outcomes = race(stores, |i, stores, barrier| async move {
        let verified = verified_code(&stores, "grant").await;
        let issue = issue(&i.to_string(), Some(access_token(&i.to_string(), Some("grant"))));
        barrier.wait().await;
        stores.tokens.redeem(&verified, &issue, at(1)).await.unwrap()
    })
    .await;
    assert_eq!(count(&outcomes, &Redemption::Redeemed), 1, "{outcomes:?}");
    assert_eq!(count(&outcomes, &Redemption::AlreadyRedeemed), CONTENDERS - 1, "{outcomes:?}");
    for (i, outcome) in outcomes.iter().enumerate() {
        let won = *outcome == Redemption::Redeemed;
        assert_eq!(has_refresh(stores, &i.to_string()).await, won);
        assert_eq!(has_access(stores, &i.to_string()).await, won);
    }
}

/// Everybody else learns so, and then finds the same sealed successor: the winner's.
pub async fn a_refresh_token_is_rotated_once_under_race(stores: &Stores) {
    redeemed_grant(stores, "parent").await;
    let outcomes = race(stores, |i, stores, barrier| async move {
        let name = i.to_string();
        let verified = verified_refresh(&stores, "parent").await;
        barrier.wait().await;
        let rotation = stores.tokens.rotate(&verified, name.as_bytes(), &issue(&name, None), at(2)).await.unwrap();
        // At once, as a request that lost would.
        let found = stores.tokens.find_refresh(&refresh_token("parent").digest).await.unwrap().unwrap();
        (rotation, found.state)
    })
    .await;
    let winner = outcomes.iter().position(|(rotation, _)| *rotation == Rotation::Rotated).unwrap();
    let sealed = winner.to_string().into_bytes();
    let state = RefreshState::Rotated(Rotated { at: at(2), sealed_successor: sealed, successor_used: false });
    for (i, (rotation, found)) in outcomes.iter().enumerate() {
        assert_eq!(*rotation, if i == winner { Rotation::Rotated } else { Rotation::AlreadyRotated });
        assert_eq!(*found, state);
        assert_eq!(has_refresh(stores, &i.to_string()).await, i == winner);
    }
}

/// Revokes the grant of a pair: the odd contenders' part.
async fn attack(stores: &Stores, grant: &str) {
    assert!(stores.tokens.revoke_grant(&grant_id(grant), revocation(at(5))).await.unwrap());
}

/// Whoever was first: afterwards nothing that hangs off the grant works.
async fn assert_dead(stores: &Stores, grant: &str, child: &str, recorded: bool) {
    assert_eq!(has_refresh(stores, child).await, recorded);
    let found = stores.tokens.find_refresh(&refresh_token(child).digest).await.unwrap();
    assert!(found.is_none_or(|found| !found.grant.is_active()));
    let access = access_token(child, Some(grant));
    let found = stores.tokens.find_access(&access.digest).await.unwrap();
    assert_eq!(found, recorded.then_some((access.token, Standing::Revoked)));
    let standing = stores.tokens.standing(&token_id("jwt"), Some(&grant_id(grant))).await.unwrap();
    assert_eq!(standing, Standing::Revoked);
    let more = stores.tokens.record_access(&access_token("more", Some(grant))).await.unwrap();
    assert_eq!(more, Recording::GrantRevoked);
}

/// A code that is redeemed while its grant ends.
pub async fn a_grant_that_is_revoked_while_its_code_is_redeemed_has_no_live_child(stores: &Stores) {
    for pair in 0..PAIRS {
        open_grant(stores, &pair.to_string()).await;
    }
    let outcomes = race(stores, |i, stores, barrier| async move {
        let grant = (i / 2).to_string();
        let verified = verified_code(&stores, &grant).await;
        let issue = issue(&grant, Some(access_token(&grant, Some(&grant))));
        barrier.wait().await;
        if i % 2 == 0 {
            return Some(stores.tokens.redeem(&verified, &issue, at(5)).await.unwrap());
        }
        attack(&stores, &grant).await;
        None
    })
    .await;
    for (pair, outcome) in outcomes.into_iter().flatten().enumerate() {
        assert_ne!(outcome, Redemption::AlreadyRedeemed);
        let name = pair.to_string();
        assert_dead(stores, &name, &name, outcome == Redemption::Redeemed).await;
    }
}

/// A refresh token that is rotated while its grant ends.
pub async fn a_grant_that_is_revoked_while_a_token_is_rotated_has_no_live_child(stores: &Stores) {
    for pair in 0..PAIRS {
        redeemed_grant(stores, &pair.to_string()).await;
    }
    let outcomes = race(stores, |i, stores, barrier| async move {
        let grant = (i / 2).to_string();
        let child = format!("child-of-{grant}");
        let verified = verified_refresh(&stores, &grant).await;
        let issue = issue(&child, Some(access_token(&child, Some(&grant))));
        barrier.wait().await;
        if i % 2 == 0 {
            return Some(stores.tokens.rotate(&verified, b"sealed", &issue, at(5)).await.unwrap());
        }
        attack(&stores, &grant).await;
        None
    })
    .await;
    for (pair, outcome) in outcomes.into_iter().flatten().enumerate() {
        assert_ne!(outcome, Rotation::AlreadyRotated);
        assert_dead(stores, &pair.to_string(), &format!("child-of-{pair}"), outcome == Rotation::Rotated).await;
    }
}

/// An access token that is recorded while its grant ends.
pub async fn a_grant_that_is_revoked_while_access_is_recorded_has_no_live_child(stores: &Stores) {
    for pair in 0..PAIRS {
        open_grant(stores, &pair.to_string()).await;
    }
    let outcomes = race(stores, |i, stores, barrier| async move {
        let grant = (i / 2).to_string();
        let access = access_token(&grant, Some(&grant));
        barrier.wait().await;
        if i % 2 == 0 {
            return Some(stores.tokens.record_access(&access).await.unwrap());
        }
        attack(&stores, &grant).await;
        None
    })
    .await;
    for (pair, outcome) in outcomes.into_iter().flatten().enumerate() {
        let access = access_token(&pair.to_string(), Some(&pair.to_string()));
        let expected = (outcome == Recording::Recorded).then_some((access.token, Standing::Revoked));
        assert_eq!(stores.tokens.find_access(&access.digest).await.unwrap(), expected);
    }
}

/// The one that is told it was first is the one whose reason stays.
pub async fn a_grant_is_revoked_once_under_race(stores: &Stores) {
    open_grant(stores, "grant").await;
    let made = |i: usize| Revocation {
        at: at(i64::try_from(i).unwrap()),
        reason: if i.is_multiple_of(2) { RevocationReason::CodeReplayed } else { RevocationReason::ByClient },
    };
    let outcomes = race(stores, |i, stores, barrier| async move {
        barrier.wait().await;
        stores.tokens.revoke_grant(&grant_id("grant"), made(i)).await.unwrap()
    })
    .await;
    assert_eq!(count(&outcomes, &true), 1);
    let first = outcomes.iter().position(|first| *first).unwrap();
    let found = stores.tokens.find_grant(&grant_id("grant")).await.unwrap().unwrap();
    assert_eq!(found.revocation, Some(made(first)));
}

/// One assertion gets one token.
pub async fn a_use_is_first_once_under_race(stores: &Stores) {
    let outcomes = race(stores, |_, stores, barrier| async move {
        let single = SingleUse { id: ReplayId::of(&[b"one"]), until: at(60) };
        barrier.wait().await;
        stores.tokens.use_once(single, NOW).await.unwrap()
    })
    .await;
    assert_eq!(count(&outcomes, &Use::First), 1, "{outcomes:?}");
}

/// Clocks differ: one instance may redeem what another one takes for expired.
pub async fn a_purge_takes_a_grant_whole_or_leaves_it_under_race(stores: &Stores) {
    for pair in 0..PAIRS {
        open_grant(stores, &pair.to_string()).await;
    }
    let outcomes = race(stores, |i, stores, barrier| async move {
        let name = (i / 2).to_string();
        let verified = verified_code(&stores, &name).await;
        barrier.wait().await;
        if i % 2 == 0 {
            return Some(stores.tokens.redeem(&verified, &issue(&name, None), at(5)).await.unwrap());
        }
        stores.tokens.purge(at(CODE_LIFETIME), 2).await.unwrap();
        None
    })
    .await;
    for (pair, outcome) in outcomes.into_iter().flatten().enumerate() {
        let name = pair.to_string();
        let redeemed = outcome == Redemption::Redeemed;
        assert!(redeemed || outcome == Redemption::GrantRevoked);
        assert_eq!(has_refresh(stores, &name).await, redeemed);
        assert_eq!(stores.tokens.find_grant(&grant_id(&name)).await.unwrap().is_some(), redeemed);
        assert_eq!(stores.tokens.find_code(&code(&name).digest).await.unwrap().is_some(), redeemed);
    }
}

/// All instances notice at once that a new key is due.
pub async fn one_of_many_new_keys_is_added_under_race(stores: &Stores) {
    stores.keys.add(&key("first", Algorithm::ES256, NOW), None).await.unwrap();
    let outcomes = race(stores, |i, stores, barrier| async move {
        let key = key(&i.to_string(), Algorithm::ES256, at(10));
        barrier.wait().await;
        stores.keys.add(&key, Some(&key_id("first"))).await.unwrap()
    })
    .await;
    assert_eq!(count(&outcomes, &Addition::Added), 1, "{outcomes:?}");
    assert_eq!(stores.keys.list().await.unwrap().len(), 2);
}

/// The one that was told so is the one that is there.
pub async fn an_identifier_is_given_out_once_under_race(stores: &Stores) {
    let made = |i: usize| Client { name: Some(i.to_string()), ..client("one") };
    let outcomes = race(stores, |i, stores, barrier| async move {
        barrier.wait().await;
        stores.clients.insert(&made(i), None).await.unwrap()
    })
    .await;
    assert_eq!(count(&outcomes, &Insertion::Inserted), 1, "{outcomes:?}");
    let winner = outcomes.iter().position(|outcome| *outcome == Insertion::Inserted).unwrap();
    let found = stores.clients.find(&client_id("one")).await.unwrap();
    assert_eq!(found, Some(ClientEntry::Registered(Arc::new(made(winner)))));
}

/// A flood of registrations stops exactly at it.
pub async fn the_limit_of_dynamic_clients_holds_under_race(stores: &Stores) {
    let outcomes = race(stores, |i, stores, barrier| async move {
        let client = dynamic_client(&i.to_string());
        barrier.wait().await;
        stores.clients.insert(&client, Some(10)).await.unwrap()
    })
    .await;
    assert_eq!(count(&outcomes, &Insertion::Inserted), 10, "{outcomes:?}");
    assert_eq!(count(&outcomes, &Insertion::LimitReached), CONTENDERS - 10, "{outcomes:?}");
    let all = Page { after: None, limit: 100 };
    assert_eq!(stores.clients.list(all).await.unwrap().len(), 10);
}

/// Nobody overwrites what they have not seen.
pub async fn one_of_many_replacements_wins_under_race(stores: &Stores) {
    stores.clients.insert(&client("one"), None).await.unwrap();
    let made = |i: usize| Client { name: Some(i.to_string()), ..client("one") };
    let outcomes = race(stores, |i, stores, barrier| async move {
        barrier.wait().await;
        stores.clients.replace(&made(i)).await.unwrap()
    })
    .await;
    assert_eq!(count(&outcomes, &Replacement::Replaced), 1, "{outcomes:?}");
    assert_eq!(count(&outcomes, &Replacement::Conflict), CONTENDERS - 1, "{outcomes:?}");
    let winner = outcomes.iter().position(|outcome| *outcome == Replacement::Replaced).unwrap();
    let expected = Client { version: 1, ..made(winner) };
    let found = stores.clients.find(&client_id("one")).await.unwrap();
    assert_eq!(found, Some(ClientEntry::Registered(Arc::new(expected))));
}

/// A client whose use was noted is there to be used.
pub async fn a_client_is_reaped_or_touched_and_never_both_under_race(stores: &Stores) {
    for pair in 0..PAIRS {
        stores.clients.insert(&dynamic_client(&pair.to_string()), None).await.unwrap();
    }
    let outcomes = race(stores, |i, stores, barrier| async move {
        let client = dynamic_client(&(i / 2).to_string());
        barrier.wait().await;
        if i % 2 == 0 {
            stores.clients.reap(&client, Removal::NeverAuthorized, at(5)).await.unwrap()
        } else {
            stores.clients.touch(&client.id, at(5)).await.unwrap()
        }
    })
    .await;
    for (pair, outcome) in outcomes.chunks_exact(2).enumerate() {
        let (reaped, touched) = (outcome[0], outcome[1]);
        assert_ne!(reaped, touched);
        let found = stores.clients.find(&client_id(&pair.to_string())).await.unwrap().unwrap();
        let expected = if reaped {
            ClientEntry::Removed { reason: Removal::NeverAuthorized, at: at(5) }
        } else {
            let last_used_at = Some(at(5));
            ClientEntry::Registered(Arc::new(Client { last_used_at, ..dynamic_client(&pair.to_string()) }))
        };
        assert_eq!(found, expected);
    }
}

/// Whatever identifiers were drawn for it.
pub async fn a_login_name_is_taken_once_under_race(stores: &Stores) {
    let outcomes = race(stores, |i, stores, barrier| async move {
        let user = User { id: user_id(&i.to_string()), ..user("ada") };
        barrier.wait().await;
        stores.accounts.create_user(&user).await.unwrap()
    })
    .await;
    assert_eq!(count(&outcomes, &Creation::Created), 1, "{outcomes:?}");
    let winner = outcomes.iter().position(|outcome| *outcome == Creation::Created).unwrap();
    let found = stores.accounts.find_user_by_name(&user("ada").username).await.unwrap().unwrap();
    assert_eq!(found.id, user_id(&winner.to_string()));
    assert_eq!(stores.accounts.list_users(Page { after: None, limit: 100 }).await.unwrap().len(), 1);
}

/// A login that succeeds at the moment of disabling gains nothing.
pub async fn no_session_outlives_the_disabling_of_its_account_under_race(stores: &Stores) {
    stores.accounts.create_user(&user("ada")).await.unwrap();
    race(stores, |i, stores, barrier| async move {
        barrier.wait().await;
        if i == CONTENDERS / 2 {
            assert!(stores.accounts.set_status(&user_id("ada"), UserStatus::Disabled).await.unwrap());
        } else {
            stores.accounts.open_session(&session(&i.to_string(), "ada"), None).await.unwrap();
        }
    })
    .await;
    for i in 0..CONTENDERS {
        let found = stores.accounts.find_session(&session(&i.to_string(), "ada").digest).await.unwrap();
        assert_eq!(found, None);
    }
}

/// Two tabs that ask for different scopes both count.
pub async fn consents_add_up_under_race(stores: &Stores) {
    race(stores, |i, stores, barrier| async move {
        let consent = Consent { scope: scope(&format!("s{i}")), ..consent("") };
        barrier.wait().await;
        stores.accounts.add_consent(&consent).await.unwrap();
    })
    .await;
    let (user, client, resource) = (user_id("user"), client_id("client"), resource(RESOURCE));
    let found = stores.accounts.consented(&user, &client, &resource).await.unwrap();
    let all: Vec<_> = (0..CONTENDERS).map(|i| format!("s{i}")).collect();
    assert_eq!(found, scope(&all.join(" ")));
}

/// Instances write to one trail at the same time, and one of them may write twice.
pub async fn entries_that_several_append_at_once_are_all_there_under_race(stores: &Stores) {
    let entry = |number| audit_entry(number, Event::success(NOW, Action::UserLogin));
    race(stores, |i, stores, barrier| async move {
        let entries = [entry(0), entry(1 + i as u64)];
        barrier.wait().await;
        stores.audit.append(&entries).await.unwrap();
    })
    .await;
    let page = Page { after: None, limit: 1_000 };
    let mut found = stores.audit.list(&Filter::default(), page).await.unwrap();
    found.reverse();
    assert_eq!(found, (0..=CONTENDERS as u64).map(entry).collect::<Vec<_>>());
}

/// Each guess of a flood is told a number of its own.
pub async fn failures_are_counted_exactly_under_race(stores: &Stores) {
    let key = ReplayId::of(&[b"ada"]);
    let outcomes = race(stores, |_, stores, barrier| async move {
        barrier.wait().await;
        stores.accounts.count_failure(&key, at(60), NOW).await.unwrap()
    })
    .await;
    let contenders = u32::try_from(CONTENDERS).unwrap();
    assert_eq!(outcomes.into_iter().collect::<BTreeSet<_>>(), (1..=contenders).collect());
    assert_eq!(stores.accounts.failures(&key, NOW).await.unwrap(), Some((contenders, at(60))));
}

/// Polls a call a few times and then drops it, as the server does with a request whose client hangs up.
async fn hang_up<T: Send>(call: impl Future<Output = StoreResult<T>> + Send, polls: usize) -> Option<T> {
    let mut call = pin!(call);
    for _ in 0..polls {
        let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        match polled {
            Poll::Ready(outcome) => return Some(outcome.unwrap()),
            Poll::Pending => tokio::task::yield_now().await,
        }
    }
    None
}

/// At whatever point a client hangs up: no transaction stays open, nothing is half applied, and whoever comes after finds a
/// store that works.
pub async fn a_call_that_is_dropped_midway_happens_entirely_or_not_at_all(stores: &Stores) {
    for i in 0..CONTENDERS {
        let (name, polls) = (i.to_string(), i % 8);
        open_grant(stores, &name).await;
        let code = verified_code(stores, &name).await;
        let dropped = issue(&format!("dropped-{i}"), Some(access_token(&format!("access-{i}"), Some(&name))));
        let heard = hang_up(stores.tokens.redeem(&code, &dropped, at(1)), polls).await;
        // The same request again, as the client would. Its outcome decides what became of the first one.
        let again = stores.tokens.redeem(&code, &issue(&name, None), at(2)).await.unwrap();
        let happened = again == Redemption::AlreadyRedeemed;
        assert!(heard.is_none() || happened);
        assert_eq!(has_refresh(stores, &format!("dropped-{i}")).await, happened);
        assert_eq!(has_access(stores, &format!("access-{i}")).await, happened);
        assert_eq!(has_refresh(stores, &name).await, !happened);

        let parent = if happened { format!("dropped-{i}") } else { name };
        let child = format!("child-{i}");
        let refresh = verified_refresh(stores, &parent).await;
        hang_up(stores.tokens.rotate(&refresh, b"sealed", &issue(&child, None), at(3)), polls).await;
        let again = stores.tokens.rotate(&refresh, b"again", &issue(&format!("again-{i}"), None), at(4)).await.unwrap();
        let happened = again == Rotation::AlreadyRotated;
        assert_eq!(has_refresh(stores, &child).await, happened);
        assert_eq!(has_refresh(stores, &format!("again-{i}")).await, !happened);
        let current = if happened { child } else { format!("again-{i}") };
        assert_eq!(rotate(stores, &current, &format!("last-{i}"), 5).await, Rotation::Rotated);
    }
}
