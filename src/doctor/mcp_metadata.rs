//! What a protected MCP server says about itself (RFC 9728), and so where clients are sent to log in.

use serde_json::{Map, Value};
use url::Url;

use super::{
    Context,
    check::{Check, Verdict},
    cors,
    discovery::{Found, look},
    report::{Section, quoted},
};
use crate::protocol::protected_resource::WELL_KNOWN;

/// More authorization servers than anybody has.
const MAX_SERVERS: usize = 3;

pub(super) const METADATA: Check = Check {
    name: "mcp.metadata",
    title: "The metadata of the MCP server is found",
    breaks: "every client since MCP 2025-06-18: it does not learn where to log in",
    remedy: "serve it (RFC 9728) at /.well-known/oauth-protected-resource, with the MCP server's path behind it, without a token",
};
pub(super) const WELL_KNOWN_PLACE: Check = Check {
    name: "mcp.metadata_place",
    title: "It is where clients look without a challenge",
    breaks: "clients that ask for it before they ask the server, and those in a browser that may not read the challenge",
    remedy: "serve the same document at /.well-known/oauth-protected-resource, with the MCP server's path behind it",
};
pub(super) const AGREE: Check = Check {
    name: "mcp.metadata_agree",
    title: "It says the same at both places",
    breaks: "clients, depending on which of the two they read",
    remedy: "generate both from one source",
};
pub(super) const RESOURCE: Check = Check {
    name: "mcp.resource",
    title: "Its resource is the very URL of the MCP server",
    breaks: "Claude and every client that compares (RFC 9728 3.3): it refuses the metadata; tokens are for something else",
    remedy: "state the URL that people enter, with its path and without a slash at the end; behind a proxy, the public one",
};
pub(super) const SERVERS: Check = Check {
    name: "mcp.authorization_servers",
    title: "It names an authorization server that can be asked",
    breaks: "every client: it does not learn where to log in",
    remedy: "state authorization_servers: [\"https://..\"] with the issuer, exactly as the authorization server writes it",
};
pub(super) const METHODS: Check = Check {
    name: "mcp.bearer_methods",
    title: "Tokens belong into the header, and nowhere else",
    breaks: "nobody, but tokens in URLs end up in logs (MCP forbids it)",
    remedy: "state bearer_methods_supported: [\"header\"]",
};
pub(super) const CORS: Check = Check {
    name: "mcp.metadata_cors",
    title: "Pages may read it",
    breaks: "clients in a browser, like the MCP Inspector: they do not learn where to log in",
    remedy: "send Access-Control-Allow-Origin: * with the metadata; it is public",
};

pub(super) const CHECKS: &[&Check] = &[&METADATA, &WELL_KNOWN_PLACE, &AGREE, &RESOURCE, &SERVERS, &METHODS, &CORS];

/// What follows from the metadata of an MCP server.
#[derive(Default)]
pub(super) struct Guarded {
    /// As it names itself, which is what clients ask tokens for.
    pub(super) resource: Option<String>,
    pub(super) authorization_servers: Vec<String>,
}

/// Where clients look, best first: with the path, and without.
pub(super) fn places(url: &Url) -> Vec<String> {
    let origin = url.origin().ascii_serialization();
    let path = url.path().trim_end_matches('/');
    let mut places = vec![format!("{origin}{WELL_KNOWN}{path}")];
    if !path.is_empty() {
        places.push(format!("{origin}{WELL_KNOWN}"));
    }
    places
}

/// `pointer` is where the challenge says that it is.
pub(super) async fn examine(
    context: &Context<'_>,
    section: &mut Section,
    url: &str,
    at: &Url,
    pointer: Option<&str>,
) -> Guarded {
    let mut documents = Vec::new();
    let mut told = Vec::new();
    let usual = places(at);
    let pointed = pointer.filter(|pointer| !usual.iter().any(|place| place == pointer)).map(str::to_owned);
    for place in pointed.iter().chain(&usual) {
        match look(context, place).await {
            Found::Document(document, _) => documents.push((place.clone(), document)),
            Found::Absent(status) => told.push(format!("{place}: {status}")),
            Found::Moved(what) | Found::Odd(what) => told.push(format!("{place}: {what}")),
        }
    }
    // What is at the root is asked for only where nothing else is; beside something else it may be about another server.
    if documents.len() > 1 {
        documents.retain(|(place, _)| usual.get(1) != Some(place) || pointer == Some(place.as_str()));
    }
    let Some((place, document)) = documents.first() else {
        section.fail(&METADATA, told.join("; "));
        section.skip_rest(CHECKS, "there is no metadata");
        return Guarded::default();
    };
    // Whoever is told where it is looks nowhere else.
    match pointer.filter(|pointer| !documents.iter().any(|(place, _)| place == pointer)) {
        Some(_) => section.fail(&METADATA, format!("the challenge leads to nothing: {}", told.join("; "))),
        None => section.pass(&METADATA, place),
    }
    let is_there = documents.iter().any(|(place, _)| usual.contains(place));
    if is_there {
        section.pass(&WELL_KNOWN_PLACE, "it is")
    } else {
        section.warn(&WELL_KNOWN_PLACE, told.join("; "))
    }
    let differing = documents.iter().filter(|(_, other)| {
        ["resource", "authorization_servers"].iter().any(|member| other.get(*member) != document.get(*member))
    });
    let differing: Vec<String> = differing.map(|(other, _)| format!("{other} differs from {place}")).collect();
    section.judge(&AGREE, Verdict::Failure, &differing, "it does");
    methods(section, document);
    cors::readable(context, section, &CORS, place).await;
    let resource = resource(section, document, url);
    Guarded { resource, authorization_servers: servers(context, section, document) }
}

fn resource(section: &mut Section, document: &Map<String, Value>, url: &str) -> Option<String> {
    let Some(stated) = document.get("resource").and_then(Value::as_str) else {
        section.fail(&RESOURCE, "there is no resource");
        return None;
    };
    // An empty path is the same as a slash; in a longer path a slash makes a difference.
    let is_same =
        stated == url || Url::parse(stated).is_ok_and(|stated| Url::parse(url).is_ok_and(|url| stated == url));
    if is_same {
        section.pass(&RESOURCE, quoted(stated));
    } else {
        section.fail(&RESOURCE, format!("it says {}, clients call {}", quoted(stated), quoted(url)));
    }
    Some(stated.to_owned())
}

fn servers(context: &Context<'_>, section: &mut Section, document: &Map<String, Value>) -> Vec<String> {
    let stated = document.get("authorization_servers").and_then(Value::as_array).cloned().unwrap_or_default();
    let stated: Vec<&str> = stated.iter().filter_map(Value::as_str).take(MAX_SERVERS).collect();
    if stated.is_empty() {
        section.fail(&SERVERS, "authorization_servers is missing or empty");
        return Vec::new();
    }
    let refused: Vec<String> = stated.iter().filter_map(|server| context.reach.permit(server).err()).collect();
    section.judge(
        &SERVERS,
        Verdict::Failure,
        &refused,
        &stated.iter().map(|server| quoted(server)).collect::<Vec<_>>().join(", "),
    );
    stated.into_iter().filter(|server| context.reach.permit(server).is_ok()).map(str::to_owned).collect()
}

fn methods(section: &mut Section, document: &Map<String, Value>) {
    match document.get("bearer_methods_supported").and_then(Value::as_array) {
        None => section.pass(&METHODS, "nothing else is said"),
        Some(methods) if methods.iter().all(|method| method == "header") && !methods.is_empty() => {
            section.pass(&METHODS, "they do");
        }
        Some(methods) => {
            section.warn(&METHODS, format!("the methods are {}", quoted(&Value::from(methods.clone()).to_string())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_for_with_the_path_and_then_without() {
        let at = |url| places(&Url::parse(url).unwrap());
        assert_eq!(at("https://a.example/"), ["https://a.example/.well-known/oauth-protected-resource"]);
        assert_eq!(
            at("https://a.example/v1/mcp"),
            [
                "https://a.example/.well-known/oauth-protected-resource/v1/mcp",
                "https://a.example/.well-known/oauth-protected-resource"
            ]
        );
    }
}
