//! The authorization code grant at the token endpoint (RFC 6749 4.1.3, OAuth 2.1 4.1.3).
//!
//! 1. Find the code, and judge it: own client, redirect, verifier, unspent, unexpired, audience. If this instance issued it, a copy
//!    takes the place of the first look ([`IssuedCopies`](super::IssuedCopies)); whoever would be refused by a copy is looked up.
//! 2. A replay revokes the grant: client and verifier were proven first, so nobody else can bring that about.
//! 3. Draw and sign; nothing has left yet.
//! 4. Spend the code and record what was issued, in one step of the store: the single gate.

use thiserror::Error;
use tracing::warn;

use super::{Authority, IssueError, Issued, authenticate::AuthenticatedClient};
use crate::{
    domain::{
        audit::{Action, Event},
        client::{Client, GrantType},
        code::{self, CodeRecord, CodeRefusal},
        credential::{AuthorizationCode, Credential},
        grant::{Revocation, RevocationReason},
        identifier::{GrantId, UserId},
        time::Timestamp,
    },
    log,
    port::store::{Issue, Redemption, StoreError},
    protocol::token::CodeExchange,
};

/// Why a code was not exchanged for tokens.
#[derive(Debug, Error)]
pub enum RedeemError {
    /// The client is not registered for this grant type.
    #[error("the client may not use this grant")]
    UnauthorizedClient,
    /// No such code.
    #[error("unknown code")]
    UnknownCode,
    /// The code is not good for this request.
    #[error("code refused: {0:?}")]
    Refused(CodeRefusal),
    /// The code was spent by a request that came at the same time.
    #[error("code spent at the same time")]
    LostRace,
    /// The grant was revoked while the tokens were made.
    #[error("grant revoked at the same time")]
    GrantRevoked,
    /// The human's account is gone or disabled.
    #[error("user disabled")]
    UserDisabled,
    /// Nothing could be issued; the code is still good.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Authority {
    /// Exchanges a code for tokens.
    pub async fn redeem(
        &self,
        client: &AuthenticatedClient,
        request: &CodeExchange,
        now: Timestamp,
    ) -> Result<Issued, RedeemError> {
        let client = client.client();
        if !client.may_use(GrantType::AuthorizationCode) {
            return Err(RedeemError::UnauthorizedClient);
        }
        let code = Credential::<AuthorizationCode>::parse(request.code.expose()).ok_or(RedeemError::UnknownCode)?;
        let digest = code.digest();
        if let Some(copy) = self.copies.take_code(&digest) {
            match self.redeem_found(client, copy, request, now).await {
                Err(error) if !matches!(error, RedeemError::Store(_)) => {}
                outcome => return outcome,
            }
        }
        let record = self.tokens.find_code(&digest).await?.ok_or(RedeemError::UnknownCode)?;
        self.redeem_found(client, record, request, now).await
    }

    /// Exchanges a code as it was when somebody looked.
    async fn redeem_found(
        &self,
        client: &Client,
        record: CodeRecord,
        request: &CodeExchange,
        now: Timestamp,
    ) -> Result<Issued, RedeemError> {
        let verified = match code::verify(record, &client.id, request, &self.policy.resources, now) {
            Ok(verified) => verified,
            Err(CodeRefusal::Replayed(replay)) => {
                self.revoke_replayed(replay.grant_id(), RevocationReason::CodeReplayed, now).await?;
                return Err(RedeemError::Refused(CodeRefusal::Replayed(replay)));
            }
            Err(refusal) => return Err(RedeemError::Refused(refusal)),
        };
        let grant = verified.grant();
        if !self.user_is_active(&grant.user_id).await? {
            return Err(RedeemError::UserDisabled);
        }

        let (access, refresh) = {
            let mut drafts = self.drafts(now);
            let access = drafts.access_for(client, grant, &grant.scope, verified.audience()).await?;
            (access, drafts.refresh_for(client))
        };
        let refresh_expiry = refresh.as_ref().map(|r| r.record.expires_at);
        let issue = Issue {
            refresh: refresh.as_ref().map(|r| r.record.clone()),
            access: access.record.clone(),
            grant_expires_at: refresh_expiry.max(Some(access.token.expires_at)),
        };
        match self.tokens.redeem(&verified, &issue, now).await? {
            Redemption::Redeemed => {}
            // Both requests proved the client and the verifier: somebody uses the code twice.
            Redemption::AlreadyRedeemed => {
                self.revoke_replayed(&grant.id, RevocationReason::CodeReplayed, now).await?;
                return Err(RedeemError::LostRace);
            }
            Redemption::GrantRevoked => return Err(RedeemError::GrantRevoked),
        }
        if let Some(token) = issue.refresh {
            self.copies.keep_refresh(token, verified.into_grant());
        }
        self.note_use(client, now).await;
        Ok(access.respond(refresh.map(|r| r.credential.into_answer()), now))
    }

    /// Ends a grant because one of its credentials came back. Whoever presented it may hang up now: the step is a task of its
    /// own, which that does not stop.
    pub(super) async fn revoke_replayed(
        &self,
        grant: &GrantId,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (tokens, trail, grant) = (self.tokens.clone(), self.trail.clone(), grant.clone());
        let step = async move {
            if tokens.revoke_grant(&grant, Revocation { at: now, reason }).await? {
                warn!(%grant, ?reason, "a spent credential came back; its grant is revoked");
                trail.record(Event::success(now, Action::GrantRevoke).because(reason.into()).under(&grant));
            }
            Ok(())
        };
        let step = tokio::spawn(log::carried(step));
        // It can only fail to end when the whole process does.
        step.await.unwrap_or(Ok(()))
    }

    /// Whether a human's account exists and is enabled.
    pub(super) async fn user_is_active(&self, id: &UserId) -> Result<bool, StoreError> {
        Ok(self.accounts.active_user(id).await?.is_some())
    }
}
