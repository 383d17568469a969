//! Signatures of client assertions (RFC 7523, `private_key_jwt`).
//!
//! Only what the client registered is believed: its keys, and what they say about themselves. The header chooses among them
//! by `kid` and must name an algorithm that fits the key; it brings no key along. The verification itself is `jsonwebtoken`'s; its
//! judgement of claims is not used at all (it reads the wall clock), `domain::assertion` does that.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm as TheirAlgorithm, DecodingKey, crypto::aws_lc};

use crate::resource::jws::Jws;
use crate::{
    port::crypto::{AssertionError, AssertionVerifier},
    protocol::{
        jose::{Algorithm, AssertionClaims, Jwk, JwkSet},
        secret::Secret,
    },
};

/// The most keys that are tried for one assertion: the time that one request can take is bounded.
const MAX_TRIED: usize = 10;
/// RFC 7518 3.3: RSA keys of fewer bits must not be used.
const MIN_RSA_BITS: usize = 2048;
/// `typ` of a client assertion: this one in current drafts, `JWT` in practice.
const EXPLICIT_TYPE: &str = "client-authentication+jwt";

/// Verifies client assertions with `jsonwebtoken`.
#[derive(Debug, Clone, Copy, Default)]
pub struct JwtAssertionVerifier;

impl AssertionVerifier for JwtAssertionVerifier {
    fn verify(&self, assertion: &Secret, keys: &JwkSet) -> Result<AssertionClaims, AssertionError> {
        let jws = Jws::split(assertion.expose()).ok_or(AssertionError::Malformed)?;
        let header = jws.header().ok_or(AssertionError::Malformed)?;
        // RFC 8725 3.11: what the client signed for another use (a DPoP proof, a request object) says so here.
        if header.is_typed() && !header.is_of_type("JWT") && !header.is_of_type(EXPLICIT_TYPE) {
            return Err(AssertionError::Malformed);
        }
        let algorithm = header.alg.parse().map_err(|_| AssertionError::Algorithm)?;
        let theirs = accepted(algorithm).ok_or(AssertionError::Algorithm)?;

        let selected = |key: &&Jwk| header.kid.as_deref().is_none_or(|kid| key.kid.as_deref() == Some(kid));
        // Several keys may bear one `kid`; then each is tried, as without a `kid`.
        let fitting = keys.keys.iter().filter(selected).filter_map(|key| decoding_key(key, algorithm));
        let mut outcome = Err(AssertionError::NoKey);
        for key in fitting.take(MAX_TRIED) {
            if is_genuine(theirs, &key, &jws) {
                outcome = Ok(());
                break;
            }
            outcome = Err(AssertionError::BadSignature);
        }
        outcome?;
        jws.claims().ok_or(AssertionError::Malformed)
    }
}

/// What clients may sign with: a MAC with a secret that this server only knows the digest of cannot be among it.
fn accepted(algorithm: Algorithm) -> Option<TheirAlgorithm> {
    match algorithm {
        Algorithm::ES256 => Some(TheirAlgorithm::ES256),
        Algorithm::EdDSA => Some(TheirAlgorithm::EdDSA),
        Algorithm::RS256 => Some(TheirAlgorithm::RS256),
        Algorithm::PS256 => Some(TheirAlgorithm::PS256),
        Algorithm::HS256 => None,
    }
}

/// The key, if it can be used with `algorithm`: by its type and curve, by its size, and by what it says about itself.
fn decoding_key(key: &Jwk, algorithm: Algorithm) -> Option<DecodingKey> {
    let for_signatures = key.public_key_use.as_deref().is_none_or(|purpose| purpose == "sig");
    let states_other = key.alg.as_deref().is_some_and(|alg| alg.parse() != Ok(algorithm));
    if !for_signatures || states_other {
        return None;
    }
    let decode = |member: &Option<String>| URL_SAFE_NO_PAD.decode(member.as_deref()?).ok();
    let is = |kty, crv| key.kty == kty && key.crv.as_deref() == Some(crv);
    match algorithm {
        Algorithm::ES256 => {
            let (x, y) = (key.x.as_deref()?, key.y.as_deref()?);
            // RFC 7518 6.2.1.2: full length, leading zeros included.
            let full = |member| decode(member).is_some_and(|bytes| bytes.len() == 32);
            (is("EC", "P-256") && full(&key.x) && full(&key.y))
                .then(|| DecodingKey::from_ec_components(x, y).ok())
                .flatten()
        }
        Algorithm::EdDSA => {
            let x = decode(&key.x).filter(|x| is("OKP", "Ed25519") && x.len() == 32)?;
            Some(DecodingKey::from_ed_der(&x))
        }
        Algorithm::RS256 | Algorithm::PS256 => {
            let (n, e) = (decode(&key.n)?, decode(&key.e)?);
            let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
            (key.kty == "RSA" && bits >= MIN_RSA_BITS).then(|| DecodingKey::from_rsa_raw_components(&n, &e))
        }
        Algorithm::HS256 => None,
    }
}

/// Asks aws-lc by name: `jsonwebtoken`'s default provider panics if another crate also switches on its other one.
fn is_genuine(algorithm: TheirAlgorithm, key: &DecodingKey, jws: &Jws<'_>) -> bool {
    (aws_lc::DEFAULT_PROVIDER.verifier_factory)(&algorithm, key)
        .is_ok_and(|verifier| verifier.verify(jws.message, &jws.signature).is_ok())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;
    use proptest::prelude::*;

    use super::*;
    use crate::{adapter::signing_key::SigningKey, resource::jws::compact};

    const CLAIMS: &str = r#"{"iss":"client","sub":"client","aud":"https://auth.example","exp":300,"jti":"one"}"#;

    fn signed(key: &SigningKey, header: &str, payload: &str) -> String {
        compact(header, payload, |message| key.sign(message).unwrap())
    }

    fn header(key: &SigningKey) -> String {
        format!(r#"{{"alg":"{}","kid":"{}"}}"#, key.algorithm(), key.id())
    }

    fn set(keys: &[&Jwk]) -> JwkSet {
        JwkSet { keys: keys.iter().copied().cloned().collect() }
    }

    fn verify(text: impl Into<String>, keys: &[&Jwk]) -> Result<AssertionClaims, AssertionError> {
        JwtAssertionVerifier.verify(&Secret::new(text), &set(keys))
    }

    fn key() -> SigningKey {
        SigningKey::generate(Algorithm::ES256).unwrap()
    }

    #[test]
    fn an_assertion_of_each_algorithm_is_verified_with_and_without_a_kid() {
        for &algorithm in Algorithm::ASYMMETRIC {
            let (key, other) = (SigningKey::generate(algorithm).unwrap(), SigningKey::generate(algorithm).unwrap());
            let bare = format!(r#"{{"alg":"{algorithm}"}}"#);
            for header in [header(&key), bare] {
                let text = signed(&key, &header, CLAIMS);
                assert_eq!(verify(&text, &[other.public(), key.public()]).unwrap().jti, "one");
                let tampered = text.replacen(".ey", ".eyJ4IjoxLC", 1);
                assert!(verify(&tampered, &[key.public()]).is_err());
            }
            assert_eq!(verify(signed(&key, &header(&key), CLAIMS), &[other.public()]), Err(AssertionError::NoKey));
            let unnamed = Jwk { kid: None, ..other.public().clone() };
            let text = signed(&key, &format!(r#"{{"alg":"{algorithm}"}}"#), CLAIMS);
            assert_eq!(verify(text, &[&unnamed]), Err(AssertionError::BadSignature));
        }
    }

    #[test]
    fn an_assertion_made_by_jsonwebtoken_is_verified() {
        let key = key();
        let encoding = jsonwebtoken::EncodingKey::from_ec_der(&key.to_pkcs8().unwrap());
        let claims: serde_json::Value = serde_json::from_str(CLAIMS).unwrap();
        let text = jsonwebtoken::encode(&jsonwebtoken::Header::new(TheirAlgorithm::ES256), &claims, &encoding).unwrap();
        assert!(verify(text, &[key.public()]).is_ok());
    }

    #[test]
    fn alg_none_and_a_public_key_used_as_a_secret_are_refused() {
        let key = SigningKey::generate(Algorithm::RS256).unwrap();
        let none = compact(r#"{"alg":"none"}"#, CLAIMS, |_| vec![]);
        assert_eq!(verify(none, &[key.public()]), Err(AssertionError::Algorithm));
        let n = key.public().n.clone().unwrap();
        let mac = |message: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, n.as_bytes()), message);
        let forged = compact(r#"{"alg":"HS256"}"#, CLAIMS, |message| mac(message).as_ref().to_vec());
        assert_eq!(verify(forged, &[key.public()]), Err(AssertionError::Algorithm));
    }

    #[test]
    fn the_algorithm_must_fit_the_key_and_what_the_key_says() {
        let rsa = SigningKey::generate(Algorithm::RS256).unwrap();
        let text = signed(&rsa, r#"{"alg":"RS256"}"#, CLAIMS);
        let stating = |alg: Option<&str>, usage: &str| Jwk {
            alg: alg.map(str::to_owned),
            public_key_use: Some(usage.into()),
            ..rsa.public().clone()
        };
        assert!(verify(&text, &[&stating(None, "sig")]).is_ok());
        assert_eq!(verify(&text, &[&stating(Some("PS256"), "sig")]), Err(AssertionError::NoKey));
        assert_eq!(verify(&text, &[&stating(Some("RSA-OAEP"), "sig")]), Err(AssertionError::NoKey));
        assert_eq!(verify(&text, &[&stating(None, "enc")]), Err(AssertionError::NoKey));
        assert_eq!(verify(&text, &[key().public()]), Err(AssertionError::NoKey));
        let p384 = Jwk { crv: Some("P-384".into()), ..key().public().clone() };
        assert_eq!(verify(signed(&key(), r#"{"alg":"ES256"}"#, CLAIMS), &[&p384]), Err(AssertionError::NoKey));
    }

    #[test]
    fn both_names_of_ed25519_signatures_are_understood() {
        let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
        let public = Jwk { alg: Some("Ed25519".into()), ..key.public().clone() };
        for header in [r#"{"alg":"Ed25519"}"#, r#"{"alg":"EdDSA"}"#] {
            assert!(verify(signed(&key, header, CLAIMS), &[&public]).is_ok());
        }
    }

    #[test]
    fn an_rsa_key_below_2048_bits_is_not_used() {
        let key = SigningKey::generate(Algorithm::RS256).unwrap();
        let text = signed(&key, r#"{"alg":"RS256"}"#, CLAIMS);
        let with_modulus = |n: &[u8]| Jwk { n: Some(URL_SAFE_NO_PAD.encode(n)), ..key.public().clone() };
        let mut bits_2047 = [0xff; 256];
        bits_2047[0] = 0x7f;
        for weak in [&bits_2047[..], &[0xff; 128], &[0xff; 255], &[0; 64], &[]] {
            assert_eq!(verify(&text, &[&with_modulus(weak)]), Err(AssertionError::NoKey));
        }
        // Leading zeros do not make a short key long: aws-lc refuses them.
        assert_eq!(verify(&text, &[&with_modulus(&[0; 512])]), Err(AssertionError::BadSignature));
    }

    #[test]
    fn keys_that_share_a_kid_are_each_tried() {
        let (key, other) = (key(), key());
        let twin = Jwk { kid: key.public().kid.clone(), ..other.public().clone() };
        assert!(verify(signed(&key, &header(&key), CLAIMS), &[&twin, key.public()]).is_ok());
    }

    #[test]
    fn no_more_than_ten_keys_are_tried() {
        let (key, others) = (key(), [(); 10].map(|()| key()));
        let mut keys: Vec<_> = others.iter().map(SigningKey::public).collect();
        keys.push(key.public());
        let text = signed(&key, r#"{"alg":"ES256"}"#, CLAIMS);
        assert_eq!(verify(&text, &keys), Err(AssertionError::BadSignature));
        assert!(verify(&text, &keys[1..]).is_ok());
    }

    #[test]
    fn a_key_in_the_header_is_ignored() {
        let (key, stranger) = (key(), key());
        let jwk = serde_json::to_string(stranger.public()).unwrap();
        let header = format!(r#"{{"alg":"ES256","jku":"https://evil.example/jwks","jwk":{jwk}}}"#);
        assert_eq!(verify(signed(&stranger, &header, CLAIMS), &[key.public()]), Err(AssertionError::BadSignature));
        assert!(verify(signed(&key, &header, CLAIMS), &[key.public()]).is_ok());
    }

    #[test]
    fn a_critical_extension_or_a_jwt_for_another_use_is_refused() {
        let key = key();
        for bad in [r#""crit":["exp"]"#, r#""typ":"at+jwt""#, r#""typ":"dpop+jwt""#] {
            let text = signed(&key, &format!(r#"{{"alg":"ES256",{bad}}}"#), CLAIMS);
            assert_eq!(verify(text, &[key.public()]), Err(AssertionError::Malformed), "{bad}");
        }
        for good in ["JWT", "jwt", "client-authentication+jwt"] {
            let text = signed(&key, &format!(r#"{{"alg":"ES256","typ":"{good}"}}"#), CLAIMS);
            assert!(verify(text, &[key.public()]).is_ok());
        }
    }

    #[test]
    fn claims_are_read_only_as_rfc_7523_writes_them() {
        let key = key();
        for bad in [
            CLAIMS.replace(r#""https://auth.example""#, r#"["https://auth.example"]"#),
            CLAIMS.replace(r#""jti":"one""#, r#""x":1"#),
            CLAIMS.replace(r#""exp":300"#, r#""exp":"300""#),
            CLAIMS.replace(r#""jti":"one""#, r#""jti":"one","jti":"two""#),
            r#"["client","client","https://auth.example",300,null,null,"one"]"#.into(),
            String::new(),
        ] {
            let text = signed(&key, &header(&key), &bad);
            assert_eq!(verify(text, &[key.public()]), Err(AssertionError::Malformed), "{bad}");
        }
        // Whether it has expired is not judged here, and no clock is read.
        assert_eq!(verify(signed(&key, &header(&key), CLAIMS), &[key.public()]).unwrap().exp, 300);
    }

    #[test]
    fn an_assertion_over_16_kib_is_refused() {
        let key = key();
        let padded = CLAIMS.replace(r#""jti""#, &format!(r#""x":"{}","jti""#, "x".repeat(16 * 1024)));
        assert_eq!(verify(signed(&key, &header(&key), &padded), &[key.public()]), Err(AssertionError::Malformed));
    }

    proptest! {
        #[test]
        fn no_text_makes_verification_panic(text in ".*", head in ".*", body in ".*", signature: Vec<u8>) {
            let keys = [Algorithm::ES256, Algorithm::EdDSA].map(|a| SigningKey::generate(a).unwrap());
            let keys: Vec<_> = keys.iter().map(SigningKey::public).collect();
            prop_assert!(verify(text, &keys).is_err());
            for header in [head, r#"{"alg":"ES256"}"#.into(), r#"{"alg":"EdDSA"}"#.into()] {
                prop_assert!(verify(compact(&header, &body, |_| signature.clone()), &keys).is_err());
            }
        }

        #[test]
        fn no_key_makes_verification_panic(x: Vec<u8>, y: Vec<u8>, n in prop::collection::vec(any::<u8>(), 0..600)) {
            for (kty, crv, alg) in [("EC", "P-256", "ES256"), ("OKP", "Ed25519", "EdDSA"), ("RSA", "", "RS256")] {
                let text = |bytes: &[u8]| Some(URL_SAFE_NO_PAD.encode(bytes));
                let key = Jwk {
                    kty: kty.into(),
                    public_key_use: None,
                    alg: None,
                    kid: None,
                    crv: Some(crv.into()),
                    x: text(&x),
                    y: text(&y),
                    n: text(&n),
                    e: text(&x),
                };
                let jws = compact(&format!(r#"{{"alg":"{alg}"}}"#), CLAIMS, |_| n.clone());
                prop_assert!(verify(jws, &[&key]).is_err());
            }
        }
    }
}
