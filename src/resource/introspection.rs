//! Verification by asking the authorization server (RFC 7662).
//!
//! An answer is remembered for a short time and never beyond the end of the token; for as long a revocation may go unnoticed. Many who
//! show one token at once cause one question.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{
    authorization_server::{AuthorizationServer, read},
    identity::{Identity, IdentityParts},
    jws::MAX_LENGTH,
    jwt::Audience,
    verifier::{Rejection, Unavailable, VerifyError, judge_audience, judge_times},
};
use crate::{
    domain::{resource::ResourceUri, scope::Scope, time::Timestamp},
    protocol::secret::Secret,
};

/// How long an answer is remembered, unless somebody says otherwise.
pub(super) const REMEMBERED_FOR: Duration = Duration::from_secs(5);
/// How many answers are remembered.
const REMEMBERED: u64 = 16 * 1024;

/// What a resource server proves itself with at the introspection endpoint (`client_secret_basic`).
///
/// `gateward client create --introspect --resource URI` makes them.
pub struct ClientCredentials {
    client_id: String,
    client_secret: Secret,
}

impl ClientCredentials {
    /// Takes an identifier and its secret.
    pub fn new(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self { client_id: client_id.into(), client_secret: Secret::new(client_secret) }
    }
}

impl std::fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientCredentials({}, (hidden))", self.client_id)
    }
}

pub(super) struct Introspector {
    server: Arc<AuthorizationServer>,
    resource: ResourceUri,
    credentials: ClientCredentials,
    remembered_for: Duration,
    answers: moka::future::Cache<[u8; 32], Answer>,
}

#[derive(Clone)]
struct Answer {
    outcome: Result<Identity, Rejection>,
    at: Timestamp,
}

/// RFC 7662 2.2.
#[derive(Deserialize)]
struct Response {
    active: bool,
    #[serde(default)]
    iss: Option<String>,
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    aud: Option<Audience>,
    #[serde(default)]
    exp: Option<i64>,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    jti: Option<String>,
    #[serde(default)]
    grant_id: Option<String>,
    #[serde(default)]
    token_type: Option<String>,
}

impl Introspector {
    pub(super) fn new(
        server: Arc<AuthorizationServer>,
        resource: ResourceUri,
        credentials: ClientCredentials,
        remembered_for: Duration,
    ) -> Self {
        let answers = moka::future::Cache::builder().max_capacity(REMEMBERED).time_to_live(remembered_for).build();
        Self { server, resource, credentials, remembered_for, answers }
    }

    pub(super) async fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, VerifyError> {
        // The server would refuse to read it, and that would look as if it were out of order.
        if token.len() > MAX_LENGTH {
            return Err(Rejection::Malformed.into());
        }
        // Nor is an answer shared that was asked for before: the token may have been revoked since.
        if self.remembered_for.is_zero() {
            return judged(Box::pin(self.ask(token, now)).await?, now);
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        let is_fresh = |answer: &Answer| now >= answer.at && now.since(answer.at) < self.remembered_for;
        let answer = match self.answers.get(&digest).await {
            Some(answer) if is_fresh(&answer) => answer,
            known => {
                if known.is_some() {
                    self.answers.invalidate(&digest).await;
                }
                // Apart, as it is rare: every request would have to carry the room that it needs.
                let asked = Box::pin(self.answers.try_get_with(digest, self.ask(token, now))).await;
                asked.map_err(|error: Arc<Unavailable>| (*error).clone())?
            }
        };
        judged(answer, now)
    }

    async fn ask(&self, token: &str, now: Timestamp) -> Result<Answer, Unavailable> {
        let endpoints = self.server.endpoints().await?;
        let url = endpoints
            .introspection_endpoint
            .ok_or_else(|| Unavailable::new("the authorization server has no introspection endpoint"))?;
        let ClientCredentials { client_id, client_secret } = &self.credentials;
        // RFC 6749 2.3.1: both are form-encoded before they are joined.
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let request = self
            .server
            .http
            .post(&url)
            .basic_auth(encode(client_id), Some(encode(client_secret.expose())))
            .form(&[("token", token), ("token_type_hint", "access_token")]);
        match read::<Response>(&url, request).await {
            Ok(response) => Ok(Answer { outcome: self.judge(response), at: now }),
            Err(error) => {
                self.server.forget().await;
                Err(error)
            }
        }
    }

    fn judge(&self, response: Response) -> Result<Identity, Rejection> {
        // A refresh token is active too, to whom it belongs; what it is, `token_type` says, and that it has no audience.
        let is_bearer = response.token_type.is_none_or(|kind| kind.eq_ignore_ascii_case("Bearer"));
        if !response.active || !is_bearer {
            return Err(Rejection::Inactive);
        }
        let issuer = response.iss.unwrap_or_else(|| self.server.issuer.as_str().to_owned());
        if issuer != self.server.issuer.as_str() {
            return Err(Rejection::WrongIssuer);
        }
        judge_audience(response.aud.as_ref().map(Audience::all).unwrap_or_default(), &self.resource)?;
        let client_id = response.client_id.ok_or(Rejection::Malformed)?;
        Ok(Identity::from(IdentityParts {
            issuer,
            subject: response.sub.unwrap_or_else(|| client_id.clone()),
            username: response.username,
            client_id,
            scope: Scope::parse(&response.scope).map_err(|_| Rejection::Malformed)?,
            resource: self.resource.clone(),
            token_id: response.jti,
            grant_id: response.grant_id,
            not_before: response.nbf.map(Timestamp::from_unix),
            // Without an end it counts for as long as it is active.
            expires_at: Timestamp::from_unix(response.exp.unwrap_or(i64::MAX)),
        }))
    }
}

fn judged(answer: Answer, now: Timestamp) -> Result<Identity, VerifyError> {
    let identity = answer.outcome?;
    judge_times(identity.not_before(), identity.expires_at(), now)?;
    Ok(identity)
}
