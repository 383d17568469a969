//! `config show`: the effective settings as TOML, secrets hidden, each with where it comes from.

use std::fmt::Write as _;

use super::{
    document::{Node, Origin, Value},
    layers,
    secret::Source,
    stores,
};

/// Keys whose values are secrets, or could be mistaken ones.
const SECRET_KEYS: &[&str] = &["initial_access_tokens", "master_key", "password", "password_hash", "secret"];

/// Writes the merged tree; the result is TOML again. `OAUTH_TOKEN_SECRET` is no setting of the tree, but changes how tokens are
/// signed.
pub(super) fn show(root: &Node, file: &str, has_token_secret: bool) -> String {
    let mut out = String::new();
    if has_token_secret {
        out.push_str("# OAUTH_TOKEN_SECRET is set (hidden): resources without an algorithm get HS256\n");
    }
    table(&mut out, root, "", file);
    out
}

fn table(out: &mut String, node: &Node, path: &str, file: &str) {
    let Value::Table(entries) = &node.value else { return };
    // In TOML, what follows a section header belongs to the section: plain values come first.
    for entry in entries {
        if let Some(text) = value(&entry.node, path, &entry.key) {
            let _ = writeln!(out, "{} = {text} # {}", entry.key, origin(&entry.node, file));
        }
    }
    for entry in entries {
        let path = layers::join(path, &entry.key);
        match &entry.node.value {
            Value::Table(_) => {
                let _ = writeln!(out, "\n[{path}]");
                table(out, &entry.node, &path, file);
            }
            Value::List(items) if is_tables(items) => {
                for item in items {
                    let _ = writeln!(out, "\n[[{path}]]");
                    table(out, item, &path, file);
                }
            }
            Value::Text(_) | Value::Integer(_) | Value::Boolean(_) | Value::List(_) | Value::Other(_) => {}
        }
    }
}

fn is_tables(items: &[Node]) -> bool {
    items.first().is_some_and(|item| matches!(item.value, Value::Table(_)))
}

/// A plain value as TOML; `None` for tables.
fn value(node: &Node, path: &str, key: &str) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(quote(&visible(text, path, key))),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(value) => Some(value.to_string()),
        Value::List(items) if !is_tables(items) => {
            let items: Vec<String> = items.iter().filter_map(|item| value(item, path, key)).collect();
            Some(format!("[{}]", items.join(", ")))
        }
        Value::List(_) | Value::Table(_) | Value::Other(_) => None,
    }
}

fn visible(text: &str, path: &str, key: &str) -> String {
    if path == "stores" {
        return stores::redact(text);
    }
    // Where a secret is, is no secret; and nothing is nothing.
    let hidden = SECRET_KEYS.contains(&key) && !text.is_empty() && Source::parse(text).is_none();
    if hidden { "(hidden)".to_owned() } else { text.to_owned() }
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn origin(node: &Node, file: &str) -> String {
    match &node.origin {
        Origin::Default => "default".to_owned(),
        Origin::Line(line) => format!("{file}:{line}"),
        Origin::Environment(name) => name.clone(),
    }
}
