//! Time that moves when a test says so, although sockets are in use.

use std::{sync::mpsc, time::Duration};

/// As long as this lives, the timers of the runtime stand still, until somebody advances them. Without the waiting thread they would
/// run ahead whenever the runtime waits for a socket.
pub(crate) struct StandingTime {
    _until_dropped: mpsc::Sender<()>,
}

impl StandingTime {
    pub(crate) fn begin() -> Self {
        tokio::time::pause();
        let (until_dropped, wait) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || wait.recv());
        Self { _until_dropped: until_dropped }
    }

    /// Moves timers on.
    pub(crate) async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
    }

    /// Lets everything run that can run without time or network.
    pub(crate) async fn settle(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }
}
