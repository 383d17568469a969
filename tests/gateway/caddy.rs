//! `config/Caddyfile.example` as it is, but for where everybody is.

use axum::http::StatusCode;

use crate::{
    asking::{Asking, Places},
    support::engine::caddy::Caddy,
};

const EXAMPLE: &str = include_str!("../../config/Caddyfile.example");

async fn caddy(places: &Places) -> Caddy {
    let site = format!("\nhttp://{} {{\n\tbind {}\n", places.front, places.front.ip());
    Caddy::start(&places.put_into(EXAMPLE, &[("\nmcp.example.com {\n", site)]))
}

#[tokio::test]
async fn caddy_turns_away_whoever_has_no_token_with_one_challenge() {
    Asking::start(caddy).await.turns_away_whoever_has_no_token().await;
}

#[tokio::test]
async fn caddy_tells_the_server_behind_who_sends_a_request_and_not_by_which_token() {
    Asking::start(caddy).await.tells_the_server_behind_who_sends_a_request().await;
}

#[tokio::test]
async fn caddy_asks_whoever_may_too_little_for_more() {
    Asking::start(caddy).await.asks_whoever_may_too_little_for_more().await;
}

#[tokio::test]
async fn caddy_replaces_what_a_client_says_about_itself() {
    Asking::start(caddy).await.replaces_what_a_client_says_about_itself().await;
}

#[tokio::test]
async fn caddy_lets_gateward_judge_what_is_really_asked_for() {
    Asking::start(caddy).await.judges_what_is_really_asked_for().await;
}

#[tokio::test]
async fn caddy_passes_events_on_one_by_one() {
    Asking::start(caddy).await.passes_events_on_one_by_one().await;
}

#[tokio::test]
async fn caddy_says_where_tokens_come_from() {
    Asking::start(caddy).await.says_where_tokens_come_from().await;
}

#[tokio::test]
async fn caddy_lets_nobody_in_without_gateward() {
    Asking::start(caddy).await.lets_nobody_in_without_gateward(StatusCode::BAD_GATEWAY).await;
}
