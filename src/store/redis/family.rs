//! A grant and what hangs off it, as the fields of one hash.
//!
//! The grant and its code are columns. Beside them, by digest: `r` a refresh token (`issued expires`), `s` how it was rotated
//! (`at length successor..sealed`), `a` an opaque access token (columns as JSON). `due` says when a purge has to come by.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;

use super::columns::Columns;
use crate::{
    domain::{
        access::{AccessToken, Subject},
        code::NewCode,
        credential::{Digest, RefreshToken},
        grant::{Grant, Revocation},
        refresh::NewRefresh,
        time::Timestamp,
    },
    port::store::{GrantFamily, StoreResult, Succession},
    store::record::{corrupt, family, grant, to_json, word},
};

/// The columns of a grant.
pub(super) const GRANT: [&str; 10] = [
    "grant_id",
    "grant_client",
    "grant_user",
    "grant_scope",
    "grant_resources",
    "grant_auth_time",
    "grant_created_at",
    "grant_expires_at",
    "revoked_at",
    "revocation_reason",
];

/// Those of its code beside them.
pub(super) const CODE: [&str; 5] = ["digest", "redirect_uri", "challenge", "expires_at", "spent_at"];

/// A field and its value.
type Field = (Vec<u8>, Vec<u8>);

fn field(name: &str, value: impl Into<Vec<u8>>) -> Field {
    (name.into(), value.into())
}

fn unix(time: Timestamp) -> String {
    time.unix().to_string()
}

/// The fields of a grant.
pub(super) fn grant_fields(grant: &Grant) -> StoreResult<Vec<Field>> {
    let mut fields = vec![
        field("grant_id", grant.id.as_str()),
        field("grant_client", grant.client_id.as_str()),
        field("grant_user", grant.user_id.as_str()),
        field("grant_scope", grant.scope.to_string()),
        field("grant_resources", to_json(&grant.resources)?),
        field("grant_auth_time", unix(grant.auth_time)),
        field("grant_created_at", unix(grant.created_at)),
        field("grant_expires_at", unix(grant.expires_at)),
    ];
    if let Some(Revocation { at, reason }) = grant.revocation {
        fields.extend([field("revoked_at", unix(at)), field("revocation_reason", word(&reason)?)]);
    }
    Ok(fields)
}

/// The fields of its code.
pub(super) fn code_fields(code: &NewCode) -> [Field; 4] {
    [
        field("digest", code.digest.as_bytes()),
        field("redirect_uri", code.redirect.uri().as_str()),
        field("challenge", code.challenge.as_bytes()),
        field("expires_at", unix(code.expires_at)),
    ]
}

/// An opaque access token as JSON.
pub(super) fn access_json(token: &AccessToken) -> StoreResult<String> {
    let (grant_id, user_id, auth_time) = match &token.subject {
        Subject::User { user_id, grant_id, auth_time } => {
            (Some(grant_id.as_str()), Some(user_id.as_str()), Some(auth_time.unix()))
        }
        Subject::Client => (None, None, None),
    };
    to_json(&json!({
        "token_id": token.id.as_str(),
        "client_id": token.client_id.as_str(),
        "grant_id": grant_id,
        "user_id": user_id,
        "auth_time": auth_time,
        "scope": token.scope.to_string(),
        "audience": token.audience.as_str(),
        "issued_at": token.issued_at.unix(),
        "expires_at": token.expires_at.unix(),
    }))
}

/// Adds the columns of a refresh token to those of its grant: from its field, from how it was rotated, and from whether its
/// successor was.
pub(super) fn read_refresh(
    columns: &mut Columns,
    digest: &Digest<RefreshToken>,
    found: [Option<&[u8]>; 3],
) -> StoreResult<()> {
    let [Some(issue), rotation, Some(used)] = found else { return Err(corrupt("a refresh token is incomplete")) };
    let mut times = issue.splitn(2, |byte| *byte == b' ');
    columns.set("digest", digest.as_bytes());
    columns.set("issued_at", times.next().unwrap_or_default());
    columns.set("expires_at", times.next().unwrap_or_default());
    let Some(rotation) = rotation else { return Ok(()) };
    let mut parts = rotation.splitn(3, |byte| *byte == b' ');
    let at = parts.next().unwrap_or_default();
    let length = parts.next().and_then(|length| str::from_utf8(length).ok()?.parse::<usize>().ok());
    let halves = length.and_then(|length| parts.next()?.split_at_checked(length));
    let (successor, sealed) = halves.ok_or_else(|| corrupt("a refresh token is half rotated"))?;
    columns.set("rotated_at", at);
    columns.set("sealed_successor", sealed);
    columns.set("successor_used", used);
    if !successor.is_empty() {
        columns.set("successor", successor);
    }
    Ok(())
}

/// How a refresh token was rotated, as `rotate.lua` writes it.
fn rotation(Succession { at, sealed_successor, successor }: &Succession) -> Vec<u8> {
    let successor = successor.as_ref().map_or(b"".as_slice(), |digest| digest.as_bytes());
    let mut value = format!("{} {} ", at.unix(), successor.len()).into_bytes();
    value.extend_from_slice(successor);
    value.extend_from_slice(sealed_successor);
    value
}

/// A family as it is written.
pub(super) struct Written {
    pub(super) fields: Vec<Field>,
    /// When tokens end, and the fields that they are.
    pub(super) ends: Vec<(i64, Vec<u8>)>,
    /// When the first thing in it ends that a purge may take.
    pub(super) due: Timestamp,
}

/// Writes a family.
pub(super) fn written(family: &GrantFamily) -> StoreResult<Written> {
    let named = |kind: u8, digest: &[u8; 32]| [&[kind], digest.as_slice()].concat();
    let mut fields = grant_fields(&family.grant)?;
    let mut ends = Vec::new();
    let mut due = family.grant.expires_at;
    if let Some((code, spent_at)) = &family.code {
        fields.extend(code_fields(code));
        match spent_at {
            Some(at) => fields.push(field("spent_at", unix(*at))),
            None => due = due.min(code.expires_at),
        }
    }
    for (NewRefresh { digest, issued_at, expires_at }, succession) in &family.refresh {
        let name = named(b'r', digest.as_bytes());
        fields.push((name.clone(), format!("{} {}", issued_at.unix(), expires_at.unix()).into()));
        fields.extend(succession.as_ref().map(|how| (named(b's', digest.as_bytes()), rotation(how))));
        ends.push((expires_at.unix(), name));
        due = due.min(*expires_at);
    }
    for access in &family.access {
        let name = named(b'a', access.digest.as_bytes());
        fields.push((name.clone(), access_json(&access.token)?.into()));
        ends.push((access.token.expires_at.unix(), name));
        due = due.min(access.token.expires_at);
    }
    fields.push(field("due", unix(due)));
    Ok(Written { fields, ends, due })
}

/// Reads a family; `None` if there is no grant.
pub(super) fn read_family(fields: HashMap<Vec<u8>, Vec<u8>>) -> StoreResult<Option<GrantFamily>> {
    let mut columns = Columns::default();
    // In the order of their digests.
    let mut tokens: BTreeMap<(u8, [u8; 32]), Vec<u8>> = BTreeMap::new();
    for (name, value) in fields {
        match name.split_first().map(|(kind, digest)| (*kind, <[u8; 32]>::try_from(digest))) {
            Some((kind @ (b'r' | b's' | b'a'), Ok(digest))) => drop(tokens.insert((kind, digest), value)),
            Some(_) | None => columns.set(String::from_utf8(name).map_err(corrupt)?, value),
        }
    }
    if !columns.has("grant_id") {
        return Ok(None);
    }
    let (mut refresh, mut access) = (Vec::new(), Vec::new());
    for ((kind, digest), value) in &tokens {
        match kind {
            b'r' => {
                let rotation = tokens.get(&(b's', *digest)).map(Vec::as_slice);
                let mut token = Columns::default();
                // Whether the successor was used is for those who present the token.
                read_refresh(&mut token, &Digest::from_bytes(*digest), [Some(value), rotation, Some(b"0")])?;
                refresh.push(token);
            }
            b'a' => {
                let mut token = Columns::from_json(value)?;
                token.set("digest", digest);
                access.push(token);
            }
            _ => {}
        }
    }
    let code = columns.has("digest").then_some(&columns);
    family(grant(&columns)?, code, &refresh, &access).map(Some)
}
