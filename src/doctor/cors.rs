//! Whether scripts of web pages may ask, and where they may not (Fetch standard, CORS).

use http::Method;

use super::{
    Context,
    check::{Check, Verdict},
    discovery::Metadata,
    report::{Section, quoted},
};

/// A page that nobody has reason to trust.
const STRANGER: &str = "https://gateward-doctor.invalid";

pub(super) const METADATA: Check = Check {
    name: "cors.metadata",
    title: "Pages may read the metadata",
    breaks: "clients in a browser, like the MCP Inspector: they cannot find the server",
    remedy: "send Access-Control-Allow-Origin: * with the metadata; it is public",
};
pub(super) const METADATA_PREFLIGHT: Check = Check {
    name: "cors.metadata_preflight",
    title: "Pages may send MCP-Protocol-Version when they ask for the metadata",
    breaks: "clients in a browser: the SDK asks once more without the header, others give up",
    remedy: "answer OPTIONS there, and allow the header mcp-protocol-version",
};
pub(super) const TOKEN: Check = Check {
    name: "cors.token",
    title: "Pages may ask for tokens",
    breaks: "clients in a browser, like the MCP Inspector: after the login, the code cannot be redeemed",
    remedy: "answer OPTIONS at the token endpoint; allow any origin, without credentials, and the headers authorization and content-type",
};
pub(super) const REGISTRATION: Check = Check {
    name: "cors.registration",
    title: "Pages may register a client",
    breaks: "clients in a browser, like the MCP Inspector: they cannot register",
    remedy: "answer OPTIONS at the registration endpoint; allow any origin, without credentials, and the header content-type",
};
pub(super) const AUTHORIZE: Check = Check {
    name: "cors.authorize",
    title: "Pages cannot act for whoever is logged in",
    breaks: "the people who log in: any page that they visit could approve in their name, or read what they see",
    remedy: "no CORS at the authorization endpoint, least of all any origin with credentials",
};

pub(super) const CHECKS: &[&Check] = &[&METADATA, &METADATA_PREFLIGHT, &TOKEN, &REGISTRATION, &AUTHORIZE];

pub(super) async fn examine(context: &Context<'_>, section: &mut Section, metadata: &Metadata) {
    readable(context, section, &METADATA, &metadata.url).await;
    let asked = preflight(context, &metadata.url, &Method::GET, &["mcp-protocol-version"]).await;
    section.judge(&METADATA_PREFLIGHT, Verdict::Warning, &asked, "they may");
    let posted = [
        (&TOKEN, "token_endpoint", &["authorization", "content-type", "mcp-protocol-version"][..]),
        (&REGISTRATION, "registration_endpoint", &["content-type", "mcp-protocol-version"][..]),
    ];
    for (check, member, headers) in posted {
        match context.endpoint(metadata, member) {
            Ok(url) => {
                let problems = preflight(context, &url, &Method::POST, headers).await;
                section.judge(check, Verdict::Failure, &problems, "they may");
            }
            Err(why) => section.skip(check, why),
        }
    }
    match context.endpoint(metadata, "authorization_endpoint") {
        Ok(url) => credentials(context, section, &url).await,
        Err(why) => section.skip(&AUTHORIZE, why),
    }
}

/// Whether a page may read what is at a URL.
pub(super) async fn readable(context: &Context<'_>, section: &mut Section, check: &'static Check, url: &str) {
    let origin = &context.options.origin;
    match context.probe.send(context.probe.get(url).header("origin", origin)).await {
        Err(reason) => section.skip(check, format!("no answer: {reason}")),
        Ok(answer) => match answer.header("access-control-allow-origin") {
            Some(allowed) if allowed == "*" || allowed == origin => section.pass(check, "they may"),
            Some(other) => section.fail(check, format!("only {} may", quoted(other))),
            None => section.fail(check, "there is no Access-Control-Allow-Origin"),
        },
    }
}

/// What stands in a page's way when it wants to send such a request.
pub(super) async fn preflight(context: &Context<'_>, url: &str, method: &Method, headers: &[&str]) -> Vec<String> {
    let origin = &context.options.origin;
    let request = context.probe.request(Method::OPTIONS, url).header("origin", origin);
    let request = request.header("access-control-request-method", method.as_str());
    let answer = match context.probe.send(request.header("access-control-request-headers", headers.join(","))).await {
        Ok(answer) => answer,
        Err(reason) => return vec![format!("no answer to the preflight: {reason}")],
    };
    if !answer.is_success() {
        return vec![format!("the preflight is answered by {}", answer.summary())];
    }
    let mut problems = Vec::new();
    match answer.header("access-control-allow-origin") {
        Some(allowed) if allowed == "*" || allowed == origin => {}
        Some(other) => problems.push(format!("only {} may", quoted(other))),
        None => problems.push("the preflight is answered without Access-Control-Allow-Origin".to_owned()),
    }
    let list = |name: &str| answer.header(name).unwrap_or_default().to_ascii_lowercase();
    let (methods, allowed) = (list("access-control-allow-methods"), list("access-control-allow-headers"));
    let contains = |list: &str, item: &str| list.split(',').any(|one| one.trim() == item);
    let is_simple = [Method::GET, Method::HEAD, Method::POST].contains(method);
    if !is_simple && !contains(&methods, &method.as_str().to_ascii_lowercase()) && !contains(&methods, "*") {
        problems.push(format!("the method {method} is not allowed"));
    }
    // The asterisk does not stand for Authorization.
    let refused = headers
        .iter()
        .filter(|name| !contains(&allowed, name) && (**name == "authorization" || !contains(&allowed, "*")));
    let refused: Vec<&str> = refused.copied().collect();
    if !refused.is_empty() {
        problems.push(format!("headers that are not allowed: {}", refused.join(", ")));
    }
    problems
}

async fn credentials(context: &Context<'_>, section: &mut Section, url: &str) {
    match context.probe.send(context.probe.get(url).header("origin", STRANGER)).await {
        Err(reason) => section.skip(&AUTHORIZE, format!("no answer: {reason}")),
        Ok(answer) => {
            let open = answer.header("access-control-allow-origin") == Some(STRANGER)
                && answer.header("access-control-allow-credentials") == Some("true");
            if open {
                section.fail(&AUTHORIZE, format!("any page may, with cookies: {} was allowed", quoted(STRANGER)));
            } else {
                section.pass(&AUTHORIZE, "they cannot");
            }
        }
    }
}
