//! What one instance changes in a shared store, the others hear of.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "support/engines.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod engines;
#[path = "support/private_redis.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod private_redis;

use std::time::Duration;

use gateward::{
    domain::{
        account::UserStatus,
        client::{Client, ClientEntry, ClientStatus, Removal},
    },
    port::store::{Addition, Change, ChangeFeed, Entry, Family, Replacement},
    protocol::jose::Algorithm,
    store::Stores,
    testing::fixture::{at, client, client_id, dynamic_client, key, user, user_id},
};
use private_redis::PrivateRedis;
use redis::{AsyncCommands, FromRedisValue, cmd};
use sqlx::{Connection, Executor, PgConnection};
use url::Url;

/// Far longer than anything here takes, also on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A store that several instances share.
trait Shared {
    fn url(&self) -> String;

    /// Breaks the connections on which this store's instances hear news, and no others.
    async fn cut(&self);

    /// How many of these connections there are.
    async fn listeners(&self) -> usize;

    /// Says something that no version of the program says.
    async fn babble(&self);
}

/// A part of a Redis, or of a cluster, with a user of its own, who may do nothing else and by whom its connections are known.
struct PartOfRedis {
    admin: Url,
    name: String,
}

impl PartOfRedis {
    async fn of(server: String) -> Self {
        let part = Self { admin: server.parse().unwrap(), name: format!("test-{}", engines::fresh_name()) };
        let name = &part.name;
        let (keys, channels) = (format!("~{name}:*"), format!("&{name}:*"));
        for node in part.nodes().await {
            let rules = ["reset", "on", &format!(">{name}"), &keys, &channels, "+@all"];
            part.ask::<()>(&node, &[&["ACL", "SETUSER", name], rules.as_slice()].concat()).await;
        }
        part
    }

    /// Users are a matter of each node.
    async fn nodes(&self) -> Vec<Url> {
        let info: String = self.ask(&self.admin, &["INFO", "cluster"]).await;
        if !info.contains("cluster_enabled:1") {
            return vec![self.admin.clone()];
        }
        let nodes: String = self.ask(&self.admin, &["CLUSTER", "NODES"]).await;
        let node = |line: &str| {
            let address = line.split([' ', '@']).nth(1).unwrap();
            let (host, port) = address.rsplit_once(':').unwrap();
            let mut url = self.admin.clone();
            url.set_host(Some(host)).unwrap();
            url.set_port(Some(port.parse().unwrap())).unwrap();
            url
        };
        nodes.lines().map(node).collect()
    }

    /// Sends a command past the store.
    async fn ask<T: FromRedisValue>(&self, node: &Url, words: &[&str]) -> T {
        let client = redis::Client::open(node.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await.unwrap()
    }
}

impl Shared for PartOfRedis {
    fn url(&self) -> String {
        let mut url = self.admin.clone();
        url.set_username(&self.name).unwrap();
        url.set_password(Some(&self.name)).unwrap();
        url.query_pairs_mut().append_pair("prefix", &format!("{}:", self.name));
        url.into()
    }

    async fn cut(&self) {
        let kill = ["CLIENT", "KILL", "TYPE", "pubsub", "USER", &self.name];
        let mut ended = 0;
        for node in self.nodes().await {
            ended += self.ask::<usize>(&node, &kill).await;
        }
        assert!(ended > 0, "nobody listens");
    }

    async fn listeners(&self) -> usize {
        let mut listeners = 0;
        for node in self.nodes().await {
            let clients: String = self.ask(&node, &["CLIENT", "LIST", "TYPE", "pubsub"]).await;
            listeners += clients.lines().filter(|client| client.contains(&format!(" user={} ", self.name))).count();
        }
        listeners
    }

    async fn babble(&self) {
        let client = redis::Client::open(self.admin.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let heard: usize = connection.publish(format!("{}:changes", self.name), b"\xff".as_slice()).await.unwrap();
        assert_eq!(heard, 1);
    }
}

/// A database has channels of its own.
impl Shared for engines::Database {
    fn url(&self) -> String {
        self.url.clone()
    }

    async fn cut(&self) {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND query LIKE 'LISTEN %'";
        let ended: i64 = sqlx::query_scalar(end).fetch_one(&mut connection(self).await).await.unwrap();
        assert!(ended > 0, "nobody listens");
    }

    async fn listeners(&self) -> usize {
        let count = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND query LIKE 'LISTEN %'";
        let count: i64 = sqlx::query_scalar(count).fetch_one(&mut connection(self).await).await.unwrap();
        count.try_into().unwrap()
    }

    async fn babble(&self) {
        connection(self).await.execute("NOTIFY gateward, 'the weather'").await.unwrap();
    }
}

async fn connection(database: &engines::Database) -> PgConnection {
    PgConnection::connect(&database.url).await.unwrap()
}

async fn postgres() -> engines::Database {
    engines::postgres_database().await
}

async fn redis() -> PartOfRedis {
    PartOfRedis::of(engines::redis_url()).await
}

async fn redis_cluster() -> PartOfRedis {
    PartOfRedis::of(engines::redis_cluster_url()).await
}

async fn open(shared: &impl Shared) -> Stores {
    Stores::open(&shared.url()).await.unwrap()
}

async fn next(feed: &mut Box<dyn ChangeFeed>) -> Change {
    tokio::time::timeout(DEADLINE, feed.next()).await.unwrap()
}

/// The feed of an instance, listening already.
async fn feed(stores: &Stores) -> Box<dyn ChangeFeed> {
    let mut feeds = stores.watch();
    assert_eq!(feeds.len(), 1);
    let mut feed = feeds.remove(0);
    assert_eq!(next(&mut feed).await, Change::Anything, "nobody knows what was before");
    feed
}

fn disabled(client: Client) -> Client {
    Client { status: ClientStatus::Disabled, ..client }
}

async fn disable(stores: &Stores, name: &str) {
    assert_eq!(stores.clients.replace(&disabled(client(name))).await.unwrap(), Replacement::Replaced);
}

async fn what_another_instance_does_to_a_client_is_told(shared: impl Shared) {
    let (here, there) = (open(&shared).await, open(&shared).await);
    let mut news = feed(&here).await;
    for client in [client("replaced"), client("removed"), dynamic_client("reaped")] {
        there.clients.insert(&client, None).await.unwrap();
    }
    disable(&there, "replaced").await;
    assert_eq!(next(&mut news).await, Change::Client(client_id("replaced")));
    assert!(there.clients.remove(&client_id("removed"), Removal::Operator, at(0)).await.unwrap());
    assert_eq!(next(&mut news).await, Change::Client(client_id("removed")));
    assert!(there.clients.reap(&dynamic_client("reaped"), Removal::Idle, at(0)).await.unwrap());
    assert_eq!(next(&mut news).await, Change::Client(client_id("reaped")));
    let imported = Entry::Client(Box::new(client("imported")));
    there.archive(Family::Clients).unwrap().import(&[imported]).await.unwrap();
    assert_eq!(next(&mut news).await, Change::Client(client_id("imported")));
}

async fn what_changed_nothing_is_not_told(shared: impl Shared) {
    let (here, there) = (open(&shared).await, open(&shared).await);
    let mut news = feed(&here).await;
    there.clients.insert(&client("client"), None).await.unwrap();
    assert!(there.clients.touch(&client_id("client"), at(5)).await.unwrap());
    assert_eq!(there.clients.replace(&client("unknown")).await.unwrap(), Replacement::Gone);
    assert!(!there.clients.remove(&client_id("unknown"), Removal::Operator, at(0)).await.unwrap());
    assert!(!there.clients.reap(&client("client"), Removal::Idle, at(0)).await.unwrap());
    let signing = key("key", Algorithm::ES256, at(0));
    assert!(!there.keys.remove(&signing.id).await.unwrap());
    there.accounts.create_user(&user("ada")).await.unwrap();
    assert!(there.accounts.end_sessions(&user_id("ada")).await.unwrap());
    assert!(!there.accounts.set_status(&user_id("unknown"), UserStatus::Disabled).await.unwrap());
    disable(&there, "client").await;
    assert_eq!(next(&mut news).await, Change::Client(client_id("client")), "the first news");
}

async fn a_key_that_another_instance_adds_or_removes_is_told(shared: impl Shared) {
    let (here, there) = (open(&shared).await, open(&shared).await);
    let mut news = feed(&here).await;
    let signing = key("key", Algorithm::ES256, at(0));
    assert_eq!(there.keys.add(&signing, None).await.unwrap(), Addition::Added);
    assert_eq!(next(&mut news).await, Change::SigningKeys);
    assert!(there.keys.remove(&signing.id).await.unwrap());
    assert_eq!(next(&mut news).await, Change::SigningKeys);
}

async fn a_client_that_another_instance_disables_is_disabled_here_at_once(shared: impl Shared) {
    let (here, there) = (open(&shared).await, open(&shared).await);
    let here = here.with_client_copies(Duration::from_secs(3600));
    let mut news = feed(&here).await;
    there.clients.insert(&client("client"), None).await.unwrap();
    let id = client_id("client");
    let status = async || match here.clients.find(&id).await.unwrap() {
        Some(ClientEntry::Registered(client)) => Some(client.status),
        Some(ClientEntry::Removed { .. }) | None => None,
    };
    assert_eq!(status().await, Some(ClientStatus::Active));
    disable(&there, "client").await;
    assert_eq!(status().await, Some(ClientStatus::Active), "a copy");
    here.note(&next(&mut news).await);
    assert_eq!(status().await, Some(ClientStatus::Disabled));
}

async fn what_another_instance_does_to_an_account_is_told(shared: impl Shared) {
    let (here, there) = (open(&shared).await, open(&shared).await);
    let mut news = feed(&here).await;
    for name in ["ada", "grace"] {
        there.accounts.create_user(&user(name)).await.unwrap();
    }
    for status in [UserStatus::Disabled, UserStatus::Active] {
        assert!(there.accounts.set_status(&user_id("ada"), status).await.unwrap());
        assert_eq!(next(&mut news).await, Change::User(user_id("ada")), "{status:?}");
    }
    there.archive(Family::Accounts).unwrap().import(&[Entry::User(user("grace"))]).await.unwrap();
    assert_eq!(next(&mut news).await, Change::User(user_id("grace")));
}

async fn an_account_that_another_instance_disables_is_disabled_here_at_once(shared: impl Shared) {
    let (here, there) = (open(&shared).await, open(&shared).await);
    let here = here.with_account_copies(Duration::from_secs(3600));
    let mut news = feed(&here).await;
    let ada = user("ada");
    there.accounts.create_user(&ada).await.unwrap();
    let name = async || here.accounts.active_user(&ada.id).await.unwrap();
    assert_eq!(name().await.as_ref(), Some(&ada.username));
    assert!(there.accounts.set_status(&ada.id, UserStatus::Disabled).await.unwrap());
    assert_eq!(name().await.as_ref(), Some(&ada.username), "a copy");
    assert_eq!(here.accounts.find_user(&ada.id).await.unwrap().unwrap().status, UserStatus::Disabled, "no copy");
    here.note(&next(&mut news).await);
    assert_eq!(name().await, None);
}

async fn after_the_connection_broke_anything_may_have_changed_and_news_go_on(shared: impl Shared) {
    let (here, there) = (open(&shared).await, open(&shared).await);
    let mut news = feed(&here).await;
    there.clients.insert(&client("client"), None).await.unwrap();
    for _ in 0..2 {
        shared.cut().await;
        assert_eq!(next(&mut news).await, Change::Anything);
    }
    disable(&there, "client").await;
    assert_eq!(next(&mut news).await, Change::Client(client_id("client")));
}

async fn what_nobody_understands_may_be_anything(shared: impl Shared) {
    let here = open(&shared).await;
    let mut news = feed(&here).await;
    shared.babble().await;
    assert_eq!(next(&mut news).await, Change::Anything);
}

async fn a_feed_that_is_given_up_leaves_no_connection(shared: impl Shared) {
    let here = open(&shared).await;
    let (first, second) = (feed(&here).await, feed(&here).await);
    assert_eq!(shared.listeners().await, 2);
    drop(first);
    let one = async {
        while shared.listeners().await != 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, one).await.unwrap();
    drop(second);
}

async fn a_wait_that_was_given_up_loses_nothing(shared: impl Shared) {
    let (here, there) = (open(&shared).await, open(&shared).await);
    let mut news = feed(&here).await;
    there.clients.insert(&client("client"), None).await.unwrap();
    let nothing = tokio::time::timeout(Duration::from_millis(1), news.next()).await;
    assert!(nothing.is_err());
    disable(&there, "client").await;
    assert_eq!(next(&mut news).await, Change::Client(client_id("client")));
}

macro_rules! news {
    ($backend:ident, $shared:expr) => {
        news! { [$backend, $shared]
            what_another_instance_does_to_a_client_is_told,
            what_changed_nothing_is_not_told,
            a_key_that_another_instance_adds_or_removes_is_told,
            a_client_that_another_instance_disables_is_disabled_here_at_once,
            what_another_instance_does_to_an_account_is_told,
            an_account_that_another_instance_disables_is_disabled_here_at_once,
            after_the_connection_broke_anything_may_have_changed_and_news_go_on,
            what_nobody_understands_may_be_anything,
            a_feed_that_is_given_up_leaves_no_connection,
            a_wait_that_was_given_up_loses_nothing,
        }
    };
    ([$backend:ident, $shared:expr] $($behaviour:ident,)+) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    super::$behaviour($shared().await).await;
                }
            )+
        }
    };
}

// A line for each backend that others may change at the same time and that tells of it.
news!(in_postgres, crate::postgres);
news!(in_redis, crate::redis);
news!(in_redis_cluster, crate::redis_cluster);

#[tokio::test]
async fn a_file_and_memory_tell_nothing() {
    let (file, _kept) = engines::sqlite().await;
    assert!(file.watch().is_empty());
    assert!(Stores::in_memory().watch().is_empty());
}

#[tokio::test]
async fn when_a_redis_that_was_down_is_back_anything_may_have_changed_and_news_go_on() {
    let mut server = PrivateRedis::start(&[]);
    let (here, there) = (Stores::open(&server.url()).await.unwrap(), Stores::open(&server.url()).await.unwrap());
    there.clients.insert(&client("client"), None).await.unwrap();
    let mut news = feed(&here).await;
    server.kill();
    let none = tokio::time::timeout(Duration::from_millis(1_500), news.next()).await;
    assert!(none.is_err(), "while it is down there are none");
    server.start_again();
    assert_eq!(next(&mut news).await, Change::Anything);
    disable(&there, "client").await;
    assert_eq!(next(&mut news).await, Change::Client(client_id("client")));
}

/// What is changed counts, although nobody hears of it.
/// For example because of `idle_session_timeout`, or a pooler that cannot listen.
#[tokio::test]
async fn a_postgres_that_ends_every_connection_is_not_asked_without_end() {
    let database = postgres().await;
    let mut impatient: Url = database.url.parse().unwrap();
    impatient.query_pairs_mut().append_pair("options[idle_session_timeout]", "100");
    let mut news = feed(&Stores::open(impatient.as_str()).await.unwrap()).await;
    let mut count = 0;
    let counting = async {
        loop {
            assert_eq!(news.next().await, Change::Anything);
            count += 1;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(3), counting).await.is_err());
    assert!((1..=3).contains(&count), "{count} connections in three seconds");
}

#[tokio::test]
async fn a_user_who_may_not_publish_may_change_a_client() {
    let server = PrivateRedis::start(&[]);
    let user = ["ACL", "SETUSER", "mute", "reset", "on", ">mute", "~*", "+@all"];
    private_redis::ask::<()>(&server, &user).await;
    let stores = Stores::open(&format!("redis://mute:mute@127.0.0.1:{}", server.port())).await.unwrap();
    stores.clients.insert(&client("client"), None).await.unwrap();
    disable(&stores, "client").await;
    assert!(stores.clients.remove(&client_id("client"), Removal::Operator, at(0)).await.unwrap());
    let signing = key("key", Algorithm::ES256, at(0));
    assert_eq!(stores.keys.add(&signing, None).await.unwrap(), Addition::Added);
    assert!(stores.keys.remove(&signing.id).await.unwrap());
}
