//! Names by which what belongs together is found again: in the log, on a page, in the audit trail.
//!
//! A request has one, which its answer tells. An authorization attempt has one of its own, from the link that a human follows to
//! the answer that goes back to the client, because it takes several requests. Neither is a secret, and neither permits anything.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::credential::base62;

/// The longest name that a proxy may give a request, in bytes.
const LONGEST: usize = 64;

/// The name of one request.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A fresh name from 128 random bits, as 22 letters and digits.
    pub fn from_entropy(random: [u8; 16]) -> Self {
        Self(base62(&random).into())
    }

    /// The name that a proxy gave: up to 64 letters, digits and `-_.:=`, which need no quotes in a log. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.:=".contains(&b);
        ((1..=LONGEST).contains(&text.len()) && text.bytes().all(fits)).then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<RequestId> for Arc<str> {
    fn from(id: RequestId) -> Self {
        id.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({})", self.0)
    }
}

/// The name of one authorization attempt. Prints as 22 letters and digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId([u8; 16]);

impl AttemptId {
    /// A fresh name from 128 random bits.
    pub const fn from_entropy(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// The bits.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base62(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_twenty_two_letters_and_digits() {
        for name in [RequestId::from_entropy([7; 16]).to_string(), AttemptId::from_entropy([0xff; 16]).to_string()] {
            assert!(name.len() == 22 && name.bytes().all(|b| b.is_ascii_alphanumeric()), "{name}");
        }
    }

    #[test]
    fn names_of_common_proxies_are_read() {
        for given in [
            "7f2c0d4e8b1a4c5d9e6f7a8b9c0d1e2f",
            "b7a1e3f0-2c4d-4e5f-8a9b-0c1d2e3f4a5b",
            "Root=1-67891233-abcdef012345678912345678",
            "01JZX4M8Q5T9V0W1X2Y3Z4A5B6",
        ] {
            assert_eq!(RequestId::parse(given).unwrap().as_str(), given);
        }
    }

    #[test]
    fn what_could_break_a_line_of_the_log_or_is_long_is_no_name() {
        for bad in ["", "a b", "a\nb", "a\"b", "{}", "é", "<x>", &"x".repeat(65)] {
            assert_eq!(RequestId::parse(bad), None, "{bad}");
        }
    }
}
