//! What holds for every endpoint: paths, methods, media types, limits, CORS, logs.

use std::{io, time::Duration};

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use gateward::{
    domain::client::AuthenticationMethod,
    http::ROUTES,
    service::administer_clients::ClientSpec,
    testing::server::{
        Answer, OPAQUE_RESOURCE, PASSWORD, Parameters, RESOURCE, STATE, TestClient, TestServer, VERIFIER, machine,
        public_client, resource_server,
    },
};
use serde_json::json;

use super::{faults::Faults, log::Log, *};

const METHODS: [Method; 7] =
    [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD, Method::OPTIONS];
const TOKEN_STYLE: [&str; 3] = ["/oauth/token", "/oauth/revoke", "/oauth/introspect"];
/// Where a form of a human goes.
const HUMAN: [&str; 4] = ["/oauth/authorize", "/oauth/login", "/oauth/consent", "/oauth/logout"];
const OPEN_TO_SCRIPTS: [(&str, &str); 7] = [
    ("/.well-known/oauth-authorization-server", "GET"),
    ("/.well-known/openid-configuration", "GET"),
    ("/.well-known/jwks.json", "GET"),
    ("/oauth/token", "POST"),
    ("/oauth/register", "POST"),
    ("/oauth/register/x", "PUT"),
    ("/oauth/revoke", "POST"),
];

async fn started() -> TestServer {
    TestServer::builder().start().await
}

#[tokio::test]
async fn an_unknown_well_known_path_is_a_json_404() {
    let server = started().await;
    for path in [
        "/.well-known/",
        "/.well-known/nothing",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-authorization-server/",
        "/.well-known/oauth-authorization-server/tenant",
        "/.well-known/openid-configuration/",
        "/.well-known/%ff",
        "/mcp/.well-known/openid-configuration",
    ] {
        for accept in ["*/*", "text/html,application/xhtml+xml"] {
            let answer = server.call(Method::GET, path).header("accept", accept).send().await;
            assert_error(&answer, StatusCode::NOT_FOUND, "not_found");
            assert_eq!(answer.header("location"), None);
        }
    }
}

#[tokio::test]
async fn another_unknown_path_is_json_for_programs_and_a_page_for_humans() {
    let server = started().await;
    for path in ["/", "/oauth", "/oauth/token/", "/OAUTH/TOKEN", "/oauth//token", "/oauth/register/a/b"] {
        assert_error(&server.get(path).await, StatusCode::NOT_FOUND, "not_found");
        let page = server.call(Method::GET, path).header("accept", "text/html").send().await;
        assert_page(&page, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_wrong_method_is_a_json_405_with_allow() {
    let server = started().await;
    for route in ROUTES {
        let path = route.path.replace("{client_id}", "x");
        for method in METHODS {
            let served =
                route.methods.contains(&method.as_str()) || (method == Method::HEAD && route.methods.contains(&"GET"));
            if served || (method == Method::OPTIONS && OPEN_TO_SCRIPTS.iter().any(|(open, _)| *open == path)) {
                continue;
            }
            let answer = server.call(method.clone(), &path).send().await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            let allow = answer.header("allow").unwrap_or_else(|| panic!("no Allow: {method} {path}"));
            let allowed: Vec<_> = allow.split(',').map(str::trim).filter(|name| *name != "HEAD").collect();
            assert_eq!(allowed, route.methods, "{method} {path}");
            if method != Method::HEAD {
                assert_error(&answer, StatusCode::METHOD_NOT_ALLOWED, "invalid_request");
            }
        }
    }
}

#[tokio::test]
async fn a_token_style_request_is_a_form() {
    let server = started().await;
    let worker = server.create_client("worker", machine()).await;
    for path in TOKEN_STYLE {
        for media_type in ["application/json", "multipart/form-data; boundary=x", "text/plain", ""] {
            let call = server.call(Method::POST, path).basic(&worker.id, worker.secret());
            let call = call.header("content-type", media_type).body("grant_type=client_credentials&token=x");
            assert_bad_request(&call.send().await, "invalid_request");
        }
        let none = server.call(Method::POST, path).body("token=x").send().await;
        assert_bad_request(&none, "invalid_request");
    }
}

#[tokio::test]
async fn the_media_type_may_state_a_charset_in_any_case() {
    let server = started().await;
    let worker = server.create_client("worker", machine()).await;
    let call = server.call(Method::POST, "/oauth/token").basic(&worker.id, worker.secret());
    let call = call.header("content-type", "Application/X-WWW-Form-Urlencoded ; charset=UTF-8");
    assert_ok(&call.body("grant_type=client_credentials").send().await);
}

#[tokio::test]
async fn two_media_types_are_none() {
    let server = started().await;
    let call = server.call(Method::POST, "/oauth/token").header("content-type", "text/plain").form([("a", "b")]);
    assert_bad_request(&call.send().await, "invalid_request");
}

#[tokio::test]
async fn a_repeated_parameter_is_refused_known_or_not() {
    let server = started().await;
    let worker = server.create_client("worker", machine()).await;
    for path in TOKEN_STYLE {
        for name in ["grant_type", "token", "scope", "x", "client_id"] {
            let form = Parameters::from([("grant_type", "client_credentials"), ("token", "x")]);
            let form = form.without(name).add(name, "worker").add(name, "worker");
            assert_bad_request(&server.post_as(&worker, path, form).await, "invalid_request");
        }
    }
}

#[tokio::test]
async fn a_resource_may_repeat_and_unknown_parameters_are_ignored() {
    let server = started().await;
    let worker = server.create_client("worker", machine()).await;
    let form = Parameters::from([("grant_type", "client_credentials"), ("audience", "x"), ("nonce", "y")]);
    let form = form.add("resource", RESOURCE).add("resource", RESOURCE);
    assert_ok(&server.token(&worker, form).await);
}

#[tokio::test]
async fn an_empty_value_counts_as_absent() {
    let server = started().await;
    let worker = server.create_client("worker", machine()).await;
    let form = [("grant_type", "client_credentials"), ("scope", ""), ("resource", ""), ("client_id", "")];
    assert_ok(&server.token(&worker, form).await);
}

#[tokio::test]
async fn a_malformed_form_is_refused() {
    let server = started().await;
    let worker = server.create_client("worker", machine()).await;
    for path in TOKEN_STYLE {
        for tail in ["&x=%", "&x=%2", "&x=%zz", "&x=%ff", "&%c3%28=1", "&x=%u0041"] {
            let call = server.call(Method::POST, path).basic(&worker.id, worker.secret());
            let call = call.raw_form(format!("grant_type=client_credentials&token=x{tail}"));
            assert_bad_request(&call.send().await, "invalid_request");
        }
        let call = server.call(Method::POST, path).basic(&worker.id, worker.secret());
        let call = call.raw_form(b"grant_type=client_credentials&token=x&x=\xff\xfe".to_vec());
        assert_bad_request(&call.send().await, "invalid_request");
    }
}

#[tokio::test]
async fn ten_thousand_parameters_are_refused() {
    let server = started().await;
    let worker = server.create_client("worker", machine()).await;
    let form: String = (0..10_000).map(|i| format!("&{i}=")).collect();
    for path in TOKEN_STYLE {
        let call = server.call(Method::POST, path).basic(&worker.id, worker.secret()).raw_form(form.clone());
        assert_bad_request(&call.send().await, "invalid_request");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_a_json_413() {
    let server = started().await;
    let worker = server.create_client("worker", machine()).await;
    for path in TOKEN_STYLE {
        let call = |size: usize| {
            let body = format!("grant_type=client_credentials&token=x&y={}", "z".repeat(size));
            let body = body[..size].to_owned();
            server.call(Method::POST, path).basic(&worker.id, worker.secret()).raw_form(body).send()
        };
        assert_error(&call(64 * 1024 + 1).await, StatusCode::PAYLOAD_TOO_LARGE, "invalid_request");
        assert_ok(&call(64 * 1024).await);
    }
    let body = format!("{{\"client_name\":\"{}\"}}", "x".repeat(64 * 1024));
    let call = server.call(Method::POST, "/oauth/register").header("content-type", "application/json").body(body);
    assert_error(&call.send().await, StatusCode::PAYLOAD_TOO_LARGE, "invalid_request");
}

#[tokio::test]
async fn a_form_of_a_human_over_the_limit_is_a_413() {
    let server = started().await;
    for path in HUMAN {
        let answer = server.call(Method::POST, path).raw_form("x".repeat(64 * 1024 + 1)).send().await;
        assert_page(&answer, StatusCode::PAYLOAD_TOO_LARGE);
    }
}

#[tokio::test]
async fn the_limit_is_the_operators() {
    let server = TestServer::builder().options(|options| options.body_limit = 10).start().await;
    let answer = server.call(Method::POST, "/oauth/token").raw_form("grant_type=x").send().await;
    assert_error(&answer, StatusCode::PAYLOAD_TOO_LARGE, "invalid_request");
}

pub(super) fn endless() -> Body {
    struct Endless;
    impl hyper::body::Body for Endless {
        type Data = axum::body::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }
    Body::new(Endless)
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_times_out() {
    let server = started().await;
    for path in TOKEN_STYLE {
        let started = tokio::time::Instant::now();
        let answer = server.call(Method::POST, path).raw_form(endless()).send().await;
        assert_error(&answer, StatusCode::REQUEST_TIMEOUT, "invalid_request");
        assert_eq!(started.elapsed().as_secs(), 10);
    }
    let call = server.call(Method::POST, "/oauth/register").header("content-type", "application/json");
    assert_error(&call.body(endless()).send().await, StatusCode::REQUEST_TIMEOUT, "invalid_request");
}

#[tokio::test(start_paused = true)]
async fn a_slow_form_of_a_human_times_out() {
    let server = started().await;
    for path in HUMAN {
        let answer = server.call(Method::POST, path).raw_form(endless()).send().await;
        assert_page(&answer, StatusCode::REQUEST_TIMEOUT);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    struct Broken;
    impl hyper::body::Body for Broken {
        type Data = axum::body::Bytes;
        type Error = io::Error;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
            std::task::Poll::Ready(Some(Err(io::Error::other("gone"))))
        }
    }
    let server = started().await;
    for path in TOKEN_STYLE {
        let answer = server.call(Method::POST, path).raw_form(Body::new(Broken)).send().await;
        assert_bad_request(&answer, "invalid_request");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stuck_request_is_given_up() {
    let faults = Faults::default();
    let server = TestServer::builder().stores(|stores| faults.wrap(stores)).start().await;
    let worker = server.create_client("worker", machine()).await;
    faults.get_stuck();
    let started = tokio::time::Instant::now();
    let answer = server.token(&worker, [("grant_type", "client_credentials")]).await;
    assert_unavailable(&answer);
    assert_eq!(started.elapsed(), Duration::from_secs(30));
}

fn assert_open(answer: &Answer, what: &str) {
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{what}");
    assert_eq!(answer.header("access-control-allow-credentials"), None, "{what}");
}

#[tokio::test]
async fn scripts_from_anywhere_may_preflight_with_any_header() {
    let server = started().await;
    for (path, method) in OPEN_TO_SCRIPTS {
        for headers in ["content-type", "authorization,dpop,mcp-protocol-version", "x-odd-_.~!#$%&'*+^`|", ""] {
            let call = server.call(Method::OPTIONS, path).header("origin", "https://inspector.example");
            let call = call.header("access-control-request-method", method);
            let call = call.header("access-control-request-headers", headers);
            let answer = call.send().await;
            assert!(answer.status.is_success(), "{path} {} {}", answer.status, answer.text());
            assert_open(&answer, path);
            let allowed = answer.header("access-control-allow-headers").unwrap_or_default();
            assert!(allowed == "*" || allowed.eq_ignore_ascii_case(headers), "{path}: {allowed}");
            let methods = answer.header("access-control-allow-methods").expect("methods");
            assert!(methods.split(',').any(|name| name == method), "{path}: {methods}");
        }
    }
}

#[tokio::test]
async fn scripts_from_anywhere_may_read_the_answers_and_their_challenges() {
    let server = started().await;
    for (path, method) in OPEN_TO_SCRIPTS {
        let method: Method = method.parse().expect("a method");
        let answer = server.call(method, path).header("origin", "https://inspector.example").send().await;
        assert_open(&answer, path);
        let exposed = answer.header("access-control-expose-headers").expect("exposed headers").to_lowercase();
        for name in ["www-authenticate", "dpop-nonce", "retry-after", "x-request-id"] {
            assert!(exposed.contains(name), "{path}: {exposed}");
        }
    }
}

#[tokio::test]
async fn scripts_may_read_refusals_as_well() {
    let builder = TestServer::builder().options(|options| {
        options.registration_burst = std::num::NonZeroU32::MIN;
        options.registration_period = Duration::from_secs(3600);
    });
    let server = builder.start().await;
    let call = || server.call(Method::POST, "/oauth/register").header("origin", "https://a.example").json(&json!({}));
    call().send().await;
    let limited = call().send().await;
    assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
    assert_open(&limited, "429");
    let call = server.call(Method::POST, "/oauth/token").header("origin", "https://a.example").form([("a", "b")]);
    assert_open(&call.send().await, "400");
}

#[tokio::test(start_paused = true)]
async fn scripts_may_read_that_a_request_was_given_up() {
    let faults = Faults::default();
    let server = TestServer::builder().stores(|stores| faults.wrap(stores)).start().await;
    faults.get_stuck();
    let call = server.call(Method::POST, "/oauth/token").header("origin", "https://a.example");
    let answer = call.form(Parameters::refresh("gw_rt_x").add("client_id", "app")).send().await;
    assert_unavailable(&answer);
    assert_open(&answer, "503");
}

#[tokio::test]
async fn the_pages_and_introspection_are_closed_to_scripts() {
    let server = started().await;
    for path in HUMAN.iter().chain(&["/oauth/introspect", "/oauth/signed-out", "/oauth/about"]) {
        for method in [Method::OPTIONS, Method::GET, Method::POST] {
            let call = server.call(method.clone(), path).header("origin", "https://evil.example");
            let answer = call.header("access-control-request-method", "POST").send().await;
            for (name, _) in &answer.headers {
                assert!(!name.as_str().starts_with("access-control-"), "{method} {path}: {name}");
            }
        }
    }
}

#[tokio::test]
async fn a_head_request_gets_no_body() {
    let server = started().await;
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/jwks.json", "/livez"] {
        let answer = server.call(Method::HEAD, path).send().await;
        assert_ok(&answer);
        assert!(answer.body.is_empty());
    }
}

/// A whole story at the finest level of the log: nothing that anybody could use is in it.
#[tokio::test]
async fn nothing_secret_is_logged() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.writer())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);

    let server = TestServer::start().await;
    let spec = ClientSpec { authentication: AuthenticationMethod::ClientSecretPost, ..public_client() };
    let client = server.create_client("app", spec).await;
    let rs = server.create_client("rs", resource_server(OPAQUE_RESOURCE)).await;
    let mut visitor = server.visitor();
    let query = Parameters::authorize(&client).add("resource", RESOURCE).add("resource", OPAQUE_RESOURCE);
    let login = visitor.authorize(&query).await;
    let first_cookie = visitor.cookie.clone().expect("a cookie");
    let wrong = visitor.log_in_as(&login, "ada", "a wrong password").await;
    let consent = visitor.log_in(&wrong).await;
    let cookie = visitor.cookie.clone().expect("a cookie");
    let code = visitor.decide(&consent, "approve").await.parameter("code").expect("a code");
    let jwt = server.redeem(&client, &code).await.json();
    let opaque =
        server.token(&client, Parameters::refresh(&text(&jwt, "refresh_token")).add("resource", OPAQUE_RESOURCE));
    let opaque = opaque.await.json();
    server.introspect(&rs, &text(&opaque, "access_token")).await;
    server.post_as(&client, "/oauth/revoke", [("token", text(&opaque, "access_token").as_str())]).await;
    // Refusals are logged too.
    server.redeem(&client, &code).await;
    let liar = TestClient { secret: Some("a guessed secret".to_owned()), ..client.clone() };
    server.refresh(&liar, &text(&opaque, "refresh_token")).await;
    let registered = server.register(&json!({ "redirect_uris": ["https://app.example/cb"] })).await;
    let management = registered.member("registration_access_token");
    let uri = format!("/oauth/register/{}", registered.member("client_id"));
    server.call(Method::GET, &uri).bearer(&management).send().await;
    server.call(Method::GET, &uri).bearer("a-guessed-token").send().await;
    drop(guard);

    let log = log.text();
    assert!(log.contains("request"), "the log was captured");
    let value = |cookie: &str| cookie.split_once('=').expect("name=value").1.to_owned();
    for (what, secret) in [
        ("code", code),
        ("access token", text(&jwt, "access_token")),
        ("refresh token", text(&jwt, "refresh_token")),
        ("opaque token", text(&opaque, "access_token")),
        ("successor", text(&opaque, "refresh_token")),
        ("client secret", client.secret().to_owned()),
        ("introspector's secret", rs.secret().to_owned()),
        ("guessed secret", "guessed secret".to_owned()),
        ("guessed token", "a-guessed-token".to_owned()),
        ("password", PASSWORD.to_owned()),
        ("wrong password", "a wrong password".to_owned()),
        ("verifier", VERIFIER.to_owned()),
        ("state", STATE.to_owned()),
        ("registration token", management),
        ("registered secret", registered.member("client_secret")),
        ("cookie", value(&cookie)),
        ("first cookie", value(&first_cookie)),
        ("sealed request", consent.sealed().to_owned()),
    ] {
        assert!(!log.contains(&secret), "the log holds the {what}");
    }
}
