//! Login and consent in a real Chromium, with the real Content-Security-Policy and a client on a loopback port.
//!
//! `GATEWARD_TEST_CHROMIUM` and `GATEWARD_TEST_CHROMEDRIVER` say where they are; `tests/run` installs them.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should stop")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod support;

mod callback;
mod chromium;
mod keyboard;
mod looks;
mod story;
