//! Which client asks, within what the door lets it ask.
//!
//! 1. Whoever is locked out, or asks too often, is turned away before the store is asked about them.
//! 2. The client proves who it is.
//! 3. A wrong credential is counted, and one too many locks the client out at this address.
//! 4. A client that gets what it asks for has an allowance of its own from then on.

use std::borrow::Cow;

use super::{
    App,
    audit::Scene,
    limits::{Class, Sender, TooEarly},
    rejections::Rejection,
    respond::log_failure,
};
use crate::{
    domain::{address::AddressBlock, time::Timestamp},
    protocol::client_authentication::PresentedClient,
    service::authenticate::{AuthenticateError, AuthenticatedClient},
};

/// Why no client is heard.
#[derive(Debug)]
pub enum ClientRefusal {
    /// It asks too often.
    TooOften(TooEarly),
    /// It presented too many wrong credentials from where it is.
    LockedOut(TooEarly),
    /// It is not the one that it says it is.
    Authenticate(AuthenticateError),
}

/// Who a request says it is from, and from where.
pub(super) struct Caller<'a> {
    app: &'a App,
    class: Class,
    scene: &'a Scene,
    claimed: Cow<'a, str>,
}

impl<'a> Caller<'a> {
    pub(super) fn new(app: &'a App, scene: &'a Scene, class: Class, presented: &'a PresentedClient) -> Self {
        Self { app, class, scene, claimed: presented.claimed().unwrap_or_default() }
    }

    fn sender(&self) -> Sender<'_> {
        Sender { block: AddressBlock::of(self.scene.address), client: self.claimed.as_bytes() }
    }

    /// Lets it prove who it is, if it may ask at all.
    pub(super) async fn authenticate(&self, presented: &PresentedClient) -> Result<AuthenticatedClient, ClientRefusal> {
        self.admit()?;
        match self.app.authority().authenticate(presented, self.scene.now).await {
            Ok(client) => Ok(client),
            Err(error) => Err(self.failed(error).await),
        }
    }

    fn admit(&self) -> Result<(), ClientRefusal> {
        let limits = self.app.limits();
        if let Some(until) = limits.locked_out(self.sender(), self.scene.now) {
            return Err(self.locked_out(until));
        }
        limits.admit_client(self.class, self.sender(), self.scene.address).map_err(|early| {
            self.app.rejections().note(Rejection::TooOften);
            ClientRefusal::TooOften(early)
        })
    }

    /// What its failure means for the next time.
    async fn failed(&self, error: AuthenticateError) -> ClientRefusal {
        self.scene.not_believed(self.app, &self.claimed, &error);
        if error.is_wrong_credential() && self.app.limits().may_write_failure() {
            let Scene { now, address, .. } = *self.scene;
            let block = AddressBlock::of(address);
            match self.app.authority().count_wrong_credential(&self.claimed, block, now).await {
                Ok(None) => {}
                Ok(Some(until)) => {
                    tracing::warn!(client_id = &*self.claimed, %address, "a client is locked out where it is");
                    self.app.limits().lock_out(self.sender(), until);
                    return self.locked_out(until);
                }
                // It stays what it was: a wrong credential.
                Err(error) => log_failure(&error),
            }
        }
        ClientRefusal::Authenticate(error)
    }

    /// It got what it asked for.
    pub(super) fn succeeded(&self) {
        self.app.limits().prove(self.sender());
    }

    fn locked_out(&self, until: Timestamp) -> ClientRefusal {
        self.app.rejections().note(Rejection::LockedOut);
        self.scene.locked_out(self.app, &self.claimed);
        ClientRefusal::LockedOut(TooEarly::until(until, self.scene.now))
    }
}
