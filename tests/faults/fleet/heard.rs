//! What a client may hear while something fails: a closed list. Whatever is not on it ends the test.

use gateward::testing::browser::{BrowserError, Page, ScriptedBrowser, Step, callback_parameter};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::json;

use crate::support::{
    engine::haproxy::INSTANCE,
    oauth::{Answer, Identity, Pkce, Wire},
};

/// Why nobody said yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    /// The load balancer had nobody to ask: nothing has happened.
    NobodyAsked,
    /// The instance was gone before it had answered. What was asked for may have happened.
    InstanceLost,
    /// The instance says that it cannot reach its store. What was asked for may have happened.
    StoreFailed,
}

impl Refusal {
    pub(super) fn may_have_happened(self) -> bool {
        match self {
            Self::NobodyAsked => false,
            Self::InstanceLost | Self::StoreFailed => true,
        }
    }
}

pub(super) type Heard<T> = Result<T, Refusal>;

/// An answer that says something, or the reason why it does not.
pub(super) fn heard(answer: reqwest::Result<Answer>) -> Heard<Answer> {
    let Ok(answer) = answer else { return Err(Refusal::InstanceLost) };
    if let Some(refusal) = refusal(answer.status.as_u16(), &answer.headers, &answer.body) {
        if refusal == Refusal::StoreFailed {
            assert_eq!(answer.error(), "temporarily_unavailable", "{}", answer.body);
        }
        return Err(refusal);
    }
    Ok(answer)
}

fn refusal(status: u16, headers: &HeaderMap, body: &str) -> Option<Refusal> {
    match (status, headers.contains_key(INSTANCE)) {
        (503, false) => Some(Refusal::NobodyAsked),
        (502 | 504, false) => Some(Refusal::InstanceLost),
        (503, true) => {
            let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
            assert!(seconds.is_some_and(|seconds| (1..60).contains(&seconds)), "{headers:?}: {body}");
            Some(Refusal::StoreFailed)
        }
        (_, from_instance) => {
            assert!(from_instance && status < 500, "{status}: {body}");
            None
        }
    }
}

/// What introspection says of a token.
pub(super) async fn ask(wire: &Wire, who: &Identity, token: &str) -> Heard<bool> {
    let answer = heard(wire.try_post("/oauth/introspect", who, &[("token", token)]).await)?;
    let said = answer.json(200);
    if said["active"] != true {
        assert_eq!(said, json!({"active": false}), "RFC 7662 2.2: nothing more is said");
    }
    Ok(said["active"] == true)
}

/// Lets a human agree in a browser.
pub(super) async fn code(
    browser: &mut ScriptedBrowser,
    wire: &Wire,
    client: &Identity,
    password: &str,
) -> Heard<(String, Pkce)> {
    let pkce = Pkce::next();
    let url = wire.authorize_url(client, &pkce, "a state");
    match browser.authorize(&url, "admin", password).await {
        Ok(callback) => match callback_parameter(&callback, "code") {
            Some(code) => Ok((code, pkce)),
            None => {
                let error = callback_parameter(&callback, "error");
                assert_eq!(error.as_deref(), Some("temporarily_unavailable"), "{callback}");
                Err(Refusal::StoreFailed)
            }
        },
        Err(BrowserError::Http { .. }) => Err(Refusal::InstanceLost),
        Err(BrowserError::Unexpected { seen, .. }) => match *seen {
            Step::Page(page) => Err(page_that_refuses(&page)),
            Step::Client(callback) => panic!("{callback}"),
        },
        Err(error @ (BrowserError::NotAUrl(_) | BrowserError::RedirectLoop(_))) => panic!("{error}"),
    }
}

fn page_that_refuses(page: &Page) -> Refusal {
    let Some(refusal) = refusal(page.status.as_u16(), &page.headers, &page.body) else {
        panic!("{} at {}: {}", page.status, page.url, page.text())
    };
    if refusal == Refusal::StoreFailed {
        let known = ["The server cannot do this right now", "You cannot log in right now"].contains(&&*page.heading)
            || page.body.contains(r#""error":"temporarily_unavailable""#);
        assert!(known, "{}", page.text());
    }
    refusal
}
