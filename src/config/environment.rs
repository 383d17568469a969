//! Lays environment variables over the file.
//!
//! `GATEWARD_SERVER__LISTEN` is `server.listen`; `GATEWARD_RESOURCES__0__URI` is the `uri` of the first resource. `DATABASE_URL`
//! and `REDIS_URL` are conventional names of `stores.url` and `stores.tokens`, `OTEL_EXPORTER_OTLP_ENDPOINT` one of
//! `traces.endpoint`; the name with `GATEWARD_` wins.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    document::{Node, Origin, Value},
    layers,
    problem::{Place, Problem},
};

/// The environment of the process, or what a test says it is.
pub(super) type Environment = BTreeMap<String, String>;

const PREFIX: &str = "GATEWARD_";
/// Names with our prefix that are no settings: the command line reads them.
const NOT_SETTINGS: &[&str] = &["GATEWARD_CONFIG"];
/// Names that others coined, and what they mean here.
const CONVENTIONAL: &[(&str, [&str; 2])] = &[
    ("DATABASE_URL", ["stores", "url"]),
    ("REDIS_URL", ["stores", "tokens"]),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", ["traces", "endpoint"]),
];

/// What a variable is read as when it is not UTF-8. No setting and no secret has this character by intention.
pub(super) const NOT_UTF8: char = '\u{fffd}';

/// Replaces in `root` what the environment sets.
pub(super) fn overlay(root: &mut Node, defaults: &Node, environment: &Environment, problems: &mut Vec<Problem>) {
    let mut report = |name: &str, message: String| {
        problems.push(Problem { place: Place::Environment(name.to_owned()), message });
    };
    for (name, path) in CONVENTIONAL {
        if let Some(text) = environment.get(*name).filter(|text| !text.is_empty())
            && let Err(message) = assign(root, defaults, path, name, text)
        {
            report(name, message);
        }
    }
    let mut settings: Vec<(Vec<String>, &str, &str)> = environment
        .iter()
        .filter(|(name, _)| !NOT_SETTINGS.contains(&name.as_str()))
        .filter_map(|(name, text)| Some((name.strip_prefix(PREFIX)?, name, text)))
        .map(|(key, name, text)| (key.to_ascii_lowercase().split("__").map(str::to_owned).collect(), &**name, &**text))
        .collect();
    // Elements of lists in the order of their numbers: the tenth after the second.
    settings.sort_by_cached_key(|(path, ..)| {
        path.iter().map(|word| (word.parse::<usize>().ok(), word.clone())).collect::<Vec<_>>()
    });
    let mut unknown = Vec::new();
    for (path, name, text) in settings {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        if !is_known(defaults, &words) {
            unknown.push((words.join("."), name));
        } else if let Err(message) = assign(root, defaults, &words, name, text) {
            report(name, message);
        }
    }
    // `secret = "env:GATEWARD_WORKER_SECRET"` is a use of the prefix, too.
    let mut named = BTreeSet::new();
    collect_names(root, &mut named);
    for (key, name) in unknown.into_iter().filter(|(_, name)| !named.contains(*name)) {
        let advice = match nearest(defaults, &key) {
            Some(nearest) => format!("; did you mean {nearest}?"),
            None => String::new(),
        };
        report(name, format!("no setting has this name{advice}"));
    }
}

fn is_known(known: &Node, path: &[&str]) -> bool {
    match (path, known.template()) {
        ([], _) => true,
        ([number, rest @ ..], Some(template)) => number.parse::<usize>().is_ok() && is_known(template, rest),
        ([word, rest @ ..], None) => known.get(word).is_some_and(|known| is_known(known, rest)),
    }
}

fn assign(node: &mut Node, known: &Node, path: &[&str], name: &str, text: &str) -> Result<(), String> {
    let [word, rest @ ..] = path else {
        node.value = read(known, name, text)?;
        node.origin = Origin::Environment(name.to_owned());
        return Ok(());
    };
    if let (Some(template), Value::List(items)) = (known.template(), &mut node.value) {
        let number: usize = word.parse().map_err(|_| format!("`{word}` is no number"))?;
        if number > items.len() {
            return Err(format!("element {number} of a list that has only {}; the first is 0", items.len()));
        }
        if number == items.len() {
            items.push(Node { origin: Origin::Environment(name.to_owned()), ..layers::default(template) });
        }
        return match items.get_mut(number) {
            Some(item) => assign(item, template, rest, name, text),
            None => Ok(()),
        };
    }
    match (node.get_mut(word), known.get(word)) {
        (Some(node), Some(known)) => assign(node, known, rest, name, text),
        (_, _) => Err(format!("no setting `{word}` here")),
    }
}

/// Reads a text as what the default is.
fn read(known: &Node, name: &str, text: &str) -> Result<Value, String> {
    if text.contains(NOT_UTF8) {
        return Err("is not UTF-8".to_owned());
    }
    if known.template().is_some() {
        return Err("a list of tables is set element by element: ..__0__..".to_owned());
    }
    match &known.value {
        Value::Text(_) => Ok(Value::Text(text.to_owned())),
        Value::Integer(_) => text.parse().map(Value::Integer).map_err(|_| "must be a whole number".to_owned()),
        Value::Boolean(_) => text.parse().map(Value::Boolean).map_err(|_| "must be true or false".to_owned()),
        Value::List(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let origin = Origin::Environment(name.to_owned());
            Ok(Value::List(items.map(|i| Node { value: Value::Text(i.to_owned()), origin: origin.clone() }).collect()))
        }
        Value::Table(_) => Err("is a section; add `__` and a key of it".to_owned()),
        Value::Other(kind) => Err(format!("cannot be {kind}")),
    }
}

/// The names of variables that the settings point to.
fn collect_names(node: &Node, names: &mut BTreeSet<String>) {
    match &node.value {
        Value::Text(text) => names.extend(text.strip_prefix("env:").map(str::to_owned)),
        Value::List(items) => items.iter().for_each(|item| collect_names(item, names)),
        Value::Table(entries) => entries.iter().for_each(|entry| collect_names(&entry.node, names)),
        Value::Integer(_) | Value::Boolean(_) | Value::Other(_) => {}
    }
}

/// The variable that an unknown one was most likely meant to be. A single underscore may have been meant as two.
fn nearest(defaults: &Node, key: &str) -> Option<String> {
    let spell = |key: &str| format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"));
    let flat = |key: &str| key.replace(['.', '_'], "");
    let same = layers::known_keys(defaults).into_iter().find(|known| flat(known) == flat(key));
    same.or_else(|| layers::nearest(defaults, key)).map(|known| spell(&known))
}
