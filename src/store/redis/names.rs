//! What keys are called. The part in braces decides the slot.

use std::{borrow::Cow, fmt::Display};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::domain::{
    credential::{AuthorizationCode, Digest, OpaqueAccessToken, RefreshToken},
    identifier::{ClientId, GrantId, UserId},
};

/// How many slots what belongs to no grant is spread over: enough for every master of a large cluster.
pub(super) const SHARDS: u8 = 64;

/// What would end a hash tag early, or pass for something that was encoded.
const NOT_IN_A_TAG: &AsciiSet = &CONTROLS.add(b'{').add(b'}').add(b'%');

fn tag(id: &str) -> Cow<'_, str> {
    utf8_percent_encode(id, NOT_IN_A_TAG).into()
}

/// A digest as text.
pub(super) fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Which part something with these random bytes, or this name, belongs to. The same for every version of the program.
fn shard(bytes: &[u8]) -> u8 {
    let digest: Digest<()> = Digest::of(&base64(bytes));
    digest.as_bytes()[0] % SHARDS
}

/// The keys of one grant.
pub(super) struct GrantKeys {
    pub(super) grant: String,
    /// When its tokens end.
    pub(super) ends: String,
}

/// The keys of one shard.
pub(super) struct ShardKeys {
    pub(super) uses: String,
    pub(super) revoked: String,
    /// When access tokens without a grant end.
    pub(super) alone: String,
    /// What the names of access tokens begin with.
    pub(super) access: String,
}

/// Names keys, all of which begin alike.
#[derive(Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// What all keys begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn name(&self, tag: &str, kind: impl Display) -> String {
        format!("{}{{{tag}}}:{kind}", self.prefix)
    }

    pub(super) fn ping(&self) -> String {
        format!("{}ping", self.prefix)
    }

    /// The channel on which others hear of changes.
    pub(super) fn changes(&self) -> String {
        format!("{}changes", self.prefix)
    }

    pub(super) fn grant(&self, id: &GrantId) -> GrantKeys {
        let tag = tag(id.as_str());
        GrantKeys { grant: self.name(&tag, "grant"), ends: self.name(&tag, "ends") }
    }

    /// Leads to a grant.
    pub(super) fn code(&self, digest: &Digest<AuthorizationCode>) -> String {
        self.code_named(&base64(digest.as_bytes()))
    }

    /// The same, for a digest as text.
    pub(super) fn code_named(&self, digest: &str) -> String {
        format!("{}code:{digest}", self.prefix)
    }

    /// Leads to a grant.
    pub(super) fn refresh(&self, digest: &Digest<RefreshToken>) -> String {
        format!("{}refresh:{}", self.prefix, base64(digest.as_bytes()))
    }

    /// Leads to a grant, or is the token.
    pub(super) fn access(&self, digest: &Digest<OpaqueAccessToken>) -> String {
        format!("{}{}", self.shard_of(digest.as_bytes()).access, base64(digest.as_bytes()))
    }

    pub(super) fn shard_of(&self, bytes: &[u8]) -> ShardKeys {
        self.shard(shard(bytes))
    }

    pub(super) fn shard(&self, number: u8) -> ShardKeys {
        let tag = format!("shard-{number}");
        ShardKeys {
            uses: self.name(&tag, "uses"),
            revoked: self.name(&tag, "revoked"),
            alone: self.name(&tag, "alone"),
            access: self.name(&tag, "access:"),
        }
    }

    /// A list of the grants of all, by name.
    pub(super) fn all_grants(&self) -> String {
        self.name("grants", "all")
    }

    /// What leads to each grant: its client, its human, its code.
    pub(super) fn owners(&self) -> String {
        self.name("grants", "owners")
    }

    /// When grants have to be pruned.
    pub(super) fn due(&self) -> String {
        self.name("grants", "due")
    }

    /// When grants that were not there may be taken for gone.
    pub(super) fn missing(&self) -> String {
        self.name("grants", "missing")
    }

    /// A list of grants by name.
    pub(super) fn grants_of_client(&self, id: &ClientId) -> String {
        self.name(&tag(id.as_str()), "grants-of-client")
    }

    /// A list of grants by name.
    pub(super) fn grants_of_user(&self, id: &UserId) -> String {
        self.name(&tag(id.as_str()), "grants-of-user")
    }

    /// A key of the family of clients.
    pub(super) fn clients(&self, kind: impl Display) -> String {
        self.name("clients", kind)
    }

    /// A key of the family of accounts.
    pub(super) fn accounts(&self, kind: impl Display) -> String {
        self.name("accounts", kind)
    }

    /// The signing keys.
    pub(super) fn keys(&self) -> String {
        self.name("keys", "all")
    }

    /// A key of the audit trail.
    pub(super) fn audit(&self, kind: impl Display) -> String {
        self.name("audit", kind)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::cluster::slot, *};

    #[test]
    fn what_has_to_change_together_is_in_one_slot_whatever_it_is_called() {
        let names = Names::new("a:");
        for id in ["abc", "}", "{}", "a}b", "%7D"] {
            let keys = names.grant(&GrantId::parse(id).unwrap());
            assert_eq!(slot(keys.grant.as_bytes()), slot(keys.ends.as_bytes()), "{id}");
        }
        let (one, other) = (GrantId::parse("}").unwrap(), GrantId::parse("%7D").unwrap());
        assert_ne!(names.grant(&one).grant, names.grant(&other).grant);
    }
}
