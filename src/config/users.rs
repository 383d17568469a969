//! `[[users]]`: humans that the operator declares.

use argon2::password_hash::phc;

use super::{reader::Reader, secret::Source};
use crate::{
    domain::account::{PasswordHash, Username},
    protocol::secret::Secret,
};

/// A human that the configuration declares.
#[derive(Debug)]
pub struct UserSpec {
    pub username: Username,
    pub password: StaticPassword,
}

/// How a declared human's password is given.
#[derive(Debug)]
pub enum StaticPassword {
    /// As an argon2id hash.
    Hash(PasswordHash),
    /// As it is: to be hashed at start, and only if it does not fit the hash that is kept.
    Plain(Secret),
}

pub(super) fn read(root: Reader<'_>) -> Option<Vec<UserSpec>> {
    let mut seen: Vec<Username> = Vec::new();
    let users: Vec<Option<UserSpec>> = root
        .tables("users", "users")?
        .into_iter()
        .map(|table| {
            let username = table.required("username", |text| match Username::parse(text) {
                Ok(name) if seen.contains(&name) => Err(format!("\"{name}\" is declared twice")),
                Ok(name) => {
                    seen.push(name.clone());
                    Ok(name)
                }
                Err(error) => Err(error.to_string()),
            });
            let hash = table.optional("password_hash", |text| password_hash(&table, text));
            let plain = table.optional("password", |text| table.secret(text));
            let password = match (hash?, plain?) {
                (Some(hash), None) => StaticPassword::Hash(hash),
                (None, Some(plain)) => StaticPassword::Plain(plain),
                (None, None) => {
                    table.fail("username", "set password_hash or password");
                    return None;
                }
                (Some(_), Some(_)) => {
                    table.fail("password", "set either password_hash or password");
                    return None;
                }
            };
            Some(UserSpec { username: username?, password })
        })
        .collect();
    users.into_iter().collect()
}

fn password_hash(table: &Reader<'_>, text: &str) -> Result<PasswordHash, String> {
    let fetched = match Source::parse(text) {
        Some(source) => Some(table.fetch(&source)?),
        None => None,
    };
    let text = fetched.as_ref().map_or(text, Secret::expose);
    let parsed = phc::PasswordHash::new(text)
        .ok()
        .filter(|hash| hash.algorithm.as_str() == "argon2id" && hash.salt.is_some() && hash.hash.is_some());
    match parsed {
        Some(_) => Ok(PasswordHash::new(text)),
        // Whatever stands there may be the password: it is not repeated.
        None => {
            Err("must be an argon2id hash in PHC form ($argon2id$v=19$m=..,t=..,p=..$salt$hash), or `env:NAME` or \
                     `file:PATH` of one"
                .to_owned())
        }
    }
}
