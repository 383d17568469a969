//! The gateway, from the configuration.

use super::{compose::Assembly, failure::Failure};
use crate::{
    config::Guarded,
    gateway::{Gateway, GatewayOptions, SiteSpec},
    http::{App, TrustedProxies},
};

/// Puts the gateway before the server.
pub(super) fn compose(app: &App, assembly: &Assembly, trusted_proxies: TrustedProxies) -> Result<Gateway, Failure> {
    let crate::config::GatewayOptions { body_limit, connect_timeout, response_timeout, recheck } =
        assembly.config.gateway;
    let options = GatewayOptions { trusted_proxies, body_limit, connect_timeout, response_timeout, recheck };
    let sites = assembly.config.guarded.iter().cloned().map(site).collect();
    Gateway::new(app, &assembly.clock, sites, &options)
        .map_err(|error| Failure::configuration(format!("the gateway: {error}")))
}

fn site(guarded: Guarded) -> SiteSpec {
    let Guarded { uri, name, rules, scopes, upstream, allowed_origins, trust_mcp_headers } = guarded;
    SiteSpec { uri, name, rules, scopes, upstream, allowed_origins, trust_mcp_headers }
}
