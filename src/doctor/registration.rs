//! Registering as mainstream clients do (RFC 7591), and deleting what was registered afterwards (RFC 7592).
//!
//! These are the only checks that make a server remember something. The names of the test clients say where they come from.

use serde_json::{Map, Value, json};

use super::{
    Context,
    check::{Check, Verdict},
    clients::{SHAPES, Shape},
    discovery::Metadata,
    probe::Answer,
    report::{Section, quoted},
};

/// A redirect URI that runs in the page of the authorization server.
const DANGEROUS: &str = "javascript:alert(document.domain)//";

macro_rules! accepts {
    ($name:ident, $id:literal, $title:literal, $breaks:literal) => {
        pub(super) const $name: Check = Check {
            name: $id,
            title: $title,
            breaks: $breaks,
            remedy: "accept these redirect URIs, methods and grants, and leave out what is not supported instead of refusing all",
        };
    };
}

accepts!(
    NATIVE,
    "registration.native",
    "Claude Code and the MCP Inspector can register: a loopback redirect, no secret",
    "Claude Code, the MCP Inspector, and whatever else is made with the official SDKs"
);
accepts!(
    VSCODE,
    "registration.vscode",
    "VS Code can register: six redirect URIs, and a grant that few servers know",
    "VS Code: it asks its human for a client id"
);
accepts!(
    CURSOR,
    "registration.cursor",
    "Cursor can register: a redirect to cursor://, among others",
    "Cursor: the login never begins"
);
accepts!(
    CLAUDE,
    "registration.claude",
    "Claude can register: an https redirect, a secret in the body",
    "connectors of claude.ai and Claude Desktop"
);
accepts!(CHATGPT, "registration.chatgpt", "ChatGPT can register: https redirects, no secret", "connectors of ChatGPT");
pub(super) const OPEN: Check = Check {
    name: "registration.open",
    title: "Registering needs no token",
    breaks: "every client that nobody gave a token to: it asks its human for a client id, or gives up",
    remedy: "open the registration, with limits; or register clients by hand and tell people their ids",
};
pub(super) const STATUS: Check = Check {
    name: "registration.status",
    title: "A registration is answered by 201",
    breaks: "clients that take other codes for a failure (RFC 7591 3.2.1)",
    remedy: "answer 201 Created",
};
pub(super) const ANSWER: Check = Check {
    name: "registration.answer",
    title: "The answer states what was registered",
    breaks: "the official SDKs, which check the answer: a null, a missing redirect URI or a secret without a method is the end",
    remedy: "state client_id, redirect_uris, token_endpoint_auth_method, and with a secret client_secret and client_secret_expires_at; no null",
};
pub(super) const MANAGEABLE: Check = Check {
    name: "registration.manageable",
    title: "The answer says where the registration is managed (RFC 7592)",
    breaks: "Claude was seen to give up without registration_client_uri; and nobody can delete what they registered",
    remedy: "state registration_client_uri and registration_access_token",
};
pub(super) const NO_STORE: Check = Check {
    name: "registration.no_store",
    title: "The answer is kept by no cache",
    breaks: "nobody, but secrets in it could be read from a cache (RFC 7591 3.2.1)",
    remedy: "send Cache-Control: no-store",
};
pub(super) const BAD_REDIRECT: Check = Check {
    name: "registration.bad_redirect",
    title: "A redirect that would run as a script is refused",
    breaks: "the people who log in: a client could run scripts in the login page",
    remedy: "refuse javascript:, data:, file: and the like with 400 invalid_redirect_uri, as JSON",
};
pub(super) const CLEANUP: Check = Check {
    name: "registration.cleanup",
    title: "The test clients are deleted again",
    breaks: "nobody, but the test clients are still registered",
    remedy: "delete the clients called \"gateward doctor, like ..\" by hand; examine with --read-only to register none",
};

pub(super) const CHECKS: &[&Check] = &[
    &OPEN,
    &NATIVE,
    &VSCODE,
    &CURSOR,
    &CLAUDE,
    &CHATGPT,
    &STATUS,
    &ANSWER,
    &MANAGEABLE,
    &NO_STORE,
    &BAD_REDIRECT,
    &CLEANUP,
];

/// A test client.
pub(super) struct Client {
    pub(super) shape: &'static Shape,
    pub(super) id: String,
    management: Option<(String, String)>,
}

/// What was registered.
#[derive(Default)]
pub(super) struct Clients {
    all: Vec<Client>,
    /// Registered, although it should not have been.
    unwanted: Vec<Client>,
}

impl Clients {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.all.iter()
    }

    pub(super) fn native(&self) -> Option<&Client> {
        self.all.iter().find(|client| *client.shape.registers == NATIVE)
    }
}

/// What the answers had in common that they should not have.
#[derive(Default)]
struct Flaws {
    status: Vec<String>,
    content: Vec<String>,
    management: Vec<String>,
    caching: Vec<String>,
}

pub(super) async fn examine(context: &Context<'_>, section: &mut Section, metadata: &Metadata) -> Clients {
    let mut clients = Clients::default();
    if context.options.read_only {
        section.skip_rest(CHECKS, "read-only: nothing is registered");
        return clients;
    }
    let url = match context.endpoint(metadata, "registration_endpoint") {
        Ok(url) => url,
        Err(why) => {
            section.skip_rest(CHECKS, &why);
            return clients;
        }
    };
    let mut flaws = Flaws::default();
    for shape in SHAPES {
        let answer = match context.probe.send(context.probe.post(&url).json(&shape.metadata())).await {
            Ok(answer) => answer,
            Err(reason) => {
                section.fail(shape.registers, format!("no answer: {reason}"));
                continue;
            }
        };
        match answer.status {
            401 | 403 => {
                section.warn(&OPEN, in_words(&answer));
                break;
            }
            429 => section.skip(shape.registers, "the server wants fewer registrations (429); try again later"),
            _ => match registered(&answer, shape) {
                Some((client, stated)) => {
                    section.pass(shape.registers, "it can");
                    flaws.find(&answer, shape, &stated, &client);
                    clients.all.push(client);
                }
                None => section.fail(shape.registers, in_words(&answer)),
            },
        }
    }
    if clients.all.is_empty() {
        section.skip_rest(CHECKS, "nothing could be registered");
        return clients;
    }
    section.pass(&OPEN, "it does not");
    flaws.tell(section);
    bad_redirect(context, section, &url, &mut clients).await;
    clients
}

fn registered(answer: &Answer, shape: &'static Shape) -> Option<(Client, Map<String, Value>)> {
    let stated = answer.json().filter(|_| answer.is_success())?;
    let text = |name: &str| stated.get(name).and_then(Value::as_str).map(str::to_owned);
    let management = text("registration_client_uri").zip(text("registration_access_token"));
    Some((Client { shape, id: text("client_id")?, management }, stated))
}

impl Flaws {
    fn find(&mut self, answer: &Answer, shape: &Shape, stated: &Map<String, Value>, client: &Client) {
        let who = shape.who;
        if answer.status != 201 {
            self.status.push(format!("{who}: {}", answer.status));
        }
        if !answer.is_not_stored() {
            self.caching.push(format!(
                "{who}: Cache-Control is {}",
                quoted(answer.header("cache-control").unwrap_or_default())
            ));
        }
        if client.management.is_none() {
            self.management.push(format!("{who}: registration_client_uri or registration_access_token is missing"));
        }
        let nulls = stated.iter().filter(|(_, value)| value.is_null());
        self.content.extend(nulls.map(|(name, _)| format!("{who}: {} is null", quoted(name))));
        let uris: Vec<&str> = stated
            .get("redirect_uris")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let missing = shape.redirect_uris.iter().filter(|uri| !uris.contains(uri));
        self.content.extend(missing.map(|uri| format!("{who}: redirect_uris is without {uri}")));
        let has_secret = stated.get("client_secret").is_some_and(Value::is_string);
        // RFC 7591 2: the default.
        let method = stated.get("token_endpoint_auth_method").and_then(Value::as_str).unwrap_or("client_secret_basic");
        if (method == "none") == has_secret {
            let which = if has_secret { "a secret" } else { "no secret" };
            self.content.push(format!("{who}: {which}, while the method is {}", quoted(method)));
        }
        if has_secret && !stated.get("client_secret_expires_at").is_some_and(Value::is_number) {
            self.content.push(format!("{who}: a secret without client_secret_expires_at"));
        }
    }

    fn tell(&self, section: &mut Section) {
        section.judge(&STATUS, Verdict::Warning, &self.status, "it is");
        section.judge(&ANSWER, Verdict::Failure, &self.content, "it does");
        section.judge(&MANAGEABLE, Verdict::Warning, &self.management, "it does");
        section.judge(&NO_STORE, Verdict::Warning, &self.caching, "it is");
    }
}

async fn bad_redirect(context: &Context<'_>, section: &mut Section, url: &str, clients: &mut Clients) {
    let body =
        json!({ "client_name": "gateward doctor", "redirect_uris": [DANGEROUS], "token_endpoint_auth_method": "none" });
    match context.probe.send(context.probe.post(url).json(&body)).await {
        Err(reason) => section.skip(&BAD_REDIRECT, format!("no answer: {reason}")),
        Ok(answer) if answer.status == 429 => section.skip(&BAD_REDIRECT, "the server wants fewer registrations (429)"),
        Ok(answer) => {
            let is_told = answer.json().is_some_and(|body| body.get("error").is_some_and(Value::is_string));
            if (400..500).contains(&answer.status) && is_told {
                section.pass(&BAD_REDIRECT, in_words(&answer));
            } else {
                section.fail(&BAD_REDIRECT, format!("{} was answered by {}", quoted(DANGEROUS), in_words(&answer)));
            }
            // One that was taken all the same goes away with the others.
            let unwanted = registered(&answer, &SHAPES[0]);
            clients.unwanted.extend(unwanted.map(|(client, _)| client));
        }
    }
}

/// Deletes what was registered.
pub(super) async fn clean_up(context: &Context<'_>, section: &mut Section, clients: Clients) {
    if clients.all.is_empty() && clients.unwanted.is_empty() {
        return section.skip_rest(&[&CLEANUP], "nothing was registered");
    }
    let probe = context.probe.overtime();
    let mut remaining = Vec::new();
    for client in clients.all.iter().chain(&clients.unwanted) {
        let named = quoted(&client.id);
        let Some((uri, token)) = &client.management else {
            remaining.push(format!("{named}: the server does not say how to delete it"));
            continue;
        };
        if let Err(refused) = context.reach.permit(uri) {
            remaining.push(format!("{named}: {refused}"));
            continue;
        }
        match probe.send(probe.request(http::Method::DELETE, uri).bearer_auth(token)).await {
            Ok(answer) if answer.is_success() => {}
            Ok(answer) => remaining.push(format!("{named}: {}", in_words(&answer))),
            Err(reason) => remaining.push(format!("{named}: {reason}")),
        }
    }
    section.judge(&CLEANUP, Verdict::Warning, &remaining, "they are");
}

/// A refusal, with its error.
pub(super) fn in_words(answer: &Answer) -> String {
    let told = answer.json().unwrap_or_default();
    let text = |name: &str| told.get(name).and_then(Value::as_str).map(quoted);
    match (text("error"), text("error_description")) {
        (Some(error), Some(description)) => format!("{} {error}: {description}", answer.status),
        (Some(error), None) => format!("{} {error}", answer.status),
        (None, _) => answer.summary(),
    }
}
