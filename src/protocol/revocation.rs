//! Revocation requests (RFC 7009 2.1). The answer to a good one is an empty 200.

use super::{form::Form, secret::Secret};

/// `token_type_hint` of RFC 7009 2.1, also used by introspection. Only a hint: an unknown one is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenTypeHint {
    /// `access_token`
    AccessToken,
    /// `refresh_token`
    RefreshToken,
}

/// A request that names a token: to revoke it or to ask about it.
#[derive(Debug)]
pub struct TokenQuery {
    /// The token as presented.
    pub token: Secret,
    /// What the caller believes it is.
    pub hint: Option<TokenTypeHint>,
}

/// The form has no `token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingToken;

impl TryFrom<&Form> for TokenQuery {
    type Error = MissingToken;

    fn try_from(form: &Form) -> Result<Self, MissingToken> {
        Ok(Self {
            token: Secret::new(form.get("token").ok_or(MissingToken)?),
            hint: match form.get("token_type_hint") {
                Some("access_token") => Some(TokenTypeHint::AccessToken),
                Some("refresh_token") => Some(TokenTypeHint::RefreshToken),
                Some(_) | None => None,
            },
        })
    }
}
