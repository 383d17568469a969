//! New keys under load and under attack: no valid token is refused, and the authorization server is left alone.

use std::time::Duration;

use gateward::protocol::jose::Algorithm;

use crate::{
    RESOURCE,
    authority::with_token,
    guarded::{Guarded, assert_invalid, assert_passed},
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
    let (used, rotated) = (tokio::sync::watch::channel(0_u32).0, tokio::sync::watch::channel(false).0);
    let load = (0..8).map(async |_| {
        let mut after = 0;
        while after < 10 {
            let token = authority.token(&worker, RESOURCE, "mcp:read").await;
            for _ in 0..3 {
                let answer = guarded.get(&token).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
            used.send_modify(|used| *used += 1);
            after += u32::from(*rotated.borrow());
        }
    });
    let rotating = async {
        for _ in 0..3 {
            let before = *used.borrow();
            let now = authority.server.now();
            authority.server.keyring.rotate(Algorithm::ES256, true, now).await.expect("a key");
            used.subscribe().wait_for(|used| *used >= before + 40).await.expect("load");
        }
        rotated.send_replace(true);
    };
    tokio::join!(rotating, futures_join(load));
    assert!(*used.borrow() >= 120);
}

/// All of them, at once.
async fn futures_join<F: Future<Output = ()>>(futures: impl Iterator<Item = F>) {
    let mut waiting: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        waiting.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if waiting.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[tokio::test]
async fn a_key_that_is_published_ahead_is_known_before_it_signs() {
    let (authority, worker, token) = with_token().await;
    let guarded = authority.guarded();
    let next = authority.server.keyring.rotate(Algorithm::ES256, false, authority.server.now()).await.expect("a key");
    assert_passed(&guarded.get(&token).await);
    authority.server.clock.set(next.signs_from);
    let fresh = authority.token(&worker, RESOURCE, "mcp:read").await;
    let _time = StandingTime::begin();
    assert_passed(&guarded.get(&fresh).await);
    assert_invalid(&guarded.get(&token).await);
}
