//! New keys under load and under attack: no valid token is refused, and the authorization server is left alone.

use std::{collections::BTreeSet, time::Duration};

use gateward::protocol::jose::Algorithm;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    RESOURCE,
    authority::{token_from, with_token},
    guarded::{Guarded, assert_passed},
    impostor::{Impostor, JWKS},
    mint::Key,
    time::StandingTime,
};

const SECOND: Duration = Duration::from_millis(1001);

fn spawn(guarded: &Guarded, token: String) -> tokio::task::JoinHandle<u16> {
    let guarded = guarded.clone();
    tokio::spawn(async move { guarded.get(&token).await.status.as_u16() })
}

#[tokio::test]
async fn invented_keys_cause_one_question_a_second_and_a_new_key_is_found_meanwhile() {
    let (old, new) = (Key::es256("old"), Key::es256("new"));
    let impostor = Impostor::start(&[&old]);
    let guarded = impostor.guarded();
    assert_passed(&guarded.get(&old.token(&impostor.claims())).await);
    let time = StandingTime::begin();
    for second in 1..=10 {
        let invented: Vec<_> =
            (0..30).map(|i| spawn(&guarded, Key::es256(&format!("{second}-{i}")).token(&impostor.claims()))).collect();
        if second == 5 {
            impostor.publish(&[&old, &new]);
        }
        let honest = (second >= 5).then(|| spawn(&guarded, new.token(&impostor.claims())));
        time.settle().await;
        time.advance(SECOND).await;
        for request in invented {
            assert_eq!(request.await.expect("an answer"), 401);
        }
        if let Some(honest) = honest {
            assert_eq!(honest.await.expect("an answer"), 200);
        }
        assert_passed(&guarded.get(&old.token(&impostor.claims())).await);
        assert!(impostor.asked(JWKS) <= 1 + second, "{} questions in {second} s", impostor.asked(JWKS));
    }
    assert_eq!(impostor.asked(crate::impostor::DISCOVERY), 1);
}

/// The question was asked before the key was there, the token was shown before the answer came.
#[tokio::test]
async fn an_answer_that_is_older_than_the_token_refuses_nothing() {
    let (old, new) = (Key::es256("old"), Key::es256("new"));
    let impostor = Impostor::start(&[&old]);
    let guarded = impostor.guarded();
    assert_passed(&guarded.get(&old.token(&impostor.claims())).await);
    let time = StandingTime::begin();
    time.advance(SECOND).await;
    impostor.hold();
    let invented = spawn(&guarded, Key::es256("invented").token(&impostor.claims()));
    impostor.wait_for(JWKS, 2).await;
    impostor.publish(&[&old, &new]);
    let honest = spawn(&guarded, new.token(&impostor.claims()));
    time.settle().await;
    impostor.release();
    assert_eq!(invented.await.expect("an answer"), 401);
    time.settle().await;
    time.advance(SECOND).await;
    assert_eq!(honest.await.expect("an answer"), 200);
    assert_eq!(impostor.asked(JWKS), 3);
}

#[tokio::test]
async fn clients_that_hang_up_neither_have_more_asked_nor_keep_others_waiting() {
    let (old, new) = (Key::es256("old"), Key::es256("new"));
    let impostor = Impostor::start(&[&old]);
    let guarded = impostor.guarded();
    assert_passed(&guarded.get(&old.token(&impostor.claims())).await);
    let time = StandingTime::begin();
    time.advance(SECOND).await;
    impostor.hold();
    for i in 0..50 {
        let request = spawn(&guarded, Key::es256(&format!("{i}")).token(&impostor.claims()));
        if i == 0 {
            impostor.wait_for(JWKS, 2).await;
        }
        time.settle().await;
        request.abort();
    }
    impostor.publish(&[&old, &new]);
    let honest = spawn(&guarded, new.token(&impostor.claims()));
    time.settle().await;
    assert_eq!(impostor.asked(JWKS), 2);
    impostor.release();
    // The look that was under way, and the next one.
    while !honest.is_finished() {
        time.settle().await;
        time.advance(Duration::from_millis(10)).await;
    }
    assert_eq!(honest.await.expect("an answer"), 200);
    assert_eq!(impostor.asked(JWKS), 3);
}

#[tokio::test]
async fn a_thousand_first_requests_at_once_cause_one_question() {
    let key = Key::es256("a");
    let impostor = Impostor::start(&[&key]);
    let guarded = impostor.guarded();
    let token = key.token(&impostor.claims());
    let requests: Vec<_> = (0..1000).map(|_| spawn(&guarded, token.clone())).collect();
    for request in requests {
        assert_eq!(request.await.expect("an answer"), 200);
    }
    assert_eq!(impostor.asked_at_all(), 2);
}

/// The real server changes its signing key at once, again and again, while workers get tokens and use them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_valid_token_is_refused_while_the_signing_key_changes() {
    let (authority, worker, _) = with_token().await;
    let guarded = authority.guarded();
    let (used, rotated) = (watch::Sender::new(0_usize), watch::Sender::new(false));
    let mut load = JoinSet::new();
    for _ in 0..8 {
        let (server, worker, guarded) = (authority.server.clone(), worker.clone(), guarded.clone());
        let (used, rotated) = (used.clone(), rotated.clone());
        load.spawn(async move {
            while !*rotated.borrow() {
                let token = token_from(&server, &worker, RESOURCE, "mcp:read").await;
                for _ in 0..3 {
                    assert_passed(&guarded.get(&token).await);
                }
                used.send_modify(|used| *used += 1);
                tokio::task::yield_now().await;
            }
        });
    }
    let mut keys = BTreeSet::new();
    for _ in 0..3 {
        authority.server.pass(1);
        let rotation = authority.server.keyring.rotate(Algorithm::ES256, true, authority.server.now());
        keys.insert(rotation.await.expect("a key").id.as_str().to_owned());
        let enough = *used.borrow() + 40;
        used.subscribe().wait_for(|used| *used >= enough).await.expect("load");
    }
    assert_eq!(keys.len(), 3);
    rotated.send_replace(true);
    // A token that was refused has made its task panic.
    load.join_all().await;
}

#[tokio::test]
async fn a_key_that_is_published_ahead_is_known_before_it_signs() {
    let (mut authority, worker, _) = with_token().await;
    let guarded = authority.guarded();
    let next = authority.server.keyring.rotate(Algorithm::ES256, false, authority.server.now()).await.expect("a key");
    authority.server.clock.set(next.signs_from.minus(Duration::from_secs(60)));
    assert_passed(&guarded.get(&authority.token(&worker, RESOURCE, "mcp:read").await).await);
    authority.server.clock.set(next.signs_from);
    let fresh = authority.token(&worker, RESOURCE, "mcp:read").await;
    authority.stop();
    assert_passed(&guarded.get(&fresh).await);
}
