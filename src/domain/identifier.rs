//! Names of things: typed, so that a grant's name cannot be passed where a client's is meant. Clones share the text.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

/// The text cannot be an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an identifier is 1 to 255 printable ASCII characters without spaces")]
pub struct InvalidIdentifier;

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident,)+) => { $(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Accepts 1 to 255 printable ASCII characters other than space (RFC 6749 A.1 without the space).
            pub fn parse(text: &str) -> Result<Self, InvalidIdentifier> {
                let fits = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
                if fits { Ok(Self(text.into())) } else { Err(InvalidIdentifier) }
            }

            /// A fresh name from 128 random bits, as 22 letters and digits.
            pub fn from_entropy(random: [u8; 16]) -> Self {
                Self(super::credential::base62(&random).into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidIdentifier;
            fn try_from(text: String) -> Result<Self, InvalidIdentifier> {
                Self::parse(&text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    )+ };
}

identifiers! {
    /// `client_id` (RFC 6749 2.2).
    ClientId,
    /// One act of granting: everything issued from it carries this name.
    GrantId,
    /// A human's account; the `sub` of the tokens issued for it. Never reused, never the login name.
    UserId,
    /// `jti` of an access token.
    TokenId,
    /// `kid` of a signing key.
    KeyId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_with_a_space_a_control_character_or_no_length_is_refused() {
        for bad in ["", "a b", "a\n", "é", &"x".repeat(256)] {
            assert_eq!(ClientId::parse(bad), Err(InvalidIdentifier));
        }
    }

    #[test]
    fn a_fresh_identifier_is_twenty_two_letters_and_digits() {
        let id = GrantId::from_entropy([0xff; 16]);
        assert_eq!(id.as_str().len(), 22);
        assert!(id.as_str().bytes().all(|b| b.is_ascii_alphanumeric()));
    }
}
