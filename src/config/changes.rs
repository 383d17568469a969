//! Which settings differ between two configurations.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{
    Config,
    document::{Node, Value},
    layers::join,
};

/// Every setting by its name, with a digest of its value: what it says is compared, and never told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Fingerprints(BTreeMap<String, [u8; 32]>);

impl Fingerprints {
    pub(super) fn of(root: &Node) -> Self {
        let mut found = Self::default();
        found.note(root, String::new());
        found
    }

    fn note(&mut self, node: &Node, path: String) {
        match &node.value {
            Value::Table(entries) => entries.iter().for_each(|entry| self.note(&entry.node, join(&path, &entry.key))),
            Value::List(items) => {
                // Beside its elements, so that one more or less is a change.
                self.keep(&path, &items.len().to_string());
                items.iter().enumerate().for_each(|(at, item)| self.note(item, format!("{path}[{at}]")));
            }
            Value::Text(text) => self.keep(&path, text),
            Value::Integer(number) => self.keep(&path, &number.to_string()),
            Value::Boolean(value) => self.keep(&path, &value.to_string()),
            Value::Other(kind) => self.keep(&path, kind),
        }
    }

    fn keep(&mut self, path: &str, value: &str) {
        self.0.insert(path.to_owned(), Sha256::digest(value).into());
    }
}

impl Config {
    /// The settings that another configuration has otherwise, as `server.listen` or `clients[0].scope`. What stands in the files that
    /// settings name does not count.
    pub fn changes(&self, other: &Self) -> Vec<String> {
        let (here, there) = (&self.fingerprints.0, &other.fingerprints.0);
        let of_either = here.keys().chain(there.keys().filter(|key| !here.contains_key(*key)));
        let mut changed: Vec<String> = of_either.filter(|key| here.get(*key) != there.get(*key)).cloned().collect();
        changed.sort();
        changed
    }
}
