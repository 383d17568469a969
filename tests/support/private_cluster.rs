//! A Redis Cluster of one test: three masters on ports of their own, which share the slots between them.

use std::time::Duration;

use tokio::time::{interval, timeout};

use super::private_redis::{PrivateRedis, ask, free_port};

/// The first slot of each master, and where the last one ends.
const FROM: [u16; 4] = [0, 5_461, 10_923, 16_384];

/// Running masters. Dropping it kills the processes.
#[derive(Debug)]
pub(crate) struct PrivateCluster {
    pub(crate) masters: Vec<PrivateRedis>,
}

impl PrivateCluster {
    /// Starts one that goes on with the slots that are left when a master is lost, and waits until all of it is there.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let mut masters = Vec::new();
        for slots in FROM.windows(2) {
            // The default is beyond the last port that there is for many a port.
            let bus = free_port().to_string();
            let cluster = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-require-full-coverage", "no"];
            let master = PrivateRedis::start(&[&cluster, arguments].concat());
            let (first, last) = (slots[0].to_string(), (slots[1] - 1).to_string());
            let () = ask(&master, &["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await;
            if let Some(other) = masters.first() {
                let port = PrivateRedis::port(other).to_string();
                let bus = bus_of(other).await;
                let () = ask(&master, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
            }
            masters.push(master);
        }
        let cluster = Self { masters };
        for master in &cluster.masters {
            until_whole(master).await;
        }
        cluster
    }

    pub(crate) fn url(&self) -> String {
        self.masters[0].url()
    }

    /// Which of the masters had the slot of a key at the start.
    pub(crate) async fn master_of(&self, key: &str) -> usize {
        let slot: u16 = ask(&self.masters[0], &["CLUSTER", "KEYSLOT", key]).await;
        FROM.iter().rposition(|first| *first <= slot).unwrap()
    }
}

/// Waits until a node can reach every slot.
pub(crate) async fn until_whole(node: &PrivateRedis) {
    let signs = ["cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:3"];
    until("the cluster comes together", async || {
        let info: String = ask(node, &["CLUSTER", "INFO"]).await;
        signs.iter().all(|sign| info.contains(sign))
    })
    .await;
}

/// Asks again and again until the answer is yes.
pub(crate) async fn until(reason: &str, condition: impl AsyncFn() -> bool) {
    let asking = async {
        let mut ticks = interval(Duration::from_millis(10));
        while !condition().await {
            ticks.tick().await;
        }
    };
    let in_time = timeout(Duration::from_secs(30), asking).await;
    assert!(in_time.is_ok(), "waited in vain: {reason}");
}

async fn bus_of(node: &PrivateRedis) -> String {
    let nodes: String = ask(node, &["CLUSTER", "NODES"]).await;
    let myself = nodes.lines().find(|node| node.contains("myself")).unwrap();
    let address = myself.split(' ').nth(1).unwrap();
    address.split(['@', ',']).nth(1).unwrap().to_owned()
}
