//! The authorization request (RFC 6749 4.1.1, RFC 7636 4.3, RFC 8707 2.1, OpenID Connect Core 3.1.2.1), as sent.

use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::form::{Form, FormError};

/// Every parameter of the request that means something here, still unjudged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthorizationRequest {
    pub response_type: Option<String>,
    pub response_mode: Option<String>,
    pub client_id: Option<String>,
    pub redirect_uri: Option<String>,
    pub scope: Option<String>,
    /// Returned byte for byte.
    pub state: Option<String>,
    pub code_challenge: Option<String>,
    pub code_challenge_method: Option<String>,
    pub resources: Vec<String>,
    pub prompt: Option<String>,
    pub max_age: Option<String>,
    pub login_hint: Option<String>,
    pub ui_locales: Option<String>,
    /// A signed request object (RFC 9101), which this server does not read.
    pub request: Option<String>,
    /// The same by reference.
    pub request_uri: Option<String>,
    /// Whether some parameter appeared more than once (RFC 6749 3.1).
    pub repeated: bool,
}

impl From<&Form> for AuthorizationRequest {
    fn from(form: &Form) -> Self {
        let owned = |name| form.get(name).map(str::to_owned);
        Self {
            response_type: owned("response_type"),
            response_mode: owned("response_mode"),
            client_id: owned("client_id"),
            redirect_uri: owned("redirect_uri"),
            scope: owned("scope"),
            state: owned("state"),
            code_challenge: owned("code_challenge"),
            code_challenge_method: owned("code_challenge_method"),
            resources: form.all("resource").map(str::to_owned).collect(),
            prompt: owned("prompt"),
            max_age: owned("max_age"),
            login_hint: owned("login_hint"),
            ui_locales: owned("ui_locales"),
            request: owned("request"),
            request_uri: owned("request_uri"),
            repeated: false,
        }
    }
}

impl AuthorizationRequest {
    /// Reads a query. A repeated parameter is marked, for the client to hear of at its redirect URI, unless it leaves open
    /// where that is; a repeated `state` is none, because nobody knows which one to return.
    pub fn parse(query: &[u8]) -> Result<Self, FormError> {
        let (form, repeated) = Form::parse_marking(query)?;
        let is_repeated = |name: &str| repeated.iter().any(|other| other == name);
        if is_repeated("client_id") || is_repeated("redirect_uri") {
            return Err(FormError::Repeated);
        }
        let request = Self { repeated: !repeated.is_empty(), ..Self::from(&form) };
        Ok(if is_repeated("state") { Self { state: None, ..request } } else { request })
    }

    /// The query string that asks for the same again.
    pub fn to_query(&self) -> String {
        let single = [
            ("response_type", &self.response_type),
            ("response_mode", &self.response_mode),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", &self.scope),
            ("state", &self.state),
            ("code_challenge", &self.code_challenge),
            ("code_challenge_method", &self.code_challenge_method),
            ("prompt", &self.prompt),
            ("max_age", &self.max_age),
            ("login_hint", &self.login_hint),
            ("ui_locales", &self.ui_locales),
            ("request", &self.request),
            ("request_uri", &self.request_uri),
        ];
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in single {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        for resource in &self.resources {
            query.append_pair("resource", resource);
        }
        query.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_written_as_a_query_reads_back_as_itself() {
        let query =
            b"response_type=code&client_id=a&state=%0D%0A+%26&scope=x+y&resource=https%3A%2F%2Fa%2F&resource=b:c";
        let request = AuthorizationRequest::from(&Form::parse(query).unwrap());
        let again = AuthorizationRequest::from(&Form::parse(request.to_query().as_bytes()).unwrap());
        assert_eq!(again, request);
    }
}
