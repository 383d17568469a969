//! Grants in memory. A grant and everything that hangs off it are one family in one shard, so one lock makes a redemption,
//! a rotation or a revocation one step; the maps from digests to grants are indexes.

use std::collections::{HashMap, hash_map::Entry};

use async_trait::async_trait;

use super::{Budget, Shards, paged, taken};
use crate::{
    domain::{
        access::{AccessToken, OpaqueRecord, Standing},
        assertion::{ReplayId, SingleUse},
        code::{CodeRecord, NewCode, VerifiedCode},
        credential::{AuthorizationCode, Digest, OpaqueAccessToken, RefreshToken},
        grant::{Grant, Revocation, RevocationReason},
        identifier::{ClientId, GrantId, TokenId},
        refresh::{NewRefresh, RefreshRecord, RefreshState, Rotated, VerifiedRefresh},
        time::Timestamp,
    },
    port::store::{GrantFilter, Issue, Owner, Page, Recording, Redemption, Rotation, StoreResult, TokenStore, Use},
};

/// A grant with everything that hangs off it.
struct Family {
    grant: Grant,
    /// With the time when it was spent. `None` once it is purged.
    code: Option<(NewCode, Option<Timestamp>)>,
    refresh: HashMap<Digest<RefreshToken>, Token>,
    access: HashMap<Digest<OpaqueAccessToken>, AccessToken>,
}

struct Token {
    issued: NewRefresh,
    rotation: Option<Succession>,
}

struct Succession {
    at: Timestamp,
    sealed_successor: Vec<u8>,
    successor: Option<Digest<RefreshToken>>,
}

impl Family {
    fn was_rotated(&self, digest: &Digest<RefreshToken>) -> bool {
        self.refresh.get(digest).is_some_and(|token| token.rotation.is_some())
    }

    fn lives_until(&mut self, end: Timestamp) {
        self.grant.expires_at = self.grant.expires_at.max(end);
    }
}

/// Where an opaque access token is.
#[derive(Clone)]
enum Home {
    Grant(GrantId),
    /// It hangs off no grant.
    Alone(Box<AccessToken>),
}

/// See [`TokenStore`].
#[derive(Default)]
pub(in crate::store) struct MemoryTokens {
    families: Shards<GrantId, Family>,
    /// Index.
    codes: Shards<Digest<AuthorizationCode>, GrantId>,
    /// Index.
    refresh: Shards<Digest<RefreshToken>, GrantId>,
    /// Index, and home of those without a grant.
    access: Shards<Digest<OpaqueAccessToken>, Home>,
    revoked_access: Shards<TokenId, Timestamp>,
    uses: Shards<ReplayId, Timestamp>,
}

impl MemoryTokens {
    fn with_family<T>(&self, id: &GrantId, look: impl FnOnce(&mut Family) -> Option<T>) -> Option<T> {
        self.families.of(id).get_mut(id).and_then(look)
    }

    /// Records what is issued under a family whose lock the caller holds.
    fn record(&self, family: &mut Family, issue: &Issue) {
        let id = &family.grant.id;
        if let Some(refresh) = &issue.refresh {
            self.refresh.insert(refresh.digest, id.clone());
            family.refresh.insert(refresh.digest, Token { issued: refresh.clone(), rotation: None });
        }
        if let Some(access) = &issue.access {
            self.access.insert(access.digest, Home::Grant(id.clone()));
            family.access.insert(access.digest, access.token.clone());
        }
        if let Some(end) = issue.grant_expires_at {
            family.lives_until(end);
        }
    }

    fn revoke(family: &mut Family, revocation: Revocation) -> bool {
        let first = family.grant.is_active();
        family.grant.revocation.get_or_insert(revocation);
        first
    }

    /// Takes the names of a family out of the indexes; the caller holds its lock.
    fn unlist(&self, family: &Family) {
        if let Some((code, _)) = &family.code {
            self.codes.remove(&code.digest);
        }
        for digest in family.refresh.keys() {
            self.refresh.remove(digest);
        }
        for digest in family.access.keys() {
            self.access.remove(digest);
        }
    }
}

/// What a purge may still remove below grants.
struct Budgets {
    grants: Budget,
    codes: Budget,
    refresh: Budget,
    access: Budget,
}

impl MemoryTokens {
    /// Forgets what is over in one family. `false` if nothing is left that could make a difference.
    fn prune(&self, family: &mut Family, budgets: &mut Budgets, now: Timestamp) -> bool {
        if family.grant.expires_at.is_over(now) && budgets.grants.take() {
            self.unlist(family);
            return false;
        }
        family.access.retain(|digest, token| {
            let goes = token.expires_at.is_over(now) && budgets.access.take();
            if goes {
                self.access.remove(digest);
            }
            !goes
        });
        family.refresh.retain(|digest, token| {
            let goes = token.issued.expires_at.is_over(now) && budgets.refresh.take();
            if goes {
                self.refresh.remove(digest);
            }
            !goes
        });
        match &family.code {
            Some((code, None)) if code.expires_at.is_over(now) && budgets.codes.take() => {
                self.codes.remove(&code.digest);
                family.code = None;
                !(family.refresh.is_empty() && family.access.is_empty())
            }
            Some(_) | None => true,
        }
    }
}

#[async_trait]
impl TokenStore for MemoryTokens {
    async fn open_grant(&self, grant: &Grant, code: &NewCode) -> StoreResult<()> {
        match self.families.of(&grant.id).entry(grant.id.clone()) {
            Entry::Occupied(_) => Err(taken("grant")),
            Entry::Vacant(place) => {
                match self.codes.of(&code.digest).entry(code.digest) {
                    Entry::Occupied(_) => return Err(taken("code")),
                    Entry::Vacant(index) => index.insert(grant.id.clone()),
                };
                place.insert(Family {
                    grant: grant.clone(),
                    code: Some((code.clone(), None)),
                    refresh: HashMap::new(),
                    access: HashMap::new(),
                });
                Ok(())
            }
        }
    }

    async fn find_code(&self, digest: &Digest<AuthorizationCode>) -> StoreResult<Option<CodeRecord>> {
        let Some(id) = self.codes.get(digest) else { return Ok(None) };
        Ok(self.with_family(&id, |family| {
            let (code, spent_at) = family.code.as_ref().filter(|(code, _)| code.digest == *digest)?;
            Some(CodeRecord { code: code.clone(), grant: family.grant.clone(), spent_at: *spent_at })
        }))
    }

    async fn redeem(&self, code: &VerifiedCode<'_>, issue: &Issue, now: Timestamp) -> StoreResult<Redemption> {
        let outcome = self.with_family(&code.grant().id, |family| {
            let active = family.grant.is_active();
            let (_, spent_at) = family.code.as_mut().filter(|(known, _)| known.digest == *code.digest())?;
            if spent_at.is_some() {
                return Some(Redemption::AlreadyRedeemed);
            }
            if !active {
                return Some(Redemption::GrantRevoked);
            }
            *spent_at = Some(now);
            self.record(family, issue);
            Some(Redemption::Redeemed)
        });
        // A code that was purged since it was found is as good as one whose grant ended.
        Ok(outcome.unwrap_or(Redemption::GrantRevoked))
    }

    async fn find_refresh(&self, digest: &Digest<RefreshToken>) -> StoreResult<Option<RefreshRecord>> {
        let Some(id) = self.refresh.get(digest) else { return Ok(None) };
        Ok(self.with_family(&id, |family| {
            let token = family.refresh.get(digest)?;
            let state = match &token.rotation {
                None => RefreshState::Current,
                Some(rotation) => RefreshState::Rotated(Rotated {
                    at: rotation.at,
                    sealed_successor: rotation.sealed_successor.clone(),
                    successor_used: rotation.successor.as_ref().is_some_and(|next| family.was_rotated(next)),
                }),
            };
            Some(RefreshRecord { token: token.issued.clone(), grant: family.grant.clone(), state })
        }))
    }

    async fn rotate(
        &self,
        refresh: &VerifiedRefresh<'_>,
        sealed_successor: &[u8],
        issue: &Issue,
        now: Timestamp,
    ) -> StoreResult<Rotation> {
        let outcome = self.with_family(&refresh.grant().id, |family| {
            let active = family.grant.is_active();
            let token = family.refresh.get_mut(refresh.digest())?;
            if !active {
                return Some(Rotation::GrantRevoked);
            }
            if token.rotation.is_some() {
                return Some(Rotation::AlreadyRotated);
            }
            token.rotation = Some(Succession {
                at: now,
                sealed_successor: sealed_successor.to_vec(),
                successor: issue.refresh.as_ref().map(|next| next.digest),
            });
            self.record(family, issue);
            Some(Rotation::Rotated)
        });
        Ok(outcome.unwrap_or(Rotation::GrantRevoked))
    }

    async fn record_access(&self, access: &OpaqueRecord) -> StoreResult<Recording> {
        let Some(id) = access.token.grant_id() else {
            self.access.insert(access.digest, Home::Alone(Box::new(access.token.clone())));
            return Ok(Recording::Recorded);
        };
        let issue =
            Issue { access: Some(access.clone()), grant_expires_at: Some(access.token.expires_at), refresh: None };
        let recorded = self.with_family(id, |family| family.grant.is_active().then(|| self.record(family, &issue)));
        Ok(recorded.map_or(Recording::GrantRevoked, |()| Recording::Recorded))
    }

    async fn find_access(&self, digest: &Digest<OpaqueAccessToken>) -> StoreResult<Option<(AccessToken, Standing)>> {
        let home = self.access.get(digest);
        let found = match home {
            None => None,
            Some(Home::Alone(token)) => Some((*token, true)),
            Some(Home::Grant(id)) => self.with_family(&id, |family| {
                family.access.get(digest).map(|token| (token.clone(), family.grant.is_active()))
            }),
        };
        Ok(found.map(|(token, active)| {
            let good = active && !self.revoked_access.contains(&token.id);
            (token, if good { Standing::Good } else { Standing::Revoked })
        }))
    }

    async fn standing(&self, id: &TokenId, grant: Option<&GrantId>) -> StoreResult<Standing> {
        let active = |id: &GrantId| self.families.of(id).get(id).is_some_and(|family| family.grant.is_active());
        let good = grant.is_none_or(active) && !self.revoked_access.contains(id);
        Ok(if good { Standing::Good } else { Standing::Revoked })
    }

    async fn revoke_access(&self, id: &TokenId, expires_at: Timestamp) -> StoreResult<()> {
        let mut part = self.revoked_access.of(id);
        let until = part.entry(id.clone()).or_insert(expires_at);
        *until = (*until).max(expires_at);
        Ok(())
    }

    async fn revoke_grant(&self, id: &GrantId, revocation: Revocation) -> StoreResult<bool> {
        Ok(self.with_family(id, |family| Some(Self::revoke(family, revocation))).unwrap_or(false))
    }

    async fn revoke_grants_of(&self, owner: &Owner, reason: RevocationReason, now: Timestamp) -> StoreResult<u64> {
        let mut revoked = 0;
        for mut part in self.families.parts() {
            for family in part.values_mut() {
                let owned = match owner {
                    Owner::Client(client) => family.grant.client_id == *client,
                    Owner::User(user) => family.grant.user_id == *user,
                };
                revoked += u64::from(owned && Self::revoke(family, Revocation { at: now, reason }));
            }
        }
        Ok(revoked)
    }

    async fn find_grant(&self, id: &GrantId) -> StoreResult<Option<Grant>> {
        Ok(self.with_family(id, |family| Some(family.grant.clone())))
    }

    async fn list_grants(&self, filter: &GrantFilter, page: Page<GrantId>) -> StoreResult<Vec<Grant>> {
        let wanted = |grant: &Grant| {
            filter.client.as_ref().is_none_or(|client| grant.client_id == *client)
                && filter.user.as_ref().is_none_or(|user| grant.user_id == *user)
                && filter.live_at.is_none_or(|now| is_live(grant, now))
        };
        let mut found = Vec::new();
        for part in self.families.parts() {
            found.extend(part.values().map(|family| &family.grant).filter(|grant| wanted(grant)).cloned());
        }
        Ok(paged(found.into_iter(), |grant| &grant.id, &page))
    }

    async fn has_live_grant(&self, client: &ClientId, now: Timestamp) -> StoreResult<bool> {
        let lives = |family: &Family| family.grant.client_id == *client && is_live(&family.grant, now);
        Ok(self.families.parts().any(|part| part.values().any(lives)))
    }

    async fn use_once(&self, single: SingleUse, now: Timestamp) -> StoreResult<Use> {
        match self.uses.of(&single.id).entry(single.id) {
            Entry::Occupied(noted) if !noted.get().is_over(now) => Ok(Use::Again),
            entry @ (Entry::Occupied(_) | Entry::Vacant(_)) => {
                entry.insert_entry(single.until);
                Ok(Use::First)
            }
        }
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> StoreResult<u64> {
        let [mut uses, mut revoked] = [(); 2].map(|()| Budget::of(limit));
        self.uses.drain(&mut uses, |_, until| until.is_over(now));
        self.revoked_access.drain(&mut revoked, |_, until| until.is_over(now));

        let [grants, codes, refresh, access] = [(); 4].map(|()| Budget::of(limit));
        let mut budgets = Budgets { grants, codes, refresh, access };
        self.access.drain(&mut budgets.access, |_, home| match home {
            Home::Alone(token) => token.expires_at.is_over(now),
            Home::Grant(_) => false,
        });
        for mut part in self.families.parts() {
            part.retain(|_, family| self.prune(family, &mut budgets, now));
        }
        let Budgets { grants, codes, refresh, access } = budgets;
        Ok([uses, revoked, grants, codes, refresh, access].iter().map(|budget| u64::from(budget.used)).sum())
    }

    async fn ping(&self) -> StoreResult<()> {
        Ok(())
    }
}

fn is_live(grant: &Grant, now: Timestamp) -> bool {
    grant.is_active() && !grant.expires_at.is_over(now)
}
