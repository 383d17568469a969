//! What the two stores that speak SQL share: how their rows are read, and what their failures mean.

pub(super) mod audit;
pub(super) mod parts;

use sqlx::{ColumnIndex, Decode, Row, Type};

use super::record::{Record, corrupt};
use crate::port::store::{StoreError, StoreResult};

/// The columns of a grant `g`, named so that those of what hangs off it can stand beside them.
macro_rules! grant_columns {
    () => {
        "g.id AS grant_id, g.client_id AS grant_client, g.user_id AS grant_user, g.scope AS grant_scope,
        g.resources AS grant_resources, g.auth_time AS grant_auth_time, g.created_at AS grant_created_at,
        g.expires_at AS grant_expires_at, g.revoked_at, g.revocation_reason"
    };
}
pub(super) use grant_columns;

impl<R> Record for R
where
    R: Row,
    for<'c> &'c str: ColumnIndex<R>,
    for<'r> Option<String>: Decode<'r, R::Database>,
    for<'r> Option<i64>: Decode<'r, R::Database>,
    for<'r> Option<Vec<u8>>: Decode<'r, R::Database>,
    for<'r> bool: Decode<'r, R::Database>,
    Option<String>: Type<R::Database>,
    Option<i64>: Type<R::Database>,
    Option<Vec<u8>>: Type<R::Database>,
    bool: Type<R::Database>,
{
    fn text(&self, column: &'static str) -> StoreResult<Option<String>> {
        Ok(self.try_get(column)?)
    }

    fn integer(&self, column: &'static str) -> StoreResult<Option<i64>> {
        Ok(self.try_get(column)?)
    }

    fn bytes(&self, column: &'static str) -> StoreResult<Option<Vec<u8>>> {
        Ok(self.try_get(column)?)
    }

    fn flag(&self, column: &'static str) -> StoreResult<bool> {
        Ok(self.try_get(column)?)
    }
}

/// `Unavailable` if the same call may work another time; `Corrupt` if it cannot.
impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let corrupt = match error.as_database_error() {
            Some(database) => !may_pass(database),
            None => matches!(
                error,
                sqlx::Error::Decode(_)
                    | sqlx::Error::ColumnDecode { .. }
                    | sqlx::Error::ColumnNotFound(_)
                    | sqlx::Error::ColumnIndexOutOfBounds { .. }
                    | sqlx::Error::TypeNotFound { .. }
                    | sqlx::Error::RowNotFound
                    | sqlx::Error::Encode(_)
            ),
        };
        if corrupt { Self::Corrupt(error.to_string()) } else { Self::Unavailable(error.into()) }
    }
}

fn may_pass(error: &dyn sqlx::error::DatabaseError) -> bool {
    let Some(code) = error.code() else { return false };
    #[cfg(feature = "sqlite")]
    if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        return super::sqlite::may_pass(&code);
    }
    #[cfg(feature = "postgres")]
    if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        return super::postgres::may_pass(&code);
    }
    false
}

/// For `LIMIT`.
pub(super) fn limit(limit: u32) -> i64 {
    limit.into()
}

/// A version as the database counts it.
pub(super) fn version(version: u64) -> StoreResult<i64> {
    i64::try_from(version).map_err(corrupt)
}
