//! From an index entry to the grant that it leads to.
//!
//! In a cluster the two are on different servers, and reading them is two steps. A server that has all of it does it in one, in
//! a script that reads a key it was not told of. Some that pass for one server do not do that: proxies before several, what only
//! speaks the protocol, and those who forbid it. One that refuses is asked in two steps from then on; what one that does not refuse
//! fails to find is looked for in two steps as well.

use std::sync::atomic::Ordering;

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

use super::{
    Keyed, Redis,
    columns::read,
    script::{Script, script},
};
use crate::{
    domain::identifier::GrantId,
    port::store::{StoreError, StoreResult},
    store::record::corrupt,
};

static FOLLOW: Script = script!(" flags=no-writes", "follow.lua");

/// What kind of entry leads to a grant.
#[derive(Clone, Copy)]
pub(super) enum Index {
    /// One that can only lead to a grant.
    Grants,
    /// One that may lead to a grant, or be something itself.
    Mixed,
}

impl Index {
    /// What stands before the name of a grant.
    pub(super) const fn mark(self) -> &'static str {
        match self {
            Self::Grants => "",
            Self::Mixed => "g",
        }
    }
}

/// The values of fields.
pub(super) type Values = Vec<Option<Vec<u8>>>;

/// What an entry leads to.
pub(super) enum Behind {
    /// The fields of this grant that were asked for; all of them missing if there is no such grant.
    Grant(GrantId, Values),
    /// Something that is in the entry itself.
    Entry(Vec<u8>),
}

impl Redis {
    /// What an index entry leads to, with these fields if it is a grant.
    pub(super) async fn follow(&self, key: String, index: Index, fields: &[&[u8]]) -> StoreResult<Option<Behind>> {
        if !self.follows.load(Ordering::Relaxed) {
            return self.follow_in_steps(key, index, fields).await;
        }
        let follow = FOLLOW.call([&key]).arg(self.names.prefix()).arg(index.mark()).arg(fields);
        let found: Option<Values> = match self.ask(follow).await {
            Ok(found) => read(found)?,
            Err(error) if is_refusal(&error) => {
                let found = self.follow_in_steps(key, index, fields).await?;
                tracing::info!(
                    error = &error as &dyn std::error::Error,
                    "tokens are looked up in two steps from now on"
                );
                self.follows.store(false, Ordering::Relaxed);
                return Ok(found);
            }
            Err(error) => return Err(error),
        };
        let mut found = found.unwrap_or_default().into_iter();
        let Some(entry) = found.next().flatten() else { return Ok(None) };
        self.behind(entry, index, found.collect(), fields).await
    }

    async fn follow_in_steps(&self, key: String, index: Index, fields: &[&[u8]]) -> StoreResult<Option<Behind>> {
        let entry: Option<Vec<u8>> = read(self.read_one(Keyed::new("GET", key)).await?)?;
        let Some(entry) = entry else { return Ok(None) };
        self.behind(entry, index, Values::new(), fields).await
    }

    /// What an entry leads to; the fields of a grant are asked for unless `values` has any of them.
    async fn behind(
        &self,
        entry: Vec<u8>,
        index: Index,
        mut values: Values,
        fields: &[&[u8]],
    ) -> StoreResult<Option<Behind>> {
        let Some(id) = entry.strip_prefix(index.mark().as_bytes()) else { return Ok(Some(Behind::Entry(entry))) };
        let id = str::from_utf8(id).ok().and_then(|id| GrantId::parse(id).ok());
        let id = id.ok_or_else(|| corrupt("an index entry leads to no grant"))?;
        if !values.iter().any(Option::is_some) {
            let find = Keyed::new("HMGET", self.names.grant(&id).grant).arg(fields);
            values = read(self.read_one(find).await?)?;
        }
        Ok(Some(Behind::Grant(id, values)))
    }
}

/// Whether the server does not do this, which says nothing about whether it does something else.
fn is_refusal(error: &StoreError) -> bool {
    match error {
        StoreError::Corrupt(_) => true,
        StoreError::Unavailable(cause) => cause
            .downcast_ref::<RedisError>()
            .is_some_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)),
    }
}
