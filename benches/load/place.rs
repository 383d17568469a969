//! Stores for the time of a measurement, with names that nobody else has.

use gateward::{adapter::entropy::OsEntropy, port::entropy::Entropy};
use url::Url;

use crate::{engine, variable};

/// A database of its own. Dropping it drops the database.
pub(crate) struct Database {
    administration: String,
    name: String,
    url: String,
}

impl Database {
    /// Creates one where `GATEWARD_TEST_POSTGRES` says, or says why not.
    pub(crate) fn create() -> Result<Self, String> {
        let (administration, mut url) = given("GATEWARD_TEST_POSTGRES")?;
        let name = unique_name();
        engine::psql(&administration, &format!("CREATE DATABASE {name}"))?;
        url.set_path(&name);
        Ok(Self { administration, name, url: url.into() })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Err(why) = engine::psql(&self.administration, &format!("DROP DATABASE {} WITH (FORCE)", self.name)) {
            eprintln!("the database {} is left behind: {why}", self.name);
        }
    }
}

/// Keys of a Redis with a prefix of their own. Dropping it removes them.
pub(crate) struct Keys {
    url: String,
    prefix: String,
}

impl Keys {
    /// Chooses a prefix where `GATEWARD_TEST_REDIS` says, or says why not.
    pub(crate) fn choose() -> Result<Self, String> {
        let (url, _) = given("GATEWARD_TEST_REDIS")?;
        Ok(Self { url, prefix: format!("{}.", unique_name()) })
    }

    /// Without the prefix, for programs.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// With the prefix, for the server.
    pub(crate) fn store_url(&self) -> String {
        let mut url = Url::parse(&self.url).expect("it was read before");
        url.query_pairs_mut().append_pair("prefix", &self.prefix);
        url.into()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Err(why) = engine::redis_forget(&self.url, &self.prefix) {
            eprintln!("the keys {}* are left behind: {why}", self.prefix);
        }
    }
}

fn given(name: &str) -> Result<(String, Url), String> {
    let text = variable(name).ok_or_else(|| format!("{name} is not set"))?;
    let url = Url::parse(&text).map_err(|error| format!("{name}: {error}"))?;
    Ok((text, url))
}

fn unique_name() -> String {
    let entropy: &dyn Entropy = &OsEntropy::new().unwrap();
    let digits: String = entropy.name().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("gateward_load_{digits}")
}
