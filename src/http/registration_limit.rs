//! How many registrations one sender may make: registering is the one thing that makes the server remember a stranger.

use std::{net::SocketAddr, sync::Arc, time::Duration};

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

use super::{HttpOptions, respond::plain_error};
use crate::domain::address::AddressBlock;

/// Counts by [`AddressBlock`]: a single IPv6 customer has more addresses than the server has memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct ByBlock;

impl KeyExtractor for ByBlock {
    type Key = AddressBlock;

    fn extract<T>(&self, request: &Request<T>) -> Result<AddressBlock, GovernorError> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        peer.map(|ConnectInfo(peer)| AddressBlock::of(peer.ip())).ok_or(GovernorError::UnableToExtractKey)
    }
}

type Config = GovernorConfig<ByBlock, NoOpMiddleware>;

/// The limit, and what it remembers of each sender.
pub(super) struct RegistrationLimit(Arc<Config>);

impl RegistrationLimit {
    pub(super) fn new(options: &HttpOptions) -> Self {
        let mut builder = GovernorConfigBuilder::default().key_extractor(ByBlock);
        let config = builder
            .period(options.registration_period.max(Duration::from_millis(1)))
            .burst_size(options.registration_burst.get())
            .finish();
        #[expect(clippy::expect_used, reason = "it fails for a period or burst of zero only, and neither is")]
        Self(Arc::new(config.expect("a limit above zero")))
    }

    pub(super) fn layer(&self) -> GovernorLayer<ByBlock, NoOpMiddleware, Body> {
        GovernorLayer::new(self.0.clone()).error_handler(refuse)
    }

    /// Forgets senders who could register again anyway.
    pub(super) fn forget_idle(&self) {
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
