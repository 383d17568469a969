//! Which headers cross the gateway.
//!
//! Towards the server behind:
//!
//! - nothing that is meant for this hop (RFC 9110 7.6.1), nor what a client declares to be (`Connection: x-gateward-subject` would take
//!   away what the gateway says);
//! - never the client's token (MCP "Token Passthrough"), and no cookie: those of this host are not for others;
//! - nothing by which a client could speak as the gateway, in any spelling that ends as the same variable of a CGI-like server (they
//!   make one of all signs, lighttpd of every sign there is), or pretend to be another request (`X-Forwarded-*`, `X-HTTP-Method-Override`, `X-Original-URL`, ..),
//!   or be understood otherwise than it was judged (`Content_Encoding`, `Mcp_Name`);
//! - instead, who sends this, as the gateway knows it.
//!
//! Towards the client: nothing that is meant for this hop, no cookie, and none of the server's own words about other origins: the
//! gateway speaks for it. Where the pages for login and consent have the same origin, a page of the server behind is put into a sandbox.

use std::{borrow::Cow, net::IpAddr};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_SECURITY_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS},
};

use crate::{domain::correlation::RequestId, resource::Identity};

/// Everything that begins like this is the gateway's to say.
const OWN: &str = "x-gateward-";

/// `sub`.
const SUBJECT: HeaderName = HeaderName::from_static("x-gateward-subject");
/// `client_id`.
const CLIENT: HeaderName = HeaderName::from_static("x-gateward-client");
/// The human's login name; absent for clients that act for themselves.
const USERNAME: HeaderName = HeaderName::from_static("x-gateward-username");
/// What the token permits, separated by spaces.
const SCOPE: HeaderName = HeaderName::from_static("x-gateward-scope");
/// The grant; absent for clients that act for themselves.
const GRANT: HeaderName = HeaderName::from_static("x-gateward-grant");
/// `exp`, in Unix seconds.
const EXPIRES: HeaderName = HeaderName::from_static("x-gateward-expires");
/// `iss`.
const ISSUER: HeaderName = HeaderName::from_static("x-gateward-issuer");
/// The resource that the token is for.
const RESOURCE: HeaderName = HeaderName::from_static("x-gateward-resource");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// RFC 9110 7.6.1.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The gateway's own to write, as a proxy's, or not to pass on.
const OWN_BUSINESS: &[&str] = &["authorization", "content-length", "cookie", "expect", "host", "origin"];

/// By these a client could be taken for somebody else, or its request for another one; every sign counts as a dash.
const PRETENDING: &[&str] = &[
    "cf-connecting-ip",
    "fastly-client-ip",
    "forwarded",
    // `HTTP_PROXY`, to a CGI-like server and whatever it starts.
    "proxy",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "x-originating-ip",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-request-id",
    "x-host",
];

/// The same, of everything that begins like this.
const PRETENDING_FROM: &[&str] =
    &[OWN, "remote-", "x-auth-request-", "x-forwarded", "x-original-", "x-remote-", "x-webauth-"];

/// By these a message was judged, under their right names: in other spellings they may say something else.
const JUDGED_FROM: &[&str] = &["content-", "mcp-"];

/// Who sends a request, and where to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender<'a> {
    pub(super) identity: &'a Identity,
    /// As far as it is known.
    pub(super) address: Option<IpAddr>,
    /// What the log of this server calls it.
    pub(super) request_id: Option<&'a RequestId>,
    /// `http` or `https`, as clients see it.
    pub(super) scheme: &'a HeaderValue,
    /// The host and port that clients see.
    pub(super) host: &'a HeaderValue,
}

/// Leaves of the headers of a request what the server behind may see, and adds who sends it.
pub(super) fn towards_server(headers: &mut HeaderMap, sender: Sender<'_>) {
    remove(headers, is_unwanted);
    write_identity(headers, sender.identity);
    let mut say = |name: HeaderName, text: String| {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    };
    if let Some(address) = sender.address {
        say(FORWARDED_FOR, address.to_string());
    }
    if let Some(id) = sender.request_id {
        say(REQUEST_ID, id.to_string());
    }
    headers.insert(FORWARDED_PROTO, sender.scheme.clone());
    headers.insert(FORWARDED_HOST, sender.host.clone());
}

/// Leaves of the headers of an answer what the client may see.
pub(super) fn towards_client(headers: &mut HeaderMap) {
    remove(headers, |name| {
        *name == SET_COOKIE || name.as_str().starts_with("access-control-") || name.as_str().starts_with(OWN)
    });
}

/// Keeps an answer away from the pages for login and consent, which are of the same origin: a page of the server behind could act in
/// them as the human does.
pub(super) fn confine(headers: &mut HeaderMap) {
    headers.remove("clear-site-data");
    headers.remove("service-worker-allowed");
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// Says whose request it is.
pub(super) fn write_identity(headers: &mut HeaderMap, identity: &Identity) {
    let mut say = |name: HeaderName, value: &str| {
        // What is not printable ASCII is escaped as in a URL, so that every server reads the same.
        let escaped: Cow<'_, str> = percent_encoding::utf8_percent_encode(value, NOT_PLAIN).into();
        if let Ok(value) = HeaderValue::from_str(&escaped) {
            headers.insert(name, value);
        }
    };
    say(SUBJECT, identity.subject());
    say(CLIENT, identity.client_id());
    say(SCOPE, &identity.scope().to_string());
    say(ISSUER, identity.issuer());
    say(RESOURCE, identity.resource().as_str());
    say(EXPIRES, &identity.expires_at().to_string());
    if let Some(username) = identity.username() {
        say(USERNAME, username);
    }
    if let Some(grant) = identity.grant_id() {
        say(GRANT, grant);
    }
}

/// Control characters; `utf8_percent_encode` escapes what is not ASCII in any case. `%` too, so that it can be undone.
const NOT_PLAIN: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b'%');

fn is_unwanted(name: &HeaderName) -> bool {
    let name = name.as_str();
    let is_sign = |c: char| !c.is_ascii_alphanumeric() && c != '-';
    // Hardly any name has one, and this is done for every header of every request.
    let has_sign = name.bytes().any(|b| is_sign(char::from(b)));
    let plain = if has_sign { Cow::Owned(name.replace(is_sign, "-")) } else { Cow::Borrowed(name) };
    let begins_like = |starts: &[&str]| starts.iter().any(|start| plain.starts_with(start));
    [OWN_BUSINESS, HOP_BY_HOP, PRETENDING].iter().any(|names| names.contains(&&*plain))
        || begins_like(PRETENDING_FROM)
        || (has_sign && begins_like(JUDGED_FROM))
}

/// Removes what is meant for this hop, also what the message itself declares to be (RFC 9110 7.6.1), and what is `unwanted`.
fn remove(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    let declared: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect();
    let goes = |name: &&HeaderName| HOP_BY_HOP.contains(&name.as_str()) || declared.contains(name) || unwanted(name);
    let going: Vec<HeaderName> = headers.keys().filter(goes).cloned().collect();
    for name in going {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{resource::ResourceUri, scope::Scope, time::Timestamp},
        resource::IdentityParts,
    };

    fn identity(username: Option<&str>) -> Identity {
        Identity::from(IdentityParts {
            issuer: "https://auth.example".into(),
            subject: "user-1".into(),
            username: username.map(str::to_owned),
            client_id: "client-1".into(),
            scope: Scope::parse("mcp:read mcp:execute").unwrap(),
            resource: ResourceUri::parse("https://mcp.example/mcp").unwrap(),
            token_id: None,
            grant_id: username.map(|_| "grant-1".into()),
            not_before: None,
            expires_at: Timestamp::from_unix(1_750_000_000),
        })
    }

    fn crossing(sent: &[(&str, &str)], identity: &Identity) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        let address = Some("192.0.2.7".parse().unwrap());
        let [scheme, host] = ["https", "mcp.example"].map(HeaderValue::from_static);
        towards_server(&mut headers, Sender { identity, address, request_id: None, scheme: &scheme, host: &host });
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    const SAID: &[&str] = &[
        "x-forwarded-for: 192.0.2.7",
        "x-forwarded-host: mcp.example",
        "x-forwarded-proto: https",
        "x-gateward-client: client-1",
        "x-gateward-expires: 1750000000",
        "x-gateward-issuer: https://auth.example",
        "x-gateward-resource: https://mcp.example/mcp",
        "x-gateward-scope: mcp:execute mcp:read",
        "x-gateward-subject: user-1",
    ];

    #[test]
    fn the_server_behind_hears_who_it_is_and_never_sees_the_token() {
        let sent = [("authorization", "Bearer secret"), ("cookie", "session=1"), ("origin", "https://evil.example")];
        assert_eq!(crossing(&sent, &identity(None)), SAID);
    }

    #[test]
    fn nobody_speaks_as_the_gateway_or_pretends_to_be_another_request() {
        let sent = [
            ("x-gateward-subject", "admin"),
            ("X_Gateward_Subject", "admin"),
            ("x-gateward_username", "admin"),
            ("x-gateward-anything", "x"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x_forwarded_host", "evil.example"),
            ("x-forwarded-user", "admin"),
            ("forwarded", "for=127.0.0.1"),
            ("x-real-ip", "127.0.0.1"),
            ("x-original-url", "/admin"),
            ("x-http-method-override", "DELETE"),
            ("remote-user", "admin"),
        ];
        assert_eq!(crossing(&sent, &identity(None)), SAID);
    }

    #[test]
    fn what_a_client_declares_to_be_for_one_hop_does_not_take_away_what_the_gateway_says() {
        let sent = [
            ("connection", "close, X-Gateward-Subject, authorization, x-custom"),
            ("x-custom", "1"),
            ("te", "trailers"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
        ];
        assert_eq!(crossing(&sent, &identity(None)), SAID);
    }

    #[test]
    fn everything_else_crosses() {
        let sent = [("mcp-session-id", "1"), ("accept", "text/event-stream"), ("mcp-protocol-version", "2025-11-25")];
        let lines = crossing(&sent, &identity(None));
        for (name, value) in sent {
            assert!(lines.contains(&format!("{name}: {value}")), "{name}");
        }
    }

    #[test]
    fn a_name_that_is_not_ascii_is_escaped() {
        let lines = crossing(&[], &identity(Some("zoë 100%")));
        assert!(lines.contains(&"x-gateward-username: zo%C3%AB 100%25".to_owned()), "{lines:?}");
        assert!(lines.contains(&"x-gateward-grant: grant-1".to_owned()));
    }

    #[test]
    fn the_client_hears_nothing_of_cookies_hops_and_other_origins() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("set-cookie", "a=1"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("access-control-allow-origin", "*"),
            ("x-gateward-subject", "x"),
            ("mcp-session-id", "1"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        towards_client(&mut headers);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["mcp-session-id"]);
    }
}
