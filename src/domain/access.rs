//! Access tokens: what each one says, whether as a JWT (RFC 9068) or behind an opaque text.

use super::{
    credential::{Digest, OpaqueAccessToken},
    identifier::{ClientId, GrantId, TokenId, UserId},
    issuer::Issuer,
    policy::CLOCK_SKEW,
    resource::{Resource, ResourceUri, Resources},
    scope::Scope,
    time::Timestamp,
};
use crate::protocol::access_token::AccessTokenClaims;

/// Whom a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A human, who granted it.
    User { user_id: UserId, grant_id: GrantId, auth_time: Timestamp },
    /// The client itself (RFC 6749 4.4).
    Client,
}

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    pub id: TokenId,
    pub client_id: ClientId,
    pub subject: Subject,
    pub scope: Scope,
    pub audience: ResourceUri,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
}

impl AccessToken {
    /// A token for `resource`, valid from `now` for as long as the resource says.
    pub fn new(
        id: TokenId,
        client_id: ClientId,
        subject: Subject,
        scope: Scope,
        resource: &Resource,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            client_id,
            subject,
            scope,
            audience: resource.uri.clone(),
            issued_at: now,
            expires_at: now.plus(resource.token_lifetime),
        }
    }

    /// `sub`: the human, or the client when it acts for itself (RFC 9068 2.2).
    pub fn subject_text(&self) -> &str {
        match &self.subject {
            Subject::User { user_id, .. } => user_id.as_str(),
            Subject::Client => self.client_id.as_str(),
        }
    }

    /// The grant it hangs off; none for client credentials.
    pub fn grant_id(&self) -> Option<&GrantId> {
        match &self.subject {
            Subject::User { grant_id, .. } => Some(grant_id),
            Subject::Client => None,
        }
    }

    /// RFC 9068 2.2.
    pub fn claims(&self, issuer: &Issuer) -> AccessTokenClaims {
        AccessTokenClaims {
            iss: issuer.as_str().to_owned(),
            sub: self.subject_text().to_owned(),
            aud: self.audience.as_str().to_owned(),
            exp: self.expires_at.unix(),
            iat: self.issued_at.unix(),
            nbf: self.issued_at.unix(),
            jti: self.id.as_str().to_owned(),
            client_id: self.client_id.as_str().to_owned(),
            scope: self.scope.to_string(),
            grant_id: self.grant_id().map(|id| id.as_str().to_owned()),
            auth_time: match &self.subject {
                Subject::User { auth_time, .. } => Some(auth_time.unix()),
                Subject::Client => None,
            },
        }
    }

    /// Reads claims that were signed here. `None` if they are not what [`AccessToken::claims`] writes, or are over at `now`.
    /// `resources`: a token may be for one that has left them.
    pub fn from_claims(
        claims: &AccessTokenClaims,
        issuer: &Issuer,
        resources: &Resources,
        now: Timestamp,
    ) -> Option<Self> {
        let expires_at = Timestamp::from_unix(claims.exp);
        // RFC 7519 4.1.5: with some leeway. The clock of the instance that issued it may be ahead of this one's, and a token that
        // was not known yet could not be revoked here either.
        let starts_at = Timestamp::from_unix(claims.nbf);
        if claims.iss != issuer.as_str() || expires_at.is_over(now) || starts_at > now.plus(CLOCK_SKEW) {
            return None;
        }
        let subject = match (&claims.grant_id, claims.auth_time) {
            (Some(grant), Some(auth_time)) => Subject::User {
                user_id: UserId::parse(&claims.sub).ok()?,
                grant_id: GrantId::parse(grant).ok()?,
                auth_time: Timestamp::from_unix(auth_time),
            },
            (None, None) => Subject::Client,
            _ => return None,
        };
        Some(Self {
            id: TokenId::parse(&claims.jti).ok()?,
            client_id: ClientId::parse(&claims.client_id).ok()?,
            subject,
            scope: Scope::parse(&claims.scope).ok()?,
            audience: resources.read(&claims.aud).ok()?,
            issued_at: Timestamp::from_unix(claims.iat),
            expires_at,
        })
    }
}

/// An opaque access token as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpaqueRecord {
    pub digest: Digest<OpaqueAccessToken>,
    pub token: AccessToken,
}

/// Whether a token that has not expired still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Neither it nor its grant was revoked.
    Good,
    /// It was, or its grant was, or its grant is unknown.
    Revoked,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::grant::tests::resources;

    fn token(subject: Subject) -> AccessToken {
        let all = resources(&["https://a.example/mcp"]);
        AccessToken::new(
            TokenId::parse("jti").unwrap(),
            ClientId::parse("client").unwrap(),
            subject,
            Scope::parse("mcp:read").unwrap(),
            all.default_resource(),
            Timestamp::from_unix(1_000),
        )
    }

    fn read(claims: &AccessTokenClaims, issuer: &Issuer, now: i64) -> Option<AccessToken> {
        // Whether or not the resource is still there.
        let [with, without] = [&["https://a.example/mcp"], &["https://b.example/mcp"]].map(|uris| resources(uris));
        let [with, without] =
            [with, without].map(|all| AccessToken::from_claims(claims, issuer, &all, Timestamp::from_unix(now)));
        assert_eq!(with, without);
        with
    }

    #[test]
    fn a_token_reads_back_from_its_claims_until_it_expires() {
        let issuer = Issuer::parse("https://auth.example").unwrap();
        let user = Subject::User {
            user_id: UserId::parse("user").unwrap(),
            grant_id: GrantId::parse("grant").unwrap(),
            auth_time: Timestamp::from_unix(900),
        };
        for subject in [user, Subject::Client] {
            let token = token(subject);
            let claims = token.claims(&issuer);
            assert_eq!(read(&claims, &issuer, 4_599), Some(token));
            assert_eq!(read(&claims, &issuer, 4_600), None);
        }
    }

    #[test]
    fn claims_of_another_issuer_or_of_the_future_are_refused() {
        let [issuer, other] = ["https://auth.example", "https://other.example"].map(|i| Issuer::parse(i).unwrap());
        let claims = token(Subject::Client).claims(&issuer);
        assert_eq!(read(&claims, &other, 1_000), None);
        assert_eq!(read(&claims, &issuer, 939), None);
    }

    #[test]
    fn claims_of_an_instance_whose_clock_is_a_minute_ahead_are_read() {
        let issuer = Issuer::parse("https://auth.example").unwrap();
        let claims = token(Subject::Client).claims(&issuer);
        for now in [940, 970, 1_000] {
            assert!(read(&claims, &issuer, now).is_some(), "{now}");
        }
    }

    #[test]
    fn a_client_that_acts_for_itself_is_its_own_subject() {
        assert_eq!(token(Subject::Client).subject_text(), "client");
    }
}
