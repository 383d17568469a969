//! Clients that were read a moment ago, so that a token request need not ask a store on another machine who is calling.
//!
//! A copy is given up when this instance changes the client, when news of a change arrive ([`Change`]), and in any case after
//! a short time. So a client that is disabled on another instance is disabled here at once, and after that time even if the
//! news are lost. What is not registered is not remembered: a client that has just registered elsewhere is found.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use moka::sync::Cache;
use tokio::time::Instant;

use crate::{
    domain::{
        client::{Client, ClientEntry, Removal},
        identifier::ClientId,
        time::Timestamp,
    },
    port::store::{Change, ClientStore, Insertion, Page, ReapRule, Replacement, StoreResult},
};

/// The most copies; a client with everything set has a few KiB.
const CAPACITY: u64 = 10_000;

/// A client as it was at some time after it was asked for.
#[derive(Clone)]
struct Remembered {
    client: Arc<Client>,
    asked_at: Instant,
}

/// Copies of clients before the store that has them.
pub(super) struct CachedClients {
    inner: Arc<dyn ClientStore>,
    copies: Cache<ClientId, Remembered>,
    bound: Duration,
    /// How often something was given up. A reading that began before the last time may be older than the change.
    given_up: AtomicU64,
}

impl CachedClients {
    pub(super) fn new(inner: Arc<dyn ClientStore>, bound: Duration) -> Self {
        let copies = Cache::builder().max_capacity(CAPACITY).time_to_live(bound).build();
        Self { inner, copies, bound, given_up: AtomicU64::new(0) }
    }

    /// Gives up what `change` may have made untrue.
    pub(super) fn note(&self, change: &Change) {
        match change {
            Change::Client(id) => self.give_up(id),
            Change::SigningKeys => {}
            Change::Anything => {
                self.given_up.fetch_add(1, Ordering::SeqCst);
                self.copies.invalidate_all();
            }
        }
    }

    fn give_up(&self, id: &ClientId) {
        self.given_up.fetch_add(1, Ordering::SeqCst);
        self.copies.invalidate(id);
    }

    /// What may have changed the client, even if it failed, ends the copy.
    fn after<T>(&self, id: &ClientId, outcome: StoreResult<T>) -> StoreResult<T> {
        self.give_up(id);
        outcome
    }
}

#[async_trait]
impl ClientStore for CachedClients {
    async fn insert(&self, client: &Client, max_dynamic: Option<u64>) -> StoreResult<Insertion> {
        self.inner.insert(client, max_dynamic).await
    }

    async fn find(&self, id: &ClientId) -> StoreResult<Option<ClientEntry>> {
        // A store that is slow answers with what was so long ago, so the cache's own count from the answer is too generous.
        if let Some(copy) = self.copies.get(id).filter(|copy| copy.asked_at.elapsed() < self.bound) {
            return Ok(Some(ClientEntry::Registered(copy.client)));
        }
        let asked_at = Instant::now();
        let before = self.given_up.load(Ordering::SeqCst);
        let found = self.inner.find(id).await?;
        if let Some(ClientEntry::Registered(client)) = &found {
            self.copies.insert(id.clone(), Remembered { client: client.clone(), asked_at });
            // Looked at after the copy is there: whoever gives it up counts first, so one of the two sees the other.
            if self.given_up.load(Ordering::SeqCst) != before {
                self.copies.invalidate(id);
            }
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

    /// A cache before a store that others change behind its back.
    async fn behind(bound: Duration) -> (CachedClients, Arc<dyn ClientStore>) {
        let store = Stores::in_memory().clients;
        store.insert(&client(), None).await.unwrap();
        (CachedClients::new(store.clone(), bound), store)
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
            let (cached, store) = behind(LONG).await;
            assert_eq!(status(&cached).await, ClientStatus::Active);
            disable(&*store).await;
            assert_eq!(status(&cached).await, ClientStatus::Active, "a copy");
            cached.note(&news);
            assert_eq!(status(&cached).await, ClientStatus::Disabled, "{news:?}");
        }
    }

    #[tokio::test]
    async fn news_of_something_else_leave_a_copy_alone() {
        let (cached, store) = behind(LONG).await;
        status(&cached).await;
        disable(&*store).await;
        cached.note(&Change::SigningKeys);
        cached.note(&Change::Client(ClientId::parse("other").unwrap()));
        assert_eq!(status(&cached).await, ClientStatus::Active);
    }

    #[tokio::test]
    async fn without_news_a_copy_ends_with_its_time() {
        let (cached, store) = behind(Duration::from_millis(1)).await;
        status(&cached).await;
        disable(&*store).await;
        tokio::time::timeout(LONG, async {
            while status(&cached).await == ClientStatus::Active {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn what_this_instance_changes_it_sees_at_once() {
        let (cached, _) = behind(LONG).await;
        status(&cached).await;
        disable(&cached).await;
        assert_eq!(status(&cached).await, ClientStatus::Disabled);
        assert!(cached.remove(&id(), Removal::Operator, Timestamp::EPOCH).await.unwrap());
        assert!(matches!(cached.find(&id()).await.unwrap(), Some(ClientEntry::Removed { .. })));
    }

    #[tokio::test]
    async fn a_conflict_ends_the_copy_that_it_came_from() {
        let (cached, store) = behind(LONG).await;
        status(&cached).await;
        disable(&*store).await;
        assert_eq!(cached.replace(&client()).await.unwrap(), Replacement::Conflict);
        assert_eq!(status(&cached).await, ClientStatus::Disabled);
    }

    #[tokio::test]
    async fn a_client_that_registered_elsewhere_is_found_although_it_was_not_there_before() {
        let store = Stores::in_memory().clients;
        let cached = CachedClients::new(store.clone(), LONG);
        assert_eq!(cached.find(&id()).await.unwrap(), None);
        store.insert(&client(), None).await.unwrap();
        assert_eq!(status(&cached).await, ClientStatus::Active);
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

    /// Reads an active client that is disabled before the answer arrives; what happens to the cache meanwhile is for `then`.
    async fn overtaken(then: impl AsyncFnOnce(&CachedClients)) {
        let store = Stores::in_memory().clients;
        store.insert(&client(), None).await.unwrap();
        let slow = Arc::new(Slow { inner: store.clone(), asked: Notify::new(), answer: Notify::new(), seen: 0.into() });
        let cached = Arc::new(CachedClients::new(slow.clone(), LONG));
        let reading = tokio::spawn({
            let cached = cached.clone();
            async move { status(&*cached).await }
        });
        slow.asked.notified().await;
        disable(&*store).await;
        then(&cached).await;
        slow.answer.notify_one();
        assert_eq!(reading.await.unwrap(), ClientStatus::Active, "it was so when it was asked");
        assert_eq!(status(&*cached).await, ClientStatus::Disabled);
    }

    #[tokio::test(start_paused = true)]
    async fn the_bound_counts_from_the_question_and_not_from_a_late_answer() {
        overtaken(async |_| tokio::time::advance(LONG).await).await;
    }

    #[tokio::test]
    async fn a_reading_that_news_overtook_is_not_kept() {
        overtaken(async |cached| cached.note(&Change::Client(id()))).await;
    }
}
