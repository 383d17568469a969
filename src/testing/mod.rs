//! For tests and benchmarks: a manual clock, seeded entropy, a scripted browser, the store contract suite.

pub mod browser;
pub mod contract;
pub mod fixture;
