//! Wrong credentials of clients: one limit for all instances, for each client and address, and nothing on the way of those who are right.

use axum::http::Method;
use gateward::{
    http::Rejection,
    testing::server::{Parameters, TestClient, TestServer, machine},
};

use super::{faults::Faults, *};

const HERE: &str = "198.51.100.7";
const ELSEWHERE: &str = "203.0.113.9";
/// `limits.client_max_failures`.
const MOST: usize = 20;

fn form() -> Parameters {
    Parameters::from([("grant_type", "client_credentials")])
}

async fn with(server: &TestServer, client: &TestClient, secret: &str, address: &str) -> Answer {
    server.call(Method::POST, "/oauth/token").from(address).basic(&client.id, secret).form(form()).send().await
}

#[track_caller]
fn assert_locked_out(answer: &Answer, retry_after: &str) {
    assert_error(answer, StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable");
    assert_eq!(answer.header("retry-after"), Some(retry_after));
}

async fn started() -> (TestServer, TestClient) {
    let server = TestServer::start().await;
    let worker = server.create_client("worker", machine()).await;
    (server, worker)
}

#[tokio::test]
async fn after_too_many_wrong_secrets_a_client_is_locked_out_where_they_came_from_and_nowhere_else() {
    let (server, worker) = started().await;
    for _ in 1..MOST {
        assert_invalid_client(&with(&server, &worker, "wrong", HERE).await);
    }
    server.pass(100);
    assert_locked_out(&with(&server, &worker, "wrong", HERE).await, "200");
    assert_locked_out(&with(&server, &worker, worker.secret(), HERE).await, "200");
    assert_ok(&with(&server, &worker, worker.secret(), ELSEWHERE).await);
    let other = server.create_client("other", machine()).await;
    assert_ok(&with(&server, &other, other.secret(), HERE).await);
    assert_eq!(server.app.rejections().count(Rejection::LockedOut), 2);
    server.pass(200);
    assert_ok(&with(&server, &worker, worker.secret(), HERE).await);
}

#[tokio::test]
async fn a_lockout_costs_the_store_nothing_and_so_does_whoever_is_right() {
    let faults = Faults::default();
    let server = TestServer::builder().stores(|stores| faults.wrap(stores)).start().await;
    let worker = server.create_client("worker", machine()).await;
    for _ in 0..5 {
        assert_ok(&with(&server, &worker, worker.secret(), HERE).await);
    }
    assert_eq!((faults.calls("accounts.count_failure"), faults.calls("accounts.failures")), (0, 0));
    for _ in 0..MOST {
        with(&server, &worker, "wrong", HERE).await;
    }
    let calls = ["accounts.count_failure", "accounts.failures", "clients.find"].map(|method| faults.calls(method));
    assert_eq!(calls[0], MOST);
    for _ in 0..50 {
        assert_locked_out(&with(&server, &worker, "wrong", HERE).await, "300");
    }
    assert_eq!(["accounts.count_failure", "accounts.failures", "clients.find"].map(|m| faults.calls(m)), calls);
}

/// Else everybody could write a row for each name that comes to their mind, and MCP clients that were removed would not learn it.
#[tokio::test]
async fn a_client_that_is_not_there_is_told_so_every_time_and_leaves_no_trace() {
    let faults = Faults::default();
    let server = TestServer::builder().stores(|stores| faults.wrap(stores)).start().await;
    for _ in 0..3 * MOST {
        let call = server.call(Method::POST, "/oauth/token").from(HERE).basic("nobody", "x");
        assert_invalid_client(&call.form(form()).send().await);
    }
    assert_eq!(faults.calls("accounts.count_failure"), 0);
}

#[tokio::test]
async fn two_instances_have_one_limit() {
    let (first, worker) = started().await;
    let second = first.again(TestServer::builder()).await;
    for n in 1..MOST {
        let server = if n % 2 == 0 { &first } else { &second };
        assert_invalid_client(&with(server, &worker, "wrong", HERE).await);
    }
    assert_locked_out(&with(&first, &worker, "wrong", HERE).await, "300");
    // The other one hears of it with the next wrong secret, and knows from then on.
    assert_locked_out(&with(&second, &worker, "wrong", HERE).await, "300");
    assert_locked_out(&with(&second, &worker, worker.secret(), HERE).await, "300");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_guesses_at_once_do_not_slip_under_the_limit() {
    let (server, worker) = started().await;
    let guesses: Vec<_> = (0..100)
        .map(|_| {
            let call = server.call(Method::POST, "/oauth/token").from(HERE).basic(&worker.id, "wrong").form(form());
            tokio::spawn(call.send())
        })
        .collect();
    let mut judged = 0;
    for guess in guesses {
        match guess.await.expect("no panic").status {
            StatusCode::UNAUTHORIZED => judged += 1,
            status => assert_eq!(status, StatusCode::TOO_MANY_REQUESTS),
        }
    }
    assert_eq!(judged, MOST - 1);
}

#[tokio::test]
async fn failures_that_cannot_be_counted_are_still_refused() {
    let faults = Faults::default();
    let server = TestServer::builder().stores(|stores| faults.wrap(stores)).start().await;
    let worker = server.create_client("worker", machine()).await;
    faults.take_down_at(&["accounts.count_failure"]);
    for _ in 0..2 * MOST {
        assert_invalid_client(&with(&server, &worker, "wrong", HERE).await);
    }
    assert_ok(&with(&server, &worker, worker.secret(), HERE).await);
}

/// Invented addresses are free where IPv6 is; rows are not.
#[tokio::test]
async fn failures_from_countless_addresses_write_no_more_than_fifty_rows_a_second() {
    let faults = Faults::default();
    let server = TestServer::builder().stores(|stores| faults.wrap(stores)).start().await;
    let worker = server.create_client("worker", machine()).await;
    for n in 0..2000 {
        assert_invalid_client(&with(&server, &worker, "wrong", &format!("2001:db8:0:{n:x}::1")).await);
    }
    assert_eq!(faults.calls("accounts.count_failure"), 500);
    server.pass(2);
    for n in 2000..4000 {
        assert_invalid_client(&with(&server, &worker, "wrong", &format!("2001:db8:0:{n:x}::1")).await);
    }
    assert_eq!(faults.calls("accounts.count_failure"), 600);
}
