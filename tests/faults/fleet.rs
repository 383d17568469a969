//! Three instances behind a load balancer, sixteen clients, and everything that can fail does, one thing after the other: an
//! instance is killed, the store is stopped and killed, replies of the store are cut or lost after the change was made, an
//! instance is cut off; and the clock of one instance is half a minute ahead all the while.
//!
//! ```text
//! clients -> load balancer -> instance 0 -> proxy -> Postgres (and Redis)
//!                          -> instance 1 -> proxy ->
//!                          -> instance 2 -> proxy ->    its clock is ahead
//! ```
//!
//! While this goes on, each client accepts only what [`heard`] lists, and remembers what it asked and what it was told
//! ([`story`]). Afterwards this is compared with what every instance says ([`audit`]). Nothing waits for a time to pass: one
//! fault follows the other after so many answers or refusals.
//!
//! `GATEWARD_TEST_FAULT_ROUNDS` (1 unless set) says how often everything goes wrong.

mod audit;
mod desk;
mod heard;
mod load;
mod story;
mod trouble;

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use self::{desk::Desk, load::Client};
use crate::{
    Dice, Stage,
    support::{
        engine::{postgres::Postgres, proxy::Proxy, redis::Redis},
        fleet::Fleet,
        oauth::Wire,
    },
};

const INSTANCES: usize = 3;
const CLIENTS: usize = 16;
const AHEAD: Duration = Duration::from_secs(30);

/// Instances, what they keep things in, and the ways to it, which each instance has of its own.
struct Site {
    fleet: Fleet,
    postgres: Postgres,
    redis: Option<Redis>,
    to_postgres: Vec<Proxy>,
    to_redis: Vec<Proxy>,
}

impl Site {
    async fn start(redis: Option<Redis>) -> Self {
        let postgres = Postgres::start();
        let ways = |to| (0..INSTANCES).map(|_| Proxy::start(to)).collect::<Vec<_>>();
        let to_postgres = ways(postgres.address());
        let to_redis = redis.as_ref().map_or_else(Vec::new, |redis| ways(redis.address()));
        // Everybody is admin, comes from the same address, and registers as often as they like.
        let options = Stage::options()
            .set("GATEWARD_LOGIN__MAX_FAILURES", "1000000")
            .set("GATEWARD_REGISTRATION__PER_ADDRESS__BURST", "1000000")
            .set("GATEWARD_RESOURCES__1__URI", desk::NOTES)
            .set("GATEWARD_RESOURCES__1__TOKEN_FORMAT", "opaque");
        let fleet = Fleet::start_with(INSTANCES, options, |number, mut options| {
            options = options.with_store(&to_postgres[number].url(&postgres.url()));
            if let Some(redis) = &redis {
                options = options.with_token_store(&to_redis[number].url(&redis.url()));
            }
            if number + 1 == INSTANCES { options.with_clock_ahead(AHEAD) } else { options }
        })
        .await;
        Self { fleet, postgres, redis, to_postgres, to_redis }
    }

    /// From one instance to its stores, with what the changes have in them whose replies may be lost there.
    fn ways_of(&self, instance: usize) -> impl Iterator<Item = (&Proxy, &'static [&'static [u8]])> {
        let of_postgres = if self.redis.is_some() { trouble::TO_THE_REST } else { trouble::TO_POSTGRES };
        let to_postgres = self.to_postgres.get(instance).map(|way| (way, of_postgres));
        let to_redis = self.to_redis.get(instance).map(|way| (way, trouble::TO_REDIS));
        to_postgres.into_iter().chain(to_redis)
    }

    /// Waits until every instance gets requests again.
    async fn all_ready(&self) {
        for number in 0..INSTANCES {
            self.fleet.balancer().until_in(number).await;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever wants more rounds says so in the environment")]
fn rounds() -> usize {
    let rounds = std::env::var("GATEWARD_TEST_FAULT_ROUNDS");
    rounds.map_or(1, |rounds| rounds.parse().expect("GATEWARD_TEST_FAULT_ROUNDS is a number"))
}

#[expect(clippy::print_stdout, reason = "how much happened, for whoever runs it by hand")]
async fn everything_fails(redis: Option<Redis>, seed: u64) {
    let mut site = Site::start(redis).await;
    let desk = Arc::new(Desk::new(&site.fleet));
    let mut dice = Dice(seed);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(Client::new(desk.clone(), Dice(dice.roll(u64::MAX))).work());
    }
    let troubles = async {
        for _ in 0..rounds() {
            trouble::round(&mut site, &desk, &mut dice).await;
        }
    };
    tokio::select! {
        () = troubles => {}
        // It heard what nobody should hear.
        Some(early) = clients.join_next() => std::panic::resume_unwind(early.expect_err("there is more to do").into_panic()),
    }
    desk.end();
    let clients: Vec<Client> = clients.join_all().await;

    for number in 0..INSTANCES {
        let instance = site.fleet.instance(number);
        assert_eq!(Wire::past_the_balancer(instance).get("/readyz").await.status, 200);
        assert!(!instance.log().contains("panicked"), "{}", instance.log());
    }
    audit::audit(&site.fleet, desk.clone(), clients).await;
    println!("{desk}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_of_three_instances_were_told_is_true_whatever_fails_with_everything_in_postgres() {
    everything_fails(None, 1).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_of_three_instances_were_told_is_true_whatever_fails_with_tokens_in_redis() {
    everything_fails(Some(Redis::start()), 2).await;
}
