//! Signing and verifying access tokens, beside the bare signature over the same bytes.
//!
//! `cargo bench --bench crypto`; compare `keyring` with `bare` in each group.

#![expect(clippy::unwrap_used, reason = "a benchmark may stop")]

use std::{hint::black_box, sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use criterion::{Criterion, criterion_group, criterion_main};
use gateward::{
    adapter::{
        entropy::OsEntropy, keyring::Keyring, master_key::MasterKey, sealer::MasterSealer, signing_key::SigningKey,
    },
    domain::{key::KeySchedule, policy::KeyPolicy, time::Timestamp},
    port::crypto::TokenSigner,
    protocol::{access_token::AccessTokenClaims, jose::Algorithm, secret::Secret},
    store::Stores,
};

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn claims() -> AccessTokenClaims {
    AccessTokenClaims {
        iss: "https://auth.example.com".into(),
        sub: "0123456789abcdefghijkl".into(),
        aud: "https://mcp.example.com/mcp".into(),
        exp: NOW.unix() + 3600,
        iat: NOW.unix(),
        nbf: NOW.unix(),
        jti: "0123456789abcdefghijkl".into(),
        client_id: "0123456789abcdefghijkl".into(),
        scope: "mcp:read mcp:write mcp:execute".into(),
        grant_id: Some("0123456789abcdefghijkl".into()),
        auth_time: Some(NOW.unix() - 60),
    }
}

async fn keyring() -> Keyring {
    let entropy = Arc::new(OsEntropy::new().unwrap());
    let sealer = MasterSealer::new(&MasterKey::generate(&*entropy), entropy);
    let day = Duration::from_secs(86_400);
    let schedule = KeySchedule { rotation_period: 90 * day, publish_ahead: day, verify_after: day };
    let policy = KeyPolicy { schedule, algorithms: Algorithm::ASYMMETRIC.to_vec() };
    let secret = Secret::new(SECRET);
    let keyring = Keyring::load(Stores::in_memory().keys, Arc::new(sealer), policy, Some(&secret)).await.unwrap();
    keyring.maintain(NOW).await.unwrap();
    keyring
}

fn crypto(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (keyring, claims) = (runtime.block_on(keyring()), claims());

    for &algorithm in Algorithm::ASYMMETRIC.iter().chain(&[Algorithm::HS256]) {
        let token = keyring.sign(algorithm, &claims, NOW).unwrap();
        let message = token.rsplit_once('.').unwrap().0.as_bytes();
        let mut sign = criterion.benchmark_group(format!("sign/{algorithm}"));
        match algorithm {
            Algorithm::HS256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
                sign.bench_function("bare", |b| b.iter(|| hmac::sign(&key, black_box(message))));
            }
            Algorithm::ES256 | Algorithm::EdDSA | Algorithm::RS256 | Algorithm::PS256 => {
                let key = bare::Signer::new(algorithm);
                sign.bench_function("bare", |b| b.iter(|| key.sign(black_box(message))));
            }
        }
        sign.bench_function("keyring", |b| b.iter(|| keyring.sign(algorithm, black_box(&claims), NOW).unwrap()));
        sign.finish();

        let mut verify = criterion.benchmark_group(format!("verify/{algorithm}"));
        match algorithm {
            Algorithm::HS256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
                let tag = hmac::sign(&key, message);
                verify.bench_function("bare", |b| {
                    b.iter(|| hmac::verify(&key, black_box(message), tag.as_ref()).unwrap())
                });
            }
            Algorithm::ES256 | Algorithm::EdDSA | Algorithm::RS256 | Algorithm::PS256 => {
                let key = SigningKey::generate(algorithm).unwrap();
                let signature = key.sign(message).unwrap();
                verify.bench_function("bare", |b| b.iter(|| assert!(key.verify(black_box(message), &signature))));
            }
        }
        let token = Secret::new(token.as_str());
        verify.bench_function("keyring", |b| b.iter(|| keyring.verify(black_box(&token)).unwrap()));
        verify.finish();
    }
}

/// aws-lc-rs without anything of ours around it.
mod bare {
    use std::hint::black_box;

    use aws_lc_rs::{
        rand::SystemRandom,
        rsa::KeySize,
        signature::{
            ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
            RsaEncoding, RsaKeyPair,
        },
    };
    use gateward::protocol::jose::Algorithm;

    pub(crate) enum Signer {
        Ecdsa(EcdsaKeyPair),
        Ed25519(Ed25519KeyPair),
        Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    }

    impl Signer {
        pub(crate) fn new(algorithm: Algorithm) -> Self {
            match algorithm {
                Algorithm::ES256 => Self::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
                Algorithm::EdDSA => Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
                Algorithm::RS256 => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap(), &RSA_PKCS1_SHA256),
                Algorithm::PS256 => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap(), &RSA_PSS_SHA256),
                Algorithm::HS256 => unreachable!("has no key pair"),
            }
        }

        pub(crate) fn sign(&self, message: &[u8]) {
            match self {
                Self::Ecdsa(pair) => drop(black_box(pair.sign(&SystemRandom::new(), message).unwrap())),
                Self::Ed25519(pair) => drop(black_box(pair.sign(message))),
                Self::Rsa(pair, encoding) => {
                    let mut signature = [0; 256];
                    pair.sign(*encoding, &SystemRandom::new(), message, &mut signature).unwrap();
                    black_box(signature);
                }
            }
        }
    }
}

criterion_group!(benches, crypto);
criterion_main!(benches);
