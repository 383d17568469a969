//! What crosses, in both directions.

use axum::http::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{HOST, World};

#[tokio::test]
async fn a_request_arrives_whole_at_the_place_that_corresponds() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    let call = world.call(Method::PUT, "/mcp/x%20y/?a=1&b=%2f").bearer(&token);
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let answer = call.header("mcp-session-id", "s").body(body).send().await;
    let seen = answer.seen();
    assert_eq!((&seen["method"], &seen["target"]), (&"PUT".into(), &"/base/x%20y/?a=1&b=%2f".into()));
    assert_eq!(seen["body"], body);
    assert_eq!(answer.seen_header("mcp-session-id"), ["s"]);
    assert_eq!(world.get("/mcp").await.seen()["target"], "/base");
}

#[tokio::test]
async fn the_server_behind_hears_who_it_is_and_never_the_token() {
    let world = World::start().await;
    let token = world.token("mcp:read mcp:write").await;
    let answer = world.call(Method::GET, "/mcp").bearer(&token).header("cookie", "session=1").send().await;
    assert!(!answer.body.contains(&token));
    for (name, value) in [
        ("x-gateward-subject", "worker"),
        ("x-gateward-client", "worker"),
        ("x-gateward-scope", "mcp:read mcp:write"),
        ("x-gateward-issuer", "http://localhost:3000"),
        ("x-gateward-resource", "https://mcp.example.com/mcp"),
        ("x-gateward-expires", &(world.server.now().unix() + 3600).to_string()),
    ] {
        assert_eq!(answer.seen_header(name), [value], "{name}");
    }
    for name in ["authorization", "cookie", "x-gateward-username", "x-gateward-grant"] {
        assert!(answer.seen_header(name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_human_is_named_with_their_grant() {
    let world = World::start().await;
    let client = world.server.create_client("notebook", gateward::testing::server::public_client()).await;
    let tokens = world.server.tokens(&client).await;
    let answer = world.call(Method::GET, "/mcp").bearer(tokens["access_token"].as_str().unwrap()).send().await;
    assert_eq!(answer.seen_header("x-gateward-username"), ["ada"]);
    assert_eq!(answer.seen_header("x-gateward-grant").len(), 1);
    assert_ne!(answer.seen_header("x-gateward-subject"), ["ada"]);
}

#[tokio::test]
async fn the_server_behind_hears_the_name_that_this_log_and_the_answer_have() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    let answer = world
        .call(Method::GET, "/mcp")
        .bearer(&token)
        .header("x-request-id", "chosen")
        .header("x_request_id", "chosen")
        .send()
        .await;
    let name = answer.header("x-request-id").unwrap().to_owned();
    assert_ne!(name, "chosen");
    assert_eq!(answer.seen_header("x-request-id"), [name]);
    assert!(answer.seen_header("x_request_id").is_empty());
    let refused = world.call(Method::GET, "/mcp").send().await;
    assert!(refused.header("x-request-id").is_some());
}

#[tokio::test]
async fn nobody_speaks_as_the_gateway() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    let answer = world
        .call(Method::GET, "/mcp")
        .bearer(&token)
        .header("x-gateward-subject", "admin")
        .header("x_gateward_subject", "admin")
        .header("x-gateward-username", "admin")
        .header("connection", "x-gateward-subject, authorization")
        .header("x-forwarded-for", "127.0.0.1")
        .header("forwarded", "for=127.0.0.1")
        .header("x-http-method-override", "DELETE")
        .header("x-original-url", "/base/admin")
        .send()
        .await;
    assert_eq!(answer.seen_header("x-gateward-subject"), ["worker"]);
    for name in ["x_gateward_subject", "x-gateward-username", "forwarded", "x-http-method-override", "x-original-url"] {
        assert!(answer.seen_header(name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn the_sender_is_who_a_trusted_proxy_says_and_nobody_else() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    let from = async |peer: &str| {
        let call = world.call(Method::GET, "/mcp").bearer(&token).from(peer);
        let answer = call.header("x-forwarded-for", "203.0.113.9, 198.51.100.1").send().await;
        assert_eq!(answer.seen_header("x-forwarded-proto"), ["https"]);
        assert_eq!(answer.seen_header("x-forwarded-host"), ["mcp.example.com"]);
        answer.seen_header("x-forwarded-for")
    };
    assert_eq!(from("192.0.2.7").await, ["192.0.2.7"]);
    assert_eq!(from("10.0.0.1").await, ["198.51.100.1"]);
}

#[tokio::test]
async fn the_client_gets_no_cookie_and_no_name_of_the_server_behind() {
    let world = World::start().await;
    let answer = world.get("/mcp/moves").await;
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(answer.header("location"), Some("https://mcp.example.com/mcp/there"));
    assert_eq!(answer.header("set-cookie"), None);
}

#[tokio::test]
async fn a_server_behind_that_asks_for_credentials_does_not_send_clients_in_circles() {
    let world = World::start().await;
    let answer = world.get("/mcp/refuses").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.header("www-authenticate"), None);
}

#[tokio::test]
async fn a_server_behind_that_switches_protocols_unasked_is_not_followed() {
    let world = World::start().await;
    assert_eq!(world.get("/mcp/switches").await.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn a_server_behind_that_is_silent_or_gone_has_an_answer_of_its_own() {
    let world = World::start().await;
    let silent = world.get("/mcp/never").await;
    assert_eq!((silent.status, silent.header("retry-after")), (StatusCode::GATEWAY_TIMEOUT, Some("2")));
    let world = World::with(|site| gateward::domain::guarded::GuardedResource {
        upstream: Some("http://127.0.0.1:1/base".parse().unwrap()),
        ..site
    })
    .await;
    let gone = world.get("/mcp").await;
    assert_eq!((gone.status, gone.header("retry-after")), (StatusCode::BAD_GATEWAY, Some("2")));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whether_or_not_its_length_is_stated() {
    let world = World::with(|site| gateward::domain::guarded::GuardedResource {
        rules: gateward::domain::scope_rule::ScopeRules::default(),
        ..site
    })
    .await;
    let token = world.token("mcp:read").await;
    let long = "x".repeat(1025);
    let call = world.call(Method::POST, "/mcp").bearer(&token).header("content-length", "1025");
    assert_eq!(call.body(long.clone()).send().await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>(long)]);
    let call = world.call(Method::POST, "/mcp").bearer(&token).body(axum::body::Body::from_stream(chunks));
    assert_eq!(call.send().await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn no_spelling_that_a_server_takes_for_another_header_crosses() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    // CGI-like servers make one variable of everything that differs in signs only; lighttpd is one.
    let spellings = [
        "x.gateward.username",
        "x!gateward~grant",
        "x-gateward+username",
        "x.forwarded.for",
        "proxy_authorization",
        "transfer.encoding",
        "content_length",
        // A message is judged by these, in their right spelling.
        "content_encoding",
        "content.type",
        "mcp_name",
        "x-auth-request-email",
        "remote-groups",
        "x-forwarded",
        // HTTP_PROXY, which HTTP clients of that server would believe.
        "proxy",
    ];
    let mut call = world.call(Method::POST, "/mcp").bearer(&token);
    for name in spellings {
        call = call.header(name, "1");
    }
    let answer = call.send().await;
    for name in spellings {
        assert!(answer.seen_header(name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn nobody_opens_a_tunnel_through_the_gateway() {
    let world = World::start().await;
    let token = world.token("mcp:read mcp:write mcp:execute").await;
    let answer = world.call(Method::CONNECT, "/mcp").bearer(&token).send().await;
    assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED);
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn no_framing_makes_two_requests_of_one() {
    let world = World::with(|mut site| {
        // Bodies cross unread.
        site.rules.rules.retain(|rule| rule.mcp_method.is_none());
        site
    })
    .await;
    let (address, _stop, _) = world.listen().await;
    let token = world.token("mcp:read").await;
    let hidden = format!("GET /mcp/admin HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let length = hidden.len();
    let chunked = format!("{length:x}\r\n{hidden}\r\n0\r\n\r\n");
    let empty = format!("0\r\n\r\n{hidden}");
    let socket = "Connection: upgrade\r\nUpgrade: websocket";
    for (start, headers, body) in [
        ("POST /mcp/x HTTP/1.1", "Content-Length: 4\r\nTransfer-Encoding: chunked".to_owned(), &empty),
        ("POST /mcp/x HTTP/1.1", format!("Transfer-Encoding: chunked\r\nContent-Length: {}", empty.len()), &empty),
        ("POST /mcp/x HTTP/1.1", "Transfer-Encoding: chunked, identity".to_owned(), &empty),
        ("POST /mcp/x HTTP/1.1", "Transfer-Encoding: identity".to_owned(), &hidden),
        ("POST /mcp/x HTTP/1.1", "Transfer-Encoding: xchunked".to_owned(), &empty),
        ("POST /mcp/x HTTP/1.1", "Transfer-Encoding:\x0bchunked".to_owned(), &empty),
        ("POST /mcp/x HTTP/1.1", "Transfer-Encoding : chunked".to_owned(), &empty),
        ("POST /mcp/x HTTP/1.1", "X: y\r\n Transfer-Encoding: chunked".to_owned(), &empty),
        ("POST /mcp/x HTTP/1.1", format!("Content-Length: 0\r\nContent-Length: {length}"), &hidden),
        ("POST /mcp/x HTTP/1.1", format!("Content-Length: +{length}"), &hidden),
        ("POST /mcp/x HTTP/1.0", "Transfer-Encoding: chunked".to_owned(), &empty),
        ("GET /mcp/x HTTP/1.1", "Transfer-Encoding: chunked".to_owned(), &chunked),
        ("GET /mcp/x HTTP/1.1", format!("Content-Length: {length}"), &hidden),
        ("GET /mcp/x HTTP/1.1", format!("{socket}\r\nContent-Length: {length}"), &hidden),
        (
            "GET /mcp/x HTTP/1.1",
            format!("Connection: content-length, transfer-encoding\r\nContent-Length: {length}"),
            &hidden,
        ),
        ("POST http://evil.example/mcp/x HTTP/1.1", format!("Content-Length: {length}"), &hidden),
    ] {
        let before = world.upstream.count();
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!("{start}\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n{headers}\r\n\r\n{body}");
        // It may be turned away before it has said everything.
        let _ = client.write_all(request.as_bytes()).await;
        let _ = client.shutdown().await;
        let _ = client.read_to_end(&mut Vec::new()).await;
        assert!(world.upstream.count() <= before + 1, "{start} {headers}");
        assert!(!world.upstream.was_asked_for("/base/admin"), "{start} {headers}");
    }
}

#[tokio::test]
async fn a_redirect_to_elsewhere_at_the_server_behind_does_not_tell_where_that_is() {
    let world = World::start().await;
    let answer = world.get("/mcp/leaves").await;
    assert_eq!(answer.status, StatusCode::FOUND);
    assert_eq!((answer.header("location"), answer.header("content-location")), (None, None));
}
