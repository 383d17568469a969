//! The metadata documents (RFC 8414, OpenID Connect Discovery).

use axum::http::{Method, StatusCode};
use gateward::{
    domain::{issuer::Issuer, policy::RegistrationMode},
    testing::server::{ISSUER, Parameters, RESOURCE, TestServer, public_client, resource_server},
};
use serde_json::{Value, json};

use super::*;

const METADATA: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

async fn document() -> Value {
    TestServer::start().await.get(METADATA).await.json()
}

#[tokio::test]
async fn the_document_says_where_everything_is_and_what_works() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&document().await).expect("JSON"));
}

#[tokio::test]
async fn the_two_documents_are_identical() {
    let server = TestServer::start().await;
    let (oauth, openid) = (server.get(METADATA).await, server.get(OPENID).await);
    assert_ok(&oauth);
    assert_eq!(oauth.body, openid.body);
    assert_eq!(unnamed(&oauth), unnamed(&openid));
}

#[tokio::test]
async fn no_member_is_null() {
    assert_no_nulls(&document().await);
    let closed = TestServer::builder().policy(|policy| policy.registration.mode = RegistrationMode::Closed);
    assert_no_nulls(&closed.start().await.get(METADATA).await.json());
}

#[tokio::test]
async fn the_document_may_be_cached_for_a_while() {
    let answer = TestServer::start().await.get(METADATA).await;
    assert!(answer.header("cache-control").is_some_and(|value| value.starts_with("public, max-age=")));
    assert!(answer.header("etag").is_some_and(|tag| tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10));
}

#[tokio::test]
async fn who_has_the_document_already_is_told_so() {
    let server = TestServer::start().await;
    let tag = server.get(METADATA).await.header("etag").expect("an ETag").to_owned();
    for known in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
        let answer = server.call(Method::GET, METADATA).header("if-none-match", &known).send().await;
        assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{known}");
        assert!(answer.body.is_empty());
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
    }
    let answer = server.call(Method::GET, METADATA).header("if-none-match", "\"other\"").send().await;
    assert_ok(&answer);
}

#[tokio::test]
async fn another_configuration_has_another_etag() {
    let one = TestServer::start().await.get(METADATA).await;
    let other = TestServer::builder().issuer("https://auth.example.com").start().await.get(METADATA).await;
    assert_ne!(one.header("etag"), other.header("etag"));
}

#[tokio::test]
async fn every_endpoint_that_is_advertised_is_there() {
    let server = TestServer::start().await;
    let document = server.get(METADATA).await.json();
    for (name, value) in document.as_object().expect("an object") {
        if !(name.ends_with("_endpoint") || name.ends_with("_uri") || name == "service_documentation") {
            continue;
        }
        let path = value.as_str().and_then(|url| url.strip_prefix(ISSUER)).expect("below the issuer");
        assert_ne!(server.get(path).await.status, StatusCode::NOT_FOUND, "{name}");
    }
}

#[tokio::test]
async fn closed_registration_is_not_advertised() {
    let closed = TestServer::builder().policy(|policy| policy.registration.mode = RegistrationMode::Closed);
    let document = closed.start().await.get(METADATA).await.json();
    assert_eq!(document.get("registration_endpoint"), None);
}

#[tokio::test]
async fn registration_with_an_initial_access_token_is_advertised() {
    let mode = RegistrationMode::InitialAccessToken(vec![]);
    let server = TestServer::builder().policy(|policy| policy.registration.mode = mode).start().await;
    let document = server.get(METADATA).await.json();
    assert_eq!(document["registration_endpoint"], "http://localhost:3000/oauth/register");
}

#[tokio::test]
async fn only_s256_code_query_and_iss_are_offered() {
    let document = document().await;
    assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(document["response_types_supported"], json!(["code"]));
    assert_eq!(document["response_modes_supported"], json!(["query"]));
    assert_eq!(document["authorization_response_iss_parameter_supported"], true);
}

#[tokio::test]
async fn offline_access_is_among_the_scopes() {
    let document = document().await;
    assert!(document["scopes_supported"].as_array().expect("a list").contains(&json!("offline_access")));
}

#[tokio::test]
async fn grant_types_and_authentication_methods_are_those_that_work() {
    let document = document().await;
    assert_eq!(document["grant_types_supported"], json!(["authorization_code", "refresh_token", "client_credentials"]));
    let methods = json!(["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]);
    let algorithms = json!(["ES256", "EdDSA", "RS256", "PS256"]);
    for endpoint in ["token", "revocation"] {
        assert_eq!(document[format!("{endpoint}_endpoint_auth_methods_supported")], methods);
    }
    let confidential = json!(["client_secret_basic", "client_secret_post", "private_key_jwt"]);
    assert_eq!(document["introspection_endpoint_auth_methods_supported"], confidential);
    for endpoint in ["token", "revocation", "introspection"] {
        assert_eq!(document[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")], algorithms);
    }
}

#[tokio::test]
async fn the_prompts_that_are_advertised_are_those_that_work() {
    let document = document().await;
    assert_eq!(document["prompt_values_supported"], json!(["none", "login", "consent"]));
    assert_eq!(document["ui_locales_supported"], json!(["en"]));
}

#[tokio::test]
async fn openid_clients_find_what_their_specification_requires() {
    let document = document().await;
    assert_eq!(document["subject_types_supported"], json!(["public"]));
    assert_eq!(document["id_token_signing_alg_values_supported"], json!(["ES256"]));
}

#[tokio::test]
async fn the_documentation_is_a_page_that_names_the_resources() {
    let answer = TestServer::start().await.get("/oauth/about").await;
    assert_page(&answer, StatusCode::OK);
    assert!(answer.visible().contains(RESOURCE), "{}", answer.visible());
}

/// Every place where the issuer is written, for an issuer that a URL type would rewrite.
#[tokio::test]
async fn the_issuer_is_one_string_byte_for_byte() {
    for issuer in ["https://auth.example.com", "http://localhost:3000/tenant/a", "http://[::1]:3000"] {
        let server = TestServer::builder().issuer(issuer).start().await.with_user().await;
        let below = Issuer::parse(issuer).expect("an issuer").path().to_owned();
        let client = server.create_client("app", public_client()).await;
        let rs = server.create_client("rs", resource_server(RESOURCE)).await;
        let document = server.get(&format!("{METADATA}{below}")).await.json();
        assert_eq!(document["issuer"], issuer);
        assert_eq!(document["token_endpoint"], format!("{issuer}/oauth/token"));

        let answer = server.visitor().approve(&Parameters::authorize(&client)).await;
        assert_eq!(answer.parameter("iss").as_deref(), Some(issuer));
        let code = answer.parameter("code").expect("a code");
        let tokens = server.post_as(&client, &format!("{below}/oauth/token"), Parameters::redeem(&code)).await;
        let token = tokens.member("access_token");
        assert_eq!(claims_of(&token)["iss"], issuer);
        let active = server.post_as(&rs, &format!("{below}/oauth/introspect"), [("token", token.as_str())]).await;
        assert_eq!(active.json()["iss"], issuer);
    }
}

#[tokio::test]
async fn an_issuer_with_a_path_serves_both_documents_inserted_and_appended() {
    let server = TestServer::builder().issuer("https://example.com/tenant/a").start().await;
    let inserted = server.get(&format!("{METADATA}/tenant/a")).await;
    assert_ok(&inserted);
    assert_eq!(inserted.json()["issuer"], "https://example.com/tenant/a");
    for path in [format!("{OPENID}/tenant/a"), format!("/tenant/a{METADATA}"), format!("/tenant/a{OPENID}")] {
        assert_eq!(server.get(&path).await.body, inserted.body, "{path}");
    }
}

#[tokio::test]
async fn an_issuer_with_a_path_answers_for_no_other_path() {
    let server = TestServer::builder().issuer("https://example.com/tenant/a").start().await;
    for path in [METADATA.to_owned(), OPENID.to_owned(), format!("{METADATA}/tenant"), format!("{METADATA}/tenant/b")] {
        assert_error(&server.get(&path).await, StatusCode::NOT_FOUND, "not_found");
    }
}

#[tokio::test]
async fn an_issuer_with_a_path_has_its_endpoints_below_it() {
    let server = TestServer::builder().issuer("https://example.com/tenant/a").start().await;
    let document = server.get(&format!("{METADATA}/tenant/a")).await.json();
    for (name, value) in document.as_object().expect("an object") {
        if !(name.ends_with("_endpoint") || name.ends_with("_uri") || name == "service_documentation") {
            continue;
        }
        let path = value.as_str().and_then(|url| url.strip_prefix("https://example.com")).expect("on this host");
        assert!(path.starts_with("/tenant/a/"), "{name}");
        assert_ne!(server.get(path).await.status, StatusCode::NOT_FOUND, "{name}");
    }
    assert_eq!(server.get("/oauth/authorize").await.status, StatusCode::NOT_FOUND);
}

#[test]
fn an_http_issuer_is_for_this_machine_only() {
    for good in [
        "http://127.0.0.1:3000",
        "http://127.9.9.9",
        "http://[::1]:3000",
        "http://localhost:3000",
        "http://auth.localhost",
        "https://auth.example.com",
    ] {
        assert!(Issuer::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "http://auth.example.com",
        "http://localhost.example.com",
        "http://10.0.0.1",
        "http://[::2]",
        "https://auth.example.com/",
        "https://auth.example.com?x",
        "https://auth.example.com#x",
        "https://u@auth.example.com",
        "https://AUTH.example.com",
        "https://auth.example.com:443",
        "ftp://localhost",
    ] {
        assert!(Issuer::parse(bad).is_err(), "{bad}");
    }
}
