//! What the rules need from the world: traits only, object-safe, implemented in `store` and `adapter`.

pub mod clock;
pub mod crypto;
pub mod entropy;
pub mod store;
