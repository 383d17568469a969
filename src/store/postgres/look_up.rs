//! Look-ups by a key, which requests make by the thousand: one statement finds what any number of keys stands for.

use sqlx::{
    Row,
    postgres::{PgArguments, PgRow},
    query::Query,
};

use super::{
    Held, Postgres,
    accounts::user_columns,
    batch::{Batched, column},
    clients::client_columns,
    line::Batches,
};
use crate::{
    domain::{
        access::{AccessToken, Standing},
        account::User,
        client::ClientEntry,
        code::CodeRecord,
        credential::{AuthorizationCode, Digest, OpaqueAccessToken, RefreshToken},
        identifier::{ClientId, GrantId, TokenId, UserId},
        refresh::RefreshRecord,
    },
    port::store::StoreResult,
    store::{
        record::{Record, access, code, corrupt, entry, refresh, user},
        sql::grant_columns,
    },
};

type Question<'q> = Query<'q, sqlx::Postgres, PgArguments>;

/// A key, and what is found by it.
pub(super) trait LookUp: Sized + Send + Sync + 'static {
    type Found: Send + 'static;

    /// Where those of this kind meet.
    fn batches(store: &Postgres) -> &Batches<Self>;

    /// Asks for all of these keys. An answer says in its column `count` which key it is about, from 1.
    fn question(keys: &[Self]) -> Question<'_>;

    fn read(row: &PgRow) -> StoreResult<Self::Found>;
}

impl<L: LookUp> Batched for L {
    type Answer = Option<L::Found>;

    fn batches(store: &Postgres) -> &Batches<Self> {
        L::batches(store)
    }

    async fn together(keys: &[Self], held: &mut Held) -> StoreResult<Vec<Option<Self::Answer>>> {
        let mut answers: Vec<_> = keys.iter().map(|_| Some(None)).collect();
        for row in L::question(keys).fetch_all(&mut **held).await? {
            let count: i64 = row.try_get("count")?;
            let answer = usize::try_from(count).ok().and_then(|count| answers.get_mut(count.checked_sub(1)?));
            // Whoever cannot be told what they asked about asks alone, and hears why.
            *answer.ok_or_else(|| corrupt("an answer to no question"))? = L::read(&row).ok().map(Some);
        }
        Ok(answers)
    }

    async fn alone(&self, store: &Postgres) -> StoreResult<Self::Answer> {
        let question = || L::question(std::slice::from_ref(self));
        let row = store.run(async |mut held: Held| Ok(question().fetch_optional(&mut *held).await?)).await?;
        row.as_ref().map(L::read).transpose()
    }
}

/// A statement that selects `$columns` of what joins the keys, an array of `$type` that is called `asked.key`.
macro_rules! for_keys {
    ($columns:expr, $type:literal, $joins:literal) => {
        concat!(
            "SELECT asked.count, ",
            $columns,
            " FROM unnest($1::",
            $type,
            "[]) WITH ORDINALITY AS asked (key, count) ",
            $joins
        )
    };
}

/// What is known of the identifier of a client. In one statement, so that a removal at this moment is seen before or after, and not as
/// nothing at all.
pub(super) struct FindClient(pub(super) ClientId);

impl LookUp for FindClient {
    type Found = Option<ClientEntry>;

    fn batches(store: &Postgres) -> &Batches<Self> {
        &store.together.find_client
    }

    fn question(keys: &[Self]) -> Question<'_> {
        let find = for_keys!(
            concat!(client_columns!(), ", r.reason, r.removed_at"),
            "TEXT",
            "LEFT JOIN clients c ON c.id = asked.key LEFT JOIN removed_clients r ON r.id = asked.key"
        );
        sqlx::query(find).bind(column(keys, |key| key.0.as_str()))
    }

    fn read(row: &PgRow) -> StoreResult<Self::Found> {
        entry(row)
    }
}

/// A code with its grant.
pub(super) struct FindCode(pub(super) Digest<AuthorizationCode>);

impl LookUp for FindCode {
    type Found = CodeRecord;

    fn batches(store: &Postgres) -> &Batches<Self> {
        &store.together.find_code
    }

    fn question(keys: &[Self]) -> Question<'_> {
        let find = for_keys!(
            concat!("c.digest, c.redirect_uri, c.challenge, c.expires_at, c.spent_at, ", grant_columns!()),
            "BYTEA",
            "JOIN codes c ON c.digest = asked.key JOIN grants g ON g.id = c.grant_id"
        );
        sqlx::query(find).bind(column(keys, |key| key.0.as_bytes().as_slice()))
    }

    fn read(row: &PgRow) -> StoreResult<CodeRecord> {
        code(row)
    }
}

/// A refresh token with its grant, and with how it was rotated.
pub(super) struct FindRefresh(pub(super) Digest<RefreshToken>);

impl LookUp for FindRefresh {
    type Found = RefreshRecord;

    fn batches(store: &Postgres) -> &Batches<Self> {
        &store.together.find_refresh
    }

    fn question(keys: &[Self]) -> Question<'_> {
        let find = for_keys!(
            concat!(
                "r.digest, r.issued_at, r.expires_at, p.rotated_at, p.sealed_successor,
                s.parent IS NOT NULL AS successor_used, ",
                grant_columns!()
            ),
            "BYTEA",
            "JOIN refresh_tokens r ON r.digest = asked.key JOIN grants g ON g.id = r.grant_id
                LEFT JOIN rotations p ON p.parent = r.digest LEFT JOIN rotations s ON s.parent = p.successor"
        );
        sqlx::query(find).bind(column(keys, |key| key.0.as_bytes().as_slice()))
    }

    fn read(row: &PgRow) -> StoreResult<RefreshRecord> {
        refresh(row)
    }
}

fn standing(good: bool) -> Standing {
    if good { Standing::Good } else { Standing::Revoked }
}

/// An opaque access token with its standing.
pub(super) struct FindAccess(pub(super) Digest<OpaqueAccessToken>);

impl LookUp for FindAccess {
    type Found = (AccessToken, Standing);

    fn batches(store: &Postgres) -> &Batches<Self> {
        &store.together.find_access
    }

    fn question(keys: &[Self]) -> Question<'_> {
        let find = for_keys!(
            "a.token_id, a.client_id, a.grant_id, a.user_id, a.auth_time, a.scope, a.audience, a.issued_at, a.expires_at,
            (a.grant_id IS NULL OR (g.id IS NOT NULL AND g.revoked_at IS NULL)) AND v.token_id IS NULL AS good",
            "BYTEA",
            "JOIN access_tokens a ON a.digest = asked.key LEFT JOIN grants g ON g.id = a.grant_id
                LEFT JOIN revoked_access_tokens v ON v.token_id = a.token_id"
        );
        sqlx::query(find).bind(column(keys, |key| key.0.as_bytes().as_slice()))
    }

    fn read(row: &PgRow) -> StoreResult<(AccessToken, Standing)> {
        Ok((access(row)?, standing(row.flag("good")?)))
    }
}

/// The standing of an access token that proved itself.
pub(super) struct FindStanding {
    pub(super) id: TokenId,
    pub(super) grant: Option<GrantId>,
}

impl LookUp for FindStanding {
    type Found = Standing;

    fn batches(store: &Postgres) -> &Batches<Self> {
        &store.together.find_standing
    }

    fn question(keys: &[Self]) -> Question<'_> {
        let find = "SELECT asked.count, v.token_id IS NULL
                AND (asked.grant_id IS NULL OR (g.id IS NOT NULL AND g.revoked_at IS NULL)) AS good
            FROM unnest($1::TEXT[], $2::TEXT[]) WITH ORDINALITY AS asked (token_id, grant_id, count)
                LEFT JOIN revoked_access_tokens v ON v.token_id = asked.token_id
                LEFT JOIN grants g ON g.id = asked.grant_id";
        sqlx::query(find)
            .bind(column(keys, |key| key.id.as_str()))
            .bind(column(keys, |key| key.grant.as_ref().map(GrantId::as_str)))
    }

    fn read(row: &PgRow) -> StoreResult<Standing> {
        Ok(standing(row.flag("good")?))
    }
}

/// An account.
pub(super) struct FindUser(pub(super) UserId);

impl LookUp for FindUser {
    type Found = User;

    fn batches(store: &Postgres) -> &Batches<Self> {
        &store.together.find_user
    }

    fn question(keys: &[Self]) -> Question<'_> {
        let find = for_keys!(user_columns!(), "TEXT", "JOIN users u ON u.id = asked.key");
        sqlx::query(find).bind(column(keys, |key| key.0.as_str()))
    }

    fn read(row: &PgRow) -> StoreResult<User> {
        user(row)
    }
}
