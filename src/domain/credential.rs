//! Random secrets that this server makes: codes, tokens, client secrets, session cookies.
//!
//! ```text
//! gw_rt_ 6K8x...(44 letters and digits: 256 random bits) 3fZk1Q (6: checksum)
//! ```
//!
//! The prefix tells people and secret scanners what they found; the checksum tells them that it is whole, and lets the
//! server refuse a mistyped one without asking a store. Stores hold only the SHA-256 [`Digest`]: 256 random bits need no
//! slow hash.

use std::{fmt, marker::PhantomData};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const WORD: usize = 11;
const BODY: usize = 4 * WORD;
const CHECKSUM: usize = 6;

/// What a credential is good for; sets its prefix.
pub trait Kind {
    /// The readable prefix, `gw_` and two letters and `_`.
    const PREFIX: &'static str;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal,)+) => { $(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl Kind for $name { const PREFIX: &'static str = $prefix; }
    )+ };
}

kinds! {
    /// An authorization code.
    AuthorizationCode = "gw_ac_",
    /// A refresh token.
    RefreshToken = "gw_rt_",
    /// An opaque access token.
    OpaqueAccessToken = "gw_at_",
    /// A client secret.
    ClientSecret = "gw_cs_",
    /// A registration access token (RFC 7592).
    RegistrationToken = "gw_ra_",
    /// The value of a browser's session cookie.
    SessionToken = "gw_ss_",
}

/// A random secret of 256 bits in its readable form. Does not print, compare, clone or serialise.
pub struct Credential<K> {
    text: Zeroizing<String>,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Credential<K> {
    /// Dresses 256 random bits.
    pub fn from_entropy(random: &[u8; 32]) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(K::PREFIX.len() + BODY + CHECKSUM));
        text.push_str(K::PREFIX);
        for word in random.chunks_exact(8) {
            push_word(&mut text, u64::from_be_bytes(word.try_into().unwrap_or_default()));
        }
        let checksum = checksum(&text);
        text.push_str(std::str::from_utf8(&checksum).unwrap_or_default());
        Self { text, kind: PhantomData }
    }

    /// Recognises a credential of this kind by prefix, alphabet, length and checksum.
    ///
    /// `None` says that no such credential was ever made here; it says nothing about one that passes.
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix(K::PREFIX)?;
        if body.len() != BODY + CHECKSUM || !body.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let (payload, claimed) = text.split_at(text.len() - CHECKSUM);
        if checksum(payload) != claimed.as_bytes() {
            return None;
        }
        Some(Self { text: Zeroizing::new(text.to_owned()), kind: PhantomData })
    }

    /// The characters. Only for the answer that hands the credential out.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The characters, for the answer. They are not wiped any more: neither are the bytes that are sent.
    pub fn into_answer(mut self) -> String {
        std::mem::take(&mut *self.text)
    }

    /// What a store may keep.
    pub fn digest(&self) -> Digest<K> {
        Digest::of(&self.text)
    }
}

impl<K: Kind> fmt::Debug for Credential<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..", K::PREFIX)
    }
}

/// SHA-256 of a credential: what stores hold and look up.
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Digest<K> {
    #[serde(with = "base64_bytes")]
    bytes: [u8; 32],
    #[serde(skip)]
    kind: PhantomData<fn() -> K>,
}

impl<K> Digest<K> {
    /// The digest of any text, e.g. of a client secret that somebody else made.
    pub fn of(text: &str) -> Self {
        Self::from_bytes(Sha256::digest(text.as_bytes()).into())
    }

    /// From the bytes that a store kept.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { bytes, kind: PhantomData }
    }

    /// For a store to keep.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Whether both are digests of the same text, in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.bytes.ct_eq(&other.bytes).into()
    }
}

// Written out because the derived ones would ask the same of the kind, which has no values.
impl<K> Clone for Digest<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Digest<K> {}
impl<K> PartialEq for Digest<K> {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other)
    }
}
impl<K> Eq for Digest<K> {}
impl<K> std::hash::Hash for Digest<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}
impl<K> fmt::Debug for Digest<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

mod base64_bytes {
    use super::*;

    pub(super) fn serialize<S: serde::Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(serde::de::Error::custom)?;
        bytes.try_into().map_err(|_| serde::de::Error::custom("a digest has 32 bytes"))
    }
}

/// 128 random bits as 22 letters and digits; for names, not for secrets.
pub(super) fn base62(random: &[u8; 16]) -> String {
    let mut text = String::with_capacity(2 * WORD);
    for word in random.chunks_exact(8) {
        push_word(&mut text, u64::from_be_bytes(word.try_into().unwrap_or_default()));
    }
    text
}

fn push_word(text: &mut String, mut word: u64) {
    let mut letters = [b'0'; WORD];
    for letter in letters.iter_mut().rev() {
        *letter = ALPHABET[(word % 62) as usize];
        word /= 62;
    }
    text.push_str(std::str::from_utf8(&letters).unwrap_or_default());
}

fn checksum(text: &str) -> [u8; CHECKSUM] {
    let hash = Sha256::digest(text.as_bytes());
    let mut sum = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    let mut letters = [b'0'; CHECKSUM];
    for letter in letters.iter_mut().rev() {
        *letter = ALPHABET[(sum % 62) as usize];
        sum /= 62;
    }
    letters
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_credential_of_another_kind_is_not_recognised() {
        let code = Credential::<AuthorizationCode>::from_entropy(&[7; 32]);
        assert!(Credential::<RefreshToken>::parse(code.expose()).is_none());
    }

    #[test]
    fn a_credential_does_not_print_its_secret() {
        let token = Credential::<RefreshToken>::from_entropy(&[7; 32]);
        assert_eq!(format!("{token:?}"), "gw_rt_..");
        assert_eq!(format!("{:?}", token.digest()), "Digest(..)");
    }

    proptest! {
        #[test]
        fn what_is_made_is_recognised(random: [u8; 32]) {
            let made = Credential::<RefreshToken>::from_entropy(&random);
            let read = Credential::<RefreshToken>::parse(made.expose()).unwrap();
            prop_assert!(read.digest().matches(&made.digest()));
        }

        #[test]
        fn a_changed_character_is_noticed(random: [u8; 32], at in 6usize..56) {
            let made = Credential::<RefreshToken>::from_entropy(&random);
            let mut bytes = made.expose().as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            prop_assert!(Credential::<RefreshToken>::parse(std::str::from_utf8(&bytes).unwrap()).is_none());
        }

        #[test]
        fn different_entropy_makes_different_credentials(a: [u8; 32], b: [u8; 32]) {
            prop_assume!(a != b);
            let [a, b] = [a, b].map(|r| Credential::<RefreshToken>::from_entropy(&r));
            prop_assert_ne!(a.expose(), b.expose());
        }
    }
}
