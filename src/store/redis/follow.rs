//! From an index entry to the grant that it leads to.
//!
//! In a cluster the two are on different servers, and reading them is two steps. A server that has all of it does it in one, in
//! a script that reads a key it was not told of. Some that pass for one server do not do that: proxies before several, and what
//! only speaks the protocol. Those that refuse are found out when the store is opened; what one that does not refuse fails to
//! find is looked for in two steps.

use super::{
    Keyed, Redis,
    columns::read,
    script::{Script, script},
};
use crate::{domain::identifier::GrantId, port::store::StoreResult, store::record::corrupt};

static FOLLOW: Script = script!(" flags=no-writes", "follow.lua");
static REACH: Script = script!(" flags=no-writes", "reach.lua");

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
    /// Whether entries can be followed in one step.
    pub(super) async fn can_follow(&self) -> bool {
        let reach = REACH.call([&self.names.ping()]).arg(self.names.all_grants());
        match self.ask(reach).await {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "tokens are looked up in two steps");
                false
            }
        }
    }

    /// What an index entry leads to, with these fields if it is a grant.
    pub(super) async fn follow(&self, key: String, index: Index, fields: &[&[u8]]) -> StoreResult<Option<Behind>> {
        let (entry, values) = if self.follows {
            let follow = FOLLOW.call([&key]).arg(self.names.prefix()).arg(index.mark()).arg(fields);
            let found: Option<Values> = read(self.ask(follow).await?)?;
            let mut found = found.unwrap_or_default().into_iter();
            (found.next().flatten(), found.collect())
        } else {
            (read(self.read_one(Keyed::new("GET", key)).await?)?, Vec::new())
        };
        let Some(entry): Option<Vec<u8>> = entry else { return Ok(None) };
        let Some(id) = entry.strip_prefix(index.mark().as_bytes()) else { return Ok(Some(Behind::Entry(entry))) };
        let id = str::from_utf8(id).ok().and_then(|id| GrantId::parse(id).ok());
        let id = id.ok_or_else(|| corrupt("an index entry leads to no grant"))?;
        if values.iter().any(Option::is_some) {
            return Ok(Some(Behind::Grant(id, values)));
        }
        let find = Keyed::new("HMGET", self.names.grant(&id).grant).arg(fields);
        let values = read(self.read_one(find).await?)?;
        Ok(Some(Behind::Grant(id, values)))
    }
}
