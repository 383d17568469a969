//! What all clients of one run share: whom they speak to, what was handed out to anybody, and how far they are.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::Mutex,
};

use tokio::sync::watch;

use super::heard::Refusal;
use crate::support::{
    DEADLINE,
    fleet::Fleet,
    oauth::{Identity, Wire},
};

/// A resource whose access tokens are opaque, so that each one is a row in the store; no other resource has this in its name.
pub(super) const NOTES: &str = "https://notes.example/mcp";

#[derive(Debug)]
pub(super) struct Desk {
    /// To the load balancer, for tokens that are JWTs.
    wire: Wire,
    pub(super) password: String,
    pub(super) resource_server: Identity,
    /// For client credentials.
    pub(super) worker: Identity,
    handed_out: Mutex<HashSet<String>>,
    counts: Mutex<BTreeMap<String, u64>>,
    progress: watch::Sender<Progress>,
}

/// How far the load is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    pub(super) completed: u64,
    pub(super) refused: u64,
    /// There is nothing more to do.
    pub(super) over: bool,
}

impl Desk {
    pub(super) fn new(fleet: &Fleet) -> Self {
        let first = fleet.instance(0);
        let resource = first.resource();
        let introspect = ["--name", "resource server", "--introspect", "--resource", &resource, "--resource", NOTES];
        Self {
            wire: Wire::to(first),
            password: fleet.password().to_owned(),
            resource_server: first.create_client(&introspect),
            worker: first.create_client(&["--name", "w", "--grant", "client_credentials", "--scope", "mcp:execute"]),
            handed_out: Mutex::default(),
            counts: Mutex::default(),
            progress: watch::Sender::default(),
        }
    }

    /// To the load balancer; tokens are for one of the resources.
    pub(super) fn wire(&self, opaque: bool) -> Wire {
        if opaque { Wire { resource: NOTES.to_owned(), ..self.wire.clone() } } else { self.wire.clone() }
    }

    /// Notes that a token was handed out, to one client and once.
    pub(super) fn new_token(&self, token: String) -> String {
        assert!(self.handed_out.lock().unwrap().insert(token.clone()), "{token} was handed out before");
        token
    }

    /// For the report only.
    pub(super) fn count(&self, what: &str) {
        *self.counts.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }

    pub(super) fn complete(&self, what: &str) {
        self.count(what);
        self.progress.send_modify(|progress| progress.completed += 1);
    }

    pub(super) fn refuse(&self, why: Refusal) {
        self.count(&format!("refused: {why:?}"));
        self.progress.send_modify(|progress| progress.refused += 1);
    }

    pub(super) fn end(&self) {
        self.progress.send_modify(|progress| progress.over = true);
    }

    pub(super) fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Waits until so many more operations were completed.
    pub(super) async fn completes(&self, more: u64) {
        let wanted = self.progress().completed + more;
        self.until("operations are completed", |progress| progress.completed >= wanted).await;
    }

    /// Waits until so many more requests were refused.
    pub(super) async fn refuses(&self, more: u64) {
        let wanted = self.progress().refused + more;
        self.until("requests are refused", |progress| progress.refused >= wanted).await;
    }

    async fn until(&self, reason: &str, condition: impl Fn(&Progress) -> bool) {
        let mut progress = self.progress.subscribe();
        let in_time = tokio::time::timeout(DEADLINE, progress.wait_for(condition)).await;
        assert!(in_time.is_ok(), "waited in vain: {reason}: {:?}\n{self}", self.progress());
    }
}

/// The report.
impl fmt::Display for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &*self.counts.lock().unwrap() {
            writeln!(f, "{count:7}  {what}")?;
        }
        Ok(())
    }
}
