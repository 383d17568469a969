//! Metadata, keys and CORS, each broken in one way.

use axum::http::Method;
use serde_json::json;

use crate::world::{Asked, Told, World, assert_complaints, defects};

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";
const JWKS: &str = "/.well-known/jwks.json";

fn is_metadata(asked: &Asked) -> bool {
    asked.method == Method::GET && matches!(asked.path.as_str(), OAUTH | OPENID)
}

/// Changes both documents.
fn document(asked: &Asked, told: &mut Told, change: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) {
    if is_metadata(asked) {
        told.edit(|document| change(document.as_object_mut().unwrap()));
    }
}

fn keys(asked: &Asked, told: &mut Told, change: impl FnOnce(&mut serde_json::Value)) {
    if asked.is(Method::GET, JWKS) {
        told.edit(|document| change(&mut document["keys"]));
    }
}

defects! {
    a_server_without_metadata_is_noticed: "discovery.document", "oauth-authorization-server: 404", |asked, told| {
        if is_metadata(asked) { told.become_nothing(); }
    };
    metadata_that_is_missing_where_all_look_first_is_noticed: "discovery.oauth", "404", |asked, told| {
        if asked.path == OAUTH { told.become_nothing(); }
    };
    metadata_that_is_missing_under_its_openid_name_is_noticed: "discovery.openid", "404", |asked, told| {
        if asked.path == OPENID { told.become_nothing(); }
    };
    a_page_where_nothing_should_be_is_noticed: "discovery.absent", "text/html", |asked, told| {
        if asked.path == "/.well-known/gateward-doctor" { told.become_page(200); }
    };
    metadata_behind_a_redirect_is_noticed: "discovery.redirect", "303 to \"/elsewhere\"", |asked, told| {
        if asked.path == OPENID { told.redirect("/elsewhere"); }
    };
    metadata_that_is_not_called_json_is_noticed: "discovery.json", "text/plain", |asked, told| {
        if asked.is(Method::GET, OAUTH) { told.set("content-type", "text/plain"); }
    };
    documents_that_contradict_each_other_are_noticed: "discovery.agree", "in token_endpoint", |asked, told| {
        if asked.is(Method::GET, OPENID) {
            let other = format!("{}/other", told.origin);
            told.edit(|document| document["token_endpoint"] = other.into());
        }
    };
    metadata_that_is_kept_for_a_year_is_noticed: "discovery.caching", "31536000", |asked, told| {
        if asked.is(Method::GET, OAUTH) { told.set("cache-control", "public, max-age=31536000"); }
    };
    another_issuer_is_noticed: "issuer.equal", "localhost", |asked, told| {
        let other = told.origin.replace("127.0.0.1", "localhost");
        document(asked, told, |document| { document.insert("issuer".into(), other.into()); });
        told.edit_location(|location| location.replace("iss=http%3A%2F%2F127.0.0.1", "iss=http%3A%2F%2Flocalhost"));
    };
    an_issuer_with_a_slash_at_the_end_is_noticed: "issuer.canonical", "slash", |asked, told| {
        let other = format!("{}/", told.origin);
        document(asked, told, |document| { document.insert("issuer".into(), other.into()); });
        told.edit_location(|location| {
            let mut url = url::Url::parse(&location).unwrap();
            let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            url.query_pairs_mut().clear().extend_pairs(pairs.into_iter().map(|(name, value)| {
                if name == "iss" { (name, format!("{value}/")) } else { (name, value) }
            }));
            url.into()
        });
    };
    a_null_is_noticed: "metadata.types", "\"op_policy_uri\" should be left out", |asked, told| {
        document(asked, told, |document| { document.insert("op_policy_uri".into(), json!(null)); });
    };
    an_endpoint_that_is_not_named_is_noticed: "metadata.endpoints", "authorization_endpoint is missing", |asked, told| {
        document(asked, told, |document| { document.remove("authorization_endpoint"); });
    };
    an_endpoint_without_tls_is_noticed: "metadata.secure", "192.0.2.1/revoke\" is not https", |asked, told| {
        document(asked, told, |document| { document.insert("revocation_endpoint".into(), json!("http://192.0.2.1/revoke")); });
    };
    a_response_type_that_is_not_code_is_noticed: "metadata.response_types", "without \"code\"", |asked, told| {
        document(asked, told, |document| { document.insert("response_types_supported".into(), json!(["token"])); });
    };
    missing_pkce_is_noticed: "metadata.pkce", "is missing", |asked, told| {
        document(asked, told, |document| { document.remove("code_challenge_methods_supported"); });
    };
    plain_pkce_is_noticed: "metadata.pkce_plain", "plain", |asked, told| {
        document(asked, told, |document| { document.insert("code_challenge_methods_supported".into(), json!(["S256", "plain"])); });
    };
    a_missing_refresh_grant_is_noticed: "metadata.grants", "authorization_code", |asked, told| {
        document(asked, told, |document| { document.insert("grant_types_supported".into(), json!(["authorization_code"])); });
    };
    unwelcome_public_clients_are_noticed: "metadata.public_clients", "client_secret_basic", |asked, told| {
        document(asked, told, |document| {
            document.insert("token_endpoint_auth_methods_supported".into(), json!(["client_secret_basic"]));
        });
    };
    missing_registration_is_noticed: "metadata.registration", "neither", |asked, told| {
        document(asked, told, |document| { document.remove("registration_endpoint"); });
    };
    missing_iss_support_is_noticed: "metadata.iss", "not true", |asked, told| {
        document(asked, told, |document| { document.remove("authorization_response_iss_parameter_supported"); });
    };
    an_openid_document_that_openid_clients_refuse_is_noticed: "metadata.openid_members", "subject_types_supported", |asked, told| {
        if asked.is(Method::GET, OPENID) {
            told.edit(|document| { document.as_object_mut().unwrap().remove("subject_types_supported"); });
        }
    };
    keys_that_cannot_be_read_are_noticed: "keys.document", "500", |asked, told| {
        if asked.path == JWKS { told.become_page(500); }
    };
    a_private_key_in_public_is_noticed: "keys.public", "private", |asked, told| {
        keys(asked, told, |keys| keys[0]["d"] = json!("c2VjcmV0"));
    };
    keys_that_nobody_can_use_are_noticed: "keys.usable", "no key can", |asked, told| {
        keys(asked, told, |keys| *keys = json!([{ "kty": "EC", "crv": "P-384", "kid": "a", "x": "AA", "y": "AA" }]));
    };
    a_key_without_a_name_is_noticed: "keys.named", "has none", |asked, told| {
        keys(asked, told, |keys| { keys[0].as_object_mut().unwrap().remove("kid"); });
    };
    keys_that_are_kept_for_a_year_are_noticed: "keys.caching", "31536000", |asked, told| {
        if asked.path == JWKS { told.set("cache-control", "max-age=31536000"); }
    };
    metadata_that_pages_may_not_read_is_noticed: "cors.metadata", "no Access-Control-Allow-Origin", |asked, told| {
        if asked.is(Method::GET, OAUTH) { told.remove("access-control-allow-origin"); }
    };
    a_preflight_that_is_no_method_is_noticed: "cors.metadata_preflight", "405", |asked, told| {
        if asked.is(Method::OPTIONS, OAUTH) { told.become_json(405, "{}"); }
    };
    a_token_endpoint_that_pages_may_not_ask_is_noticed: "cors.token", "headers that are not allowed: authorization", |asked, told| {
        if asked.is(Method::OPTIONS, "/oauth/token") { told.set("access-control-allow-headers", "*"); }
    };
    a_registration_that_pages_may_not_ask_for_is_noticed: "cors.registration", "only \"https://other.example\"", |asked, told| {
        if asked.is(Method::OPTIONS, "/oauth/register") { told.set("access-control-allow-origin", "https://other.example"); }
    };
    a_login_that_any_page_may_use_is_noticed: "cors.authorize", "with cookies", |asked, told| {
        if asked.path == "/oauth/authorize" && let Some(origin) = asked.headers.get("origin") {
            told.set("access-control-allow-origin", origin.to_str().unwrap());
            told.set("access-control-allow-credentials", "true");
        }
    };
}

#[tokio::test]
async fn metadata_that_is_missing_below_the_path_of_the_issuer_is_noticed() {
    let world = World::below("/tenant", |asked, told| {
        if asked.path.starts_with("/tenant/.well-known/o") {
            told.become_nothing();
        }
    });
    assert_complaints(
        &world.await.examine().await,
        &["discovery.appended"],
        "/tenant/.well-known/openid-configuration: 404",
    );
}
