//! How the token endpoint refuses (RFC 6749 5.2). Clients act on its words: on `invalid_client` they register again, on `invalid_grant` they
//! let their human log in again.

use serde_json::Value;

use super::{
    Context,
    check::{Check, Verdict},
    discovery::Metadata,
    probe::Answer,
    registration::{Clients, in_words},
    report::{Section, quoted},
};

/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const NOBODY: &str = "gateward-doctor-nobody";

pub(super) const JSON: Check = Check {
    name: "token.json",
    title: "Errors are JSON objects with an error",
    breaks: "every client: it cannot tell why it got no token, and tries the same again",
    remedy: "answer errors as application/json with error and error_description (RFC 6749 5.2), in front of the server too",
};
pub(super) const BAD_CLIENT: Check = Check {
    name: "token.bad_client",
    title: "A client that fails to authenticate gets 401 invalid_client",
    breaks: "clients that wait for this answer to register again",
    remedy: "answer 401 invalid_client (RFC 6749 5.2)",
};
pub(super) const CHALLENGE: Check = Check {
    name: "token.challenge",
    title: "That 401 names the scheme (WWW-Authenticate)",
    breaks: "HTTP libraries that take a 401 without it for a broken answer (RFC 9110 15.5.2)",
    remedy: "send WWW-Authenticate: Basic with a 401",
};
pub(super) const UNKNOWN_CLIENT: Check = Check {
    name: "token.unknown_client",
    title: "A client that nobody knows is told so",
    breaks: "clients whose registration was forgotten: they never register again, and their human cannot help it",
    remedy: "answer invalid_client for an unknown client_id, also without a secret",
};
pub(super) const NO_STORE: Check = Check {
    name: "token.no_store",
    title: "The answers are kept by no cache",
    breaks: "nobody, but tokens could be read from a cache (RFC 6749 5.1)",
    remedy: "send Cache-Control: no-store with every answer of the token endpoint",
};
pub(super) const BAD_CODE: Check = Check {
    name: "token.bad_code",
    title: "A code that was never issued is an invalid_grant",
    breaks: "clients that were interrupted: they do not know that a new login helps",
    remedy: "answer 400 invalid_grant",
};
pub(super) const BAD_REFRESH: Check = Check {
    name: "token.bad_refresh_token",
    title: "A refresh token that was never issued is an invalid_grant",
    breaks: "clients whose refresh token ran out: they do not know that a new login helps",
    remedy: "answer 400 invalid_grant",
};

pub(super) const CHECKS: &[&Check] =
    &[&JSON, &BAD_CLIENT, &CHALLENGE, &UNKNOWN_CLIENT, &NO_STORE, &BAD_CODE, &BAD_REFRESH];

/// Answers, with what they are answers to.
type Answers = Vec<(&'static str, Answer)>;

pub(super) async fn examine(context: &Context<'_>, section: &mut Section, metadata: &Metadata, clients: &Clients) {
    let url = match context.endpoint(metadata, "token_endpoint") {
        Ok(url) => url,
        Err(why) => return section.skip_rest(CHECKS, &why),
    };
    let mut answers: Answers = Vec::new();
    let secret =
        context.probe.post(&url).basic_auth(NOBODY, Some("wrong")).form(&[("grant_type", "client_credentials")]);
    let code = |id: &str| {
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", id),
            ("code", "gateward-doctor"),
            ("code_verifier", VERIFIER),
            ("redirect_uri", "http://localhost:6274/oauth/callback"),
        ];
        context.probe.post(&url).form(&form)
    };
    let mut requests = vec![("a wrong secret", secret), ("an unknown client", code(NOBODY))];
    if let Some(client) = clients.native() {
        let form = [("grant_type", "refresh_token"), ("client_id", &client.id), ("refresh_token", "gateward-doctor")];
        requests.extend([
            ("a wrong code", code(&client.id)),
            ("a wrong refresh token", context.probe.post(&url).form(&form)),
        ]);
    }
    for (what, request) in requests {
        match context.probe.send(request).await {
            Ok(answer) => answers.push((what, answer)),
            Err(reason) => {
                section.fail(&JSON, format!("{what}: no answer: {reason}"));
                return section.skip_rest(CHECKS, "the token endpoint does not answer");
            }
        }
    }
    in_json(section, &answers);
    let stored = answers.iter().filter(|(_, answer)| !answer.is_not_stored());
    let stored: Vec<String> = stored.map(|(what, _)| format!("{what}: no-store is missing")).collect();
    section.judge(&NO_STORE, Verdict::Warning, &stored, "they are");
    if let Some(answer) = find(&answers, "a wrong secret") {
        if error(answer).is_some() && (answer.status != 401 || error(answer).as_deref() != Some("invalid_client")) {
            section.fail(&BAD_CLIENT, in_words(answer));
        } else if error(answer).is_some() {
            section.pass(&BAD_CLIENT, "it does");
        }
        match (answer.status, answer.header("www-authenticate")) {
            (401, None) => section.warn(&CHALLENGE, "there is no WWW-Authenticate"),
            (401, Some(value)) => section.pass(&CHALLENGE, quoted(value)),
            _ => section.skip(&CHALLENGE, "there is no 401"),
        }
    }
    expect(section, &answers, &UNKNOWN_CLIENT, "an unknown client", "invalid_client", Verdict::Warning);
    expect(section, &answers, &BAD_CODE, "a wrong code", "invalid_grant", Verdict::Failure);
    expect(section, &answers, &BAD_REFRESH, "a wrong refresh token", "invalid_grant", Verdict::Failure);
    let why = if clients.native().is_none() { "there is no test client" } else { "there is no error to look at" };
    section.skip_rest(CHECKS, why);
}

fn in_json(section: &mut Section, answers: &Answers) {
    let wrong = answers.iter().filter_map(|(what, answer)| {
        if error(answer).is_none() {
            Some(format!("{what}: {} without an error in JSON", answer.summary()))
        } else if answer.media_type() != "application/json" {
            Some(format!("{what}: {}", answer.summary()))
        } else {
            None
        }
    });
    section.judge(&JSON, Verdict::Failure, &wrong.collect::<Vec<_>>(), "they are");
}

fn expect(section: &mut Section, answers: &Answers, check: &'static Check, what: &str, code: &str, otherwise: Verdict) {
    let Some(answer) = find(answers, what) else { return };
    match error(answer) {
        Some(error) if error == code => section.pass(check, in_words(answer)),
        Some(_) => section.note(check, otherwise, in_words(answer)),
        None => {}
    }
}

fn find<'a>(answers: &'a Answers, what: &str) -> Option<&'a Answer> {
    answers.iter().find(|(name, _)| *name == what).map(|(_, answer)| answer)
}

/// The error of a refusal.
fn error(answer: &Answer) -> Option<String> {
    let told = answer.json().filter(|_| answer.status >= 400)?;
    told.get("error").and_then(Value::as_str).map(str::to_owned)
}
