//! `config/nginx.example.conf` as it is, but for where everybody is.

use axum::{
    Router,
    http::{Method, StatusCode},
};
use tokio::net::TcpListener;

use crate::{
    asking::{Asking, Places, send},
    support::{engine::nginx::Nginx, own_address},
    upstream::Upstream,
};

const EXAMPLE: &str = include_str!("../../config/nginx.example.conf");

async fn nginx(places: &Places) -> Nginx {
    let front = [("listen 8080", format!("listen {}", places.front)), ("mcp.example.com", places.front.to_string())];
    Nginx::start(places.front, &places.put_into(EXAMPLE, &front)).await
}

#[tokio::test]
async fn nginx_turns_away_whoever_has_no_token_with_one_challenge() {
    Asking::start(nginx).await.turns_away_whoever_has_no_token().await;
}

#[tokio::test]
async fn nginx_tells_the_server_behind_who_sends_a_request_and_not_by_which_token() {
    Asking::start(nginx).await.tells_the_server_behind_who_sends_a_request().await;
}

#[tokio::test]
async fn nginx_asks_whoever_may_too_little_for_more() {
    Asking::start(nginx).await.asks_whoever_may_too_little_for_more().await;
}

#[tokio::test]
async fn nginx_replaces_what_a_client_says_about_itself() {
    Asking::start(nginx).await.replaces_what_a_client_says_about_itself().await;
}

#[tokio::test]
async fn nginx_lets_gateward_judge_what_is_really_asked_for() {
    Asking::start(nginx).await.judges_what_is_really_asked_for().await;
}

#[tokio::test]
async fn nginx_passes_events_on_one_by_one() {
    Asking::start(nginx).await.passes_events_on_one_by_one().await;
}

#[tokio::test]
async fn nginx_says_where_tokens_come_from() {
    Asking::start(nginx).await.says_where_tokens_come_from().await;
}

#[tokio::test]
async fn nginx_lets_nobody_in_without_gateward() {
    Asking::start(nginx).await.lets_nobody_in_without_gateward(StatusCode::SERVICE_UNAVAILABLE).await;
}

#[tokio::test]
async fn nginx_has_nothing_to_complain_about() {
    let asking = Asking::start(nginx).await;
    let token = asking.token("mcp:read").await;
    assert_eq!(send(asking.request(Method::GET, "/mcp").bearer_auth(token)).await.status, StatusCode::OK);
    let log = asking.proxy.log();
    assert!(!log.contains("[warn]") && !log.contains("[error]") && !log.contains("[emerg]"), "{log}");
}

/// nginx in front of somebody who gives gateward's other answers, which need a store that is down.
#[tokio::test]
async fn nginx_passes_on_what_gateward_says_when_it_cannot_tell() {
    let listener = TcpListener::bind(own_address()).await.unwrap();
    let upstream = Upstream::start().await;
    let places =
        Places { front: own_address(), gateward: listener.local_addr().unwrap(), upstream: upstream.address() };
    let judge = Router::new().fallback(async || (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "2")]));
    tokio::spawn(async move { axum::serve(listener, judge).await.unwrap() });
    let _nginx = nginx(&places).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = send(http.get(format!("http://{}/mcp", places.front)).bearer_auth("x")).await;
    assert_eq!(
        (answer.status, &answer.headers["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"2".parse().unwrap())
    );
    assert!(!answer.headers.contains_key("www-authenticate"));
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn nginx_passes_on_what_is_wrong_with_a_request() {
    let listener = TcpListener::bind(own_address()).await.unwrap();
    let upstream = Upstream::start().await;
    let places =
        Places { front: own_address(), gateward: listener.local_addr().unwrap(), upstream: upstream.address() };
    let judge = Router::new()
        .fallback(async || (StatusCode::BAD_REQUEST, [("www-authenticate", "Bearer error=\"invalid_request\"")]));
    tokio::spawn(async move { axum::serve(listener, judge).await.unwrap() });
    let _nginx = nginx(&places).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = send(http.get(format!("http://{}/mcp", places.front)).bearer_auth("x")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.headers["www-authenticate"], "Bearer error=\"invalid_request\"");
    assert_eq!(upstream.count(), 0);
}
