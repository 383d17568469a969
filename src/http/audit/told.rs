//! What the results of use cases mean for the audit trail.

use crate::{
    domain::{
        access::Subject,
        assertion::AssertionRefusal,
        audit::{
            Action, Event, Outcome,
            Reason::{self, *},
        },
        authorization::AuthorizationRefusal,
        client::Removal,
        code::CodeRefusal,
        identifier::{ClientId, UserId},
        redirect::RedirectMismatch,
        refresh::RefreshRefusal,
    },
    port::{crypto::AssertionError, store::StoreError},
    protocol::registration::ClientInformation,
    service::{
        IssueError, Issued, NoClient,
        authenticate::AuthenticateError,
        authorize::{Addressed, AuthorizeError, CodeIssued, Next, Unaddressed},
        client_credentials::ClientCredentialsError,
        interaction::BrokenInteraction,
        log_in::{LogInError, LoggedIn},
        redeem::RedeemError,
        refresh::RefreshError,
        register::RegisterError,
        revoke::GivenBack,
    },
};

/// Something that an action can come to.
pub(in crate::http) trait Told {
    /// What the trail says of it; `event` has the action and its circumstances. `None`: nothing happened that matters.
    fn tell(&self, event: Event) -> Option<Event>;
}

/// How something went wrong.
enum Why {
    Refused(Reason),
    Failed(Reason),
    /// A request that asks for nothing that could be refused.
    Nothing,
}

impl Why {
    fn tell(self, event: Event) -> Option<Event> {
        let (outcome, reason) = match self {
            Self::Refused(reason) => (Outcome::Refused, reason),
            Self::Failed(reason) => (Outcome::Failed, reason),
            Self::Nothing => return None,
        };
        Some(Event { outcome, ..event }.because(reason))
    }
}

impl From<&StoreError> for Why {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Failed(Unavailable),
            StoreError::Corrupt(_) => Self::Failed(Internal),
        }
    }
}

impl From<&IssueError> for Why {
    fn from(error: &IssueError) -> Self {
        match error {
            IssueError::NothingGranted => Self::Refused(NothingGranted),
            IssueError::Sign(_) => Self::Failed(Internal),
        }
    }
}

impl Told for StoreError {
    fn tell(&self, event: Event) -> Option<Event> {
        Why::from(self).tell(event)
    }
}

const fn nobody(why: NoClient) -> Reason {
    match why {
        NoClient::Unknown => UnknownClient,
        NoClient::Removed(Removal::Operator | Removal::Itself | Removal::NeverAuthorized | Removal::Idle) => {
            RemovedClient
        }
        NoClient::Disabled => DisabledClient,
    }
}

/// Why a client is not believed, and whether there is one of the name that it says. `None`: nobody could look.
pub(super) const fn authentication(error: &AuthenticateError) -> Option<(Reason, bool)> {
    Some(match error {
        AuthenticateError::NoClient(why) => (nobody(*why), !matches!(why, NoClient::Unknown)),
        AuthenticateError::WrongMethod => (WrongMethod, true),
        AuthenticateError::WrongSecret => (WrongSecret, true),
        AuthenticateError::AssertionOfNobody(Some(why)) => (nobody(*why), !matches!(why, NoClient::Unknown)),
        AuthenticateError::AssertionOfNobody(None) => (WrongMethod, true),
        AuthenticateError::AssertionReplayed => (AssertionReplayed, true),
        // Found out before anybody was looked for.
        AuthenticateError::AssertionClaims(AssertionRefusal::WrongClient) => (AssertionRefused, false),
        AuthenticateError::Assertion(AssertionError::Malformed) => (AssertionInvalid, false),
        AuthenticateError::AssertionClaims(
            AssertionRefusal::WrongAudience
            | AssertionRefusal::Expired
            | AssertionRefusal::TooLong
            | AssertionRefusal::NotYet
            | AssertionRefusal::BadId,
        ) => (AssertionRefused, true),
        AuthenticateError::Assertion(
            AssertionError::Algorithm | AssertionError::NoKey | AssertionError::BadSignature,
        ) => (AssertionInvalid, true),
        AuthenticateError::Store(_) => return None,
    })
}

impl Told for Issued {
    fn tell(&self, event: Event) -> Option<Event> {
        let (user, grant) = match &self.token.subject {
            Subject::User { user_id, grant_id, .. } => (Some(user_id.clone()), Some(grant_id.clone())),
            Subject::Client => (None, None),
        };
        let reason = self.repeated.then_some(RefreshRepeated);
        Some(Event { user, grant, reason, token: Some(self.token.id.clone()), ..event })
    }
}

impl Told for RedeemError {
    fn tell(&self, event: Event) -> Option<Event> {
        let refused = |reason| Why::Refused(reason);
        let mut event = event;
        let why = match self {
            Self::UnauthorizedClient => refused(UnauthorizedClient),
            Self::UnknownCode => refused(UnknownCode),
            Self::Refused(refusal) => refused(match refusal {
                CodeRefusal::WrongClient => WrongClient,
                CodeRefusal::RedirectMismatch => RedirectMismatch,
                CodeRefusal::VerifierMissing => VerifierMissing,
                CodeRefusal::VerifierMismatch => VerifierMismatch,
                CodeRefusal::Replayed(replay) => {
                    event.grant = Some(replay.grant_id().clone());
                    CodeReplayed
                }
                CodeRefusal::Expired => Expired,
                CodeRefusal::GrantRevoked => GrantRevoked,
                CodeRefusal::TargetRefused => TargetRefused,
            }),
            Self::LostRace => refused(CodeReplayed),
            Self::GrantRevoked => refused(GrantRevoked),
            Self::UserDisabled => refused(DisabledUser),
            Self::Issue(error) => error.into(),
            Self::Store(error) => error.into(),
        };
        why.tell(event)
    }
}

impl Told for RefreshError {
    fn tell(&self, event: Event) -> Option<Event> {
        let refused = |reason| Why::Refused(reason);
        let mut event = event;
        let why = match self {
            Self::UnauthorizedClient => refused(UnauthorizedClient),
            Self::UnknownToken => refused(UnknownToken),
            Self::Refused(refusal) => refused(match refusal {
                RefreshRefusal::WrongClient => WrongClient,
                RefreshRefusal::GrantRevoked => GrantRevoked,
                RefreshRefusal::Replayed(replay) => {
                    event.grant = Some(replay.grant_id().clone());
                    RefreshReplayed
                }
                RefreshRefusal::Expired => Expired,
                RefreshRefusal::ScopeWidened => ScopeRefused,
                RefreshRefusal::TargetRefused => TargetRefused,
            }),
            Self::GrantRevoked => refused(GrantRevoked),
            Self::UserDisabled => refused(DisabledUser),
            Self::Unsealable => Why::Failed(Internal),
            Self::Issue(error) => error.into(),
            Self::Store(error) => error.into(),
        };
        why.tell(event)
    }
}

impl Told for ClientCredentialsError {
    fn tell(&self, event: Event) -> Option<Event> {
        let why = match self {
            Self::UnauthorizedClient => Why::Refused(UnauthorizedClient),
            Self::TargetRefused => Why::Refused(TargetRefused),
            Self::ScopeRefused => Why::Refused(ScopeRefused),
            Self::Issue(error) => error.into(),
            Self::Store(error) => error.into(),
        };
        why.tell(event)
    }
}

impl Told for GivenBack {
    fn tell(&self, event: Event) -> Option<Event> {
        match self {
            // Whoever gives back what is not theirs changes nothing, and is not told so.
            Self::Nothing => None,
            Self::Token(id) => Some(Event { token: Some(id.clone()), ..event }),
            Self::Grant { id, user } => {
                Some(Event { action: Action::GrantRevoke, ..event }.because(ByClient).under(id).of_user(user))
            }
        }
    }
}

impl Told for Next {
    fn tell(&self, event: Event) -> Option<Event> {
        match self {
            // A page for the human; what they make of it is told then.
            Self::LogIn(_) | Self::AskConsent(_) => None,
            Self::Return(issued) => issued.tell(event),
        }
    }
}

impl Told for CodeIssued {
    fn tell(&self, event: Event) -> Option<Event> {
        let user = self.to.user.clone();
        Some(Event { user, ..event }.of_client(&self.to.client).under(&self.grant))
    }
}

impl Told for AuthorizeError {
    fn tell(&self, event: Event) -> Option<Event> {
        match self {
            Self::Unaddressed(error) => {
                // The name of a client that was never there is a text that a stranger wrote.
                let known = !matches!(error, Unaddressed::NoClient(NoClient::Unknown) | Unaddressed::Store(_));
                let client = event.client.clone().filter(|_| known);
                unaddressed(error).tell(Event { client, ..event })
            }
            Self::Addressed { to, why } => {
                let why = match why {
                    Addressed::Refused(refusal) => addressed(*refusal),
                    Addressed::Store(error) => error.into(),
                };
                why.tell(Event { user: to.user.clone(), ..event }.of_client(&to.client))
            }
        }
    }
}

fn unaddressed(error: &Unaddressed) -> Why {
    match error {
        Unaddressed::ClientMissing | Unaddressed::SessionOver(_) => Why::Nothing,
        Unaddressed::NoClient(why) => Why::Refused(nobody(*why)),
        Unaddressed::Redirect(RedirectMismatch::Missing) => Why::Nothing,
        Unaddressed::Redirect(RedirectMismatch::NotRegistered) => Why::Refused(RedirectMismatch),
        Unaddressed::Interaction(broken) => match broken {
            BrokenInteraction::Unreadable => Why::Refused(ForgedForm),
            BrokenInteraction::OtherBrowser(_) => Why::Refused(OtherBrowser),
            BrokenInteraction::Expired(_) => Why::Nothing,
            BrokenInteraction::Changed(_) => Why::Refused(ClientChanged),
            BrokenInteraction::Answered(_) => Why::Refused(AnsweredBefore),
        },
        Unaddressed::Store(error) => error.into(),
    }
}

const fn addressed(refusal: AuthorizationRefusal) -> Why {
    match refusal {
        AuthorizationRefusal::RepeatedParameter
        | AuthorizationRefusal::RequestObject
        | AuthorizationRefusal::ResponseTypeMissing
        | AuthorizationRefusal::UnsupportedResponseType
        | AuthorizationRefusal::UnsupportedResponseMode
        | AuthorizationRefusal::InvalidPrompt
        | AuthorizationRefusal::InvalidMaxAge
        | AuthorizationRefusal::LoginRequired
        | AuthorizationRefusal::ConsentRequired => Why::Nothing,
        AuthorizationRefusal::UnauthorizedClient => Why::Refused(UnauthorizedClient),
        AuthorizationRefusal::Challenge(_) => Why::Refused(ChallengeRefused),
        AuthorizationRefusal::TargetRefused => Why::Refused(TargetRefused),
        AuthorizationRefusal::InvalidScope => Why::Refused(ScopeRefused),
        AuthorizationRefusal::Denied => Why::Refused(Denied),
    }
}

impl Told for BrokenInteraction {
    fn tell(&self, event: Event) -> Option<Event> {
        unaddressed(&Unaddressed::Interaction(self.clone())).tell(event)
    }
}

impl Told for LoggedIn {
    fn tell(&self, event: Event) -> Option<Event> {
        Some(event.of_user(&self.user))
    }
}

impl Told for LogInError {
    fn tell(&self, event: Event) -> Option<Event> {
        match self {
            Self::WrongCredentials { account, correct } => {
                let reason = match (account, correct) {
                    (None, _) => UnknownUser,
                    (Some(_), false) => WrongPassword,
                    (Some(_), true) => DisabledUser,
                };
                Why::Refused(reason).tell(Event { user: account.clone(), ..event })
            }
            Self::NotAsked => Why::Refused(ForgedForm).tell(event),
            Self::TooManyAttempts { .. } => Why::Refused(TooManyAttempts).tell(event),
            Self::Password(_) => Why::Failed(Overloaded).tell(event),
            Self::Store(error) => Why::from(error).tell(event),
        }
    }
}

impl Told for RegisterError {
    fn tell(&self, event: Event) -> Option<Event> {
        let why = match self {
            Self::Closed => Why::Refused(RegistrationClosed),
            Self::InitialAccessToken => Why::Refused(WrongInitialToken),
            Self::Refused(_) | Self::Contradiction => Why::Refused(MetadataRefused),
            Self::LimitReached => Why::Refused(LimitReached),
            Self::Unauthorized => Why::Refused(WrongRegistrationToken),
            Self::Store(error) => error.into(),
        };
        // Otherwise nobody was believed to be the client.
        let believed = matches!(self, Self::Refused(_) | Self::Contradiction);
        why.tell(Event { client: event.client.clone().filter(|_| believed), ..event })
    }
}

impl Told for ClientInformation {
    fn tell(&self, event: Event) -> Option<Event> {
        // Looking changes nothing.
        let changed = event.action != Action::ClientRead;
        changed.then(|| Event { client: ClientId::parse(&self.client_id).ok(), ..event })
    }
}

/// It was done, and there is no more to say.
impl Told for () {
    fn tell(&self, event: Event) -> Option<Event> {
        Some(event)
    }
}

/// Somebody who was logged in has logged out.
impl Told for Option<UserId> {
    fn tell(&self, event: Event) -> Option<Event> {
        self.as_ref().map(|user| event.of_user(user))
    }
}
