//! Clients: every request asks who is calling.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::Copies;
use crate::{
    domain::{
        client::{Client, ClientEntry, Removal},
        identifier::ClientId,
        time::Timestamp,
    },
    port::store::{Change, ClientStore, Insertion, Page, ReapRule, Replacement, StoreResult},
};

/// Copies of clients before the store that has them.
pub(in crate::store) struct CopiedClients {
    inner: Arc<dyn ClientStore>,
    copies: Copies<ClientId, Arc<Client>>,
}

impl CopiedClients {
    /// Copies that are used for at most `bound`.
    pub(in crate::store) fn new(inner: Arc<dyn ClientStore>, bound: Duration) -> Self {
        Self { inner, copies: Copies::new(bound) }
    }

    /// Gives up what `change` may have made untrue.
    pub(in crate::store) fn note(&self, change: &Change) {
        match change {
            Change::Client(id) => self.copies.give_up(id),
            Change::User(_) | Change::SigningKeys => {}
            Change::Anything => self.copies.give_up_all(),
        }
    }

    /// What may have changed the client, even if it failed, ends the copy.
    fn after<T>(&self, id: &ClientId, outcome: StoreResult<T>) -> StoreResult<T> {
        self.copies.give_up(id);
        outcome
    }
}

#[async_trait]
impl ClientStore for CopiedClients {
    async fn insert(&self, client: &Client, max_dynamic: Option<u64>) -> StoreResult<Insertion> {
        self.inner.insert(client, max_dynamic).await
    }

    async fn find(&self, id: &ClientId) -> StoreResult<Option<ClientEntry>> {
        if let Some(copy) = self.copies.get(id) {
            return Ok(Some(ClientEntry::Registered(copy)));
        }
        let reading = self.copies.reading();
        let found = self.inner.find(id).await?;
        if let Some(ClientEntry::Registered(client)) = &found {
            self.copies.keep(id, client.clone(), reading);
        }
        Ok(found)
    }

    async fn replace(&self, client: &Client) -> StoreResult<Replacement> {
        // A conflict too: it may have been computed from an old copy, and the next try should not be.
        let replaced = self.inner.replace(client).await;
        self.after(&client.id, replaced)
    }

    async fn remove(&self, id: &ClientId, reason: Removal, now: Timestamp) -> StoreResult<bool> {
        let removed = self.inner.remove(id, reason, now).await;
        self.after(id, removed)
    }

    async fn touch(&self, id: &ClientId, now: Timestamp) -> StoreResult<bool> {
        let touched = self.inner.touch(id, now).await;
        self.after(id, touched)
    }

    async fn list(&self, page: Page<ClientId>) -> StoreResult<Vec<Client>> {
        self.inner.list(page).await
    }

    async fn reapable(&self, rule: ReapRule, limit: u32) -> StoreResult<Vec<Client>> {
        self.inner.reapable(rule, limit).await
    }

    async fn reap(&self, client: &Client, reason: Removal, now: Timestamp) -> StoreResult<bool> {
        let reaped = self.inner.reap(client, reason, now).await;
        self.after(&client.id, reaped)
    }

    async fn purge_tombstones(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        self.inner.purge_tombstones(before, limit).await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.inner.ping().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Notify;

    use super::*;
    use crate::{
        domain::client::{ClientStatus, Provenance},
        store::Stores,
    };

    const LONG: Duration = Duration::from_secs(3600);

    fn id() -> ClientId {
        ClientId::parse("client").unwrap()
    }

    fn client() -> Client {
        Client::new(id(), Provenance::Operator, Timestamp::EPOCH)
    }

    /// Copies before a store that others change behind its back.
    async fn behind(bound: Duration) -> (CopiedClients, Arc<dyn ClientStore>) {
        let store = Stores::in_memory().clients;
        store.insert(&client(), None).await.unwrap();
        (CopiedClients::new(store.clone(), bound), store)
    }

    async fn status(clients: &dyn ClientStore) -> ClientStatus {
        match clients.find(&id()).await.unwrap() {
            Some(ClientEntry::Registered(client)) => client.status,
            other => panic!("{other:?}"),
        }
    }

    async fn disable(store: &dyn ClientStore) {
        let disabled = Client { status: ClientStatus::Disabled, ..client() };
        assert_eq!(store.replace(&disabled).await.unwrap(), Replacement::Replaced);
    }

    #[tokio::test]
    async fn news_of_a_client_end_its_copy() {
        for news in [Change::Client(id()), Change::Anything] {
            let (copied, store) = behind(LONG).await;
            assert_eq!(status(&copied).await, ClientStatus::Active);
            disable(&*store).await;
            assert_eq!(status(&copied).await, ClientStatus::Active, "a copy");
            copied.note(&news);
            assert_eq!(status(&copied).await, ClientStatus::Disabled, "{news:?}");
        }
    }

    #[tokio::test]
    async fn news_of_something_else_leave_a_copy_alone() {
        let (copied, store) = behind(LONG).await;
        status(&copied).await;
        disable(&*store).await;
        copied.note(&Change::SigningKeys);
        copied.note(&Change::Client(ClientId::parse("other").unwrap()));
        assert_eq!(status(&copied).await, ClientStatus::Active);
    }

    #[tokio::test]
    async fn without_news_a_copy_ends_with_its_time() {
        let (copied, store) = behind(Duration::from_millis(1)).await;
        status(&copied).await;
        disable(&*store).await;
        tokio::time::timeout(LONG, async {
            while status(&copied).await == ClientStatus::Active {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn what_this_instance_changes_it_sees_at_once() {
        let (copied, _) = behind(LONG).await;
        status(&copied).await;
        disable(&copied).await;
        assert_eq!(status(&copied).await, ClientStatus::Disabled);
        assert!(copied.remove(&id(), Removal::Operator, Timestamp::EPOCH).await.unwrap());
        assert!(matches!(copied.find(&id()).await.unwrap(), Some(ClientEntry::Removed { .. })));
    }

    #[tokio::test]
    async fn a_conflict_ends_the_copy_that_it_came_from() {
        let (copied, store) = behind(LONG).await;
        status(&copied).await;
        disable(&*store).await;
        assert_eq!(copied.replace(&client()).await.unwrap(), Replacement::Conflict);
        assert_eq!(status(&copied).await, ClientStatus::Disabled);
    }

    #[tokio::test]
    async fn a_client_that_registered_elsewhere_is_found_although_it_was_not_there_before() {
        let store = Stores::in_memory().clients;
        let copied = CopiedClients::new(store.clone(), LONG);
        assert_eq!(copied.find(&id()).await.unwrap(), None);
        store.insert(&client(), None).await.unwrap();
        assert_eq!(status(&copied).await, ClientStatus::Active);
    }

    /// Answers a `find` with what was so when it was asked, once it is told to.
    struct Slow {
        inner: Arc<dyn ClientStore>,
        asked: Notify,
        answer: Notify,
        seen: Mutex<u32>,
    }

    #[async_trait]
    impl ClientStore for Slow {
        async fn find(&self, id: &ClientId) -> StoreResult<Option<ClientEntry>> {
            let found = self.inner.find(id).await;
            let first = {
                let mut seen = self.seen.lock().unwrap();
                *seen += 1;
                *seen == 1
            };
            if first {
                self.asked.notify_one();
                self.answer.notified().await;
            }
            found
        }
        async fn insert(&self, client: &Client, max_dynamic: Option<u64>) -> StoreResult<Insertion> {
            self.inner.insert(client, max_dynamic).await
        }
        async fn replace(&self, client: &Client) -> StoreResult<Replacement> {
            self.inner.replace(client).await
        }
        async fn remove(&self, id: &ClientId, reason: Removal, now: Timestamp) -> StoreResult<bool> {
            self.inner.remove(id, reason, now).await
        }
        async fn touch(&self, id: &ClientId, now: Timestamp) -> StoreResult<bool> {
            self.inner.touch(id, now).await
        }
        async fn list(&self, page: Page<ClientId>) -> StoreResult<Vec<Client>> {
            self.inner.list(page).await
        }
        async fn reapable(&self, rule: ReapRule, limit: u32) -> StoreResult<Vec<Client>> {
            self.inner.reapable(rule, limit).await
        }
        async fn reap(&self, client: &Client, reason: Removal, now: Timestamp) -> StoreResult<bool> {
            self.inner.reap(client, reason, now).await
        }
        async fn purge_tombstones(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
            self.inner.purge_tombstones(before, limit).await
        }
        async fn ping(&self) -> StoreResult<()> {
            self.inner.ping().await
        }
    }

    /// Reads an active client that is disabled before the answer arrives; what happens to the copies meanwhile is for `then`.
    async fn overtaken(then: impl AsyncFnOnce(&CopiedClients)) {
        let store = Stores::in_memory().clients;
        store.insert(&client(), None).await.unwrap();
        let slow = Arc::new(Slow { inner: store.clone(), asked: Notify::new(), answer: Notify::new(), seen: 0.into() });
        let copied = Arc::new(CopiedClients::new(slow.clone(), LONG));
        let reading = tokio::spawn({
            let copied = copied.clone();
            async move { status(&*copied).await }
        });
        slow.asked.notified().await;
        disable(&*store).await;
        then(&copied).await;
        slow.answer.notify_one();
        assert_eq!(reading.await.unwrap(), ClientStatus::Active, "it was so when it was asked");
        assert_eq!(status(&*copied).await, ClientStatus::Disabled);
    }

    #[tokio::test(start_paused = true)]
    async fn the_bound_counts_from_the_question_and_not_from_a_late_answer() {
        overtaken(async |_| tokio::time::advance(LONG).await).await;
    }

    #[tokio::test]
    async fn a_reading_that_news_overtook_is_not_kept() {
        overtaken(async |copied| copied.note(&Change::Client(id()))).await;
    }
}
