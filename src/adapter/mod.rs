//! The world outside the rules: OS entropy, keys, passwords. Implements `port`.
//!
//! Everything cryptographic is aws-lc (through aws-lc-rs); client assertions go through `jsonwebtoken`, which uses the same
//! library, and passwords through `argon2`.

pub mod assertion;
pub mod audit;
pub mod certificate;
pub mod entropy;
pub mod keyring;
pub mod master_key;
pub mod password;
pub mod sealer;
pub mod signing_key;
