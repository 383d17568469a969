//! The published keys (RFC 7517), with which MCP servers verify tokens.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    Context,
    check::{Check, Verdict},
    discovery::{self, Metadata},
    report::{Section, quoted},
};
use crate::resource::key_set;

/// More keys than anybody publishes.
const MAX_KEYS: usize = 64;

pub(super) const DOCUMENT: Check = Check {
    name: "keys.document",
    title: "The published keys can be read",
    breaks: "every MCP server that verifies tokens by their signature",
    remedy: "serve a JSON Web Key Set at jwks_uri, without authentication",
};
pub(super) const PUBLIC: Check = Check {
    name: "keys.public",
    title: "No key is published with its private part",
    breaks: "everything: whoever reads it can issue tokens",
    remedy: "replace this key at once, and publish kty, crv, x, y, n, e, kid, alg, use only",
};
pub(super) const USABLE: Check = Check {
    name: "keys.usable",
    title: "A key can verify ES256, EdDSA, RS256 or PS256",
    breaks: "MCP servers that verify tokens by their signature: they find no key that they can use",
    remedy: "publish a P-256, Ed25519 or RSA key (2048 bits or more) with use \"sig\" or no use",
};
pub(super) const NAMED: Check = Check {
    name: "keys.named",
    title: "Every key has a kid of its own",
    breaks: "verifiers when keys change: they cannot tell which one signed",
    remedy: "give each key a kid, and each another one",
};
pub(super) const CACHING: Check = Check {
    name: "keys.caching",
    title: "The keys are not kept too long",
    breaks: "MCP servers when keys change: they do not know the new one as long as a cache keeps the old ones",
    remedy: "send Cache-Control: max-age of a day at most, and less than new keys are published ahead",
};

pub(super) const CHECKS: &[&Check] = &[&DOCUMENT, &PUBLIC, &USABLE, &NAMED, &CACHING];

/// RFC 7518 6: what only the owner of a key may know.
const PRIVATE: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

pub(super) async fn examine(context: &Context<'_>, section: &mut Section, metadata: &Metadata) {
    let Some(uri) = metadata.text("jwks_uri") else {
        return section.skip_rest(CHECKS, "there is no jwks_uri: MCP servers have to ask about tokens (introspection)");
    };
    if context.reach.permit(uri).is_err() {
        return section.skip_rest(CHECKS, "jwks_uri is no place to ask");
    }
    let answer = match context.probe.send(context.probe.get(uri).header("accept", "application/json")).await {
        Ok(answer) => answer,
        Err(reason) => {
            section.fail(&DOCUMENT, format!("{}: {reason}", quoted(uri)));
            return section.skip_rest(CHECKS, "the keys cannot be read");
        }
    };
    let keys = answer.json().and_then(|document| document.get("keys")?.as_array().cloned());
    let Some(keys) = keys.filter(|_| answer.status == 200) else {
        section.fail(&DOCUMENT, format!("{}: {}, which is no key set", quoted(uri), answer.summary()));
        return section.skip_rest(CHECKS, "the keys cannot be read");
    };
    section.pass(&DOCUMENT, format!("{} keys", keys.len()));
    let keys: Vec<&Map<String, Value>> = keys.iter().take(MAX_KEYS).filter_map(Value::as_object).collect();

    let has_private = |key: &&&Map<String, Value>| PRIVATE.iter().any(|name| key.contains_key(*name));
    let private = keys.iter().filter(has_private).map(|key| format!("the key {} has its private part", name(key)));
    section.judge(&PUBLIC, Verdict::Failure, &private.collect::<Vec<_>>(), "none is");

    let usable: BTreeSet<&str> = keys.iter().flat_map(|key| algorithms(key)).collect();
    let usable: Vec<&str> = usable.into_iter().collect();
    if usable.is_empty() {
        section.fail(&USABLE, "no key can");
    } else {
        section.pass(&USABLE, usable.join(", "));
    }

    let mut ids = BTreeSet::new();
    let unnamed = keys.iter().filter(|key| key.get("kid").and_then(Value::as_str).is_none_or(|id| !ids.insert(id)));
    let unnamed: Vec<String> =
        unnamed.map(|key| format!("the key {} has none, or that of another", name(key))).collect();
    section.judge(&NAMED, Verdict::Warning, &unnamed, "they have");
    discovery::caching(section, &CACHING, &answer.headers);
}

fn name(key: &Map<String, Value>) -> String {
    quoted(key.get("kid").and_then(Value::as_str).unwrap_or_default())
}

fn algorithms(key: &Map<String, Value>) -> Vec<&'static str> {
    let key = serde_json::from_value(Value::Object(key.clone()));
    key.map(|key| key_set::algorithms(&key).into_iter().map(|algorithm| algorithm.as_str()).collect())
        .unwrap_or_default()
}
