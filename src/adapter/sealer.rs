//! Authenticated encryption with AES-256-GCM.
//!
//! ```text
//! version (1) | nonce (12) | ciphertext | tag (16)
//! ```
//!
//! From the master key, HKDF-SHA256 derives one key per [`Purpose`], so that a box of one purpose does not open for another;
//! the context is the associated data, so that it does not open in another place either.
//!
//! **Nonces are random**, also where the key comes from a secret that is used once: two requests that race with one refresh
//! token both seal a successor with the same derived key, and a fixed nonce would then encrypt two texts alike, which gives away
//! their difference and the authentication key. With 96 random bits, a key may seal 2^32 boxes before a repetition has a
//! chance of 2^-33.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf,
};
use zeroize::Zeroizing;

use super::master_key::MasterKey;
use crate::port::{
    crypto::{Purpose, Sealer},
    entropy::Entropy,
};

const VERSION: u8 = 1;
const HEAD: usize = 1 + NONCE_LEN;
const TAG: usize = 16;
const SUCCESSOR: &[u8] = b"gateward refresh successor v1";

/// Seals with keys derived from the master key.
pub struct MasterSealer {
    signing_key: LessSafeKey,
    authorization_request: LessSafeKey,
    entropy: Arc<dyn Entropy>,
}

impl MasterSealer {
    /// Derives the keys; the master key itself is not needed any more.
    pub fn new(master: &MasterKey, entropy: Arc<dyn Entropy>) -> Self {
        let key = |purpose: Purpose| derive(master.expose(), purpose.label());
        Self {
            signing_key: key(Purpose::SigningKey),
            authorization_request: key(Purpose::AuthorizationRequest),
            entropy,
        }
    }

    fn key(&self, purpose: Purpose) -> &LessSafeKey {
        match purpose {
            Purpose::SigningKey => &self.signing_key,
            Purpose::AuthorizationRequest => &self.authorization_request,
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "GCM refuses only texts over 64 GiB; a box that seals nothing would lose a key"
    )]
    fn seal_under(&self, key: &LessSafeKey, context: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        self.entropy.fill(&mut nonce);
        let mut sealed = Vec::with_capacity(HEAD + plaintext.len() + TAG);
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(context), &mut sealed[HEAD..])
            .expect("AES-GCM encrypts texts of this length");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }
}

impl Sealer for MasterSealer {
    fn seal(&self, purpose: Purpose, context: &[u8], plaintext: &[u8]) -> Vec<u8> {
        self.seal_under(self.key(purpose), context, plaintext)
    }

    fn open(&self, purpose: Purpose, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        open_under(self.key(purpose), context, sealed)
    }

    fn seal_with(&self, secret: &str, plaintext: &[u8]) -> Vec<u8> {
        self.seal_under(&derive(secret.as_bytes(), SUCCESSOR), &[], plaintext)
    }

    fn open_with(&self, secret: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        open_under(&derive(secret.as_bytes(), SUCCESSOR), &[], sealed)
    }
}

impl fmt::Debug for MasterSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterSealer(..)")
    }
}

// No salt: the secrets have 256 random bits, and HKDF (RFC 5869 3.1) needs one only for worse.
#[expect(clippy::expect_used, reason = "HKDF-SHA256 refuses only outputs over 8160 bytes; this is 32")]
fn derive(secret: &[u8], info: &[u8]) -> LessSafeKey {
    let pseudorandom = hkdf::Salt::none(hkdf::HKDF_SHA256).extract(secret);
    let info = [info];
    let output = pseudorandom.expand(&info, &AES_256_GCM).expect("32 bytes are not too many");
    LessSafeKey::new(UnboundKey::from(output))
}

fn open_under(key: &LessSafeKey, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (head, body) = sealed.split_at_checked(HEAD)?;
    let (version, nonce) = head.split_first()?;
    if *version != VERSION {
        return None;
    }
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut text = Zeroizing::new(body.to_vec());
    let length = key.open_in_place(nonce, Aad::from(context), &mut text).ok()?.len();
    text.truncate(length);
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::adapter::entropy::Counted;

    fn sealer() -> MasterSealer {
        let entropy = Counted::default();
        MasterSealer::new(&MasterKey::generate(&entropy), Arc::new(entropy))
    }

    #[test]
    fn a_box_opens_for_its_purpose_and_context_only() {
        let sealer = sealer();
        let sealed = sealer.seal(Purpose::SigningKey, b"kid", b"text");
        assert_eq!(&**sealer.open(Purpose::SigningKey, b"kid", &sealed).unwrap(), b"text");
        assert!(sealer.open(Purpose::AuthorizationRequest, b"kid", &sealed).is_none());
        assert!(sealer.open(Purpose::SigningKey, b"dik", &sealed).is_none());
    }

    #[test]
    fn a_box_does_not_open_with_another_master_key() {
        let sealed = sealer().seal(Purpose::SigningKey, b"kid", b"text");
        let other = MasterKey::parse(&format!("gw_mk_{}", "A".repeat(43))).unwrap();
        let other = MasterSealer::new(&other, Arc::new(Counted::default()));
        assert!(other.open(Purpose::SigningKey, b"kid", &sealed).is_none());
    }

    #[test]
    fn a_box_sealed_with_a_secret_opens_with_that_secret_only() {
        let sealer = sealer();
        let sealed = sealer.seal_with("gw_rt_parent", b"gw_rt_successor");
        assert_eq!(&**sealer.open_with("gw_rt_parent", &sealed).unwrap(), b"gw_rt_successor");
        assert!(sealer.open_with("gw_rt_other", &sealed).is_none());
        assert!(sealer.open(Purpose::SigningKey, b"", &sealed).is_none());
    }

    #[test]
    fn any_instance_opens_a_box_sealed_with_a_secret() {
        let other = MasterKey::parse(&format!("gw_mk_{}", "A".repeat(43))).unwrap();
        let other = MasterSealer::new(&other, Arc::new(Counted::default()));
        assert!(other.open_with("secret", &sealer().seal_with("secret", b"text")).is_some());
    }

    #[test]
    fn two_boxes_of_one_text_have_different_nonces() {
        let sealer = sealer();
        let [a, b] = [(); 2].map(|()| sealer.seal_with("gw_rt_parent", b"text"));
        assert_ne!(a[1..HEAD], b[1..HEAD]);
        assert_ne!(a[HEAD..], b[HEAD..]);
    }

    #[test]
    fn a_box_holds_nothing_readable_and_grows_by_29_bytes() {
        let sealed = sealer().seal(Purpose::SigningKey, b"", &[b'x'; 64]);
        assert_eq!(sealed.len(), 64 + HEAD + TAG);
        assert!(!sealed.windows(4).any(|part| part == b"xxxx"));
    }

    proptest! {
        #[test]
        fn a_changed_bit_anywhere_keeps_a_box_shut(text: Vec<u8>, at: prop::sample::Index, bit in 0u8..8) {
            let sealer = sealer();
            let mut sealed = sealer.seal(Purpose::SigningKey, b"kid", &text);
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(sealer.open(Purpose::SigningKey, b"kid", &sealed).is_none());
        }

        #[test]
        fn no_bytes_make_opening_panic(bytes: Vec<u8>) {
            prop_assert!(sealer().open(Purpose::SigningKey, b"", &bytes).is_none());
            prop_assert!(sealer().open_with("secret", &bytes).is_none());
        }
    }
}
