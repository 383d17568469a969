//! Login: the cookie, the limit, and that nobody learns who has an account.

use axum::http::{Method, StatusCode};
use gateward::{
    domain::account::Username,
    http::TrustedProxies,
    testing::server::{Answer, PASSWORD, Parameters, TestClient, TestServer, USERNAME, Visitor, public_client},
};

use super::*;

struct Started {
    server: TestServer,
    client: TestClient,
    visitor: Visitor,
    page: Answer,
}

/// A human in front of the login page.
async fn at_the_login_page() -> Started {
    at_the_login_page_of(TestServer::start().await).await
}

async fn at_the_login_page_of(server: TestServer) -> Started {
    let client = server.create_client("app", public_client()).await;
    let mut visitor = server.visitor();
    let page = visitor.authorize(&Parameters::authorize(&client)).await;
    Started { server, client, visitor, page }
}

fn cookie(answer: &Answer) -> &str {
    answer.header("set-cookie").expect("a cookie")
}

/// A page without what differs from one showing to the next.
fn without_chance(page: &Answer, username: &str) -> String {
    page.text().replace(page.sealed(), "SEALED").replace(username, "NAME")
}

async fn is_logged_in(started: &mut Started) -> bool {
    let page = started.visitor.authorize(&Parameters::authorize(&started.client)).await;
    !page.text().contains(r#"name="password""#)
}

#[tokio::test]
async fn a_login_leads_on_by_303() {
    let mut started = at_the_login_page().await;
    let answer = started.visitor.log_in_as(&started.page, USERNAME, PASSWORD).await;
    assert!(answer.location().starts_with("/oauth/consent?request="));
    assert_no_store(&answer);
}

#[tokio::test]
async fn the_case_of_a_user_name_does_not_matter() {
    let mut started = at_the_login_page().await;
    let answer = started.visitor.log_in_as(&started.page, " ADA ", PASSWORD).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn over_http_the_cookie_is_http_only_and_lax() {
    let mut started = at_the_login_page().await;
    let answer = started.visitor.log_in_as(&started.page, USERNAME, PASSWORD).await;
    let (value, attributes) = cookie(&answer).split_once("; ").expect("attributes");
    assert!(value.starts_with("gateward=gw_ss_"));
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax; Max-Age=43200");
}

#[tokio::test]
async fn over_https_the_cookie_is_bound_to_the_host_and_secure() {
    let server = TestServer::builder().issuer("https://auth.example.com/tenant").start().await.with_user().await;
    let mut started = at_the_login_page_of(server).await;
    assert!(started.visitor.cookie.as_deref().is_some_and(|cookie| cookie.starts_with("__Host-gateward=gw_ss_")));
    let answer = started.visitor.log_in_as(&started.page, USERNAME, PASSWORD).await;
    let (value, attributes) = cookie(&answer).split_once("; ").expect("attributes");
    assert!(value.starts_with("__Host-gateward=gw_ss_"));
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=43200");
}

#[tokio::test]
async fn over_https_a_cookie_without_the_host_prefix_is_not_looked_at() {
    let server = TestServer::builder().issuer("https://auth.example.com").start().await.with_user().await;
    let mut started = at_the_login_page_of(server).await;
    started.visitor.log_in_as(&started.page, USERNAME, PASSWORD).await;
    let planted = started.visitor.cookie.take().expect("a cookie").replace("__Host-", "");
    started.visitor.cookie = Some(planted);
    assert!(!is_logged_in(&mut started).await);
}

#[tokio::test]
async fn the_cookie_changes_at_login_and_the_old_one_is_worth_nothing() {
    let mut started = at_the_login_page().await;
    let before = started.visitor.cookie.clone();
    started.visitor.log_in_as(&started.page, USERNAME, PASSWORD).await;
    assert_ne!(started.visitor.cookie, before);
    assert!(is_logged_in(&mut started).await);
    started.visitor.cookie = before;
    assert!(!is_logged_in(&mut started).await);
}

#[tokio::test]
async fn a_second_login_ends_the_first_session_of_that_browser() {
    let mut started = at_the_login_page().await;
    started.visitor.log_in_as(&started.page, USERNAME, PASSWORD).await;
    let first = started.visitor.cookie.clone();
    let page = started.visitor.authorize(&Parameters::authorize(&started.client).set("prompt", "login")).await;
    started.visitor.log_in_as(&page, USERNAME, PASSWORD).await;
    started.visitor.cookie = first;
    assert!(!is_logged_in(&mut started).await);
}

#[tokio::test]
async fn a_cookie_that_this_server_did_not_make_is_replaced() {
    let mut started = at_the_login_page().await;
    for planted in ["gateward=x", "gateward=gw_ss_", "gateward=\"", "other=1"] {
        started.visitor.cookie = Some(planted.to_owned());
        let answer = started.visitor.authorize(&Parameters::authorize(&started.client)).await;
        assert!(cookie(&answer).starts_with("gateward=gw_ss_"), "{planted}");
    }
}

#[tokio::test]
async fn a_wrong_password_shows_the_page_again_and_says_so() {
    let mut started = at_the_login_page().await;
    let page = started.visitor.log_in_as(&started.page, USERNAME, "wrong").await;
    assert_page(&page, StatusCode::FORBIDDEN);
    assert!(page.visible().contains("The username or password is not right."));
    assert!(!page.text().contains("wrong\""), "a password is not repeated");
    assert!(!is_logged_in(&mut started).await);
}

#[tokio::test]
async fn after_a_wrong_password_the_right_one_works() {
    let mut started = at_the_login_page().await;
    let page = started.visitor.log_in_as(&started.page, USERNAME, "wrong").await;
    let consent = started.visitor.log_in(&page).await;
    assert_page(&consent, StatusCode::OK);
}

#[tokio::test]
async fn an_unknown_user_gets_the_same_answer_as_a_wrong_password() {
    let mut known = at_the_login_page().await;
    let mut unknown = at_the_login_page().await;
    let known = known.visitor.log_in_as(&known.page, USERNAME, "wrong").await;
    for name in ["bob", "not a name!", ""] {
        let answer = unknown.visitor.log_in_as(&unknown.page, name, "wrong").await;
        assert_eq!(answer.status, known.status);
        assert_eq!(answer.headers.len(), known.headers.len());
        if name == "bob" {
            assert_eq!(without_chance(&answer, name), without_chance(&known, USERNAME));
        }
    }
}

#[tokio::test]
async fn a_disabled_user_gets_the_same_answer_as_a_wrong_password() {
    let mut started = at_the_login_page().await;
    let name = Username::parse(USERNAME).expect("a name");
    started.server.authority().disable_user(&name, started.server.now()).await.expect("disabled");
    let page = started.visitor.log_in_as(&started.page, USERNAME, PASSWORD).await;
    assert_page(&page, StatusCode::FORBIDDEN);
    assert!(page.visible().contains("The username or password is not right."));
}

#[tokio::test]
async fn disabling_a_user_ends_their_sessions() {
    let mut started = at_the_login_page().await;
    started.visitor.log_in_as(&started.page, USERNAME, PASSWORD).await;
    let name = Username::parse(USERNAME).expect("a name");
    started.server.authority().disable_user(&name, started.server.now()).await.expect("disabled");
    assert!(!is_logged_in(&mut started).await);
}

#[tokio::test]
async fn a_new_password_ends_every_session() {
    let mut started = at_the_login_page().await;
    started.visitor.log_in_as(&started.page, USERNAME, PASSWORD).await;
    let name = Username::parse(USERNAME).expect("a name");
    let password = gateward::protocol::secret::Secret::new("another one");
    started.server.authority().set_password(&name, password).await.expect("a new password");
    assert!(!is_logged_in(&mut started).await);
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used() {
    let mut started = at_the_login_page().await;
    started.visitor.log_in_as(&started.page, USERNAME, PASSWORD).await;
    started.server.pass(2 * 3600 - 1);
    assert!(is_logged_in(&mut started).await);
    started.server.pass(2 * 3600);
    assert!(!is_logged_in(&mut started).await);
}

#[tokio::test]
async fn a_session_ends_however_busy() {
    let mut started = at_the_login_page().await;
    started.visitor.log_in_as(&started.page, USERNAME, PASSWORD).await;
    for _ in 0..11 {
        started.server.pass(3600);
        assert!(is_logged_in(&mut started).await);
    }
    started.server.pass(3600);
    assert!(!is_logged_in(&mut started).await);
}

#[tokio::test]
async fn too_many_failures_are_answered_with_later() {
    let mut started = at_the_login_page().await;
    let mut page = started.page.clone();
    for _ in 0..10 {
        page = started.visitor.log_in_as(&page, USERNAME, "wrong").await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
    }
    let refused = started.visitor.log_in_as(&page, USERNAME, PASSWORD).await;
    assert_page(&refused, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.header("retry-after"), Some("900"));
    assert!(refused.visible().contains("Too many attempts. Wait 15 minutes"));
    started.server.pass(900);
    let page = started.visitor.authorize(&Parameters::authorize(&started.client)).await;
    assert_eq!(started.visitor.log_in_as(&page, USERNAME, PASSWORD).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn an_unknown_user_is_limited_in_the_same_way() {
    let mut started = at_the_login_page().await;
    let mut page = started.page.clone();
    for _ in 0..10 {
        page = started.visitor.log_in_as(&page, "bob", "wrong").await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
    }
    let refused = started.visitor.log_in_as(&page, "bob", "wrong").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.header("retry-after"), Some("900"));
}

#[tokio::test]
async fn the_limit_counts_account_and_address_together() {
    let mut started = at_the_login_page().await;
    started.server.create_user("bob", PASSWORD).await;
    let mut page = started.page.clone();
    for _ in 0..11 {
        page = started.visitor.log_in_as(&page, USERNAME, "wrong").await;
    }
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
    // The same account from elsewhere.
    let form = [("request", page.sealed()), ("username", USERNAME), ("password", "wrong")];
    let call = started.visitor.call(Method::POST, "/oauth/login").from("198.51.100.7").form(form);
    assert_eq!(started.visitor.send(call).await.status, StatusCode::FORBIDDEN);
    // Another account from the same address.
    assert_eq!(started.visitor.log_in_as(&page, "bob", PASSWORD).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn other_spellings_of_a_name_and_of_an_address_are_no_way_round_the_limit() {
    let mut started = at_the_login_page().await;
    let mut last = StatusCode::OK;
    for i in 0..11 {
        let name = if i % 2 == 0 { "ADA" } else { " ada" };
        let address = if i % 2 == 0 { "192.0.2.9" } else { "::ffff:192.0.2.9" };
        let form = [("request", started.page.sealed()), ("username", name), ("password", "wrong")];
        let call = started.visitor.call(Method::POST, "/oauth/login").from(address).form(form);
        last = started.visitor.send(call).await.status;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    for i in 0..11 {
        let form = [("request", started.page.sealed()), ("username", USERNAME), ("password", "wrong")];
        let address = format!("2001:db8:0:1::{i}");
        let call = started.visitor.call(Method::POST, "/oauth/login").from(&address).form(form);
        last = started.visitor.send(call).await.status;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS, "an IPv6 household is one address");
}

#[tokio::test]
async fn a_success_forgets_the_failures() {
    let mut started = at_the_login_page().await;
    for _ in 0..2 {
        let mut page = started.visitor.authorize(&Parameters::authorize(&started.client).set("prompt", "login")).await;
        for _ in 0..9 {
            page = started.visitor.log_in_as(&page, USERNAME, "wrong").await;
        }
        assert_eq!(started.visitor.log_in_as(&page, USERNAME, PASSWORD).await.status, StatusCode::SEE_OTHER);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_attempts_at_once_do_not_slip_under_the_limit() {
    let started = at_the_login_page().await;
    let form = Parameters::from([("request", started.page.sealed()), ("username", USERNAME), ("password", "wrong")]);
    let attempts = (0..40).map(|_| {
        let call = started.visitor.call(Method::POST, "/oauth/login").form(&form);
        tokio::spawn(call.send())
    });
    let attempts: Vec<_> = attempts.collect();
    let mut tried = 0;
    for attempt in attempts {
        match attempt.await.expect("no panic").status {
            StatusCode::FORBIDDEN => tried += 1,
            status => assert_eq!(status, StatusCode::TOO_MANY_REQUESTS),
        }
    }
    assert_eq!(tried, 10);
}

#[tokio::test]
async fn whoever_is_sent_away_because_others_keep_the_server_busy_has_not_failed() {
    let mut started = at_the_login_page().await;
    let passwords = started.server.authority().passwords.clone();
    let others: Vec<_> = std::iter::from_fn(|| passwords.place().ok()).collect();
    for _ in 0..20 {
        let sent_away = started.visitor.log_in_as(&started.page, USERNAME, PASSWORD).await;
        assert_eq!(sent_away.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(sent_away.header("retry-after").is_some());
    }
    drop(others);
    for _ in 0..10 {
        let failed = started.visitor.log_in_as(&started.page, USERNAME, "wrong").await;
        assert_eq!(failed.status, StatusCode::FORBIDDEN);
    }
    let refused = started.visitor.log_in_as(&started.page, USERNAME, PASSWORD).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
}

/// Who tries what, and from where.
async fn attempt(visitor: &Visitor, page: &Answer, (name, password): (&str, &str), from: &str) -> Answer {
    let form = [("request", page.sealed()), ("username", name), ("password", password)];
    visitor.call(Method::POST, "/oauth/login").from(from).form(form).send().await
}

/// A server where there were twelve guesses at one account, from twelve addresses.
async fn guessed_at_from_everywhere(server: TestServer) -> Started {
    let started = at_the_login_page_of(server).await;
    for n in 0..12 {
        let guess = (USERNAME, "wrong");
        let answer = attempt(&started.visitor, &started.page, guess, &format!("203.0.113.{n}")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
    }
    started
}

async fn after_that_many(guesses: u32) -> TestServer {
    let builder = TestServer::builder().policy(|policy| policy.login.max_failures_per_account = guesses);
    builder.start().await.with_user().await
}

#[tokio::test]
async fn guesses_at_one_account_from_many_addresses_share_a_limit_too() {
    let mut started = guessed_at_from_everywhere(after_that_many(12).await).await;
    started.server.create_user("bob", PASSWORD).await;
    let refused = attempt(&started.visitor, &started.page, (USERNAME, PASSWORD), "198.51.100.1").await;
    assert_page(&refused, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.header("retry-after"), Some("900"));
    let other = attempt(&started.visitor, &started.page, ("bob", PASSWORD), "198.51.100.1").await;
    assert_eq!(other.status, StatusCode::SEE_OTHER, "another account");
    started.server.pass(900);
    let page = started.visitor.authorize(&Parameters::authorize(&started.client)).await;
    let later = attempt(&started.visitor, &page, (USERNAME, PASSWORD), "198.51.100.1").await;
    assert_eq!(later.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn guessers_do_not_lock_the_owner_out_of_a_session_or_of_where_they_logged_in_before() {
    const HOME: &str = "198.51.100.1";
    // The owner's own way in is one of them.
    let server = after_that_many(13).await;
    let client = server.create_client("browser", public_client()).await;
    let mut owner = server.visitor();
    let page = owner.authorize(&Parameters::authorize(&client)).await;
    let form = [("request", page.sealed()), ("username", USERNAME), ("password", PASSWORD)];
    let call = owner.call(Method::POST, "/oauth/login").from(HOME).form(form);
    assert_eq!(owner.send(call).await.status, StatusCode::SEE_OTHER);

    let guessed_at = guessed_at_from_everywhere(server).await;
    let refused = attempt(&guessed_at.visitor, &guessed_at.page, (USERNAME, PASSWORD), "198.51.100.2").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let page = owner.authorize(&Parameters::authorize(&client)).await;
    assert!(!page.text().contains(r#"name="password""#), "the session goes on");
    let again =
        async |password| attempt(&guessed_at.visitor, &guessed_at.page, (USERNAME, password), HOME).await.status;
    assert_eq!(again(PASSWORD).await, StatusCode::SEE_OTHER, "a known address");
    // It has no more attempts than any other.
    for _ in 0..10 {
        assert_eq!(again("wrong").await, StatusCode::FORBIDDEN);
    }
    assert_eq!(again(PASSWORD).await, StatusCode::TOO_MANY_REQUESTS);
}

/// More at once than there are places: some are sent away, the others share one limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_attempts_that_keeps_the_server_busy_does_not_slip_under_the_limit() {
    let started = at_the_login_page().await;
    let form = Parameters::from([("request", started.page.sealed()), ("username", USERNAME), ("password", "wrong")]);
    let passwords = started.server.authority().passwords.clone();
    let mut others: Vec<_> = std::iter::from_fn(|| passwords.place().ok()).collect();
    others.truncate(others.len() - 12);
    let attempts = (0..200).map(|_| {
        let call = started.visitor.call(Method::POST, "/oauth/login").form(&form);
        tokio::spawn(call.send())
    });
    let attempts: Vec<_> = attempts.collect();
    let mut tried = 0;
    for attempt in attempts {
        match attempt.await.expect("no panic").status {
            StatusCode::FORBIDDEN => tried += 1,
            status => assert!(matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)),
        }
    }
    assert_eq!(tried, 10);
}

#[tokio::test]
async fn a_login_form_from_another_browser_logs_nobody_in() {
    let mut attacker = at_the_login_page().await;
    let mut victim = attacker.server.visitor();
    victim.authorize(&Parameters::authorize(&attacker.client)).await;
    let before = victim.cookie.clone();
    let answer = victim.log_in_as(&attacker.page, USERNAME, PASSWORD).await;
    assert_page(&answer, StatusCode::BAD_REQUEST);
    assert_eq!(victim.cookie, before);
    assert!(!is_logged_in(&mut attacker).await);
}

#[tokio::test]
async fn a_login_form_without_a_cookie_logs_nobody_in() {
    let mut started = at_the_login_page().await;
    started.visitor.cookie = None;
    let answer = started.visitor.log_in_as(&started.page, USERNAME, PASSWORD).await;
    assert_page(&answer, StatusCode::BAD_REQUEST);
    assert_eq!(answer.header("set-cookie"), None);
}

#[tokio::test]
async fn a_tampered_login_form_logs_nobody_in() {
    let mut started = at_the_login_page().await;
    let sealed = started.page.sealed().to_owned();
    let mut flipped = sealed.clone().into_bytes();
    let middle = flipped.len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).expect("ASCII");
    for request in ["", "x", &sealed[..sealed.len() - 4], &flipped, &format!("{sealed}AAAA")] {
        let form = [("request", request), ("username", USERNAME), ("password", PASSWORD)];
        let answer = started.visitor.post("/oauth/login", form).await;
        assert_page(&answer, StatusCode::BAD_REQUEST);
        assert_eq!(answer.header("set-cookie"), None);
    }
    assert!(!is_logged_in(&mut started).await);
}

#[tokio::test]
async fn a_login_page_that_was_open_too_long_can_be_started_again() {
    let mut started = at_the_login_page().await;
    started.server.pass(600);
    let answer = started.visitor.log_in_as(&started.page, USERNAME, PASSWORD).await;
    assert_page(&answer, StatusCode::BAD_REQUEST);
    assert!(answer.visible().contains("open for too long"));
    assert!(answer.text().contains(r#"href="/oauth/authorize?"#));
    assert!(!is_logged_in(&mut started).await);
}

#[tokio::test]
async fn the_page_names_the_app_and_what_it_wants() {
    let started = at_the_login_page().await;
    let text = started.page.visible();
    assert!(
        text.contains("An app named Ada&#39;s Notebook wants to use Service at https://mcp.example.com/mcp"),
        "{text}"
    );
}

#[tokio::test]
async fn the_page_needs_no_script() {
    let started = at_the_login_page().await;
    assert!(!started.page.text().contains("<script"));
    assert!(started.page.text().contains(r#"<form method="post" action="/oauth/login""#));
}

#[tokio::test]
async fn with_an_issuer_that_has_a_path_forms_and_redirects_stay_below_it() {
    let server = TestServer::builder().issuer("https://example.com/t").start().await.with_user().await;
    let mut started = at_the_login_page_of(server).await;
    assert!(started.page.text().contains(r#"action="/t/oauth/login""#));
    let answer = started.visitor.log_in_as(&started.page, USERNAME, PASSWORD).await;
    assert!(answer.location().starts_with("/t/oauth/consent?request="));
}

#[tokio::test]
async fn a_password_is_kept_as_an_argon2id_hash() {
    let server = TestServer::start().await;
    let user = server.authority().user(&Username::parse(USERNAME).expect("a name")).await.expect("the user");
    assert!(user.password.expose().starts_with("$argon2id$v=19$"));
    assert!(!user.password.expose().contains(PASSWORD));
}

/// Ten failures from one sender behind the proxy; is the next one, from another, let through to the password check?
async fn status_for_another_sender(trusted: &[&str]) -> StatusCode {
    let proxies = TrustedProxies::new(trusted.iter().map(|block| block.parse().expect("a block")));
    let server = TestServer::builder().options(|options| options.trusted_proxies = proxies);
    let mut started = at_the_login_page_of(server.start().await.with_user().await).await;
    let mut attempt = async |sender: &str| {
        let form = [("request", started.page.sealed()), ("username", USERNAME), ("password", "wrong")];
        let call =
            started.visitor.call(Method::POST, "/oauth/login").from("10.0.0.1").header("x-forwarded-for", sender);
        started.visitor.send(call.form(form)).await.status
    };
    for _ in 0..11 {
        attempt("198.51.100.1").await;
    }
    attempt("198.51.100.2").await
}

#[tokio::test]
async fn senders_behind_a_trusted_proxy_are_told_apart() {
    assert_eq!(status_for_another_sender(&["10.0.0.0/8"]).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_proxy_that_is_not_trusted_is_one_sender_whatever_it_says() {
    assert_eq!(status_for_another_sender(&[]).await, StatusCode::TOO_MANY_REQUESTS);
}
