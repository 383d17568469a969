//! Clients that hang up in the middle of a refresh, many times. Their request is then done or undone as a whole.

use std::{net::SocketAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
};

use crate::{
    Dice, Stage,
    chain::Chain,
    support::oauth::{Identity, Wire},
};

const GRANTS: usize = 48;
const TASKS: usize = 12;
const ROUNDS: usize = 12;

/// A refresh request as bytes.
fn request(host: &str, client: &Identity, token: &str) -> String {
    let secret = client.secret.as_deref().expect("a confidential client");
    let credentials = STANDARD.encode(format!("{}:{secret}", client.id));
    let body = format!("grant_type=refresh_token&refresh_token={token}");
    format!(
        "POST /oauth/token HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic {credentials}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends a part of a refresh request, or all of it, and lets a while pass that is as long as some of the steps of a rotation.
async fn begin(stage: &Crew, token: &str, dice: &mut Dice) -> TcpStream {
    let bytes = request(&stage.address.to_string(), &stage.client, token);
    let whole = bytes.len() as u64;
    let sent = if dice.roll(4) == 0 { dice.roll(whole) } else { whole };
    let sent = usize::try_from(sent).expect("small");
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    stream.write_all(&bytes.as_bytes()[..sent]).await.unwrap();
    for _ in 0..dice.roll(4) {
        assert_eq!(stage.wire.get("/livez").await.status, 200);
    }
    stream
}

/// What each task needs.
#[derive(Clone)]
struct Crew {
    address: SocketAddr,
    wire: Wire,
    client: Identity,
}

/// Runs a story for each chain, some at the same time.
async fn each<F: Future<Output = Chain> + Send + 'static>(
    stage: &Stage,
    chains: Vec<Chain>,
    dice: &mut Dice,
    story: impl Fn(Crew, Chain, Dice) -> F,
) -> Vec<Chain> {
    let crew = Crew { address: stage.server.address(), wire: stage.wire.clone(), client: stage.client.clone() };
    let limit = Arc::new(Semaphore::new(TASKS));
    let mut tasks = JoinSet::new();
    for chain in chains {
        let (limit, story) = (limit.clone(), story(crew.clone(), chain, Dice(dice.roll(u64::MAX))));
        tasks.spawn(async move {
            let _permit = limit.acquire().await.unwrap();
            story.await
        });
    }
    tasks.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_in_the_middle_of_a_refresh_may_ask_again() {
    let stage = Stage::set().await;
    let mut dice = Dice(7);
    let chains = stage.chains(GRANTS).await;
    let chains = each(&stage, chains, &mut dice, |crew, mut chain: Chain, mut dice| async move {
        chain.redeem(&crew.wire, &crew.client).await.expect("an answer");
        for _ in 0..ROUNDS {
            let token = chain.newest().expect("a token").to_owned();
            let mut stream = begin(&crew, &token, &mut dice).await;
            chain.asked_without_answer();
            // The server sees the same as when the socket is closed; but its own end can be waited for.
            stream.shutdown().await.unwrap();
            let asks_again = dice.roll(2) == 0;
            if asks_again {
                chain.refresh(&crew.wire, &crew.client).await;
            }
            // Until nothing is in flight any more: a copy that comes after the successor was used would be a replay.
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer);
            assert!(!answer.starts_with("HTTP/1.1 5"), "{answer}");
            if asks_again && answer.starts_with("HTTP/1.1 200") {
                assert!(answer.contains(chain.newest().expect("a token")), "a fork");
            }
        }
        chain
    });
    let chains = chains.await;
    stage.audit(chains).await;
    assert!(!stage.server.log().contains("panicked"), "{}", stage.server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_vanish_while_others_repeat_the_request_do_not_fork_the_chain() {
    let mut stage = Stage::set().await;
    let mut dice = Dice(8);
    let chains = stage.chains(GRANTS).await;
    let chains = each(&stage, chains, &mut dice, |crew, mut chain: Chain, mut dice| async move {
        chain.redeem(&crew.wire, &crew.client).await.expect("an answer");
        let token = chain.newest().expect("a token").to_owned();
        for round in 0..ROUNDS {
            let stream = begin(&crew, &token, &mut dice).await;
            stream.set_zero_linger().unwrap();
            drop(stream);
            if round == ROUNDS / 2 {
                chain.refresh(&crew.wire, &crew.client).await;
            }
        }
        chain
    });
    let chains = chains.await;
    // After an orderly end nothing is in flight any more.
    stage.server.terminate();
    assert_eq!(stage.server.wait().code(), Some(0));
    assert!(!stage.server.log().contains("panicked"), "{}", stage.server.log());
    stage.server.restart();
    stage.audit(chains).await;
}
