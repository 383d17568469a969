//! Grants in Redis, and what hangs off them.

use ::redis::Value;
use async_trait::async_trait;
use tokio::task::JoinSet;

use super::{
    Keyed, Redis,
    columns::{Columns, read},
    family::{CODE, GRANT, access_json, code_fields, grant_fields, read_refresh},
    follow::{Behind, Index, Values},
    names::{GrantKeys, base64},
    script::{Invocation, Script, script},
};
use crate::{
    domain::{
        access::{AccessToken, OpaqueRecord, Standing},
        assertion::SingleUse,
        code::{CodeRecord, NewCode, VerifiedCode},
        credential::{AuthorizationCode, Digest, OpaqueAccessToken, RefreshToken},
        grant::{Grant, Revocation, RevocationReason},
        identifier::{ClientId, GrantId, TokenId},
        refresh::{NewRefresh, RefreshRecord, VerifiedRefresh},
        time::Timestamp,
    },
    port::store::{
        GrantFilter, Issue, Owner, Page, Recording, Redemption, Rotation, StoreError, StoreResult, TokenStore, Use,
    },
    store::record::{access, code, corrupt, grant, refresh, word},
};

static OPEN_GRANT: Script = script!("", "open_grant.lua");
static REDEEM: Script = script!("", "record.lua", "redeem.lua");
static ROTATE: Script = script!("", "record.lua", "rotate.lua");
static RECORD_ACCESS: Script = script!("", "record.lua", "record_access.lua");
static FIND_ROTATED: Script = script!(" flags=no-writes", "find_rotated.lua");
static REVOKE_GRANT: Script = script!(" flags=allow-oom", "revoke_grant.lua");
static USE_ONCE: Script = script!("", "use_once.lua");

/// What Redis may forget a day after it is over. Redis measures spans by a clock of its own, which knows nothing of `now`.
fn span(from: Timestamp, to: Timestamp) -> u64 {
    const DAY: u64 = 86_400;
    const CENTURY: u64 = 36_525 * DAY;
    to.since(from).as_secs().min(CENTURY) + DAY
}

fn leads_to(key: String, grant: impl AsRef<str>, seconds: u64) -> Keyed {
    Keyed::new("SET", key).arg(grant.as_ref()).arg("EX").arg(seconds)
}

/// The arguments of `record.lua`.
fn with_issue(script: Invocation, issue: &Issue) -> StoreResult<Invocation> {
    let script = match &issue.refresh {
        Some(token) => script.arg(token.digest.as_bytes()).arg(token.issued_at.unix()).arg(token.expires_at.unix()),
        None => script.arg("").arg("").arg(""),
    };
    let script = match &issue.access {
        Some(OpaqueRecord { digest, token }) => {
            script.arg(digest.as_bytes()).arg(access_json(token)?).arg(token.expires_at.unix())
        }
        None => script.arg("").arg("").arg(""),
    };
    Ok(script.arg(issue.grant_expires_at.map(|end| end.unix().to_string()).unwrap_or_default()))
}

impl Redis {
    pub(super) fn grant_call(&self, script: &'static Script, id: &GrantId) -> Invocation {
        let GrantKeys { grant, ends } = self.names.grant(id);
        script.call([&grant, &ends])
    }

    /// Entries that lead to what is issued.
    fn entries(&self, issue: &Issue, grant: &GrantId) -> Vec<Keyed> {
        let refresh = issue.refresh.iter().map(|token| self.to_refresh(token, grant));
        refresh.chain(issue.access.iter().map(|access| self.to_access(access, grant))).collect()
    }

    /// Leads from a refresh token to its grant.
    pub(super) fn to_refresh(&self, token: &NewRefresh, grant: &GrantId) -> Keyed {
        leads_to(self.names.refresh(&token.digest), grant.as_str(), span(token.issued_at, token.expires_at))
    }

    /// Leads from an opaque access token to its grant.
    pub(super) fn to_access(&self, OpaqueRecord { digest, token }: &OpaqueRecord, grant: &GrantId) -> Keyed {
        leads_to(
            self.names.access(digest),
            format!("{}{grant}", Index::Mixed.mark()),
            span(token.issued_at, token.expires_at),
        )
    }

    /// Leads from a code that was not spent to its grant.
    pub(super) fn to_code(&self, code: &NewCode, grant: &Grant) -> Keyed {
        leads_to(self.names.code(&code.digest), grant.id.as_str(), span(grant.created_at, code.expires_at))
    }

    /// What says to a purge where a grant is and when to come by; written before the grant is.
    pub(super) fn schedule(&self, grant: &Grant, code: Option<&NewCode>, due: Timestamp) -> Vec<Keyed> {
        let id = grant.id.as_str();
        let code = code.map(|code| base64(code.digest.as_bytes())).unwrap_or_default();
        let owners = format!("{} {} {code}", grant.client_id, grant.user_id);
        vec![
            Keyed::new("HSET", self.names.owners()).arg(id).arg(owners),
            Keyed::new("ZADD", self.names.due()).arg(due.unix()).arg(id),
        ]
    }

    /// The lists that a grant is in.
    pub(super) fn listings(&self, grant: &Grant) -> Vec<Keyed> {
        let lists = [
            self.names.all_grants(),
            self.names.grants_of_client(&grant.client_id),
            self.names.grants_of_user(&grant.user_id),
        ];
        lists.map(|list| Keyed::new("ZADD", list).arg(0).arg(grant.id.as_str())).into()
    }

    /// Runs a script that records a grant, after what schedules it and then what leads to it: from the first step on a purge
    /// comes by and takes away what leads to a grant that never came to be.
    pub(super) async fn tell_scheduled(
        &self,
        scheduled: Vec<Keyed>,
        mut entries: Vec<Keyed>,
        script: Invocation,
    ) -> StoreResult<Value> {
        if self.link.is_cluster() {
            self.note(scheduled).await?;
        } else {
            entries.splice(0..0, scheduled);
        }
        self.tell_after(entries, script).await
    }

    /// Runs a script that records an issue, and sees that the grant is pruned in time.
    async fn issue(&self, entries: Vec<Keyed>, script: Invocation, of: &GrantId) -> StoreResult<String> {
        let (outcome, due): (String, String) = read(self.tell_after(entries, script).await?)?;
        if !due.is_empty() {
            // Whoever cannot do this, or goes away before, leaves the grant to be pruned later than it could be: when it was due
            // already. What was issued is issued all the same.
            let earlier = Keyed::new("ZADD", self.names.due()).arg("XX").arg("LT").arg(due).arg(of.as_str());
            if let Err(error) = self.note(vec![earlier]).await {
                tracing::debug!(%error, "a grant is pruned later than it could be");
            }
        }
        Ok(outcome)
    }

    /// Asks until when an access token is revoked by itself.
    fn revocation_of(&self, id: &TokenId) -> Keyed {
        Keyed::new("ZSCORE", self.names.shard_of(id.as_str().as_bytes()).revoked).arg(id.as_str())
    }

    /// A refresh token, with how it was rotated and whether its successor was.
    async fn find_rotated(&self, digest: &Digest<RefreshToken>, grant: &GrantId) -> StoreResult<Option<RefreshRecord>> {
        let find = FIND_ROTATED.call([&self.names.grant(grant).grant]).arg(digest.as_bytes()).arg(&GRANT);
        let found: Option<Values> = read(self.ask(find).await?)?;
        let Some(mut found) = found else { return Ok(None) };
        let mut columns = Columns::from_fields(&GRANT, found.split_off(3.min(found.len())));
        let [issue, rotation, used] = found.as_slice() else { return Err(corrupt("a refresh token is incomplete")) };
        read_refresh(&mut columns, digest, [issue, rotation, used].map(Option::as_deref))?;
        refresh(&columns).map(Some)
    }
}

#[async_trait]
impl TokenStore for Redis {
    async fn open_grant(&self, grant: &Grant, code: &NewCode) -> StoreResult<()> {
        let due = code.expires_at.min(grant.expires_at);
        let script = OPEN_GRANT.call([&self.names.grant(&grant.id).grant]);
        let script = script.arg(&grant_fields(grant)?).arg(&code_fields(code)).arg("due").arg(due.unix());
        let mut entries = self.listings(grant);
        entries.push(self.to_code(code, grant));
        match read(self.tell_scheduled(self.schedule(grant, Some(code), due), entries, script).await?)? {
            1 => Ok(()),
            // The caller draws 128 random bits for every name.
            _ => Err(StoreError::Corrupt("a new grant has the name of an old one".to_owned())),
        }
    }

    async fn find_code(&self, digest: &Digest<AuthorizationCode>) -> StoreResult<Option<CodeRecord>> {
        let names = [GRANT.as_slice(), CODE.as_slice()].concat();
        let fields: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        let found = self.follow(self.names.code(digest), Index::Grants, &fields).await?;
        let Some(Behind::Grant(_, values)) = found else { return Ok(None) };
        let columns = Columns::from_fields(&names, values);
        if !columns.is("digest", digest.as_bytes()) {
            return Ok(None);
        }
        code(&columns).map(Some)
    }

    async fn redeem(&self, code: &VerifiedCode<'_>, issue: &Issue, now: Timestamp) -> StoreResult<Redemption> {
        let id = &code.grant().id;
        // A spent code is found as long as its grant, and goes with it.
        let mut entries = vec![Keyed::new("PERSIST", self.names.code(code.digest()))];
        entries.extend(self.entries(issue, id));
        let script = self.grant_call(&REDEEM, id).arg(code.digest().as_bytes()).arg(now.unix());
        match self.issue(entries, with_issue(script, issue)?, id).await?.as_str() {
            "redeemed" => Ok(Redemption::Redeemed),
            "spent" => Ok(Redemption::AlreadyRedeemed),
            "revoked" => Ok(Redemption::GrantRevoked),
            other => Err(corrupt(format_args!("an outcome: {other}"))),
        }
    }

    async fn find_refresh(&self, digest: &Digest<RefreshToken>) -> StoreResult<Option<RefreshRecord>> {
        let [issue, rotation] = [b'r', b's'].map(|kind| [&[kind], digest.as_bytes().as_slice()].concat());
        let fields: Vec<&[u8]> =
            [issue.as_slice(), &rotation].into_iter().chain(GRANT.iter().map(|name| name.as_bytes())).collect();
        let found = self.follow(self.names.refresh(digest), Index::Grants, &fields).await?;
        let Some(Behind::Grant(id, mut values)) = found else { return Ok(None) };
        let mut columns = Columns::from_fields(&GRANT, values.split_off(2.min(values.len())));
        match values.as_slice() {
            [Some(issue), None] => {
                read_refresh(&mut columns, digest, [Some(issue), None, Some(b"0")])?;
                refresh(&columns).map(Some)
            }
            // Whoever presents it is late: the fate of its successor decides, in the same moment.
            [Some(_), Some(_)] => self.find_rotated(digest, &id).await,
            _ => Ok(None),
        }
    }

    async fn rotate(
        &self,
        refresh: &VerifiedRefresh<'_>,
        sealed_successor: &[u8],
        issue: &Issue,
        now: Timestamp,
    ) -> StoreResult<Rotation> {
        let id = &refresh.grant().id;
        let script =
            self.grant_call(&ROTATE, id).arg(refresh.digest().as_bytes()).arg(now.unix()).arg(sealed_successor);
        match self.issue(self.entries(issue, id), with_issue(script, issue)?, id).await?.as_str() {
            "rotated" => Ok(Rotation::Rotated),
            "again" => Ok(Rotation::AlreadyRotated),
            "revoked" => Ok(Rotation::GrantRevoked),
            other => Err(corrupt(format_args!("an outcome: {other}"))),
        }
    }

    async fn record_access(&self, access: &OpaqueRecord) -> StoreResult<Recording> {
        let OpaqueRecord { digest, token } = access;
        let Some(id) = token.grant_id() else {
            let keys = self.names.shard_of(digest.as_bytes());
            let name = base64(digest.as_bytes());
            let ends = Keyed::new("ZADD", keys.alone).arg(token.expires_at.unix()).arg(name);
            let record = format!("t{}", access_json(token)?);
            let record = leads_to(self.names.access(digest), record, span(token.issued_at, token.expires_at));
            self.put([ends, record]).await?;
            return Ok(Recording::Recorded);
        };
        let issue = Issue { refresh: None, access: Some(access.clone()), grant_expires_at: Some(token.expires_at) };
        let script = with_issue(self.grant_call(&RECORD_ACCESS, id), &issue)?;
        match self.issue(self.entries(&issue, id), script, id).await?.as_str() {
            "recorded" => Ok(Recording::Recorded),
            "revoked" => Ok(Recording::GrantRevoked),
            other => Err(corrupt(format_args!("an outcome: {other}"))),
        }
    }

    async fn find_access(&self, digest: &Digest<OpaqueAccessToken>) -> StoreResult<Option<(AccessToken, Standing)>> {
        let field = [b"a".as_slice(), digest.as_bytes()].concat();
        let found = self.follow(self.names.access(digest), Index::Mixed, &[&field, b"revoked_at"]).await?;
        let (record, active) = match found {
            None => return Ok(None),
            Some(Behind::Entry(entry)) => match entry.strip_prefix(b"t") {
                Some(record) => (record.to_vec(), true),
                None => return Err(corrupt("an access token is neither here nor there")),
            },
            Some(Behind::Grant(_, values)) => match <[_; 2]>::try_from(values) {
                Ok([Some(record), revoked_at]) => (record, revoked_at.is_none()),
                _ => return Ok(None),
            },
        };
        let token = access(&Columns::from_json(&record)?)?;
        // After the grant was asked, so that what was revoked before this call is seen, whichever of the two it was.
        let revoked: Option<f64> = read(self.read_one(self.revocation_of(&token.id)).await?)?;
        let good = active && revoked.is_none();
        Ok(Some((token, if good { Standing::Good } else { Standing::Revoked })))
    }

    async fn standing(&self, id: &TokenId, grant: Option<&GrantId>) -> StoreResult<Standing> {
        let grant =
            grant.map(|grant| Keyed::new("HMGET", self.names.grant(grant).grant).arg("grant_id").arg("revoked_at"));
        let asked = [self.revocation_of(id)].into_iter().chain(grant).collect();
        let mut answers = self.read_each(asked).await?.into_iter();
        let revoked: Option<f64> = answers.next().map(read).transpose()?.flatten();
        let grant: Option<(Option<String>, Option<i64>)> = answers.next().map(read).transpose()?;
        let good = revoked.is_none() && grant.is_none_or(|(known, revoked_at)| known.is_some() && revoked_at.is_none());
        Ok(if good { Standing::Good } else { Standing::Revoked })
    }

    async fn revoke_access(&self, id: &TokenId, expires_at: Timestamp) -> StoreResult<()> {
        let key = self.names.shard_of(id.as_str().as_bytes()).revoked;
        let revoke = Keyed::new("ZADD", key).arg("GT").arg(expires_at.unix()).arg(id.as_str());
        self.put([revoke]).await.map(drop)
    }

    async fn revoke_grant(&self, id: &GrantId, revocation: Revocation) -> StoreResult<bool> {
        let Revocation { at, reason } = revocation;
        let revoke = REVOKE_GRANT.call([&self.names.grant(id).grant]).arg(at.unix()).arg(word(&reason)?);
        read(self.tell(revoke).await?)
    }

    async fn revoke_grants_of(&self, owner: &Owner, reason: RevocationReason, now: Timestamp) -> StoreResult<u64> {
        let mut revoked = 0;
        let mut after = None;
        loop {
            let ids = self.listed(&self.list_of(owner), after.as_ref()).await?;
            if ids.is_empty() {
                return Ok(revoked);
            }
            after = ids.last().cloned();
            let mut revocations = JoinSet::new();
            for id in ids {
                let redis = self.clone();
                revocations.spawn(async move { redis.revoke_grant(&id, Revocation { at: now, reason }).await });
            }
            while let Some(first) = revocations.join_next().await {
                revoked += u64::from(first.map_err(|error| StoreError::Unavailable(error.into()))??);
            }
        }
    }

    async fn find_grant(&self, id: &GrantId) -> StoreResult<Option<Grant>> {
        let find = Keyed::new("HMGET", self.names.grant(id).grant).arg(&GRANT);
        let columns = Columns::from_fields(&GRANT, read(self.read_one(find).await?)?);
        if columns.has("grant_id") { grant(&columns).map(Some) } else { Ok(None) }
    }

    async fn list_grants(&self, filter: &GrantFilter, page: Page<GrantId>) -> StoreResult<Vec<Grant>> {
        self.filtered(filter, page).await
    }

    async fn has_live_grant(&self, client: &ClientId, now: Timestamp) -> StoreResult<bool> {
        let filter = GrantFilter { client: Some(client.clone()), user: None, live_at: Some(now) };
        Ok(!self.filtered(&filter, Page { after: None, limit: 1 }).await?.is_empty())
    }

    async fn use_once(&self, single: SingleUse, now: Timestamp) -> StoreResult<Use> {
        let key = self.names.shard_of(single.id.as_bytes()).uses;
        let note = USE_ONCE.call([&key]).arg(single.id.as_bytes()).arg(single.until.unix()).arg(now.unix());
        Ok(if read(self.tell(note).await?)? { Use::First } else { Use::Again })
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> StoreResult<u64> {
        Ok(self.purge_shards(now, limit).await? + self.purge_grants(now, limit).await?)
    }

    async fn ping(&self) -> StoreResult<()> {
        self.answers().await
    }
}
