//! Humans who may act: whoever uses a token that speaks for one asks.
//!
//! Only who may act is copied, by login name and without the password. To disable somebody also revokes their grants, of which no
//! copies are kept. So a copy matters where that is not done, or not yet: the command is still at it, failed or died, or somebody
//! changed the account by other means.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::Copies;
use crate::{
    domain::{
        account::{Consent, PasswordHash, Session, SessionLifetime, User, UserStatus, Username},
        assertion::ReplayId,
        credential::{Digest, SessionToken},
        identifier::{ClientId, UserId},
        resource::ResourceUri,
        scope::Scope,
        time::Timestamp,
    },
    port::store::{AccountStore, Change, Creation, Page, StoreResult},
};

/// Copies of who may act before the store that has the accounts.
pub(in crate::store) struct CopiedAccounts {
    inner: Arc<dyn AccountStore>,
    copies: Copies<UserId, Username>,
}

impl CopiedAccounts {
    /// Copies that are used for at most `bound`.
    pub(in crate::store) fn new(inner: Arc<dyn AccountStore>, bound: Duration) -> Self {
        Self { inner, copies: Copies::new(bound) }
    }

    /// Gives up what `change` may have made untrue.
    pub(in crate::store) fn note(&self, change: &Change) {
        match change {
            Change::User(id) => self.copies.give_up(id),
            Change::Client(_) | Change::SigningKeys => {}
            Change::Anything => self.copies.give_up_all(),
        }
    }
}

/// The store family: what is done here, and what is passed on.
macro_rules! accounts {
    ({ $($done_here:tt)* } $($method:ident($($argument:ident: $type:ty),*) -> $out:ty,)+) => {
        #[async_trait]
        impl AccountStore for CopiedAccounts {
            $($done_here)*

            $(async fn $method(&self, $($argument: $type),*) -> StoreResult<$out> {
                self.inner.$method($($argument),*).await
            })+
        }
    };
}

accounts! {
    {
        async fn active_user(&self, id: &UserId) -> StoreResult<Option<Username>> {
            if let Some(copy) = self.copies.get(id) {
                return Ok(Some(copy));
            }
            let reading = self.copies.reading();
            let found = self.inner.active_user(id).await?;
            if let Some(name) = &found {
                self.copies.keep(id, name.clone(), reading);
            }
            Ok(found)
        }

        async fn set_status(&self, id: &UserId, status: UserStatus) -> StoreResult<bool> {
            let set = self.inner.set_status(id, status).await;
            // It may have been set even if it failed.
            self.copies.give_up(id);
            set
        }
    }
    create_user(user: &User) -> Creation,
    find_user(id: &UserId) -> Option<User>,
    find_user_by_name(name: &Username) -> Option<User>,
    list_users(page: Page<Username>) -> Vec<User>,
    set_password(id: &UserId, password: &PasswordHash) -> bool,
    end_sessions(id: &UserId) -> bool,
    open_session(session: &Session, replaces: Option<&Digest<SessionToken>>) -> bool,
    find_session(digest: &Digest<SessionToken>) -> Option<(Session, User)>,
    touch_session(digest: &Digest<SessionToken>, now: Timestamp) -> (),
    close_session(digest: &Digest<SessionToken>) -> bool,
    consented(user: &UserId, client: &ClientId, resource: &ResourceUri) -> Scope,
    add_consent(consent: &Consent) -> (),
    forget_consents(user: &UserId, client: Option<&ClientId>) -> u64,
    forget_consents_of_client(client: &ClientId) -> u64,
    count_failure(key: &ReplayId, until: Timestamp, now: Timestamp) -> u32,
    failures(key: &ReplayId, now: Timestamp) -> Option<(u32, Timestamp)>,
    clear_failures(key: &ReplayId) -> (),
    purge(lifetime: SessionLifetime, now: Timestamp, limit: u32) -> u64,
    ping() -> (),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Stores;

    const LONG: Duration = Duration::from_secs(3600);

    fn id() -> UserId {
        UserId::parse("ada").unwrap()
    }

    fn ada() -> User {
        User {
            id: id(),
            username: Username::parse("ada").unwrap(),
            password: PasswordHash::new("$argon2id$old"),
            status: UserStatus::Active,
            created_at: Timestamp::EPOCH,
        }
    }

    /// Copies before a store that others change behind their back, with an account that may act, of which there is one.
    async fn behind() -> (CopiedAccounts, Arc<dyn AccountStore>) {
        let store = Stores::in_memory().accounts;
        store.create_user(&ada()).await.unwrap();
        let copied = CopiedAccounts::new(store.clone(), LONG);
        assert!(may_act(&copied).await);
        (copied, store)
    }

    async fn may_act(accounts: &dyn AccountStore) -> bool {
        accounts.active_user(&id()).await.unwrap().is_some()
    }

    async fn disable(store: &dyn AccountStore) {
        assert!(store.set_status(&id(), UserStatus::Disabled).await.unwrap());
    }

    #[tokio::test]
    async fn news_of_an_account_end_its_copy() {
        for news in [Change::User(id()), Change::Anything] {
            let (copied, store) = behind().await;
            disable(&*store).await;
            assert!(may_act(&copied).await, "a copy");
            copied.note(&news);
            assert!(!may_act(&copied).await, "{news:?}");
        }
    }

    #[tokio::test]
    async fn news_of_something_else_leave_a_copy_alone() {
        let (copied, store) = behind().await;
        disable(&*store).await;
        for news in [
            Change::User(UserId::parse("grace").unwrap()),
            Change::Client(ClientId::parse("ada").unwrap()),
            Change::SigningKeys,
        ] {
            copied.note(&news);
        }
        assert!(may_act(&copied).await);
    }

    #[tokio::test]
    async fn whoever_asks_for_the_account_itself_gets_no_copy() {
        let (copied, store) = behind().await;
        let password = PasswordHash::new("$argon2id$new");
        store.set_password(&id(), &password).await.unwrap();
        assert_eq!(copied.find_user(&id()).await.unwrap().unwrap().password, password);
    }

    #[tokio::test]
    async fn somebody_who_is_enabled_elsewhere_may_act_at_once() {
        let (copied, store) = behind().await;
        disable(&copied).await;
        assert!(!may_act(&copied).await);
        store.set_status(&id(), UserStatus::Active).await.unwrap();
        assert!(may_act(&copied).await);
    }
}
