//! How a protected MCP server meets whoever comes without a token, or with one that is none (RFC 6750, RFC 9728 5; MCP: "Authorization").

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Method;
use serde_json::json;

use super::{
    Context,
    challenge::Challenge,
    check::{Check, Verdict},
    clients::{MCP_HEADERS, PROTOCOL_VERSION, initialize},
    cors,
    probe::{Answer, NoAnswer},
    report::{Section, quoted},
};

/// A token that nobody issued.
const NONSENSE: &str = "gateward-doctor";

pub(super) const CHALLENGE: Check = Check {
    name: "mcp.challenge",
    title: "Without a token, the first message of a client gets 401",
    breaks: "every client: it only logs in when it is told to; and if nothing is refused, nothing is protected",
    remedy: "answer 401 to requests without a token, before anything else is looked at",
};
pub(super) const BEARER: Check = Check {
    name: "mcp.bearer",
    title: "The 401 asks for a Bearer token",
    breaks: "clients that look for WWW-Authenticate: Bearer, which is required with a 401 (RFC 6750 3)",
    remedy: "send WWW-Authenticate: Bearer resource_metadata=\"..\"",
};
pub(super) const POINTER: Check = Check {
    name: "mcp.resource_metadata",
    title: "The challenge says where the metadata is",
    breaks: "clients that look nowhere else (RFC 9728 5.1); others guess",
    remedy: "add resource_metadata=\"https://../.well-known/oauth-protected-resource/..\" to the challenge",
};
pub(super) const BODY: Check = Check {
    name: "mcp.challenge_body",
    title: "The 401 is no page",
    breaks: "clients that show what they get; and it is a sign that a proxy answers instead of the server",
    remedy: "answer with JSON, or with nothing",
};
pub(super) const GET: Check = Check {
    name: "mcp.get",
    title: "A GET for an event stream is refused too",
    breaks: "clients that open the stream first; a redirect or a page there leads them astray",
    remedy: "answer 401, or 405 if there is no stream",
};
pub(super) const HEAD: Check = Check {
    name: "mcp.head",
    title: "A HEAD is refused too",
    breaks: "clients and monitors that look before they send something",
    remedy: "answer 401 or 405 to HEAD",
};
pub(super) const INVALID_TOKEN: Check = Check {
    name: "mcp.invalid_token",
    title: "A token that nobody issued gets 401",
    breaks: "clients with a token that ran out: only 401 makes them refresh it; and if it is let in, everybody is",
    remedy: "answer 401 to a token that is unknown, expired or malformed",
};
pub(super) const INVALID_TOKEN_ERROR: Check = Check {
    name: "mcp.invalid_token_error",
    title: "That 401 says invalid_token",
    breaks: "clients that tell a token that ran out from none at all by it (RFC 6750 3.1)",
    remedy: "add error=\"invalid_token\" to the challenge",
};
pub(super) const UNSIGNED: Check = Check {
    name: "mcp.unsigned_token",
    title: "A token without a signature gets 401",
    breaks: "everything: anybody can write a token for themselves (alg: none)",
    remedy: "verify signatures, with algorithms that the server chooses and never the token (RFC 8725 3.1)",
};
pub(super) const QUERY: Check = Check {
    name: "mcp.query_token",
    title: "A token in the query is not looked at",
    breaks: "the secrecy of tokens: URLs are written to logs (MCP forbids it, OAuth 2.1 5.1)",
    remedy: "take tokens from the Authorization header only",
};
pub(super) const PREFLIGHT: Check = Check {
    name: "mcp.preflight",
    title: "Pages may send what MCP clients send",
    breaks: "clients in a browser, unless a proxy carries their requests, as the Inspector's does",
    remedy: "answer OPTIONS without asking for a token, and allow the origin and the headers (in gateward: allowed_origins)",
};
pub(super) const EXPOSED: Check = Check {
    name: "mcp.exposed",
    title: "Pages may read the challenge",
    breaks: "clients in a browser: they see a 401, and not what it asks for",
    remedy: "send Access-Control-Allow-Origin and Access-Control-Expose-Headers: WWW-Authenticate, Mcp-Session-Id",
};

pub(super) const CHECKS: &[&Check] = &[
    &CHALLENGE,
    &BEARER,
    &POINTER,
    &BODY,
    &GET,
    &HEAD,
    &INVALID_TOKEN,
    &INVALID_TOKEN_ERROR,
    &UNSIGNED,
    &QUERY,
    &PREFLIGHT,
    &EXPOSED,
];

/// The first message of a client, with a token or without.
pub(super) async fn knock(
    context: &Context<'_>,
    url: &str,
    token: Option<&str>,
    origin: Option<&str>,
) -> Result<Answer, NoAnswer> {
    let request = context.probe.post(url).header("accept", "application/json, text/event-stream");
    let mut request = request.header("mcp-protocol-version", PROTOCOL_VERSION).header("mcp-method", "initialize");
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    context.probe.send(request.json(&initialize())).await
}

/// Gives the URL of the metadata that the challenge names.
pub(super) async fn examine(context: &Context<'_>, section: &mut Section, url: &str) -> Option<String> {
    let answer = match knock(context, url, None, None).await {
        Ok(answer) => answer,
        Err(reason) => {
            section.fail(&CHALLENGE, format!("no answer: {reason}"));
            section.skip_rest(CHECKS, "there is no answer to look at");
            return None;
        }
    };
    if answer.status != 401 {
        section.fail(&CHALLENGE, format!("it is answered by {}", answer.summary()));
        section.skip_rest(CHECKS, "there is no challenge");
        return None;
    }
    section.pass(&CHALLENGE, "it does");
    let challenge = Challenge::of(&answer.headers);
    let pointer = challenged(context, section, &answer, challenge.as_ref());
    refused(context, section, url).await;
    bad_tokens(context, section, url).await;
    query(context, section, url, challenge.as_ref()).await;
    pages(context, section, url).await;
    pointer
}

fn challenged(
    context: &Context<'_>,
    section: &mut Section,
    answer: &Answer,
    challenge: Option<&Challenge>,
) -> Option<String> {
    if answer.is_html() {
        section.warn(&BODY, answer.summary())
    } else {
        section.pass(&BODY, "it is none")
    }
    let Some(challenge) = challenge else {
        let told = answer.header("www-authenticate").map_or("there is no WWW-Authenticate".to_owned(), quoted);
        section.fail(&BEARER, told);
        section.skip(&POINTER, "there is no challenge");
        return None;
    };
    section.pass(&BEARER, "it does");
    let Some(pointer) = challenge.parameter("resource_metadata") else {
        section.warn(&POINTER, "resource_metadata is missing");
        return None;
    };
    match context.reach.permit(pointer) {
        Ok(_) => section.pass(&POINTER, quoted(pointer)),
        Err(refused) => {
            section.warn(&POINTER, refused);
            return None;
        }
    }
    Some(pointer.to_owned())
}

async fn refused(context: &Context<'_>, section: &mut Section, url: &str) {
    for (check, method, otherwise) in [(&GET, Method::GET, Verdict::Failure), (&HEAD, Method::HEAD, Verdict::Warning)] {
        let request = context.probe.request(method, url).header("accept", "text/event-stream");
        match context.probe.send(request.header("mcp-protocol-version", PROTOCOL_VERSION)).await {
            Ok(answer) if matches!(answer.status, 401 | 405) => section.pass(check, format!("by {}", answer.status)),
            Ok(answer) => section.note(check, otherwise, format!("it is answered by {}", answer.summary())),
            Err(reason) => section.note(check, otherwise, format!("no answer: {reason}")),
        }
    }
}

async fn bad_tokens(context: &Context<'_>, section: &mut Section, url: &str) {
    match knock(context, url, Some(NONSENSE), None).await {
        Ok(answer) if answer.status == 401 => {
            section.pass(&INVALID_TOKEN, "it does");
            let challenge = Challenge::of(&answer.headers);
            match challenge.as_ref().and_then(|challenge| challenge.parameter("error")) {
                Some("invalid_token") => section.pass(&INVALID_TOKEN_ERROR, "it does"),
                Some(other) => section.warn(&INVALID_TOKEN_ERROR, format!("it says {}", quoted(other))),
                None => section.warn(&INVALID_TOKEN_ERROR, "it says no error"),
            }
        }
        Ok(answer) => section.fail(&INVALID_TOKEN, format!("it gets {}", answer.summary())),
        Err(reason) => section.fail(&INVALID_TOKEN, format!("no answer: {reason}")),
    }
    match knock(context, url, Some(&unsigned(context, url)), None).await {
        Ok(answer) if answer.is_success() => section.fail(&UNSIGNED, format!("it gets {}", answer.summary())),
        Ok(answer) => section.pass(&UNSIGNED, format!("it gets {}", answer.status)),
        Err(reason) => section.skip(&UNSIGNED, format!("no answer: {reason}")),
    }
    section.skip_rest(&[&INVALID_TOKEN_ERROR], "there is no such 401");
}

/// Everything that a token needs but the signature.
fn unsigned(context: &Context<'_>, url: &str) -> String {
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let now = context.clock.now().unix();
    let claims = json!({
        "iss": url, "sub": NONSENSE, "client_id": NONSENSE, "aud": url, "jti": NONSENSE,
        "iat": now, "nbf": now, "exp": now + 300,
    });
    format!("{}.{}.", encode(json!({ "alg": "none", "typ": "at+jwt" })), encode(claims))
}

/// Whoever looks at a token in the query complains about it; whoever does not says what is said without a token.
async fn query(context: &Context<'_>, section: &mut Section, url: &str, without: Option<&Challenge>) {
    let separator = if url.contains('?') { '&' } else { '?' };
    match knock(context, &format!("{url}{separator}access_token={NONSENSE}"), None, None).await {
        Err(reason) => section.skip(&QUERY, format!("no answer: {reason}")),
        Ok(answer) if answer.is_success() => section.fail(&QUERY, format!("it gets {}", answer.summary())),
        Ok(answer) => {
            let error = |challenge: Option<&Challenge>| challenge?.parameter("error").map(str::to_owned);
            let with = Challenge::of(&answer.headers);
            if error(with.as_ref()).as_deref() == Some("invalid_token") && error(without).is_none() {
                section.fail(&QUERY, "with a wrong one there, the challenge says invalid_token");
            } else {
                section.pass(&QUERY, "it is not");
            }
        }
    }
}

async fn pages(context: &Context<'_>, section: &mut Section, url: &str) {
    let problems = cors::preflight(context, url, &Method::POST, MCP_HEADERS).await;
    section.judge(&PREFLIGHT, Verdict::Warning, &problems, "they may");
    let origin = &context.options.origin;
    match knock(context, url, None, Some(origin)).await {
        Err(reason) => section.skip(&EXPOSED, format!("no answer: {reason}")),
        Ok(answer) => {
            let exposed = answer.header("access-control-expose-headers").unwrap_or_default().to_ascii_lowercase();
            let is_exposed = exposed.split(',').any(|name| matches!(name.trim(), "*" | "www-authenticate"));
            match answer.header("access-control-allow-origin") {
                Some(allowed) if (allowed == "*" || allowed == origin) && is_exposed => {
                    section.pass(&EXPOSED, "they may")
                }
                Some(_) if !is_exposed => section.warn(&EXPOSED, "WWW-Authenticate is not exposed"),
                Some(other) => section.warn(&EXPOSED, format!("only {} may", quoted(other))),
                None => section.warn(&EXPOSED, format!("{}, without Access-Control-Allow-Origin", answer.summary())),
            }
        }
    }
}
