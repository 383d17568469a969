//! What happens in a Redis Cluster when a part of it is away or has moved, and what replicas are waited for.
#![cfg(all(feature = "testing", feature = "redis"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "support/private_cluster.rs"]
mod private_cluster;
#[path = "support/private_redis.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod private_redis;

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use gateward::{
    port::store::{Issue, Redemption, StoreError, StoreResult},
    store::Stores,
    testing::fixture::{access_token, at, code, grant, grant_id, revocation, verified_code},
};
use private_cluster::{PrivateCluster, until, until_whole};
use private_redis::{PrivateRedis, ask};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

/// How long nobody has to wait who wants nothing of a master that is away.
const SOON: Duration = Duration::from_secs(1);

async fn open(url: &str) -> Stores {
    Stores::open(url).await.unwrap()
}

fn is_unavailable<T: std::fmt::Debug>(outcome: StoreResult<T>) -> bool {
    matches!(outcome, Err(StoreError::Unavailable(_)))
}

/// Grants of which each master has some: their names, and the number of the master.
async fn spread(cluster: &PrivateCluster, stores: &Stores) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for i in 0..24 {
        let name = format!("grant-{i}");
        stores.tokens.open_grant(&grant(&name), &code(&name)).await.unwrap();
        let master = cluster.master_of(&format!("{{{name}}}")).await;
        found.push((name, master));
    }
    assert!((0..3).all(|master| found.iter().any(|(_, of)| *of == master)));
    found
}

#[tokio::test]
async fn a_master_that_is_down_takes_its_slots_with_it_and_no_other_until_it_is_back() {
    let mut cluster = PrivateCluster::start(&[]).await;
    let stores = open(&cluster.url()).await;
    let grants = spread(&cluster, &stores).await;
    for down in [2, 0] {
        cluster.masters[down].kill();
        for _ in 0..3 {
            for (name, master) in &grants {
                let id = grant_id(name);
                let found = timeout(SOON, stores.tokens.find_grant(&id)).await.unwrap();
                assert_eq!(is_unavailable(found), *master == down, "{name}");
                let revoked = stores.tokens.revoke_grant(&id, revocation(at(2)));
                assert_eq!(is_unavailable(timeout(SOON, revoked).await.unwrap()), *master == down, "{name}");
            }
        }
        cluster.masters[down].start_again();
        until_whole(&cluster.masters[down]).await;
        for (name, _) in &grants {
            assert!(stores.tokens.find_grant(&grant_id(name)).await.unwrap().is_some());
        }
    }
}

/// It takes connections and does not answer, as behind a path that swallows packets.
#[tokio::test]
async fn a_master_that_does_not_answer_holds_up_nobody_who_wants_nothing_of_it() {
    let cluster = PrivateCluster::start(&[]).await;
    let stores = open(&cluster.url()).await;
    let grants = spread(&cluster, &stores).await;
    for silent in 0..3 {
        cluster.masters[silent].signal("STOP");
        let (name, _) = grants.iter().find(|(_, master)| *master == silent).unwrap();
        assert!(is_unavailable(stores.tokens.find_grant(&grant_id(name)).await));
        let mut others = JoinSet::new();
        for (name, _) in grants.iter().filter(|(_, master)| *master != silent) {
            let (stores, id) = (stores.clone(), grant_id(name));
            others.spawn(async move { timeout(SOON, stores.tokens.find_grant(&id)).await.unwrap() });
        }
        assert!(others.join_all().await.into_iter().all(|found| found.unwrap().is_some()));
        cluster.masters[silent].signal("CONT");
        until_whole(&cluster.masters[silent]).await;
        for (name, _) in &grants {
            assert!(stores.tokens.find_grant(&grant_id(name)).await.unwrap().is_some());
        }
    }
}

/// Where nodes do not say what they are called, a redirection says no more than that.
#[tokio::test]
async fn a_slot_that_has_moved_is_found_where_nodes_have_no_names() {
    let cluster = PrivateCluster::start(&["--cluster-preferred-endpoint-type", "unknown-endpoint"]).await;
    let stores = open(&cluster.url()).await;
    let id = grant_id("one");
    assert!(stores.tokens.find_grant(&id).await.unwrap().is_none());
    let from = cluster.master_of("{one}").await;
    let to: String = ask(&cluster.masters[(from + 1) % 3], &["CLUSTER", "MYID"]).await;
    let slot: u16 = ask(&cluster.masters[0], &["CLUSTER", "KEYSLOT", "one"]).await;
    for offset in [1, 0, 2] {
        let node = &cluster.masters[(from + offset) % 3];
        let () = ask(node, &["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &to]).await;
    }
    // The first one may be the one that finds out.
    drop(stores.tokens.find_grant(&id).await);
    assert!(stores.tokens.find_grant(&id).await.unwrap().is_none());
}

/// A server and its replica, which has caught up.
async fn with_replica() -> (PrivateRedis, PrivateRedis) {
    let master = PrivateRedis::start(&["--repl-diskless-sync-delay", "0"]);
    let replica = PrivateRedis::start(&["--replicaof", "127.0.0.1", &master.port().to_string()]);
    until("the replica has caught up", async || {
        let info: String = ask(&master, &["INFO", "replication"]).await;
        info.contains("state=online")
    })
    .await;
    (master, replica)
}

#[tokio::test]
async fn a_change_is_done_when_a_replica_has_it_and_unavailable_while_none_answers() {
    let (master, replica) = with_replica().await;
    let stores = open(&format!("{}?wait_replicas=1&wait_timeout=1s", master.url())).await;
    stores.tokens.open_grant(&grant("a"), &code("a")).await.unwrap();
    assert!(stores.tokens.revoke_grant(&grant_id("a"), revocation(at(2))).await.unwrap());
    let there: Option<String> = ask(&replica, &["HGET", "gateward:{a}:grant", "revoked_at"]).await;
    assert_eq!(there, Some(at(2).to_string()));

    replica.signal("STOP");
    let id = grant_id("a");
    assert!(is_unavailable(stores.tokens.open_grant(&grant("b"), &code("b")).await));
    assert!(is_unavailable(stores.tokens.ping().await));
    assert!(stores.tokens.find_grant(&id).await.unwrap().is_some());
    replica.signal("CONT");
    until("the replica is back", async || stores.tokens.ping().await.is_ok()).await;
    stores.tokens.open_grant(&grant("c"), &code("c")).await.unwrap();
}

/// What was changed may be lost with the rest of what this server was the only one to have.
#[tokio::test]
async fn a_change_that_waits_while_its_master_becomes_a_replica_is_unavailable() {
    let (master, replica) = with_replica().await;
    let stores = open(&format!("{}?wait_replicas=1&wait_timeout=1900ms", master.url())).await;
    // So that the server knows the script.
    stores.tokens.open_grant(&grant("a"), &code("a")).await.unwrap();
    replica.signal("STOP");
    let (grant, code) = (grant("b"), code("b"));
    let (change, ()) = tokio::join!(stores.tokens.open_grant(&grant, &code), async {
        until("the change waits", async || {
            let info: String = ask(&master, &["INFO", "clients"]).await;
            info.contains("blocked_clients:1")
        })
        .await;
        let () = ask(&master, &["REPLICAOF", "127.0.0.1", &replica.port().to_string()]).await;
    });
    assert!(is_unavailable(change));
}

/// Those who only want to know something do not stand in line behind changes that wait.
#[tokio::test]
async fn whoever_reads_does_not_wait_for_replicas() {
    let (master, replica) = with_replica().await;
    let stores = open(&format!("{}?wait_replicas=1&wait_timeout=500ms", master.url())).await;
    stores.tokens.open_grant(&grant("a"), &code("a")).await.unwrap();
    replica.signal("STOP");
    let mut changes = JoinSet::new();
    for i in 0..20 {
        let stores = stores.clone();
        changes.spawn(async move {
            let name = format!("b{i}");
            stores.tokens.open_grant(&grant(&name), &code(&name)).await
        });
    }
    until("the changes wait", async || {
        let info: String = ask(&master, &["INFO", "clients"]).await;
        info.contains("blocked_clients:1")
    })
    .await;
    let id = grant_id("a");
    for _ in 0..10 {
        assert!(timeout(SOON, stores.tokens.find_grant(&id)).await.unwrap().unwrap().is_some());
    }
    assert!(changes.join_all().await.into_iter().all(is_unavailable));
}

/// In a cluster they are on other masters, and a grant that is in no list is not found by who revokes all of somebody's.
#[tokio::test]
async fn a_grant_is_not_recorded_before_replicas_have_what_leads_to_it() {
    let cluster = PrivateCluster::start(&[]).await;
    let stores = open(&format!("{}?wait_replicas=1&wait_timeout=10ms", cluster.url())).await;
    assert!(is_unavailable(stores.tokens.open_grant(&grant("a"), &code("a")).await));
    assert!(stores.tokens.find_grant(&grant_id("a")).await.unwrap().is_none());
}

/// An index that cannot be told about something that was done is no reason to say that it was not.
#[tokio::test]
async fn a_redemption_is_done_although_nobody_can_be_told_when_to_prune_its_grant() {
    let server = PrivateRedis::start(&[]);
    let stores = open(&server.url()).await;
    let (grant, code) = (grant("a"), code("a"));
    stores.tokens.open_grant(&grant, &code).await.unwrap();
    // From now on the schedule is of a type that it cannot be.
    let () = ask(&server, &["SET", "gateward:{grants}:due", "x"]).await;
    let verified = verified_code(stores.tokens.find_code(&code.digest).await.unwrap().unwrap());
    let mut access = access_token("a", Some("a"));
    access.token.expires_at = at(2);
    let issue = Issue { access: Some(access.clone()), ..Issue::default() };
    assert_eq!(stores.tokens.redeem(&verified, &issue, at(1)).await.unwrap(), Redemption::Redeemed);
    assert!(stores.tokens.find_access(&access.digest).await.unwrap().is_some());
}

/// An address behind which servers change: each new connection goes to the one of this port.
async fn address_of(port: &Arc<AtomicU16>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let port = Arc::clone(port);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let server = (Ipv4Addr::LOCALHOST, port.load(Ordering::Relaxed));
            tokio::spawn(async move {
                let mut far = TcpStream::connect(server).await?;
                copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    address.port()
}

/// Where a name or an address leads to the master of the day, the old one says that it is none, and keeps its connections.
#[tokio::test]
async fn a_master_that_became_a_replica_is_left_for_the_new_one() {
    for wait in ["", "?wait_replicas=1&wait_timeout=1s"] {
        let (old, new) = with_replica().await;
        let port = Arc::new(AtomicU16::new(old.port()));
        let stores = open(&format!("redis://127.0.0.1:{}{wait}", address_of(&port).await)).await;
        stores.tokens.open_grant(&grant("a"), &code("a")).await.unwrap();
        until("the replica has it", async || ask(&new, &["EXISTS", "gateward:{a}:grant"]).await).await;
        let () = ask(&new, &["REPLICAOF", "NO", "ONE"]).await;
        let () = ask(&old, &["REPLICAOF", "127.0.0.1", &new.port().to_string()]).await;
        port.store(new.port(), Ordering::Relaxed);
        until("changes are made again", async || stores.tokens.ping().await.is_ok()).await;
        // Reads come from there, too: the old one may know nothing of this.
        old.signal("STOP");
        let id = grant_id("a");
        assert!(timeout(SOON, stores.tokens.find_grant(&id)).await.unwrap().unwrap().is_some());
        old.signal("CONT");
    }
}
