//! What production does not accept, and how to fix it.

use std::fmt;

use super::{Config, Mode, Tls, keys::MasterKey, load};

/// Something that production does not accept. Prints as what it is and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsafe {
    /// The setting, e.g. `keys.master_key`.
    pub setting: String,
    /// What is unsafe about it.
    pub problem: String,
    /// A sentence that says what to do.
    pub fix: String,
}

impl fmt::Display for Unsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}. {}", self.setting, self.problem, self.fix)
    }
}

impl Config {
    /// What is safe, but hardly meant: everybody counts as one sender. In production, a server that only this machine reaches stands
    /// behind a proxy.
    pub fn sees_one_sender_only(&self) -> bool {
        let reached_by_a_proxy = self.server.listen.iter().all(|address| address.ip().is_loopback());
        let is_alone = self.tls.is_some();
        self.mode == Mode::Production && reached_by_a_proxy && !is_alone && self.server.trusted_proxies.is_empty()
    }

    /// What this configuration must not go into production with; empty in development mode. Looks at the permissions of the
    /// master key file, so it may change its mind.
    pub fn check_safety(&self) -> Vec<Unsafe> {
        match self.mode {
            Mode::Development => return Vec::new(),
            Mode::Production => {}
        }
        let mut found = Vec::new();
        let mut add = |setting: &str, problem: String, fix: &str| {
            found.push(Unsafe { setting: setting.to_owned(), problem, fix: fix.to_owned() });
        };
        if !self.issuer.is_https() {
            add(
                "issuer",
                format!("{} is plain http, so tokens and passwords could be read on the way", self.issuer),
                "Put a reverse proxy with TLS in front and set issuer to its https URL, or set mode = \"development\" on your \
                 own machine.",
            );
            if let Some(open) = self.server.listen.iter().find(|address| !address.ip().is_loopback()) {
                add(
                    "server.listen",
                    format!("{open} can be reached from other machines over plain http"),
                    "Listen on 127.0.0.1, or serve an https issuer through a reverse proxy.",
                );
            }
        }
        match &self.keys.master_key {
            MasterKey::Missing | MasterKey::Generate(_) => add(
                "keys.master_key",
                "is not set, so the signing keys cannot be sealed".to_owned(),
                "Make one with `gateward key generate-master FILE` and set master_key = \"file:FILE\", or set master_key = \
                 \"env:NAME\".",
            ),
            MasterKey::File(path) => match load::exposure(path) {
                Ok(None) => {}
                Ok(Some(exposure)) => {
                    add("keys.master_key", format!("{} {exposure}", path.display()), "Run chmod 0600 on it.");
                }
                Err(error) => add(
                    "keys.master_key",
                    format!("{} cannot be read: {error}", path.display()),
                    "Make it with `gateward key generate-master FILE`, as the user that the server runs as.",
                ),
            },
            MasterKey::Environment { .. } => {}
        }
        if let Some(Tls { key, .. }) = &self.tls {
            match load::exposure(key) {
                Ok(None) => {}
                Ok(Some(exposure)) => add("tls.key", format!("{} {exposure}", key.display()), "Run chmod 0600 on it."),
                Err(error) => add(
                    "tls.key",
                    format!("{} cannot be read: {error}", key.display()),
                    "Let the user that the server runs as read it, and nobody else.",
                ),
            }
        }
        for (family, url) in self.stores.families() {
            if url.is_memory() {
                add(
                    &format!("stores.{family}"),
                    "is kept in memory, so a restart forgets it".to_owned(),
                    "Use sqlite:PATH.",
                );
            }
        }
        found.extend(self.concerns.iter().cloned());
        found
    }
}
