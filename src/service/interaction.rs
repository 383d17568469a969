//! An authorization request on its way through a human's browser: login, consent, and back to the client.
//!
//! The request travels sealed in a form field, so that a stranger's requests cost the server no memory. What makes the seal
//! good for exactly one human is the browser: it names the cookie that it was made for, which also makes it the CSRF token of
//! the forms (bound to the session and to this very request).

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Authority;
use crate::{
    domain::{
        assertion::{ReplayId, SingleUse},
        authorization::Authorization,
        client::Client,
        correlation::AttemptId,
        credential::{Credential, Digest, SessionToken},
        redirect::RedirectUri,
        resource::ResourceUri,
        scope::Scope,
        time::Timestamp,
    },
    port::crypto::Purpose,
    protocol::authorization::AuthorizationRequest,
};

/// What the browser's cookie holds; it names a session only after a login.
pub type BrowserToken = Credential<SessionToken>;

/// A request in front of a human.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Interaction {
    /// As it arrived; judged anew at every step, because clients and policy may change meanwhile.
    pub request: AuthorizationRequest,
    /// The cookie of the browser it is in.
    browser: Digest<SessionToken>,
    /// The attempt that it is a step of. Also makes an answer to it a single use.
    id: AttemptId,
    began_at: Timestamp,
    /// Whether the human has logged in in answer to this very request.
    pub fresh_login: bool,
    /// What the human was asked; an answer to anything else is no answer.
    asked: Asked,
}

/// The question that a page puts to the human.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Asked {
    /// Nothing yet.
    Nothing,
    /// Who they are.
    LogIn,
    /// Whether they agree: to this client as it was then, to the code going there, and to just this much.
    Consent { client_version: u64, redirect: RedirectUri, resources: Vec<ResourceUri>, scope: Scope },
}

impl Asked {
    fn consent(client: &Client, authorization: &Authorization) -> Self {
        Self::Consent {
            client_version: client.version,
            redirect: authorization.redirect.uri().clone(),
            resources: authorization.resources.clone(),
            scope: authorization.scope.clone(),
        }
    }
}

/// Why a form does not continue anything.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BrokenInteraction {
    /// Not sealed here, or tampered with.
    #[error("unreadable")]
    Unreadable,
    /// It is from another browser, or from before a login or sign-out in this one. It can be started again.
    #[error("from another browser or session")]
    OtherBrowser(Box<AuthorizationRequest>),
    /// The human took too long. It can be started again.
    #[error("expired")]
    Expired(Box<AuthorizationRequest>),
    /// The client changed what the human was shown. It can be started again.
    #[error("the client changed meanwhile")]
    Changed(Box<AuthorizationRequest>),
    /// It has been answered before. It can be started again.
    #[error("answered before")]
    Answered(Box<AuthorizationRequest>),
}

impl Interaction {
    /// The attempt that this is a step of.
    pub const fn attempt(&self) -> AttemptId {
        self.id
    }

    /// The human is asked to log in.
    pub(super) fn ask_to_log_in(self) -> Self {
        Self { asked: Asked::LogIn, ..self }
    }

    /// The human is asked for consent to what `authorization` says.
    pub(super) fn ask_consent(self, client: &Client, authorization: &Authorization) -> Self {
        Self { asked: Asked::consent(client, authorization), ..self }
    }

    /// Whether the human was asked to log in.
    pub(super) fn asked_to_log_in(&self) -> bool {
        self.asked == Asked::LogIn
    }

    /// Whether the human was asked to agree to just this.
    pub(super) fn asked_consent(
        &self,
        client: &Client,
        authorization: &Authorization,
    ) -> Result<(), BrokenInteraction> {
        match &self.asked {
            Asked::Consent { .. } if self.asked == Asked::consent(client, authorization) => Ok(()),
            Asked::Consent { .. } => Err(BrokenInteraction::Changed(Box::new(self.request.clone()))),
            Asked::Nothing | Asked::LogIn => Err(BrokenInteraction::Unreadable),
        }
    }

    pub(super) fn is_answered_by(&self, lifetime: Duration) -> SingleUse {
        SingleUse::accepted_until(self.began_at.plus(lifetime), ReplayId::of(&[b"consent", self.id.as_bytes()]))
    }
}

impl Authority {
    /// A name for an attempt that begins.
    pub fn new_attempt(&self) -> AttemptId {
        AttemptId::from_entropy(self.entropy.name())
    }

    /// Puts a request in front of the human of a browser.
    pub(super) fn interaction(
        id: AttemptId,
        request: AuthorizationRequest,
        browser: &BrowserToken,
        fresh_login: bool,
        now: Timestamp,
    ) -> Interaction {
        Interaction { request, browser: browser.digest(), id, began_at: now, fresh_login, asked: Asked::Nothing }
    }

    /// The text for the form field.
    pub fn seal_interaction(&self, interaction: &Interaction) -> String {
        let json = serde_json::to_vec(interaction).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(self.sealer.seal(Purpose::AuthorizationRequest, b"", &json))
    }

    /// Reads what a browser sends back.
    pub fn open_interaction(
        &self,
        text: &str,
        browser: Option<&BrowserToken>,
        now: Timestamp,
    ) -> Result<Interaction, BrokenInteraction> {
        let interaction = self.unseal(text).ok_or(BrokenInteraction::Unreadable)?;
        if !browser.is_some_and(|b| b.digest().matches(&interaction.browser)) {
            return Err(BrokenInteraction::OtherBrowser(Box::new(interaction.request)));
        }
        if interaction.began_at.plus(self.policy.lifetimes.interaction).is_over(now) {
            return Err(BrokenInteraction::Expired(Box::new(interaction.request)));
        }
        Ok(interaction)
    }

    /// The attempt that a text belongs to, whoever sends it and whenever; `None` if it was not sealed here.
    pub fn attempt_of(&self, text: &str) -> Option<AttemptId> {
        self.unseal(text).map(|interaction| interaction.id)
    }

    fn unseal(&self, text: &str) -> Option<Interaction> {
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let json = self.sealer.open(Purpose::AuthorizationRequest, b"", &sealed)?;
        serde_json::from_slice(&json).ok()
    }
}
