//! Calls that come at once share statements, and each has its own answer.

use gateward::{
    domain::refresh::{RefreshState, VerifiedRefresh},
    port::store::{Issue, Redemption, Rotation, StoreError, StoreResult},
    store::Stores,
    testing::fixture::{access_token, at, grant_id, refresh_token},
};
use sqlx::{Executor, PgConnection};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::{
    DEADLINE, engines,
    hanging_up::hang_up,
    is_unavailable, issue, open_grant, raw, redeemed_grant,
    schema::fill,
    trouble::{attempts, before_each_rotation},
    with,
};

/// Refresh tokens `0`, `1` and so on, each with a grant of its own.
async fn redeemed_grants(stores: &Stores, count: usize) -> Vec<VerifiedRefresh<'static>> {
    let mut parents = Vec::new();
    for number in 0..count {
        parents.push(redeemed_grant(stores, &number.to_string()).await);
    }
    parents
}

async fn rotate(stores: &Stores, parent: &VerifiedRefresh<'_>) -> StoreResult<Rotation> {
    timeout(DEADLINE, stores.tokens.rotate(parent, b"sealed", &Issue::default(), at(2))).await.unwrap()
}

/// Rotates all of them at once; what became of each, in their order.
async fn rotate_all(stores: &Stores, parents: Vec<VerifiedRefresh<'static>>) -> Vec<StoreResult<Rotation>> {
    let mut rotations = JoinSet::new();
    for (number, parent) in parents.into_iter().enumerate() {
        let stores = stores.clone();
        rotations.spawn(async move { (number, rotate(&stores, &parent).await) });
    }
    let mut outcomes = rotations.join_all().await;
    outcomes.sort_by_key(|(number, _)| *number);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn is_rotated(outcome: &StoreResult<Rotation>) -> bool {
    matches!(outcome, Ok(Rotation::Rotated))
}

async fn is_current(stores: &Stores, name: &str) -> bool {
    let record = stores.tokens.find_refresh(&refresh_token(name).digest).await.unwrap().unwrap();
    record.state == RefreshState::Current
}

#[tokio::test]
async fn calls_that_come_at_once_share_statements() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    let parents = redeemed_grants(&stores, 100).await;
    let count = "CREATE SEQUENCE statements;
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM nextval('statements'); RETURN NULL; END $$;
        CREATE TRIGGER note AFTER INSERT ON rotations FOR EACH STATEMENT EXECUTE FUNCTION note()";
    let mut seeing = raw(&database.url).await;
    seeing.execute(count).await.unwrap();
    let outcomes = rotate_all(&stores, parents).await;
    assert!(outcomes.iter().all(is_rotated), "{outcomes:?}");
    let statements: i64 = sqlx::query_scalar("SELECT last_value FROM statements").fetch_one(&mut seeing).await.unwrap();
    assert!(statements < 10, "{statements} statements for 100 calls");
    for number in 0..100 {
        assert!(!is_current(&stores, &number.to_string()).await, "{number}");
    }
}

/// The pool has one connection, and there is always somebody who waits for the next statement of the burst.
#[tokio::test]
async fn a_burst_of_one_kind_leaves_the_connection_to_other_calls() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&with(&database.url, &[("max_connections", "1")])).await.unwrap();
    fill(&stores).await;
    let (end, ended) = watch::channel(false);
    let mut burst = JoinSet::new();
    for _ in 0..200 {
        let (stores, ended) = (stores.clone(), ended.clone());
        burst.spawn(async move {
            while !*ended.borrow() {
                stores.tokens.find_refresh(&refresh_token("grant").digest).await.unwrap();
            }
        });
    }
    for _ in 0..20 {
        timeout(DEADLINE, stores.keys.list()).await.unwrap().unwrap();
    }
    end.send_replace(true);
    burst.join_all().await;
}

/// Whatever the order in which the server finds them.
#[tokio::test]
async fn calls_that_share_a_statement_each_have_their_own_answer_and_record() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    let mut exchanges = JoinSet::new();
    for number in 0..20 {
        let stores = stores.clone();
        exchanges.spawn(async move {
            let code = open_grant(&stores, &number.to_string()).await;
            // Each issues something else: one token, the other, or both.
            let whole = issue(&number.to_string(), &number.to_string(), &number.to_string());
            let issue = Issue {
                refresh: whole.refresh.filter(|_| number % 3 != 0),
                access: whole.access.filter(|_| number % 3 != 1),
                grant_expires_at: Some(at(1_000_000 + number)),
            };
            stores.tokens.redeem(&code, &issue, at(1)).await.unwrap()
        });
    }
    assert!(exchanges.join_all().await.iter().all(|outcome| *outcome == Redemption::Redeemed));
    let mut questions = JoinSet::new();
    for question in 0..60 {
        let stores = stores.clone();
        questions.spawn(async move {
            // Some are not there, and the others are asked about twice.
            let number = question % 30;
            let name = number.to_string();
            let refresh = stores.tokens.find_refresh(&refresh_token(&name).digest).await.unwrap();
            let access = stores.tokens.find_access(&access_token(&name, None).digest).await.unwrap();
            let grant = stores.tokens.find_grant(&grant_id(&name)).await.unwrap();
            (number, refresh, access, grant)
        });
    }
    for (number, refresh, access, grant) in questions.join_all().await {
        let name = number.to_string();
        let there = |there: bool| (number < 20 && there).then(|| grant_id(&name));
        assert_eq!(refresh.map(|record| record.grant.id), there(number % 3 != 0), "{name}");
        assert_eq!(access.and_then(|(token, _)| token.grant_id().cloned()), there(number % 3 != 1), "{name}");
        assert_eq!(grant.map(|grant| grant.expires_at), (number < 20).then(|| at(1_000_000 + number)), "{name}");
    }
}

#[tokio::test]
async fn a_grant_that_somebody_has_delays_only_those_who_ask_for_it() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    let one_by_one = redeemed_grants(&stores, 10).await;
    let mut at_once = Vec::new();
    for name in ["held", "a", "b", "c"] {
        at_once.push(redeemed_grant(&stores, name).await);
    }
    let mut other = raw(&database.url).await;
    other.execute("BEGIN").await.unwrap();
    let lock = sqlx::query("SELECT FROM grants WHERE id = $1 FOR UPDATE").bind(grant_id("held").as_str().to_owned());
    lock.execute(&mut other).await.unwrap();
    let mut waiting = JoinSet::new();
    for parent in at_once {
        let stores = stores.clone();
        waiting.spawn(async move { rotate(&stores, &parent).await });
    }
    for _ in 0..3 {
        assert!(is_rotated(&waiting.join_next().await.unwrap().unwrap()));
    }
    for parent in one_by_one {
        assert!(is_rotated(&rotate(&stores, &parent).await));
    }
    assert!(is_current(&stores, "held").await);
    other.execute("ROLLBACK").await.unwrap();
    assert!(is_rotated(&waiting.join_next().await.unwrap().unwrap()));
}

#[tokio::test]
async fn a_call_that_the_server_refuses_fails_alone() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    let parents = redeemed_grants(&stores, 20).await;
    let digest: String = refresh_token("7").digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let refuse = format!("IF NEW.parent = '\\x{digest}' THEN RAISE EXCEPTION USING ERRCODE = '23514'; END IF");
    before_each_rotation(&database.url, &refuse).await;
    let outcomes = rotate_all(&stores, parents).await;
    assert!(matches!(outcomes[7], Err(StoreError::Corrupt(_))), "{outcomes:?}");
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(is_rotated(outcome), number != 7, "{number}: {outcome:?}");
        assert_eq!(is_current(&stores, &number.to_string()).await, number == 7, "{number}");
    }
}

/// Nobody knows what happened, and nobody's call is made again.
#[tokio::test]
async fn calls_that_share_a_connection_that_is_lost_all_hear_it() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    let parents = redeemed_grants(&stores, 20).await;
    before_each_rotation(&database.url, "PERFORM pg_terminate_backend(pg_backend_pid())").await;
    let outcomes = rotate_all(&stores, parents).await;
    assert!(outcomes.iter().all(is_unavailable), "{outcomes:?}");
    // The first row of a statement is its last.
    let statements = attempts(&database.url).await;
    assert!(statements < 10, "{statements} statements for 20 calls");
}

#[tokio::test]
async fn a_call_whose_caller_left_before_it_was_sent_is_not_made() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    let parents = redeemed_grants(&stores, 3).await;
    let abandoned = redeemed_grant(&stores, "abandoned").await;
    let [mut other, mut seeing] = [raw(&database.url).await, raw(&database.url).await];
    other.execute("BEGIN; LOCK TABLE rotations IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut calls = JoinSet::new();
    for (number, parent) in parents.into_iter().enumerate() {
        if number == 2 {
            // Behind the two that are under way.
            assert_eq!(hang_up(stores.tokens.rotate(&abandoned, b"sealed", &Issue::default(), at(2)), 1).await, None);
        }
        let stores = stores.clone();
        calls.spawn(async move { rotate(&stores, &parent).await });
        if number < 2 {
            wait_for_locks(&mut seeing, number + 1).await;
        }
    }
    other.execute("ROLLBACK").await.unwrap();
    let outcomes = calls.join_all().await;
    assert!(outcomes.iter().all(is_rotated), "{outcomes:?}");
    assert!(is_current(&stores, "abandoned").await);
}

/// Until so many statements in this database wait for a lock.
async fn wait_for_locks(seeing: &mut PgConnection, count: usize) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let all_wait =
        async { while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *seeing).await.unwrap() < count as i64 {} };
    timeout(DEADLINE, all_wait).await.unwrap();
}

/// A plan that reads a whole table is kept while the table grows.
#[tokio::test]
async fn statements_are_planned_once_and_for_large_tables() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    let parent = redeemed_grant(&stores, "parent").await;
    let plan = "CREATE TABLE seen (setting TEXT);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO seen VALUES (current_setting('plan_cache_mode')), (current_setting('enable_seqscan')),
                (current_setting('enable_hashjoin')), (current_setting('jit'));
            RETURN NULL; END $$;
        CREATE TRIGGER note AFTER INSERT ON rotations FOR EACH STATEMENT EXECUTE FUNCTION note()";
    let mut seeing = raw(&database.url).await;
    seeing.execute(plan).await.unwrap();
    assert!(is_rotated(&rotate(&stores, &parent).await));
    let seen: Vec<String> = sqlx::query_scalar("SELECT setting FROM seen").fetch_all(&mut seeing).await.unwrap();
    assert_eq!(seen, ["force_generic_plan", "off", "off", "off"]);
}

/// The word of an engine that does not know, and of poolers that lost their server: after a second try a redemption would look like a
/// replay.
#[tokio::test]
async fn a_call_whose_outcome_nobody_knows_is_not_tried_again() {
    for code in ["40003", "08006", "XX000"] {
        let database = engines::postgres_database().await;
        let stores = Stores::open(&database.url).await.unwrap();
        let parents = redeemed_grants(&stores, 10).await;
        before_each_rotation(&database.url, &format!("RAISE EXCEPTION USING ERRCODE = '{code}'")).await;
        let outcomes = rotate_all(&stores, parents).await;
        assert!(outcomes.iter().all(is_unavailable), "{code}: {outcomes:?}");
        // The first row of a statement is its last.
        let statements = attempts(&database.url).await;
        assert!(statements < 5, "{code}: {statements} statements for 10 calls");
    }
}
