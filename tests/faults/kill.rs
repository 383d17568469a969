//! `kill -9` in the middle of a load.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::{sync::Notify, task::JoinSet};

use crate::{
    Dice, Stage,
    chain::Chain,
    shares,
    support::oauth::{Identity, Wire},
};

const GRANTS: usize = 240;
const TASKS: usize = 16;

/// What the tasks share.
struct Load {
    completed: AtomicU64,
    /// So many completed operations, and then the server is killed.
    threshold: u64,
    reached: Notify,
    killed: AtomicBool,
}

impl Load {
    fn count(&self) {
        if self.completed.fetch_add(1, Ordering::SeqCst) + 1 == self.threshold {
            self.reached.notify_one();
        }
    }
}

/// Works until the server is gone.
async fn work(wire: Wire, client: Identity, load: Arc<Load>, mut chains: Vec<Chain>, mut dice: Dice) -> Vec<Chain> {
    loop {
        assert!(chains.iter().any(|chain| !chain.is_over()), "there was too little to do");
        for chain in chains.iter_mut().filter(|chain| !chain.is_over()) {
            // Some chains stay behind others, so that codes and tokens of every age are there in the end.
            if dice.roll(4) == 0 {
                continue;
            }
            if chain.step(&wire, &client, &mut dice).await.is_err() {
                assert!(load.killed.load(Ordering::SeqCst), "a connection was cut before the server was killed");
                return chains;
            }
            load.count();
        }
    }
}

async fn kill_audit(seed: u64) {
    let mut stage = Stage::set().await;
    let mut dice = Dice(seed);
    let load = Arc::new(Load {
        completed: AtomicU64::new(0),
        threshold: 300 + dice.roll(900),
        reached: Notify::new(),
        killed: AtomicBool::new(false),
    });
    let mut tasks = JoinSet::new();
    for share in shares(stage.chains(GRANTS).await, TASKS) {
        let dice = Dice(dice.roll(u64::MAX));
        tasks.spawn(work(stage.wire.clone(), stage.client.clone(), load.clone(), share, dice));
    }
    tokio::select! {
        () = load.reached.notified() => {}
        Some(early) = tasks.join_next() => panic!("a task ended before the server was killed: {:?}", early.err()),
    }
    load.killed.store(true, Ordering::SeqCst);
    stage.server.kill();
    let chains: Vec<Chain> = tasks.join_all().await.into_iter().flatten().collect();

    stage.server.restart();
    stage.audit(chains).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_in_the_middle_of_a_load_store_and_clients_agree_with_seed_1() {
    kill_audit(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_in_the_middle_of_a_load_store_and_clients_agree_with_seed_2() {
    kill_audit(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_in_the_middle_of_a_load_store_and_clients_agree_with_seed_3() {
    kill_audit(3).await;
}
