//! Consent: what the human sees, when they are asked, and that no other post than theirs counts.

use axum::http::{Method, StatusCode};
use gateward::{
    domain::{
        account::Username,
        client::Removal,
        identifier::{ClientId, GrantId},
        resource::{Resource, ResourceUri},
    },
    port::store::{GrantFilter, Page},
    service::administer_clients::ClientSpec,
    testing::server::{
        Answer, OPAQUE_RESOURCE, Parameters, REDIRECT, RESOURCE, TestClient, TestServer, USERNAME, Visitor,
        public_client, redirect,
    },
};
use serde_json::json;

use super::*;

struct Asked {
    server: TestServer,
    client: TestClient,
    visitor: Visitor,
    page: Answer,
}

async fn asked_by(server: TestServer, client: TestClient, query: Parameters) -> Asked {
    let mut visitor = server.visitor();
    let login = visitor.authorize(&query).await;
    let page = visitor.log_in(&login).await;
    assert_page(&page, StatusCode::OK);
    assert!(page.text().contains(r#"value="approve""#));
    Asked { server, client, visitor, page }
}

/// A human in front of the consent page.
async fn asked() -> Asked {
    let server = TestServer::start().await;
    let client = server.create_client("app", public_client()).await;
    let query = Parameters::authorize(&client);
    asked_by(server, client, query).await
}

async fn asked_by_itself(redirect: &str) -> Asked {
    let server = TestServer::start().await;
    let client = dynamic(&server, redirect).await;
    let query = Parameters::authorize(&client).set("redirect_uri", redirect);
    asked_by(server, client, query).await
}

async fn dynamic(server: &TestServer, redirect: &str) -> TestClient {
    let metadata = json!({
        "client_name": "Claude",
        "redirect_uris": [redirect],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    });
    TestClient::registered(&server.register(&metadata).await)
}

async fn grants(server: &TestServer) -> usize {
    let page = Page::<GrantId> { after: None, limit: 1000 };
    server.stores.tokens.list_grants(&GrantFilter::default(), page).await.expect("the store").len()
}

/// Neither a grant nor a remembered consent.
async fn assert_nothing_changed(asked: &mut Asked) {
    assert_eq!(grants(&asked.server).await, 0);
    let query = Parameters::authorize(&asked.client).set("prompt", "none");
    let answer = asked.visitor.authorize(&query).await;
    assert_ne!(answer.parameter("error"), None, "{}", answer.location());
}

fn is_consent_page(answer: &Answer) -> bool {
    answer.status == StatusCode::OK && answer.text().contains(r#"value="approve""#)
}

#[tokio::test]
async fn the_page_says_who_where_what_and_for_how_long() {
    let text = asked().await.page.visible();
    for part in [
        "Ada&#39;s Notebook",
        "Signed in as ada",
        "Registered by an administrator of this server",
        "client.example.com",
        "Service at https://mcp.example.com/mcp",
        RESOURCE,
        "Do what mcp read means",
        "mcp:read",
        "Until you revoke it, or 7 days after it was last used.",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn the_page_warns_of_a_client_that_registered_itself() {
    let text = asked_by_itself("https://claude.ai/cb").await.page.visible();
    assert!(text.contains("Do you know this app?"), "{text}");
    assert!(text.contains("access goes to claude.ai"), "{text}");
    assert!(!text.contains("Registered by an administrator"));
}

#[tokio::test]
async fn the_page_says_that_a_loopback_redirect_is_any_program_on_this_computer() {
    let text = asked_by_itself("http://localhost:6274/cb").await.page.visible();
    assert!(text.contains("Any program on this computer can ask like this."), "{text}");
    assert!(text.contains("port&nbsp;6274") || text.contains("port 6274"), "{text}");
}

#[tokio::test]
async fn the_page_says_which_scheme_gets_the_code() {
    let text = asked_by_itself("cursor://anysphere/cb").await.page.visible();
    assert!(text.contains("The app registered for cursor: links"), "{text}");
}

#[tokio::test]
async fn the_page_says_how_long_when_nothing_can_be_refreshed() {
    let server = TestServer::start().await;
    let grant_types = vec![gateward::domain::client::GrantType::AuthorizationCode];
    let client = server.create_client("app", ClientSpec { grant_types, ..public_client() }).await;
    let query = Parameters::authorize(&client);
    assert!(asked_by(server, client, query).await.page.visible().contains("For 1 hour."));
}

#[tokio::test]
async fn the_page_works_without_script() {
    let asked = asked().await;
    assert!(!asked.page.text().contains("<script"));
    assert!(asked.page.text().contains(r#"<form method="post" action="/oauth/consent""#));
}

#[tokio::test]
async fn approval_leads_to_a_code_by_303() {
    let mut asked = asked().await;
    let answer = asked.visitor.decide(&asked.page, "approve").await;
    assert!(answer.location().starts_with(&format!("{REDIRECT}?code=gw_ac_")));
    assert_eq!(grants(&asked.server).await, 1);
}

#[tokio::test]
async fn denial_is_access_denied_and_changes_nothing() {
    let mut asked = asked().await;
    let answer = asked.visitor.decide(&asked.page, "deny").await;
    assert_redirected_error(&answer, "access_denied");
    assert_nothing_changed(&mut asked).await;
}

#[tokio::test]
async fn an_unclear_decision_changes_nothing() {
    let mut asked = asked().await;
    for decision in ["", "yes", "APPROVE", "approve "] {
        assert_page(&asked.visitor.decide(&asked.page, decision).await, StatusCode::BAD_REQUEST);
    }
    assert_nothing_changed(&mut asked).await;
}

#[tokio::test]
async fn two_decisions_in_one_post_change_nothing() {
    let mut asked = asked().await;
    let form = [("request", asked.page.sealed()), ("decision", "deny"), ("decision", "approve")];
    assert_page(&asked.visitor.post("/oauth/consent", form).await, StatusCode::BAD_REQUEST);
    assert_nothing_changed(&mut asked).await;
}

#[tokio::test]
async fn a_tampered_post_changes_nothing() {
    let mut asked = asked().await;
    let sealed = asked.page.sealed().to_owned();
    for at in [0, 5, sealed.len() / 2, sealed.len() - 2] {
        let mut flipped = sealed.clone().into_bytes();
        flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
        let flipped = String::from_utf8(flipped).expect("ASCII");
        let form = [("request", flipped.as_str()), ("decision", "approve")];
        assert_page(&asked.visitor.post("/oauth/consent", form).await, StatusCode::BAD_REQUEST);
    }
    assert_nothing_changed(&mut asked).await;
}

#[tokio::test]
async fn a_post_cannot_change_the_request_that_was_shown() {
    let mut asked = asked().await;
    let form = Parameters::from([("request", asked.page.sealed()), ("decision", "approve")])
        .add("scope", "mcp:execute")
        .add("redirect_uri", "https://evil.example/")
        .add("client_id", "other");
    let answer = asked.visitor.post("/oauth/consent", form).await;
    assert!(answer.location().starts_with(REDIRECT));
    let code = answer.parameter("code").expect("a code");
    assert_eq!(grant_of(&asked.server, &code).await.scope, scope("mcp:read"));
}

#[tokio::test]
async fn a_post_without_a_request_changes_nothing() {
    let mut asked = asked().await;
    assert_page(&asked.visitor.post("/oauth/consent", [("decision", "approve")]).await, StatusCode::BAD_REQUEST);
    assert_nothing_changed(&mut asked).await;
}

#[tokio::test]
async fn a_replayed_post_changes_nothing() {
    let mut asked = asked().await;
    asked.visitor.decide(&asked.page, "approve").await;
    for decision in ["approve", "deny"] {
        let answer = asked.visitor.decide(&asked.page, decision).await;
        assert_page(&answer, StatusCode::BAD_REQUEST);
        assert!(answer.visible().contains("answered this already"));
    }
    assert_eq!(grants(&asked.server).await, 1);
}

/// The purge is another instance's, whose clock is ahead.
#[tokio::test]
async fn an_answer_is_remembered_by_a_purge_whose_clock_is_ahead() {
    let mut asked = asked().await;
    asked.visitor.decide(&asked.page, "approve").await;
    asked.server.pass(599);
    let ahead = asked.server.now().plus(std::time::Duration::from_secs(30));
    asked.server.authority().purge(ahead).await.expect("a purge");
    let answer = asked.visitor.decide(&asked.page, "approve").await;
    assert!(answer.visible().contains("answered this already"), "{}", answer.visible());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_posts_at_once_one_counts() {
    let asked = asked().await;
    let form = Parameters::from([("request", asked.page.sealed()), ("decision", "approve")]);
    let posts: Vec<_> =
        (0..32).map(|_| tokio::spawn(asked.visitor.call(Method::POST, "/oauth/consent").form(&form).send())).collect();
    let mut redirects = 0;
    for post in posts {
        redirects += usize::from(post.await.expect("no panic").status == StatusCode::SEE_OTHER);
    }
    assert_eq!(redirects, 1);
    assert_eq!(grants(&asked.server).await, 1);
}

#[tokio::test]
async fn a_post_from_another_session_changes_nothing() {
    let mut asked = asked().await;
    asked.server.create_user("mallory", "x").await;
    let mut mallory = asked.server.visitor();
    let login = mallory.authorize(&Parameters::authorize(&asked.client)).await;
    mallory.log_in_as(&login, "mallory", "x").await;
    assert_page(&mallory.decide(&asked.page, "approve").await, StatusCode::BAD_REQUEST);
    let mut stranger = asked.server.visitor();
    assert_page(&stranger.decide(&asked.page, "approve").await, StatusCode::BAD_REQUEST);
    assert_nothing_changed(&mut asked).await;
}

#[tokio::test]
async fn a_post_after_the_session_ended_changes_nothing() {
    let server = TestServer::builder().policy(|policy| {
        policy.lifetimes.session.idle = std::time::Duration::from_secs(60);
    });
    let server = server.start().await.with_user().await;
    let client = server.create_client("app", public_client()).await;
    let query = Parameters::authorize(&client);
    let mut asked = asked_by(server, client, query).await;
    asked.server.pass(61);
    assert_page(&asked.visitor.decide(&asked.page, "approve").await, StatusCode::BAD_REQUEST);
    assert_nothing_changed(&mut asked).await;
}

#[tokio::test]
async fn a_post_for_a_page_that_was_open_too_long_changes_nothing() {
    let mut asked = asked().await;
    asked.server.pass(600);
    let answer = asked.visitor.decide(&asked.page, "approve").await;
    assert_page(&answer, StatusCode::BAD_REQUEST);
    assert!(answer.visible().contains("open for too long"));
    assert_nothing_changed(&mut asked).await;
}

#[tokio::test]
async fn a_client_that_was_deleted_meanwhile_gets_nothing() {
    let mut asked = asked().await;
    let id = asked.client_id();
    asked.server.authority().delete_client(&id, asked.server.now()).await.expect("deleted");
    assert_page(&asked.visitor.decide(&asked.page, "approve").await, StatusCode::BAD_REQUEST);
    assert_eq!(grants(&asked.server).await, 0);
}

/// What the login page carries is no answer to the consent page: else `prompt=login` and `max_age` would be a mere wish.
#[tokio::test]
async fn a_login_form_cannot_be_sent_as_a_decision() {
    for (name, value) in [("prompt", "login"), ("max_age", "5")] {
        let mut asked = asked().await;
        asked.server.pass(30);
        let page = asked.visitor.authorize(&Parameters::authorize(&asked.client).set(name, value)).await;
        assert!(page.text().contains(r#"name="password""#));
        assert_page(&asked.visitor.decide(&page, "approve").await, StatusCode::BAD_REQUEST);
        assert_nothing_changed(&mut asked).await;
    }
}

#[tokio::test]
async fn a_login_form_cannot_be_shown_as_a_consent_page() {
    let mut asked = asked().await;
    asked.server.pass(30);
    let page = asked.visitor.authorize(&Parameters::authorize(&asked.client).set("prompt", "login")).await;
    let query = Parameters::from([("request", page.sealed())]).encode();
    let answer = asked.visitor.get(&format!("/oauth/consent?{query}")).await;
    assert!(answer.text().contains(r#"name="password""#));
}

#[tokio::test]
async fn a_consent_page_that_is_no_request_is_an_error_page() {
    let mut asked = asked().await;
    for uri in ["/oauth/consent", "/oauth/consent?request=x", "/oauth/consent?request=%ff"] {
        assert_page(&asked.visitor.get(uri).await, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_vouched_for_client_with_an_https_redirect_is_not_asked_for_again() {
    let mut asked = asked().await;
    asked.visitor.decide(&asked.page, "approve").await;
    let answer = asked.visitor.authorize(&Parameters::authorize(&asked.client)).await;
    assert!(answer.parameter("code").is_some(), "{}", answer.location());
}

#[tokio::test]
async fn a_client_that_registered_itself_is_always_asked_for() {
    let mut asked = asked_by_itself(REDIRECT).await;
    asked.visitor.decide(&asked.page, "approve").await;
    assert!(is_consent_page(&asked.visitor.authorize(&Parameters::authorize(&asked.client)).await));
}

#[tokio::test]
async fn a_loopback_or_private_redirect_is_always_asked_for() {
    for uri in ["http://localhost:1/cb", "http://127.0.0.1/cb", "com.example.app:/cb"] {
        let server = TestServer::start().await;
        let spec = ClientSpec { redirect_uris: vec![redirect(uri)], ..public_client() };
        let client = server.create_client("app", spec).await;
        let query = Parameters::authorize(&client).set("redirect_uri", uri);
        let mut asked = asked_by(server, client, query.clone()).await;
        asked.visitor.decide(&asked.page, "approve").await;
        assert!(is_consent_page(&asked.visitor.authorize(&query).await), "{uri}");
    }
}

#[tokio::test]
async fn policy_may_remember_those_too() {
    for uri in [REDIRECT, "http://localhost:1/cb"] {
        let builder = TestServer::builder().policy(|policy| policy.consent.remember_unvouched = true);
        let server = builder.start().await.with_user().await;
        let client = dynamic(&server, uri).await;
        let query = Parameters::authorize(&client).set("redirect_uri", uri);
        let mut asked = asked_by(server, client, query.clone()).await;
        asked.visitor.decide(&asked.page, "approve").await;
        assert!(asked.visitor.authorize(&query).await.parameter("code").is_some(), "{uri}");
    }
}

#[tokio::test]
async fn a_denial_is_not_remembered() {
    let mut asked = asked().await;
    asked.visitor.decide(&asked.page, "deny").await;
    assert!(is_consent_page(&asked.visitor.authorize(&Parameters::authorize(&asked.client)).await));
}

#[tokio::test]
async fn asking_for_more_shows_what_is_new_and_what_is_not() {
    let mut asked = asked().await;
    asked.visitor.decide(&asked.page, "approve").await;
    let query = Parameters::authorize(&asked.client).set("scope", "mcp:read mcp:execute");
    let page = asked.visitor.authorize(&query).await;
    let text = page.visible();
    let (new, old) = text.split_once("You allowed before").expect("both lists");
    assert!(new.contains("mcp:execute") && !new.contains("mcp:read"), "{text}");
    assert!(old.contains("mcp:read") && !old.contains("mcp:execute"), "{text}");
}

#[tokio::test]
async fn consents_add_up() {
    let mut asked = asked().await;
    asked.visitor.decide(&asked.page, "approve").await;
    let wider = Parameters::authorize(&asked.client).set("scope", "mcp:execute");
    let page = asked.visitor.authorize(&wider).await;
    asked.visitor.decide(&page, "approve").await;
    let both = Parameters::authorize(&asked.client).set("scope", "mcp:read mcp:execute");
    let answer = asked.visitor.authorize(&both).await;
    assert!(answer.parameter("code").is_some(), "{}", answer.location());
}

#[tokio::test]
async fn asking_for_less_than_before_is_not_asked_again() {
    let server = TestServer::start().await;
    let client = server.create_client("app", public_client()).await;
    let query = Parameters::authorize(&client).set("scope", "mcp:read mcp:execute offline_access");
    let mut asked = asked_by(server, client, query).await;
    asked.visitor.decide(&asked.page, "approve").await;
    let less = Parameters::authorize(&asked.client).set("scope", "mcp:execute");
    assert!(asked.visitor.authorize(&less).await.parameter("code").is_some());
}

#[tokio::test]
async fn a_consent_counts_for_its_resource_only() {
    let mut asked = asked().await;
    asked.visitor.decide(&asked.page, "approve").await;
    let elsewhere = Parameters::authorize(&asked.client).set("resource", OPAQUE_RESOURCE).set("scope", "mcp:read");
    assert!(is_consent_page(&asked.visitor.authorize(&elsewhere).await));
    let both = elsewhere.add("resource", RESOURCE);
    assert!(is_consent_page(&asked.visitor.authorize(&both).await));
}

#[tokio::test]
async fn a_consent_counts_for_its_client_only() {
    let mut asked = asked().await;
    asked.visitor.decide(&asked.page, "approve").await;
    let other = asked.server.create_client("other", public_client()).await;
    assert!(is_consent_page(&asked.visitor.authorize(&Parameters::authorize(&other)).await));
}

#[tokio::test]
async fn a_consent_counts_for_its_user_only() {
    let mut asked = asked().await;
    asked.visitor.decide(&asked.page, "approve").await;
    asked.server.create_user("bob", "x").await;
    let mut bob = asked.server.visitor();
    let login = bob.authorize(&Parameters::authorize(&asked.client)).await;
    let answer = bob.log_in_as(&login, "bob", "x").await;
    let next = answer.location().to_owned();
    assert!(is_consent_page(&bob.get(&next).await));
}

#[tokio::test]
async fn revoking_a_grant_forgets_the_consent() {
    let mut asked = asked().await;
    let code = asked.visitor.decide(&asked.page, "approve").await.parameter("code").expect("a code");
    let id = grant_of(&asked.server, &code).await.id;
    asked.server.authority().revoke_grant(&id, asked.server.now()).await.expect("the store");
    assert!(is_consent_page(&asked.visitor.authorize(&Parameters::authorize(&asked.client)).await));
}

#[tokio::test]
async fn hostile_names_stay_text() {
    let server = TestServer::start().await;
    let metadata = json!({
        "client_name": "\"><script>alert(1)</script>",
        "redirect_uris": [REDIRECT],
        "token_endpoint_auth_method": "none",
    });
    let client = TestClient::registered(&server.register(&metadata).await);
    let query = Parameters::authorize(&client);
    let asked = asked_by(server, client, query).await;
    assert!(!asked.page.text().contains("<script"));
    assert!(asked.page.visible().contains(USERNAME));
}

impl Asked {
    fn client_id(&self) -> ClientId {
        ClientId::parse(&self.client.id).expect("a client_id")
    }

    /// What the human is remembered to have agreed to.
    async fn remembered(&self) -> String {
        let name = Username::parse(USERNAME).expect("a name");
        let user = self.server.authority().user(&name).await.expect("the user");
        let resource = ResourceUri::parse(RESOURCE).expect("a resource");
        let found = self.server.stores.accounts.consented(&user.id, &self.client_id(), &resource).await;
        found.expect("the store").to_string()
    }
}

#[tokio::test]
async fn a_client_that_an_operator_deletes_takes_its_consents_with_it() {
    let mut asked = asked().await;
    asked.visitor.decide(&asked.page, "approve").await;
    assert_eq!(asked.remembered().await, "mcp:read");
    asked.server.authority().delete_client(&asked.client_id(), asked.server.now()).await.expect("deleted");
    assert_eq!(asked.remembered().await, "");
}

#[tokio::test]
async fn a_client_that_deletes_itself_takes_its_consents_with_it() {
    let server = TestServer::start().await;
    let metadata = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none" });
    let registered = server.register(&metadata).await;
    let client = TestClient::registered(&registered);
    let query = Parameters::authorize(&client);
    let mut asked = asked_by(server, client, query).await;
    asked.visitor.decide(&asked.page, "approve").await;
    assert_eq!(asked.remembered().await, "mcp:read");
    let path = format!("/oauth/register/{}", asked.client.id);
    let delete = asked.server.call(Method::DELETE, &path).bearer(&registered.member("registration_access_token"));
    assert_eq!(delete.send().await.status, StatusCode::NO_CONTENT);
    assert_eq!(asked.remembered().await, "");
}

#[tokio::test]
async fn a_client_that_is_removed_because_nobody_uses_it_takes_its_consents_with_it() {
    let mut asked = asked_by_itself(REDIRECT).await;
    asked.visitor.decide(&asked.page, "approve").await;
    assert_eq!(asked.remembered().await, "mcp:read");
    asked.server.pass(91 * 24 * 3600);
    asked.server.authority().purge(asked.server.now()).await.expect("a purge");
    assert_eq!(asked.remembered().await, "");
}

/// E.g. of one that was removed while the process died, long enough ago that its name is free again.
#[tokio::test]
async fn a_new_client_inherits_no_consents_of_a_namesake() {
    for declared in [false, true] {
        let mut asked = asked().await;
        asked.visitor.decide(&asked.page, "approve").await;
        let (id, now) = (asked.client_id(), asked.server.now());
        asked.server.stores.clients.remove(&id, Removal::Operator, now).await.expect("the store");
        let later = now.plus(std::time::Duration::from_secs(1));
        asked.server.stores.clients.purge_tombstones(later, 10).await.expect("the store");
        assert_eq!(asked.remembered().await, "mcp:read");
        if declared {
            asked.server.authority().declare_client(id, public_client(), None, now).await.expect("declared");
        } else {
            asked.server.create_client("app", public_client()).await;
        }
        assert!(is_consent_page(&asked.visitor.authorize(&Parameters::authorize(&asked.client)).await));
    }
}

#[tokio::test]
async fn creating_a_client_whose_name_is_taken_forgets_nothing() {
    let mut asked = asked().await;
    asked.visitor.decide(&asked.page, "approve").await;
    let (id, now) = (asked.client_id(), asked.server.now());
    assert!(asked.server.authority().create_client(Some(id.clone()), public_client(), now).await.is_err());
    assert!(asked.server.authority().declare_client(id, public_client(), None, now).await.is_err());
    assert_eq!(asked.remembered().await, "mcp:read");
}

/// What the human saw is what they agree to.
#[tokio::test]
async fn a_client_that_changed_where_the_code_goes_while_the_page_was_open_gets_nothing() {
    let server = TestServer::start().await;
    let metadata = |uri: &str| {
        json!({
            "redirect_uris": [uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
        })
    };
    let registered = server.register(&metadata("https://good.example/cb")).await;
    let client = TestClient::registered(&registered);
    // One registered redirect URI need not be named, so the request itself stays good.
    let query = Parameters::authorize(&client).without("redirect_uri");
    let mut asked = asked_by(server, client, query).await;
    assert!(asked.page.visible().contains("good.example"));
    let path = format!("/oauth/register/{}", asked.client.id);
    let update = asked.server.call(Method::PUT, &path).bearer(&registered.member("registration_access_token"));
    assert_ok(&update.json(&metadata("https://evil.example/cb")).send().await);
    let answer = asked.visitor.decide(&asked.page, "approve").await;
    assert_page(&answer, StatusCode::BAD_REQUEST);
    assert!(answer.visible().contains("The app has changed"));
    assert_eq!(grants(&asked.server).await, 0);
}

#[tokio::test]
async fn a_client_that_changed_its_name_while_the_page_was_open_gets_nothing() {
    let mut asked = asked().await;
    let id = asked.client_id();
    let mut client = asked.server.authority().client(&id).await.expect("the client");
    client.name = Some("Somebody else".to_owned());
    asked.server.stores.clients.replace(&client).await.expect("the store");
    assert_page(&asked.visitor.decide(&asked.page, "approve").await, StatusCode::BAD_REQUEST);
    assert_eq!(grants(&asked.server).await, 0);
}

/// An operator restarts the server with other resources while the page is open. The answer to it, sent to the new server.
async fn answered_after_a_restart(asked: Asked, change: impl FnOnce(&mut Vec<Resource>)) -> Answer {
    let mut resources: Vec<_> = asked.server.authority().policy.resources.iter().cloned().collect();
    change(&mut resources);
    let after = asked.server.again(TestServer::builder().resources(resources)).await;
    let mut visitor = after.visitor();
    visitor.cookie = asked.visitor.cookie;
    let answer = visitor.decide(&asked.page, "approve").await;
    assert_eq!(grants(&after).await, usize::from(answer.status == StatusCode::SEE_OTHER));
    answer
}

#[tokio::test]
async fn a_page_that_was_open_while_the_server_restarted_is_still_good() {
    let answer = answered_after_a_restart(asked().await, |_| {}).await;
    assert!(answer.parameter("code").is_some(), "{}", answer.text());
}

/// A request without a scope asks for the default one, and that is another one now.
#[tokio::test]
async fn more_scope_than_the_page_showed_is_not_agreed_to() {
    let more = |resources: &mut Vec<Resource>| resources[0].default_scope = scope("mcp:read mcp:execute");
    assert_page(&answered_after_a_restart(asked().await, more).await, StatusCode::BAD_REQUEST);
}

/// A request without a resource is for the default one, and that is another one now.
#[tokio::test]
async fn another_resource_than_the_page_showed_is_not_agreed_to() {
    let server = TestServer::start().await;
    let client = server.create_client("app", public_client()).await;
    let query = Parameters::authorize(&client).set("scope", "mcp:read");
    let asked = asked_by(server, client, query).await;
    let other = |resources: &mut Vec<Resource>| resources.reverse();
    assert_page(&answered_after_a_restart(asked, other).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn consents_for_two_resources_add_up_to_a_request_for_both() {
    let mut asked = asked().await;
    asked.visitor.decide(&asked.page, "approve").await;
    let files = Parameters::authorize(&asked.client).set("resource", OPAQUE_RESOURCE).set("scope", "files:read");
    let page = asked.visitor.authorize(&files).await;
    asked.visitor.decide(&page, "approve").await;
    let write = |scope| {
        let both = Parameters::authorize(&asked.client).set("resource", RESOURCE).add("resource", OPAQUE_RESOURCE);
        both.set("scope", scope)
    };
    assert!(asked.visitor.authorize(&write("mcp:write files:read")).await.text().contains("mcp:write"));
    // mcp:read means something at both, and was agreed to at one only.
    assert!(is_consent_page(&asked.visitor.authorize(&write("mcp:read files:read")).await));
    let page = asked.visitor.authorize(&write("mcp:read files:read")).await;
    asked.visitor.decide(&page, "approve").await;
    assert!(asked.visitor.authorize(&write("mcp:read files:read")).await.parameter("code").is_some());
}

#[tokio::test]
async fn a_scope_that_two_resources_know_is_explained_for_each() {
    let server = TestServer::builder().policy(|policy| {
        let mut resources: Vec<_> = policy.resources.iter().cloned().collect();
        for (resource, name) in resources.iter_mut().zip(["Notes", "Files"]) {
            resource.name = name.to_owned();
            for scope in &mut resource.scopes {
                scope.description = format!("Do {name} things");
            }
        }
        policy.resources = gateward::domain::resource::Resources::new(resources).expect("resources");
    });
    let server = server.start().await.with_user().await;
    let client = server.create_client("app", public_client()).await;
    let query = Parameters::authorize(&client).set("resource", RESOURCE).add("resource", OPAQUE_RESOURCE);
    let asked = asked_by(server, client, query.set("scope", "mcp:read")).await;
    let text = asked.page.visible();
    assert!(text.contains("Do Notes things (Notes); Do Files things (Files)"), "{text}");
}
