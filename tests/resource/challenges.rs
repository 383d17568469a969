//! What a client is told that does not get through (RFC 6750 3, RFC 9728 5.1), word for word.

use gateward::resource::ProtectedResource;

use crate::{
    METADATA, RESOURCE,
    authority::with_token,
    guarded::{Guarded, assert_passed, challenge},
    impostor::Impostor,
    mint::{Key, with},
};

fn rules(resource: ProtectedResource) -> ProtectedResource {
    resource
        .scope("mcp:read")
        .path("/mcp/admin", "mcp:admin")
        .method(&http::Method::DELETE, "mcp:end")
        .tool("launch-*", "mcp:execute")
}

#[tokio::test]
async fn without_a_token_the_challenge_says_where_to_go_and_no_error() {
    let (authority, _, _) = with_token().await;
    let answer = authority.guarded().call("GET", "/mcp").send().await;
    assert_eq!(answer.status, 401);
    assert_eq!(challenge(&answer), format!(r#"Bearer resource_metadata="{METADATA}", scope="mcp:read""#));
    assert_eq!(answer.json()["error"], "unauthorized");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn where_nothing_is_needed_the_challenge_names_no_scope() {
    let (authority, _, token) = with_token().await;
    let guarded = Guarded::new(authority.resource(RESOURCE));
    let answer = guarded.call("GET", "/mcp").send().await;
    assert_eq!(challenge(&answer), format!(r#"Bearer resource_metadata="{METADATA}""#));
    assert_passed(&guarded.get(&token).await);
}

#[tokio::test]
async fn a_token_that_does_not_count_is_invalid_whatever_is_wrong_with_it() {
    let (authority, _, token) = with_token().await;
    let guarded = authority.guarded();
    let mut bodies = Vec::new();
    authority.server.pass(3600);
    for token in [token.as_str(), "x", &token[..token.len() - 4]] {
        let answer = guarded.get(token).await;
        assert_eq!(answer.status, 401);
        assert_eq!(
            challenge(&answer),
            format!(r#"Bearer resource_metadata="{METADATA}", scope="mcp:read", error="invalid_token""#)
        );
        bodies.push(answer.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "strangers learn nothing about why");
}

#[tokio::test]
async fn too_little_scope_names_everything_that_is_needed() {
    let (authority, _, token) = with_token().await;
    let guarded = Guarded::new(rules(authority.resource(RESOURCE)));
    let answer = guarded
        .call("DELETE", "/mcp/admin/x")
        .bearer(&token)
        .body(r#"{"method":"tools/call","params":{"name":"launch-specialist"}}"#)
        .send()
        .await;
    assert_eq!(answer.status, 403);
    assert_eq!(
        challenge(&answer),
        format!(
            r#"Bearer resource_metadata="{METADATA}", scope="mcp:admin mcp:end mcp:execute mcp:read", error="insufficient_scope""#
        )
    );
    assert_eq!(guarded.reached(), 0);
}

#[tokio::test]
async fn without_a_token_the_headers_of_a_message_give_a_hint() {
    let (authority, _, _) = with_token().await;
    let guarded = Guarded::new(rules(authority.resource(RESOURCE)));
    let call = guarded.call("POST", "/mcp").header("mcp-method", "tools/call").header("mcp-name", "launch-specialist");
    let answer = call.body("whatever").send().await;
    assert_eq!(answer.status, 401);
    assert_eq!(challenge(&answer), format!(r#"Bearer resource_metadata="{METADATA}", scope="mcp:execute mcp:read""#));
}

#[tokio::test]
async fn a_broader_scope_permits_what_lies_below_it() {
    let key = Key::es256("a");
    let impostor = Impostor::start(&[&key]);
    let guarded = Guarded::new(rules(impostor.resource()));
    let status = async |scope: &str| {
        let token = key.token(&with(&impostor.claims(), "scope", scope));
        guarded.call("GET", "/mcp/admin").bearer(&token).send().await.status.as_u16()
    };
    assert_eq!(status("mcp:*").await, 200);
    assert_eq!(status("mcp:admin mcp:read").await, 200);
    for too_little in ["mcp:read", "mcp:admin", "mcp", "mcp:", "*", "mcp*", "MCP:*", "mcp:admin:* mcp:read", "xmcp:*"] {
        assert_eq!(status(too_little).await, 403, "{too_little}");
    }
}

/// Routers hand HEAD to the handler of GET.
#[tokio::test]
async fn a_rule_about_get_covers_head() {
    let (authority, _, token) = with_token().await;
    let guarded = Guarded::new(authority.resource(RESOURCE).method(&http::Method::GET, "mcp:write"));
    assert_eq!(guarded.call("GET", "/mcp").bearer(&token).send().await.status, 403);
    assert_eq!(guarded.call("HEAD", "/mcp").bearer(&token).send().await.status, 403);
    assert_eq!(guarded.call("POST", "/mcp").bearer(&token).send().await.status, 200);
}

#[tokio::test]
async fn nothing_of_a_token_is_in_logs_and_answers() {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("the log").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let key = Key::es256("a");
    let mut impostor = Impostor::start(&[&key]);
    let both = impostor.resource().scope("mcp:read").offline_and_introspection(Impostor::credentials(), "mcp:read");
    let services = [impostor.guarded(), impostor.asking(), Guarded::new(both)];
    let claims = impostor.claims();
    let tokens = [
        key.token(&claims),
        key.token(&with(&claims, "exp", 1)),
        Key::es256("b").token(&claims),
        "not-a-token-at-all".to_owned(),
    ];
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let mut said = String::new();
    for round in 0..2 {
        for service in &services {
            for token in &tokens {
                let answer = service.get(token).await;
                said += &format!("{:?}{}", answer.headers, answer.text());
            }
        }
        if round == 0 {
            impostor.stop();
            impostor.clock.advance(std::time::Duration::from_secs(10));
        }
    }
    drop(guard);
    let log = String::from_utf8(log.0.lock().expect("the log").clone()).expect("UTF-8");
    assert!(log.contains("refused"), "the log was captured: {log}");
    for text in [log, said] {
        for token in &tokens {
            let end = &token[token.len() - 12..];
            assert!(!text.contains(end) && !text.contains(&token[..18]), "{end} in {text}");
        }
        assert!(!text.contains("se cret") && !text.contains("se+cret"));
    }
}
