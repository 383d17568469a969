//! Codes and refresh tokens that this instance issued, as they were then, so that it need not ask the store for what it told it.
//!
//! A copy is a look at the store that was a while ago, and every look is old by the time it matters: the step that spends the
//! credential looks at the newest state and decides (`TokenStore::redeem`, `TokenStore::rotate`). So a copy may get somebody to
//! that step, once, and is never a ground to refuse: whoever would be is looked up.

use std::{fmt, sync::Arc, time::Duration};

use moka::{policy::EvictionPolicy, sync::Cache};

use crate::domain::{
    code::CodeRecord,
    credential::{AuthorizationCode, Digest, RefreshToken},
    grant::Grant,
    policy::Lifetimes,
    refresh::{NewRefresh, RefreshRecord, RefreshState},
};

/// By the digest of what was issued. `None`: nothing is kept.
type Copies<V> = Option<Cache<[u8; 32], Arc<V>>>;

/// Copies of what was issued. Holds no credential.
pub struct IssuedCopies {
    codes: Copies<CodeRecord>,
    refresh: Copies<RefreshRecord>,
}

impl IssuedCopies {
    /// At most so many copies of codes and as many of refresh tokens, those that were issued last; of each no longer than it lives.
    pub fn new(at_most: u64, lifetimes: &Lifetimes) -> Self {
        Self { codes: copies(at_most, lifetimes.code), refresh: copies(at_most, lifetimes.refresh) }
    }

    /// After the store has recorded them.
    pub(super) fn keep_code(&self, record: CodeRecord) {
        if let Some(codes) = &self.codes {
            codes.insert(*record.code.digest.as_bytes(), Arc::new(record));
        }
    }

    /// After the store has recorded it.
    pub(super) fn keep_refresh(&self, token: NewRefresh, grant: Grant) {
        if let Some(refresh) = &self.refresh {
            let record = RefreshRecord { token, grant, state: RefreshState::Current };
            refresh.insert(*record.token.digest.as_bytes(), Arc::new(record));
        }
    }

    /// The copy of a code, for one try.
    pub(super) fn take_code(&self, digest: &Digest<AuthorizationCode>) -> Option<CodeRecord> {
        self.codes.as_ref()?.remove(digest.as_bytes()).map(Arc::unwrap_or_clone)
    }

    /// The copy of a refresh token, for one try.
    pub(super) fn take_refresh(&self, digest: &Digest<RefreshToken>) -> Option<RefreshRecord> {
        self.refresh.as_ref()?.remove(digest.as_bytes()).map(Arc::unwrap_or_clone)
    }
}

fn copies<V: Send + Sync + 'static>(at_most: u64, lifetime: Duration) -> Copies<V> {
    let kept = || {
        let last = EvictionPolicy::lru();
        Cache::builder().max_capacity(at_most).eviction_policy(last).time_to_live(lifetime).build()
    };
    (at_most > 0).then(kept)
}

impl fmt::Debug for IssuedCopies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedCopies").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{grant::tests::grant, time::Timestamp};

    const LIFETIME: Duration = Duration::from_secs(3600);

    #[test]
    fn at_most_so_many_are_kept_and_those_are_the_last() {
        let copies = IssuedCopies { codes: None, refresh: copies(10, LIFETIME) };
        let digest = |number: u32| Digest::of(&number.to_string());
        for number in 0..100 {
            let (issued_at, expires_at) = (Timestamp::from_unix(1_000), Timestamp::from_unix(2_000));
            copies.keep_refresh(NewRefresh { digest: digest(number), issued_at, expires_at }, grant());
            copies.refresh.as_ref().unwrap().run_pending_tasks();
        }
        let kept: Vec<u32> = (0..100).filter(|number| copies.take_refresh(&digest(*number)).is_some()).collect();
        assert_eq!(kept, (90..100).collect::<Vec<_>>());
    }
}
