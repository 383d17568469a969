//! The metadata documents (RFC 8414, OpenID Connect Discovery) and JWKS (RFC 7517).

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::{
    App,
    extract::Now,
    respond::{json, with_type},
    table::path,
};
use crate::{
    domain::{
        authorization::Prompt,
        client::{AuthenticationMethod, GrantType},
        policy::RegistrationMode,
        resource::TokenFormat,
    },
    protocol::{jose::Algorithm, metadata::ServerMetadata},
    service::Authority,
};

/// How long verifiers and clients may keep what they read here, in seconds. Keys are published longer than this before they
/// sign.
const MAX_AGE: &str = "public, max-age=300";

/// The document, built once at start from what is wired.
#[derive(Debug, Clone)]
pub(super) struct MetadataDocument {
    body: Bytes,
    etag: HeaderValue,
}

impl MetadataDocument {
    pub(super) fn new(authority: &Authority) -> Self {
        let body = serde_json::to_vec(&metadata(authority)).unwrap_or_default();
        let etag = etag(&body);
        Self { body: body.into(), etag }
    }
}

fn metadata(authority: &Authority) -> ServerMetadata {
    let methods = || AuthenticationMethod::ALL.iter().map(|method| method.as_str()).collect::<Vec<_>>();
    // Whoever asks about tokens must prove who they are.
    let confidential = methods().into_iter().filter(|method| *method != AuthenticationMethod::None.as_str()).collect();
    let endpoint = |path| authority.issuer.endpoint(path);
    let assertion_algorithms = || Algorithm::ASYMMETRIC.iter().map(|a| a.as_str()).collect::<Vec<_>>();
    let registration = &authority.policy.registration.mode;
    ServerMetadata {
        issuer: authority.issuer.as_str().to_owned(),
        authorization_endpoint: endpoint(path::AUTHORIZE),
        token_endpoint: endpoint(path::TOKEN),
        registration_endpoint: match registration {
            RegistrationMode::Open | RegistrationMode::InitialAccessToken(_) => Some(endpoint(path::REGISTER)),
            RegistrationMode::Closed => None,
        },
        revocation_endpoint: endpoint(path::REVOKE),
        introspection_endpoint: endpoint(path::INTROSPECT),
        jwks_uri: endpoint(path::JWKS),
        scopes_supported: authority.policy.resources.scopes_supported().iter().map(ToString::to_string).collect(),
        response_types_supported: &["code"],
        response_modes_supported: &["query"],
        grant_types_supported: GrantType::ALL.iter().map(|grant| grant.as_str()).collect(),
        token_endpoint_auth_methods_supported: methods(),
        token_endpoint_auth_signing_alg_values_supported: assertion_algorithms(),
        introspection_endpoint_auth_methods_supported: confidential,
        introspection_endpoint_auth_signing_alg_values_supported: assertion_algorithms(),
        revocation_endpoint_auth_methods_supported: methods(),
        revocation_endpoint_auth_signing_alg_values_supported: assertion_algorithms(),
        code_challenge_methods_supported: &["S256"],
        authorization_response_iss_parameter_supported: true,
        prompt_values_supported: Prompt::SUPPORTED,
        service_documentation: endpoint(path::DOCUMENTATION),
        ui_locales_supported: &["en"],
        subject_types_supported: &["public"],
        id_token_signing_alg_values_supported: signing_algorithms(authority),
    }
}

/// The algorithms of JWTs that are signed here with a published key.
fn signing_algorithms(authority: &Authority) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for resource in authority.policy.resources.iter() {
        if let TokenFormat::Jwt(algorithm) = resource.token_format
            && algorithm != Algorithm::HS256
            && !names.contains(&algorithm.as_str())
        {
            names.push(algorithm.as_str());
        }
    }
    names
}

pub(super) async fn metadata_document(document: MetadataDocument, headers: HeaderMap) -> Response {
    cached(&headers, document.etag, document.body)
}

pub(super) async fn jwks(State(app): State<App>, Now(now): Now, headers: HeaderMap) -> Response {
    let keys = app.authority().signer.published_keys(now);
    match serde_json::to_vec(&keys) {
        Ok(body) => cached(&headers, etag(&body), body.into()),
        Err(_) => json(StatusCode::INTERNAL_SERVER_ERROR, &keys),
    }
}

fn etag(body: &[u8]) -> HeaderValue {
    let text = format!("\"{}\"", &URL_SAFE_NO_PAD.encode(Sha256::digest(body))[..22]);
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("\"\""))
}

/// RFC 9110 13.1.2: who has it already is told so.
fn cached(headers: &HeaderMap, etag: HeaderValue, body: Bytes) -> Response {
    let known = |value: &HeaderValue| {
        let value = value.to_str().unwrap_or_default();
        value
            .split(',')
            .any(|tag| tag.trim().trim_start_matches("W/").as_bytes() == etag.as_bytes() || tag.trim() == "*")
    };
    let mut response = if headers.get_all(IF_NONE_MATCH).iter().any(known) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        with_type(StatusCode::OK, "application/json", Body::from(body))
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(MAX_AGE));
    response.headers_mut().insert(ETAG, etag);
    response
}
