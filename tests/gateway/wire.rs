//! Requests as they stand on the wire, which no client library would write.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{HOST, World};

/// What comes back until the connection is closed.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut client = TcpStream::connect(address).await.unwrap();
    // It may be turned away before it has said everything.
    let _ = client.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_host_that_could_be_read_in_two_ways_leads_nowhere() {
    let world = World::start().await;
    let (address, _stop, _) = world.listen().await;
    let token = world.token("mcp:read").await;
    let ask = async |start: &str, hosts: &str| {
        let end = format!("{hosts}Authorization: Bearer {token}\r\nConnection: close\r\n\r\n");
        exchange(address, &format!("{start}\r\n{end}")).await
    };
    for (start, hosts) in [
        ("GET /mcp HTTP/1.1", format!("Host: {HOST}\r\nHost: {HOST}\r\n")),
        ("GET /mcp HTTP/1.1", format!("Host: {HOST}\r\nHost: evil.example\r\n")),
        ("GET /mcp HTTP/1.1", format!("Host: {HOST}, evil.example\r\n")),
        ("GET /mcp HTTP/1.1", format!("Host: user@{HOST}\r\n")),
        ("GET /mcp HTTP/1.1", format!("Host: {HOST}:443@evil.example\r\n")),
        ("GET /mcp HTTP/1.1", format!("Host: {HOST}/mcp\r\n")),
        ("GET /mcp HTTP/1.1", format!("Host: {HOST}:0443\r\n")),
        ("GET /mcp HTTP/1.1", format!("Host: {HOST}:80\r\n")),
        ("GET /mcp HTTP/1.1", format!("Host: {HOST}.\r\n")),
        ("GET /mcp HTTP/1.1", format!("Host:\r\nX-Forwarded-Host: {HOST}\r\n")),
        ("GET /mcp HTTP/1.1", format!("X-Forwarded-Host: {HOST}\r\nForwarded: host={HOST}\r\n")),
        ("GET /mcp HTTP/1.0", String::new()),
        ("GET https://mcp.example.com/mcp HTTP/1.1", "Host: evil.example\r\n".to_owned()),
        ("GET https://evil.example/mcp HTTP/1.1", format!("Host: {HOST}\r\n")),
        ("GET https://user@mcp.example.com/mcp HTTP/1.1", format!("Host: {HOST}\r\n")),
        ("GET https://mcp.example.com/mcp HTTP/1.0", String::new()),
        ("GET mcp.example.com/mcp HTTP/1.1", format!("Host: {HOST}\r\n")),
        ("OPTIONS * HTTP/1.1", format!("Host: {HOST}\r\n")),
    ] {
        let answer = ask(start, &hosts).await;
        assert!(!answer.starts_with("HTTP/1.1 2") && !answer.starts_with("HTTP/1.0 2"), "{start} {hosts}: {answer}");
        assert_eq!(world.upstream.count(), 0, "{start} {hosts}");
    }
    for (start, host) in [
        ("GET /mcp HTTP/1.1", "MCP.example.com:443"),
        ("GET /mcp HTTP/1.0", HOST),
        ("GET https://mcp.example.com/mcp HTTP/1.1", HOST),
    ] {
        let before = world.upstream.count();
        let answer = ask(start, &format!("Host: {host}\r\n")).await;
        assert!(answer[8..].starts_with(" 200 "), "{start} {host}: {answer}");
        assert_eq!(world.upstream.count(), before + 1);
    }
}

/// RFC 9110 6.5.1: what follows a body may not take the place of what stood before it.
#[tokio::test]
async fn neither_trailers_nor_expectations_cross() {
    let unread = World::with(|mut site| {
        site.rules.rules.retain(|rule| rule.mcp_method.is_none());
        site
    });
    for world in [World::start().await, unread.await] {
        let (address, _stop, _) = world.listen().await;
        let token = world.token("mcp:read").await;
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\nConnection: close, te\r\n\
             TE: trailers\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\
             Trailer: X-Gateward-Subject, Authorization, X-Custom\r\n\r\n\
             {:x}\r\n{body}\r\n0\r\nX-Gateward-Subject: admin\r\nAuthorization: Bearer {token}\r\nX-Custom: 1\r\n\r\n",
            body.len()
        );
        let answer = exchange(address, &request).await;
        let (_, told) = answer.rsplit_once("\r\n\r\n").unwrap();
        assert!(answer.contains(" 200 OK"), "{answer}");
        assert!(told.contains("ping") && told.contains(r#""trailers":[]"#), "{told}");
        for name in [r#""te:"#, r#""trailer:"#, r#""expect:"#, r#""connection: close"#, "admin", &token] {
            assert!(!told.contains(name), "{name} in {told}");
        }
    }
}
