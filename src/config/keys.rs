//! `[keys]`, and `OAUTH_TOKEN_SECRET`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Mode,
    environment::NOT_UTF8,
    problem::Place,
    reader::{Context, Reader},
    secret::{SHORTEST, Source},
};
use crate::protocol::{jose::Algorithm, secret::Secret};

const TOKEN_SECRET: &str = "OAUTH_TOKEN_SECRET";

/// Where the key that seals everything secret at rest comes from.
#[derive(Debug)]
pub enum MasterKey {
    /// Not set, in production.
    Missing,
    /// Not set, in development mode: made at the first start and kept here.
    Generate(PathBuf),
    /// In this file.
    File(PathBuf),
    /// In the environment variable `name`.
    Environment { name: String, secret: Secret },
}

/// Keys that sign.
#[derive(Debug)]
pub struct Keys {
    pub master_key: MasterKey,
    /// For resources that do not say.
    pub algorithm: Algorithm,
    /// How long a key signs.
    pub rotation_period: Duration,
    /// How long a key is published before it signs.
    pub publish_ahead: Duration,
    /// The HS256 secret, if the operator set one: at least 32 bytes (RFC 7518 3.2).
    pub token_secret: Option<Secret>,
}

impl Keys {
    pub(super) fn read(section: Reader<'_>, mode: Option<Mode>, data_directory: &Path) -> Option<Self> {
        let day = 24 * 3600;
        let master_key = section.parse("master_key", |text| master_key(&section, text, mode, data_directory));
        let token_secret = token_secret(section.context);
        let algorithm = section.parse("algorithm", |text| match text.parse() {
            Ok(Algorithm::HS256) => {
                Err("HS256 is for resources that ask for it, or for all when OAUTH_TOKEN_SECRET is set")
            }
            Ok(algorithm) => Ok(algorithm),
            Err(_) => Err("must be ES256, EdDSA, RS256 or PS256"),
        });
        let rotation_period = section.duration("rotation_period", 3600, 3650 * day);
        let publish_ahead = section.duration("publish_ahead", 600, 365 * day);
        if let (Some(period), Some(ahead)) = (rotation_period, publish_ahead)
            && ahead >= period
        {
            section.fail("publish_ahead", "must be shorter than rotation_period");
            return None;
        }
        Some(Self {
            master_key: master_key?,
            algorithm: algorithm?,
            rotation_period: rotation_period?,
            publish_ahead: publish_ahead?,
            token_secret: token_secret?,
        })
    }
}

fn master_key(section: &Reader<'_>, text: &str, mode: Option<Mode>, directory: &Path) -> Result<MasterKey, String> {
    if text.is_empty() {
        return Ok(match mode {
            Some(Mode::Development) => MasterKey::Generate(directory.join("master.key")),
            Some(Mode::Production) | None => MasterKey::Missing,
        });
    }
    match Source::parse(text) {
        Some(Source::File(path)) => Ok(MasterKey::File(path)),
        Some(source @ Source::Environment(_)) => {
            let secret = section.fetch(&source)?;
            let Source::Environment(name) = source else { return Ok(MasterKey::Missing) };
            Ok(MasterKey::Environment { name, secret })
        }
        None => Err("the key is not written here: say `file:PATH` or `env:NAME`".to_owned()),
    }
}

/// `None` if a problem was noted. An empty variable counts as absent.
fn token_secret(context: &Context<'_>) -> Option<Option<Secret>> {
    let Some(text) = context.environment.get(TOKEN_SECRET).filter(|text| !text.is_empty()) else { return Some(None) };
    let problem = if text.contains(NOT_UTF8) {
        "is not UTF-8".to_owned()
    } else if text.len() < SHORTEST {
        // RFC 7518 3.2: an HS256 key is at least as long as the hash.
        format!("is shorter than {SHORTEST} bytes; use a random one, e.g. from `openssl rand -base64 48`")
    } else {
        return Some(Some(Secret::new(text.as_str())));
    };
    context.report(Place::Environment(TOKEN_SECRET.to_owned()), problem);
    None
}
