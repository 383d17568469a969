//! Tokens that are not what they look like (RFC 9068 4, RFC 8725): by their header, by their signature, by their claims.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{
    RESOURCE,
    authority::{Authority, with_token},
    guarded::{Guarded, assert_invalid, assert_passed},
    impostor::{Impostor, JWKS},
    mint::{Key, compact, with, without},
};

/// An authorization server with one key, a service that trusts it, and an honest token that gets through.
async fn setting() -> (Key, Impostor, Guarded, Value) {
    let key = Key::es256("a");
    let impostor = Impostor::start(&[&key]);
    let (guarded, claims) = (impostor.guarded(), impostor.claims());
    assert_passed(&guarded.get(&key.token(&claims)).await);
    (key, impostor, guarded, claims)
}

/// Whether a token with such a header gets through, although its signature is right.
async fn status_with_header(change: impl FnOnce(&mut Value)) -> u16 {
    let (key, _impostor, guarded, claims) = setting().await;
    let mut header = key.header();
    change(&mut header);
    guarded.get(&key.with_header(&header, &claims)).await.status.as_u16()
}

/// Whether a token with such claims gets through.
async fn status_with_claims(change: impl FnOnce(&mut Value)) -> u16 {
    let (key, _impostor, guarded, mut claims) = setting().await;
    change(&mut claims);
    guarded.get(&key.token(&claims)).await.status.as_u16()
}

#[tokio::test]
async fn a_token_for_another_resource_is_refused() {
    let (authority, worker, _) = with_token().await;
    let guarded = Guarded::new(authority.resource("https://other.example.com/mcp"));
    let token = authority.token(&worker, RESOURCE, "mcp:read").await;
    assert_invalid(&guarded.get(&token).await);
    assert_passed(&authority.guarded().get(&token).await);
    assert_eq!(guarded.reached(), 0);
}

#[tokio::test]
async fn a_token_of_another_issuer_with_the_same_keys_is_refused() {
    let (key, _impostor, guarded, claims) = setting().await;
    for issuer in ["https://auth.example.com", "", &format!("{}/", claims["iss"].as_str().expect("text"))] {
        assert_invalid(&guarded.get(&key.token(&with(&claims, "iss", issuer))).await);
    }
    assert_invalid(&guarded.get(&key.token(&without(&claims, "iss"))).await);
}

#[tokio::test]
async fn a_token_of_another_issuer_with_keys_of_its_own_is_refused() {
    let (_, impostor, guarded, claims) = setting().await;
    let stranger = Key::es256("stranger");
    assert_invalid(&guarded.get(&stranger.token(&claims)).await);
    // Under the name of a key that is published.
    let forger = Key::es256("a");
    assert_invalid(&guarded.get(&forger.token(&claims)).await);
    assert_eq!(impostor.asked(JWKS), 2, "the unknown name is looked for once, the forgery is none");
}

#[tokio::test]
async fn a_token_of_a_second_real_server_is_refused() {
    let (authority, _, _) = with_token().await;
    let (other, _, token) = with_token().await;
    assert_passed(&other.guarded().get(&token).await);
    assert_invalid(&authority.guarded().get(&token).await);
}

#[tokio::test]
async fn what_is_typed_as_something_else_is_no_access_token() {
    for typ in ["JWT", "id_token", "jwt", "", "at+jwt ", "at-jwt", "application/at", "logout+jwt", "dpop+jwt"] {
        assert_eq!(status_with_header(|header| header["typ"] = typ.into()).await, 401, "{typ}");
    }
}

#[tokio::test]
async fn what_is_not_typed_is_no_access_token() {
    assert_eq!(status_with_header(|header| drop(header.as_object_mut().expect("it").remove("typ"))).await, 401);
    assert_eq!(status_with_header(|header| header["typ"] = Value::Null).await, 401);
    assert_eq!(status_with_header(|header| header["typ"] = json!(["at+jwt"])).await, 401);
}

#[tokio::test]
async fn the_type_may_be_written_in_full() {
    assert_eq!(status_with_header(|header| header["typ"] = "application/at+jwt".into()).await, 200);
    assert_eq!(status_with_header(|header| header["typ"] = "AT+JWT".into()).await, 200);
}

#[tokio::test]
async fn an_unsigned_token_is_refused() {
    let (_, _impostor, guarded, claims) = setting().await;
    for algorithm in ["none", "None", "NONE", ""] {
        let header = json!({ "alg": algorithm, "typ": "at+jwt", "kid": "a" }).to_string();
        assert_invalid(&guarded.get(&compact(&header, &claims.to_string(), |_| vec![])).await);
        assert_invalid(&guarded.get(&compact(&header, &claims.to_string(), |_| vec![0; 64])).await);
    }
}

#[tokio::test]
async fn a_token_without_its_signature_is_refused() {
    let (key, _impostor, guarded, claims) = setting().await;
    let token = key.token(&claims);
    let (message, signature) = token.rsplit_once('.').expect("a JWS");
    for cut in [format!("{message}."), message.to_owned(), format!("{message}.{}", &signature[..40])] {
        assert_invalid(&guarded.get(&cut).await);
    }
}

/// RFC 7515 2: base64url has one spelling, without padding and without stray bits. What was seen to be genuine is remembered, and
/// vouches for nothing else.
#[tokio::test]
async fn a_token_has_one_spelling() {
    let (key, _impostor, guarded, claims) = setting().await;
    let token = key.token(&claims);
    assert_passed(&guarded.get(&token).await);
    let (message, signature) = token.rsplit_once('.').expect("a JWS");
    let (header, payload) = message.split_once('.').expect("a JWS");
    // 64 bytes are 86 characters, of which the last holds four bits that mean nothing.
    let stray = char::from(signature.as_bytes()[85] + 1);
    for spelling in [
        format!("{token}="),
        format!("{token}=="),
        format!("{token}."),
        format!("{token}.{signature}"),
        format!("{token}A"),
        format!("{token}~"),
        format!("{message}.{}{stray}", &signature[..85]),
        format!(".{token}"),
    ] {
        assert_invalid(&guarded.get(&spelling).await);
    }
    // RFC 6750 2.1: in the middle it is not even the text of a token.
    assert_eq!(guarded.get(&format!("{header}=.{payload}.{signature}")).await.status, 400);
    assert_eq!(guarded.reached(), 2);
}

/// A verifier that believes `alg` takes the public key for the secret of a MAC.
#[tokio::test]
async fn a_mac_with_the_public_key_is_refused() {
    let (key, _impostor, guarded, claims) = setting().await;
    let header = json!({ "alg": "HS256", "typ": "at+jwt", "kid": "a" }).to_string();
    for secret in [key.public_bytes(), key.jwk().to_string().into_bytes(), vec![]] {
        let mac = |message: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message).as_ref().to_vec();
        assert_invalid(&guarded.get(&compact(&header, &claims.to_string(), mac)).await);
    }
}

#[tokio::test]
async fn a_key_signs_in_its_own_way_only() {
    for other in ["RS256", "ES384", "ES256K", "es256"] {
        assert_eq!(status_with_header(|header| header["alg"] = other.into()).await, 401, "{other}");
    }
    let rsa = Key::rsa("r", "RS256");
    let impostor = Impostor::start(&[&rsa]);
    let mut header = rsa.header();
    header["alg"] = "PS256".into();
    assert_invalid(&impostor.guarded().get(&rsa.with_header(&header, &impostor.claims())).await);
}

#[tokio::test]
async fn every_algorithm_that_gateward_signs_with_is_verified() {
    for key in [Key::es256("k"), Key::eddsa("k"), Key::rsa("k", "RS256"), Key::rsa("k", "PS256")] {
        let impostor = Impostor::start(&[&key]);
        let guarded = impostor.guarded();
        assert_passed(&guarded.get(&key.token(&impostor.claims())).await);
        let token = key.token(&with(&impostor.claims(), "jti", "2"));
        let (message, signature) = token.rsplit_once('.').expect("a JWS");
        let mut signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        signature[7] ^= 1;
        assert_invalid(&guarded.get(&format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))).await);
    }
}

#[tokio::test]
async fn a_header_that_says_something_twice_is_refused() {
    let (key, _impostor, guarded, claims) = setting().await;
    let claims = claims.to_string();
    for header in [
        r#"{"alg":"ES256","typ":"at+jwt","kid":"b","kid":"a"}"#,
        r#"{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"a"}"#,
        r#"{"alg":"ES256","typ":"JWT","typ":"at+jwt","kid":"a"}"#,
        r#"["ES256","at+jwt","a"]"#,
    ] {
        assert_invalid(&guarded.get(&key.raw(header, &claims)).await);
    }
}

#[tokio::test]
async fn claims_that_say_something_twice_are_refused() {
    let (key, _impostor, guarded, claims) = setting().await;
    let header = key.header().to_string();
    for (name, value) in [("aud", "\"x\""), ("iss", "\"x\""), ("exp", "1"), ("scope", "\"x\""), ("sub", "\"x\"")] {
        let twice = claims.to_string().replacen('{', &format!("{{\"{name}\":{value},"), 1);
        assert_invalid(&guarded.get(&key.raw(&header, &twice)).await);
    }
}

#[tokio::test]
async fn a_critical_extension_is_not_understood() {
    assert_eq!(status_with_header(|header| header["crit"] = json!(["b64"])).await, 401);
    assert_eq!(status_with_header(|header| header["crit"] = json!([])).await, 401);
    assert_eq!(status_with_header(|header| header["unknown"] = json!("x")).await, 200);
}

#[tokio::test]
async fn a_key_that_the_token_brings_along_is_not_used() {
    let (_, impostor, guarded, claims) = setting().await;
    let own = Key::es256("a");
    impostor.say("/own-keys", &json!({ "keys": [own.jwk()] }));
    let mut header = own.header();
    header["jwk"] = own.jwk();
    header["jku"] = format!("{}/own-keys", impostor.issuer).into();
    assert_invalid(&guarded.get(&own.with_header(&header, &claims)).await);
    assert_eq!(impostor.asked("/own-keys"), 0);
}

#[tokio::test]
async fn with_two_keys_of_one_name_either_may_have_signed() {
    let (one, other) = (Key::es256("same"), Key::es256("same"));
    let impostor = Impostor::start(&[&one, &other]);
    let guarded = impostor.guarded();
    assert_passed(&guarded.get(&one.token(&impostor.claims())).await);
    assert_passed(&guarded.get(&other.token(&impostor.claims())).await);
    assert_invalid(&guarded.get(&Key::es256("same").token(&impostor.claims())).await);
}

#[tokio::test]
async fn a_token_that_names_no_key_counts_only_while_there_is_one_it_could_mean() {
    let (key, impostor, _, claims) = setting().await;
    let nameless = key.with_header(&without(&key.header(), "kid"), &claims);
    assert_passed(&impostor.guarded().get(&nameless).await);
    impostor.publish(&[&key, &Key::es256("b")]);
    assert_invalid(&impostor.guarded().get(&nameless).await);
    impostor.publish(&[&key, &Key::eddsa("b")]);
    assert_passed(&impostor.guarded().get(&nameless).await);
}

#[tokio::test]
async fn a_token_counts_until_the_second_in_which_it_ends() {
    let (key, impostor, guarded, claims) = setting().await;
    let now = claims["iat"].as_i64().expect("a time");
    let token = key.token(&with(&claims, "exp", now + 10));
    impostor.clock.advance(std::time::Duration::from_secs(9));
    assert_passed(&guarded.get(&token).await);
    impostor.clock.advance(std::time::Duration::from_secs(1));
    // From memory, and for somebody who has never seen it.
    assert_invalid(&guarded.get(&token).await);
    assert_invalid(&impostor.guarded().get(&token).await);
}

#[tokio::test]
async fn a_token_may_begin_a_minute_from_now_and_no_later() {
    assert_eq!(status_with_claims(|c| c["nbf"] = (c["iat"].as_i64().expect("a time") + 60).into()).await, 200);
    assert_eq!(status_with_claims(|c| c["nbf"] = (c["iat"].as_i64().expect("a time") + 61).into()).await, 401);
}

#[tokio::test]
async fn a_clock_that_was_set_back_lets_a_token_wait_for_its_beginning() {
    let (key, impostor, guarded, claims) = setting().await;
    let token = key.token(&claims);
    assert_passed(&guarded.get(&token).await);
    impostor.clock.set(gateward::testing::clock::ManualClock::START.minus(std::time::Duration::from_secs(61)));
    assert_invalid(&guarded.get(&token).await);
}

#[tokio::test]
async fn one_of_several_audiences_may_be_this_resource() {
    assert_eq!(status_with_claims(|c| c["aud"] = json!(["https://x.example", RESOURCE])).await, 200);
    assert_eq!(status_with_claims(|c| c["aud"] = json!("HTTPS://MCP.example.com:443/mcp")).await, 200);
}

#[tokio::test]
async fn what_only_resembles_this_resource_is_another() {
    for aud in [
        json!(["https://x.example"]),
        json!([]),
        json!("https://mcp.example.com/"),
        json!("https://mcp.example.com/mcp/"),
        json!("https://mcp.example.com/mcp/x"),
        json!("https://mcp.example.com/MCP"),
        json!("http://mcp.example.com/mcp"),
        json!("https://mcp.example.com/x/../mcp"),
        json!("https://mcp.example.com/mcp#x"),
        json!("https://mcp.example.com/mcp https://x.example"),
        json!(""),
        json!(null),
        json!({ "0": RESOURCE }),
        json!([[RESOURCE]]),
    ] {
        assert_eq!(status_with_claims(|claims| claims["aud"] = aud.clone()).await, 401, "{aud}");
    }
}

#[tokio::test]
async fn a_claim_that_has_to_be_there_is_missed() {
    let (key, _impostor, guarded, claims) = setting().await;
    for name in ["iss", "sub", "aud", "exp", "client_id"] {
        assert_invalid(&guarded.get(&key.token(&without(&claims, name))).await);
        assert_invalid(&guarded.get(&key.token(&with(&claims, name, Value::Null))).await);
    }
}

#[tokio::test]
async fn a_claim_of_another_type_is_refused() {
    let (key, _impostor, guarded, claims) = setting().await;
    for (name, value) in [
        ("scope", json!(["mcp:read"])),
        ("scope", json!(1)),
        ("scope", json!("mcp:read\tmcp:write")),
        ("scope", json!("a\"b")),
        ("exp", json!("4102444800")),
        ("exp", json!(1e300)),
        ("nbf", json!("0")),
        ("sub", json!(7)),
    ] {
        assert_invalid(&guarded.get(&key.token(&with(&claims, name, value))).await);
    }
}

#[tokio::test]
async fn a_token_without_scope_permits_nothing() {
    let (key, _impostor, guarded, claims) = setting().await;
    assert_eq!(guarded.get(&key.token(&without(&claims, "scope"))).await.status, 403);
    assert_eq!(guarded.get(&key.token(&with(&claims, "scope", ""))).await.status, 403);
}

#[tokio::test]
async fn a_refresh_token_and_an_opaque_token_are_no_jwt() {
    let authority = Authority::start().await;
    let worker = authority.worker().await;
    let opaque = authority.token(&worker, gateward::testing::server::OPAQUE_RESOURCE, "files:read").await;
    let guarded = authority.guarded();
    for token in [opaque.as_str(), "gw_rt_x", "a.b", "a.b.c.d", "..", "a.b.c"] {
        assert_invalid(&guarded.get(token).await);
    }
}
