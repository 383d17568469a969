//! Chance.

use zeroize::Zeroizing;

use crate::domain::credential::{Credential, Kind};

/// A cryptographically secure source of random bytes.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Entropy {
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
