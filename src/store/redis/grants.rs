//! Lists of grants: names that may lead nowhere, in the order of their bytes.

use super::{
    Keyed, Redis,
    columns::{Columns, read},
    family::GRANT,
};
use crate::{
    domain::{
        grant::Grant,
        identifier::{ClientId, GrantId},
    },
    port::store::{GrantFilter, Owner, Page, StoreResult},
    store::record::{corrupt, grant},
};

/// How many names are read at a time.
const PAGE: usize = 100;

impl Redis {
    /// The list of the grants of an owner.
    pub(super) fn list_of(&self, owner: &Owner) -> String {
        match owner {
            Owner::Client(client) => self.names.grants_of_client(client),
            Owner::User(user) => self.names.grants_of_user(user),
        }
    }

    /// The next names of a list.
    pub(super) async fn listed(&self, list: &str, after: Option<&GrantId>) -> StoreResult<Vec<GrantId>> {
        let from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let page = Keyed::new("ZRANGE", list.to_owned()).arg(from).arg("+").arg("BYLEX").arg("LIMIT").arg(0).arg(PAGE);
        let names: Vec<String> = read(self.read_one(page).await?)?;
        names.iter().map(|name| GrantId::parse(name).map_err(corrupt)).collect()
    }

    /// Grants that a filter lets through, from the shortest list that holds all of them.
    pub(super) async fn filtered(&self, filter: &GrantFilter, page: Page<GrantId>) -> StoreResult<Vec<Grant>> {
        let list = match (&filter.client, &filter.user) {
            (_, Some(user)) => self.names.grants_of_user(user),
            (Some(client), None) => self.names.grants_of_client(client),
            (None, None) => self.names.all_grants(),
        };
        let limit = page.limit as usize;
        let mut found = Vec::new();
        let mut after = page.after;
        while found.len() < limit {
            let ids = self.listed(&list, after.as_ref()).await?;
            let more = self.grants(&ids).await?;
            found.extend(more.into_iter().filter(|grant| passes(filter, grant)).take(limit - found.len()));
            after = ids.into_iter().next_back();
            if after.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// Those of these grants that there are, in the same order.
    async fn grants(&self, ids: &[GrantId]) -> StoreResult<Vec<Grant>> {
        let find = |id: &GrantId| Keyed::new("HMGET", self.names.grant(id).grant).arg(&GRANT);
        let answers = self.read_each(ids.iter().map(find).collect()).await?;
        let mut grants = Vec::with_capacity(answers.len());
        for answer in answers {
            let columns = Columns::from_fields(&GRANT, read(answer)?);
            if columns.has("grant_id") {
                grants.push(grant(&columns)?);
            }
        }
        Ok(grants)
    }
}

fn passes(filter: &GrantFilter, grant: &Grant) -> bool {
    let of = |client: &ClientId| grant.client_id == *client;
    filter.client.as_ref().is_none_or(of)
        && filter.user.as_ref().is_none_or(|user| grant.user_id == *user)
        && filter.live_at.is_none_or(|now| grant.is_active() && !grant.expires_at.is_over(now))
}
