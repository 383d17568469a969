//! Somebody else's proxy, which asks the built binary about every request and has a server behind: what must hold whoever made
//! the proxy.

use std::net::SocketAddr;

use axum::http::{HeaderMap, Method, StatusCode};
use serde_json::Value;

use crate::{
    support::{
        Options, Server,
        oauth::{Answer, Identity, Wire},
        own_address,
    },
    upstream::Upstream,
};

/// Where everybody is.
pub(crate) struct Places {
    /// The proxy.
    pub(crate) front: SocketAddr,
    pub(crate) gateward: SocketAddr,
    pub(crate) upstream: SocketAddr,
}

impl Places {
    /// An example as it is, with other places in it.
    pub(crate) fn put_into(&self, example: &str, front: &[(&str, String)]) -> String {
        let behind = [("127.0.0.1:3000", self.gateward.to_string()), ("127.0.0.1:8000", self.upstream.to_string())];
        front.iter().chain(&behind).fold(example.to_owned(), |text, (place, real)| {
            assert!(text.contains(place), "nothing is at {place} in the example");
            text.replace(place, real)
        })
    }
}

pub(crate) struct Asking<P> {
    pub(crate) places: Places,
    pub(crate) server: Server,
    pub(crate) upstream: Upstream,
    pub(crate) proxy: P,
    wire: Wire,
    worker: Identity,
}

impl<P> Asking<P> {
    /// The resource is where the proxy is. It needs `mcp:read`, and `mcp:write` for DELETE.
    pub(crate) async fn start(proxy: impl AsyncFnOnce(&Places) -> P) -> Self {
        let front = own_address();
        let options = Options::new()
            .set("GATEWARD_RESOURCES__0__URI", &format!("http://{front}/mcp"))
            .set("GATEWARD_RESOURCES__0__REQUIRED_SCOPE", "mcp:read")
            .set("GATEWARD_RESOURCES__0__RULES__0__METHODS", "DELETE")
            .set("GATEWARD_RESOURCES__0__RULES__0__SCOPE", "mcp:write");
        let server = Server::start(options);
        let upstream = Upstream::start().await;
        let places = Places { front, gateward: server.address(), upstream: upstream.address() };
        let proxy = proxy(&places).await;
        let scope = "mcp:read mcp:write mcp:execute";
        let worker = server.create_client(&["--name", "worker", "--grant", "client_credentials", "--scope", scope]);
        let wire = Wire::to(&server);
        Self { places, server, upstream, proxy, wire, worker }
    }

    pub(crate) async fn token(&self, scope: &str) -> String {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        self.wire.post("/oauth/token", &self.worker, &form).await.text("access_token")
    }

    /// A request to the proxy, not sent yet.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.wire.http.request(method, format!("http://{}{path}", self.places.front))
    }

    /// The challenge, less where the metadata is.
    pub(crate) fn challenge<'a>(&self, headers: &'a HeaderMap) -> &'a str {
        let values: Vec<&str> = headers.get_all("www-authenticate").iter().map(|v| v.to_str().unwrap()).collect();
        let [value] = values[..] else { panic!("one challenge is needed: {values:?}") };
        let metadata = format!("http://{}/.well-known/oauth-protected-resource/mcp", self.places.front);
        let start = format!(r#"Bearer resource_metadata="{metadata}", "#);
        value.strip_prefix(&start).unwrap_or_else(|| panic!("{value}"))
    }

    pub(crate) async fn turns_away_whoever_has_no_token(self) {
        let answer = send(self.request(Method::POST, "/mcp").body("{}")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(self.challenge(&answer.headers), r#"scope="mcp:read""#);
        let answer = send(self.request(Method::POST, "/mcp").bearer_auth("nonsense")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(self.challenge(&answer.headers), r#"scope="mcp:read", error="invalid_token""#);
        assert_eq!(self.upstream.count(), 0);
    }

    pub(crate) async fn tells_the_server_behind_who_sends_a_request(self) {
        let token = self.token("mcp:read").await;
        let body = "x".repeat(100_000);
        let answer = send(self.request(Method::POST, "/mcp/a%20b?q=%2F").bearer_auth(token).body(body.clone())).await;
        let seen = seen(&answer);
        assert_eq!((&seen["method"], &seen["target"]), (&Value::from("POST"), &Value::from("/mcp/a%20b?q=%2F")));
        assert!(seen["body"] == body, "the body arrives as it was sent");
        assert_eq!(header(&seen, "x-gateward-subject"), [self.worker.id.as_str()]);
        assert_eq!(header(&seen, "x-gateward-client"), [self.worker.id.as_str()]);
        assert_eq!(header(&seen, "x-gateward-scope"), ["mcp:read"]);
        assert_eq!(header(&seen, "x-gateward-issuer"), [self.server.issuer()]);
        assert_eq!(header(&seen, "x-gateward-resource"), [format!("http://{}/mcp", self.places.front)]);
        assert_eq!(header(&seen, "x-gateward-expires").len(), 1);
        assert!(header(&seen, "authorization").is_empty(), "the token is not for the server behind");
        assert_eq!(header(&seen, "host"), [self.places.upstream.to_string()], "MCP servers refuse other names");
    }

    pub(crate) async fn asks_whoever_may_too_little_for_more(self) {
        let token = self.token("mcp:read").await;
        let answer = send(self.request(Method::DELETE, "/mcp").bearer_auth(token)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(self.challenge(&answer.headers), r#"scope="mcp:read mcp:write", error="insufficient_scope""#);
        assert_eq!(self.upstream.count(), 0);
        let token = self.token("mcp:read mcp:write").await;
        assert_eq!(send(self.request(Method::DELETE, "/mcp").bearer_auth(token)).await.status, StatusCode::OK);
    }

    pub(crate) async fn replaces_what_a_client_says_about_itself(self) {
        let token = self.token("mcp:read").await;
        let forged = [
            // The worker has no login name and no grant, so there is nothing to put in their place.
            "X-Gateward-Username",
            "X-Gateward-Grant",
            "X-Gateward-Subject",
            "X-Gateward-Scope",
            "x_gateward_username",
            "X-Gateward_Username",
            "x_gateward-subject",
        ];
        let request = self.request(Method::GET, "/mcp").bearer_auth(token);
        let request = forged.iter().fold(request, |request, name| request.header(*name, "admin").header(*name, "root"));
        let seen = seen(&send(request).await);
        let said = seen["headers"].to_string();
        assert!(!said.contains("admin") && !said.contains("root"), "{said}");
        assert_eq!(header(&seen, "x-gateward-subject"), [self.worker.id.as_str()]);
        assert_eq!(header(&seen, "x-gateward-scope"), ["mcp:read"]);
    }

    pub(crate) async fn judges_what_is_really_asked_for(self) {
        let token = self.token("mcp:read").await;
        let forged = [
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Uri", "/mcp"),
            ("X-Forwarded-Host", "elsewhere.example"),
            ("X-Forwarded-Proto", "http"),
        ];
        let request = self.request(Method::DELETE, "/mcp").bearer_auth(&token);
        let request = forged.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = send(request).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(self.challenge(&answer.headers), r#"scope="mcp:read mcp:write", error="insufficient_scope""#);
        let elsewhere =
            send(self.request(Method::GET, "/mcp//admin").bearer_auth(&token).header(forged[1].0, forged[1].1));
        assert_eq!(elsewhere.await.status, StatusCode::FORBIDDEN);
        assert!(!send(self.request(Method::GET, "/mcpx").bearer_auth(&token)).await.status.is_success());
        assert_eq!(self.upstream.count(), 0);
    }

    pub(crate) async fn passes_events_on_one_by_one(self) {
        let token = self.token("mcp:read").await;
        let mut stream = self.request(Method::GET, "/mcp/events").bearer_auth(token).send().await.unwrap();
        assert_eq!(stream.status(), StatusCode::OK);
        for text in ["one", "two"] {
            self.upstream.event(text);
            assert_eq!(stream.chunk().await.unwrap().unwrap(), format!("data: {text}\n\n"));
        }
    }

    pub(crate) async fn says_where_tokens_come_from(self) {
        let answer = send(self.request(Method::GET, "/.well-known/oauth-protected-resource/mcp")).await;
        let metadata = answer.json(200);
        assert_eq!(metadata["resource"], format!("http://{}/mcp", self.places.front));
        assert_eq!(metadata["authorization_servers"][0], self.server.issuer());
    }

    /// Nobody gets in while nobody can say who may; the status is that of this proxy.
    pub(crate) async fn lets_nobody_in_without_gateward(mut self, status: StatusCode) {
        let token = self.token("mcp:read").await;
        self.server.kill();
        assert_eq!(send(self.request(Method::GET, "/mcp").bearer_auth(token)).await.status, status);
        assert_eq!(self.upstream.count(), 0);
    }
}

pub(crate) async fn send(request: reqwest::RequestBuilder) -> Answer {
    Answer::of(request.send().await.unwrap()).await.unwrap()
}

/// What the server behind saw.
fn seen(answer: &Answer) -> Value {
    answer.json(200)
}

/// The headers of a name that the server behind saw.
fn header(seen: &Value, name: &str) -> Vec<String> {
    let wanted = format!("{name}: ");
    let lines = seen["headers"].as_array().unwrap().iter().filter_map(Value::as_str);
    lines.filter_map(|line| line.strip_prefix(&wanted)).map(str::to_owned).collect()
}
