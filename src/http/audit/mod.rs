//! What the audit trail hears at the door: which request, from where, and how it ended.
//!
//! ```text
//! let report = scene.report(&app, Action::TokenRefresh).by(client)     from here on there will be an entry
//! let issued = report.tell(authority.refresh(..).await)?               and this is what it says
//! ```
//!
//! What a use case came to is read from its result ([`told`]). A caller who hangs up in the middle is no way around the trail: a
//! [`Report`] that is dropped says that it was abandoned.

mod told;

use std::net::IpAddr;

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};

pub(super) use self::told::Told;
use self::told::authentication;
use super::{App, extract::Peer};
use crate::{
    domain::{
        audit::{Action, Event, Outcome, Reason},
        client::Client,
        correlation::{AttemptId, RequestId},
        identifier::ClientId,
        time::Timestamp,
    },
    service::{authenticate::AuthenticateError, interaction::Interaction},
};

/// The circumstances of a request: when it came, from where, and what it is called.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) now: Timestamp,
    pub(super) address: IpAddr,
    request: Option<RequestId>,
}

impl FromRequestParts<App> for Scene {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, StatusCode> {
        let Peer(address) = Peer::from_request_parts(parts, app).await?;
        let request = parts.extensions.get::<RequestId>().cloned();
        Ok(Self { now: app.0.clock.now(), address, request })
    }
}

impl Scene {
    fn at(&self, event: Event) -> Event {
        Event { address: Some(self.address), request: self.request.clone(), ..event }
    }

    /// Opens a report on what is about to happen.
    pub(super) fn report<'a>(&self, app: &'a App, action: Action) -> Report<'a> {
        Report { app, event: Some(self.at(Event::success(self.now, action))), claimed: None }
    }

    /// A client is not believed. Only refusals are told: what comes of a success is told anyway.
    pub(super) fn not_believed(&self, app: &App, claimed: &str, error: &AuthenticateError) {
        if let Some((reason, is_known)) = authentication(error) {
            // A name that nobody here was given is a text that a stranger wrote.
            self.client_refused(app, Some(claimed).filter(|_| is_known), reason);
        }
    }

    /// A client got its credentials wrong so often that nobody looks at them any more.
    pub(super) fn locked_out(&self, app: &App, client: &str) {
        self.client_refused(app, Some(client), Reason::TooManyAttempts);
    }

    fn client_refused(&self, app: &App, client: Option<&str>, reason: Reason) {
        let client = client.and_then(|id| ClientId::parse(id).ok());
        let event = Event::refused(self.now, Action::ClientAuthenticate, reason);
        app.authority().record(self.at(Event { client, ..event }));
    }
}

/// Something under way that will be in the trail, however it ends.
pub(super) struct Report<'a> {
    app: &'a App,
    event: Option<Event>,
    /// Who the request says it is about; believed only if the use case did.
    claimed: Option<ClientId>,
}

impl Report<'_> {
    /// Who does it.
    pub(super) fn by(mut self, client: &Client) -> Self {
        if let Some(event) = &mut self.event {
            event.client = Some(client.id.clone());
        }
        self
    }

    /// Whom the request says it is about.
    pub(super) fn claiming(mut self, client_id: &str) -> Self {
        self.claimed = ClientId::parse(client_id).ok();
        self
    }

    /// Which authorization request it belongs to. The seal on it says that it passed here before.
    pub(super) fn of(self, interaction: &Interaction) -> Self {
        let report = self.in_attempt(interaction.attempt());
        report.claiming(interaction.request.client_id.as_deref().unwrap_or_default())
    }

    /// Which authorization attempt it belongs to.
    pub(super) fn in_attempt(mut self, attempt: AttemptId) -> Self {
        if let Some(event) = &mut self.event {
            event.attempt = Some(attempt);
        }
        self
    }

    /// How it ended.
    pub(super) fn tell<T: Told, E: Told>(mut self, outcome: Result<T, E>) -> Result<T, E> {
        match &outcome {
            Ok(done) => self.close(done),
            Err(error) => self.close(error),
        }
        outcome
    }

    /// It came to nothing.
    pub(super) fn refused<E: Told>(mut self, error: E) -> E {
        self.close(&error);
        error
    }

    fn close(&mut self, told: &dyn Told) {
        let claimed = self.claimed.take();
        let event = self.event.take().map(|event| Event { client: event.client.clone().or(claimed), ..event });
        if let Some(event) = event.and_then(|event| told.tell(event)) {
            self.app.authority().record(event);
        }
    }

    /// It was refused at the door itself.
    pub(super) fn refuse(mut self, reason: Reason) {
        if let Some(event) = self.event.take() {
            self.app.authority().record(Event { outcome: Outcome::Refused, ..event }.because(reason));
        }
    }
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        if let Some(event) = self.event.take() {
            self.app.authority().record(Event { outcome: Outcome::Failed, ..event }.because(Reason::Abandoned));
        }
    }
}
