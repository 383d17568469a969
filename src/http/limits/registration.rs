//! How many registrations one sender may make: registering is the one thing that makes the server remember a stranger.

use std::{
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Request, Response, StatusCode, header::RETRY_AFTER},
};
use governor::middleware::NoOpMiddleware;
use tower_governor::{
    GovernorError, GovernorLayer,
    governor::{GovernorConfig, GovernorConfigBuilder},
    key_extractor::KeyExtractor,
};

use crate::{
    domain::address::AddressBlock,
    http::{App, HttpOptions, rejections::Rejection, respond::plain_error},
};

/// More senders than this share.
const SENDERS: u64 = 64 * 1024;

/// Counts by [`AddressBlock`]. A network has more blocks than the server has memory, so each has one of a fixed number of places, which
/// nobody can choose.
#[derive(Debug, Clone, Default)]
pub(in crate::http) struct ByBlock(RandomState);

impl KeyExtractor for ByBlock {
    type Key = u64;

    fn extract<T>(&self, request: &Request<T>) -> Result<u64, GovernorError> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let ConnectInfo(peer) = peer.ok_or(GovernorError::UnableToExtractKey)?;
        Ok(self.0.hash_one(AddressBlock::of(peer.ip())) % SENDERS)
    }
}

type Config = GovernorConfig<ByBlock, NoOpMiddleware>;

/// The limit, and what it remembers of each sender.
pub(in crate::http) struct RegistrationLimit(Arc<Config>);

impl RegistrationLimit {
    pub(in crate::http) fn new(options: &HttpOptions) -> Self {
        let mut builder = GovernorConfigBuilder::default().key_extractor(ByBlock::default());
        let config = builder
            .period(options.registration_period.max(Duration::from_millis(1)))
            .burst_size(options.registration_burst.get())
            .finish();
        #[expect(clippy::expect_used, reason = "it fails for a period or burst of zero only, and neither is")]
        Self(Arc::new(config.expect("a limit above zero")))
    }

    pub(in crate::http) fn layer(&self, app: App) -> GovernorLayer<ByBlock, NoOpMiddleware, Body> {
        GovernorLayer::new(self.0.clone()).error_handler(move |error| {
            app.rejections().note(Rejection::Registrations);
            refuse(error)
        })
    }

    /// Forgets senders who could register again anyway.
    pub(in crate::http) fn forget_idle(&self) {
        self.0.limiter().retain_recent();
        self.0.limiter().shrink_to_fit();
    }
}

fn refuse(error: GovernorError) -> Response<Body> {
    let seconds = match error {
        GovernorError::TooManyRequests { wait_time, .. } => wait_time.max(1),
        GovernorError::UnableToExtractKey | GovernorError::Other { .. } => 60,
    };
    let mut response = plain_error(
        StatusCode::TOO_MANY_REQUESTS,
        "temporarily_unavailable",
        "There are too many registrations from this address. Try again later.",
    );
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}
