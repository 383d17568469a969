//! Humans: their accounts, their browser sessions, and what they consented to.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{
    credential::{Digest, SessionToken},
    identifier::{ClientId, UserId},
    resource::ResourceUri,
    scope::Scope,
    time::Timestamp,
};

/// The text cannot be a login name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a user name is 1 to 64 letters, digits and . _ - @ +")]
pub struct InvalidUsername;

/// A login name; case does not matter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Username(Arc<str>);

impl Username {
    /// Reads a login name, without regard to case and outer white space.
    pub fn parse(text: &str) -> Result<Self, InvalidUsername> {
        let text = text.trim().to_ascii_lowercase();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-@+".contains(&b);
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidUsername)
        }
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Username {
    type Error = InvalidUsername;
    fn try_from(text: String) -> Result<Self, InvalidUsername> {
        Self::parse(&text)
    }
}

impl From<Username> for String {
    fn from(name: Username) -> String {
        name.0.as_ref().into()
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An argon2id hash in PHC string form. Does not print. Clones share the text.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Arc<Zeroizing<String>>);

impl PasswordHash {
    /// Wraps a PHC string.
    pub fn new(phc: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(phc.into())))
    }

    /// The PHC string, for the hasher and the store.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// Whether a human may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    Active,
    Disabled,
}

/// A human's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub username: Username,
    pub password: PasswordHash,
    pub status: UserStatus,
    pub created_at: Timestamp,
}

impl User {
    /// Whether the human may act.
    pub fn is_active(&self) -> bool {
        self.status == UserStatus::Active
    }

    /// Its login name, if it may act.
    pub fn name_if_active(self) -> Option<Username> {
        self.is_active().then_some(self.username)
    }
}

/// A browser in which a human has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub digest: Digest<SessionToken>,
    pub user_id: UserId,
    /// When the password was checked.
    pub auth_time: Timestamp,
    pub last_seen_at: Timestamp,
}

/// How long a session lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLifetime {
    /// Without being seen.
    pub idle: Duration,
    /// After the login, however busy.
    pub absolute: Duration,
}

impl Session {
    /// When it ends unless it is seen again.
    pub fn expires_at(&self, lifetime: SessionLifetime) -> Timestamp {
        self.last_seen_at.plus(lifetime.idle).min(self.auth_time.plus(lifetime.absolute))
    }

    /// Whether it is over.
    pub fn is_over(&self, lifetime: SessionLifetime, now: Timestamp) -> bool {
        self.expires_at(lifetime).is_over(now)
    }
}

/// What a human has agreed to, for one client at one resource. It only grows, until it is forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    pub user_id: UserId,
    pub client_id: ClientId,
    pub resource: ResourceUri,
    pub scope: Scope,
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_names_ignore_case_and_outer_space() {
        assert_eq!(Username::parse(" Ada.L@Example.com ").unwrap().as_str(), "ada.l@example.com");
    }

    #[test]
    fn login_names_with_other_characters_are_refused() {
        for bad in ["", " ", "a b", "a\0", "é", "a/b", &"x".repeat(65)] {
            assert_eq!(Username::parse(bad), Err(InvalidUsername));
        }
    }

    #[test]
    fn a_session_ends_when_idle_and_in_any_case_at_its_absolute_end() {
        let lifetime = SessionLifetime { idle: Duration::from_secs(10), absolute: Duration::from_secs(25) };
        let session = |last_seen| Session {
            digest: Digest::of("s"),
            user_id: UserId::parse("u").unwrap(),
            auth_time: Timestamp::from_unix(100),
            last_seen_at: Timestamp::from_unix(last_seen),
        };
        assert!(!session(100).is_over(lifetime, Timestamp::from_unix(109)));
        assert!(session(100).is_over(lifetime, Timestamp::from_unix(110)));
        assert!(session(124).is_over(lifetime, Timestamp::from_unix(125)));
    }

    #[test]
    fn a_password_hash_does_not_print() {
        assert_eq!(format!("{:?}", PasswordHash::new("$argon2id$x")), "PasswordHash(..)");
    }
}
