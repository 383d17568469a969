//! What the metadata of an authorization server says, as MCP clients read it.

use serde_json::Value;

use super::{
    Context,
    check::{Check, Verdict},
    discovery::Metadata,
    report::{Section, quoted},
};

pub(super) const TYPES: Check = Check {
    name: "metadata.types",
    title: "Every member has its type, and none is null",
    breaks: "the official SDKs: they check the whole document, and refuse it for one member",
    remedy: "leave out what is not there instead of writing null; URLs are strings, lists are arrays of strings",
};
pub(super) const ENDPOINTS: Check = Check {
    name: "metadata.endpoints",
    title: "The endpoints for authorization and tokens are named",
    breaks: "every client",
    remedy: "name authorization_endpoint and token_endpoint",
};
pub(super) const SECURE: Check = Check {
    name: "metadata.secure",
    title: "Every endpoint is an absolute https URL",
    breaks: "clients that refuse plain http, and the secrecy of codes and tokens for those that do not",
    remedy: "name https URLs; behind a proxy, tell the server what its public URL is",
};
pub(super) const RESPONSE_TYPES: Check = Check {
    name: "metadata.response_types",
    title: "The response type code is supported",
    breaks: "every client: MCP knows no other, and the member is required (RFC 8414 2)",
    remedy: "state response_types_supported: [\"code\"]",
};
pub(super) const PKCE: Check = Check {
    name: "metadata.pkce",
    title: "PKCE with S256 is advertised",
    breaks: "clients that do as MCP says: without it they must refuse to go on",
    remedy: "support PKCE (RFC 7636) and state code_challenge_methods_supported: [\"S256\"]",
};
pub(super) const PLAIN: Check = Check {
    name: "metadata.pkce_plain",
    title: "PKCE without a digest is not offered",
    breaks: "nobody, but whoever sees an authorization request could redeem its code (OAuth 2.1)",
    remedy: "take \"plain\" out of code_challenge_methods_supported, and refuse it",
};
pub(super) const GRANTS: Check = Check {
    name: "metadata.grants",
    title: "The grants authorization_code and refresh_token are supported",
    breaks: "without authorization_code every client; without refresh_token people log in again whenever a token expires",
    remedy: "state both in grant_types_supported",
};
pub(super) const PUBLIC: Check = Check {
    name: "metadata.public_clients",
    title: "Clients without a secret are welcome",
    breaks: "Claude Code, VS Code, Cursor and the Inspector, which cannot keep one: they ask for \"none\"",
    remedy: "state \"none\" in token_endpoint_auth_methods_supported, and support public clients with PKCE",
};
pub(super) const REGISTRATION: Check = Check {
    name: "metadata.registration",
    title: "Clients that nobody knows can register",
    breaks: "Claude, ChatGPT, Cursor and others: they ask their human for a client id, or give up",
    remedy: "offer registration_endpoint (RFC 7591), or client_id_metadata_document_supported: true",
};
pub(super) const ISS: Check = Check {
    name: "metadata.iss",
    title: "Answers with a code say who issued them (RFC 9207)",
    breaks: "nobody, but clients cannot notice when one server's code is sent to another (mix-up)",
    remedy: "send iss in authorization responses, and state authorization_response_iss_parameter_supported: true",
};
pub(super) const OPENID_MEMBERS: Check = Check {
    name: "metadata.openid_members",
    title: "Under its OpenID name, the document has what OpenID requires",
    breaks: "clients that find this form: the official TypeScript SDK refuses it",
    remedy: "state jwks_uri, subject_types_supported and id_token_signing_alg_values_supported there, or do not serve this form",
};

pub(super) const CHECKS: &[&Check] = &[
    &TYPES,
    &ENDPOINTS,
    &SECURE,
    &RESPONSE_TYPES,
    &PKCE,
    &PLAIN,
    &GRANTS,
    &PUBLIC,
    &REGISTRATION,
    &ISS,
    &OPENID_MEMBERS,
];

pub(super) fn examine(context: &Context<'_>, section: &mut Section, metadata: &Metadata) {
    section.judge(&TYPES, Verdict::Failure, &mistyped(metadata), "they are as they should be");
    let required =
        ["authorization_endpoint", "token_endpoint"].into_iter().filter(|name| metadata.text(name).is_none());
    let missing: Vec<String> = required.map(|name| format!("{name} is missing")).collect();
    section.judge(&ENDPOINTS, Verdict::Failure, &missing, "they are");
    section.judge(&SECURE, Verdict::Failure, &insecure(context, metadata), "they are");
    let code = wants(metadata, "response_types_supported", &["code"]);
    section.judge(&RESPONSE_TYPES, Verdict::Failure, &code, "it is");
    section.judge(&PKCE, Verdict::Failure, &wants(metadata, "code_challenge_methods_supported", &["S256"]), "it is");
    let has_plain = metadata.list("code_challenge_methods_supported").is_some_and(|methods| methods.contains(&"plain"));
    if has_plain {
        section.warn(&PLAIN, "\"plain\" is among the methods")
    } else {
        section.pass(&PLAIN, "it is not")
    }
    grants(section, metadata);
    let methods = metadata.list("token_endpoint_auth_methods_supported");
    match methods {
        Some(methods) if methods.contains(&"none") => section.pass(&PUBLIC, "they are"),
        Some(methods) => section.warn(&PUBLIC, format!("the methods are {}", quoted(&methods.join(" ")))),
        // RFC 8414 2.
        None => section.warn(&PUBLIC, "nothing is said, which means client_secret_basic"),
    }
    registration(section, metadata);
    if metadata.says("authorization_response_iss_parameter_supported") {
        section.pass(&ISS, "they do");
    } else {
        section.warn(&ISS, "authorization_response_iss_parameter_supported is not true");
    }
    if let Some(document) = &metadata.openid {
        let names = ["jwks_uri", "subject_types_supported", "id_token_signing_alg_values_supported"];
        let absent = names.into_iter().filter(|name| !document.contains_key(*name));
        let missing: Vec<String> = absent.map(|name| format!("{name} is missing")).collect();
        section.judge(&OPENID_MEMBERS, Verdict::Warning, &missing, "it has");
    } else {
        section.skip(&OPENID_MEMBERS, "it is not served under that name");
    }
}

fn mistyped(metadata: &Metadata) -> Vec<String> {
    let is_list = |value: &Value| value.as_array().is_some_and(|values| values.iter().all(Value::is_string));
    let wrong = metadata.document.iter().filter_map(|(name, value)| {
        let expected = if value.is_null() {
            "left out instead of null"
        } else if name == "issuer" || name.ends_with("_endpoint") || name.ends_with("_uri") {
            if value.is_string() { return None } else { "a string" }
        } else if name.ends_with("parameter_supported") || name == "client_id_metadata_document_supported" {
            if value.is_boolean() { return None } else { "true or false" }
        } else if name.ends_with("s_supported") {
            if is_list(value) || value.is_boolean() { return None } else { "an array of strings" }
        } else {
            return None;
        };
        Some(format!("{} should be {expected}", quoted(name)))
    });
    wrong.collect()
}

fn insecure(context: &Context<'_>, metadata: &Metadata) -> Vec<String> {
    let endpoints = metadata.document.iter().filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri");
    endpoints
        .filter_map(|(name, value)| {
            let refused = context.reach.permit(value.as_str()?).err()?;
            Some(format!("{}: {refused}", quoted(name)))
        })
        .collect()
}

fn wants(metadata: &Metadata, member: &str, values: &[&str]) -> Vec<String> {
    let Some(stated) = metadata.list(member) else { return vec![format!("{member} is missing")] };
    let missing = values.iter().filter(|value| !stated.contains(value));
    missing.map(|value| format!("{member} is {}, without \"{value}\"", quoted(&stated.join(" ")))).collect()
}

fn grants(section: &mut Section, metadata: &Metadata) {
    match metadata.list("grant_types_supported") {
        // RFC 8414 2: authorization_code and implicit.
        None => section.warn(&GRANTS, "nothing is said, which means that there are no refresh tokens"),
        Some(grants) if !grants.contains(&"authorization_code") => {
            section.fail(&GRANTS, format!("they are {}", quoted(&grants.join(" "))));
        }
        Some(grants) if !grants.contains(&"refresh_token") => {
            section.warn(&GRANTS, format!("they are {}", quoted(&grants.join(" "))));
        }
        Some(_) => section.pass(&GRANTS, "they are"),
    }
}

fn registration(section: &mut Section, metadata: &Metadata) {
    if metadata.text("registration_endpoint").is_some() {
        section.pass(&REGISTRATION, "by dynamic registration");
    } else if metadata.says("client_id_metadata_document_supported") {
        section.pass(
            &REGISTRATION,
            "by client ID metadata documents; clients that only know dynamic registration ask their human",
        );
    } else {
        section.warn(&REGISTRATION, "neither registration_endpoint nor client_id_metadata_document_supported");
    }
}
