//! Logging in and out (the human side of OpenID Connect Core 3.1.2.3).
//!
//! An attempt is counted before the password is looked at, so that many at once cannot slip under the limit, and once it is
//! certain that it will be looked at; an unknown user and a wrong password take the same path and the same time.
//!
//! There are two limits. One account from one address: a person who mistypes, or a guesser. One account from everywhere, for guessers who
//! have many addresses: it counts, and holds up, only addresses from which nobody has logged in to the account before, so that its owner
//! goes on where they are, and whatever sessions there are go on too.

use std::{net::IpAddr, time::Duration};

use thiserror::Error;
use tracing::info;

use super::{
    Authority,
    interaction::{BrowserToken, Interaction},
};
use crate::{
    domain::{
        account::{Session, User, Username},
        address::AddressBlock,
        assertion::ReplayId,
        identifier::UserId,
        time::Timestamp,
    },
    port::{crypto::PasswordError, store::StoreError},
    protocol::secret::Secret,
};

/// How stale `last_seen_at` of a session may get.
const SEEN_INTERVAL: Duration = Duration::from_secs(60);

/// How long an address is known from which somebody logged in.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// Why nobody was logged in.
#[derive(Debug, Error)]
pub enum LogInError {
    /// No such user, a wrong password, or a disabled account: the same to whoever asks.
    #[error("wrong user name or password")]
    WrongCredentials {
        /// The account of this name, if there is one: for the audit trail, not for whoever asks.
        account: Option<UserId>,
        /// Whether it was the password.
        correct: bool,
    },
    /// The form that was sent asked something else.
    #[error("nobody was asked to log in")]
    NotAsked,
    /// Too many failures for this account from this address, or from addresses that nobody knows; try again at this time.
    #[error("too many attempts")]
    TooManyAttempts { until: Timestamp },
    /// The hasher is busy, or failed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who somebody says they are, and where they say it from.
#[derive(Debug)]
pub struct LogInAttempt<'a> {
    pub username: &'a str,
    pub password: Secret,
    pub address: IpAddr,
}

/// A login: the browser gets a new cookie, and the request goes on.
#[derive(Debug)]
pub struct LoggedIn {
    pub browser: BrowserToken,
    pub interaction: Interaction,
    pub user: UserId,
}

impl Authority {
    /// Logs the human of a browser in.
    pub async fn log_in(
        &self,
        interaction: Interaction,
        attempt: LogInAttempt<'_>,
        browser: &BrowserToken,
        now: Timestamp,
    ) -> Result<LoggedIn, LogInError> {
        if !interaction.asked_to_log_in() {
            return Err(LogInError::NotAsked);
        }
        let LogInAttempt { username, password, address } = attempt;
        let keys = Keys::of(username, address);
        // Before it is counted: whoever is sent away because others keep the hasher busy has not guessed.
        let place = self.passwords.place()?;
        self.count_attempt(&keys, now).await?;
        let user = match Username::parse(username) {
            Ok(name) => self.accounts.find_user_by_name(&name).await?,
            Err(_) => None,
        };
        let correct = self.passwords.verify(place, password, user.as_ref().map(|u| u.password.clone())).await?;
        let user = match user {
            Some(user) if correct && user.is_active() => user,
            other => {
                info!("a login failed");
                return Err(LogInError::WrongCredentials { account: other.map(|user| user.id), correct });
            }
        };
        let wrong = |user: &User| Err(LogInError::WrongCredentials { account: Some(user.id.clone()), correct });
        // A new cookie at every login: one that was planted before the login is worth nothing after it.
        let fresh = self.entropy.credential();
        let session = Session { digest: fresh.digest(), user_id: user.id.clone(), auth_time: now, last_seen_at: now };
        if !self.accounts.open_session(&session, Some(&browser.digest())).await? {
            return wrong(&user);
        }
        // A password that was changed while this one was checked has ended every session but this, which came later.
        if self.accounts.find_user(&user.id).await?.is_none_or(|current| current.password != user.password) {
            self.accounts.close_session(&session.digest).await?;
            return wrong(&user);
        }
        self.accounts.clear_failures(&keys.here).await?;
        self.accounts.count_failure(&keys.known, now.plus(KNOWN_FOR), now).await?;
        let interaction = Self::interaction(interaction.attempt(), interaction.request, &fresh, true, now);
        Ok(LoggedIn { browser: fresh, interaction, user: user.id })
    }

    async fn count_attempt(&self, keys: &Keys, now: Timestamp) -> Result<(), LogInError> {
        let policy = self.policy.login;
        self.count(&keys.here, policy.max_failures, now).await?;
        if self.accounts.failures(&keys.known, now).await?.is_none() {
            self.count(&keys.everywhere, policy.max_failures_per_account, now).await?;
        }
        Ok(())
    }

    async fn count(&self, key: &ReplayId, most: u32, now: Timestamp) -> Result<(), LogInError> {
        let until = now.plus(self.policy.login.window);
        let count = self.accounts.count_failure(key, until, now).await?;
        if count <= most {
            return Ok(());
        }
        let until = self.accounts.failures(key, now).await?.map_or(until, |(_, until)| until);
        Err(LogInError::TooManyAttempts { until })
    }

    /// Who is logged in in a browser, if anybody.
    pub(super) async fn session(
        &self,
        browser: &BrowserToken,
        now: Timestamp,
    ) -> Result<Option<(Session, User)>, StoreError> {
        let digest = browser.digest();
        let Some((session, user)) = self.accounts.find_session(&digest).await? else { return Ok(None) };
        if session.is_over(self.policy.lifetimes.session, now) || !user.is_active() {
            return Ok(None);
        }
        if now.since(session.last_seen_at) >= SEEN_INTERVAL {
            self.accounts.touch_session(&digest, now).await?;
        }
        Ok(Some((session, user)))
    }

    /// Ends the session of a browser, if it has one; whose it was.
    pub async fn log_out(&self, browser: &BrowserToken) -> Result<Option<UserId>, StoreError> {
        let digest = browser.digest();
        let session = self.accounts.find_session(&digest).await?;
        let closed = self.accounts.close_session(&digest).await?;
        Ok(session.filter(|_| closed).map(|(session, _)| session.user_id))
    }

    /// A new cookie for a browser that has none. It names no session.
    pub fn new_browser(&self) -> BrowserToken {
        self.entropy.credential()
    }
}

/// What attempts are counted under.
struct Keys {
    /// Account and address together: whole companies share one address, and nobody may lock somebody else's account from elsewhere.
    here: ReplayId,
    /// The account, from addresses that are not known.
    everywhere: ReplayId,
    /// Says that somebody has logged in to the account from the address.
    known: ReplayId,
}

impl Keys {
    fn of(username: &str, address: IpAddr) -> Self {
        let name = Username::parse(username).map_or_else(|_| String::new(), |name| name.as_str().to_owned());
        let (name, block) = (name.as_bytes(), AddressBlock::of(address));
        Self {
            here: ReplayId::of(&[b"login", name, block.as_bytes()]),
            everywhere: ReplayId::of(&[b"login", name]),
            known: ReplayId::of(&[b"logged-in", name, block.as_bytes()]),
        }
    }
}
