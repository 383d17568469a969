//! The key set (RFC 7517), and what is signed with it (RFC 9068).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use axum::http::{Method, StatusCode};
use gateward::{
    domain::resource::TokenFormat,
    protocol::jose::Algorithm,
    testing::server::{RESOURCE, TestServer, machine, resource, resource_server},
};
use serde_json::{Value, json};

use super::*;

const JWKS: &str = "/.well-known/jwks.json";

async fn server_with(algorithm: Algorithm) -> TestServer {
    let resources = vec![resource(RESOURCE, &["mcp:read"], TokenFormat::Jwt(algorithm))];
    TestServer::builder().resources(resources).start().await
}

async fn token_of(server: &TestServer) -> String {
    let worker = server.create_client("worker", machine()).await;
    server.token(&worker, [("grant_type", "client_credentials")]).await.member("access_token")
}

/// As a resource server would do it: with the published key, and without any code of this server.
fn is_signed_by(token: &str, key: &Value) -> bool {
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(key, name)).expect("base64url");
    let (message, signature) = token.rsplit_once('.').expect("a JWS");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let message = message.as_bytes();
    match text(key, "alg").as_str() {
        "ES256" => {
            let point = [vec![4], bytes("x"), bytes("y")].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, &signature).is_ok()
        }
        "EdDSA" => UnparsedPublicKey::new(&ED25519, bytes("x")).verify(message, &signature).is_ok(),
        alg => {
            let scheme = if alg == "RS256" { &RSA_PKCS1_2048_8192_SHA256 } else { &RSA_PSS_2048_8192_SHA256 };
            let key = RsaPublicKeyComponents { n: bytes("n"), e: bytes("e") };
            key.verify(scheme, message, &signature).is_ok()
        }
    }
}

async fn a_token_verifies_with_the_published_key(algorithm: Algorithm) {
    let server = server_with(algorithm).await;
    let token = token_of(&server).await;
    let header = header_of(&token);
    assert_eq!(header["typ"], "at+jwt");
    assert_eq!(header["alg"], algorithm.as_str());
    let keys = server.get(JWKS).await.json();
    let key = keys["keys"].as_array().expect("keys").iter().find(|key| key["kid"] == header["kid"]).expect("the key");
    assert_eq!(key["use"], "sig");
    assert_eq!(key["alg"], algorithm.as_str());
    assert!(is_signed_by(&token, key));
    assert!(!is_signed_by(&token.replacen("ey", "eY", 1), key));
}

#[tokio::test]
async fn an_es256_token_verifies_with_the_published_key() {
    a_token_verifies_with_the_published_key(Algorithm::ES256).await;
}

#[tokio::test]
async fn an_eddsa_token_verifies_with_the_published_key() {
    a_token_verifies_with_the_published_key(Algorithm::EdDSA).await;
}

#[tokio::test]
async fn an_rs256_token_verifies_with_the_published_key() {
    a_token_verifies_with_the_published_key(Algorithm::RS256).await;
}

#[tokio::test]
async fn a_ps256_token_verifies_with_the_published_key() {
    a_token_verifies_with_the_published_key(Algorithm::PS256).await;
}

#[tokio::test]
async fn no_private_member_is_published() {
    let keys = server_with(Algorithm::RS256).await.get(JWKS).await.json();
    assert_no_nulls(&keys);
    for key in keys["keys"].as_array().expect("keys") {
        for private in ["d", "p", "q", "dp", "dq", "qi", "k", "oth"] {
            assert_eq!(key.get(private), None);
        }
    }
}

#[tokio::test]
async fn the_key_set_may_be_cached_and_asked_for_again() {
    let server = server_with(Algorithm::ES256).await;
    let first = server.get(JWKS).await;
    assert!(first.header("cache-control").is_some_and(|value| value.starts_with("public, max-age=")));
    let tag = first.header("etag").expect("an ETag").to_owned();
    let again = server.call(Method::GET, JWKS).header("if-none-match", &tag).send().await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_key_is_published_before_it_signs() {
    let server = server_with(Algorithm::ES256).await;
    let worker = server.create_client("worker", machine()).await;
    let next = server.keyring.rotate(Algorithm::ES256, false, server.now()).await.expect("a rotation");
    let kids = async || {
        let keys = server.get(JWKS).await.json();
        keys["keys"].as_array().expect("keys").iter().map(|key| text(key, "kid")).collect::<Vec<_>>()
    };
    let signer = async || {
        let token = server.token(&worker, [("grant_type", "client_credentials")]).await.member("access_token");
        text(&header_of(&token), "kid")
    };
    assert!(kids().await.contains(&next.id.as_str().to_owned()));
    assert_ne!(signer().await, next.id.as_str());
    server.clock.set(next.signs_from);
    assert_eq!(signer().await, next.id.as_str());
    assert_eq!(kids().await.len(), 2, "the old key still verifies");
}

#[tokio::test]
async fn a_resource_with_a_shared_secret_publishes_no_key() {
    let resources = vec![resource(RESOURCE, &["mcp:read"], TokenFormat::Jwt(Algorithm::HS256))];
    let secret = "0123456789abcdef0123456789abcdef";
    let server = TestServer::builder().resources(resources).token_secret(secret).start().await;
    let token = token_of(&server).await;
    assert_eq!(header_of(&token), json!({ "alg": "HS256", "typ": "at+jwt" }));
    assert_eq!(server.get(JWKS).await.json(), json!({ "keys": [] }));
}

#[tokio::test]
async fn a_token_with_a_shared_secret_is_known_at_introspection() {
    let resources = vec![resource(RESOURCE, &["mcp:read"], TokenFormat::Jwt(Algorithm::HS256))];
    let secret = "0123456789abcdef0123456789abcdef";
    let server = TestServer::builder().resources(resources).token_secret(secret).start().await;
    let token = token_of(&server).await;
    let rs = server.create_client("rs", resource_server(RESOURCE)).await;
    assert_eq!(server.introspect(&rs, &token).await["active"], true);
}

#[tokio::test]
async fn the_claims_are_those_of_rfc_9068() {
    let server = TestServer::start().await;
    let client = server.create_client("app", gateward::testing::server::public_client()).await;
    let tokens = server.tokens(&client).await;
    let claims = claims_of(&text(&tokens, "access_token"));
    let now = server.now().unix();
    assert_eq!(claims["iss"], gateward::testing::server::ISSUER);
    assert_eq!(claims["aud"], RESOURCE);
    assert_eq!(claims["client_id"], "app");
    assert_eq!(claims["scope"], "mcp:read");
    assert_eq!(claims["iat"], now);
    assert_eq!(claims["nbf"], now);
    assert_eq!(claims["exp"], now + 3600);
    assert_eq!(claims["auth_time"], now);
    for name in ["sub", "jti", "grant_id"] {
        assert!(!text(&claims, name).is_empty());
    }
    assert_ne!(claims["sub"], gateward::testing::server::USERNAME);
}
