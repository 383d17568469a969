//! What only a store on a server can be asked: what becomes of the connections, what happens when the server is slow, silent or
//! gone, and how versions of the schema live beside each other.
#![cfg(all(feature = "testing", feature = "postgres"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "../support/engines.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod engines;
mod hanging_up;
mod schema;
mod together;
mod trouble;

use std::time::Duration;

use gateward::{
    domain::{code::VerifiedCode, refresh::VerifiedRefresh},
    port::store::{Issue, Redemption, StoreError, StoreResult},
    store::{Migrations, OpenError, StoreUrls, Stores},
    testing::fixture::{self, access_token, at, code, grant, refresh_token},
};
use sqlx::{Connection, PgConnection};
use url::Url;

/// Longer than anything here may take on a busy machine, and short enough to tell a call that hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A way in past the store.
pub(crate) async fn raw(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// The same place with settings of the pool.
pub(crate) fn with(url: &str, settings: &[(&str, &str)]) -> String {
    let mut url: Url = url.parse().unwrap();
    url.query_pairs_mut().extend_pairs(settings);
    url.into()
}

pub(crate) fn is_unavailable<T>(outcome: &StoreResult<T>) -> bool {
    matches!(outcome, Err(StoreError::Unavailable(_)))
}

pub(crate) async fn refuse(url: &str) -> Result<Stores, OpenError> {
    let urls = StoreUrls { default: url.to_owned(), ..StoreUrls::default() };
    Stores::open_each(&urls, Migrations::Refuse).await.map_err(|failed| failed.error)
}

pub(crate) fn issue(refresh: &str, access: &str, grant: &str) -> Issue {
    Issue {
        refresh: Some(refresh_token(refresh)),
        access: Some(access_token(access, Some(grant))),
        grant_expires_at: Some(at(fixture::REFRESH_LIFETIME)),
    }
}

pub(crate) async fn open_grant(stores: &Stores, name: &str) -> VerifiedCode<'static> {
    stores.tokens.open_grant(&grant(name), &code(name)).await.unwrap();
    let record = stores.tokens.find_code(&code(name).digest).await.unwrap();
    fixture::verified_code(record.unwrap())
}

pub(crate) async fn verified_refresh(stores: &Stores, name: &str) -> VerifiedRefresh<'static> {
    let record = stores.tokens.find_refresh(&refresh_token(name).digest).await.unwrap();
    fixture::verified_refresh(record.unwrap())
}

pub(crate) async fn redeemed_grant(stores: &Stores, name: &str) -> VerifiedRefresh<'static> {
    let code = open_grant(stores, name).await;
    let redeemed = stores.tokens.redeem(&code, &issue(name, name, name), at(1)).await.unwrap();
    assert_eq!(redeemed, Redemption::Redeemed);
    verified_refresh(stores, name).await
}

pub(crate) async fn has_both(stores: &Stores, name: &str) -> bool {
    let refresh = stores.tokens.find_refresh(&refresh_token(name).digest).await.unwrap().is_some();
    let access = stores.tokens.find_access(&access_token(name, None).digest).await.unwrap().is_some();
    assert_eq!(refresh, access, "{name}: half an issue");
    refresh
}
