//! News of changes, for those who keep copies of what a store holds.

use async_trait::async_trait;

use crate::domain::identifier::{ClientId, UserId};

/// What was changed, by this instance or by another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A client was replaced or removed.
    Client(ClientId),
    /// An account was enabled, disabled or replaced.
    User(UserId),
    /// A signing key was added or removed.
    SigningKeys,
    /// News may have been missed: anything may have changed.
    Anything,
}

impl Change {
    /// As one line of text, for a channel.
    pub fn to_line(&self) -> String {
        match self {
            Self::Client(id) => format!("client {id}"),
            Self::User(id) => format!("user {id}"),
            Self::SigningKeys => "signing keys".to_owned(),
            Self::Anything => "anything".to_owned(),
        }
    }

    /// Reads [`to_line`](Self::to_line). What is not understood, e.g. from a newer version, may be anything.
    pub fn from_line(line: &str) -> Self {
        let read = match line.split_once(' ') {
            Some(("client", id)) => ClientId::parse(id).ok().map(Self::Client),
            Some(("user", id)) => UserId::parse(id).ok().map(Self::User),
            Some(("signing", "keys")) => Some(Self::SigningKeys),
            _ => None,
        };
        read.unwrap_or(Self::Anything)
    }
}

/// Where news arrive. They can be lost, so a copy must be short-lived as well.
#[async_trait]
pub trait ChangeFeed: Send {
    /// Waits for the next one. Never fails: while the store is away there is none, and when it is back [`Change::Anything`].
    async fn next(&mut self) -> Change;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_was_changed() {
        let client = Change::Client(ClientId::parse("https://client.example/1").unwrap());
        let user = Change::User(UserId::parse("ada").unwrap());
        for change in [client, user, Change::SigningKeys, Change::Anything] {
            assert_eq!(Change::from_line(&change.to_line()), change);
        }
    }

    #[test]
    fn a_line_that_is_not_understood_may_be_anything() {
        for line in ["", "client ", "client a b", "user a b", "users", "client", "signing key"] {
            assert_eq!(Change::from_line(line), Change::Anything, "{line}");
        }
    }
}
