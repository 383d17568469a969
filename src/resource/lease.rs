//! What lasts as long as a token does: streams that outlive the request that opened them.

use std::fmt;

use tokio::time::{Duration, Instant};

use super::{bearer::BearerToken, identity::Identity, protection::Protection, verifier::VerifyError};

/// Whatever the program sets: more often would be a busy loop, and rarer is not worth its own arithmetic.
const SHORTEST_RECHECK: Duration = Duration::from_secs(1);
const LONGEST_RECHECK: Duration = Duration::from_secs(3600);

/// Why a stream has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The token has expired.
    Expired,
    /// The token was revoked, or the grant, client or human behind it.
    Revoked,
    /// The server is going away.
    Closing,
}

/// The time for which the token of a request counts. The layer puts it into the extensions of the request, and ends event streams by
/// it; a handler that keeps a connection of another kind open (a WebSocket) is to end it likewise.
#[derive(Clone)]
pub struct Lease {
    protection: Protection,
    identity: Identity,
    token: BearerToken,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Lease {
    pub(super) fn new(protection: Protection, identity: Identity, token: BearerToken) -> Self {
        Self { protection, identity, token }
    }

    /// Whose it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Waits until the token no longer counts.
    ///
    /// A revocation is noticed within the period of [`recheck`](super::ProtectedResource::recheck), if tokens are introspected, plus the
    /// time for which answers are remembered. While nobody can say, the lease goes on.
    pub async fn ended(&self) -> Ended {
        let mut closing = self.protection.closing();
        let closed = async {
            let heard = match &mut closing {
                Some(closing) => closing.wait_for(|closing| *closing).await.is_ok(),
                None => false,
            };
            // A sender that is gone without having closed never will.
            if !heard {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = closed => Ended::Closing,
            ended = self.over() => ended,
        }
    }

    async fn over(&self) -> Ended {
        loop {
            let left = self.identity.expires_at().since(self.protection.now());
            if left.is_zero() {
                return Ended::Expired;
            }
            let recheck = self.protection.recheck().clamp(SHORTEST_RECHECK, LONGEST_RECHECK);
            // Half a second more: the clock is in whole ones.
            let pause = recheck.min(left.saturating_add(Duration::from_millis(500)));
            tokio::time::sleep_until(Instant::now() + pause).await;
            match self.protection.verify_again(&self.token).await {
                Ok(()) | Err(VerifyError::Unavailable(_)) => {}
                // To the authorization server an expired token is as inactive as a revoked one.
                Err(VerifyError::Rejected(_)) if self.identity.expires_at().is_over(self.protection.now()) => {
                    return Ended::Expired;
                }
                Err(VerifyError::Rejected(_)) => return Ended::Revoked,
            }
        }
    }
}
