//! The authorization endpoint, as far as one gets without a human: to a login page, or to an error.

use url::Url;

use super::{
    Context,
    check::{Check, Verdict},
    discovery::Metadata,
    probe::Answer,
    registration::{Client, Clients, in_words},
    report::{Section, quoted},
};

/// RFC 7636 appendix B.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// What only exact bookkeeping brings back whole.
const STATE: &str = "gw/doctor+a=b&c d%20~";
/// Where nobody may be sent.
const STRANGER: &str = "https://gateward-doctor.invalid/callback";

pub(super) const HTTPS: Check = Check {
    name: "authorize.https",
    title: "The login for a client in the cloud begins",
    breaks: "Claude and ChatGPT",
    remedy: "accept an https redirect that the client has registered, byte for byte",
};
pub(super) const LOOPBACK: Check = Check {
    name: "authorize.loopback",
    title: "The login for a client on the desktop begins",
    breaks: "Claude Code, the MCP Inspector",
    remedy: "accept an http redirect to localhost that the client has registered",
};
pub(super) const LOOPBACK_PORT: Check = Check {
    name: "authorize.loopback_port",
    title: "A redirect to 127.0.0.1 may be to any port",
    breaks: "clients that listen on whatever port is free, like VS Code, when they come back",
    remedy: "leave out the port when loopback redirects are compared (RFC 8252 7.3)",
};
pub(super) const PRIVATE_SCHEME: Check = Check {
    name: "authorize.private_scheme",
    title: "The login for a client with a scheme of its own begins",
    breaks: "Cursor",
    remedy: "accept a redirect to cursor:// that the client has registered (RFC 8252 7.1)",
};
pub(super) const UNKNOWN_CLIENT: Check = Check {
    name: "authorize.unknown_client",
    title: "A client that nobody knows redirects nobody",
    breaks: "the people who log in: anybody could send them anywhere by a link to this server",
    remedy: "show an error page, and do not redirect, if the client is unknown (OAuth 2.1 4.1.2.1)",
};
pub(super) const UNREGISTERED: Check = Check {
    name: "authorize.unregistered_redirect",
    title: "A redirect that was not registered is not followed",
    breaks: "everybody: codes could be sent to whoever asks for them",
    remedy: "compare the redirect URI with the registered ones, byte for byte, and show an error page",
};
pub(super) const PKCE: Check = Check {
    name: "authorize.pkce_required",
    title: "Without PKCE there is no login",
    breaks: "nobody, but codes of clients that forget it can be stolen (OAuth 2.1 7.5.1)",
    remedy: "refuse authorization requests without code_challenge: invalid_request",
};
pub(super) const STATE_KEPT: Check = Check {
    name: "authorize.state",
    title: "The state comes back as it was sent",
    breaks: "every client: it takes the answer for somebody else's",
    remedy: "send state back byte for byte, in errors too",
};
pub(super) const ISS: Check = Check {
    name: "authorize.iss",
    title: "The iss of an answer is the issuer of the metadata",
    breaks: "clients that check it, as they have to where it is advertised: they refuse every answer (RFC 9207 2.4)",
    remedy: "send iss with every authorization response, errors too, exactly as it stands in the metadata",
};
pub(super) const RESOURCE: Check = Check {
    name: "authorize.resource",
    title: "The resource is one that this server knows",
    breaks: "every MCP client: it names the MCP server as resource (RFC 8707), and gets invalid_target",
    remedy: "register the MCP server's URL, as it stands in its own metadata, as a resource or audience",
};
pub(super) const RESOURCE_SLASH: Check = Check {
    name: "authorize.resource_slash",
    title: "A resource without a path is the same with a slash",
    breaks: "clients whose URL type adds the slash (the official SDKs), or those whose type does not",
    remedy: "take https://mcp.example.com and https://mcp.example.com/ for the same resource",
};
pub(super) const FRAMING: Check = Check {
    name: "authorize.framing",
    title: "The login page cannot be shown inside of another page",
    breaks: "the people who log in: an invisible frame can make them click (clickjacking, RFC 6749 10.13)",
    remedy: "send Content-Security-Policy: frame-ancestors 'none', or X-Frame-Options: DENY",
};

pub(super) const CHECKS: &[&Check] = &[
    &UNKNOWN_CLIENT,
    &LOOPBACK,
    &LOOPBACK_PORT,
    &HTTPS,
    &PRIVATE_SCHEME,
    &UNREGISTERED,
    &PKCE,
    &STATE_KEPT,
    &ISS,
    &RESOURCE,
    &RESOURCE_SLASH,
    &FRAMING,
];

/// Where an authorization request leads.
enum Outcome {
    /// A page: the login, as far as a program can tell.
    Page(Answer),
    /// Another place: where people log in, as far as a program can tell.
    Elsewhere(Url),
    /// Back to the client, with these parameters.
    Back(Vec<(String, String)>),
    /// An error page.
    Refused(String),
    Silence(String),
}

impl Outcome {
    /// Why no login begins.
    fn trouble(&self) -> Option<String> {
        match self {
            Self::Page(_) | Self::Elsewhere(_) => None,
            Self::Back(parameters) => {
                let get = |name| quoted(value(parameters, name).unwrap_or_default());
                Some(format!("back at the client with error {}: {}", get("error"), get("error_description")))
            }
            Self::Refused(what) | Self::Silence(what) => Some(what.clone()),
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::Page(_) => "a page".to_owned(),
            Self::Elsewhere(url) => format!("leads on to {} (not followed)", quoted(url.as_str())),
            Self::Back(_) | Self::Refused(_) | Self::Silence(_) => self.trouble().unwrap_or_default(),
        }
    }
}

fn value<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The endpoint, and one who asks there.
struct Desk<'a> {
    context: &'a Context<'a>,
    endpoint: Url,
}

pub(super) async fn examine(
    context: &Context<'_>,
    section: &mut Section,
    metadata: &Metadata,
    clients: &Clients,
    resources: &[String],
) {
    let endpoint = context.endpoint(metadata, "authorization_endpoint");
    let endpoint = match endpoint.and_then(|url| Url::parse(&url).map_err(|error| error.to_string())) {
        Ok(endpoint) => endpoint,
        Err(why) => return section.skip_rest(CHECKS, &why),
    };
    let desk = Desk { context, endpoint };
    let outcome = desk.ask("gateward-doctor-nobody", STRANGER, &[]).await;
    not_redirected(section, &UNKNOWN_CLIENT, &outcome);
    let mut login = None;
    for client in clients.iter() {
        for (check, redirect) in client.shape.asks {
            let outcome = desk.ask(&client.id, redirect, &[]).await;
            match outcome.trouble() {
                None => section.pass(check, outcome.in_words()),
                Some(what) if **check == LOOPBACK_PORT => section.warn(check, what),
                Some(what) => section.fail(check, what),
            }
            if **check == LOOPBACK {
                login = Some(outcome);
            }
        }
    }
    if let Some(client) = clients.native() {
        let outcome = desk.ask(&client.id, STRANGER, &[]).await;
        not_redirected(section, &UNREGISTERED, &outcome);
        pkce(&desk, section, client).await;
        answers(&desk, section, client, metadata).await;
        let begins = login.as_ref().is_some_and(|login| login.trouble().is_none());
        if begins {
            resources_known(&desk, section, client, resources).await;
        }
    }
    framing(section, login.as_ref());
    let why = if clients.native().is_none() { "there is no test client" } else { "no login begins" };
    section.skip_rest(CHECKS, why);
}

impl Desk<'_> {
    /// Asks for authorization; `changes` come on top, and an empty one takes a parameter away.
    async fn ask(&self, client_id: &str, redirect_uri: &str, changes: &[(&str, &str)]) -> Outcome {
        let usual = [
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", redirect_uri),
            ("state", STATE),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
        let kept = usual.iter().filter(|(name, _)| !is_changed(name));
        let mut url = self.endpoint.clone();
        url.query_pairs_mut().extend_pairs(kept.chain(changes.iter().filter(|(_, value)| !value.is_empty())));
        let request = self.context.probe.get(url.as_str()).header("accept", "text/html");
        let answer = match self.context.probe.send(request).await {
            Ok(answer) => answer,
            Err(reason) => return Outcome::Silence(format!("no answer: {reason}")),
        };
        if answer.is_success() {
            return Outcome::Page(answer);
        }
        let Some(location) = answer.location(url.as_str()).filter(|_| answer.is_redirect()) else {
            return Outcome::Refused(in_words(&answer));
        };
        if is_at(&location, redirect_uri) {
            return Outcome::Back(location.query_pairs().into_owned().collect());
        }
        match location.query_pairs().find(|(name, _)| name == "error") {
            Some((_, error)) => {
                Outcome::Refused(format!("leads to {} with error {}", quoted(location.path()), quoted(&error)))
            }
            None => Outcome::Elsewhere(location),
        }
    }
}

/// Whether a redirect leads to a redirect URI, whatever was added to it.
fn is_at(location: &Url, redirect_uri: &str) -> bool {
    let parts =
        |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port(), url.path().to_owned());
    Url::parse(redirect_uri).is_ok_and(|redirect| parts(&redirect) == parts(location))
}

fn not_redirected(section: &mut Section, check: &'static Check, outcome: &Outcome) {
    match outcome {
        Outcome::Back(_) => section.fail(check, format!("the browser is sent to {}", quoted(STRANGER))),
        Outcome::Silence(why) => section.skip(check, why),
        Outcome::Page(_) | Outcome::Elsewhere(_) | Outcome::Refused(_) => section.pass(check, outcome.in_words()),
    }
}

async fn pkce(desk: &Desk<'_>, section: &mut Section, client: &Client) {
    let without = [("code_challenge", ""), ("code_challenge_method", "")];
    let outcome = desk.ask(&client.id, client.shape.redirect_uris[0], &without).await;
    match &outcome {
        Outcome::Page(_) | Outcome::Elsewhere(_) => section.warn(&PKCE, outcome.in_words()),
        Outcome::Back(_) | Outcome::Refused(_) => section.pass(&PKCE, outcome.in_words()),
        Outcome::Silence(why) => section.skip(&PKCE, why),
    }
}

/// An error can be had without a human: who is not logged in, and may not be asked to, is sent back.
async fn answers(desk: &Desk<'_>, section: &mut Section, client: &Client, metadata: &Metadata) {
    let redirect = client.shape.redirect_uris[0];
    let mut parameters = None;
    for change in [("prompt", "none"), ("response_type", "gateward-doctor")] {
        if let Outcome::Back(found) = desk.ask(&client.id, redirect, &[change]).await {
            parameters = Some(found);
            break;
        }
    }
    let Some(parameters) = parameters else {
        let why = "no answer could be provoked without a human";
        section.skip(&STATE_KEPT, why);
        return section.skip(&ISS, why);
    };
    match value(&parameters, "state") {
        Some(STATE) => section.pass(&STATE_KEPT, "it does"),
        other => {
            section.fail(&STATE_KEPT, format!("sent {}, got {}", quoted(STATE), quoted(other.unwrap_or_default())))
        }
    }
    let (stated, issuer) = (value(&parameters, "iss"), metadata.text("issuer").unwrap_or_default());
    let is_advertised = metadata.says("authorization_response_iss_parameter_supported");
    match stated {
        Some(stated) if stated == issuer => section.pass(&ISS, quoted(stated)),
        Some(stated) => section.fail(&ISS, format!("iss is {}, the metadata says {}", quoted(stated), quoted(issuer))),
        None if is_advertised => section.fail(&ISS, "it is advertised, and missing"),
        None => section.skip(&ISS, "it is not advertised"),
    }
}

async fn resources_known(desk: &Desk<'_>, section: &mut Section, client: &Client, resources: &[String]) {
    if resources.is_empty() {
        let why = "no MCP server is known; name one, or its URL instead of the issuer";
        section.skip(&RESOURCE, why);
        return section.skip(&RESOURCE_SLASH, why);
    }
    let redirect = client.shape.redirect_uris[0];
    let (mut unknown, mut sensitive, mut with_both) = (Vec::new(), Vec::new(), false);
    for resource in resources {
        if let Some(what) = desk.ask(&client.id, redirect, &[("resource", resource)]).await.trouble() {
            unknown.push(format!("{}: {what}", quoted(resource)));
            continue;
        }
        let Some(other) = other_spelling(resource) else { continue };
        with_both = true;
        if let Some(what) = desk.ask(&client.id, redirect, &[("resource", &other)]).await.trouble() {
            sensitive.push(format!("{}: {what}", quoted(&other)));
        }
    }
    section.judge(&RESOURCE, Verdict::Failure, &unknown, "it is");
    if with_both {
        section.judge(&RESOURCE_SLASH, Verdict::Failure, &sensitive, "it is");
    } else {
        section.skip(&RESOURCE_SLASH, "every resource has a path");
    }
}

/// The same resource with a slash, or without; `None` if it has a path.
fn other_spelling(resource: &str) -> Option<String> {
    let url = Url::parse(resource).ok().filter(|url| url.path() == "/" && url.query().is_none())?;
    let bare = url.origin().ascii_serialization();
    Some(if resource.ends_with('/') { bare } else { format!("{bare}/") })
}

fn framing(section: &mut Section, login: Option<&Outcome>) {
    let Some(Outcome::Page(answer)) = login else {
        return section.skip(&FRAMING, "there is no page to look at");
    };
    let policy = answer.header("content-security-policy").unwrap_or_default();
    if policy.contains("frame-ancestors") || answer.headers.contains_key("x-frame-options") {
        section.pass(&FRAMING, "it cannot");
    } else {
        section.warn(&FRAMING, "neither frame-ancestors nor X-Frame-Options");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_without_a_path_has_two_spellings() {
        assert_eq!(other_spelling("https://a.example").as_deref(), Some("https://a.example/"));
        assert_eq!(other_spelling("https://a.example:8443/").as_deref(), Some("https://a.example:8443"));
        assert_eq!(other_spelling("https://a.example/mcp"), None);
    }

    #[test]
    fn a_redirect_to_the_client_is_told_from_one_to_a_login() {
        let at = |location: &str, redirect: &str| is_at(&Url::parse(location).unwrap(), redirect);
        assert!(at("http://localhost:1/cb?code=x", "http://localhost:1/cb"));
        assert!(at("cursor://a.b/cb?error=x", "cursor://a.b/cb"));
        assert!(!at("http://localhost:2/cb", "http://localhost:1/cb"));
        assert!(!at("https://a.example/login", "https://b.example/login"));
    }
}
