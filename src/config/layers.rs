//! Lays the operator's file over `default.toml`. What `default.toml` does not have is unknown.

use super::{
    document::{Entry, Node, Origin, Value},
    problem::{Place, Problem},
};

/// The defaults with what the file `name` says instead. A list of tables holds its template in the defaults, and what the
/// file declares in the result.
pub(super) fn merge(defaults: &Node, given: Option<Node>, name: &str, problems: &mut Vec<Problem>) -> Node {
    Layers { root: defaults, name, problems }.node(defaults, given, "")
}

struct Layers<'a> {
    root: &'a Node,
    name: &'a str,
    problems: &'a mut Vec<Problem>,
}

impl Layers<'_> {
    fn node(&mut self, known: &Node, given: Option<Node>, path: &str) -> Node {
        let Some(given) = given else { return default(known) };
        if let Some(template) = known.template() {
            return self.tables(template, given, path);
        }
        match (&known.value, given.value) {
            (Value::Table(entries), Value::Table(written)) => self.table(entries, written, given.origin, path),
            (Value::List(_), Value::List(items)) => {
                for item in &items {
                    if !matches!(item.value, Value::Text(_)) {
                        self.mismatch(&item.origin, path, "a list of texts", item.value.kind());
                    }
                }
                Node { value: Value::List(items), origin: given.origin }
            }
            (Value::List(_), Value::Text(text)) => {
                let only = Node { value: Value::Text(text), origin: given.origin.clone() };
                Node { value: Value::List(vec![only]), origin: given.origin }
            }
            (Value::Text(_), value @ Value::Text(_))
            | (Value::Integer(_), value @ Value::Integer(_))
            | (Value::Boolean(_), value @ Value::Boolean(_)) => Node { value, origin: given.origin },
            (expected, found) => {
                self.mismatch(&given.origin, path, expected.kind(), found.kind());
                default(known)
            }
        }
    }

    fn table(&mut self, known: &[Entry], mut written: Vec<Entry>, origin: Origin, path: &str) -> Node {
        let entries = known
            .iter()
            .map(|entry| {
                let given = written.iter().position(|w| w.key == entry.key).map(|at| written.remove(at));
                let origin = given.as_ref().map_or(Origin::Default, |g| g.origin.clone());
                let node = self.node(&entry.node, given.map(|g| g.node), &join(path, &entry.key));
                Entry { key: entry.key.clone(), origin, node }
            })
            .collect();
        for unknown in written {
            let key = join(path, &unknown.key);
            let advice = match nearest(self.root, &key) {
                Some(nearest) => format!("; did you mean `{nearest}`?"),
                None => String::new(),
            };
            self.report(&unknown.origin, format!("unknown key `{key}`{advice}"));
        }
        Node { value: Value::Table(entries), origin }
    }

    fn tables(&mut self, template: &Node, given: Node, path: &str) -> Node {
        let items = match given.value {
            Value::List(items) => items,
            other @ (Value::Text(_) | Value::Integer(_) | Value::Boolean(_) | Value::Table(_) | Value::Other(_)) => {
                self.mismatch(&given.origin, path, &format!("a list of tables: [[{path}]]"), other.kind());
                Vec::new()
            }
        };
        // What is no table is reported and left out: what it lacks would only be noise.
        let mut tables = Vec::with_capacity(items.len());
        for item in items {
            if matches!(item.value, Value::Table(_)) {
                tables.push(self.node(template, Some(item), path));
            } else {
                self.mismatch(&item.origin, path, "a list of tables", item.value.kind());
            }
        }
        Node { value: Value::List(tables), origin: given.origin }
    }

    fn mismatch(&mut self, origin: &Origin, path: &str, expected: &str, found: &str) {
        self.report(origin, format!("`{path}` must be {expected}, not {found}"));
    }

    fn report(&mut self, origin: &Origin, message: String) {
        self.problems.push(Problem { place: place(origin, self.name), message });
    }
}

/// Where a value was written, for a message; a default is a matter of the whole file.
pub(super) fn place(origin: &Origin, file: &str) -> Place {
    match origin {
        Origin::Default => Place::File(file.to_owned()),
        Origin::Line(line) => Place::Line(file.to_owned(), *line),
        Origin::Environment(name) => Place::Environment(name.clone()),
    }
}

/// A default as an effective value: without the templates of its lists of tables.
pub(super) fn default(known: &Node) -> Node {
    let value = match &known.value {
        Value::List(_) if known.template().is_some() => Value::List(Vec::new()),
        Value::List(items) => Value::List(items.iter().map(default).collect()),
        Value::Table(entries) => Value::Table(
            entries
                .iter()
                .map(|e| Entry { key: e.key.clone(), origin: Origin::Default, node: default(&e.node) })
                .collect(),
        ),
        scalar @ (Value::Text(_) | Value::Integer(_) | Value::Boolean(_) | Value::Other(_)) => scalar.clone(),
    };
    Node { value, origin: Origin::Default }
}

/// Every key below a node, with its sections: `server`, `server.listen`, `resources.uri`.
pub(super) fn known_keys(root: &Node) -> Vec<String> {
    fn walk(node: &Node, path: &str, keys: &mut Vec<String>) {
        let node = node.template().unwrap_or(node);
        if let Value::Table(entries) = &node.value {
            for entry in entries {
                let key = join(path, &entry.key);
                walk(&entry.node, &key, keys);
                keys.push(key);
            }
        }
    }
    let mut keys = Vec::new();
    walk(root, "", &mut keys);
    keys
}

/// The known key that an unknown one was most likely meant to be: one of the same last word in another section, or the one
/// that reads most like it; `None` if none reads like it at all.
pub(super) fn nearest(root: &Node, unknown: &str) -> Option<String> {
    let last = |key: &str| key.rsplit('.').next().map(str::to_owned);
    let likeness = |key: &str| {
        let moved = if last(key) == last(unknown) { 1.0 } else { 0.0 };
        strsim::normalized_damerau_levenshtein(key, unknown).max(moved)
    };
    let mut ranked: Vec<_> = known_keys(root).into_iter().map(|key| (likeness(&key), key)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    ranked.into_iter().next().filter(|(likeness, _)| *likeness >= 0.5).map(|(_, key)| key)
}

/// A key within its section.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
