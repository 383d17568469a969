//! What a client that describes itself (RFC 7591 2) is registered as: accept what real clients send, negotiate down what this
//! server does not do, refuse only what leaves nothing usable.

use thiserror::Error;
use url::Url;

use super::{
    client::{ApplicationType, AuthenticationMethod, GrantType},
    policy::Policy,
    redirect::{InvalidRedirectUri, RedirectKind, RedirectUri},
    scope::Scope,
};
use crate::protocol::{
    jose::{Jwk, JwkSet},
    registration::ClientMetadata,
};

/// The most redirect URIs of one client.
pub const MAX_REDIRECT_URIS: usize = 20;
/// The most keys of one client.
pub const MAX_KEYS: usize = 10;
/// The longest name of a client or of its software, in bytes.
pub const MAX_NAME: usize = 200;

/// Why a registration leaves nothing usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RegistrationRefusal {
    /// The authorization code grant needs at least one.
    #[error("redirect_uris is missing")]
    NoRedirectUri,
    /// More than [`MAX_REDIRECT_URIS`].
    #[error("too many redirect_uris")]
    TooManyRedirectUris,
    /// None of them may be registered; why the first one may not.
    #[error("a redirect URI may not be registered: {0}")]
    RedirectUri(InvalidRedirectUri),
    /// None of the grant types is available to this client.
    #[error("no usable grant type")]
    NoGrantType,
    /// `response_types` without `code`.
    #[error("response_types without code")]
    NoResponseType,
    /// `private_key_jwt` without a usable public key in `jwks`.
    #[error("private_key_jwt without usable keys")]
    NoKey,
    /// More than [`MAX_KEYS`], or a member that is too long.
    #[error("jwks is too large")]
    TooManyKeys,
    /// `application_type=web` with a redirect to this machine or a private scheme.
    #[error("application_type contradicts redirect_uris")]
    Contradiction,
    /// A member is too long.
    #[error("a member is too long")]
    TooLong,
}

/// What the client will be, apart from what the server adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    pub name: Option<String>,
    pub uri: Option<String>,
    pub authentication: AuthenticationMethod,
    pub jwks: Option<JwkSet>,
    pub redirect_uris: Vec<RedirectUri>,
    pub grant_types: Vec<GrantType>,
    pub application_type: ApplicationType,
    pub scope: Scope,
    pub software_id: Option<String>,
    pub software_version: Option<String>,
}

/// Judges client metadata that nobody vouches for.
pub fn negotiate(metadata: ClientMetadata, policy: &Policy) -> Result<Registration, RegistrationRefusal> {
    let authentication = authentication(metadata.token_endpoint_auth_method.as_deref());
    let grant_types = grant_types(metadata.grant_types.as_deref(), authentication, policy)?;
    let asks_humans = grant_types.contains(&GrantType::AuthorizationCode);
    let redirect_uris = redirect_uris(metadata.redirect_uris.unwrap_or_default(), asks_humans)?;
    if asks_humans
        && metadata.response_types.is_some_and(|types| !types.is_empty() && !types.iter().any(|t| t == "code"))
    {
        return Err(RegistrationRefusal::NoResponseType);
    }
    Ok(Registration {
        name: short(metadata.client_name.map(|n| printable(&n)).filter(|n| !n.is_empty()))?,
        uri: metadata.client_uri.filter(|uri| is_web_page(uri)),
        authentication,
        jwks: jwks(metadata.jwks, authentication)?,
        application_type: application_type(metadata.application_type.as_deref(), &redirect_uris)?,
        redirect_uris,
        grant_types,
        scope: scope(metadata.scope.as_deref(), policy),
        // Not every store can keep every character, e.g. U+0000.
        software_id: short(metadata.software_id.map(|id| printable(&id)))?,
        software_version: short(metadata.software_version.map(|version| printable(&version)))?,
    })
}

/// RFC 7591 2: absent means `client_secret_basic`; so does a method that this server does not do.
fn authentication(asked: Option<&str>) -> AuthenticationMethod {
    asked.and_then(AuthenticationMethod::parse).unwrap_or(AuthenticationMethod::ClientSecretBasic)
}

fn grant_types(
    asked: Option<&[String]>,
    authentication: AuthenticationMethod,
    policy: &Policy,
) -> Result<Vec<GrantType>, RegistrationRefusal> {
    // RFC 7591 2: absent means authorization_code.
    let mut types: Vec<GrantType> = match asked {
        None | Some([]) => vec![GrantType::AuthorizationCode],
        Some(names) => names.iter().filter_map(|n| GrantType::parse(n)).collect(),
    };
    let machine = policy.registration.allow_client_credentials && authentication != AuthenticationMethod::None;
    types.retain(|t| machine || *t != GrantType::ClientCredentials);
    types.sort();
    types.dedup();
    // A refresh token alone comes from nowhere.
    if types.iter().all(|t| *t == GrantType::RefreshToken) { Err(RegistrationRefusal::NoGrantType) } else { Ok(types) }
}

fn redirect_uris(asked: Vec<String>, required: bool) -> Result<Vec<RedirectUri>, RegistrationRefusal> {
    if asked.len() > MAX_REDIRECT_URIS {
        return Err(RegistrationRefusal::TooManyRedirectUris);
    }
    let mut uris = Vec::with_capacity(asked.len());
    let mut refused = None;
    for text in &asked {
        match RedirectUri::parse(text) {
            Ok(uri) if uris.contains(&uri) => {}
            Ok(uri) => uris.push(uri),
            Err(why) => refused = refused.or(Some(why)),
        }
    }
    // The answer states what is registered; a request fails only if nothing usable is left.
    match refused {
        Some(why) if uris.is_empty() => Err(RegistrationRefusal::RedirectUri(why)),
        None if required && uris.is_empty() => Err(RegistrationRefusal::NoRedirectUri),
        Some(_) | None => Ok(uris),
    }
}

/// OpenID Connect Registration 2: `web` clients stay off this machine. Absent or unknown: inferred.
fn application_type(asked: Option<&str>, uris: &[RedirectUri]) -> Result<ApplicationType, RegistrationRefusal> {
    let on_this_machine = uris.iter().any(|uri| match uri.kind() {
        RedirectKind::Https => false,
        RedirectKind::Loopback | RedirectKind::PrivateScheme => true,
    });
    match asked {
        Some("web") if on_this_machine => Err(RegistrationRefusal::Contradiction),
        Some("native") => Ok(ApplicationType::Native),
        _ if on_this_machine => Ok(ApplicationType::Native),
        _ => Ok(ApplicationType::Web),
    }
}

fn jwks(keys: Option<JwkSet>, authentication: AuthenticationMethod) -> Result<Option<JwkSet>, RegistrationRefusal> {
    if authentication != AuthenticationMethod::PrivateKeyJwt {
        return Ok(None);
    }
    let mut set = keys.ok_or(RegistrationRefusal::NoKey)?;
    if set.keys.len() > MAX_KEYS {
        return Err(RegistrationRefusal::TooManyKeys);
    }
    for key in &set.keys {
        let members = [&key.alg, &key.kid, &key.crv, &key.x, &key.y, &key.n, &key.e];
        if members.iter().any(|m| m.as_ref().is_some_and(|text| text.len() > 1024)) {
            return Err(RegistrationRefusal::TooManyKeys);
        }
    }
    set.keys.retain(is_usable);
    if set.keys.is_empty() { Err(RegistrationRefusal::NoKey) } else { Ok(Some(set)) }
}

/// Whether assertions can be checked with the key: a public one, for signatures, of a kind that this server verifies. A shared
/// secret is no public key, and an encryption key signs nothing.
pub fn is_usable(key: &Jwk) -> bool {
    let kind = match (key.kty.as_str(), key.crv.as_deref()) {
        ("EC", Some("P-256")) => key.x.is_some() && key.y.is_some(),
        ("OKP", Some("Ed25519")) => key.x.is_some(),
        ("RSA", _) => key.n.is_some() && key.e.is_some(),
        _ => false,
    };
    kind && key.public_key_use.as_deref().is_none_or(|purpose| purpose == "sig")
}

/// The most that a client which registers itself may ask humans for.
pub fn scope_ceiling(policy: &Policy) -> Scope {
    let everything = policy.resources.scopes_supported();
    match &policy.registration.scope_ceiling {
        None => everything.clone(),
        Some(ceiling) => everything.under(ceiling),
    }
}

/// What it asks for within the ceiling; the ceiling if nothing is left of that.
fn scope(asked: Option<&str>, policy: &Policy) -> Scope {
    let ceiling = scope_ceiling(policy);
    let asked = Scope::parse(asked.unwrap_or_default()).unwrap_or_default().intersection(&ceiling);
    if asked.is_empty() { ceiling } else { asked }
}

fn is_web_page(text: &str) -> bool {
    // The parser would drop control characters, and the text is kept as it came.
    text.len() <= 2048
        && !text.contains(char::is_control)
        && Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "https" | "http"))
}

fn short(text: Option<String>) -> Result<Option<String>, RegistrationRefusal> {
    match text {
        Some(text) if text.len() > MAX_NAME => Err(RegistrationRefusal::TooLong),
        other => Ok(other),
    }
}

/// Without control characters and those that change the direction of text: a name is shown to the human who decides.
fn printable(text: &str) -> String {
    let deceives = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().filter(|c| !deceives(*c)).collect::<String>().trim().to_owned()
}
