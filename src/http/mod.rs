//! The door: router, extractors, one file per endpoint, pages.

pub mod page;
