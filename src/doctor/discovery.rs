//! Finding the metadata of an authorization server, in the order and the forms in which clients try (RFC 8414 3.1, OpenID Connect
//! Discovery 4; MCP: "Authorization Server Metadata Discovery").
//!
//! ```text
//! issuer without a path                            with a path
//! 1. /.well-known/oauth-authorization-server      /.well-known/oauth-authorization-server/tenant
//! 2. /.well-known/openid-configuration            /.well-known/openid-configuration/tenant
//! 3.                                              /tenant/.well-known/openid-configuration
//! 4.                                              /tenant/.well-known/oauth-authorization-server   (some older clients)
//! ```

use http::HeaderMap;
use serde_json::{Map, Value};
use url::Url;

use super::{
    Context,
    check::{Check, Verdict},
    clients::PROTOCOL_VERSION,
    report::{Section, quoted},
};
use crate::domain::issuer::{InvalidIssuer, Issuer};

/// How long a document may be kept, in seconds: after that a change takes too long to arrive.
pub(super) const LONGEST_AGE: u64 = 86_400;

pub(super) const DOCUMENT: Check = Check {
    name: "discovery.document",
    title: "The metadata is found",
    breaks: "no client learns where to register, log in and get tokens",
    remedy: "serve the metadata (RFC 8414) at /.well-known/oauth-authorization-server, with the issuer's path behind it; if this is the URL \
             of an MCP server, say so with --mcp",
};
pub(super) const OAUTH: Check = Check {
    name: "discovery.oauth",
    title: "It is where all clients look first (RFC 8414)",
    breaks: "clients of the MCP version 2025-03-26, which look nowhere else",
    remedy: "serve the same document at the first of the forms as well",
};
pub(super) const OPENID: Check = Check {
    name: "discovery.openid",
    title: "It is there under its OpenID name too",
    breaks: "clients and libraries that look for openid-configuration only",
    remedy: "serve the same document there as well",
};
pub(super) const APPENDED: Check = Check {
    name: "discovery.appended",
    title: "An issuer with a path has its metadata below that path too",
    breaks: "clients that append the well-known path to the issuer, as OpenID does, instead of inserting it",
    remedy: "serve the same document at the appended forms as well",
};
pub(super) const ABSENT: Check = Check {
    name: "discovery.absent",
    title: "What is not there is a plain 404",
    breaks: "clients that try several places: they take a page for a document, or give up at a 500, instead of trying the next place",
    remedy: "answer 404 below /.well-known for whatever is not there; a catch-all for a web application must not answer there",
};
pub(super) const REDIRECT: Check = Check {
    name: "discovery.redirect",
    title: "The metadata is not behind a redirect",
    breaks: "clients that do not follow redirects here, as following one could lead to somebody else's metadata",
    remedy: "serve the document itself at each place",
};
pub(super) const JSON: Check = Check {
    name: "discovery.json",
    title: "The metadata is application/json",
    breaks: "clients that look at the content type",
    remedy: "send Content-Type: application/json",
};
pub(super) const AGREE: Check = Check {
    name: "discovery.agree",
    title: "All forms say the same",
    breaks: "clients that look at different places and so use different endpoints: nearly impossible to find out later",
    remedy: "generate the documents from one source",
};
pub(super) const CACHING: Check = Check {
    name: "discovery.caching",
    title: "The metadata is not kept too long",
    breaks: "clients, for as long as a cache keeps the old document after a change",
    remedy: "send Cache-Control: max-age of a day at most",
};
pub(super) const ISSUER: Check = Check {
    name: "issuer.equal",
    title: "The issuer is, byte for byte, what clients started from",
    breaks: "every client that compares (RFC 8414 3.3, RFC 9207): it refuses the document, or the answer with the code",
    remedy: "write the issuer in the metadata, in authorization_servers and in iss in the same way: scheme, port, slash at the end",
};
pub(super) const CANONICAL: Check = Check {
    name: "issuer.canonical",
    title: "The issuer is written in the one way that nothing rewrites",
    breaks: "clients whose URL type adds or removes a slash, a port or upper case, and then finds another issuer",
    remedy: "an https URL with a lower-case host, no default port, no slash at the end, no query and no fragment",
};

pub(super) const CHECKS: &[&Check] =
    &[&DOCUMENT, &OAUTH, &OPENID, &APPENDED, &ABSENT, &REDIRECT, &JSON, &AGREE, &CACHING, &ISSUER, &CANONICAL];

/// A place where the metadata may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) url: String,
    is_openid: bool,
    is_appended: bool,
}

/// What is at a place.
pub(super) enum Found {
    Document(Map<String, Value>, HeaderMap),
    /// A status that says that there is nothing.
    Absent(u16),
    Moved(String),
    /// What no client can make sense of.
    Odd(String),
}

/// Metadata as it was found.
pub(super) struct Metadata {
    pub(super) url: String,
    pub(super) document: Map<String, Value>,
    /// As it stands under its OpenID name, if it does.
    pub(super) openid: Option<Map<String, Value>>,
}

impl Metadata {
    pub(super) fn text(&self, member: &str) -> Option<&str> {
        self.document.get(member)?.as_str()
    }

    /// The texts in an array.
    pub(super) fn list(&self, member: &str) -> Option<Vec<&str>> {
        Some(self.document.get(member)?.as_array()?.iter().filter_map(Value::as_str).collect())
    }

    pub(super) fn says(&self, member: &str) -> bool {
        self.document.get(member).and_then(Value::as_bool).unwrap_or_default()
    }
}

/// The forms of an issuer's URL, in the order in which clients try them.
pub(super) fn forms(issuer: &Url) -> Vec<Form> {
    let (origin, path) = (issuer.origin().ascii_serialization(), issuer.path().trim_end_matches('/'));
    let form = |name: &str, is_appended: bool| Form {
        url: if is_appended {
            format!("{origin}{path}/.well-known/{name}")
        } else {
            format!("{origin}/.well-known/{name}{path}")
        },
        is_openid: name == "openid-configuration",
        is_appended,
    };
    let mut forms = vec![form("oauth-authorization-server", false), form("openid-configuration", false)];
    if !path.is_empty() {
        forms.extend([form("openid-configuration", true), form("oauth-authorization-server", true)]);
    }
    forms
}

/// What is at a well-known place.
pub(super) async fn look(context: &Context<'_>, url: &str) -> Found {
    let request = context.probe.get(url).header("accept", "application/json");
    match context.probe.send(request.header("mcp-protocol-version", PROTOCOL_VERSION)).await {
        Err(reason) => Found::Odd(reason.reason),
        Ok(answer) if answer.is_redirect() => Found::Moved(answer.summary()),
        Ok(answer) if (400..500).contains(&answer.status) => Found::Absent(answer.status),
        Ok(answer) if answer.status == 200 => match answer.json() {
            Some(document) => Found::Document(document, answer.headers),
            None => Found::Odd(format!("{}, which is no JSON object", answer.summary())),
        },
        Ok(answer) => Found::Odd(answer.summary()),
    }
}

/// Finds the metadata. `named` says that the issuer's URL stands in a document, so that every byte of it counts; a human who types one may
/// add a slash.
pub(super) async fn examine(
    context: &Context<'_>,
    section: &mut Section,
    issuer: &str,
    url: &Url,
    named: bool,
) -> Option<Metadata> {
    let mut found = Vec::new();
    for form in forms(url) {
        let what = look(context, &form.url).await;
        found.push((form, what));
    }
    let unknown = format!("{}/.well-known/gateward-doctor", url.origin().ascii_serialization());
    let nothing = look(context, &unknown).await;

    let documents = || found.iter().filter(|(_, found)| matches!(found, Found::Document(..)));
    let list: Vec<String> = found.iter().map(|(form, found)| format!("{}: {}", form.url, in_words(found))).collect();
    section.judge(
        &REDIRECT,
        Verdict::Failure,
        &problems(&found, |found| matches!(found, Found::Moved(_))),
        "it is not",
    );
    let mut odd = problems(&found, |found| matches!(found, Found::Odd(_)));
    if !matches!(nothing, Found::Absent(_)) {
        odd.push(format!("{unknown}, which nobody serves: {}", in_words(&nothing)));
    }
    section.judge(&ABSENT, Verdict::Failure, &odd, "it is");
    let Some((form, Found::Document(document, headers))) = documents().next() else {
        section.fail(&DOCUMENT, list.join("; "));
        return None;
    };
    section.pass(&DOCUMENT, &form.url);
    absences(section, &found, url);
    media_types(section, &found);
    agreement(section, &found);
    caching(section, &CACHING, headers);
    issuers(section, document, issuer, named);
    let openid = documents().find_map(|(form, found)| match found {
        Found::Document(document, _) if form.is_openid => Some(document.clone()),
        Found::Document(..) | Found::Absent(_) | Found::Moved(_) | Found::Odd(_) => None,
    });
    Some(Metadata { url: form.url.clone(), document: document.clone(), openid })
}

fn in_words(found: &Found) -> String {
    match found {
        Found::Document(..) => "there".to_owned(),
        Found::Absent(status) => format!("{status}"),
        Found::Moved(what) | Found::Odd(what) => what.clone(),
    }
}

fn problems(found: &[(Form, Found)], is_one: impl Fn(&Found) -> bool) -> Vec<String> {
    let said = found.iter().filter(|(_, found)| is_one(found));
    said.map(|(form, found)| format!("{}: {}", form.url, in_words(found))).collect()
}

fn absences(section: &mut Section, found: &[(Form, Found)], url: &Url) {
    let absent = |is_one: &dyn Fn(&Form) -> bool| -> Vec<String> {
        let places = found.iter().filter(|(form, found)| is_one(form) && matches!(found, Found::Absent(_)));
        places.map(|(form, found)| format!("{}: {}", form.url, in_words(found))).collect()
    };
    section.judge(&OAUTH, Verdict::Warning, &absent(&|form| !form.is_openid && !form.is_appended), "it is");
    section.judge(&OPENID, Verdict::Warning, &absent(&|form| form.is_openid && !form.is_appended), "it is");
    if url.path().trim_end_matches('/').is_empty() {
        section.skip(&APPENDED, "the issuer has no path");
    } else {
        section.judge(&APPENDED, Verdict::Warning, &absent(&|form| form.is_appended), "it has");
    }
}

fn media_types(section: &mut Section, found: &[(Form, Found)]) {
    let mut wrong = Vec::new();
    for (form, found) in found {
        if let Found::Document(_, headers) = found {
            let value = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
            if !value.to_ascii_lowercase().starts_with("application/json") {
                wrong.push(format!("{}: Content-Type is {}", form.url, quoted(value)));
            }
        }
    }
    section.judge(&JSON, Verdict::Warning, &wrong, "it is");
}

/// A member that only one document has is no contradiction: OpenID knows members that OAuth does not.
fn agreement(section: &mut Section, found: &[(Form, Found)]) {
    let mut documents = found.iter().filter_map(|(form, found)| match found {
        Found::Document(document, _) => Some((form, document)),
        Found::Absent(_) | Found::Moved(_) | Found::Odd(_) => None,
    });
    let Some((first_form, first)) = documents.next() else { return };
    let mut differences = Vec::new();
    for (form, document) in documents {
        let matters = |name: &str| name == "issuer" || name == "jwks_uri" || name.ends_with("_endpoint");
        let differing = document
            .iter()
            .filter(|(name, value)| matters(name) && first.get(*name).is_some_and(|first| first != *value));
        let names: Vec<&str> = differing.map(|(name, _)| name.as_str()).collect();
        if !names.is_empty() {
            differences.push(format!("{} differs from {} in {}", form.url, first_form.url, names.join(", ")));
        }
    }
    section.judge(&AGREE, Verdict::Failure, &differences, "they do");
}

/// Whether a document may be kept for longer than a day.
pub(super) fn caching(section: &mut Section, check: &'static Check, headers: &HeaderMap) {
    let value = headers.get("cache-control").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let ages = value.split(',').filter_map(|directive| directive.trim().strip_prefix("max-age=")?.parse::<u64>().ok());
    match ages.max() {
        Some(age) if age > LONGEST_AGE => section.warn(check, format!("Cache-Control is {}", quoted(value))),
        Some(age) => section.pass(check, format!("for {age} s")),
        None => section.pass(check, "nothing is said about how long"),
    }
}

fn issuers(section: &mut Section, document: &Map<String, Value>, asked: &str, named: bool) {
    let Some(stated) = document.get("issuer").and_then(Value::as_str) else {
        section.fail(&ISSUER, "the metadata has no issuer");
        return section.skip(&CANONICAL, "the metadata has no issuer");
    };
    let but_for_a_slash = stated.trim_end_matches('/') == asked.trim_end_matches('/');
    if stated == asked || (but_for_a_slash && !named) {
        section.pass(&ISSUER, quoted(stated));
    } else {
        let hint = if but_for_a_slash { ": they differ by a slash at the end" } else { "" };
        section.fail(
            &ISSUER,
            format!("the metadata says {}, clients started from {}{hint}", quoted(stated), quoted(asked)),
        );
    }
    match Issuer::parse(stated) {
        Ok(_) => section.pass(&CANONICAL, quoted(stated)),
        Err(InvalidIssuer::NotHttps) => section.skip(&CANONICAL, "see transport.https"),
        Err(error) => section.warn(&CANONICAL, format!("{}: {error}", quoted(stated))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(issuer: &str) -> Vec<String> {
        forms(&Url::parse(issuer).unwrap()).into_iter().map(|form| form.url).collect()
    }

    #[test]
    fn an_issuer_without_a_path_has_two_forms() {
        let expected = [
            "https://a.example/.well-known/oauth-authorization-server",
            "https://a.example/.well-known/openid-configuration",
        ];
        assert_eq!(places("https://a.example"), expected);
        assert_eq!(places("https://a.example/"), expected);
    }

    #[test]
    fn an_issuer_with_a_path_has_four_in_the_order_of_clients() {
        assert_eq!(
            places("https://a.example:8443/t/1"),
            [
                "https://a.example:8443/.well-known/oauth-authorization-server/t/1",
                "https://a.example:8443/.well-known/openid-configuration/t/1",
                "https://a.example:8443/t/1/.well-known/openid-configuration",
                "https://a.example:8443/t/1/.well-known/oauth-authorization-server",
            ]
        );
    }
}
