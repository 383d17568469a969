//! `gateward user`.

use std::io::Read;

use clap::Subcommand;
use serde::Serialize;

use super::{Listing, compose::Assembly, export, failure::Failure, output};
use crate::{
    domain::{
        account::{User, UserStatus, Username},
        audit::Action,
    },
    port::store::Page,
    protocol::secret::Secret,
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Add an account. Prints a random password unless one is given.
    Create {
        username: String,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        listing: Listing,
    },
    /// List the accounts.
    List(Listing),
    /// Print them as `[[users]]` of a configuration, without passwords.
    Export(export::Arguments),
    /// Change a password; every session of the account ends. Prints a random one unless one is given.
    SetPassword {
        username: String,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        listing: Listing,
    },
    /// Disable an account; its sessions and grants end.
    Disable { username: String },
    /// Enable an account again.
    Enable { username: String },
}

#[derive(Serialize)]
struct Row {
    username: String,
    user_id: String,
    status: &'static str,
    created_at: String,
}

#[derive(Serialize)]
struct NewPassword<'a> {
    username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
}

pub(super) async fn run(verb: Verb, assembly: &Assembly) -> Result<(), Failure> {
    let (authority, now) = (&assembly.authority, assembly.now());
    match verb {
        Verb::Create { username, password_stdin, listing } => {
            let (name, password) = (parse(&username)?, password(assembly, password_stdin)?);
            let user = authority.create_user(name.clone(), Secret::new(password.expose()), now).await?;
            assembly.by_operator(Action::UserCreate, |event| event.of_user(&user.id));
            tell(&name, (!password_stdin).then_some(&password), listing)
        }
        Verb::SetPassword { username, password_stdin, listing } => {
            let (name, password) = (parse(&username)?, password(assembly, password_stdin)?);
            authority.set_password(&name, Secret::new(password.expose())).await?;
            note(assembly, Action::UserSetPassword, &name).await?;
            tell(&name, (!password_stdin).then_some(&password), listing)
        }
        Verb::Disable { username } => {
            let name = parse(&username)?;
            authority.disable_user(&name, now).await?;
            note(assembly, Action::UserDisable, &name).await?;
            output::line(&format!("disabled {username}; sessions and grants ended"))
        }
        Verb::Enable { username } => {
            let name = parse(&username)?;
            authority.enable_user(&name).await?;
            note(assembly, Action::UserEnable, &name).await?;
            output::line(&format!("enabled {username}"))
        }
        Verb::List(listing) => {
            let rows: Vec<Row> = every_user(assembly).await?.iter().map(row).collect();
            output::many(&rows, listing.json)
        }
        Verb::Export(arguments) => export::users(&every_user(assembly).await?, &arguments),
    }
}

async fn every_user(assembly: &Assembly) -> Result<Vec<User>, Failure> {
    let mut users = Vec::new();
    let mut after: Option<Username> = None;
    loop {
        let page = assembly.authority.accounts.list_users(Page { after: after.take(), limit: 500 }).await?;
        let Some(last) = page.last() else { return Ok(users) };
        after = Some(last.username.clone());
        users.extend(page);
    }
}

/// Accounts are not removed, so who was changed a moment ago is still there.
async fn note(assembly: &Assembly, action: Action, name: &Username) -> Result<(), Failure> {
    let user = assembly.authority.user(name).await?;
    assembly.by_operator(action, |event| event.of_user(&user.id));
    Ok(())
}

fn parse(username: &str) -> Result<Username, Failure> {
    Username::parse(username).map_err(Failure::usage)
}

/// A password from standard input, or a random one of 128 bits.
fn password(assembly: &Assembly, from_stdin: bool) -> Result<Secret, Failure> {
    if !from_stdin {
        return Ok(assembly.authority.draw_password());
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    std::io::stdin().take(4096).read_to_string(&mut text)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.chars().count() < 8 {
        return Err(Failure::usage("a password has at least 8 characters"));
    }
    Ok(Secret::new(password))
}

fn tell(name: &Username, password: Option<&Secret>, listing: Listing) -> Result<(), Failure> {
    output::one(&NewPassword { username: name.as_str(), password: password.map(Secret::expose) }, listing.json)
}

fn row(user: &User) -> Row {
    Row {
        username: user.username.as_str().to_owned(),
        user_id: user.id.as_str().to_owned(),
        status: match user.status {
            UserStatus::Active => "active",
            UserStatus::Disabled => "disabled",
        },
        created_at: output::rfc3339(user.created_at),
    }
}
