//! What goes wrong, one after the other, while the clients go on.

use super::{Site, desk::Desk};
use crate::{
    Dice,
    support::{engine::Process, engine::proxy::Proxy, until},
};

/// So many operations between two faults, and beside one that leaves instances to work.
const CALM: u64 = 60;

/// So many refusals while nothing can work.
const STORM: u64 = 48;

/// So many times each way is cut in each manner.
const CUTS: usize = 3;

/// What a request to Postgres has in it that records an opaque access token, with the code or refresh token spent for it (the
/// scope and the audience, with its length, of a Bind message); that opens a grant; and that revokes one.
pub(super) const TO_POSTGRES: &[&[u8]] =
    &[b"mcp:write\0\0\0\x19https://notes.example/mcp", b"[\"https://notes.", b"by_client"];

/// The same for Redis, where only tokens are: records at the resource with opaque tokens, and revocations.
pub(super) const TO_REDIS: &[&[u8]] = &[b"notes.example", b"by_client"];

/// For a Postgres that has everything but tokens: what humans agree to, and what they agreed to before.
pub(super) const TO_THE_REST: &[&[u8]] = &[b"notes.example"];

/// Everything once.
pub(super) async fn round(site: &mut Site, desk: &Desk, dice: &mut Dice) {
    desk.completes(CALM).await;
    an_instance_is_killed(site, desk).await;
    for gone in [Process::stop, Process::kill] {
        store_is_gone(site, desk, gone, |site| &mut *site.postgres).await;
        if site.redis.is_some() {
            store_is_gone(site, desk, gone, |site| site.redis.as_deref_mut().expect("it is there")).await;
        }
    }
    for number in 0..super::INSTANCES {
        for (way, changes) in site.ways_of(number) {
            replies_are_lost(way, changes, desk, dice).await;
        }
        site.all_ready().await;
    }
    an_instance_is_cut_off(site, desk).await;
    desk.completes(CALM).await;
}

async fn an_instance_is_killed(site: &mut Site, desk: &Desk) {
    site.fleet.instance_mut(1).kill();
    desk.completes(CALM).await;
    site.fleet.instance_mut(1).restart();
    site.all_ready().await;
    desk.count("trouble: an instance was killed");
}

async fn store_is_gone(
    site: &mut Site,
    desk: &Desk,
    gone: impl Fn(&mut Process),
    store: impl Fn(&mut Site) -> &mut Process,
) {
    gone(store(site));
    desk.refuses(STORM).await;
    store(site).start_again();
    site.all_ready().await;
    desk.completes(CALM).await;
    desk.count("trouble: a store was stopped or killed");
}

/// In the middle of a reply, before it although the change was made, and wherever things are at that moment.
async fn replies_are_lost(way: &Proxy, changes: &[&[u8]], desk: &Desk, dice: &mut Dice) {
    for _ in 0..CUTS {
        happens(way, || way.cut_after(1 + dice.roll(4096))).await;
        desk.count("trouble: a reply was cut in the middle");
        for change in changes {
            happens(way, || way.lose_reply_to(change)).await;
            desk.count("trouble: a change was made and its reply lost");
            desk.completes(CALM / 6).await;
        }
        way.cut();
        desk.count("trouble: all connections were cut");
        desk.completes(CALM / 6).await;
    }
}

async fn happens(way: &Proxy, mut order: impl FnMut()) {
    let before = way.happened();
    order();
    until("a reply is lost", async || way.happened() > before).await;
}

/// The others go on without it, and it comes back by itself.
async fn an_instance_is_cut_off(site: &Site, desk: &Desk) {
    for (way, _) in site.ways_of(0) {
        way.refuse();
        way.cut();
        site.fleet.balancer().until_out(0).await;
        desk.completes(CALM).await;
        way.accept();
        site.all_ready().await;
        desk.count("trouble: an instance was cut off from a store");
    }
}
