//! Values to test with. The same name always makes the same value; nothing here asks a clock or draws a number.
#![expect(clippy::unwrap_used, reason = "a fixture that does not parse is a broken test")]

use std::{sync::LazyLock, time::Duration};

use crate::{
    domain::{
        access::{AccessToken, OpaqueRecord, Subject},
        account::{Consent, PasswordHash, Session, User, UserStatus, Username},
        audit::{self, Action, EntryId, Event, Reason, Run},
        client::{ApplicationType, AuthenticationMethod, Client, ClientStatus, GrantType, Provenance, SecretRecord},
        code::{self, CodeRecord, NewCode, VerifiedCode},
        correlation::{AttemptId, RequestId},
        credential::Digest,
        grant::{Grant, Revocation, RevocationReason},
        identifier::{ClientId, GrantId, KeyId, TokenId, UserId},
        key::KeyRecord,
        pkce::CodeChallenge,
        redirect::{MatchedRedirect, RedirectUri},
        refresh::{self, NewRefresh, RefreshRecord, RefreshVerdict, VerifiedRefresh},
        resource::{Resource, ResourceUri, Resources, ScopeDefinition, TokenFormat},
        scope::{Scope, ScopeToken},
        time::Timestamp,
    },
    protocol::{
        jose::{Algorithm, Jwk, JwkSet},
        secret::Secret,
        token::{CodeExchange, Refresh},
    },
};

/// The time at which tests happen.
pub const NOW: Timestamp = Timestamp::from_unix(1_700_000_000);

/// How long a code lives here.
pub const CODE_LIFETIME: i64 = 60;
/// How long a refresh token lives here.
pub const REFRESH_LIFETIME: i64 = 604_800;
/// How long an access token lives here.
pub const ACCESS_LIFETIME: i64 = 3_600;

/// `seconds` after [`NOW`]; before it, if negative.
pub const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(NOW.unix() + seconds)
}

/// The PKCE verifier of RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// The challenge that [`VERIFIER`] meets.
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// The resource that grants cover here.
pub const RESOURCE: &str = "https://mcp.example/mcp";
/// What grants allow here.
pub const SCOPE: &str = "mcp:read mcp:write offline_access";

/// One resource, with opaque access tokens.
pub static RESOURCES: LazyLock<Resources> = LazyLock::new(|| {
    let scope = |name: &str| ScopeDefinition { name: ScopeToken::parse(name).unwrap(), description: name.to_owned() };
    Resources::new(vec![Resource {
        uri: resource(RESOURCE),
        aliases: vec![],
        name: "MCP".to_owned(),
        scopes: ["mcp:read", "mcp:write", "mcp:execute"].map(scope).into(),
        default_scope: Scope::none(),
        token_format: TokenFormat::Opaque,
        token_lifetime: Duration::from_secs(ACCESS_LIFETIME as u64),
    }])
    .unwrap()
});

/// A client's name.
pub fn client_id(name: &str) -> ClientId {
    ClientId::parse(name).unwrap()
}

/// A grant's name.
pub fn grant_id(name: &str) -> GrantId {
    GrantId::parse(name).unwrap()
}

/// A human's name.
pub fn user_id(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

/// An access token's name.
pub fn token_id(name: &str) -> TokenId {
    TokenId::parse(name).unwrap()
}

/// A signing key's name.
pub fn key_id(name: &str) -> KeyId {
    KeyId::parse(name).unwrap()
}

/// A login name.
pub fn username(name: &str) -> Username {
    Username::parse(name).unwrap()
}

/// A resource indicator.
pub fn resource(uri: &str) -> ResourceUri {
    ResourceUri::parse(uri).unwrap()
}

/// A scope.
pub fn scope(text: &str) -> Scope {
    Scope::parse(text).unwrap()
}

/// A client that an operator made, with as little as possible.
pub fn client(name: &str) -> Client {
    Client {
        authentication: AuthenticationMethod::ClientSecretBasic,
        grant_types: vec![GrantType::ClientCredentials],
        ..Client::new(client_id(name), Provenance::Operator, NOW)
    }
}

/// A client that registered itself.
pub fn dynamic_client(name: &str) -> Client {
    Client { provenance: Provenance::Dynamic, ..client(name) }
}

/// A client with everything that a client can have.
pub fn full_client(name: &str) -> Client {
    let uri = |text| RedirectUri::parse(text).unwrap();
    Client {
        name: Some("Cliënt \"Full\"".to_owned()),
        uri: Some("https://app.example/".to_owned()),
        status: ClientStatus::Disabled,
        authentication: AuthenticationMethod::PrivateKeyJwt,
        secrets: vec![
            SecretRecord { digest: Digest::of("new"), expires_at: None },
            SecretRecord { digest: Digest::of("old"), expires_at: Some(at(60)) },
        ],
        jwks: Some(JwkSet { keys: vec![jwk("one"), jwk("two")] }),
        redirect_uris: vec![uri("https://app.example/cb?a=b"), uri("http://127.0.0.1/cb"), uri("app.example:/cb")],
        grant_types: GrantType::ALL.to_vec(),
        application_type: ApplicationType::Native,
        scope: scope(SCOPE),
        resources: vec![resource(RESOURCE), resource("https://other.example")],
        may_introspect: true,
        software_id: Some("software".to_owned()),
        software_version: Some("1.0".to_owned()),
        registration_token: Some(Digest::of("registration")),
        last_used_at: Some(at(5)),
        version: 7,
        ..dynamic_client(name)
    }
}

/// A public key with a name.
pub fn jwk(name: &str) -> Jwk {
    Jwk {
        kty: "EC".to_owned(),
        public_key_use: Some("sig".to_owned()),
        alg: Some("ES256".to_owned()),
        kid: Some(name.to_owned()),
        crv: Some("P-256".to_owned()),
        x: Some("x".to_owned()),
        y: Some("y".to_owned()),
        n: None,
        e: None,
    }
}

/// A signing key.
pub fn key(name: &str, algorithm: Algorithm, signs_from: Timestamp) -> KeyRecord {
    KeyRecord {
        id: key_id(name),
        algorithm,
        public: jwk(name),
        sealed_private: name.as_bytes().to_vec(),
        created_at: NOW,
        signs_from,
    }
}

/// An active grant by `user` to `client`, as old as its code.
pub fn grant(name: &str) -> Grant {
    Grant {
        id: grant_id(name),
        client_id: client_id("client"),
        user_id: user_id("user"),
        scope: scope(SCOPE),
        resources: vec![resource(RESOURCE)],
        auth_time: at(-10),
        created_at: NOW,
        expires_at: at(CODE_LIFETIME),
        revocation: None,
    }
}

/// A code for the grant of the same name.
pub fn code(name: &str) -> NewCode {
    NewCode {
        digest: Digest::of(&format!("code of {name}")),
        redirect: MatchedRedirect::restore(RedirectUri::parse("https://app.example/cb").unwrap()),
        challenge: CodeChallenge::parse(Some(CHALLENGE), Some("S256")).unwrap(),
        expires_at: at(CODE_LIFETIME),
    }
}

/// A refresh token.
pub fn refresh_token(name: &str) -> NewRefresh {
    NewRefresh {
        digest: Digest::of(&format!("refresh token {name}")),
        issued_at: NOW,
        expires_at: at(REFRESH_LIFETIME),
    }
}

/// An opaque access token; without a grant it speaks for the client itself.
pub fn access_token(name: &str, grant: Option<&str>) -> OpaqueRecord {
    let subject = match grant {
        Some(grant) => Subject::User { user_id: user_id("user"), grant_id: grant_id(grant), auth_time: at(-10) },
        None => Subject::Client,
    };
    let resource = RESOURCES.default_resource();
    OpaqueRecord {
        digest: Digest::of(&format!("access token {name}")),
        token: AccessToken::new(token_id(name), client_id("client"), subject, scope("mcp:read"), resource, NOW),
    }
}

/// A revocation by an operator.
pub const fn revocation(at: Timestamp) -> Revocation {
    Revocation { at, reason: RevocationReason::ByOperator }
}

/// Proves a code: its own client presents it with the right verifier while it is fresh.
pub fn verified_code(record: CodeRecord) -> VerifiedCode<'static> {
    let request = CodeExchange {
        code: Secret::new("unread"),
        code_verifier: Some(Secret::new(VERIFIER)),
        redirect_uri: None,
        resources: vec![],
    };
    let (client, now) = (record.grant.client_id.clone(), record.grant.created_at);
    code::verify(record, &client, &request, &RESOURCES, now).unwrap()
}

/// Proves a refresh token that is current: its own client presents it.
pub fn verified_refresh(record: RefreshRecord) -> VerifiedRefresh<'static> {
    let request = Refresh { refresh_token: Secret::new("unread"), scope: None, resources: vec![] };
    let (client, now) = (record.grant.client_id.clone(), record.token.issued_at);
    match refresh::verify(record, &client, &request, &RESOURCES, Duration::ZERO, now).unwrap() {
        RefreshVerdict::Rotate(refresh) | RefreshVerdict::Repeat { refresh, .. } => refresh,
    }
}

/// An active account; its login name is its identifier.
pub fn user(name: &str) -> User {
    User {
        id: user_id(name),
        username: username(name),
        password: PasswordHash::new(format!("$argon2id${name}")),
        status: UserStatus::Active,
        created_at: NOW,
    }
}

/// A session that began just now.
pub fn session(name: &str, user: &str) -> Session {
    Session {
        digest: Digest::of(&format!("session {name}")),
        user_id: user_id(user),
        auth_time: NOW,
        last_seen_at: NOW,
    }
}

/// A consent of `user` for `client` at [`RESOURCE`].
pub fn consent(text: &str) -> Consent {
    Consent {
        user_id: user_id("user"),
        client_id: client_id("client"),
        resource: resource(RESOURCE),
        scope: scope(text),
        updated_at: NOW,
    }
}

/// The entry of this number about an event, written by an instance called `here`.
pub fn audit_entry(number: u64, event: Event) -> audit::Entry {
    audit::Entry::new(EntryId::new(event.at, &Run::from_entropy([7; 16]), number), event, &"here".into())
}

/// An event that says everything.
pub fn full_event(at: Timestamp) -> Event {
    Event {
        client: Some(client_id("client")),
        user: Some(user_id("user")),
        grant: Some(grant_id("grant")),
        token: Some(token_id("token")),
        key: Some(KeyId::parse("key").unwrap()),
        address: Some([192, 0, 2, 1].into()),
        request: RequestId::parse("request"),
        attempt: Some(AttemptId::from_entropy([1; 16])),
        times: 3,
        ..Event::refused(at, Action::TokenRefresh, Reason::RefreshReplayed)
    }
}
