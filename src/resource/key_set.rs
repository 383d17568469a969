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

/// What a published key can verify.
#[cfg(any(feature = "server", test))]
pub(crate) fn algorithms(jwk: &Jwk) -> Vec<Algorithm> {
    Algorithm::ASYMMETRIC.iter().copied().filter(|algorithm| parse(jwk, *algorithm).is_some()).collect()
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
            let (n, e) = (decode(&jwk.n)?, decode(&jwk.e)?);
            // RFC 7518 3.3: RSA keys of fewer bits must not be used. Larger ones only cost time.
            let bits = n.len() * 8 - usize::try_from(n.first()?.leading_zeros()).ok()?;
            if !(2048..=8192).contains(&bits) {
                return None;
            }
            let der: PublicKeyX509Der<'_> = AsDer::as_der(&PublicKeyComponents { n, e }).ok()?;
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

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
    };
    use serde_json::{Value, json};

    use super::*;

    fn jwk(json: Value) -> Jwk {
        serde_json::from_value(json).unwrap()
    }

    fn set(keys: &[Value]) -> KeySet {
        KeySet::new(&JwkSet { keys: keys.iter().cloned().map(jwk).collect() })
    }

    /// The algorithms that a key can be used with.
    fn algorithms(key: &Value) -> Vec<Algorithm> {
        super::algorithms(&jwk(key.clone()))
    }

    fn encode(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn ec(pair: &EcdsaKeyPair) -> Value {
        let point = pair.public_key().as_ref();
        json!({ "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]) })
    }

    fn ec_pair() -> EcdsaKeyPair {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
    }

    /// Some odd number of so many bits; nobody has to know its factors to publish it.
    fn rsa(bits: usize) -> Value {
        json!({ "kty": "RSA", "n": encode(&vec![0xc5; bits / 8]), "e": "AQAB" })
    }

    fn with(key: &Value, name: &str, value: &str) -> Value {
        let mut key = key.clone();
        key[name] = value.into();
        key
    }

    #[test]
    fn a_key_without_alg_is_good_for_all_that_its_type_can_do() {
        let ed = json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(Ed25519KeyPair::generate().unwrap().public_key().as_ref()) });
        assert_eq!(algorithms(&ec(&ec_pair())), [Algorithm::ES256]);
        assert_eq!(algorithms(&ed), [Algorithm::EdDSA]);
        assert_eq!(algorithms(&with(&ed, "alg", "Ed25519")), [Algorithm::EdDSA]);
        assert_eq!(algorithms(&rsa(2048)), [Algorithm::RS256, Algorithm::PS256]);
    }

    #[test]
    fn a_key_that_says_what_it_is_for_is_good_for_nothing_else() {
        assert_eq!(algorithms(&with(&rsa(2048), "alg", "PS256")), [Algorithm::PS256]);
        assert_eq!(algorithms(&with(&rsa(2048), "use", "sig")).len(), 2);
        for (name, value) in
            [("use", "enc"), ("use", ""), ("alg", "RSA-OAEP"), ("alg", "HS256"), ("alg", "none"), ("alg", "ES256")]
        {
            assert_eq!(algorithms(&with(&rsa(2048), name, value)), [], "{name} {value}");
        }
    }

    /// RFC 7518 3.3.
    #[test]
    fn rsa_keys_have_2048_to_8192_bits() {
        assert_eq!(algorithms(&rsa(1024)), []);
        assert_eq!(algorithms(&rsa(2040)), []);
        assert_eq!(algorithms(&rsa(8192)).len(), 2);
        assert_eq!(algorithms(&rsa(16384)), []);
    }

    #[test]
    fn what_is_no_point_and_no_number_is_no_key() {
        let good = ec(&ec_pair());
        let zeros = encode(&[0; 32]);
        for bad in [
            with(&good, "x", &zeros),
            with(&good, "x", "AA"),
            with(&good, "x", "not base64!"),
            with(&good, "crv", "P-384"),
            with(&good, "crv", "secp256k1"),
            with(&good, "kty", "OKP"),
            with(&good, "kty", "ec"),
            json!({ "kty": "EC", "crv": "P-256", "x": good["x"] }),
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA" }),
            json!({ "kty": "OKP", "crv": "X25519", "x": zeros }),
            json!({ "kty": "RSA", "n": encode(&[0xc5; 256]) }),
            json!({ "kty": "RSA", "n": "", "e": "AQAB" }),
            json!({ "kty": "RSA", "n": encode(&[0xc5; 256]), "e": "" }),
            json!({ "kty": "RSA", "n": encode(&[0xc5; 256]), "e": "AQ" }),
            json!({ "kty": "oct" }),
        ] {
            assert_eq!(algorithms(&bad), [], "{bad}");
        }
    }

    #[test]
    fn a_signature_is_checked_with_the_keys_that_it_could_be_by() {
        let (one, other) = (ec_pair(), ec_pair());
        let signature = one.sign(&SystemRandom::new(), b"message").unwrap();
        let check = |keys: &[Value], kid| set(keys).check(Algorithm::ES256, kid, b"message", signature.as_ref());
        let (named, nameless) = (with(&ec(&one), "kid", "a"), ec(&one));
        let stranger = with(&ec(&other), "kid", "b");
        assert_eq!(check(&[stranger.clone(), named.clone()], Some("a")), Signed::Genuine);
        assert_eq!(check(&[stranger.clone(), named.clone()], Some("b")), Signed::Forged);
        assert_eq!(check(std::slice::from_ref(&named), Some("A")), Signed::UnknownKey);
        assert_eq!(check(std::slice::from_ref(&named), None), Signed::Genuine);
        assert_eq!(check(std::slice::from_ref(&nameless), None), Signed::Genuine);
        assert_eq!(check(&[nameless], Some("a")), Signed::UnknownKey, "a name is a name");
        assert_eq!(check(&[stranger, named], None), Signed::UnknownKey, "which one?");
        assert_eq!(check(&[], None), Signed::UnknownKey);
    }

    #[test]
    fn nobody_publishes_more_than_64_keys() {
        let keys: Vec<Value> = (0..65).map(|i| with(&ec(&ec_pair()), "kid", &i.to_string())).collect();
        let set = set(&keys);
        let known = |kid: &str| set.check(Algorithm::ES256, Some(kid), b"", &[0; 64]) != Signed::UnknownKey;
        assert!(known("63") && !known("64"));
    }
}
