//! Redirect URIs: which may be registered (OAuth 2.1 2.3.1, RFC 8252 7) and which match a request (RFC 6749 3.1.2.3).

use std::{fmt, net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::{Host, Url};

/// Schemes that make a browser run, read or show something instead of opening an application.
const FORBIDDEN_SCHEMES: &[&str] = &[
    "about",
    "blob",
    "chrome",
    "data",
    "file",
    "filesystem",
    "ftp",
    "intent",
    "jar",
    "javascript",
    "mailto",
    "ms-appx",
    "res",
    "resource",
    "sms",
    "tel",
    "vbscript",
    "view-source",
    "ws",
    "wss",
    "wyciwyg",
    "xss",
];

/// Longest redirect URI accepted, in bytes.
pub const MAX_LENGTH: usize = 2048;

/// Why a redirect URI may not be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidRedirectUri {
    /// Not an absolute URI, or longer than [`MAX_LENGTH`].
    #[error("not an absolute URI")]
    NotAbsolute,
    /// A fragment, a user, a wildcard, a dot segment or a control character.
    #[error("a fragment, user, wildcard, dot segment or control character")]
    ForbiddenPart,
    /// `http` on a host that is not this machine.
    #[error("http is for loopback only")]
    NotLoopback,
    /// A scheme that browsers act on themselves.
    #[error("this scheme may not receive codes")]
    ForbiddenScheme,
}

/// What kind of place the code would be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RedirectKind {
    /// `https`: a web server, vouched for by TLS.
    Https,
    /// `http` on this machine (RFC 8252 7.3): any program here could listen.
    Loopback,
    /// A private-use scheme (RFC 8252 7.1): any program here could claim it.
    PrivateScheme,
}

/// A redirect URI that may be registered. Compares and prints as the text that was registered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedirectUri(Arc<str>);

impl RedirectUri {
    /// Judges a URI that a client wants to register.
    pub fn parse(text: &str) -> Result<Self, InvalidRedirectUri> {
        judge(text).map(|_| Self(text.into()))
    }

    /// The text as registered.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What kind of place it is.
    pub fn kind(&self) -> RedirectKind {
        // Parsed when it was made; a text that no longer parses counts as the least trusted kind.
        judge(&self.0).unwrap_or(RedirectKind::PrivateScheme)
    }

    /// Whether a request for `requested` goes to this URI: the same text, or the same but for the port on loopback
    /// (RFC 8252 7.3, `localhost` included because mainstream clients use it).
    fn matches(&self, requested: &str) -> bool {
        if *self.0 == *requested {
            return true;
        }
        match (split_loopback(&self.0), split_loopback(requested)) {
            (Some(registered), Some(requested)) => registered == requested,
            _ => false,
        }
    }
}

fn judge(text: &str) -> Result<RedirectKind, InvalidRedirectUri> {
    if text.is_empty() || text.len() > MAX_LENGTH {
        return Err(InvalidRedirectUri::NotAbsolute);
    }
    // URL parsers strip tabs, line ends and outer spaces and turn backslashes; none of that may differ between us and a browser.
    if !text.bytes().all(|b| b.is_ascii_graphic())
        || text.contains(['#', '*', '\\', '"', '<', '>', '^', '`', '{', '|', '}'])
    {
        return Err(InvalidRedirectUri::ForbiddenPart);
    }
    let url = Url::parse(text).map_err(|_| InvalidRedirectUri::NotAbsolute)?;
    if FORBIDDEN_SCHEMES.contains(&url.scheme()) {
        return Err(InvalidRedirectUri::ForbiddenScheme);
    }
    let path_text = text.split('?').next().unwrap_or_default().to_ascii_lowercase().replace("%2e", ".");
    let dots = path_text.split('/').any(|segment| matches!(segment, "." | ".."));
    if dots
        || !url.username().is_empty()
        || url.password().is_some()
        || authority(text).is_some_and(|a| a.contains('@'))
    {
        return Err(InvalidRedirectUri::ForbiddenPart);
    }
    match url.scheme() {
        "https" if authority(text).is_some_and(|a| !a.is_empty()) => Ok(RedirectKind::Https),
        "http" if authority(text).is_some_and(|a| !a.is_empty()) => match url.host() {
            Some(host) if is_this_machine(&host) => Ok(RedirectKind::Loopback),
            _ => Err(InvalidRedirectUri::NotLoopback),
        },
        // `https:x` is repaired to `https://x` by browsers; we do not guess.
        "https" | "http" => Err(InvalidRedirectUri::NotAbsolute),
        _ => Ok(RedirectKind::PrivateScheme),
    }
}

fn authority(text: &str) -> Option<&str> {
    text.split_once("://").map(|(_, rest)| rest.split(['/', '?']).next().unwrap_or_default())
}

/// RFC 8252 7.3 and 8.3. Names below `localhost` are not included: somebody else's resolver may answer for them.
fn is_this_machine(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(ip) => IpAddr::V4(*ip).is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
        Host::Domain(name) => *name == "localhost",
    }
}

/// The text of a loopback URI without its port: `(host, path and query)`.
fn split_loopback(text: &str) -> Option<(&str, &str)> {
    if judge(text) != Ok(RedirectKind::Loopback) {
        return None;
    }
    let rest = text.strip_prefix("http://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let host_end =
        if authority.starts_with('[') { authority.find(']')? + 1 } else { authority.find(':').unwrap_or(end) };
    Some((&authority[..host_end], tail))
}

impl TryFrom<String> for RedirectUri {
    type Error = InvalidRedirectUri;
    fn try_from(text: String) -> Result<Self, InvalidRedirectUri> {
        Self::parse(&text)
    }
}

impl From<RedirectUri> for String {
    fn from(uri: RedirectUri) -> String {
        uri.0.as_ref().into()
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a request's redirect URI leads nowhere. The human is told; nobody is redirected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RedirectMismatch {
    /// None was sent, and the client has none or several.
    #[error("redirect_uri is required")]
    Missing,
    /// It is not one of the client's.
    #[error("redirect_uri is not registered for this client")]
    NotRegistered,
}

/// A redirect URI that belongs to the client of the request: the only thing that an answer may be sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchedRedirect(RedirectUri);

impl MatchedRedirect {
    /// Finds the place that a request's answer goes to. The requested text is kept byte for byte.
    pub fn find(registered: &[RedirectUri], requested: Option<&str>) -> Result<Self, RedirectMismatch> {
        match requested {
            Some(text) => {
                let known = registered.iter().any(|uri| uri.matches(text));
                let uri = RedirectUri::parse(text).map_err(|_| RedirectMismatch::NotRegistered)?;
                if known { Ok(Self(uri)) } else { Err(RedirectMismatch::NotRegistered) }
            }
            None => match registered {
                [only] => Ok(Self(only.clone())),
                _ => Err(RedirectMismatch::Missing),
            },
        }
    }

    /// From what a store kept of a code.
    pub fn restore(uri: RedirectUri) -> Self {
        Self(uri)
    }

    /// The place.
    pub fn uri(&self) -> &RedirectUri {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uris(texts: &[&str]) -> Vec<RedirectUri> {
        texts.iter().map(|t| RedirectUri::parse(t).unwrap()).collect()
    }

    #[test]
    fn https_loopback_and_private_schemes_may_be_registered() {
        for (text, kind) in [
            ("https://app.example.com/cb?x=1", RedirectKind::Https),
            ("http://127.0.0.1/cb", RedirectKind::Loopback),
            ("http://127.1.2.3:9/cb", RedirectKind::Loopback),
            ("http://[::1]:33418/", RedirectKind::Loopback),
            ("http://localhost:3118/callback", RedirectKind::Loopback),
            ("cursor://anysphere.cursor-retrieval/oauth/callback", RedirectKind::PrivateScheme),
            ("com.example.app:/callback", RedirectKind::PrivateScheme),
            ("vscode://vscode.github-authentication/did-authenticate", RedirectKind::PrivateScheme),
        ] {
            assert_eq!(RedirectUri::parse(text).map(|u| u.kind()), Ok(kind), "{text}");
        }
    }

    #[test]
    fn what_a_browser_would_act_on_may_not_be_registered() {
        for text in [
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "vbscript:x",
            "blob:https://a/x",
            "about:blank",
        ] {
            assert_eq!(RedirectUri::parse(text), Err(InvalidRedirectUri::ForbiddenScheme), "{text}");
        }
    }

    #[test]
    fn parts_that_parsers_disagree_on_may_not_be_registered() {
        for text in [
            "https://a.example/cb#x",
            "https://u@a.example/cb",
            "https://u:p@a.example/cb",
            "https://@a.example/",
            "https://*.example.com/cb",
            "https://a.example/x/../cb",
            "https://a.example/%2e%2E/cb",
            "https://a.example/\tcb",
            " https://a.example/cb",
            "https://a.example\\@b.example/",
            "https://a.example/cb\r\nX: y",
            "https://é.example/",
        ] {
            assert_eq!(RedirectUri::parse(text), Err(InvalidRedirectUri::ForbiddenPart), "{text}");
        }
    }

    #[test]
    fn http_is_for_this_machine_only() {
        for text in [
            "http://app.example.com/cb",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "http://a.localhost/",
        ] {
            assert_eq!(RedirectUri::parse(text), Err(InvalidRedirectUri::NotLoopback), "{text}");
        }
    }

    #[test]
    fn relative_and_repaired_uris_may_not_be_registered() {
        for text in ["", "/cb", "https:a.example", "http:/localhost", "https:///a.example"] {
            assert_eq!(RedirectUri::parse(text), Err(InvalidRedirectUri::NotAbsolute), "{text}");
        }
    }

    #[test]
    fn loopback_matches_on_any_port_and_nothing_else_differs() {
        let registered = uris(&["http://127.0.0.1:1/cb?a=b", "http://localhost/cb", "http://[::1]/cb"]);
        for good in [
            "http://127.0.0.1:65535/cb?a=b",
            "http://127.0.0.1/cb?a=b",
            "http://localhost:3118/cb",
            "http://[::1]:5/cb",
        ] {
            let matched = MatchedRedirect::find(&registered, Some(good)).unwrap();
            assert_eq!(matched.uri().as_str(), good);
        }
        for bad in [
            "http://127.0.0.1:1/cb",
            "http://localhost:1/cb/",
            "http://127.0.0.2:1/cb?a=b",
            "https://localhost/cb",
            "http://localhost:x/cb",
        ] {
            assert_eq!(MatchedRedirect::find(&registered, Some(bad)), Err(RedirectMismatch::NotRegistered), "{bad}");
        }
    }

    #[test]
    fn https_matches_to_the_letter() {
        let registered = uris(&["https://a.example/cb"]);
        for bad in [
            "https://a.example/cb/",
            "https://a.example/cb?x",
            "https://A.example/cb",
            "https://a.example:443/cb",
            "https://a.example/c%62",
        ] {
            assert_eq!(MatchedRedirect::find(&registered, Some(bad)), Err(RedirectMismatch::NotRegistered), "{bad}");
        }
    }

    #[test]
    fn one_registered_uri_may_be_left_out_of_the_request_and_several_may_not() {
        let one = MatchedRedirect::find(&uris(&["https://a.example/cb"]), None).unwrap();
        assert_eq!(one.uri().as_str(), "https://a.example/cb");
        let two = uris(&["https://a.example/cb", "https://a.example/other"]);
        assert_eq!(MatchedRedirect::find(&two, None), Err(RedirectMismatch::Missing));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,120}") {
            let _ = RedirectUri::parse(&text);
            let _ = split_loopback(&text);
        }

        #[test]
        fn what_is_accepted_parses_to_the_host_that_it_shows(host in "[a-z]{1,8}\\.example", path in "[a-z/]{0,10}") {
            let text = format!("https://{host}/{path}");
            if RedirectUri::parse(&text).is_ok() {
                let url = Url::parse(&text).unwrap();
                prop_assert_eq!(url.host_str(), Some(host.as_str()));
            }
        }
    }
}
