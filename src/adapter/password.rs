//! Human passwords: argon2id, off the reactor and a few at a time.
//!
//! One hash takes 19 MiB and some 16 ms, so the number that run at once is bounded, and **the permit belongs to the work, not
//! to the request**: a browser that hangs up drops its request, but not the hash that it started.

use std::{fmt, sync::Arc};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::{self, phc},
};
use async_trait::async_trait;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::{
    domain::account::PasswordHash,
    port::{
        crypto::{HashingPlace, PasswordError, PasswordHasher},
        entropy::Entropy,
    },
    protocol::secret::Secret,
};

/// Longer passwords are not hashed: none is set, so none can be right.
pub const MAX_PASSWORD: usize = 1024;

/// argon2id as OWASP recommends it: 19 MiB, two passes, one lane. A new hash is made with these; an old one is checked with
/// those that it states.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// How many requests per running hash are served or wait: half a second's worth.
const WAITING_PER_PERMIT: usize = 32;

/// How busy a hasher is, in passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HasherLoad {
    /// They are hashed at this moment.
    pub running: usize,
    /// They wait.
    pub waiting: usize,
    /// So many more may come before somebody is sent away.
    pub free: usize,
}

/// Hashes passwords with argon2id.
pub struct Argon2Hasher {
    entropy: Arc<dyn Entropy>,
    permits: Arc<Semaphore>,
    concurrency: usize,
    /// Who may wait for a permit; everybody else is told to come back.
    places: Arc<Semaphore>,
    argon2: Argon2<'static>,
    /// What the password of an unknown user is checked against: nobody's password.
    nobody: PasswordHash,
}

impl Argon2Hasher {
    /// At most `concurrency` (at least 1) hashes run at once. Takes as long as one hash.
    pub fn new(concurrency: usize, entropy: Arc<dyn Entropy>) -> Result<Self, PasswordError> {
        let failed = |error: argon2::Error| PasswordError(error.to_string());
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(failed)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut password = Zeroizing::new([0; 32]);
        entropy.fill(&mut *password);
        let nobody = hash(&argon2, &*password, &salt(&*entropy))?;
        // So that there are not too many places either.
        let concurrency = concurrency.clamp(1, Semaphore::MAX_PERMITS / WAITING_PER_PERMIT);
        let permits = Arc::new(Semaphore::new(concurrency));
        let places = Arc::new(Semaphore::new(concurrency * WAITING_PER_PERMIT));
        Ok(Self { entropy, permits, concurrency, places, argon2, nobody })
    }

    /// How busy it is.
    pub fn load(&self) -> HasherLoad {
        let free = self.places.available_permits();
        let running = self.concurrency - self.permits.available_permits();
        // Three looks are not one moment.
        let taken = (self.concurrency * WAITING_PER_PERMIT).saturating_sub(free);
        HasherLoad { running, waiting: taken.saturating_sub(running), free }
    }

    /// Runs `work` on a thread that may block, once there is a permit.
    async fn run<T: Send + 'static>(
        &self,
        _place: HashingPlace,
        work: impl FnOnce(&Argon2<'static>) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|closed| PasswordError(closed.to_string()))?;
        let argon2 = self.argon2.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _held_until_done = permit;
            work(&argon2)
        });
        task.await.map_err(|stopped| PasswordError(stopped.to_string()))?
    }
}

#[async_trait]
impl PasswordHasher for Argon2Hasher {
    fn place(&self) -> Result<HashingPlace, PasswordError> {
        // A flood of logins would otherwise queue for longer than any browser waits.
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map(HashingPlace::new).map_err(|_| PasswordError("too many passwords are waiting".into()))
    }

    async fn hash(&self, password: Secret) -> Result<PasswordHash, PasswordError> {
        if password.expose().len() > MAX_PASSWORD {
            return Err(PasswordError(format!("a password has at most {MAX_PASSWORD} bytes")));
        }
        let place = self.place()?;
        let salt = salt(&*self.entropy);
        self.run(place, move |argon2| hash(argon2, password.expose().as_bytes(), &salt)).await
    }

    async fn verify(
        &self,
        place: HashingPlace,
        password: Secret,
        stored: Option<PasswordHash>,
    ) -> Result<bool, PasswordError> {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.nobody.clone());
        self.run(place, move |argon2| {
            let fits = password.expose().len() <= MAX_PASSWORD;
            // One that is too long costs as much as any other wrong one.
            let password = if fits { password.expose().as_bytes() } else { &[] };
            let right = matches(argon2, password, &stored)?;
            Ok(right && known && fits)
        })
        .await
    }
}

impl fmt::Debug for Argon2Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Argon2Hasher").field("permits", &self.permits).finish_non_exhaustive()
    }
}

fn salt(entropy: &dyn Entropy) -> [u8; 16] {
    let mut salt = [0; 16];
    entropy.fill(&mut salt);
    salt
}

fn hash(argon2: &Argon2<'_>, password: &[u8], salt: &[u8]) -> Result<PasswordHash, PasswordError> {
    let phc: phc::PasswordHash =
        argon2.hash_password_with_salt(password, salt).map_err(|error| PasswordError(error.to_string()))?;
    Ok(PasswordHash::new(phc.to_string()))
}

fn matches(argon2: &Argon2<'_>, password: &[u8], stored: &PasswordHash) -> Result<bool, PasswordError> {
    let phc = phc::PasswordHash::new(stored.expose()).map_err(|error| PasswordError(error.to_string()))?;
    match argon2.verify_password(password, &phc) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(PasswordError(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::entropy::Counted;

    fn hasher(concurrency: usize) -> Argon2Hasher {
        Argon2Hasher::new(concurrency, Arc::new(Counted::default())).unwrap()
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text)
    }

    async fn verify(
        hasher: &Argon2Hasher,
        password: &str,
        stored: Option<PasswordHash>,
    ) -> Result<bool, PasswordError> {
        hasher.verify(hasher.place()?, secret(password), stored).await
    }

    #[tokio::test]
    async fn whoever_finds_no_place_is_told_at_once_and_a_place_that_is_dropped_is_free_again() {
        let hasher = hasher(1);
        let places: Vec<_> = (0..WAITING_PER_PERMIT).map(|_| hasher.place().unwrap()).collect();
        assert!(hasher.place().is_err());
        assert!(hasher.hash(secret("x")).await.is_err());
        drop(places);
        assert!(!verify(&hasher, "x", None).await.unwrap());
        assert_eq!(hasher.places.available_permits(), WAITING_PER_PERMIT);
    }

    #[tokio::test]
    async fn the_right_password_is_recognised_and_others_are_not() {
        let hasher = hasher(2);
        let hash = hasher.hash(secret("correct horse")).await.unwrap();
        assert!(verify(&hasher, "correct horse", Some(hash.clone())).await.unwrap());
        for wrong in ["correct hors", "", "Correct horse"] {
            assert!(!verify(&hasher, wrong, Some(hash.clone())).await.unwrap());
        }
    }

    #[tokio::test]
    async fn an_unknown_user_has_no_password() {
        assert!(!verify(&hasher(1), "anything", None).await.unwrap());
    }

    #[tokio::test]
    async fn two_hashes_of_one_password_have_different_salts() {
        let hasher = hasher(1);
        let (a, b) = (hasher.hash(secret("same")).await.unwrap(), hasher.hash(secret("same")).await.unwrap());
        assert!(a.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_ne!(a.expose(), b.expose());
    }

    #[tokio::test]
    async fn a_password_over_1024_bytes_is_never_right() {
        let (hasher, long) = (hasher(1), "x".repeat(MAX_PASSWORD + 1));
        let argon2 = Argon2::default();
        let its_hash = hash(&argon2, long.as_bytes(), &[1; 16]).unwrap();
        let hash_of_nothing = hash(&argon2, b"", &[1; 16]).unwrap();
        assert!(!verify(&hasher, &long, Some(its_hash)).await.unwrap());
        assert!(!verify(&hasher, &long, Some(hash_of_nothing)).await.unwrap());
        assert!(hasher.hash(secret(&long)).await.is_err());
        assert!(hasher.hash(secret(&long[1..])).await.is_ok());
    }

    #[tokio::test]
    async fn a_hash_with_other_parameters_is_checked_with_those() {
        let old = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8 * 1024, 1, 1, None).unwrap());
        let hash = hash(&old, b"old password", &[7; 16]).unwrap();
        assert!(verify(&hasher(1), "old password", Some(hash)).await.unwrap());
    }

    #[tokio::test]
    async fn a_text_that_is_no_hash_is_an_error_and_not_a_wrong_password() {
        for bad in ["", "$argon2id$", "$2b$12$abc", "plain"] {
            assert!(verify(&hasher(1), "x", Some(PasswordHash::new(bad))).await.is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_request_that_is_dropped_does_not_free_its_permit_before_the_work_is_done() {
        let hasher = Arc::new(hasher(1));
        let (started, wait_for_start) = tokio::sync::oneshot::channel();
        let (finish, wait_for_finish) = std::sync::mpsc::channel::<()>();
        let request = tokio::spawn({
            let hasher = Arc::clone(&hasher);
            async move {
                let work = move |_: &Argon2<'static>| {
                    let _ = started.send(());
                    let _ = wait_for_finish.recv();
                    Ok(())
                };
                hasher.run(hasher.place()?, work).await
            }
        });
        wait_for_start.await.unwrap();
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
        assert_eq!(hasher.permits.available_permits(), 0);
        drop(finish);
        assert!(!verify(&hasher, "x", None).await.unwrap(), "and then it is free again");
    }
}
