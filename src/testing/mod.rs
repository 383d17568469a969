//! For tests and benchmarks: a manual clock, seeded entropy, a scripted browser, the store contract suite.

pub mod clock;
pub mod entropy;
pub mod server;
