//! The authorization endpoint (OAuth 2.1 4.1): from a request in a browser to a code at the client's redirect URI.
//!
//! 1. Who asks, and where would the answer go? If that is not certain, nobody is redirected: [`Unaddressed`].
//! 2. Judge everything else; from here on errors go to the client: [`Addressed`].
//! 3. Who is the human? Perhaps they must log in.
//! 4. What did they agree to before? Perhaps they must be asked.
//! 5. Issue a code.

use std::sync::Arc;

use thiserror::Error;

use super::{
    Authority, NoClient, TOUCH_INTERVAL,
    interaction::{BrokenInteraction, BrowserToken, Interaction},
};
use crate::{
    domain::{
        account::{Consent, Session, User},
        authorization::{self, Authorization, AuthorizationRefusal, Login, Step},
        client::{Client, GrantType},
        code::{CodeRecord, NewCode},
        correlation::AttemptId,
        credential::{AuthorizationCode, Credential},
        grant::Grant,
        identifier::{ClientId, GrantId, UserId},
        redirect::{MatchedRedirect, RedirectMismatch},
        resource::Resource,
        scope::Scope,
        time::Timestamp,
    },
    port::store::{StoreError, Use},
    protocol::authorization::AuthorizationRequest,
};

/// Why the human gets an error page, and the client nothing: there is no place that is certain to be the client's.
#[derive(Debug, Error)]
pub enum Unaddressed {
    /// No `client_id`.
    #[error("client_id is missing")]
    ClientMissing,
    /// No such client may act.
    #[error("no such client: {0:?}")]
    NoClient(NoClient),
    /// The redirect URI is not the client's.
    #[error(transparent)]
    Redirect(#[from] RedirectMismatch),
    /// The form that was sent continues nothing.
    #[error("the form continues nothing: {0}")]
    Interaction(BrokenInteraction),
    /// Nobody is logged in, where somebody was a moment ago.
    #[error("the session is over")]
    SessionOver(Box<AuthorizationRequest>),
    /// The store failed before the client was found.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where the answer to a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressee {
    pub client: ClientId,
    /// Who is in front of the browser, as far as that is known yet.
    pub user: Option<UserId>,
    pub redirect: MatchedRedirect,
    /// Returned byte for byte.
    pub state: Option<String>,
}

/// Why the client gets an error at its redirect URI.
#[derive(Debug, Error)]
pub enum Addressed {
    /// The rules say no, or the human does.
    #[error("refused: {0:?}")]
    Refused(AuthorizationRefusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a request got no code.
#[derive(Debug, Error)]
pub enum AuthorizeError {
    /// The human is told.
    #[error(transparent)]
    Unaddressed(#[from] Unaddressed),
    /// The client is told.
    #[error("{why}")]
    Addressed { to: Box<Addressee>, why: Addressed },
}

/// What happens next.
#[derive(Debug)]
pub enum Next {
    /// Ask the human to log in.
    LogIn(Box<LogInView>),
    /// Ask the human for consent.
    AskConsent(Box<ConsentView>),
    /// Send the human back to the client with a code.
    Return(Box<CodeIssued>),
}

/// What a login page tells.
#[derive(Debug)]
pub struct LogInView {
    pub interaction: Interaction,
    pub client: Arc<Client>,
    pub resource: Resource,
    pub login_hint: Option<String>,
    pub redirect: MatchedRedirect,
}

/// What a consent page tells.
#[derive(Debug)]
pub struct ConsentView {
    pub interaction: Interaction,
    pub client: Arc<Client>,
    pub user: User,
    pub redirect: MatchedRedirect,
    /// Never empty.
    pub resources: Vec<Resource>,
    /// Not agreed to before.
    pub new: Scope,
    /// Agreed to before.
    pub known: Scope,
}

/// A code on its way to the client.
#[derive(Debug)]
pub struct CodeIssued {
    pub code: Credential<AuthorizationCode>,
    pub grant: GrantId,
    pub to: Addressee,
}

/// What the human decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Approve,
    Deny,
}

/// A request that has passed steps 1 and 2.
struct Judged {
    client: Arc<Client>,
    authorization: Authorization,
    /// Known after step 3.
    user: Option<UserId>,
}

impl Judged {
    fn addressee(&self) -> Box<Addressee> {
        let Authorization { redirect, state, .. } = &self.authorization;
        Box::new(Addressee {
            client: self.client.id.clone(),
            user: self.user.clone(),
            redirect: redirect.clone(),
            state: state.clone(),
        })
    }

    fn fail(&self, why: impl Into<Addressed>) -> AuthorizeError {
        AuthorizeError::Addressed { to: self.addressee(), why: why.into() }
    }

    fn refuse(&self, why: AuthorizationRefusal) -> AuthorizeError {
        self.fail(Addressed::Refused(why))
    }
}

impl Authority {
    /// A request arrives in a browser, or is put to its human once more.
    pub async fn begin(
        &self,
        attempt: AttemptId,
        request: AuthorizationRequest,
        browser: &BrowserToken,
        now: Timestamp,
    ) -> Result<Next, AuthorizeError> {
        let interaction = Self::interaction(attempt, request, browser, false, now);
        self.proceed(interaction, browser, now).await
    }

    /// The next step of a request, e.g. after a login.
    pub async fn proceed(
        &self,
        interaction: Interaction,
        browser: &BrowserToken,
        now: Timestamp,
    ) -> Result<Next, AuthorizeError> {
        let mut judged = self.judge(&interaction.request).await?;
        let session = self.session(browser, now).await.map_err(|e| judged.fail(e))?;
        judged.user = session.as_ref().map(|(session, _)| session.user_id.clone());
        let Judged { client, authorization, .. } = &judged;
        let login =
            session.as_ref().map(|(session, _)| Login { auth_time: session.auth_time, fresh: interaction.fresh_login });
        let Some((session, user)) = session.filter(|_| !authorization::needs_login(authorization, login, now)) else {
            if authorization.prompt.none {
                return Err(judged.refuse(AuthorizationRefusal::LoginRequired));
            }
            let resource = self.resources_of(authorization).next().unwrap_or(self.policy.resources.default_resource());
            return Ok(Next::LogIn(Box::new(LogInView {
                interaction: interaction.ask_to_log_in(),
                resource: resource.clone(),
                login_hint: authorization.login_hint.clone(),
                redirect: authorization.redirect.clone(),
                client: judged.client,
            })));
        };
        let consented = self.consented(&user, authorization).await.map_err(|e| judged.fail(e))?;
        match authorization::after_login(authorization, client, &consented, &self.policy) {
            Step::Issue => self.issue_code(&judged, &session, now).await.map(Next::Return),
            Step::AskConsent { .. } if authorization.prompt.none => {
                Err(judged.refuse(AuthorizationRefusal::ConsentRequired))
            }
            Step::AskConsent { new, known } => Ok(Next::AskConsent(Box::new(ConsentView {
                interaction: interaction.ask_consent(client, authorization),
                redirect: authorization.redirect.clone(),
                resources: self.resources_of(authorization).cloned().collect(),
                client: judged.client,
                user,
                new,
                known,
            }))),
        }
    }

    /// The human decided. An answer counts once: the second one changes nothing.
    pub async fn decide(
        &self,
        interaction: Interaction,
        decision: Decision,
        browser: &BrowserToken,
        now: Timestamp,
    ) -> Result<CodeIssued, AuthorizeError> {
        let mut judged = self.judge(&interaction.request).await?;
        // What the human saw is what they agree to, whatever the client has changed since.
        interaction.asked_consent(&judged.client, &judged.authorization).map_err(Unaddressed::Interaction)?;
        let session = self.session(browser, now).await.map_err(|e| judged.fail(e))?;
        judged.user = session.as_ref().map(|(session, _)| session.user_id.clone());
        let login =
            session.as_ref().map(|(session, _)| Login { auth_time: session.auth_time, fresh: interaction.fresh_login });
        let logged_in = session.filter(|_| !authorization::needs_login(&judged.authorization, login, now));
        let Some((session, _)) = logged_in else {
            return Err(Unaddressed::SessionOver(Box::new(interaction.request)).into());
        };
        let single = interaction.is_answered_by(self.policy.lifetimes.interaction);
        match self.tokens.use_once(single, now).await.map_err(|e| judged.fail(e))? {
            Use::First => {}
            Use::Again => {
                let answered = BrokenInteraction::Answered(Box::new(interaction.request));
                return Err(Unaddressed::Interaction(answered).into());
            }
        }
        match decision {
            Decision::Deny => Err(judged.refuse(AuthorizationRefusal::Denied)),
            Decision::Approve => {
                self.remember(&judged, &session, now).await.map_err(|e| judged.fail(e))?;
                self.issue_code(&judged, &session, now).await.map(|code| *code)
            }
        }
    }

    /// Steps 1 and 2.
    async fn judge(&self, request: &AuthorizationRequest) -> Result<Judged, AuthorizeError> {
        let id = request.client_id.as_deref().ok_or(Unaddressed::ClientMissing)?;
        let client = self.active_client(id).await.map_err(Unaddressed::Store)?.map_err(Unaddressed::NoClient)?;
        let redirect = MatchedRedirect::find(&client.redirect_uris, request.redirect_uri.as_deref())
            .map_err(Unaddressed::Redirect)?;
        match authorization::judge(request, &client, redirect.clone(), &self.policy) {
            Ok(authorization) => Ok(Judged { client, authorization, user: None }),
            Err(refusal) => Err(AuthorizeError::Addressed {
                to: Box::new(Addressee {
                    client: client.id.clone(),
                    user: None,
                    redirect,
                    state: request.state.clone(),
                }),
                why: Addressed::Refused(refusal),
            }),
        }
    }

    fn resources_of<'a>(&'a self, authorization: &'a Authorization) -> impl Iterator<Item = &'a Resource> {
        authorization.resources.iter().filter_map(|uri| self.policy.resources.find(uri.as_str()))
    }

    /// What of the request the human agreed to before: at every resource where it means anything.
    async fn consented(&self, user: &User, authorization: &Authorization) -> Result<Scope, StoreError> {
        let mut missing = Scope::none();
        for resource in self.resources_of(authorization) {
            let asked = resource.scope_at(&authorization.scope).unwrap_or_default();
            let agreed = self.accounts.consented(&user.id, &authorization.client_id, &resource.uri).await?;
            missing = missing.union(&asked.difference(&agreed));
        }
        Ok(authorization.scope.difference(&missing))
    }

    async fn remember(&self, judged: &Judged, session: &Session, now: Timestamp) -> Result<(), StoreError> {
        for resource in self.resources_of(&judged.authorization) {
            let consent = Consent {
                user_id: session.user_id.clone(),
                client_id: judged.client.id.clone(),
                resource: resource.uri.clone(),
                scope: resource.scope_at(&judged.authorization.scope).unwrap_or_default(),
                updated_at: now,
            };
            self.accounts.add_consent(&consent).await?;
        }
        Ok(())
    }

    async fn issue_code(
        &self,
        judged: &Judged,
        session: &Session,
        now: Timestamp,
    ) -> Result<Box<CodeIssued>, AuthorizeError> {
        let authorization = &judged.authorization;
        // Before the grant is there: a client that is being reaped at this moment is then either spared or gone. Nobody reaps one
        // that was just used.
        if !judged.client.was_used_within(TOUCH_INTERVAL / 2, now)
            && !self.clients.touch(&judged.client.id, now).await.map_err(|e| judged.fail(e))?
        {
            return Err(Unaddressed::NoClient(NoClient::Unknown).into());
        }
        let mut draws = self.entropy.draws();
        let code = draws.credential::<AuthorizationCode>();
        let expires_at = now.plus(self.policy.lifetimes.code);
        let grant = Grant {
            id: GrantId::from_entropy(draws.name()),
            client_id: judged.client.id.clone(),
            user_id: session.user_id.clone(),
            scope: authorization.scope.clone(),
            resources: authorization.resources.clone(),
            auth_time: session.auth_time,
            created_at: now,
            expires_at,
            revocation: None,
        };
        let new_code = NewCode {
            digest: code.digest(),
            redirect: authorization.redirect.clone(),
            challenge: authorization.challenge.clone(),
            expires_at,
        };
        self.tokens.open_grant(&grant, &new_code).await.map_err(|e| judged.fail(e))?;
        let grant_id = grant.id.clone();
        self.copies.keep_code(CodeRecord { code: new_code, grant, spent_at: None });
        Ok(Box::new(CodeIssued { code, grant: grant_id, to: *judged.addressee() }))
    }

    /// How long the client keeps what it is given, for the human who decides: seconds without use, or the lifetime of one
    /// access token if it cannot renew it.
    pub fn access_duration(&self, view: &ConsentView) -> AccessDuration {
        if view.client.may_use(GrantType::RefreshToken) {
            AccessDuration::UntilUnusedFor(self.policy.lifetimes.refresh)
        } else {
            let longest = view.resources.iter().map(|r| r.token_lifetime).max();
            AccessDuration::Once(longest.unwrap_or_default())
        }
    }
}

/// How long access lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessDuration {
    /// Until it is revoked, or was not used for this long.
    UntilUnusedFor(std::time::Duration),
    /// For this long.
    Once(std::time::Duration),
}
