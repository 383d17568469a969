//! Authorization codes (RFC 6749 4.1.2 and 4.1.3; OAuth 2.1 4.1.3): what a code is bound to, and when it may be redeemed.

use super::{
    credential::{AuthorizationCode, Digest},
    grant::{Grant, TargetRefused, choose_audience},
    identifier::{ClientId, GrantId},
    pkce::{CodeChallenge, CodeVerifier},
    redirect::MatchedRedirect,
    resource::{Resource, Resources},
    time::Timestamp,
};
use crate::protocol::token::CodeExchange;

/// A code when it is issued; its grant is recorded with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCode {
    pub digest: Digest<AuthorizationCode>,
    pub redirect: MatchedRedirect,
    pub challenge: CodeChallenge,
    pub expires_at: Timestamp,
}

/// A code as a store knows it, with its grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeRecord {
    pub code: NewCode,
    pub grant: Grant,
    /// `None` while it can still be redeemed.
    pub spent_at: Option<Timestamp>,
}

/// Why a code is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeRefusal {
    /// It was issued to another client.
    WrongClient,
    /// `redirect_uri` was sent and is not the one of the authorization request.
    RedirectMismatch,
    /// No `code_verifier`.
    VerifierMissing,
    /// The verifier is malformed or not the right one.
    VerifierMismatch,
    /// It was spent before, and whoever presents it now has proven to be its client.
    Replayed(ProvenReplay),
    /// Too late.
    Expired,
    /// The grant was revoked meanwhile.
    GrantRevoked,
    /// The request asks for a resource beyond the grant.
    TargetRefused,
}

/// A code that its own client presented with the right verifier, unspent when it was looked at. Only [`verify`] makes one.
#[derive(Debug)]
pub struct VerifiedCode<'a> {
    digest: Digest<AuthorizationCode>,
    grant: Grant,
    audience: &'a Resource,
}

impl<'a> VerifiedCode<'a> {
    /// Names the code in the store.
    pub fn digest(&self) -> &Digest<AuthorizationCode> {
        &self.digest
    }

    /// What the human granted.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// What the human granted, once the code is spent.
    pub fn into_grant(self) -> Grant {
        self.grant
    }

    /// The resource that the access token is for.
    pub fn audience(&self) -> &'a Resource {
        self.audience
    }
}

/// That a spent credential came back in a request that was otherwise valid: the only ground for revoking its grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenReplay {
    grant_id: GrantId,
}

impl ProvenReplay {
    pub(super) fn of(grant_id: GrantId) -> Self {
        Self { grant_id }
    }

    /// The grant to revoke.
    pub fn grant_id(&self) -> &GrantId {
        &self.grant_id
    }
}

/// Judges a code exchange by `client`, who has authenticated.
///
/// The order is the protection: ownership and proof of possession come before anything that depends on the code's state, so
/// that a stranger who saw a code learns nothing and can end nothing (OAuth 2.1, Reuse of Authorization Codes).
pub fn verify<'a>(
    record: CodeRecord,
    client: &ClientId,
    request: &CodeExchange,
    resources: &'a Resources,
    now: Timestamp,
) -> Result<VerifiedCode<'a>, CodeRefusal> {
    let CodeRecord { code, grant, spent_at } = record;
    // RFC 6749 4.1.3: issued to this very client.
    if grant.client_id != *client {
        return Err(CodeRefusal::WrongClient);
    }
    // OAuth 2.1 10.2: a client need not repeat it; one that does must repeat it exactly.
    if request.redirect_uri.as_deref().is_some_and(|sent| sent != code.redirect.uri().as_str()) {
        return Err(CodeRefusal::RedirectMismatch);
    }
    // RFC 7636 4.6.
    let verifier = request.code_verifier.as_ref().ok_or(CodeRefusal::VerifierMissing)?;
    if !CodeVerifier::parse(verifier).is_some_and(|v| code.challenge.is_met_by(&v)) {
        return Err(CodeRefusal::VerifierMismatch);
    }
    // Before expiry: a replay counts however late it comes.
    if spent_at.is_some() {
        return Err(CodeRefusal::Replayed(ProvenReplay::of(grant.id)));
    }
    if code.expires_at.is_over(now) {
        return Err(CodeRefusal::Expired);
    }
    if !grant.is_active() {
        return Err(CodeRefusal::GrantRevoked);
    }
    let audience = choose_audience(&grant.resources, &request.resources, resources)
        .map_err(|TargetRefused| CodeRefusal::TargetRefused)?;
    Ok(VerifiedCode { digest: code.digest, grant, audience })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            grant::{
                Revocation, RevocationReason,
                tests::{grant, resources},
            },
            redirect::RedirectUri,
        },
        protocol::secret::Secret,
    };

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const NOW: Timestamp = Timestamp::from_unix(1_010);

    fn record() -> CodeRecord {
        let registered = [RedirectUri::parse("https://app.example/cb").unwrap()];
        CodeRecord {
            code: NewCode {
                digest: Digest::of("code"),
                redirect: MatchedRedirect::find(&registered, None).unwrap(),
                challenge: CodeChallenge::parse(Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"), Some("S256"))
                    .unwrap(),
                expires_at: Timestamp::from_unix(1_060),
            },
            grant: grant(),
            spent_at: None,
        }
    }

    fn request() -> CodeExchange {
        CodeExchange {
            code: Secret::new("code"),
            code_verifier: Some(Secret::new(VERIFIER)),
            redirect_uri: None,
            resources: vec![],
        }
    }

    fn judge(record: CodeRecord, client: &str, request: &CodeExchange, now: Timestamp) -> Result<(), CodeRefusal> {
        let all = resources(&["https://a.example/mcp", "https://b.example/mcp"]);
        verify(record, &ClientId::parse(client).unwrap(), request, &all, now).map(|_| ())
    }

    fn spent() -> CodeRecord {
        CodeRecord { spent_at: Some(NOW), ..record() }
    }

    #[test]
    fn a_good_code_is_verified_with_or_without_its_redirect_uri() {
        assert_eq!(judge(record(), "client", &request(), NOW), Ok(()));
        let repeated = CodeExchange { redirect_uri: Some("https://app.example/cb".into()), ..request() };
        assert_eq!(judge(record(), "client", &repeated, NOW), Ok(()));
    }

    #[test]
    fn another_clients_code_is_refused_before_anything_else_is_looked_at() {
        let wrong = CodeExchange { code_verifier: None, redirect_uri: Some("x".into()), ..request() };
        assert_eq!(judge(spent(), "other", &wrong, NOW), Err(CodeRefusal::WrongClient));
    }

    #[test]
    fn a_redirect_uri_that_is_sent_must_be_the_one_of_the_request() {
        let other = CodeExchange { redirect_uri: Some("https://app.example/other".into()), ..request() };
        assert_eq!(judge(record(), "client", &other, NOW), Err(CodeRefusal::RedirectMismatch));
    }

    #[test]
    fn a_missing_malformed_or_wrong_verifier_is_refused() {
        let with = |v: Option<&str>| CodeExchange { code_verifier: v.map(Secret::new), ..request() };
        assert_eq!(judge(record(), "client", &with(None), NOW), Err(CodeRefusal::VerifierMissing));
        assert_eq!(judge(record(), "client", &with(Some("short")), NOW), Err(CodeRefusal::VerifierMismatch));
        assert_eq!(judge(record(), "client", &with(Some(&"x".repeat(43))), NOW), Err(CodeRefusal::VerifierMismatch));
    }

    #[test]
    fn a_spent_code_with_a_wrong_verifier_is_no_replay() {
        let wrong = CodeExchange { code_verifier: Some(Secret::new("x".repeat(43))), ..request() };
        assert_eq!(judge(spent(), "client", &wrong, NOW), Err(CodeRefusal::VerifierMismatch));
    }

    #[test]
    fn a_spent_code_from_its_own_client_is_a_replay_even_after_its_expiry() {
        let late = Timestamp::from_unix(5_000);
        assert!(matches!(judge(spent(), "client", &request(), late), Err(CodeRefusal::Replayed(_))));
    }

    #[test]
    fn a_code_expires() {
        assert_eq!(judge(record(), "client", &request(), Timestamp::from_unix(1_060)), Err(CodeRefusal::Expired));
    }

    #[test]
    fn a_code_of_a_revoked_grant_is_refused() {
        let mut revoked = record();
        revoked.grant.revocation = Some(Revocation { at: NOW, reason: RevocationReason::ByOperator });
        assert_eq!(judge(revoked, "client", &request(), NOW), Err(CodeRefusal::GrantRevoked));
    }

    #[test]
    fn a_resource_beyond_the_grant_is_refused() {
        let wide = CodeExchange { resources: vec!["https://b.example/mcp".into()], ..request() };
        assert_eq!(judge(record(), "client", &wide, NOW), Err(CodeRefusal::TargetRefused));
    }
}
