//! What the audit trail says of each thing that happens, and that nothing depends on whether it can be written.

use axum::http::Method;
use gateward::{
    domain::audit::Entry,
    testing::server::{
        Answer, OPAQUE_RESOURCE, PASSWORD, Parameters, REDIRECT, RESOURCE, TestClient, TestServer, USERNAME, Visitor,
        machine, public_client, resource_server,
    },
};
use serde_json::json;

use super::{faults::Faults, *};

/// `event outcome reason`, of every entry.
async fn words(server: &TestServer) -> Vec<String> {
    let word = |entry: &Entry| {
        [Some(&*entry.event), Some(&*entry.outcome), entry.reason.as_deref()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ")
    };
    server.audited().await.iter().map(word).collect()
}

async fn last(server: &TestServer) -> Entry {
    server.audited().await.pop().expect("an entry")
}

/// The last entry says this of this client.
#[track_caller]
fn assert_says(entry: &Entry, event: &str, outcome: &str, reason: Option<&str>, client: Option<&str>) {
    let client_id = entry.client_id.as_ref().map(|id| id.as_str());
    assert_eq!(
        (&*entry.event, &*entry.outcome, entry.reason.as_deref(), client_id),
        (event, outcome, reason, client),
        "{entry:?}"
    );
}

struct Setup {
    server: TestServer,
    client: TestClient,
    visitor: Visitor,
}

async fn setup() -> Setup {
    let server = TestServer::start().await;
    let client = server.create_client("app", public_client()).await;
    let visitor = server.visitor();
    Setup { server, client, visitor }
}

#[tokio::test]
async fn a_human_story_is_told_from_the_login_to_the_last_refresh() {
    let Setup { server, client, mut visitor } = setup().await;
    let code = visitor.code(&Parameters::authorize(&client)).await;
    let tokens = server.redeem(&client, &code).await.json();
    server.refresh(&client, &text(&tokens, "refresh_token")).await;
    assert_eq!(
        words(&server).await,
        [
            "user.login success",
            "user.consent success",
            "token.authorization_code success",
            "token.refresh_token success"
        ]
    );
    let grant = grant_of(&server, &code).await;
    for entry in &server.audited().await[1..] {
        assert_eq!(entry.grant_id.as_ref(), Some(&grant.id));
        assert_eq!(entry.user_id.as_ref(), Some(&grant.user_id));
        assert_eq!(entry.client_id.as_ref(), Some(&grant.client_id));
    }
    for entry in server.audited().await {
        assert_eq!(entry.at, server.now());
        assert_eq!(entry.address.map(|address| address.to_string()).as_deref(), Some("192.0.2.1"));
        assert_eq!((&*entry.instance, entry.times), ("test", 1));
    }
}

/// What the answer, the log and an error page say leads to the entry.
#[tokio::test]
async fn an_entry_has_the_names_of_its_request_and_of_its_attempt() {
    let Setup { server, client, mut visitor } = setup().await;
    let answer = server.redeem(&client, "gw_ac_unknown").await;
    assert_eq!(last(&server).await.request_id.as_deref(), answer.header("x-request-id"));
    visitor.code(&Parameters::authorize(&client)).await;
    let entries = server.audited().await;
    let [_, login, consent] = &entries[..] else { panic!("not three: {entries:?}") };
    assert!(login.attempt_id.is_some());
    assert_eq!(login.attempt_id, consent.attempt_id);
    assert_ne!(login.request_id, consent.request_id);
    let wrong =
        visitor.authorize(&Parameters::authorize(&client).set("redirect_uri", "https://evil.example.com")).await;
    let attempt = last(&server).await.attempt_id.expect("an attempt");
    assert!(wrong.text().contains(&*attempt), "the page names it");
}

#[tokio::test]
async fn a_token_is_told_by_the_name_that_it_carries() {
    let server = TestServer::start().await;
    let worker = server.create_client("worker", machine()).await;
    let token = server.token(&worker, [("grant_type", "client_credentials")]).await.member("access_token");
    let entry = last(&server).await;
    assert_says(&entry, "token.client_credentials", "success", None, Some("worker"));
    assert_eq!(entry.token_id.expect("a token").as_str(), claims_of(&token)["jti"]);
    assert_eq!((entry.user_id, entry.grant_id), (None, None));
}

#[tokio::test]
async fn a_remembered_consent_is_told_as_a_code_that_was_issued() {
    let Setup { server, mut visitor, .. } = setup().await;
    let client = server.declare_client("vouched", public_client(), "unused").await;
    visitor.code(&Parameters::authorize(&client)).await;
    let again = visitor.authorize(&Parameters::authorize(&client)).await;
    let code = again.parameter("code").expect("a code without a question");
    let entry = last(&server).await;
    assert_says(&entry, "authorize", "success", None, Some("vouched"));
    assert_eq!(entry.grant_id, Some(grant_of(&server, &code).await.id));
    assert!(entry.user_id.is_some());
}

#[tokio::test]
async fn a_client_that_is_not_believed_is_told_by_name_only_if_there_is_one() {
    let Setup { server, client, .. } = setup().await;
    let worker = server.create_client("worker", machine()).await;
    let liar = TestClient { secret: Some("gw_cs_wrong".into()), ..worker.clone() };
    let stranger = TestClient { id: "my-password-is-hunter2".into(), ..liar.clone() };
    let form = [("grant_type", "client_credentials")];
    server.token(&liar, form).await;
    assert_says(&last(&server).await, "client.authenticate", "refused", Some("wrong_secret"), Some("worker"));
    server.token(&stranger, form).await;
    assert_says(&last(&server).await, "client.authenticate", "refused", Some("unknown_client"), None);
    let public = TestClient { secret: liar.secret.clone(), method: liar.method, ..client };
    server.post_as(&public, "/oauth/introspect", [("token", "x")]).await;
    assert_says(&last(&server).await, "client.authenticate", "refused", Some("wrong_method"), Some("app"));
}

#[tokio::test]
async fn failed_logins_name_an_account_only_if_there_is_one() {
    let Setup { server, client, mut visitor } = setup().await;
    let page = visitor.authorize(&Parameters::authorize(&client)).await;
    visitor.log_in_as(&page, USERNAME, "wrong").await;
    let entry = last(&server).await;
    assert_says(&entry, "user.login", "refused", Some("wrong_password"), Some("app"));
    assert!(entry.user_id.is_some());
    visitor.log_in_as(&page, PASSWORD, PASSWORD).await;
    visitor.log_in_as(&page, "hunter2", PASSWORD).await;
    let entry = last(&server).await;
    assert_says(&entry, "user.login", "refused", Some("unknown_user"), Some("app"));
    assert_eq!(entry.user_id, None);
}

#[tokio::test]
async fn an_account_that_is_disabled_is_told_from_a_wrong_password() {
    let Setup { server, client, mut visitor } = setup().await;
    let name = gateward::domain::account::Username::parse(USERNAME).expect("a name");
    server.authority().disable_user(&name, server.now()).await.expect("the store");
    let page = visitor.authorize(&Parameters::authorize(&client)).await;
    visitor.log_in_as(&page, USERNAME, PASSWORD).await;
    assert_says(&last(&server).await, "user.login", "refused", Some("disabled_user"), Some("app"));
}

#[tokio::test]
async fn an_account_that_was_tried_too_often_is_told_once_a_minute() {
    let server = TestServer::builder().policy(|policy| policy.login.max_failures = 1).start().await.with_user().await;
    let client = server.create_client("app", public_client()).await;
    let mut visitor = server.visitor();
    let page = visitor.authorize(&Parameters::authorize(&client)).await;
    for _ in 0..4 {
        visitor.log_in_as(&page, USERNAME, "wrong").await;
    }
    let entries = server.audited().await;
    let [_, first, rest] = &entries[..] else { panic!("not three: {entries:?}") };
    for (entry, times) in [(first, 1), (rest, 2)] {
        assert_says(entry, "user.login", "refused", Some("too_many_attempts"), Some("app"));
        assert_eq!(entry.times, times);
    }
}

#[tokio::test]
async fn a_human_who_says_no_and_one_who_leaves_are_told() {
    let Setup { server, client, mut visitor } = setup().await;
    let login = visitor.authorize(&Parameters::authorize(&client)).await;
    let consent = visitor.log_in(&login).await;
    let user = last(&server).await.user_id;
    visitor.decide(&consent, "deny").await;
    let denied = last(&server).await;
    assert_says(&denied, "user.consent", "refused", Some("denied"), Some("app"));
    visitor.post("/oauth/logout", [("request", consent.sealed())]).await;
    let left = last(&server).await;
    assert_says(&left, "user.logout", "success", None, Some("app"));
    assert_eq!((denied.user_id, left.user_id), (user.clone(), user));
}

#[tokio::test]
async fn answers_that_nobody_was_asked_for_are_told() {
    let Setup { server, client, mut visitor } = setup().await;
    let login = visitor.authorize(&Parameters::authorize(&client)).await;
    let consent = visitor.log_in(&login).await;
    visitor.decide(&consent, "approve").await;
    visitor.decide(&consent, "approve").await;
    assert_says(&last(&server).await, "user.consent", "refused", Some("answered_before"), Some("app"));
    server.visitor().decide(&consent, "approve").await;
    assert_says(&last(&server).await, "authorize", "refused", Some("other_browser"), None);
    visitor.post("/oauth/consent", [("request", "forged"), ("decision", "approve")]).await;
    assert_says(&last(&server).await, "authorize", "refused", Some("forged_form"), None);
}

#[tokio::test]
async fn requests_for_codes_that_are_refused_are_told() {
    let Setup { server, client, mut visitor } = setup().await;
    let query = || Parameters::authorize(&client);
    for (query, reason, client) in [
        (query().set("redirect_uri", "https://evil.example.com/"), "redirect_mismatch", Some("app")),
        (query().set("client_id", "nobody"), "unknown_client", None),
        (query().set("resource", "https://elsewhere.example.com"), "target_refused", Some("app")),
        (query().without("code_challenge"), "challenge_refused", Some("app")),
    ] {
        visitor.authorize(&query).await;
        assert_says(&last(&server).await, "authorize", "refused", Some(reason), client);
    }
}

#[tokio::test]
async fn a_code_that_comes_back_and_what_it_ends_are_told() {
    let Setup { server, client, .. } = setup().await;
    let code = server.code(&Parameters::authorize(&client)).await;
    server.redeem(&client, &code).await;
    server.redeem(&client, &code).await;
    let entries = server.audited().await;
    let [.., revoked, refused] = &entries[..] else { panic!("not two: {entries:?}") };
    assert_says(revoked, "grant.revoke", "success", Some("code_replayed"), None);
    assert_says(refused, "token.authorization_code", "refused", Some("code_replayed"), Some("app"));
    let grant = grant_of(&server, &code).await.id;
    assert_eq!((revoked.grant_id.as_ref(), refused.grant_id.as_ref()), (Some(&grant), Some(&grant)));
}

#[tokio::test]
async fn of_many_uses_of_one_code_one_succeeds_and_the_grant_ends_once() {
    let Setup { server, client, .. } = setup().await;
    let code = server.code(&Parameters::authorize(&client)).await;
    let uses = (0..16).map(|_| {
        let (server, client, code) = (server.clone(), client.clone(), code.clone());
        tokio::spawn(async move { server.redeem(&client, &code).await })
    });
    for used in uses.collect::<Vec<_>>() {
        used.await.expect("an answer");
    }
    let words = words(&server).await;
    let count = |wanted: &str| words.iter().filter(|word| *word == wanted).count();
    assert_eq!(count("token.authorization_code success"), 1, "{words:?}");
    assert_eq!(count("grant.revoke success code_replayed"), 1, "{words:?}");
}

#[tokio::test]
async fn a_refresh_token_that_comes_twice_is_told_from_one_that_comes_back() {
    let Setup { server, client, .. } = setup().await;
    let first = text(&server.tokens(&client).await, "refresh_token");
    server.refresh(&client, &first).await;
    server.refresh(&client, &first).await;
    assert_says(&last(&server).await, "token.refresh_token", "success", Some("refresh_repeated"), Some("app"));
    server.pass(61);
    server.refresh(&client, &first).await;
    let entries = server.audited().await;
    let [.., revoked, refused] = &entries[..] else { panic!("not two: {entries:?}") };
    assert_says(revoked, "grant.revoke", "success", Some("refresh_replayed"), None);
    assert_says(refused, "token.refresh_token", "refused", Some("refresh_replayed"), Some("app"));
    assert_eq!(revoked.grant_id, refused.grant_id);
    assert!(revoked.grant_id.is_some());
}

#[tokio::test]
async fn token_requests_that_are_refused_are_told() {
    let Setup { server, client, .. } = setup().await;
    let worker = server.create_client("worker", machine()).await;
    server.token(&worker, [("grant_type", "client_credentials"), ("scope", "mcp:execute")]).await;
    let entry = last(&server).await;
    assert_says(&entry, "token.client_credentials", "refused", Some("scope_refused"), Some("worker"));
    server.redeem(&client, "gw_ac_unknown").await;
    assert_says(&last(&server).await, "token.authorization_code", "refused", Some("unknown_code"), Some("app"));
    let code = server.code(&Parameters::authorize(&client)).await;
    server.token(&client, Parameters::redeem(&code).set("code_verifier", &"x".repeat(43))).await;
    assert_says(&last(&server).await, "token.authorization_code", "refused", Some("verifier_mismatch"), Some("app"));
    let thief = server.create_client("thief", public_client()).await;
    let refresh = text(&server.tokens(&client).await, "refresh_token");
    server.refresh(&thief, &refresh).await;
    assert_says(&last(&server).await, "token.refresh_token", "refused", Some("wrong_client"), Some("thief"));
}

#[tokio::test]
async fn what_a_client_gives_back_is_told_and_what_is_not_its_own_is_not() {
    let Setup { server, client, .. } = setup().await;
    let tokens = server.tokens(&client).await;
    let worker = server.create_client("worker", machine()).await;
    let before = server.audited().await.len();
    for nothing in ["gw_rt_nonsense", "nonsense", &text(&tokens, "refresh_token")] {
        server.post_as(&worker, "/oauth/revoke", [("token", nothing)]).await;
    }
    assert_eq!(server.audited().await.len(), before);
    let access = text(&tokens, "access_token");
    server.post_as(&client, "/oauth/revoke", [("token", access.as_str())]).await;
    let entry = last(&server).await;
    assert_says(&entry, "token.revoke", "success", None, Some("app"));
    assert_eq!(entry.token_id.expect("a token").as_str(), claims_of(&access)["jti"]);
    server.post_as(&client, "/oauth/revoke", [("token", text(&tokens, "refresh_token").as_str())]).await;
    let entry = last(&server).await;
    assert_says(&entry, "grant.revoke", "success", Some("by_client"), Some("app"));
    assert!(entry.grant_id.is_some() && entry.user_id.is_some());
}

#[tokio::test]
async fn a_public_client_that_asks_about_tokens_is_told_and_a_resource_server_is_not() {
    let Setup { server, client, .. } = setup().await;
    let rs = server.create_client("rs", resource_server(RESOURCE)).await;
    server.introspect(&rs, "anything").await;
    assert_eq!(server.audited().await, []);
    server.post_as(&client, "/oauth/introspect", [("token", "x")]).await;
    assert_says(&last(&server).await, "token.introspect", "refused", Some("public_client"), Some("app"));
}

async fn manage(server: &TestServer, method: Method, uri: &str, token: &str) -> Answer {
    server.call(method, uri).bearer(token).json(&json!({ "redirect_uris": [REDIRECT] })).send().await
}

#[tokio::test]
async fn what_clients_do_about_their_registration_is_told() {
    let server = TestServer::start().await;
    let registered = server.register(&json!({ "redirect_uris": [REDIRECT] })).await;
    let (id, token) = (registered.member("client_id"), registered.member("registration_access_token"));
    let uri = format!("/oauth/register/{id}");
    assert_says(&last(&server).await, "client.register", "success", None, Some(&id));
    manage(&server, Method::GET, &uri, &token).await;
    assert_eq!(server.audited().await.len(), 1, "looking changes nothing");
    for (method, event) in
        [(Method::GET, "client.read"), (Method::PUT, "client.update"), (Method::DELETE, "client.delete")]
    {
        manage(&server, method, &uri, "wrong").await;
        assert_says(&last(&server).await, event, "refused", Some("wrong_registration_token"), None);
    }
    let token = manage(&server, Method::PUT, &uri, &token).await.member("registration_access_token");
    assert_says(&last(&server).await, "client.update", "success", None, Some(&id));
    manage(&server, Method::DELETE, &uri, &token).await;
    assert_says(&last(&server).await, "client.delete", "success", None, Some(&id));
    server.register(&json!({ "redirect_uris": ["http://evil.example.com/"] })).await;
    assert_says(&last(&server).await, "client.register", "refused", Some("metadata_refused"), None);
}

#[tokio::test]
async fn a_client_that_is_reaped_is_told() {
    let server = TestServer::start().await;
    let id = server.register(&json!({ "redirect_uris": [REDIRECT] })).await.member("client_id");
    server.pass(25 * 3600);
    server.authority().purge(server.now()).await.expect("a purge");
    assert_says(&last(&server).await, "client.delete", "success", Some("never_authorized"), Some(&id));
}

#[tokio::test]
async fn what_is_older_than_the_retention_is_forgotten() {
    let server = TestServer::start().await;
    let worker = server.create_client("worker", machine()).await;
    server.token(&worker, [("grant_type", "client_credentials")]).await;
    server.audited().await;
    server.pass(90 * 24 * 3600);
    server.authority().purge(server.now()).await.expect("a purge");
    assert_eq!(server.audited().await.len(), 1);
    server.pass(1);
    assert_eq!(server.authority().purge(server.now()).await.expect("a purge").audit, 1);
    assert_eq!(server.audited().await, []);
}

/// What a client gets does not tell whether the trail can be written.
#[tokio::test]
async fn while_the_trail_cannot_be_written_every_answer_is_as_ever_and_nothing_is_lost() {
    let faults = Faults::default();
    let server = TestServer::builder().stores(|stores| faults.wrap(stores)).start().await.with_user().await;
    let client = server.create_client("app", public_client()).await;
    let worker = server.create_client("worker", machine()).await;
    faults.take_down_at(&["audit.append", "audit.list", "audit.ping"]);
    let tokens = server.tokens(&client).await;
    assert_ok(&server.refresh(&client, &text(&tokens, "refresh_token")).await);
    assert_ok(&server.token(&worker, [("grant_type", "client_credentials")]).await);
    assert_ok(&server.get("/readyz").await);
    assert!(!server.trail.flush().await);
    assert!(faults.calls("audit.append") > 0);
    faults.heal();
    assert_eq!(
        words(&server).await,
        [
            "user.login success",
            "user.consent success",
            "token.authorization_code success",
            "token.refresh_token success",
            "token.client_credentials success"
        ]
    );
}

#[tokio::test]
async fn while_the_store_of_tokens_is_down_the_trail_says_who_asked_in_vain() {
    let faults = Faults::default();
    let server = TestServer::builder().stores(|stores| faults.wrap(stores)).start().await.with_user().await;
    let worker = server.create_client("worker", machine()).await;
    faults.take_down_at(&["tokens.record_access"]);
    let form = [("grant_type", "client_credentials"), ("resource", OPAQUE_RESOURCE)];
    assert_unavailable(&server.token(&worker, form).await);
    assert_says(&last(&server).await, "token.client_credentials", "failed", Some("unavailable"), Some("worker"));
}

/// Else whoever has stolen a token could use it unseen: the rotation happens, and nobody waits for the answer.
#[tokio::test]
async fn whoever_hangs_up_in_the_middle_is_in_the_trail() {
    let faults = Faults::default();
    let server = TestServer::builder().stores(|stores| faults.wrap(stores)).start().await.with_user().await;
    let client = server.create_client("app", public_client()).await;
    let refresh = text(&server.tokens(&client).await, "refresh_token");
    faults.get_stuck_at(&["tokens.rotate"]);
    let asking = {
        let (server, client) = (server.clone(), client.clone());
        tokio::spawn(async move { server.refresh(&client, &refresh).await })
    };
    while faults.calls("tokens.rotate") == 0 {
        tokio::task::yield_now().await;
    }
    asking.abort();
    assert!(asking.await.expect_err("no answer").is_cancelled());
    let entry = last(&server).await;
    assert_says(&entry, "token.refresh_token", "failed", Some("abandoned"), Some("app"));
    assert!(entry.address.is_some());
}

/// Everything that a stranger can write into a request, and every credential that was handed out.
#[tokio::test]
async fn nothing_that_was_sent_or_handed_out_is_in_the_trail() {
    let Setup { server, client, mut visitor } = setup().await;
    let canary = "c4n4ry";
    let page = visitor.authorize(&Parameters::authorize(&client).set("state", canary)).await;
    visitor.log_in_as(&page, canary, canary).await;
    let code = visitor.code(&Parameters::authorize(&client)).await;
    let tokens = server.redeem(&client, &code).await.json();
    visitor.authorize(&Parameters::authorize(&client).set("client_id", canary)).await;
    server.post("/oauth/token", [("grant_type", "client_credentials"), ("client_id", canary)]).await;
    server.redeem(&client, canary).await;
    manage(&server, Method::GET, &format!("/oauth/register/{canary}"), canary).await;
    server.register(&json!({ "redirect_uris": [REDIRECT], "client_name": canary })).await;
    let trail = serde_json::to_string(&server.audited().await).expect("JSON");
    assert!(!trail.contains(canary), "{trail}");
    for secret in [code, text(&tokens, "access_token"), text(&tokens, "refresh_token"), PASSWORD.to_owned()] {
        assert!(!trail.contains(&secret), "{trail}");
    }
}

/// Whose secret is guessed is known; who guesses is not.
#[tokio::test]
async fn a_lockout_is_told_with_the_client_that_it_is_about() {
    let server = TestServer::start().await;
    let worker = server.create_client("worker", machine()).await;
    let guess = || {
        let call = server.call(Method::POST, "/oauth/token").from("198.51.100.7").basic(&worker.id, "wrong");
        call.form(Parameters::from([("grant_type", "client_credentials")])).send()
    };
    for _ in 0..19 {
        assert_eq!(guess().await.status, 401);
    }
    for _ in 0..5 {
        assert_eq!(guess().await.status, 429);
    }
    // The first is written at once, those like it after a minute: with their number.
    let entries = server.audited().await;
    let of = |reason: &str| {
        let like_it = |entry: &&Entry| entry.reason.as_deref() == Some(reason);
        entries.iter().filter(like_it).map(|entry| entry.times).collect::<Vec<_>>()
    };
    assert_eq!(of("wrong_secret").first(), Some(&1));
    assert_eq!(of("too_many_attempts").first(), Some(&1));
    for entry in &entries {
        assert_says(entry, "client.authenticate", "refused", entry.reason.as_deref(), Some("worker"));
        assert_eq!(entry.address.map(|address| address.to_string()).as_deref(), Some("198.51.100.7"));
    }
}
