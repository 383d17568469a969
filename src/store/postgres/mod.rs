//! Everything in Postgres, for several instances at once.
//!
//! 1. The schema is brought up to date by whoever comes first ([`schema`]); the others wait for that.
//! 2. Nearly every change is **one statement** that locks the row it depends on, looks at its newest version and only then
//!    writes: it happens or it does not, however many instances try and whenever a caller hangs up. It is committed, and with
//!    `synchronous_commit` (the server's default) on the disk, before anybody hears of it.
//! 3. What needs more than one statement is a transaction in a task of its own ([`Postgres::transaction`]), which a caller who
//!    hangs up cannot drop in the middle.
//! 4. What requests ask most is made for several of them at once when there are several ([`batch`]): by the same rules, as one
//!    statement.
//! 5. Every call ends in a bounded time: waiting for a connection, each statement (on both sides), waiting for locks. A
//!    collision with somebody else (SQLSTATE 40001, 40P01) is tried again a few times, because then nothing happened. A lost
//!    connection never is: the commit may have happened, and a second redemption would look like a replay.
//!
//! Transactions are READ COMMITTED, set for each session. No advisory lock, extension or notification is used to serve a
//! request, so that engines which only speak the same language can serve. A pooler in between must keep sessions apart
//! (`pool_mode = session`).

mod accounts;
mod address;
mod archive;
mod audit;
mod batch;
mod clients;
mod family;
mod keys;
mod line;
mod look_up;
mod news;
mod purge;
mod schema;
mod spend;
mod tokens;
mod whole_grants;

use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    ops::{Deref, DerefMut},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, PgPool, QueryBuilder,
    pool::PoolConnection,
    postgres::{PgPoolOptions, PgRow},
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};

pub(super) use self::{address::Address, schema::schema_of};
use self::{
    family::RecordAccess,
    line::Batches,
    look_up::{FindAccess, FindClient, FindCode, FindRefresh, FindStanding, FindUser},
    spend::{Redeem, Rotate},
};
use super::{Migrations, OpenError, measured::PoolUse};
use crate::port::store::{StoreError, StoreResult};

/// Classes of SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>) after which the same call may work:
/// connection, authorization and database name (an operator mends those), transaction rollback, insufficient resources, not in
/// the prerequisite state (locks), operator intervention (shutdown, statement timeout), system error.
const PASSING_CLASSES: &[&str] = &["08", "28", "3D", "40", "53", "55", "57", "58"];

/// Single ones: a read-only server, transactions that were ended for taking too long, and an internal error, which poolers
/// also answer with. `XX001` and `XX002` are not among them: then the data is corrupted in fact.
const PASSING: &[&str] = &["25006", "25P03", "25P04", "XX000"];

/// Whether the same call may work another time; `code` is the SQLSTATE.
pub(super) fn may_pass(code: &str) -> bool {
    PASSING.contains(&code) || code.get(..2).is_some_and(|class| PASSING_CLASSES.contains(&class))
}

/// A connection that rested for longer may have been cut, and is asked before it is used. One that was just used is not: the
/// question would double the cost of a call.
const RESTED: Duration = Duration::from_secs(1);

/// What the network may add to the time that the server gives a statement.
const NETWORK: Duration = Duration::from_millis(500);

/// How often a call is tried that collides with others.
const ATTEMPTS: u32 = 5;

/// An open pool; implements every family.
#[derive(Clone)]
pub(super) struct Postgres {
    pool: PgPool,
    /// For the statements of a call, once it has a connection.
    bound: Duration,
    /// For a call, from its beginning: getting a connection, and [`bound`](Self::bound).
    patience: Duration,
    together: Arc<Together>,
}

/// Where calls meet that can be made together.
#[derive(Default)]
struct Together {
    find_access: Batches<FindAccess>,
    find_client: Batches<FindClient>,
    find_code: Batches<FindCode>,
    find_refresh: Batches<FindRefresh>,
    find_standing: Batches<FindStanding>,
    find_user: Batches<FindUser>,
    record_access: Batches<RecordAccess>,
    redeem: Batches<Redeem>,
    rotate: Batches<Rotate>,
}

impl Postgres {
    pub(super) async fn open(address: &Address, migrations: Migrations) -> Result<Arc<Self>, OpenError> {
        if address.is_exposed() {
            tracing::warn!("the connection to Postgres can be read on the way: set sslmode=verify-full");
        }
        schema::bring_up_to_date(address, migrations).await?;
        let bound = address.statement_timeout.saturating_add(NETWORK);
        let (patience, answer) = (address.acquire_timeout.saturating_add(bound), address.acquire_timeout / 4);
        let settings = settings(address, bound);
        let pool = PgPoolOptions::new()
            .max_connections(address.max_connections)
            .acquire_timeout(address.acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(move |connection, meta| {
                Box::pin(async move {
                    if meta.idle_for < RESTED {
                        return Ok(true);
                    }
                    // Within the time for getting a connection there has to be enough left to make a new one.
                    timeout(answer, connection.ping()).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
                    Ok(true)
                })
            })
            .after_connect(move |connection, _| {
                let settings = settings.clone();
                Box::pin(async move { connection.execute(AssertSqlSafe(settings)).await.map(drop) })
            })
            .connect_lazy_with(address.options().clone());
        Ok(Arc::new(Self { pool, bound, patience, together: Arc::default() }))
    }

    /// Waits for what is under way, which is bounded, and ends every session.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    pub(super) fn pool_use(&self) -> PoolUse {
        PoolUse::of(&self.pool)
    }

    async fn hold(&self) -> StoreResult<Held> {
        // A future has room for its largest part, and is moved with it by everybody above.
        let connection = Box::pin(self.pool.acquire()).await?;
        Ok(Held { connection, deadline: Instant::now() + self.bound, spoiled: false, statements: 1 })
    }

    /// Runs `work` on a connection, where every statement commits by itself. If it collides with others, it is run again from
    /// the start, so only its last statement may have changed anything.
    ///
    /// Whoever drops this may do so anywhere: a statement was sent entirely or not at all, and either way it is one.
    async fn run<T, F, Fut>(&self, work: F) -> StoreResult<T>
    where
        F: Fn(Held) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
        T: Send,
    {
        let held = self.hold().await?;
        self.run_with(held, work).await
    }

    /// The same on a connection that is there already.
    async fn run_with<T, F, Fut>(&self, mut held: Held, work: F) -> StoreResult<T>
    where
        F: Fn(Held) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
        T: Send,
    {
        let mut attempt = 1;
        loop {
            match timeout_at(held.deadline, Box::pin(work(held))).await {
                Err(_) => return Err(unavailable("Postgres does not answer in time")),
                Ok(Err(error)) if attempt < ATTEMPTS && collided(&error) => pause(attempt).await,
                Ok(outcome) => return outcome,
            }
            attempt += 1;
            held = self.hold().await?;
        }
    }

    /// Runs `work` as one transaction, in a task that outlives its caller: sqlx 0.9.0 gives a connection that is dropped during
    /// BEGIN back to the pool inside an open transaction (transact-rs/sqlx#4393), where later statements are answered and lost.
    async fn transaction<T, F>(&self, work: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: for<'c> Fn(&'c mut PgConnection) -> Running<'c, T> + Send + Sync + 'static,
    {
        let (tell, heard) = oneshot::channel();
        let store = self.clone();
        tokio::spawn(async move {
            let outcome = store.run(|held| transact(held, &work, &tell)).await;
            // Nobody may be listening any more; that is their right.
            let _ = tell.send(outcome);
        });
        heard.await.map_err(|_| unavailable("the transaction was abandoned"))?
    }

    /// Asks what has to look through many rows: planned for its own values, and reading whole tables where that is best.
    async fn survey<F>(&self, question: F) -> StoreResult<Vec<PgRow>>
    where
        F: Fn() -> QueryBuilder<sqlx::Postgres> + Send + Sync + 'static,
    {
        self.transaction(move |connection| {
            let mut question = question();
            Box::pin(async move {
                connection.execute(PLANS_FOR_MANY_ROWS).await?;
                // Not kept: it would be planned for whatever is asked the next time.
                Ok(End::Commit(question.build().persistent(false).fetch_all(connection).await?))
            })
        })
        .await
    }

    /// Whether the server answers, and would let us write.
    async fn ping_server(&self) -> StoreResult<()> {
        let read_only: String = self
            .run(async |mut held: Held| {
                let query = sqlx::query_scalar("SELECT current_setting('transaction_read_only')");
                Ok(query.fetch_one(&mut *held).await?)
            })
            .await?;
        if read_only == "off" { Ok(()) } else { Err(unavailable("Postgres is read-only")) }
    }
}

/// How a transaction ends.
enum End<T> {
    Commit(T),
    RollBack(T),
}

/// The future of a transaction.
type Running<'c, T> = Pin<Box<dyn Future<Output = StoreResult<End<T>>> + Send + 'c>>;

async fn transact<T, F>(mut held: Held, work: &F, caller: &oneshot::Sender<StoreResult<T>>) -> StoreResult<T>
where
    F: for<'c> Fn(&'c mut PgConnection) -> Running<'c, T>,
{
    // Whoever asked has given up while this waited for a connection, and may have been told that it failed: then it did.
    if caller.is_closed() {
        return Err(unavailable("nobody waits for it any more"));
    }
    held.spoiled = true;
    held.execute("BEGIN").await?;
    let (end, outcome) = match work(&mut held).await {
        Ok(End::Commit(outcome)) => ("COMMIT", Ok(outcome)),
        Ok(End::RollBack(outcome)) => ("ROLLBACK", Ok(outcome)),
        Err(error) => ("ROLLBACK", Err(error)),
    };
    match held.execute(end).await {
        Ok(_) => held.spoiled = false,
        // What came first says more.
        Err(error) => return outcome.and_then(|_| Err(error.into())),
    }
    outcome
}

/// A connection that is in use.
struct Held {
    connection: PoolConnection<sqlx::Postgres>,
    /// When the server must have answered, or has fallen silent.
    deadline: Instant,
    /// It may be inside a transaction, so that nobody else may have it.
    spoiled: bool,
    /// How many it was taken for since it came from the pool, with this one.
    statements: u32,
}

impl Deref for Held {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.spoiled || Instant::now() >= self.deadline {
            self.connection.close_on_drop();
        } else {
            // Going back to the pool means waiting for every answer that is still due to a caller who hung up. The pool itself
            // would wait for ever, with one of its few places taken. A connection that does not answer in time is dropped
            // instead, and makes room for a new one.
            tokio::spawn(timeout_at(self.deadline + NETWORK, Box::pin(self.connection.return_to_pool())));
        }
    }
}

fn unavailable(why: &'static str) -> StoreError {
    StoreError::Unavailable(why.into())
}

/// Whether the server undid everything because somebody else was in the way: serialization failure, deadlock.
fn collided(error: &StoreError) -> bool {
    let StoreError::Unavailable(cause) = error else { return false };
    let error = cause.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
    error.and_then(|error| error.code()).is_some_and(|code| matches!(&*code, "40001" | "40P01"))
}

/// Waits a moment of its own, so that those who collided do not meet again.
async fn pause(attempt: u32) {
    // Not a secret, and nothing depends on it: the seed that the standard library draws for its maps is good enough.
    let chance = RandomState::new().hash_one(attempt) % 10;
    let pause = Duration::from_millis(chance + 1) * attempt;
    #[expect(
        clippy::disallowed_methods,
        reason = "without a pause they would collide again; nothing is tested by waiting"
    )]
    tokio::time::sleep(pause).await;
}

/// What requests need is a few rows that an index finds, and is planned once for each session. Left to itself the planner reads all of a
/// table that it has met while it was small, keeps that plan while the table grows, and plans anew what comes in arrays of different
/// length. Engines that know none of these settings have no row for them.
const PLANS: &str = "SELECT set_config(wanted.name, wanted.value, false)
    FROM pg_settings JOIN (VALUES ('plan_cache_mode', 'force_generic_plan'), ('jit', 'off'), ('enable_seqscan', 'off'),
        ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off'), ('enable_material', 'off')) AS wanted (name, value)
    ON wanted.name = pg_settings.name";

/// For one transaction, what the session had before [`PLANS`].
const PLANS_FOR_MANY_ROWS: &str = "SELECT set_config(name, reset_val, true) FROM pg_settings WHERE name IN
    ('plan_cache_mode', 'jit', 'enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'enable_material')";

/// What each session starts with. The driver could send these with its greeting, but not every engine takes them there.
fn settings(address: &Address, bound: Duration) -> String {
    let statement = address.statement_timeout.as_millis();
    // A statement that waits for a lock for half of its time is better off saying so.
    let lock = (address.statement_timeout / 2).as_millis().max(1);
    format!(
        "SET statement_timeout = {statement}; SET lock_timeout = {lock};
        SET idle_in_transaction_session_timeout = {}; SET default_transaction_isolation = 'read committed';
        {PLANS}",
        bound.as_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::may_pass;

    #[test]
    fn what_the_next_call_may_survive_is_told_from_what_it_cannot() {
        for passing in
            ["08006", "25006", "28P01", "40001", "40P01", "53300", "55P03", "57014", "57P01", "58030", "XX000"]
        {
            assert!(may_pass(passing), "{passing}");
        }
        for lasting in ["22021", "23505", "23503", "42703", "42P01", "XX001", "0A000", "", "é"] {
            assert!(!may_pass(lasting), "{lasting}");
        }
    }
}
