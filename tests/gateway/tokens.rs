//! Tokens that are none, or are shown in another way. What is wrong with a token itself is judged by the keyring, beside which each
//! way is tested; here, that the gateway asks it.

use aws_lc_rs::hmac;
use axum::http::{Method, StatusCode};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::world::{Call, World};

async fn assert_invalid(world: &World, call: Call<'_>, what: &str) {
    let before = world.upstream.count();
    let answer = call.send().await;
    assert_eq!(answer.challenge(), r#"scope="mcp:read", error="invalid_token""#, "{what}");
    assert_eq!((answer.status, world.upstream.count()), (StatusCode::UNAUTHORIZED, before), "{what}");
}

/// The header, the claims and the signature of a JWT.
fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<&str> = token.split('.').collect();
    parts.try_into().unwrap()
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_of_another_issuer_is_refused() {
    let world = World::start().await;
    let other = World::at("https://auth.example.com", |upstream| vec![crate::world::site(upstream)]).await;
    let token = other.token("mcp:read").await;
    assert_eq!(other.call(Method::GET, "/mcp").bearer(&token).send().await.status, StatusCode::OK);
    assert_invalid(&world, world.call(Method::GET, "/mcp").bearer(&token), "another issuer").await;
}

#[tokio::test]
async fn a_token_whose_header_was_changed_is_refused() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    let [header, claims, signature] = parts(&token);
    let header = decoded(header);
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("RS256")),
        ("typ", json!("JWT")),
        ("kid", json!("another")),
        ("kid", Value::Null),
        ("crit", json!(["b64"])),
        ("b64", json!(false)),
    ] {
        let mut header = header.clone();
        header[name] = value;
        let header_text = URL_SAFE_NO_PAD.encode(header.to_string());
        for signature in [signature, ""] {
            let forged = format!("{header_text}.{claims}.{signature}");
            assert_invalid(&world, world.call(Method::GET, "/mcp").bearer(&forged), &header.to_string()).await;
        }
    }
}

/// A verifier that believes `alg` takes the public key for the secret of a MAC.
#[tokio::test]
async fn a_mac_with_the_public_key_is_refused() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    let [header, claims, _] = parts(&token);
    let mut header = decoded(header);
    let keys: Value = world.server.get("/.well-known/jwks.json").await.json();
    let jwk = keys["keys"].as_array().unwrap().iter().find(|jwk| jwk["kid"] == header["kid"]).unwrap().clone();
    let member = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let point = [&[4][..], &member("x"), &member("y")].concat();
    header["alg"] = "HS256".into();
    let mut nameless = header.clone();
    nameless.as_object_mut().unwrap().remove("kid");
    for header in [header, nameless] {
        let message = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header.to_string()));
        for secret in [point.clone(), jwk.to_string().into_bytes(), vec![]] {
            let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
            let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.as_ref()));
            assert_invalid(&world, world.call(Method::GET, "/mcp").bearer(&forged), &header.to_string()).await;
        }
    }
}

/// RFC 7515 2: base64url has one spelling, without padding and without stray bits.
#[tokio::test]
async fn a_token_has_one_spelling() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    // What was seen to be genuine is remembered, and vouches for nothing else.
    assert_eq!(world.call(Method::GET, "/mcp").bearer(&token).send().await.status, StatusCode::OK);
    let [header, claims, signature] = parts(&token);
    // 64 bytes are 86 characters, of which the last holds four bits that mean nothing.
    let last = signature.chars().last().unwrap();
    let stray = char::from(u8::try_from(last).unwrap() + 1);
    let signature_with = |end: &str| format!("{}{end}", &signature[..signature.len() - 1]);
    for spelling in [
        format!("{token}="),
        format!("{token}=="),
        format!("{token}.x"),
        format!("{token}A"),
        format!("{header}.{claims}.{}", signature_with(&stray.to_string())),
        format!("{header}.{claims}.{}", signature_with(&format!("{last}~"))),
    ] {
        assert_invalid(&world, world.call(Method::GET, "/mcp").bearer(&spelling), &spelling).await;
    }
    // RFC 6750 2.1: in the middle it is not even the text of a token.
    let padded = format!("{header}==.{claims}.{signature}");
    assert_eq!(world.call(Method::GET, "/mcp").bearer(&padded).send().await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_token_that_is_not_valid_yet_is_refused() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    let issued = world.server.now();
    world.server.clock.set(issued.minus(std::time::Duration::from_secs(61)));
    assert_invalid(&world, world.call(Method::GET, "/mcp").bearer(&token), "61 seconds too early").await;
    world.server.clock.set(issued.minus(std::time::Duration::from_secs(60)));
    assert_eq!(world.call(Method::GET, "/mcp").bearer(&token).send().await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_is_in_one_header_and_nowhere_else() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    let in_query = format!("/mcp?access_token={token}");
    let answer = world.call(Method::GET, &in_query).send().await;
    assert_eq!((answer.status, answer.challenge()), (StatusCode::UNAUTHORIZED, r#"scope="mcp:read""#));
    for call in [
        world.call(Method::GET, "/mcp").bearer(&token).bearer(&token),
        world.call(Method::GET, "/mcp").bearer("nonsense").bearer(&token),
        world.call(Method::GET, "/mcp").header("authorization", "Basic YTpi").bearer(&token),
        world.call(Method::GET, &in_query).bearer(&token),
        world.call(Method::GET, "/mcp").header("authorization", &format!("Bearer {token}, Bearer {token}")),
    ] {
        let answer = call.send().await;
        assert_eq!(answer.challenge(), r#"scope="mcp:read", error="invalid_request""#);
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn the_scheme_may_be_in_any_case() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    for scheme in ["bearer", "BEARER", "bEaReR "] {
        let call = world.call(Method::GET, "/mcp").header("authorization", &format!("{scheme} {token}"));
        let answer = call.send().await;
        assert_eq!(answer.status, StatusCode::OK, "{scheme}");
        assert!(answer.seen_header("authorization").is_empty());
    }
}
