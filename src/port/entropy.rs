//! Chance.

use zeroize::Zeroizing;

use crate::domain::credential::{Credential, Kind};

/// A cryptographically secure source of random bytes.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// Random bytes for all that one answer needs: to ask the source once costs less than to ask it for each. What is left is wiped.
pub struct Draws<'a> {
    source: &'a dyn Entropy,
    bytes: Zeroizing<[u8; SUPPLY]>,
    used: usize,
}

/// A name and two credentials.
const SUPPLY: usize = 16 + 32 + 32;

impl Draws<'_> {
    /// A fresh credential of 256 bits.
    pub fn credential<K: Kind>(&mut self) -> Credential<K> {
        Credential::from_entropy(&Zeroizing::new(self.take()))
    }

    /// 128 bits for a name.
    pub fn name(&mut self) -> [u8; 16] {
        self.take()
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        if let Some(bytes) = self.bytes[self.used..].first_chunk() {
            self.used += N;
            return *bytes;
        }
        let mut bytes = [0; N];
        self.source.fill(&mut bytes);
        bytes
    }
}

impl dyn Entropy {
    /// Draws for one answer.
    pub fn draws(&self) -> Draws<'_> {
        let mut bytes = Zeroizing::new([0; SUPPLY]);
        self.fill(&mut *bytes);
        Draws { source: self, bytes, used: 0 }
    }

    /// A fresh credential of 256 bits.
    pub fn credential<K: Kind>(&self) -> Credential<K> {
        let mut random = Zeroizing::new([0; 32]);
        self.fill(&mut *random);
        Credential::from_entropy(&random)
    }

    /// 128 bits for a name.
    pub fn name(&self) -> [u8; 16] {
        let mut random = [0; 16];
        self.fill(&mut random);
        random
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        sync::atomic::{AtomicU64, Ordering},
    };

    use super::*;
    use crate::domain::credential::RefreshToken;

    /// Every eight bytes are the next number.
    #[derive(Default)]
    struct Counting(AtomicU64);

    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            for eight in bytes.chunks_exact_mut(8) {
                eight.copy_from_slice(&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            }
        }
    }

    #[test]
    fn no_byte_is_handed_out_twice_and_a_supply_that_is_used_up_is_no_end() {
        let source: &dyn Entropy = &Counting::default();
        let mut draws = source.draws();
        let names: HashSet<_> = (0..9).map(|_| draws.name()).collect();
        let credentials: HashSet<_> = (0..3).map(|_| *draws.credential::<RefreshToken>().digest().as_bytes()).collect();
        assert_eq!((names.len(), credentials.len()), (9, 3));
    }
}
