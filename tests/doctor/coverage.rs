//! A check that cannot fail is none.

use std::collections::BTreeSet;

use gateward::doctor::checks;

use crate::{authorization, mcp, metadata, registration};

/// Broken by tests that need a server of another kind; each is asserted there, by name.
const ELSEWHERE: &[&str] = &[
    // metadata.rs
    "discovery.appended",
    // hostile.rs
    "transport.reachable",
    "transport.https",
    "transport.clock",
    // tls.rs
    "transport.certificate",
    "transport.certificate_end",
];

#[test]
fn every_check_is_broken_by_a_test() {
    let broken = [metadata::BROKEN, registration::BROKEN, authorization::BROKEN, mcp::BROKEN, ELSEWHERE].concat();
    let names: BTreeSet<&str> = broken.iter().copied().collect();
    assert_eq!(names.len(), broken.len(), "a check is broken twice");
    assert_eq!(names, checks().iter().map(|check| check.name).collect());
}
