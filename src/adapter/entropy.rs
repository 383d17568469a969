//! The operating system's random source.
//!
//! Every draw asks the kernel: there is no generator in this process whose state could leak, be forked or be seeded badly.

use rand::{TryRng, rngs::SysRng};
use thiserror::Error;

use crate::port::entropy::Entropy;

/// The operating system gives no random bytes.
#[derive(Debug, Error)]
#[error("the operating system gives no random bytes ({0}): check that getrandom(2) is allowed in this sandbox")]
pub struct EntropyUnavailable(String);

/// Random bytes from the operating system.
///
/// [`Entropy::fill`] cannot fail, so a source that fails later **aborts the process**. Weak or stale bytes must never become a
/// code or a key, and unwinding is not enough: a caught panic would leave the server answering every request with an error
/// while it looks alive. The kernel's source does not fail for a moment; it fails because a sandbox forbids it, which
/// [`OsEntropy::new`] finds out at start.
#[derive(Debug)]
pub struct OsEntropy(());

impl OsEntropy {
    /// Draws once, to see that the source works.
    pub fn new() -> Result<Self, EntropyUnavailable> {
        let mut probe = [0; 32];
        SysRng.try_fill_bytes(&mut probe).map_err(|error| EntropyUnavailable(error.to_string()))?;
        Ok(Self(()))
    }
}

impl Entropy for OsEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        if let Err(error) = SysRng.try_fill_bytes(bytes) {
            tracing::error!(%error, "the operating system gives no random bytes: aborting");
            std::process::abort();
        }
    }
}

/// Entropy for the tests of this room: a hash of a counter.
#[cfg(test)]
#[derive(Default)]
pub(super) struct Counted(std::sync::atomic::AtomicU64);

#[cfg(test)]
impl Entropy for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        use sha2::{Digest, Sha256};
        for chunk in bytes.chunks_mut(32) {
            let count = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            chunk.copy_from_slice(&Sha256::digest(count.to_be_bytes())[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ_and_fill_every_byte() {
        let entropy = OsEntropy::new().unwrap();
        let mut draws = [[0u8; 64]; 8];
        draws.iter_mut().for_each(|draw| entropy.fill(draw));
        assert!((1..8).all(|i| draws[i] != draws[0]));
        assert!((0..64).all(|at| draws.iter().any(|draw| draw[at] != 0)));
    }
}
