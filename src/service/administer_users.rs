//! What an operator does with accounts.

use thiserror::Error;

use super::Authority;
use crate::{
    domain::{
        account::{PasswordHash, User, UserStatus, Username},
        grant::RevocationReason,
        identifier::UserId,
        time::Timestamp,
    },
    port::{
        crypto::PasswordError,
        store::{Creation, Owner, StoreError},
    },
    protocol::secret::Secret,
};

/// Why an account was not made or changed.
#[derive(Debug, Error)]
pub enum UserError {
    /// The login name is taken.
    #[error("there is a user {0} already")]
    Taken(Username),
    /// No such account.
    #[error("there is no user {0}")]
    Unknown(Username),
    /// The hasher failed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Authority {
    /// A random password of 128 bits.
    pub fn draw_password(&self) -> Secret {
        Secret::new(UserId::from_entropy(self.entropy.name()).as_str())
    }

    /// Adds an account with a password.
    pub async fn create_user(&self, name: Username, password: Secret, now: Timestamp) -> Result<User, UserError> {
        let hash = self.passwords.hash(password).await?;
        self.create_user_with_hash(name, hash, now).await
    }

    /// Adds an account whose password was hashed elsewhere.
    pub async fn create_user_with_hash(
        &self,
        username: Username,
        password: PasswordHash,
        now: Timestamp,
    ) -> Result<User, UserError> {
        let id = UserId::from_entropy(self.entropy.name());
        let user = User { id, username, password, status: UserStatus::Active, created_at: now };
        match self.accounts.create_user(&user).await? {
            Creation::Created => Ok(user),
            Creation::Taken => Err(UserError::Taken(user.username)),
        }
    }

    /// Changes a password; every session of the account ends.
    pub async fn set_password(&self, name: &Username, password: Secret) -> Result<(), UserError> {
        let user = self.user(name).await?;
        let hash = self.passwords.hash(password).await?;
        self.set_password_hash(&user, &hash).await
    }

    /// Changes a password to one that was hashed elsewhere.
    pub async fn set_password_hash(&self, user: &User, hash: &PasswordHash) -> Result<(), UserError> {
        if self.accounts.set_password(&user.id, hash).await? {
            Ok(())
        } else {
            Err(UserError::Unknown(user.username.clone()))
        }
    }

    /// Disables an account: its sessions and grants end.
    pub async fn disable_user(&self, name: &Username, now: Timestamp) -> Result<(), UserError> {
        let user = self.user(name).await?;
        // The account first: nobody logs in any more while what there is ends.
        if !self.accounts.set_status(&user.id, UserStatus::Disabled).await? {
            return Err(UserError::Unknown(user.username));
        }
        self.tokens.revoke_grants_of(&Owner::User(user.id), RevocationReason::UserDisabled, now).await?;
        Ok(())
    }

    /// Enables an account again. What was revoked stays revoked.
    pub async fn enable_user(&self, name: &Username) -> Result<(), UserError> {
        let user = self.user(name).await?;
        if self.accounts.set_status(&user.id, UserStatus::Active).await? {
            Ok(())
        } else {
            Err(UserError::Unknown(user.username))
        }
    }

    /// An account by its login name.
    pub async fn user(&self, name: &Username) -> Result<User, UserError> {
        self.accounts.find_user_by_name(name).await?.ok_or_else(|| UserError::Unknown(name.clone()))
    }
}
