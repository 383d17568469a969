//! The refresh token grant (RFC 6749 6): rotation on every use, idempotent for a short while.
//!
//! A token that this instance issued is tried first as it was then ([`IssuedCopies`](super::IssuedCopies)), which saves the
//! look-up: if it was rotated or revoked since, the step that rotates says so. Whoever would be refused by a copy is looked up.
//!
//! The successor's text is not kept anywhere in the clear. It is sealed with a key that derives from the parent's text, so a
//! request that arrives twice can be given the same successor, by whoever holds the parent, and by nobody else.

use thiserror::Error;

use super::{
    Authority, IssueError, Issued,
    authenticate::AuthenticatedClient,
    issue::{DraftAccess, DraftRefresh},
};
use crate::{
    domain::{
        client::{Client, GrantType},
        credential::{Credential, RefreshToken},
        grant::RevocationReason,
        refresh::{self, RefreshRecord, RefreshRefusal, RefreshVerdict, VerifiedRefresh},
        time::Timestamp,
    },
    port::store::{Issue, Recording, Rotation, StoreError},
    protocol::{secret::Secret, token::Refresh},
};

/// Why a refresh token was not exchanged for new tokens.
#[derive(Debug, Error)]
pub enum RefreshError {
    /// The client is not registered for this grant type.
    #[error("the client may not use this grant")]
    UnauthorizedClient,
    /// No such token.
    #[error("unknown refresh token")]
    UnknownToken,
    /// The token is not good for this request.
    #[error("refresh token refused: {0:?}")]
    Refused(RefreshRefusal),
    /// The grant was revoked while the tokens were made.
    #[error("grant revoked at the same time")]
    GrantRevoked,
    /// The human's account is gone or disabled.
    #[error("user disabled")]
    UserDisabled,
    /// The sealed successor does not open, though its parent is known.
    #[error("the successor does not open")]
    Unsealable,
    /// Nothing could be issued; the token is still good.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Authority {
    /// Exchanges a refresh token for new tokens.
    pub async fn refresh(
        &self,
        client: &AuthenticatedClient,
        request: &Refresh,
        now: Timestamp,
    ) -> Result<Issued, RefreshError> {
        if !client.client().may_use(GrantType::RefreshToken) {
            return Err(RefreshError::UnauthorizedClient);
        }
        let client = client.client();
        let token = Credential::parse(request.refresh_token.expose()).ok_or(RefreshError::UnknownToken)?;
        let digest = token.digest();
        if let Some(copy) = self.copies.take_refresh(&digest) {
            match self.attempt(client, &token, copy, request, now).await {
                Ok(Some(issued)) => return Ok(issued),
                Err(error @ RefreshError::Store(_)) => return Err(error),
                Ok(None) | Err(_) => {}
            }
        }
        // A token is rotated once: the second look finds the successor, or that the grant is gone.
        for _ in 0..2 {
            let record = self.tokens.find_refresh(&digest).await?.ok_or(RefreshError::UnknownToken)?;
            if let Some(issued) = self.attempt(client, &token, record, request, now).await? {
                return Ok(issued);
            }
        }
        Err(RefreshError::Store(StoreError::Corrupt("a refresh token is rotated and current at once".into())))
    }

    /// One try with the token as it was when somebody looked. `None`: another request has rotated it since.
    async fn attempt(
        &self,
        client: &Client,
        token: &Credential<RefreshToken>,
        record: RefreshRecord,
        request: &Refresh,
        now: Timestamp,
    ) -> Result<Option<Issued>, RefreshError> {
        let window = self.policy.lifetimes.refresh_reuse_window;
        let verdict = match refresh::verify(record, &client.id, request, &self.policy.resources, window, now) {
            Ok(verdict) => verdict,
            Err(RefreshRefusal::Replayed(replay)) => {
                self.revoke_replayed(replay.grant_id(), RevocationReason::RefreshReplayed, now).await?;
                return Err(RefreshError::Refused(RefreshRefusal::Replayed(replay)));
            }
            Err(refusal) => return Err(RefreshError::Refused(refusal)),
        };
        let (refresh, successor) = match verdict {
            RefreshVerdict::Rotate(refresh) => (refresh, None),
            RefreshVerdict::Repeat { refresh, sealed_successor } => {
                (refresh, Some(self.open_successor(token, &sealed_successor)?))
            }
        };
        let grant = refresh.grant();
        if !self.user_is_active(&grant.user_id).await? {
            return Err(RefreshError::UserDisabled);
        }
        let mut drafts = self.drafts(now);
        let access = drafts.access_for(client, grant, refresh.scope(), refresh.audience()).await?;
        let issued = match successor {
            None => self.rotate(token, refresh, access, drafts.refresh(), now).await?,
            Some(successor) => Some(self.repeat(successor, access, now).await?),
        };
        if issued.is_some() {
            self.note_use(client, now).await;
        }
        Ok(issued)
    }

    fn open_successor(&self, token: &Credential<RefreshToken>, sealed: &[u8]) -> Result<Secret, RefreshError> {
        let opened = self.sealer.open_with(token.expose(), sealed).ok_or(RefreshError::Unsealable)?;
        std::str::from_utf8(&opened).map(Secret::new).map_err(|_| RefreshError::Unsealable)
    }

    async fn rotate(
        &self,
        token: &Credential<RefreshToken>,
        refresh: VerifiedRefresh<'_>,
        access: DraftAccess,
        successor: DraftRefresh,
        now: Timestamp,
    ) -> Result<Option<Issued>, RefreshError> {
        let sealed = self.sealer.seal_with(token.expose(), successor.credential.expose().as_bytes());
        let issue = Issue {
            grant_expires_at: Some(successor.record.expires_at.max(access.token.expires_at)),
            refresh: Some(successor.record.clone()),
            access: access.record.clone(),
        };
        match self.tokens.rotate(&refresh, &sealed, &issue, now).await? {
            Rotation::Rotated => {
                self.copies.keep_refresh(successor.record, refresh.into_grant());
                Ok(Some(access.respond(Some(successor.credential.into_answer()), now)))
            }
            Rotation::AlreadyRotated => Ok(None),
            Rotation::GrantRevoked => Err(RefreshError::GrantRevoked),
        }
    }

    /// The same request came before: the same successor, and an access token of its own.
    async fn repeat(&self, successor: Secret, access: DraftAccess, now: Timestamp) -> Result<Issued, RefreshError> {
        if let Some(record) = &access.record {
            match self.tokens.record_access(record).await? {
                Recording::Recorded => {}
                Recording::GrantRevoked => return Err(RefreshError::GrantRevoked),
            }
        }
        let issued = access.respond(Some(successor.expose().to_owned()), now);
        Ok(Issued { repeated: true, ..issued })
    }
}
