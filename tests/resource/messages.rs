//! Rules about MCP messages: what a message calls is what its sender needs, however it is written.

use std::time::Duration;

use axum::body::Body;
use gateward::{resource::ProtectedResource, testing::server::Answer};

use crate::{
    RESOURCE,
    authority::{Authority, with_token},
    guarded::{Guarded, assert_bad_request, assert_passed, broken_body, silent_body},
    time::StandingTime,
};

/// Everything needs `mcp:read`, which the token has, and launching needs `mcp:execute`, which it has not.
struct Setting {
    _authority: Authority,
    guarded: Guarded,
    token: String,
}

async fn setting_with(change: impl FnOnce(ProtectedResource) -> ProtectedResource) -> Setting {
    let (authority, _, token) = with_token().await;
    let resource = authority.resource(RESOURCE).scope("mcp:read").tool("launch-*", "mcp:execute");
    let resource = resource.mcp("resources/read", "file:///secret/*", "mcp:execute");
    let resource = resource.mcp("tasks/cancel", "mine-*", "mcp:execute").mcp("logging/*", "*", "mcp:execute");
    let guarded = Guarded::new(change(resource));
    Setting { _authority: authority, guarded, token }
}

async fn setting() -> Setting {
    setting_with(|resource| resource).await
}

const LAUNCH: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"launch-x"}}"#;
const WHOAMI: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami"}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

impl Setting {
    async fn post(&self, body: impl Into<Body>) -> Answer {
        self.guarded.post(&self.token, body).await
    }

    async fn post_with(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        let call = self.guarded.call("POST", "/mcp").bearer(&self.token).body(body.to_owned());
        headers.iter().fold(call, |call, (name, value)| call.header(name, value)).send().await
    }
}

#[tokio::test]
async fn a_message_needs_what_its_rule_says_and_arrives_whole() {
    let setting = setting().await;
    let answer = setting.post(WHOAMI).await;
    assert_passed(&answer);
    assert_eq!(answer.json()["body"], WHOAMI);
    assert_eq!(setting.post(LAUNCH).await.status, 403);
    let read = r#"{"method":"resources/read","params":{"uri":"file:///secret/x","name":"y"}}"#;
    assert_eq!(setting.post(read).await.status, 403);
    assert_eq!(setting.post(r#"{"method":"logging/setLevel","params":{}}"#).await.status, 403);
}

#[tokio::test]
async fn escapes_do_not_hide_a_call() {
    let setting = setting().await;
    for body in [
        r#"{"method":"tools\/call","params":{"name":"launch-x"}}"#,
        r#"{"m\u0065thod":"tools/call","params":{"n\u0061me":"l\u0061unch-x"}}"#,
        "\n\t {\"params\":{\"name\":\"launch-x\"},\"method\":\"tools/call\"} \n",
        r#"{"method":"tools/call","params":{"arguments":{"name":"whoami"},"name":"launch-x"}}"#,
    ] {
        assert_eq!(setting.post(body).await.status, 403, "{body}");
    }
}

#[tokio::test]
async fn a_batch_hides_no_call() {
    let setting = setting().await;
    assert_eq!(setting.post(format!("[{LIST},{WHOAMI},{LAUNCH}]")).await.status, 403);
    assert_eq!(setting.post(format!(r#"[{{"result":{{}}}},{LAUNCH}]"#)).await.status, 403);
    assert_passed(&setting.post(format!("[{LIST},{WHOAMI}]")).await);
    assert_bad_request(&setting.post("[]").await);
    assert_bad_request(&setting.post(format!("[[{LAUNCH}]]")).await);
}

#[tokio::test]
async fn a_message_that_could_be_read_in_two_ways_is_refused_as_mcp_clients_understand_it() {
    let setting = setting().await;
    for body in [
        r#"{"method":"tools/call","params":{"name":"whoami","name":"launch-x"}}"#,
        r#"{"method":"tools/call","params":{"name":"launch-x","name":"whoami"}}"#,
        r#"{"method":"tools/list","METHOD":"tools/call","params":{"name":"launch-x"}}"#,
        r#"{"method":"tools/call","params":{"name":"whoami"},"Params":{"name":"launch-x"}}"#,
        &format!("{LIST}{LAUNCH}"),
        &format!("{LIST}\n{LAUNCH}"),
        "method=tools/call",
        "{\"method\":\"tools/call\",\"params\":{\"name\":\"launch-x\"}",
        "\u{feff}{}",
        "null",
    ] {
        let answer = setting.post(body.to_owned()).await;
        assert_bad_request(&answer);
        assert_eq!(answer.json()["error"]["code"], -32020, "{body}");
        assert_eq!(answer.header("www-authenticate"), None);
    }
    assert_eq!(setting.guarded.reached(), 0);
}

#[tokio::test]
async fn headers_that_contradict_the_body_are_refused() {
    let setting = setting().await;
    for headers in [
        &[("mcp-method", "tools/list")][..],
        &[("mcp-method", "tools/call"), ("mcp-name", "other")],
        &[("mcp-name", "other")],
        &[("mcp-method", "tools/call"), ("mcp-name", "Whoami")],
        &[("mcp-method", "tools/call"), ("mcp-name", "=?base64?b3RoZXI=?=")],
        &[("mcp-method", "tools/call"), ("mcp-name", "=?base64?!?=")],
        &[("mcp-method", "tools/call"), ("mcp-name", "whoami"), ("mcp-name", "whoami")],
        &[("mcp-method", "tools/call"), ("mcp-method", "tools/call")],
        &[("mcp-method", "")],
    ] {
        assert_bad_request(&setting.post_with(headers, WHOAMI).await);
    }
    assert_eq!(setting.guarded.reached(), 0);
}

#[tokio::test]
async fn headers_that_say_the_same_are_no_trouble() {
    let setting = setting().await;
    assert_passed(&setting.post_with(&[("mcp-method", "tools/call"), ("mcp-name", "whoami")], WHOAMI).await);
    let encoded = [("mcp-method", "tools/call"), ("mcp-name", "=?base64?d2hvYW1p?=")];
    assert_passed(&setting.post_with(&encoded, WHOAMI).await);
    assert_passed(&setting.post_with(&[("mcp-method", "tools/list")], LIST).await);
}

#[tokio::test]
async fn a_compressed_message_is_not_let_through_unread() {
    let setting = setting().await;
    for encoding in ["gzip", "br", "identity, gzip", "x", ""] {
        let answer = setting.post_with(&[("content-encoding", encoding)], LIST).await;
        assert_eq!(answer.status, 415, "{encoding}");
    }
    assert_passed(&setting.post_with(&[("content-encoding", "identity")], LIST).await);
}

#[tokio::test]
async fn what_has_no_message_needs_no_reading() {
    let setting = setting().await;
    assert_passed(&setting.guarded.get(&setting.token).await);
    assert_passed(&setting.guarded.call("DELETE", "/mcp").bearer(&setting.token).send().await);
}

#[tokio::test]
async fn a_message_with_a_get_is_read_all_the_same() {
    let setting = setting().await;
    let answer = setting.guarded.call("GET", "/mcp").bearer(&setting.token).body(LAUNCH).send().await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn a_message_over_the_limit_is_413() {
    let setting = setting_with(|resource| resource.message_limit(LAUNCH.len())).await;
    assert_eq!(setting.post(LAUNCH).await.status, 403, "as long as the limit");
    let answer = setting.post(format!("{LAUNCH} ")).await;
    assert_eq!(answer.status, 413);
    assert_eq!(setting.guarded.reached(), 0);
}

#[tokio::test]
async fn a_message_that_does_not_arrive_is_408() {
    let setting = setting().await;
    assert_passed(&setting.guarded.get(&setting.token).await);
    let time = StandingTime::begin();
    let (body, polled) = silent_body();
    let call = setting.guarded.call("POST", "/mcp").bearer(&setting.token).body(body);
    let answering = tokio::spawn(call.send());
    while polled.load(std::sync::atomic::Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    time.advance(Duration::from_secs(9)).await;
    time.settle().await;
    assert!(!answering.is_finished());
    time.advance(Duration::from_secs(2)).await;
    assert_eq!(answering.await.expect("an answer").status, 408);
    assert_eq!(setting.guarded.reached(), 1, "only the first request");
}

#[tokio::test]
async fn a_message_that_breaks_off_is_408() {
    let setting = setting().await;
    assert_eq!(setting.post(broken_body()).await.status, 408);
    assert_eq!(setting.guarded.reached(), 0);
}

#[tokio::test]
async fn the_message_of_a_stranger_is_not_read() {
    let setting = setting().await;
    for token in ["", "Bearer x", "Bearer a.b.c", "Basic YTpi"] {
        let (body, polled) = silent_body();
        let mut call = setting.guarded.call("POST", "/mcp").body(body);
        if !token.is_empty() {
            call = call.header("authorization", token);
        }
        assert_eq!(call.send().await.status, 401);
        assert_eq!(polled.load(std::sync::atomic::Ordering::SeqCst), 0, "{token}");
    }
}

#[tokio::test]
async fn without_rules_about_messages_none_is_read() {
    let (authority, _, token) = with_token().await;
    let guarded = authority.guarded();
    let answer = guarded.post(&token, "not JSON").await;
    assert_passed(&answer);
    assert_eq!(answer.json()["body"], "not JSON");
}

const NEW: (&str, &str) = ("mcp-protocol-version", "2026-07-28");

#[tokio::test]
async fn trusted_headers_are_believed_since_2026_07_28_and_the_body_is_left_alone() {
    let setting = setting_with(ProtectedResource::trust_mcp_headers).await;
    let list = [NEW, ("mcp-method", "tools/list")];
    assert_passed(&setting.post_with(&list, "not JSON").await);
    let launch = [NEW, ("mcp-method", "tools/call"), ("mcp-name", "=?base64?bGF1bmNoLXg=?=")];
    assert_eq!(setting.post_with(&launch, WHOAMI).await.status, 403);
}

#[tokio::test]
async fn trusted_headers_of_other_versions_are_compared_with_the_body() {
    let setting = setting_with(ProtectedResource::trust_mcp_headers).await;
    let list = ("mcp-method", "tools/list");
    for version in ["2025-11-25", "2026-07-27", "", "9999", "latest", "2026-07-28 ", "2026-07-28, 2025-06-18"] {
        let answer = setting.post_with(&[("mcp-protocol-version", version), list], LAUNCH).await;
        assert_bad_request(&answer);
    }
    assert_bad_request(&setting.post_with(&[list], LAUNCH).await);
    assert_eq!(setting.post_with(&[], LAUNCH).await.status, 403);
    assert_bad_request(&setting.post_with(&[NEW, NEW, list], LAUNCH).await);
    assert_bad_request(&setting.post_with(&[NEW, ("mcp-protocol-version", "2025-06-18"), list], LAUNCH).await);
    assert_eq!(setting.guarded.reached(), 0);
}

#[tokio::test]
async fn trusted_headers_that_say_too_little_are_not_enough() {
    let setting = setting_with(ProtectedResource::trust_mcp_headers).await;
    // Nothing about the method: the body is read.
    assert_eq!(setting.post_with(&[NEW], LAUNCH).await.status, 403);
    // A tool without a name.
    assert_bad_request(&setting.post_with(&[NEW, ("mcp-method", "tools/call")], LAUNCH).await);
    let twice = [NEW, ("mcp-method", "tools/list"), ("mcp-method", "tools/call")];
    assert_bad_request(&setting.post_with(&twice, LAUNCH).await);
    assert_eq!(setting.guarded.reached(), 0);
}

#[tokio::test]
async fn a_trusted_name_that_is_almost_encoded_is_refused() {
    let setting = setting_with(ProtectedResource::trust_mcp_headers).await;
    // To a server that knows encoded words in any case, or forgives what is wrong with them, these are `launch-x`.
    for name in
        ["=?BASE64?bGF1bmNoLXg=?=", "=?Base64?bGF1bmNoLXg=?=", "=?base64?bGF1bmNoLXg?=", "=?base64?bGF1bmNoLXh=?="]
    {
        let call = [NEW, ("mcp-method", "tools/call"), ("mcp-name", name)];
        assert_bad_request(&setting.post_with(&call, LAUNCH).await);
    }
    assert_eq!(setting.guarded.reached(), 0);
}

/// An extension: a server behind need not compare what headers say about tasks.
#[tokio::test]
async fn trusted_headers_about_tasks_are_compared_with_the_body() {
    let setting = setting_with(ProtectedResource::trust_mcp_headers).await;
    let cancel = r#"{"method":"tasks/cancel","params":{"taskId":"mine-1"}}"#;
    let method = ("mcp-method", "tasks/cancel");
    assert_eq!(setting.post_with(&[NEW, method], cancel).await.status, 403);
    assert_bad_request(&setting.post_with(&[NEW, method, ("mcp-name", "other")], cancel).await);
}
