//! How a command ends badly: a message for people, an exit code for scripts.

use std::{
    error::Error,
    fmt::{self, Display},
    io::Write,
    process::ExitCode,
};

#[cfg(feature = "sqlite")]
use crate::store::BackupError;
use crate::{
    adapter::{keyring::KeyringError, master_key::MasterKeyError},
    port::store::StoreError,
    service::{administer_clients::ClientError, administer_users::UserError},
    store::{CopyError, OpenError},
};

/// What went wrong.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    message: String,
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Failure {
    pub(super) fn failed(error: &(dyn Error + 'static)) -> Self {
        Self { code: 1, message: with_causes(error) }
    }

    pub(super) fn usage(message: impl Display) -> Self {
        Self { code: 2, message: message.to_string() }
    }

    /// What was examined is not as it should be; the report has been printed.
    pub(super) fn unfit(failures: usize) -> Self {
        let s = if failures == 1 { "" } else { "s" };
        Self { code: 1, message: format!("{failures} check{s} failed") }
    }

    pub(super) fn not_found(message: impl Display) -> Self {
        Self { code: 3, message: message.to_string() }
    }

    pub(super) fn conflict(message: impl Display) -> Self {
        Self { code: 4, message: message.to_string() }
    }

    pub(super) fn configuration(message: impl Display) -> Self {
        Self { code: 5, message: message.to_string() }
    }

    /// A store that cannot be opened; `which` names it, without a password.
    pub(super) fn store(which: impl Display, error: &OpenError) -> Self {
        let code = match error {
            OpenError::Url(_) => 5,
            OpenError::File { .. }
            | OpenError::Database(_)
            | OpenError::MigrationsPending(_)
            | OpenError::MayNotMigrate(..)
            | OpenError::ForeignSchema(_) => 6,
        };
        Self { code, message: format!("{which}: {}", with_causes(error)) }
    }

    /// Tells it and gives the exit code.
    pub(super) fn report(&self) -> ExitCode {
        // If standard error is gone there is nobody left to tell.
        let _ = writeln!(std::io::stderr(), "gateward: {}", self.message);
        ExitCode::from(self.code)
    }
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self { code: 6, message: with_causes(&error) },
            StoreError::Corrupt(_) => Self::failed(&error),
        }
    }
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::KeepsNothing(_) => Self::usage(error),
            CopyError::Source(_, StoreError::Unavailable(_))
            | CopyError::Destination(_, StoreError::Unavailable(_)) => Self { code: 6, message: with_causes(&error) },
            CopyError::Source(_, StoreError::Corrupt(_))
            | CopyError::Destination(_, StoreError::Corrupt(_))
            | CopyError::Watcher(_)
            | CopyError::Differ { .. } => Self::failed(&error),
        }
    }
}

#[cfg(feature = "sqlite")]
impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::NoStore(_) => Self::not_found(error),
            BackupError::Exists(_) | BackupError::InUse(_) => Self::conflict(error),
            BackupError::NotUtf8(_) | BackupError::NotABackup(_) | BackupError::Foreign(_) => Self::usage(error),
            BackupError::File { .. } | BackupError::Damaged { .. } => Self::failed(&error),
            BackupError::Database(_) | BackupError::Schema(_) => Self { code: 6, message: with_causes(&error) },
        }
    }
}

impl From<MasterKeyError> for Failure {
    fn from(error: MasterKeyError) -> Self {
        Self::configuration(error)
    }
}

impl From<KeyringError> for Failure {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::Store(error) => error.into(),
            KeyringError::WrongMasterKey { .. } | KeyringError::WeakSharedSecret { .. } => Self::configuration(error),
            KeyringError::Contended(_) => Self::conflict(error),
            KeyringError::Damaged { .. } | KeyringError::Generate(_) | KeyringError::Stopped => Self::failed(&error),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Store(error) => error.into(),
            ClientError::Spec(_) | ClientError::NoSecret(_) => Self::usage(error),
            ClientError::Unknown(_) => Self::not_found(error),
            ClientError::Taken(_) | ClientError::Configured(_) | ClientError::Conflict(_) => Self::conflict(error),
        }
    }
}

impl From<UserError> for Failure {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Store(error) => error.into(),
            UserError::Password(error) => Self::failed(&error),
            UserError::Unknown(_) => Self::not_found(error),
            UserError::Taken(_) => Self::conflict(error),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::failed(&error)
    }
}
