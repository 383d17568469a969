//! The authorization endpoint (OAuth 2.1 4.1.1): what is shown to the human, what goes back to the client.

use axum::http::{Method, StatusCode};
use gateward::{
    domain::client::{ClientStatus, GrantType},
    testing::server::{
        Answer, CHALLENGE, ISSUER, OPAQUE_RESOURCE, Parameters, REDIRECT, RESOURCE, STATE, TestClient, TestServer,
        machine, public_client, redirect,
    },
};

use super::*;

async fn setup() -> (TestServer, TestClient) {
    let server = TestServer::start().await;
    let client = server.create_client("app", public_client()).await;
    (server, client)
}

/// The answer to a first visit with a changed request.
async fn visit(change: impl FnOnce(Parameters) -> Parameters) -> Answer {
    let (server, client) = setup().await;
    server.visitor().authorize(&change(Parameters::authorize(&client))).await
}

/// The access token that a changed request leads to.
async fn token_for(server: &TestServer, client: &TestClient, query: &Parameters) -> Value {
    let code = server.code(query).await;
    let answer = server.redeem(client, &code).await;
    assert_ok(&answer);
    answer.json()
}

#[tokio::test]
async fn a_first_visit_shows_the_login_page() {
    let page = visit(|query| query).await;
    assert_page(&page, StatusCode::OK);
    assert!(page.text().contains(r#"name="password""#));
}

#[tokio::test]
async fn success_goes_back_with_code_state_and_iss_and_nothing_else() {
    let (server, client) = setup().await;
    let answer = server.visitor().approve(&Parameters::authorize(&client)).await;
    let code = answer.parameter("code").expect("a code");
    let expected = Parameters::from([("code", code.as_str()), ("state", STATE), ("iss", ISSUER)]).encode();
    assert_eq!(answer.location(), format!("{REDIRECT}?{expected}"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_no_store(&answer);
}

#[tokio::test]
async fn a_posted_request_is_asked_for_again_by_a_link_and_touches_no_cookie() {
    let (server, client) = setup().await;
    let query = Parameters::authorize(&client).set("state", "a b+c%\r\n");
    let answer = server.post("/oauth/authorize", query).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header("set-cookie"), None);
    let page = server.get(answer.location()).await;
    assert_page(&page, StatusCode::OK);
    assert!(page.text().contains(r#"name="password""#));
    assert!(answer.location().contains("state=a+b%2Bc%25%0D%0A"));
}

#[tokio::test]
async fn an_unknown_client_is_shown_to_the_human_and_goes_nowhere() {
    let page = visit(|query| query.set("client_id", "nobody")).await;
    assert_page(&page, StatusCode::BAD_REQUEST);
    assert!(page.visible().contains("does not know the app"));
}

#[tokio::test]
async fn a_missing_client_is_shown_to_the_human() {
    assert_page(&visit(|query| query.without("client_id")).await, StatusCode::BAD_REQUEST);
    assert_page(&visit(|query| query.set("client_id", "")).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_client_id_that_cannot_be_one_is_shown_to_the_human() {
    for id in ["a b", "a\r\nb", "\u{0}", "é", &"x".repeat(256)] {
        assert_page(&visit(|query| query.set("client_id", id)).await, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_disabled_client_is_shown_to_the_human() {
    let (server, client) = setup().await;
    let id = gateward::domain::identifier::ClientId::parse(&client.id).expect("a client_id");
    let mut stored = server.authority().client(&id).await.expect("the client");
    stored.status = ClientStatus::Disabled;
    server.stores.clients.replace(&stored).await.expect("the store");
    assert_page(&server.visitor().authorize(&Parameters::authorize(&client)).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_redirect_uri_that_is_not_registered_is_shown_to_the_human_and_goes_nowhere() {
    for uri in [
        "https://evil.example/callback",
        "https://client.example.com/callback/",
        "https://client.example.com/callback?x=1",
        "https://client.example.com/CALLBACK",
        "https://CLIENT.example.com/callback",
        "https://client.example.com:443/callback",
        "https://client.example.com/callback#x",
        "https://client.example.com/%63allback",
        "https://client.example.com/a/../callback",
        "https://client.example.com@evil.example/callback",
        "http://client.example.com/callback",
        "javascript:alert(1)",
        "not a uri",
    ] {
        let page = visit(|query| query.set("redirect_uri", uri)).await;
        assert_page(&page, StatusCode::BAD_REQUEST);
        assert!(!page.text().contains("evil.example"), "{uri}");
    }
}

#[tokio::test]
async fn errors_that_would_redirect_do_not_when_the_redirect_uri_is_wrong() {
    let page = visit(|query| query.set("redirect_uri", "https://evil.example/").without("response_type")).await;
    assert_page(&page, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_single_registered_redirect_uri_may_be_left_out() {
    let (server, client) = setup().await;
    let answer = server.visitor().approve(&Parameters::authorize(&client).without("redirect_uri")).await;
    assert!(answer.location().starts_with(&format!("{REDIRECT}?code=")));
}

#[tokio::test]
async fn one_of_several_redirect_uris_must_be_named() {
    let server = TestServer::start().await;
    let mut spec = public_client();
    spec.redirect_uris.push(redirect("https://client.example.com/other"));
    let client = server.create_client("app", spec).await;
    let page = server.visitor().authorize(&Parameters::authorize(&client).without("redirect_uri")).await;
    assert_page(&page, StatusCode::BAD_REQUEST);
    let named = Parameters::authorize(&client).set("redirect_uri", "https://client.example.com/other");
    assert!(server.visitor().approve(&named).await.location().starts_with("https://client.example.com/other?"));
}

#[tokio::test]
async fn a_loopback_redirect_matches_on_any_port_and_is_echoed_byte_for_byte() {
    for (registered, requested) in [
        ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb"),
        ("http://127.0.0.1:3000/cb", "http://127.0.0.1/cb"),
        ("http://localhost:6274/oauth/callback", "http://localhost:1/oauth/callback"),
        ("http://[::1]/cb", "http://[::1]:8080/cb"),
        ("http://127.0.0.1/cb?x=%41", "http://127.0.0.1:1/cb?x=%41"),
    ] {
        let server = TestServer::start().await;
        let spec = gateward::service::administer_clients::ClientSpec {
            redirect_uris: vec![redirect(registered)],
            ..public_client()
        };
        let client = server.create_client("app", spec).await;
        let answer = server.visitor().approve(&Parameters::authorize(&client).set("redirect_uri", requested)).await;
        let separator = if requested.contains('?') { '&' } else { '?' };
        assert!(answer.location().starts_with(&format!("{requested}{separator}code=")), "{}", answer.location());
    }
}

#[tokio::test]
async fn a_loopback_redirect_matches_in_nothing_but_the_port() {
    for (registered, requested) in [
        ("http://127.0.0.1/cb", "http://localhost/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.2/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:1/cb/"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:1/cb?x"),
        ("http://127.0.0.1/cb", "https://127.0.0.1:1/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:1@evil.example/cb"),
        ("https://client.example.com/cb", "https://client.example.com:8443/cb"),
    ] {
        let server = TestServer::start().await;
        let spec = gateward::service::administer_clients::ClientSpec {
            redirect_uris: vec![redirect(registered)],
            ..public_client()
        };
        let client = server.create_client("app", spec).await;
        let page = server.visitor().authorize(&Parameters::authorize(&client).set("redirect_uri", requested)).await;
        assert_page(&page, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn the_query_of_a_redirect_uri_is_kept() {
    let server = TestServer::start().await;
    let uri = "https://client.example.com/cb?tenant=%C3%A9&x=+";
    let spec =
        gateward::service::administer_clients::ClientSpec { redirect_uris: vec![redirect(uri)], ..public_client() };
    let client = server.create_client("app", spec).await;
    let answer = server.visitor().approve(&Parameters::authorize(&client).set("redirect_uri", uri)).await;
    assert!(answer.location().starts_with(&format!("{uri}&code=")), "{}", answer.location());
}

#[tokio::test]
async fn state_comes_back_byte_for_byte() {
    for state in [
        "a b+c%2Bd",
        "line\r\nSet-Cookie: x=1",
        "\u{0}\u{7f}\t",
        "ünïcödé 🦀 \u{202e}",
        "&code=x&iss=https://evil.example#f",
        "\"'<>\\{}|^`",
        &"x".repeat(4000),
    ] {
        let (server, client) = setup().await;
        let query = Parameters::authorize(&client).set("state", state);
        let answer = server.visitor().approve(&query).await;
        assert_eq!(answer.parameter("state").as_deref(), Some(state));
        assert_eq!(answer.parameter("iss").as_deref(), Some(ISSUER));
        let refused = server.visitor().authorize(&query.set("response_type", "token")).await;
        assert_eq!(refused.parameter("state").as_deref(), Some(state));
    }
}

#[tokio::test]
async fn no_state_is_no_state() {
    let (server, client) = setup().await;
    let answer = server.visitor().approve(&Parameters::authorize(&client).without("state")).await;
    assert_eq!(answer.parameter("state"), None);
    assert!(answer.parameter("code").is_some());
}

#[tokio::test]
async fn only_the_response_type_code_is_supported() {
    for response_type in ["token", "id_token", "code id_token", "CODE", "none"] {
        let answer = visit(|query| query.set("response_type", response_type)).await;
        assert_redirected_error(&answer, "unsupported_response_type");
    }
    assert_redirected_error(&visit(|query| query.without("response_type")).await, "invalid_request");
}

#[tokio::test]
async fn only_the_response_mode_query_is_supported() {
    for mode in ["fragment", "form_post"] {
        assert_redirected_error(&visit(|query| query.set("response_mode", mode)).await, "invalid_request");
    }
    assert_page(&visit(|query| query.set("response_mode", "query")).await, StatusCode::OK);
}

#[tokio::test]
async fn request_objects_are_refused() {
    for name in ["request", "request_uri"] {
        assert_redirected_error(&visit(|query| query.set(name, "x")).await, "invalid_request");
    }
}

#[tokio::test]
async fn pkce_is_mandatory() {
    let answer = visit(|query| query.without("code_challenge").without("code_challenge_method")).await;
    assert_redirected_error(&answer, "invalid_request");
    assert_redirected_error(&visit(|query| query.set("code_challenge", "")).await, "invalid_request");
}

#[tokio::test]
async fn pkce_is_mandatory_for_confidential_clients_too() {
    let server = TestServer::start().await;
    let spec = gateward::service::administer_clients::ClientSpec {
        authentication: gateward::domain::client::AuthenticationMethod::ClientSecretBasic,
        ..public_client()
    };
    let client = server.create_client("app", spec).await;
    let query = Parameters::authorize(&client).without("code_challenge").without("code_challenge_method");
    assert_redirected_error(&server.visitor().authorize(&query).await, "invalid_request");
}

#[tokio::test]
async fn a_missing_challenge_method_means_plain_and_is_refused() {
    assert_redirected_error(&visit(|query| query.without("code_challenge_method")).await, "invalid_request");
    for method in ["plain", "s256", "S512", ""] {
        assert_redirected_error(&visit(|query| query.set("code_challenge_method", method)).await, "invalid_request");
    }
}

#[tokio::test]
async fn a_challenge_that_is_not_43_characters_of_base64url_is_refused() {
    for challenge in [
        &CHALLENGE[..42],
        &format!("{CHALLENGE}A"),
        &format!("{CHALLENGE}="),
        &CHALLENGE.replace('-', "+"),
        &CHALLENGE.replace('-', "~"),
        &format!("{}é", &CHALLENGE[..41]),
        &"a".repeat(128),
    ] {
        let answer = visit(|query| query.set("code_challenge", challenge)).await;
        assert_redirected_error(&answer, "invalid_request");
    }
}

#[tokio::test]
async fn a_client_without_the_grant_is_unauthorized() {
    let server = TestServer::start().await;
    let spec = gateward::service::administer_clients::ClientSpec {
        redirect_uris: vec![redirect(REDIRECT)],
        grant_types: vec![GrantType::ClientCredentials],
        ..machine()
    };
    let client = server.create_client("worker", spec).await;
    let answer = server.visitor().authorize(&Parameters::authorize(&client)).await;
    assert_redirected_error(&answer, "unauthorized_client");
}

#[tokio::test]
async fn a_resource_that_is_not_registered_is_an_invalid_target() {
    for resource in [
        "https://other.example.com/mcp",
        "https://mcp.example.com/mcp/",
        "https://mcp.example.com/mcp?x",
        "https://mcp.example.com/mcp#fragment",
        "https://mcp.example.com/a/../mcp",
        "http://mcp.example.com/mcp",
        "https://mcp.example.com:444/mcp",
        "/mcp",
        "mcp.example.com",
    ] {
        assert_redirected_error(&visit(|query| query.add("resource", resource)).await, "invalid_target");
    }
}

#[tokio::test]
async fn one_bad_resource_among_good_ones_is_an_invalid_target() {
    let answer = visit(|query| query.add("resource", RESOURCE).add("resource", "https://other.example.com/")).await;
    assert_redirected_error(&answer, "invalid_target");
}

#[tokio::test]
async fn without_a_resource_the_default_one_is_meant() {
    let (server, client) = setup().await;
    let tokens = token_for(&server, &client, &Parameters::authorize(&client)).await;
    assert_eq!(claims_of(&text(&tokens, "access_token"))["aud"], RESOURCE);
}

#[tokio::test]
async fn the_registered_form_of_a_resource_goes_into_aud() {
    for name in [
        "https://mcp.example.com/mcp",
        "HTTPS://MCP.EXAMPLE.COM/mcp",
        "https://mcp.example.com:443/mcp",
        "https://alias.example.com/v1",
        "https://ALIAS.example.com/v1",
    ] {
        let (server, client) = setup().await;
        let tokens = token_for(&server, &client, &Parameters::authorize(&client).add("resource", name)).await;
        assert_eq!(claims_of(&text(&tokens, "access_token"))["aud"], RESOURCE, "{name}");
    }
}

#[tokio::test]
async fn an_empty_path_and_a_slash_are_the_same_resource() {
    for name in ["https://files.example.com", "https://files.example.com/"] {
        let (server, client) = setup().await;
        let query = Parameters::authorize(&client).add("resource", name);
        let grant = grant_of(&server, &server.code(&query).await).await;
        assert_eq!(grant.resources[0].as_str(), OPAQUE_RESOURCE);
    }
}

#[tokio::test]
async fn several_resources_may_be_asked_for() {
    let (server, client) = setup().await;
    let query = Parameters::authorize(&client).add("resource", OPAQUE_RESOURCE).add("resource", RESOURCE);
    let code = server.code(&query.set("scope", "mcp:read files:read")).await;
    let grant = grant_of(&server, &code).await;
    let resources: Vec<_> = grant.resources.iter().map(|uri| uri.as_str()).collect();
    assert_eq!(resources, [OPAQUE_RESOURCE, RESOURCE]);
}

#[tokio::test]
async fn a_resource_beyond_the_clients_reach_is_an_invalid_target() {
    let server = TestServer::start().await;
    let only = gateward::domain::resource::ResourceUri::parse(OPAQUE_RESOURCE).expect("a resource");
    let spec = gateward::service::administer_clients::ClientSpec { resources: vec![only], ..public_client() };
    let client = server.create_client("app", spec).await;
    let answer = server.visitor().authorize(&Parameters::authorize(&client).add("resource", RESOURCE)).await;
    assert_redirected_error(&answer, "invalid_target");
    // And its own is its default.
    let grant = grant_of(&server, &server.code(&Parameters::authorize(&client)).await).await;
    assert_eq!(grant.resources[0].as_str(), OPAQUE_RESOURCE);
}

#[tokio::test]
async fn unknown_scopes_are_dropped_as_long_as_something_is_left() {
    let (server, client) = setup().await;
    let query = Parameters::authorize(&client).set("scope", "openid mcp:write profile files:read");
    assert_eq!(token_for(&server, &client, &query).await["scope"], "mcp:write");
}

#[tokio::test]
async fn a_scope_of_which_nothing_is_left_is_invalid() {
    for scope in ["openid profile", "mcp:admin", "\"", "mcp:read\u{0}", "é"] {
        assert_redirected_error(&visit(|query| query.set("scope", scope)).await, "invalid_scope");
    }
}

#[tokio::test]
async fn offline_access_is_always_known() {
    let (server, client) = setup().await;
    let query = Parameters::authorize(&client).set("scope", "offline_access mcp:read");
    assert_eq!(token_for(&server, &client, &query).await["scope"], "mcp:read offline_access");
}

#[tokio::test]
async fn without_a_scope_the_resources_default_is_meant() {
    let (server, client) = setup().await;
    assert_eq!(token_for(&server, &client, &Parameters::authorize(&client)).await["scope"], "mcp:read");
}

#[tokio::test]
async fn an_operators_client_is_bound_to_its_scope() {
    let server = TestServer::start().await;
    let spec = gateward::service::administer_clients::ClientSpec { scope: scope("mcp:read"), ..public_client() };
    let client = server.create_client("app", spec).await;
    let query = Parameters::authorize(&client).set("scope", "mcp:read mcp:execute");
    assert_eq!(token_for(&server, &client, &query).await["scope"], "mcp:read");
    let beyond = Parameters::authorize(&client).set("scope", "mcp:execute");
    assert_redirected_error(&server.visitor().authorize(&beyond).await, "invalid_scope");
}

#[tokio::test]
async fn prompt_none_without_a_session_is_login_required() {
    assert_redirected_error(&visit(|query| query.set("prompt", "none")).await, "login_required");
}

#[tokio::test]
async fn prompt_none_without_consent_is_consent_required() {
    let (server, client) = setup().await;
    let mut visitor = server.visitor();
    let page = visitor.authorize(&Parameters::authorize(&client)).await;
    visitor.log_in(&page).await;
    let answer = visitor.authorize(&Parameters::authorize(&client).set("prompt", "none")).await;
    assert_redirected_error(&answer, "consent_required");
}

#[tokio::test]
async fn prompt_none_with_session_and_consent_succeeds_silently() {
    let (server, client) = setup().await;
    let mut visitor = server.visitor();
    visitor.code(&Parameters::authorize(&client)).await;
    let answer = visitor.authorize(&Parameters::authorize(&client).set("prompt", "none")).await;
    assert!(answer.parameter("code").is_some(), "{}", answer.location());
}

#[tokio::test]
async fn prompt_none_beside_another_or_an_unknown_prompt_is_invalid() {
    for prompt in ["none login", "none consent", "create", "login bogus"] {
        assert_redirected_error(&visit(|query| query.set("prompt", prompt)).await, "invalid_request");
    }
}

#[tokio::test]
async fn prompt_login_asks_for_the_password_again() {
    let (server, client) = setup().await;
    let mut visitor = server.visitor();
    visitor.code(&Parameters::authorize(&client)).await;
    server.pass(30);
    let page = visitor.authorize(&Parameters::authorize(&client).set("prompt", "login")).await;
    assert!(page.text().contains(r#"name="password""#));
    let code = visitor.log_in(&page).await.parameter("code").expect("a code");
    assert_eq!(grant_of(&server, &code).await.auth_time, server.now());
}

#[tokio::test]
async fn prompt_consent_asks_again_for_what_was_agreed_to() {
    let (server, client) = setup().await;
    let mut visitor = server.visitor();
    visitor.code(&Parameters::authorize(&client)).await;
    let page = visitor.authorize(&Parameters::authorize(&client).set("prompt", "consent")).await;
    assert_page(&page, StatusCode::OK);
    assert!(page.text().contains(r#"value="approve""#));
}

#[tokio::test]
async fn max_age_asks_for_the_password_of_an_older_login() {
    let (server, client) = setup().await;
    let mut visitor = server.visitor();
    visitor.code(&Parameters::authorize(&client)).await;
    server.pass(60);
    let young_enough = visitor.authorize(&Parameters::authorize(&client).set("max_age", "60")).await;
    assert!(young_enough.parameter("code").is_some());
    let page = visitor.authorize(&Parameters::authorize(&client).set("max_age", "59")).await;
    assert!(page.text().contains(r#"name="password""#));
    assert!(visitor.log_in(&page).await.parameter("code").is_some());
}

#[tokio::test]
async fn max_age_zero_always_asks_for_the_password() {
    let (server, client) = setup().await;
    let mut visitor = server.visitor();
    visitor.code(&Parameters::authorize(&client)).await;
    let page = visitor.authorize(&Parameters::authorize(&client).set("max_age", "0")).await;
    assert!(page.text().contains(r#"name="password""#));
}

#[tokio::test]
async fn max_age_with_prompt_none_is_login_required() {
    let (server, client) = setup().await;
    let mut visitor = server.visitor();
    visitor.code(&Parameters::authorize(&client)).await;
    server.pass(60);
    let query = Parameters::authorize(&client).set("max_age", "5").set("prompt", "none");
    assert_redirected_error(&visitor.authorize(&query).await, "login_required");
}

#[tokio::test]
async fn max_age_that_is_no_number_of_seconds_is_invalid() {
    for max_age in ["-1", "x", "1.5", "99999999999999999999999"] {
        assert_redirected_error(&visit(|query| query.set("max_age", max_age)).await, "invalid_request");
    }
}

#[tokio::test]
async fn login_hint_fills_in_the_user_name_and_stays_text() {
    let page = visit(|query| query.set("login_hint", "ada\"><script>")).await;
    assert!(page.text().contains("ada&#34;&#62;&#60;script&#62;"), "{}", page.text());
    assert!(!page.text().contains("<script"));
}

#[tokio::test]
async fn ui_locales_and_unknown_parameters_do_no_harm() {
    let page = visit(|query| query.set("ui_locales", "fr-CA de").set("nonce", "n").set("x", "y")).await;
    assert_page(&page, StatusCode::OK);
}

/// RFC 6749 4.1.2.1: "includes a parameter more than once" is `invalid_request`, and goes to the client once client and
/// redirect URI are certain.
#[tokio::test]
async fn a_repeated_parameter_is_an_error_at_the_redirect_uri() {
    for name in ["scope", "code_challenge", "response_type", "prompt"] {
        let answer = visit(|query| query.add(name, "x").add(name, "y")).await;
        assert_redirected_error(&answer, "invalid_request");
    }
}

#[tokio::test]
async fn a_repeated_client_or_redirect_uri_is_shown_to_the_human() {
    for name in ["client_id", "redirect_uri"] {
        assert_page(&visit(|query| query.add(name, REDIRECT)).await, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_query_that_cannot_be_read_is_shown_to_the_human() {
    let (server, client) = setup().await;
    let query = Parameters::authorize(&client).encode();
    for tail in ["&x=%", "&x=%zz", "&x=%f", "&state2=%ff%fe", "&%ff=1"] {
        assert_page(&server.get(&format!("/oauth/authorize?{query}{tail}")).await, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn ten_thousand_parameters_are_refused() {
    let (server, client) = setup().await;
    let mut query = Parameters::authorize(&client).encode();
    for i in 0..10_000 {
        query.push_str(&format!("&p{i}="));
    }
    let page = server.call(Method::POST, "/oauth/authorize").raw_form(query[..60_000].to_owned()).send().await;
    assert_page(&page, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_policy_of_the_page_lets_the_form_lead_back_to_the_client() {
    for (uri, sources) in [
        (REDIRECT, "form-action 'self' https:;"),
        ("http://localhost:1/cb", "form-action 'self' https: http:;"),
        ("http://[::1]:1/cb", "form-action 'self' https: http:;"),
        ("cursor://x/cb", "form-action 'self' https: cursor:;"),
    ] {
        let server = TestServer::start().await;
        let spec =
            gateward::service::administer_clients::ClientSpec { redirect_uris: vec![redirect(uri)], ..public_client() };
        let client = server.create_client("app", spec).await;
        let query = Parameters::authorize(&client).set("redirect_uri", uri);
        let mut visitor = server.visitor();
        let login = visitor.authorize(&query).await;
        assert!(login.header("content-security-policy").is_some_and(|policy| policy.contains(sources)), "{uri}");
        let consent = visitor.log_in(&login).await;
        assert!(consent.header("content-security-policy").is_some_and(|policy| policy.contains(sources)), "{uri}");
    }
}

#[tokio::test]
async fn an_error_page_lets_a_form_lead_nowhere_else() {
    let page = visit(|query| query.set("client_id", "nobody")).await;
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.contains("form-action 'self';")));
}

#[tokio::test]
async fn a_repeated_state_is_an_error_without_state() {
    let answer = visit(|query| query.add("state", "other")).await;
    assert_eq!(answer.parameter("error").as_deref(), Some("invalid_request"));
    assert_eq!(answer.parameter("state"), None);
    assert_eq!(answer.parameter("iss").as_deref(), Some(ISSUER));
}
