//! Client metadata on the wire (RFC 7591 2 and 3.2.1; RFC 7592 3; OpenID Connect Registration 2 for `application_type`).

use serde::{Deserialize, Deserializer, Serialize};

use super::{jose::JwkSet, secret::Secret};

/// What a client asks to be registered as. Unknown members are ignored; a member of an odd type counts as absent when
/// nothing depends on it, because real clients send all sorts of things.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClientMetadata {
    pub redirect_uris: Option<Vec<String>>,
    #[serde(deserialize_with = "lenient")]
    pub client_name: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub client_uri: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub grant_types: Option<Vec<String>>,
    #[serde(deserialize_with = "lenient")]
    pub response_types: Option<Vec<String>>,
    #[serde(deserialize_with = "lenient")]
    pub token_endpoint_auth_method: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub application_type: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub scope: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub software_id: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub software_version: Option<String>,
    /// A set that is half understood is none.
    #[serde(deserialize_with = "lenient")]
    pub jwks: Option<JwkSet>,
    /// Not fetched by this server yet; its presence is refused where a key is needed.
    #[serde(deserialize_with = "lenient")]
    pub jwks_uri: Option<String>,
    /// RFC 7592 2.2: an update repeats it.
    #[serde(deserialize_with = "lenient")]
    pub client_id: Option<String>,
    /// RFC 7592 2.2: an update may repeat it, and may not choose it.
    #[serde(deserialize_with = "lenient_secret")]
    pub client_secret: Option<Secret>,
}

fn lenient_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(lenient::<D, String>(deserializer)?.map(Secret::new))
}

/// Reads a `T`, or nothing when the value has another shape.
fn lenient<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

/// The answer to a registration, read or update: every effective value (RFC 7591 3.2.1).
///
/// It may hold live credentials, so it has no `Debug`.
#[derive(Serialize)]
pub struct ClientInformation {
    pub client_id: String,
    pub client_id_issued_at: i64,
    /// Only when a secret was just made; it cannot be shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// Unix seconds, 0 for never; for confidential clients with a secret only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_expires_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_uri: Option<String>,
    pub redirect_uris: Vec<String>,
    pub grant_types: Vec<&'static str>,
    pub response_types: Vec<&'static str>,
    pub token_endpoint_auth_method: &'static str,
    pub application_type: &'static str,
    pub scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<JwkSet>,
    /// RFC 7592 3. Absent for clients that cannot be managed this way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_client_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_access_token: Option<String>,
}
