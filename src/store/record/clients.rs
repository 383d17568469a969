//! Clients and their tombstones.

use std::sync::Arc;

use super::{Record, corrupt, filled, json, optional_digest, optional_time, spelled, text, time};
use crate::{
    domain::client::{AuthenticationMethod, Client, ClientEntry, GrantType},
    port::store::StoreResult,
};

/// A registered client.
pub(in crate::store) fn client(record: &impl Record) -> StoreResult<Client> {
    let authentication = filled("authentication", record.text("authentication")?)?;
    let grant_types: Vec<String> = json(record, "grant_types")?;
    let grant_type = |name: &String| GrantType::parse(name).ok_or_else(|| corrupt("grant_types: an unknown one"));
    Ok(Client {
        id: text(record, "id")?,
        name: record.text("name")?,
        uri: record.text("uri")?,
        provenance: spelled(record, "provenance")?,
        status: spelled(record, "status")?,
        authentication: AuthenticationMethod::parse(&authentication)
            .ok_or_else(|| corrupt("authentication: an unknown method"))?,
        secrets: json(record, "secrets")?,
        jwks: match record.text("jwks")? {
            Some(_) => Some(json(record, "jwks")?),
            None => None,
        },
        redirect_uris: json(record, "redirect_uris")?,
        grant_types: grant_types.iter().map(grant_type).collect::<StoreResult<_>>()?,
        application_type: spelled(record, "application_type")?,
        scope: text(record, "scope")?,
        resources: json(record, "resources")?,
        may_introspect: record.flag("may_introspect")?,
        software_id: record.text("software_id")?,
        software_version: record.text("software_version")?,
        registration_token: optional_digest(record, "registration_token")?,
        created_at: time(record, "created_at")?,
        last_used_at: optional_time(record, "last_used_at")?,
        version: u64::try_from(filled("version", record.integer("version")?)?).map_err(corrupt)?,
    })
}

/// What is known of an identifier, from the columns of a client and those of a tombstone side by side.
pub(in crate::store) fn entry(record: &impl Record) -> StoreResult<Option<ClientEntry>> {
    match (record.text("id")?, record.text("reason")?) {
        (Some(_), None) => Ok(Some(ClientEntry::Registered(Arc::new(client(record)?)))),
        (None, Some(_)) => {
            Ok(Some(ClientEntry::Removed { reason: spelled(record, "reason")?, at: time(record, "removed_at")? }))
        }
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(corrupt("a client is registered and removed at once")),
    }
}
