//! The double-spend property, from the outside: 64 clients use grants at the same time, everything that they call and hear is
//! written down, and a checker looks for an order in which a store with one thread would have answered the same. A code or a
//! refresh token that was spent twice, a revocation that came undone, a successor that two lines share: none has such an order.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod checker;
#[path = "../support/engines.rs"]
mod engines;

use std::{collections::BTreeMap, sync::Arc};

use gateward::{
    domain::{access::Standing, code::VerifiedCode, refresh::RefreshState},
    port::store::{Issue, Redemption, Rotation, StoreResult},
    store::Stores,
    testing::{
        contract::broken,
        fixture::{
            REFRESH_LIFETIME, at, code, grant, grant_id, refresh_token, revocation, token_id, verified_code,
            verified_refresh,
        },
    },
};
use tokio::{sync::Barrier, task::JoinSet};

use crate::checker::{Event, Model, Ticks, is_linearizable};

/// How many clients share a grant, and how many such groups there are: 64 clients.
const SHARE: usize = 8;
const GROUPS: usize = 8;
/// How many grants a group uses, one after the other, and how often each client turns to each.
const GRANTS: usize = 26;
const TURNS: usize = 7;
/// What the history must have at least.
const OPERATIONS: usize = 10_000;

/// The name of a refresh token of a grant.
type Name = u32;

/// One grant in a store with one thread.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct GrantModel {
    code_spent: bool,
    revoked: bool,
    /// Each refresh token with its successor, once it has one.
    tokens: BTreeMap<Name, Option<Name>>,
}

#[derive(Debug, Clone)]
enum Operation {
    Redeem { to: Name },
    Rotate { from: Name, to: Name },
    Revoke,
    FindCode,
    FindRefresh(Name),
    Standing,
}

#[derive(Debug, Clone, PartialEq)]
enum Answer {
    Redeem(Redemption),
    Rotate(Rotation),
    Revoke(bool),
    Code {
        spent: bool,
        active: bool,
    },
    /// `None`: there is no such token.
    Refresh(Option<Seen>),
    Standing(Standing),
}

#[derive(Debug, Clone, PartialEq)]
struct Seen {
    active: bool,
    successor: Option<Name>,
    successor_used: bool,
}

impl Model for GrantModel {
    type Operation = Operation;
    type Answer = Answer;

    fn apply(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::Redeem { to } => Answer::Redeem(if self.code_spent {
                Redemption::AlreadyRedeemed
            } else if self.revoked {
                Redemption::GrantRevoked
            } else {
                self.code_spent = true;
                self.tokens.insert(*to, None);
                Redemption::Redeemed
            }),
            Operation::Rotate { from, to } => Answer::Rotate(match self.tokens.get(from) {
                _ if self.revoked => Rotation::GrantRevoked,
                None => Rotation::GrantRevoked,
                Some(Some(_)) => Rotation::AlreadyRotated,
                Some(None) => {
                    self.tokens.insert(*from, Some(*to));
                    self.tokens.insert(*to, None);
                    Rotation::Rotated
                }
            }),
            Operation::Revoke => Answer::Revoke(!std::mem::replace(&mut self.revoked, true)),
            Operation::FindCode => Answer::Code { spent: self.code_spent, active: !self.revoked },
            Operation::FindRefresh(name) => Answer::Refresh(self.tokens.get(name).map(|successor| Seen {
                active: !self.revoked,
                successor: *successor,
                successor_used: successor.is_some_and(|next| self.tokens.get(&next).copied().flatten().is_some()),
            })),
            Operation::Standing => Answer::Standing(if self.revoked { Standing::Revoked } else { Standing::Good }),
        }
    }
}

/// A client at one grant.
struct Client {
    stores: Stores,
    ticks: Arc<Ticks>,
    grant: String,
    /// Names of its own for what it issues.
    next: Name,
    events: Vec<Event<GrantModel>>,
}

impl Client {
    fn token(&self, name: Name) -> String {
        format!("{}/{name}", self.grant)
    }

    fn issue(&mut self) -> (Name, Issue) {
        self.next += 1;
        let refresh = refresh_token(&self.token(self.next));
        let issue = Issue { refresh: Some(refresh), access: None, grant_expires_at: Some(at(REFRESH_LIFETIME)) };
        (self.next, issue)
    }

    /// Writes down a call and its return; the answer, unless the store failed.
    async fn call(
        &mut self,
        operation: Operation,
        running: impl Future<Output = StoreResult<Answer>>,
    ) -> Option<Answer> {
        let called = self.ticks.next();
        let answer = running.await.ok();
        let returned = answer.clone().map(|answer| (self.ticks.next(), answer));
        self.events.push(Event { called, returned, operation });
        answer
    }

    async fn redeem(&mut self, verified: &VerifiedCode<'_>) {
        let (to, issue) = self.issue();
        let stores = self.stores.clone();
        let redeem = async { stores.tokens.redeem(verified, &issue, at(1)).await.map(Answer::Redeem) };
        self.call(Operation::Redeem { to }, redeem).await;
    }

    /// Looks a token up and, if it is current, rotates it. Returns where its line goes on.
    async fn rotate(&mut self, from: Name) -> Option<Name> {
        let stores = self.stores.clone();
        let digest = refresh_token(&self.token(from)).digest;
        let mut record = None;
        let find = async {
            let found = stores.tokens.find_refresh(&digest).await?;
            record = found.clone();
            Ok(Answer::Refresh(found.map(|found| {
                let active = found.grant.is_active();
                let (successor, successor_used) = match found.state {
                    RefreshState::Current => (None, false),
                    RefreshState::Rotated(rotated) => {
                        let name = String::from_utf8(rotated.sealed_successor).unwrap().parse().unwrap();
                        (Some(name), rotated.successor_used)
                    }
                };
                Seen { active, successor, successor_used }
            })))
        };
        let seen = match self.call(Operation::FindRefresh(from), find).await {
            Some(Answer::Refresh(Some(seen))) => seen,
            _ => return None,
        };
        if seen.successor.is_some() || !seen.active {
            return seen.successor;
        }
        let verified = verified_refresh(record?);
        let (to, issue) = self.issue();
        let rotate = async {
            let sealed = to.to_string();
            stores.tokens.rotate(&verified, sealed.as_bytes(), &issue, at(2)).await.map(Answer::Rotate)
        };
        match self.call(Operation::Rotate { from, to }, rotate).await {
            Some(Answer::Rotate(Rotation::Rotated)) => Some(to),
            _ => Some(from),
        }
    }

    async fn look(&mut self, at_the_code: bool) {
        let (stores, grant) = (self.stores.clone(), self.grant.clone());
        if at_the_code {
            let find = async {
                let found = stores.tokens.find_code(&code(&grant).digest).await?.unwrap();
                Ok(Answer::Code { spent: found.spent_at.is_some(), active: found.grant.is_active() })
            };
            self.call(Operation::FindCode, find).await;
        } else {
            let id = grant_id(&grant);
            let standing = async { stores.tokens.standing(&token_id("jwt"), Some(&id)).await.map(Answer::Standing) };
            self.call(Operation::Standing, standing).await;
        }
    }

    async fn revoke(&mut self) {
        let (stores, id) = (self.stores.clone(), grant_id(&self.grant));
        let revoke = async { stores.tokens.revoke_grant(&id, revocation(at(3))).await.map(Answer::Revoke) };
        self.call(Operation::Revoke, revoke).await;
    }

    /// Some turns at a grant, with its code in hand; what it does depends on who it is and nothing else.
    async fn visit(mut self, number: usize, verified: VerifiedCode<'static>) -> Vec<Event<GrantModel>> {
        self.redeem(&verified).await;
        // Whoever redeemed it, one of these is the first token.
        let mut tip = None;
        for turn in 0..TURNS {
            match tip {
                None => {
                    for first in (0..SHARE).map(|client| client as Name * 1_000 + 1) {
                        if let Some(next) = self.rotate(first).await {
                            tip = Some(next);
                            break;
                        }
                    }
                }
                Some(name) => tip = self.rotate(name).await.or(tip),
            }
            self.look((turn + number).is_multiple_of(2)).await;
            if turn == TURNS - 2 && number == 0 {
                self.revoke().await;
            }
        }
        self.events
    }
}

/// Every grant's history.
async fn histories(stores: &Stores, groups: usize, grants: usize) -> Vec<(String, Vec<Event<GrantModel>>)> {
    let ticks = Arc::new(Ticks::default());
    let mut running = JoinSet::new();
    for group in 0..groups {
        let (stores, ticks) = (stores.clone(), ticks.clone());
        running.spawn(async move {
            let mut histories = Vec::new();
            for number in 0..grants {
                let name = format!("grant-{group}-{number}");
                stores.tokens.open_grant(&grant(&name), &code(&name)).await.unwrap();
                let events = share(&stores, &ticks, &name).await;
                histories.push((name, events));
            }
            histories
        });
    }
    running.join_all().await.into_iter().flatten().collect()
}

/// Some clients at one grant, all of which saw its code unspent.
async fn share(stores: &Stores, ticks: &Arc<Ticks>, name: &str) -> Vec<Event<GrantModel>> {
    let barrier = Arc::new(Barrier::new(SHARE));
    let mut clients = JoinSet::new();
    for number in 0..SHARE {
        let record = stores.tokens.find_code(&code(name).digest).await.unwrap().unwrap();
        let client = Client {
            stores: stores.clone(),
            ticks: ticks.clone(),
            grant: name.to_owned(),
            next: number as Name * 1_000,
            events: Vec::new(),
        };
        let barrier = barrier.clone();
        clients.spawn(async move {
            let verified = verified_code(record);
            barrier.wait().await;
            client.visit(number, verified).await
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

/// The first grant whose history has no order.
fn first_disorder(histories: &[(String, Vec<Event<GrantModel>>)]) -> Option<&(String, Vec<Event<GrantModel>>)> {
    histories.iter().find(|(_, events)| !is_linearizable(events))
}

async fn every_history_has_an_order(stores: Stores) {
    let histories = histories(&stores, GROUPS, GRANTS).await;
    let events: usize = histories.iter().map(|(_, events)| events.len()).sum();
    assert!(events >= OPERATIONS, "only {events} operations");
    assert!(histories.iter().flat_map(|(_, events)| events).all(|event| event.returned.is_some()), "a store failed");
    let told = first_disorder(&histories).map(|(grant, events)| {
        let mut events = events.clone();
        events.sort_by_key(|event| event.called);
        let told: Vec<String> = events.iter().map(|event| format!("{event:?}")).collect();
        format!("{grant}:\n{}", told.join("\n"))
    });
    assert!(told.is_none(), "no order explains {}", told.unwrap_or_default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_memory_every_history_has_an_order() {
    every_history_has_an_order(Stores::in_memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_sqlite_every_history_has_an_order() {
    let (stores, _kept) = engines::sqlite().await;
    every_history_has_an_order(stores).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_postgres_every_history_has_an_order() {
    let (stores, _kept) = engines::postgres().await;
    every_history_has_an_order(stores).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_redis_every_history_has_an_order() {
    let (stores, _kept) = engines::redis().await;
    every_history_has_an_order(stores).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_redis_cluster_every_history_has_an_order() {
    let (stores, _kept) = engines::redis_cluster().await;
    every_history_has_an_order(stores).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_postgres_and_redis_every_history_has_an_order() {
    let (stores, _kept) = engines::postgres_and_redis().await;
    every_history_has_an_order(stores).await;
}

#[tokio::test]
async fn a_store_that_spends_twice_is_found_out() {
    for broken in [broken::forgetful(), broken::double_spending()] {
        assert!(first_disorder(&histories(&broken, 1, 4).await).is_some());
    }
}
