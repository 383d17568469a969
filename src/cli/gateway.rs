//! The gateway, from the configuration.

use super::{compose::Assembly, failure::Failure};
use crate::{
    config,
    gateway::{Gateway, GatewayOptions},
    http::App,
};

/// Puts the gateway before the server.
pub(super) fn compose(app: &App, assembly: &Assembly) -> Result<Gateway, Failure> {
    let config::Gateway { body_limit, connect_timeout, response_timeout, recheck } = assembly.config.gateway;
    let options = GatewayOptions { body_limit, connect_timeout, response_timeout, recheck };
    Gateway::new(app, &assembly.clock, assembly.config.guarded.clone(), &options)
        .map_err(|error| Failure::configuration(format!("the gateway: {error}")))
}
