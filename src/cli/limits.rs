//! `[limits]` of the configuration, as the door takes it.

use crate::{
    config::{self, Config},
    http::{
        AddressBlocks,
        limits::{LimitOptions, Rates},
    },
};

/// How often somebody may ask.
pub(super) fn of_config(config: &Config) -> LimitOptions {
    let config::Limits { exempt, token, introspection, gateway, .. } = &config.limits;
    let rates = |rates: &config::Rates| Rates { per_address: rates.per_address, per_client: rates.per_client };
    LimitOptions {
        exempt: AddressBlocks::new(exempt.iter().copied()),
        token: rates(token),
        token_query: rates(introspection),
        pages: config.limits.pages_per_address,
        registration: config.limits.registration_per_address,
        public: config.limits.public_per_address,
        gateway: rates(gateway),
    }
}
