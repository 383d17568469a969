//! How a client says who it is (RFC 6749 2.3, RFC 7521 4.2): exactly one method per request.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;

use super::{
    form::{Form, decode},
    jose,
    secret::Secret,
};

/// `client_assertion_type` of RFC 7523 2.2.
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a request carried to authenticate its client. The identifier is as sent, known or not.
#[derive(Debug)]
pub enum PresentedClient {
    /// Only `client_id`: a public client.
    Public { client_id: String },
    /// `Authorization: Basic`.
    SecretBasic { client_id: String, secret: Secret },
    /// `client_id` and `client_secret` in the body.
    SecretPost { client_id: String, secret: Secret },
    /// `client_assertion`; `client_id` only if it was sent beside it.
    Assertion { client_id: Option<String>, assertion: Secret },
}

impl PresentedClient {
    /// The client that the request says it is from: not proven in any way. `None` if its assertion cannot be read.
    pub fn claimed(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Public { client_id }
            | Self::SecretBasic { client_id, .. }
            | Self::SecretPost { client_id, .. }
            | Self::Assertion { client_id: Some(client_id), .. } => Some(client_id.into()),
            Self::Assertion { client_id: None, assertion } => jose::unverified_subject(assertion).map(Cow::from),
        }
    }
}

/// Why no client could be read from a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PresentationError {
    /// Neither a header nor a `client_id`.
    #[error("the request names no client")]
    Missing,
    /// Two methods at once (RFC 6749 2.3).
    #[error("the request uses more than one client authentication method")]
    SeveralMethods,
    /// An `Authorization` header that is not well-formed Basic.
    #[error("the Authorization header is malformed")]
    MalformedHeader,
    /// `client_assertion` without the right `client_assertion_type`, or the reverse.
    #[error("client_assertion_type is missing or unsupported")]
    AssertionType,
    /// `client_id` in the body differs from the one in the header.
    #[error("client_id contradicts the Authorization header")]
    Contradiction,
}

/// Reads the one authentication method of a token-style request.
///
/// `authorization` is the header's value, if the request has one.
pub fn present(authorization: Option<&[u8]>, form: &Form) -> Result<PresentedClient, PresentationError> {
    let client_id = form.get("client_id");
    let secret = form.get("client_secret");
    let assertion = form.get("client_assertion");
    let assertion_type = form.get("client_assertion_type");
    let methods = [authorization.is_some(), secret.is_some(), assertion.is_some()];
    if methods.into_iter().filter(|used| *used).count() > 1 {
        return Err(PresentationError::SeveralMethods);
    }
    if let Some(header) = authorization {
        let (id, secret) = parse_basic(header)?;
        if client_id.is_some_and(|sent| sent != id) {
            return Err(PresentationError::Contradiction);
        }
        return Ok(PresentedClient::SecretBasic { client_id: id, secret });
    }
    if assertion.is_some() || assertion_type.is_some() {
        return match (assertion, assertion_type) {
            (Some(assertion), Some(JWT_BEARER)) => Ok(PresentedClient::Assertion {
                client_id: client_id.map(str::to_owned),
                assertion: Secret::new(assertion),
            }),
            _ => Err(PresentationError::AssertionType),
        };
    }
    let client_id = client_id.ok_or(PresentationError::Missing)?.to_owned();
    Ok(match secret {
        Some(secret) => PresentedClient::SecretPost { client_id, secret: Secret::new(secret) },
        None => PresentedClient::Public { client_id },
    })
}

/// RFC 6749 2.3.1: identifier and secret are form-encoded each, joined by a colon, then base64.
fn parse_basic(header: &[u8]) -> Result<(String, Secret), PresentationError> {
    let malformed = || PresentationError::MalformedHeader;
    let header = std::str::from_utf8(header).map_err(|_| malformed())?;
    let (scheme, rest) = header.split_once(' ').ok_or_else(malformed)?;
    // RFC 9110 11.1: scheme names are case-insensitive.
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let bytes = STANDARD.decode(rest.trim_start_matches(' ')).map_err(|_| malformed())?;
    let bytes = zeroize::Zeroizing::new(bytes);
    let colon = bytes.iter().position(|b| *b == b':').ok_or_else(malformed)?;
    let id = decode(&bytes[..colon]).map_err(|_| malformed())?;
    let secret = decode(&bytes[colon + 1..]).map_err(|_| malformed())?;
    if id.is_empty() || secret.is_empty() {
        return Err(malformed());
    }
    Ok((id, Secret::new(secret)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(body: &str) -> Form {
        Form::parse(body.as_bytes()).unwrap()
    }

    fn basic(text: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(text)).into_bytes()
    }

    #[test]
    fn basic_credentials_are_form_decoded_after_base64() {
        let presented = present(Some(&basic("a%3Ab:s%2Bc+d")), &Form::default()).unwrap();
        let PresentedClient::SecretBasic { client_id, secret } = presented else { panic!("not basic") };
        assert_eq!((client_id.as_str(), secret.expose()), ("a:b", "s+c d"));
    }

    #[test]
    fn two_methods_at_once_are_refused() {
        let both = present(Some(&basic("a:b")), &form("client_id=a&client_secret=b"));
        assert_eq!(both.unwrap_err(), PresentationError::SeveralMethods);
        let both = present(None, &form("client_id=a&client_secret=b&client_assertion=c"));
        assert_eq!(both.unwrap_err(), PresentationError::SeveralMethods);
    }

    #[test]
    fn a_body_that_names_another_client_than_the_header_is_refused() {
        let two = present(Some(&basic("a:b")), &form("client_id=z"));
        assert_eq!(two.unwrap_err(), PresentationError::Contradiction);
    }

    #[test]
    fn the_scheme_name_is_case_insensitive() {
        let header = String::from_utf8(basic("a:b")).unwrap().replace("Basic", "bAsIc");
        assert!(present(Some(header.as_bytes()), &Form::default()).is_ok());
    }

    #[test]
    fn a_header_that_is_not_basic_credentials_is_malformed() {
        for header in [&b"Bearer abc"[..], b"Basic", b"Basic !!", b"Basic YQ==", b"\xff\xfe"] {
            assert_eq!(present(Some(header), &Form::default()).unwrap_err(), PresentationError::MalformedHeader);
        }
    }

    #[test]
    fn an_assertion_needs_its_type() {
        assert_eq!(present(None, &form("client_assertion=x")).unwrap_err(), PresentationError::AssertionType);
        assert_eq!(
            present(None, &form("client_id=a&client_assertion_type=x")).unwrap_err(),
            PresentationError::AssertionType
        );
    }

    proptest! {
        #[test]
        fn any_id_and_secret_survive_the_round_trip(id in "\\PC{1,20}", secret in "\\PC{1,20}") {
            let encode = |s: &str| url::form_urlencoded::byte_serialize(s.as_bytes()).collect::<String>();
            let header = basic(&format!("{}:{}", encode(&id), encode(&secret)));
            let Ok(PresentedClient::SecretBasic { client_id, secret: got }) = present(Some(&header), &Form::default())
            else { panic!("refused") };
            prop_assert_eq!(client_id, id);
            prop_assert_eq!(got.expose(), secret.as_str());
        }

        #[test]
        fn no_header_makes_the_parser_panic(header in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = present(Some(&header), &Form::default());
        }
    }
}
