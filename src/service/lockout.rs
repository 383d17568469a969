//! What clients may get wrong: failed authentications are counted for each client and address, in the store, so that all instances have
//! one limit.
//!
//! A secret that this server made cannot be guessed, and a signature cannot be forged; what a lockout saves is the cost of looking, and
//! noise. So a request that succeeds neither reads nor writes anything about failures, and only failures that mean something count: an
//! unknown client is told so however often it asks, because that is what makes MCP clients register again, and because a row for each
//! name that somebody invents would be theirs to fill the store with. The address is part of the key, so that nobody is locked out by
//! strangers elsewhere.

use super::{Authority, authenticate::AuthenticateError};
use crate::{
    domain::{
        address::AddressBlock,
        assertion::{AssertionRefusal, ReplayId},
        time::Timestamp,
    },
    port::{crypto::AssertionError, store::StoreError},
};

impl AuthenticateError {
    /// Whether a client that is there was not proven to be the one: by a wrong secret, or by an assertion that is not good.
    pub const fn is_wrong_credential(&self) -> bool {
        match self {
            // Found out before anybody was looked for: whatever name it is about may be invented.
            Self::Assertion(AssertionError::Malformed) | Self::AssertionClaims(AssertionRefusal::WrongClient) => false,
            Self::WrongMethod
            | Self::WrongSecret
            | Self::Assertion(_)
            | Self::AssertionClaims(_)
            | Self::AssertionReplayed => true,
            Self::NoClient(_) | Self::AssertionOfNobody(_) | Self::Store(_) => false,
        }
    }
}

impl Authority {
    /// Counts a wrong credential of a client, from an address. Until when it is locked out there, if it was one too many.
    ///
    /// # Errors
    ///
    /// The store failed; nobody knows whether it was counted.
    pub async fn count_wrong_credential(
        &self,
        client_id: &str,
        from: AddressBlock,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let policy = self.policy.client_lockout;
        let key = ReplayId::of(&[b"client", client_id.as_bytes(), from.as_bytes()]);
        let until = now.plus(policy.window);
        let count = self.accounts.count_failure(&key, until, now).await?;
        if count < policy.max_failures {
            return Ok(None);
        }
        // The window began with its first failure.
        let until = self.accounts.failures(&key, now).await?.map_or(until, |(_, until)| until);
        Ok(Some(until))
    }
}
