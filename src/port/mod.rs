//! What the rules need from the world: traits only, object-safe, implemented in `store` and `adapter`.

#[cfg(feature = "server")]
pub mod audit;
pub mod clock;
#[cfg(feature = "server")]
pub mod crypto;
#[cfg(feature = "server")]
pub mod entropy;
#[cfg(feature = "server")]
pub mod store;
