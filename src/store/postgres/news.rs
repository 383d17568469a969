//! News of changes, by NOTIFY. It is sent after a change was committed, never while a token request is served, and it may fail:
//! an engine without it only means that copies live out their time.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::time::{Instant, timeout};

use super::{Held, Postgres};
use crate::port::store::{Change, ChangeFeed};

/// Where news are heard; a database has channels of its own.
const CHANNEL: &str = "gateward";

/// After so long without news the connection is asked whether it still is one.
const SILENCE: Duration = Duration::from_secs(10);

/// How long an answer to that may take, and how long to wait before trying to connect again.
const PATIENCE: Duration = Duration::from_secs(2);

impl Postgres {
    /// Tells every instance, if that is possible.
    pub(super) async fn announce(&self, change: &Change) {
        let line = change.to_line();
        let told = self
            .run(async |mut held: Held| {
                let tell = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(&line);
                Ok(tell.execute(&mut *held).await?)
            })
            .await;
        if let Err(error) = told {
            tracing::warn!(error = &error as &dyn std::error::Error, "a change could not be announced");
        }
    }

    /// A feed with a connection of its own.
    pub(in crate::store) fn watch(&self) -> Box<dyn ChangeFeed> {
        Box::new(Feed { options: self.pool.connect_options().as_ref().clone(), listener: None })
    }
}

struct Feed {
    options: PgConnectOptions,
    /// With the time since which it listens.
    listener: Option<(PgListener, Instant)>,
}

impl Feed {
    async fn listen(&self) -> sqlx::Result<PgListener> {
        let own = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
        let listening = async {
            let mut listener = PgListener::connect_with(&own.connect_lazy_with(self.options.clone())).await?;
            // A lost one is replaced by this feed.
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            Ok(listener)
        };
        // A server that lets us in may fall silent all the same.
        timeout(PATIENCE * 2, listening).await.map_err(|_| sqlx::Error::PoolTimedOut)?
    }
}

/// The next news; `None` if the connection is lost. Whoever drops this loses nothing: what has arrived stays where it is.
async fn hear(listener: &mut PgListener) -> Option<Change> {
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(news))) => return Some(Change::from_line(news.payload())),
            Ok(Ok(None) | Err(_)) => return None,
            Err(_) => {
                let alive = timeout(PATIENCE, sqlx::query("SELECT 1").execute(&mut *listener)).await;
                if !matches!(alive, Ok(Ok(_))) {
                    return None;
                }
            }
        }
    }
}

/// A server that is away, or ends every connection at once, is not asked at every moment: each time copies are given up.
async fn rest() {
    #[expect(clippy::disallowed_methods, reason = "nobody tells when the server is back")]
    tokio::time::sleep(PATIENCE).await;
}

#[async_trait]
impl ChangeFeed for Feed {
    async fn next(&mut self) -> Change {
        loop {
            match &mut self.listener {
                Some((listener, since)) => match hear(listener).await {
                    Some(change) => return change,
                    None => {
                        let was_short = since.elapsed() < PATIENCE;
                        self.listener = None;
                        if was_short {
                            rest().await;
                        }
                    }
                },
                None => match self.listen().await {
                    Ok(listener) => {
                        self.listener = Some((listener, Instant::now()));
                        return Change::Anything;
                    }
                    Err(error) => {
                        tracing::debug!(error = &error as &dyn std::error::Error, "no news from Postgres");
                        rest().await;
                    }
                },
            }
        }
    }
}
