//! An authorization server that does as it is told, and counts who asks it what.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use gateward::{
    resource::{ClientCredentials, ProtectedResource},
    testing::clock::ManualClock,
};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    RESOURCE,
    guarded::Guarded,
    hosted::{Hosted, listen},
    mint::Key,
};

pub(crate) const DISCOVERY: &str = "/.well-known/oauth-authorization-server";
pub(crate) const JWKS: &str = "/jwks";
pub(crate) const INTROSPECTION: &str = "/introspect";

/// What it answers at a path.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(body: &Value) -> Self {
        Self { status: 200, location: None, body: body.to_string() }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self { status, location: None, body: "{}".to_owned() }
    }
}

/// A question that somebody asked it.
#[derive(Clone)]
pub(crate) struct Question {
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

struct Inner {
    replies: Mutex<HashMap<String, Reply>>,
    questions: Mutex<HashMap<String, Vec<Question>>>,
    /// Paths where it never answers.
    silent: Mutex<HashSet<String>>,
    /// Counts every question that has arrived.
    arrived: watch::Sender<usize>,
    /// Whether answers go out.
    open: watch::Sender<bool>,
}

/// The server and its clock.
pub(crate) struct Impostor {
    inner: Arc<Inner>,
    pub(crate) issuer: String,
    pub(crate) clock: Arc<ManualClock>,
    hosted: Hosted,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(State(inner): State<Arc<Inner>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    // What it knows when it is asked, not when it answers.
    let reply = held(&inner.replies).get(&path).cloned().unwrap_or_else(|| Reply::status(404));
    let question = Question { headers, body: String::from_utf8_lossy(&body).into_owned() };
    let is_silent = held(&inner.silent).contains(&path);
    held(&inner.questions).entry(path).or_default().push(question);
    inner.arrived.send_modify(|arrived| *arrived += 1);
    if is_silent {
        std::future::pending::<()>().await;
    }
    let mut open = inner.open.subscribe();
    open.wait_for(|open| *open).await.expect("the server lives");
    let mut response = Response::builder().status(reply.status).header("content-type", "application/json");
    if let Some(location) = reply.location {
        response = response.header("location", location);
    }
    response.body(Body::from(reply.body)).expect("an answer")
}

impl Impostor {
    /// One that publishes these keys.
    pub(crate) fn start(keys: &[&Key]) -> Self {
        let listener = listen();
        let issuer = format!("http://{}", listener.local_addr().expect("an address"));
        let inner = Arc::new(Inner {
            replies: Mutex::default(),
            questions: Mutex::default(),
            silent: Mutex::default(),
            arrived: watch::channel(0).0,
            open: watch::channel(true).0,
        });
        let router = Router::new().fallback(answer).with_state(inner.clone());
        let hosted = Hosted::start(listener, |listener| async move {
            axum::serve(listener, router).await.expect("the server serves");
        });
        let impostor = Self { inner, issuer, clock: Arc::default(), hosted };
        impostor.say(DISCOVERY, &impostor.metadata());
        impostor.publish(keys);
        impostor
    }

    pub(crate) fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer);
        json!({ "issuer": self.issuer, "jwks_uri": at(JWKS), "introspection_endpoint": at(INTROSPECTION) })
    }

    pub(crate) fn publish(&self, keys: &[&Key]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        self.say(JWKS, &json!({ "keys": keys }));
    }

    pub(crate) fn say(&self, path: &str, body: &Value) {
        self.reply(path, Reply::json(body));
    }

    pub(crate) fn reply(&self, path: &str, reply: Reply) {
        held(&self.inner.replies).insert(path.to_owned(), reply);
    }

    /// Never answers at a path any more.
    pub(crate) fn fall_silent(&self, path: &str) {
        held(&self.inner.silent).insert(path.to_owned());
    }

    pub(crate) fn stop(&mut self) {
        self.hosted.stop();
    }

    /// Answers wait from now on.
    pub(crate) fn hold(&self) {
        self.inner.open.send_replace(false);
    }

    /// They go out.
    pub(crate) fn release(&self) {
        self.inner.open.send_replace(true);
    }

    pub(crate) fn questions(&self, path: &str) -> Vec<Question> {
        held(&self.inner.questions).get(path).cloned().unwrap_or_default()
    }

    /// How often it was asked at a path.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.questions(path).len()
    }

    /// How often it was asked anything.
    pub(crate) fn asked_at_all(&self) -> usize {
        *self.inner.arrived.borrow()
    }

    /// Waits until it has been asked so often at a path.
    pub(crate) async fn wait_for(&self, path: &str, times: usize) {
        let mut arrived = self.inner.arrived.subscribe();
        arrived.wait_for(|_| self.asked(path) >= times).await.expect("the server lives");
    }

    /// The claims of an honest token.
    pub(crate) fn claims(&self) -> Value {
        let now = ManualClock::START.unix();
        json!({
            "iss": self.issuer, "sub": "ada", "aud": RESOURCE, "client_id": "notebook", "scope": "mcp:read",
            "iat": now, "nbf": now, "exp": now + 3600, "jti": "1", "grant_id": "g",
        })
    }

    /// What introspection says about an honest token.
    pub(crate) fn active(&self) -> Value {
        let mut answer = self.claims();
        answer["active"] = true.into();
        answer["token_type"] = "Bearer".into();
        answer
    }

    pub(crate) fn resource(&self) -> ProtectedResource {
        ProtectedResource::new(RESOURCE, &self.issuer).clock(self.clock.clone())
    }

    /// Everything needs `mcp:read`, verified offline.
    pub(crate) fn guarded(&self) -> Guarded {
        Guarded::new(self.resource().scope("mcp:read"))
    }

    pub(crate) fn credentials() -> ClientCredentials {
        ClientCredentials::new("guard:1", "se cret")
    }

    /// Everything needs `mcp:read`, verified by introspection.
    pub(crate) fn asking(&self) -> Guarded {
        Guarded::new(self.resource().scope("mcp:read").introspection(Self::credentials()))
    }
}
