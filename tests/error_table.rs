//! Everything that this server says when it says no, on one page: `tests/snapshots/error_table__*.snap`.
//!
//! The page is complete by construction: each error enum is listed with a pattern for every variant, so a new variant does not
//! compile until it is on the page.
#![expect(clippy::expect_used, clippy::panic, reason = "what is missing here has failed the test")]

use std::fmt::{Debug, Write};

use axum::response::{IntoResponse, Response};
use gateward::{
    domain::{
        assertion::AssertionRefusal,
        authorization::AuthorizationRefusal,
        client::Removal,
        code::{self, CodeRecord, CodeRefusal, NewCode, ProvenReplay},
        credential::Digest,
        grant::Grant,
        identifier::{ClientId, GrantId, UserId},
        pkce::{ChallengeError, CodeChallenge},
        redirect::{InvalidRedirectUri, MatchedRedirect, RedirectMismatch, RedirectUri},
        refresh::RefreshRefusal,
        registration::RegistrationRefusal,
        resource::ResourceUri,
        scope::Scope,
        time::Timestamp,
    },
    http::{
        BearerRejection, FormRejection, JsonRejection,
        limits::TooEarly,
        respond::{ErrorText, Refusal, RegistrationFailure, TokenFailure, TokenQueryFailure, WireCode, error_page_of},
    },
    port::{
        crypto::{AssertionError, SignError},
        store::StoreError,
    },
    protocol::{
        authorization::AuthorizationRequest,
        client_authentication::PresentationError,
        error::{AuthorizationErrorCode, RegistrationErrorCode, TokenErrorCode, TokenQueryErrorCode},
        form::FormError,
        jose::Algorithm,
        secret::Secret,
        token::{CodeExchange, TokenRequestError},
    },
    service::{
        IssueError, NoClient,
        authenticate::AuthenticateError,
        authorize::{Addressed, Unaddressed},
        client_credentials::ClientCredentialsError,
        interaction::BrokenInteraction,
        redeem::RedeemError,
        refresh::RefreshError,
        register::RegisterError,
    },
    testing::server,
};
use http_body_util::BodyExt;

/// Every value of an enum that makes a difference: `Variant => its values`. Does not compile without every variant.
macro_rules! every {
    ($name:ident { $($variant:ident => $values:expr),+ $(,)? }) => {{
        let mut values: Vec<$name> = Vec::new();
        $(
            for value in $values {
                assert!(matches!(value, $name::$variant { .. }), "{value:?} is no {}", stringify!($variant));
                values.push(value);
            }
        )+
        let _complete = |value: &$name| match value { $($name::$variant { .. } => (),)+ };
        values
    }};
    ($name:ident { $($variant:ident),+ $(,)? }) => {
        every!($name { $($variant => [$name::$variant],)+ })
    };
}

/// The same for payloads: each value of another list, wrapped.
fn each<T, U>(values: Vec<T>, wrap: impl Fn(T) -> U) -> Vec<U> {
    values.into_iter().map(wrap).collect()
}

fn store_errors() -> Vec<StoreError> {
    every!(StoreError {
        Unavailable => [StoreError::Unavailable("internal detail".into())],
        Corrupt => [StoreError::Corrupt("internal detail".into())],
    })
}

fn form_rejections() -> Vec<FormRejection> {
    let malformed = every!(FormError { BadEscape, NotUtf8, TooMany, Repeated });
    every!(FormRejection {
        MediaType => [FormRejection::MediaType],
        TooLarge => [FormRejection::TooLarge],
        TooSlow => [FormRejection::TooSlow],
        Aborted => [FormRejection::Aborted],
        SeveralAuthorizationHeaders => [FormRejection::SeveralAuthorizationHeaders],
        Malformed => each(malformed, FormRejection::Malformed),
    })
}

fn presentation_errors() -> Vec<PresentationError> {
    every!(PresentationError { Missing, SeveralMethods, MalformedHeader, AssertionType, Contradiction })
}

fn no_clients() -> Vec<NoClient> {
    every!(NoClient {
        Unknown => [NoClient::Unknown],
        Removed => each(every!(Removal { Operator, Itself, NeverAuthorized, Idle, }), NoClient::Removed),
        Disabled => [NoClient::Disabled],
    })
}

fn authenticate_errors() -> Vec<AuthenticateError> {
    let signatures = every!(AssertionError { Malformed, Algorithm, NoKey, BadSignature });
    let claims = every!(AssertionRefusal { WrongClient, WrongAudience, Expired, TooLong, NotYet, BadId });
    every!(AuthenticateError {
        NoClient => each(no_clients(), AuthenticateError::NoClient),
        WrongMethod => [AuthenticateError::WrongMethod],
        WrongSecret => [AuthenticateError::WrongSecret],
        Assertion => each(signatures, AuthenticateError::Assertion),
        AssertionOfNobody => each(
            no_clients().into_iter().map(Some).chain([None]).collect(),
            AuthenticateError::AssertionOfNobody,
        ),
        AssertionClaims => each(claims, AuthenticateError::AssertionClaims),
        AssertionReplayed => [AuthenticateError::AssertionReplayed],
        Store => each(store_errors(), AuthenticateError::Store),
    })
}

fn issue_errors() -> Vec<IssueError> {
    every!(IssueError {
        NothingGranted => [IssueError::NothingGranted],
        Sign => [IssueError::Sign(SignError { algorithm: Algorithm::ES256, reason: "internal detail" })],
    })
}

/// Only the rules can make one: from a spent code in an otherwise valid request.
fn replay() -> ProvenReplay {
    let name = "x";
    let client_id = ClientId::parse(name).expect("a name");
    let resource = ResourceUri::parse(server::RESOURCE).expect("a resource");
    let redirect = RedirectUri::parse(server::REDIRECT).expect("a redirect URI");
    let record = CodeRecord {
        code: NewCode {
            digest: Digest::of(name),
            redirect: MatchedRedirect::restore(redirect),
            challenge: CodeChallenge::parse(Some(server::CHALLENGE), Some("S256")).expect("a challenge"),
            expires_at: Timestamp::EPOCH,
        },
        grant: Grant {
            id: GrantId::parse(name).expect("a name"),
            client_id: client_id.clone(),
            user_id: UserId::parse(name).expect("a name"),
            scope: Scope::none(),
            resources: vec![resource],
            auth_time: Timestamp::EPOCH,
            created_at: Timestamp::EPOCH,
            expires_at: Timestamp::EPOCH,
            revocation: None,
        },
        spent_at: Some(Timestamp::EPOCH),
    };
    let exchange = CodeExchange {
        code: Secret::new(name),
        code_verifier: Some(Secret::new(server::VERIFIER)),
        redirect_uri: None,
        resources: vec![],
    };
    match code::verify(record, &client_id, &exchange, &server::policy().resources, Timestamp::EPOCH) {
        Err(CodeRefusal::Replayed(replay)) => replay,
        other => panic!("{other:?}"),
    }
}

fn redeem_errors() -> Vec<RedeemError> {
    let refusals = every!(CodeRefusal {
        WrongClient => [CodeRefusal::WrongClient],
        RedirectMismatch => [CodeRefusal::RedirectMismatch],
        VerifierMissing => [CodeRefusal::VerifierMissing],
        VerifierMismatch => [CodeRefusal::VerifierMismatch],
        Replayed => [CodeRefusal::Replayed(replay())],
        Expired => [CodeRefusal::Expired],
        GrantRevoked => [CodeRefusal::GrantRevoked],
        TargetRefused => [CodeRefusal::TargetRefused],
    });
    every!(RedeemError {
        UnauthorizedClient => [RedeemError::UnauthorizedClient],
        UnknownCode => [RedeemError::UnknownCode],
        Refused => each(refusals, RedeemError::Refused),
        LostRace => [RedeemError::LostRace],
        GrantRevoked => [RedeemError::GrantRevoked],
        UserDisabled => [RedeemError::UserDisabled],
        Issue => each(issue_errors(), RedeemError::Issue),
        Store => each(store_errors(), RedeemError::Store),
    })
}

fn refresh_errors() -> Vec<RefreshError> {
    let refusals = every!(RefreshRefusal {
        WrongClient => [RefreshRefusal::WrongClient],
        GrantRevoked => [RefreshRefusal::GrantRevoked],
        Replayed => [RefreshRefusal::Replayed(replay())],
        Expired => [RefreshRefusal::Expired],
        ScopeWidened => [RefreshRefusal::ScopeWidened],
        TargetRefused => [RefreshRefusal::TargetRefused],
    });
    every!(RefreshError {
        UnauthorizedClient => [RefreshError::UnauthorizedClient],
        UnknownToken => [RefreshError::UnknownToken],
        Refused => each(refusals, RefreshError::Refused),
        GrantRevoked => [RefreshError::GrantRevoked],
        UserDisabled => [RefreshError::UserDisabled],
        Unsealable => [RefreshError::Unsealable],
        Issue => each(issue_errors(), RefreshError::Issue),
        Store => each(store_errors(), RefreshError::Store),
    })
}

fn client_credentials_errors() -> Vec<ClientCredentialsError> {
    every!(ClientCredentialsError {
        UnauthorizedClient => [ClientCredentialsError::UnauthorizedClient],
        TargetRefused => [ClientCredentialsError::TargetRefused],
        ScopeRefused => [ClientCredentialsError::ScopeRefused],
        Issue => each(issue_errors(), ClientCredentialsError::Issue),
        Store => each(store_errors(), ClientCredentialsError::Store),
    })
}

fn token_failures() -> Vec<TokenFailure> {
    let requests =
        every!(TokenRequestError { MissingGrantType, UnsupportedGrantType, MissingCode, MissingRefreshToken });
    every!(TokenFailure {
        Form => each(form_rejections(), TokenFailure::Form),
        Request => each(requests, TokenFailure::Request),
        Presentation => each(presentation_errors(), TokenFailure::Presentation),
        Authenticate => each(authenticate_errors(), TokenFailure::Authenticate),
        TooOften => [TokenFailure::TooOften(TooEarly { retry_after: 7 })],
        LockedOut => [TokenFailure::LockedOut(TooEarly { retry_after: 300 })],
        Redeem => each(redeem_errors(), TokenFailure::Redeem),
        Refresh => each(refresh_errors(), TokenFailure::Refresh),
        ClientCredentials => each(client_credentials_errors(), TokenFailure::ClientCredentials),
    })
}

fn token_query_failures() -> Vec<TokenQueryFailure> {
    every!(TokenQueryFailure {
        Form => each(form_rejections(), TokenQueryFailure::Form),
        MissingToken => [TokenQueryFailure::MissingToken],
        Presentation => each(presentation_errors(), TokenQueryFailure::Presentation),
        Authenticate => each(authenticate_errors(), TokenQueryFailure::Authenticate),
        TooOften => [TokenQueryFailure::TooOften(TooEarly { retry_after: 7 })],
        LockedOut => [TokenQueryFailure::LockedOut(TooEarly { retry_after: 300 })],
        PublicClient => [TokenQueryFailure::PublicClient],
        Store => each(store_errors(), TokenQueryFailure::Store),
    })
}

fn registration_failures() -> Vec<RegistrationFailure> {
    let json = every!(JsonRejection { MediaType, TooLarge, TooSlow, Aborted, NotJson, WrongShape });
    let redirects = every!(InvalidRedirectUri { NotAbsolute, ForbiddenPart, NotLoopback, ForbiddenScheme });
    let refusals = every!(RegistrationRefusal {
        NoRedirectUri => [RegistrationRefusal::NoRedirectUri],
        TooManyRedirectUris => [RegistrationRefusal::TooManyRedirectUris],
        RedirectUri => each(redirects, RegistrationRefusal::RedirectUri),
        NoGrantType => [RegistrationRefusal::NoGrantType],
        NoResponseType => [RegistrationRefusal::NoResponseType],
        NoKey => [RegistrationRefusal::NoKey],
        TooManyKeys => [RegistrationRefusal::TooManyKeys],
        Contradiction => [RegistrationRefusal::Contradiction],
        TooLong => [RegistrationRefusal::TooLong],
    });
    let register = every!(RegisterError {
        Closed => [RegisterError::Closed],
        InitialAccessToken => [RegisterError::InitialAccessToken],
        Refused => each(refusals, RegisterError::Refused),
        LimitReached => [RegisterError::LimitReached],
        Unauthorized => [RegisterError::Unauthorized],
        Contradiction => [RegisterError::Contradiction],
        Store => each(store_errors(), RegisterError::Store),
    });
    every!(RegistrationFailure {
        Json => each(json, RegistrationFailure::Json),
        Bearer => each(every!(BearerRejection { Missing, Malformed, }), RegistrationFailure::Bearer),
        Register => each(register, RegistrationFailure::Register),
    })
}

fn addressed() -> Vec<Addressed> {
    let challenges = every!(ChallengeError { Missing, MethodNotS256, Malformed });
    let refusals = every!(AuthorizationRefusal {
        RepeatedParameter => [AuthorizationRefusal::RepeatedParameter],
        RequestObject => [AuthorizationRefusal::RequestObject],
        ResponseTypeMissing => [AuthorizationRefusal::ResponseTypeMissing],
        UnsupportedResponseType => [AuthorizationRefusal::UnsupportedResponseType],
        UnsupportedResponseMode => [AuthorizationRefusal::UnsupportedResponseMode],
        UnauthorizedClient => [AuthorizationRefusal::UnauthorizedClient],
        Challenge => each(challenges, AuthorizationRefusal::Challenge),
        TargetRefused => [AuthorizationRefusal::TargetRefused],
        InvalidScope => [AuthorizationRefusal::InvalidScope],
        InvalidPrompt => [AuthorizationRefusal::InvalidPrompt],
        InvalidMaxAge => [AuthorizationRefusal::InvalidMaxAge],
        LoginRequired => [AuthorizationRefusal::LoginRequired],
        ConsentRequired => [AuthorizationRefusal::ConsentRequired],
        Denied => [AuthorizationRefusal::Denied],
    });
    every!(Addressed {
        Refused => each(refusals, Addressed::Refused),
        Store => each(store_errors(), Addressed::Store),
    })
}

fn unaddressed() -> Vec<Unaddressed> {
    let request = || Box::new(AuthorizationRequest::default());
    let broken = every!(BrokenInteraction {
        Unreadable => [BrokenInteraction::Unreadable],
        OtherBrowser => [BrokenInteraction::OtherBrowser(request())],
        Expired => [BrokenInteraction::Expired(request())],
        Changed => [BrokenInteraction::Changed(request())],
        Answered => [BrokenInteraction::Answered(request())],
    });
    every!(Unaddressed {
        ClientMissing => [Unaddressed::ClientMissing],
        NoClient => each(no_clients(), Unaddressed::NoClient),
        Redirect => each(every!(RedirectMismatch { Missing, NotRegistered, }), Unaddressed::Redirect),
        Interaction => each(broken, Unaddressed::Interaction),
        SessionOver => [Unaddressed::SessionOver(request())],
        Store => each(store_errors(), Unaddressed::Store),
    })
}

/// `Redeem(Refused(Expired))`, without what a value happens to hold.
fn name(value: &impl Debug) -> String {
    let name = format!("{value:?}").replace("\"internal detail\"", "..");
    let name = name.replace("SignError { algorithm: ES256, reason: .. }", "..");
    let name = match name.find("AuthorizationRequest {") {
        Some(at) => format!("{}..{}", &name[..at], if name.ends_with("}))") { "))" } else { ")" }),
        None => name,
    };
    name.replace("ProvenReplay { grant_id: GrantId(x) }", "..")
}

/// What is told must fit into `error_description` (RFC 6749 5.2) and hold nothing internal.
fn assert_tellable(text: &str) {
    assert!(text.bytes().all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)), "{text}");
    assert!(!text.contains("internal detail"), "{text}");
    assert!(text.ends_with('.'), "{text}");
}

/// One line per variant, of what really goes out.
async fn answers<E: Debug + IntoResponse>(failures: Vec<E>) -> String {
    let mut page = String::new();
    for failure in failures {
        let name = name(&failure);
        let response: Response = failure.into_response();
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let member = |name: &str| body[name].as_str().expect("text").to_owned();
        assert_eq!(body.as_object().expect("an object").len(), 2);
        assert_tellable(&member("error_description"));
        let mut headers: Vec<String> = Vec::new();
        for (name, value) in &head.headers {
            // The same for all.
            if !matches!(name.as_str(), "content-type" | "x-content-type-options" | "cache-control" | "pragma") {
                headers.push(format!("{name}: {}", value.to_str().expect("text")));
            }
        }
        assert_eq!(head.headers["content-type"], "application/json");
        assert_eq!(head.headers["cache-control"], "no-store");
        writeln!(page, "{name}").expect("memory");
        writeln!(page, "    {} {} {}", head.status.as_u16(), member("error"), headers.join("; ")).expect("memory");
        writeln!(page, "    {}", member("error_description")).expect("memory");
    }
    page.replace(" \n", "\n")
}

#[tokio::test]
async fn the_token_endpoint() {
    insta::assert_snapshot!(answers(token_failures()).await);
}

#[tokio::test]
async fn introspection_and_revocation() {
    insta::assert_snapshot!(answers(token_query_failures()).await);
}

#[tokio::test]
async fn registration_and_its_management() {
    insta::assert_snapshot!(answers(registration_failures()).await);
}

#[test]
fn the_authorization_endpoint_at_the_redirect_uri() {
    let mut page = String::new();
    for why in addressed() {
        let refusal = Refusal::<AuthorizationErrorCode>::from(&why);
        assert_tellable(refusal.description);
        writeln!(page, "{}", name(&why)).expect("memory");
        writeln!(page, "    303 {} {}", refusal.code.as_str(), refusal.description).expect("memory");
    }
    insta::assert_snapshot!(page);
}

#[test]
fn the_authorization_endpoint_on_a_page() {
    let mut page = String::new();
    for error in unaddressed() {
        let ErrorText { status, title, explanation, advice, code } = error_page_of(&error);
        writeln!(page, "{}", name(&error)).expect("memory");
        writeln!(page, "    {} {}", status.as_u16(), code.unwrap_or("-")).expect("memory");
        for text in [title, explanation, advice] {
            assert!(!text.contains("internal detail"));
            writeln!(page, "    {text}").expect("memory");
        }
    }
    insta::assert_snapshot!(page);
}

/// Each code of each endpoint is said by somebody: a list that nobody keeps would grow words that mean nothing.
#[test]
fn every_wire_code_is_in_use() {
    fn unused<C: WireCode + PartialEq + Debug>(all: &[C], used: &[C]) -> Vec<C> {
        all.iter().copied().filter(|code| !used.contains(code)).collect()
    }
    let used: Vec<_> = token_failures().iter().map(|failure| Refusal::<TokenErrorCode>::from(failure).code).collect();
    assert_eq!(unused(TokenErrorCode::ALL, &used), []);
    let used: Vec<_> =
        token_query_failures().iter().map(|failure| Refusal::<TokenQueryErrorCode>::from(failure).code).collect();
    assert_eq!(unused(TokenQueryErrorCode::ALL, &used), []);
    let used: Vec<_> =
        registration_failures().iter().map(|failure| Refusal::<RegistrationErrorCode>::from(failure).code).collect();
    assert_eq!(unused(RegistrationErrorCode::ALL, &used), []);
    let used: Vec<_> = addressed().iter().map(|why| Refusal::<AuthorizationErrorCode>::from(why).code).collect();
    assert_eq!(unused(AuthorizationErrorCode::ALL, &used), []);
}
