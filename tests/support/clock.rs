//! A wall clock that a test moves while programs run by it. Their timers are right all the while.

use std::{fs, sync::Arc, time::Duration};

use tempfile::TempDir;

use super::engine;

/// Clones are the same clock.
#[derive(Debug, Clone)]
pub(crate) struct Clock(Arc<TempDir>);

impl Clock {
    /// One that tells the real time.
    pub(crate) fn new() -> Self {
        let clock = Self(Arc::new(tempfile::Builder::new().prefix("gateward-clock-").tempdir().unwrap()));
        clock.set_ahead(Duration::ZERO);
        clock
    }

    /// From now on it is wrong by so many whole seconds.
    pub(crate) fn set_ahead(&self, ahead: Duration) {
        let (next, file) = (self.0.path().join("next"), self.0.path().join("time"));
        fs::write(&next, format!("+{}s\n", ahead.as_secs())).unwrap();
        // In one step: programs read it whenever they ask for the time.
        fs::rename(next, file).unwrap();
    }

    /// The environment of a program that runs by it.
    pub(crate) fn variables(&self) -> [(&'static str, String); 4] {
        let file = self.0.path().join("time");
        [
            ("LD_PRELOAD", engine::installed("GATEWARD_TEST_FAKETIME").to_str().unwrap().to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap().to_owned()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}
