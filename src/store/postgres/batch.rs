//! Calls that come while others like them are on their way travel together, as one statement.
//!
//! A statement costs its way there and back, a commit that waits for the disk, and the server's time to start and end it, whatever
//! it does; so a burst of calls is cheaper in a few statements than in many. Nobody waits for company: a call goes at once while no
//! statement of its kind is under way, or one that carries few. What comes while one carries many goes with the next, unless that one is not
//! soon answered.
//!
//! 1. A statement for several calls does not wait for grants. One that somebody else has it leaves out, and a call that it leaves out
//!    is made alone, beside the lanes: so a row that is locked for long delays those who ask for it, and nobody else.
//! 2. A statement that cannot be carried out, e.g. because of a constraint, has changed nothing, and each of its calls is made alone: so
//!    one that cannot succeed fails by itself.
//! 3. Any other failure may be one of the connection, which says nothing about what happened, and everybody in the statement hears that.
//! 4. Whoever stops waiting before the statement is sent has not asked.
//! 5. Where nobody in line has been taken along for a while, the statements under way are stuck, e.g. on connections that fell silent:
//!    then a few more go beside them until nobody waits, unless it is connections that are missing.

use std::future::Future;

use tokio::{
    sync::oneshot,
    task::yield_now,
    time::{Instant, timeout_at},
};

use super::{
    Held, Postgres, collided,
    line::{Batches, Caller, Lane, Pending, SOON},
    unavailable,
};
use crate::port::store::{StoreError, StoreResult};

/// Statements on one connection before the pool sees it again and may find it too old.
const IN_A_ROW: u32 = 64;

/// Whether a connection may be kept for another statement, after so many: not for ever, and only while a pool with room for `most` has,
/// or can make, another one for whoever needs it.
const fn may_be_kept(statements: u32, in_use: u32, most: u32) -> bool {
    statements < IN_A_ROW && in_use < most
}

/// A call that can be made together with others of its kind.
pub(super) trait Batched: Sized + Send + Sync + 'static {
    /// What the caller hears.
    type Answer: Send + 'static;

    /// Where those of this kind meet.
    fn batches(store: &Postgres) -> &Batches<Self>;

    /// Whether both can be in one statement.
    fn goes_with(&self, _other: &Self) -> bool {
        true
    }

    /// Makes all calls in one statement that waits for no grant: an answer for each, or `None` for one that is to be made alone.
    fn together(calls: &[Self], held: &mut Held)
    -> impl Future<Output = StoreResult<Vec<Option<Self::Answer>>>> + Send;

    /// Makes this call, and waits for whatever it has to.
    fn alone(&self, store: &Postgres) -> impl Future<Output = StoreResult<Self::Answer>> + Send;
}

/// One member of each call, for a statement that takes them as arrays.
pub(super) fn column<'q, C, T>(calls: &'q [C], member: impl Fn(&'q C) -> T) -> Vec<T> {
    calls.iter().map(member).collect()
}

impl Postgres {
    /// Makes a call, together with others of its kind if that is quicker. Bounded in time.
    pub(super) async fn ask<C: Batched>(&self, call: C) -> StoreResult<C::Answer> {
        let (tell, mut heard) = oneshot::channel();
        let batches = C::batches(self);
        let mut lane = batches.line_up(Pending { call, tell });
        let end = Instant::now() + self.patience;
        loop {
            if let Some(lane) = lane {
                tokio::spawn(run::<C>(self.clone(), lane));
            }
            let look = end.min(Instant::now() + SOON);
            match timeout_at(look, &mut heard).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err(_)) => return Err(unavailable("the call was abandoned")),
                Err(_) if look == end => return Err(unavailable("Postgres does not answer in time")),
                Err(_) => lane = batches.set_out().or_else(|| if self.has_more() { batches.widen() } else { None }),
            }
        }
    }

    /// How many connections are in use, and how many there may be.
    fn use_of_pool(&self) -> (u32, u32) {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        (self.pool.size().saturating_sub(idle), self.pool.options().get_max_connections())
    }

    /// Whether there is a connection that nobody uses, or room for one.
    fn has_more(&self) -> bool {
        let (in_use, most) = self.use_of_pool();
        in_use < most
    }

    /// The same connection for another statement, if it [may be kept](may_be_kept). `None` gives it back.
    fn hold_on(&self, mut held: Held) -> Option<Held> {
        let (in_use, most) = self.use_of_pool();
        if self.pool.is_closed() || !may_be_kept(held.statements, in_use, most) {
            return None;
        }
        held.statements += 1;
        held.deadline = Instant::now() + self.bound;
        Some(held)
    }
}

/// Makes calls until there is no need of this lane.
async fn run<C: Batched>(store: Postgres, mut lane: Lane) {
    let batches = C::batches(&store);
    let mut at_hand = None;
    // First everybody who is about to ask lines up.
    yield_now().await;
    while let Some(kept) = batches.keep(lane) {
        lane = kept;
        let mut calls = Vec::new();
        batches.fill(&mut lane, &mut calls);
        if calls.is_empty() {
            continue;
        }
        let held = match at_hand.take() {
            Some(held) => Ok(held),
            None => store.hold().await,
        };
        match held {
            Ok(held) => {
                // Calls that came while this waited for a connection are in time.
                batches.fill(&mut lane, &mut calls);
                at_hand = Box::pin(make(&store, held, calls)).await;
            }
            Err(error) => fail(calls.into_iter().map(|pending| pending.tell), &error),
        }
    }
}

/// Makes some calls in one statement; the connection, if the next ones may have it.
async fn make<C: Batched>(store: &Postgres, held: Held, pending: Vec<Pending<C>>) -> Option<Held> {
    if pending.is_empty() {
        return None;
    }
    let (calls, callers): (Vec<C>, Vec<_>) = pending.into_iter().map(|Pending { call, tell }| (call, tell)).unzip();
    let answers = store.run_with(held, async |mut held: Held| Ok((C::together(&calls, &mut held).await?, held))).await;
    let one = calls.len() == 1;
    let calls = calls.into_iter().zip(callers);
    match answers {
        Ok((answers, held)) => {
            for ((call, tell), answer) in calls.zip(answers) {
                match answer {
                    // Nobody may be listening any more; that is their right.
                    Some(answer) => drop(tell.send(Ok(answer))),
                    None => alone(store, call, tell),
                }
            }
            return store.hold_on(held);
        }
        Err(error) if is_refused(&error) && !(one && collided(&error)) => {
            calls.for_each(|(call, tell)| alone(store, call, tell));
        }
        Err(error) => fail(calls.map(|(_, tell)| tell), &error),
    }
    None
}

/// Makes a call beside the lanes, for as long as its caller waits.
fn alone<C: Batched>(store: &Postgres, call: C, mut caller: Caller<C>) {
    let store = store.clone();
    tokio::spawn(async move {
        let answer = tokio::select! {
            biased;
            () = caller.closed() => return,
            answer = call.alone(&store) => answer,
        };
        let _ = caller.send(answer);
    });
}

fn fail<T>(callers: impl IntoIterator<Item = oneshot::Sender<StoreResult<T>>>, error: &StoreError) {
    let why = match error {
        StoreError::Unavailable(cause) => cause.to_string(),
        StoreError::Corrupt(why) => why.clone(),
    };
    for caller in callers {
        let _ = caller.send(Err(StoreError::Unavailable(why.clone().into())));
    }
}

/// Whether nothing has happened. Other failures that may pass are not sure to mean that: the word of a pooler that lost its server,
/// of an engine that does not know (40003), of a server that goes down.
fn is_refused(error: &StoreError) -> bool {
    matches!(error, StoreError::Corrupt(_)) || collided(error)
}

#[cfg(test)]
mod tests {
    use super::{IN_A_ROW, may_be_kept};

    #[test]
    fn a_connection_is_kept_for_some_statements_while_there_are_others() {
        assert!(may_be_kept(1, 15, 16));
        assert!(may_be_kept(IN_A_ROW - 1, 1, 16));
        assert!(!may_be_kept(IN_A_ROW, 1, 16), "for ever");
        for (in_use, most) in [(1, 1), (16, 16), (17, 16)] {
            assert!(!may_be_kept(1, in_use, most), "{in_use} of {most}");
        }
    }
}
