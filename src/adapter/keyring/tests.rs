//! What the keyring signs, recognises and publishes. How keys follow each other is tested in `rotation_tests`.

use std::{sync::Mutex as StdMutex, time::Duration};

use async_trait::async_trait;
use proptest::prelude::*;

use super::*;
use crate::{
    adapter::{entropy::Counted, master_key::MasterKey, sealer::MasterSealer, signing_key::SigningKey},
    domain::key::{KeySchedule, newest},
    port::store::{Addition, StoreResult},
    resource::jws::compact,
};

pub(super) const NOW: Timestamp = Timestamp::from_unix(1_000_000);
pub(super) const SCHEDULE: KeySchedule = KeySchedule {
    rotation_period: Duration::from_secs(10_000),
    publish_ahead: Duration::from_secs(1_000),
    verify_after: Duration::from_secs(500),
};
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A key store in memory.
#[derive(Default)]
pub(super) struct Keys(pub(super) StdMutex<Vec<KeyRecord>>);

#[async_trait]
impl KeyStore for Keys {
    async fn list(&self) -> StoreResult<Vec<KeyRecord>> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn add(&self, key: &KeyRecord, expected: Option<&KeyId>) -> StoreResult<Addition> {
        let mut all = self.0.lock().unwrap();
        if newest(key.algorithm, &all).map(|key| &key.id) != expected {
            return Ok(Addition::Superseded);
        }
        all.push(key.clone());
        Ok(Addition::Added)
    }

    async fn remove(&self, id: &KeyId) -> StoreResult<bool> {
        let mut all = self.0.lock().unwrap();
        let before = all.len();
        all.retain(|key| key.id != *id);
        Ok(all.len() < before)
    }

    async fn ping(&self) -> StoreResult<()> {
        Ok(())
    }
}

pub(super) fn sealer() -> Arc<MasterSealer> {
    let entropy = Counted::default();
    Arc::new(MasterSealer::new(&MasterKey::generate(&entropy), Arc::new(entropy)))
}

pub(super) async fn load(store: &Arc<Keys>, algorithms: &[Algorithm]) -> Keyring {
    let policy = KeyPolicy { schedule: SCHEDULE, algorithms: algorithms.to_vec() };
    let secret = Secret::new(SECRET);
    Keyring::load(Arc::clone(store) as Arc<dyn KeyStore>, sealer(), policy, Some(&secret)).await.unwrap()
}

pub(super) async fn maintained(algorithms: &[Algorithm]) -> Keyring {
    let keyring = load(&Arc::default(), algorithms).await;
    keyring.maintain(NOW).await.unwrap();
    keyring
}

pub(super) fn claims() -> AccessTokenClaims {
    AccessTokenClaims {
        iss: "https://auth.example".into(),
        sub: "user".into(),
        aud: "https://mcp.example/mcp".into(),
        exp: NOW.unix() + 3600,
        iat: NOW.unix(),
        nbf: NOW.unix(),
        jti: "jti".into(),
        client_id: "client".into(),
        scope: "mcp:read".into(),
        grant_id: Some("grant".into()),
        auth_time: Some(NOW.unix() - 5),
    }
}

pub(super) fn recognised(keyring: &Keyring, token: &str) -> bool {
    keyring.verify(&Secret::new(token)).is_some_and(|read| *read == claims())
}

/// The only ES256 key of the keyring, for forging.
fn forge(keyring: &Keyring, header: &str) -> String {
    let snapshot = keyring.current();
    let ready = snapshot.signing(Algorithm::ES256, NOW).unwrap();
    let header = header.replace("KID", ready.key.id().as_str());
    compact(&header, &serde_json::to_string(&claims()).unwrap(), |message| ready.key.sign(message).unwrap())
}

#[tokio::test]
async fn a_token_of_each_algorithm_reads_back_and_a_changed_one_does_not() {
    let keyring = maintained(Algorithm::ASYMMETRIC).await;
    for &algorithm in Algorithm::ASYMMETRIC.iter().chain(&[Algorithm::HS256]) {
        let token = keyring.sign(algorithm, &claims(), NOW).unwrap();
        assert!(recognised(&keyring, &token), "{algorithm}");
        assert!(recognised(&keyring, &token), "{algorithm}, from memory");
        let parts: Vec<_> = token.split('.').collect();
        let longer = serde_json::to_string(&AccessTokenClaims { exp: i64::MAX, ..claims() }).unwrap();
        let longer = URL_SAFE_NO_PAD.encode(longer);
        let mut flipped = parts[2].as_bytes().to_vec();
        flipped[10] = if flipped[10] == b'A' { b'B' } else { b'A' };
        for bad in [
            format!("{}.{longer}.{}", parts[0], parts[2]),
            format!("{}.{}.{}", parts[0], parts[1], String::from_utf8(flipped).unwrap()),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}", parts[0], parts[1]),
            format!("{token}."),
            format!("{token}="),
            format!(" {token}"),
        ] {
            assert!(keyring.verify(&Secret::new(bad)).is_none());
        }
    }
}

#[tokio::test]
async fn a_token_that_was_recognised_no_longer_is_when_its_key_is_gone() {
    let store = Arc::default();
    let keyring = load(&store, &[Algorithm::ES256]).await;
    keyring.maintain(NOW).await.unwrap();
    let token = keyring.sign(Algorithm::ES256, &claims(), NOW).unwrap();
    assert!(recognised(&keyring, &token));
    keyring.refresh().await.unwrap();
    assert!(recognised(&keyring, &token), "the same key is still there");
    store.0.lock().unwrap().clear();
    keyring.refresh().await.unwrap();
    assert!(!recognised(&keyring, &token));
}

#[tokio::test]
async fn what_is_not_genuine_is_not_remembered_and_what_is_vouches_for_itself_alone() {
    let keyring = maintained(&[Algorithm::ES256]).await;
    let token = keyring.sign(Algorithm::ES256, &claims(), NOW).unwrap();
    let other = keyring.sign(Algorithm::ES256, &AccessTokenClaims { sub: "other".into(), ..claims() }, NOW).unwrap();
    let (message, _) = token.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    let forged = format!("{message}.{signature}");
    assert!(!recognised(&keyring, &forged) && !recognised(&keyring, &forged));
    assert!(recognised(&keyring, &token));
    assert!(!recognised(&keyring, &forged), "also when the genuine one is remembered");
}

#[tokio::test]
async fn a_token_of_each_algorithm_is_verified_by_another_library_with_the_published_key() {
    use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, jwk::JwkSet as TheirSet};
    let keyring = maintained(Algorithm::ASYMMETRIC).await;
    let published: TheirSet =
        serde_json::from_value(serde_json::to_value(keyring.published_keys(NOW)).unwrap()).unwrap();
    assert_eq!(published.keys.len(), 4, "and none for HS256");
    for &algorithm in Algorithm::ASYMMETRIC {
        let token = keyring.sign(algorithm, &claims(), NOW).unwrap();
        let header = decode_header(&token).unwrap();
        assert_eq!(header.typ.as_deref(), Some("at+jwt"));
        let key = DecodingKey::from_jwk(published.find(&header.kid.unwrap()).unwrap()).unwrap();
        let mut validation = Validation::new(algorithm.as_str().parse().unwrap());
        (validation.validate_exp, validation.validate_aud) = (false, false);
        assert_eq!(decode::<AccessTokenClaims>(&token, &key, &validation).unwrap().claims, claims());
    }
}

#[tokio::test]
async fn a_header_that_is_not_ours_is_refused_although_the_signature_is() {
    let keyring = maintained(&[Algorithm::ES256]).await;
    assert!(recognised(&keyring, &forge(&keyring, r#"{"alg":"ES256","typ":"at+jwt","kid":"KID"}"#)));
    assert!(recognised(&keyring, &forge(&keyring, r#"{"alg":"ES256","typ":"application/at+jwt","kid":"KID"}"#)));
    for bad in [
        r#"{"alg":"none","typ":"at+jwt","kid":"KID"}"#,
        r#"{"alg":"EdDSA","typ":"at+jwt","kid":"KID"}"#,
        r#"{"alg":"RS256","typ":"at+jwt","kid":"KID"}"#,
        r#"{"alg":"HS256","typ":"at+jwt","kid":"KID"}"#,
        r#"{"alg":"HS256","typ":"at+jwt"}"#,
        r#"{"alg":"ES256","typ":"at+jwt"}"#,
        r#"{"alg":"ES256","typ":"at+jwt","kid":"other"}"#,
        r#"{"alg":"ES256","typ":"JWT","kid":"KID"}"#,
        r#"{"alg":"ES256","kid":"KID"}"#,
        r#"{"alg":"ES256","typ":"at+jwt","kid":"KID","crit":["x"],"x":1}"#,
        r#"{"alg":"ES256","alg":"none","typ":"at+jwt","kid":"KID"}"#,
    ] {
        assert!(keyring.verify(&Secret::new(forge(&keyring, bad))).is_none(), "{bad}");
    }
}

#[tokio::test]
async fn a_key_that_the_token_brings_along_is_ignored() {
    let keyring = maintained(&[Algorithm::ES256]).await;
    let stranger = SigningKey::generate(Algorithm::ES256).unwrap();
    let jwk = serde_json::to_string(stranger.public()).unwrap();
    let kid = keyring.keys(NOW)[0].0.id.clone();
    for kid in [kid.as_str(), stranger.id().as_str()] {
        let header =
            format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{kid}","jku":"https://evil.example","jwk":{jwk}}}"#);
        let claims = serde_json::to_string(&claims()).unwrap();
        let forged = compact(&header, &claims, |message| stranger.sign(message).unwrap());
        assert!(keyring.verify(&Secret::new(forged)).is_none());
    }
    let ours = forge(&keyring, r#"{"alg":"ES256","typ":"at+jwt","kid":"KID","jku":"https://evil.example"}"#);
    assert!(recognised(&keyring, &ours));
}

#[tokio::test]
async fn a_public_key_is_no_secret_for_hs256() {
    let store = Arc::default();
    let policy = KeyPolicy { schedule: SCHEDULE, algorithms: vec![Algorithm::RS256] };
    for secret in [None, Some(Secret::new(SECRET))] {
        let store = Arc::clone(&store) as Arc<Keys>;
        let keyring = Keyring::load(store, sealer(), policy.clone(), secret.as_ref()).await.unwrap();
        keyring.maintain(NOW).await.unwrap();
        let public = keyring.published_keys(NOW).keys[0].clone();
        let json = serde_json::to_string(&public).unwrap();
        for known in [public.n.unwrap(), json] {
            for kid in ["", &format!(r#","kid":"{}""#, public.kid.clone().unwrap())] {
                let header = format!(r#"{{"alg":"HS256","typ":"at+jwt"{kid}}}"#);
                let key = hmac::Key::new(hmac::HMAC_SHA256, known.as_bytes());
                let forged = compact(&header, &serde_json::to_string(&claims()).unwrap(), |message| {
                    hmac::sign(&key, message).as_ref().to_vec()
                });
                assert!(keyring.verify(&Secret::new(forged)).is_none());
            }
        }
    }
}

#[tokio::test]
async fn hs256_needs_a_secret_of_32_bytes_and_is_off_without_one() {
    let load = async |secret: Option<&str>| {
        let policy = KeyPolicy { schedule: SCHEDULE, algorithms: vec![Algorithm::HS256] };
        Keyring::load(Arc::<Keys>::default(), sealer(), policy, secret.map(Secret::new).as_ref()).await
    };
    assert!(matches!(load(Some(&SECRET[1..])).await, Err(KeyringError::WeakSharedSecret { length: 31 })));
    let with = load(Some(SECRET)).await.unwrap();
    let token = with.sign(Algorithm::HS256, &claims(), NOW).unwrap();
    let without = load(None).await.unwrap();
    assert!(without.sign(Algorithm::HS256, &claims(), NOW).is_err());
    assert!(without.verify(&Secret::new(token)).is_none());
    assert_eq!(with.maintain(NOW).await.unwrap(), Maintenance::default(), "it has no key in the store");
    assert!(with.published_keys(NOW).keys.is_empty());
}

#[tokio::test]
async fn an_algorithm_without_a_key_cannot_sign() {
    let keyring = maintained(&[Algorithm::ES256]).await;
    assert!(keyring.sign(Algorithm::EdDSA, &claims(), NOW).is_err());
}

#[tokio::test]
async fn a_token_over_16_kib_is_refused() {
    let keyring = maintained(&[Algorithm::ES256]).await;
    let large = AccessTokenClaims { scope: "x".repeat(16 * 1024), ..claims() };
    let token = keyring.sign(Algorithm::ES256, &large, NOW).unwrap();
    assert!(keyring.verify(&Secret::new(token)).is_none());
}

#[tokio::test]
async fn a_wrong_master_key_is_named_with_the_key_that_does_not_open() {
    let store = Arc::<Keys>::default();
    load(&store, &[Algorithm::ES256]).await.maintain(NOW).await.unwrap();
    let other = MasterKey::parse(&format!("gw_mk_{}", "A".repeat(43))).unwrap();
    let other = Arc::new(MasterSealer::new(&other, Arc::new(Counted::default())));
    let policy = KeyPolicy { schedule: SCHEDULE, algorithms: vec![] };
    let error = Keyring::load(Arc::clone(&store) as _, other, policy, None).await.unwrap_err();
    let kid = store.0.lock().unwrap()[0].id.clone();
    assert!(error.to_string().contains(kid.as_str()) && error.to_string().contains("master key"), "{error}");
}

#[tokio::test]
async fn records_that_were_changed_in_the_store_are_refused_and_the_old_keys_stay() {
    let store = Arc::<Keys>::default();
    let keyring = load(&store, &[Algorithm::RS256, Algorithm::ES256]).await;
    keyring.maintain(NOW).await.unwrap();
    let token = keyring.sign(Algorithm::ES256, &claims(), NOW).unwrap();
    let good = store.0.lock().unwrap().clone();
    let stranger = SigningKey::generate(Algorithm::RS256).unwrap();
    type Change<'a> = &'a dyn Fn(&mut [KeyRecord]);
    let changes: [Change<'_>; 4] = [
        &|all| all[0].public = stranger.public().clone(),
        &|all| all[0].id = stranger.id().clone(),
        &|all| all[0].algorithm = Algorithm::PS256,
        &|all| all[0].sealed_private = all[1].sealed_private.clone(),
    ];
    for change in changes {
        let mut bad = good.clone();
        change(&mut bad);
        *store.0.lock().unwrap() = bad;
        let fresh = Keyring::load(Arc::clone(&store) as _, sealer(), keyring.policy.clone(), None).await;
        assert!(matches!(fresh, Err(KeyringError::WrongMasterKey { .. } | KeyringError::Damaged { .. })));
    }
    assert!(recognised(&keyring, &token));
}

proptest! {
    #[test]
    fn no_text_makes_verification_panic(text in ".*", head in ".*", body in ".*", signature: Vec<u8>) {
        thread_local!(static KEYRING: Keyring = tokio::runtime::Runtime::new().unwrap().block_on(maintained(&[Algorithm::ES256])));
        KEYRING.with(|keyring| {
            let kid = keyring.keys(NOW)[0].0.id.clone();
            assert!(keyring.verify(&Secret::new(text)).is_none());
            for header in [head, format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{kid}"}}"#)] {
                let token = compact(&header, &body, |_| signature.clone());
                assert!(keyring.verify(&Secret::new(token)).is_none());
            }
        });
    }
}
