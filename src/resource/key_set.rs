//! The public keys of an authorization server, kept parsed.

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::protocol::jose::{Algorithm, Jwk, JwkSet};

/// More keys than anybody publishes: whoever does has something else in mind.
const MAX_KEYS: usize = 64;

/// A set of keys that verify.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    public: ParsedPublicKey,
}

/// What a key set has to say about a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signed {
    /// By one of these keys.
    Genuine,
    /// By none of the keys that it could be.
    Forged,
    /// There is no key of this name and algorithm.
    UnknownKey,
}

impl KeySet {
    /// Takes what can verify access tokens, and leaves the rest.
    pub(super) fn new(published: &JwkSet) -> Self {
        let each = |jwk: &Jwk| {
            let parsed = Algorithm::ASYMMETRIC.iter().filter_map(|algorithm| {
                let public = parse(jwk, *algorithm)?;
                Some(Key { id: jwk.kid.clone(), algorithm: *algorithm, public })
            });
            parsed.collect::<Vec<_>>()
        };
        Self(published.keys.iter().take(MAX_KEYS).flat_map(each).collect())
    }

    /// Checks a signature. Without a `kid` there must be only one key that it could mean; where several keys bear one `kid`, any
    /// of them may have signed.
    pub(super) fn check(&self, algorithm: Algorithm, key_id: Option<&str>, message: &[u8], signature: &[u8]) -> Signed {
        let fits = |key: &&Key| key.algorithm == algorithm && (key_id.is_none() || key.id.as_deref() == key_id);
        let mut fitting = self.0.iter().filter(fits).peekable();
        if fitting.peek().is_none() || (key_id.is_none() && self.0.iter().filter(fits).count() > 1) {
            return Signed::UnknownKey;
        }
        if fitting.any(|key| key.public.verify_sig(message, signature).is_ok()) {
            Signed::Genuine
        } else {
            Signed::Forged
        }
    }
}

/// The key, if it can be used with `algorithm`: by its type and curve, by its size, and by what it says about itself.
fn parse(jwk: &Jwk, algorithm: Algorithm) -> Option<ParsedPublicKey> {
    let for_signatures = jwk.public_key_use.as_deref().is_none_or(|purpose| purpose == "sig");
    let states_other = jwk.alg.as_deref().is_some_and(|alg| alg.parse() != Ok(algorithm));
    if !for_signatures || states_other {
        return None;
    }
    let decode = |member: &Option<String>| URL_SAFE_NO_PAD.decode(member.as_deref()?).ok();
    let is = |kty, crv| jwk.kty == kty && jwk.crv.as_deref() == Some(crv);
    match algorithm {
        Algorithm::ES256 if is("EC", "P-256") => {
            // RFC 7518 6.2.1.2: full length, leading zeros included. An uncompressed point is 4, x, y.
            let full = |member| decode(member).filter(|bytes| bytes.len() == 32);
            let point = [&[4][..], &full(&jwk.x)?, &full(&jwk.y)?].concat();
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()
        }
        Algorithm::EdDSA if is("OKP", "Ed25519") => ParsedPublicKey::new(&ED25519, decode(&jwk.x)?).ok(),
        Algorithm::RS256 | Algorithm::PS256 if jwk.kty == "RSA" => {
            let der: PublicKeyX509Der<'_> =
                AsDer::as_der(&PublicKeyComponents { n: decode(&jwk.n)?, e: decode(&jwk.e)? }).ok()?;
            // RFC 7518 3.3: RSA keys of fewer bits must not be used.
            match algorithm {
                Algorithm::PS256 => ParsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, der.as_ref()).ok(),
                Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA | Algorithm::HS256 => {
                    ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der.as_ref()).ok()
                }
            }
        }
        Algorithm::ES256 | Algorithm::EdDSA | Algorithm::RS256 | Algorithm::PS256 | Algorithm::HS256 => None,
    }
}
