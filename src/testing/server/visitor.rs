//! A human in front of a test server.
#![expect(clippy::panic, reason = "a human who cannot go on has failed the test")]

use axum::http::{
    Method, StatusCode,
    header::{COOKIE, SET_COOKIE},
};

use super::{Answer, Call, PASSWORD, Parameters, TestServer, USERNAME};
use crate::http::path;

/// A human with a browser: keeps the cookie, follows redirects within this server, and runs no script.
#[derive(Debug, Clone)]
pub struct Visitor {
    server: TestServer,
    /// `name=value`.
    pub cookie: Option<String>,
}

impl Visitor {
    pub(super) fn new(server: TestServer) -> Self {
        Self { server, cookie: None }
    }

    /// Starts a request with the cookie.
    pub fn call(&self, method: Method, uri: &str) -> Call {
        let call = self.server.call(method, uri);
        match &self.cookie {
            Some(cookie) => call.header(COOKIE.as_str(), cookie),
            None => call,
        }
    }

    /// Sends a request and keeps the cookie that comes back.
    pub async fn send(&mut self, call: Call) -> Answer {
        let answer = call.send().await;
        if let Some(set) = answer.header(SET_COOKIE.as_str()) {
            self.cookie = set.split(';').next().map(str::to_owned);
        }
        answer
    }

    /// Opens a page.
    pub async fn get(&mut self, uri: &str) -> Answer {
        self.send(self.call(Method::GET, uri)).await
    }

    /// Sends a form.
    pub async fn post(&mut self, uri: &str, form: impl Into<Parameters>) -> Answer {
        self.send(self.call(Method::POST, uri).form(form)).await
    }

    /// Follows the link to the authorization endpoint.
    pub async fn authorize(&mut self, query: &Parameters) -> Answer {
        let uri = format!("{}?{}", self.at(path::AUTHORIZE), query.encode());
        self.get(&uri).await
    }

    /// Fills in the login page, and goes on to the page after it.
    pub async fn log_in(&mut self, page: &Answer) -> Answer {
        let answer = self.log_in_as(page, USERNAME, PASSWORD).await;
        let next = answer.location().to_owned();
        self.get(&next).await
    }

    /// Fills in the login page.
    pub async fn log_in_as(&mut self, page: &Answer, username: &str, password: &str) -> Answer {
        let form = [("request", page.sealed()), ("username", username), ("password", password)];
        self.post(&self.at(path::LOGIN), form).await
    }

    /// Answers the consent page: `approve` or `deny`.
    pub async fn decide(&mut self, page: &Answer, decision: &str) -> Answer {
        self.post(&self.at(path::CONSENT), [("request", page.sealed()), ("decision", decision)]).await
    }

    /// From the link to the answer that goes back to the client: logs in and approves, where asked.
    pub async fn approve(&mut self, query: &Parameters) -> Answer {
        let mut answer = self.authorize(query).await;
        if answer.status == StatusCode::OK && answer.text().contains(r#"name="password""#) {
            answer = self.log_in(&answer).await;
        }
        if answer.status == StatusCode::OK { self.decide(&answer, "approve").await } else { answer }
    }

    /// The code that [`Visitor::approve`] leads to.
    pub async fn code(&mut self, query: &Parameters) -> String {
        let answer = self.approve(query).await;
        answer.parameter("code").unwrap_or_else(|| panic!("no code: {}", answer.location()))
    }

    fn at(&self, below: &str) -> String {
        format!("{}{below}", self.server.authority().issuer.path())
    }
}
