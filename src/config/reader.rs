//! Reads typed values out of the merged tree, and notes every problem on the way instead of stopping at one.
//!
//! A method returns `None` when it noted a problem; a section is built when all of its values could be read.

use std::{cell::RefCell, collections::BTreeSet, fmt::Display, io, ops::RangeInclusive, path::Path, time::Duration};

use super::{
    document::{Node, Origin, Value},
    duration,
    environment::Environment,
    layers::{self, join},
    problem::{Place, Problem},
    safety::Unsafe,
};

/// What every section needs to be read.
pub(super) struct Context<'a> {
    /// The name of the operator's file, for messages.
    pub(super) file: &'a str,
    pub(super) environment: &'a Environment,
    /// Reads a file that a setting names.
    pub(super) read_file: &'a dyn Fn(&Path) -> io::Result<String>,
    pub(super) problems: RefCell<Vec<Problem>>,
    /// What production does not accept.
    pub(super) concerns: RefCell<Vec<Unsafe>>,
    /// The keys that were asked for; a test compares them with `default.toml`.
    pub(super) taken: RefCell<BTreeSet<String>>,
}

impl Context<'_> {
    /// Notes a problem at a place.
    pub(super) fn report(&self, place: Place, message: String) {
        self.problems.borrow_mut().push(Problem { place, message });
    }
}

/// One table of the configuration.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) context: &'a Context<'a>,
    node: &'a Node,
    path: &'a str,
}

impl<'a> Reader<'a> {
    /// The whole document.
    pub(super) fn root(context: &'a Context<'a>, node: &'a Node) -> Self {
        Self { context, node, path: "" }
    }

    /// Notes what is wrong with the value of a key.
    pub(super) fn fail(&self, key: &str, message: impl Display) {
        let origin = self.node.get(key).map_or(&self.node.origin, |node| &node.origin);
        // A default is wrong only in the light of the table that it is in.
        let origin = if *origin == Origin::Default { &self.node.origin } else { origin };
        self.fail_at(origin, key, message);
    }

    fn fail_at(&self, origin: &Origin, key: &str, message: impl Display) {
        let place = layers::place(origin, self.context.file);
        self.context.report(place, format!("`{}`: {message}", join(self.path, key)));
    }

    /// Notes what production does not accept about a key, and how to fix it.
    pub(super) fn concern(&self, key: &str, problem: impl Into<String>, fix: impl Into<String>) {
        let concern = Unsafe { setting: join(self.path, key), problem: problem.into(), fix: fix.into() };
        self.context.concerns.borrow_mut().push(concern);
    }

    fn take(&self, key: &str) -> Option<&'a Node> {
        self.context.taken.borrow_mut().insert(join(self.path, key));
        let node = self.node.get(key);
        if node.is_none() {
            self.fail(key, "is missing in default.toml");
        }
        node
    }

    /// A section.
    pub(super) fn section(&self, key: &'static str) -> Option<Self> {
        // One level of sections has a path that is a word; deeper ones say theirs with `subsection`.
        self.take(key).map(|node| Self { context: self.context, node, path: key })
    }

    /// A section within a section; `path` is the key with its section.
    pub(super) fn subsection(&self, key: &str, path: &'static str) -> Option<Self> {
        self.take(key).map(|node| Self { context: self.context, node, path })
    }

    /// The tables of a list; `path` is the key with its section.
    pub(super) fn tables(&self, key: &str, path: &'static str) -> Option<Vec<Self>> {
        match &self.take(key)?.value {
            Value::List(items) => Some(items.iter().map(|node| Self { context: self.context, node, path }).collect()),
            other @ (Value::Text(_) | Value::Integer(_) | Value::Boolean(_) | Value::Table(_) | Value::Other(_)) => {
                self.fail(key, format!("must be a list of tables, not {}", other.kind()));
                None
            }
        }
    }

    /// A text as it stands; `""` if it is not set.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        match &self.take(key)?.value {
            Value::Text(text) => Some(text),
            other @ (Value::Integer(_) | Value::Boolean(_) | Value::List(_) | Value::Table(_) | Value::Other(_)) => {
                self.fail(key, format!("must be a text, not {}", other.kind()));
                None
            }
        }
    }

    /// A text that means something. `parse` must not put a secret into its error.
    pub(super) fn parse<T, E: Display>(&self, key: &str, parse: impl FnOnce(&'a str) -> Result<T, E>) -> Option<T> {
        let text = self.text(key)?;
        parse(text).map_err(|error| self.fail(key, error)).ok()
    }

    /// A text that must be set.
    pub(super) fn required<T, E: Display>(&self, key: &str, parse: impl FnOnce(&'a str) -> Result<T, E>) -> Option<T> {
        if self.text(key)?.is_empty() {
            self.fail(key, "must be set");
            return None;
        }
        self.parse(key, parse)
    }

    /// A text that may be `""`.
    pub(super) fn optional<T, E: Display>(
        &self,
        key: &str,
        parse: impl FnOnce(&'a str) -> Result<T, E>,
    ) -> Option<Option<T>> {
        if self.text(key)?.is_empty() { Some(None) } else { self.parse(key, parse).map(Some) }
    }

    /// Each text of a list, told what is wrong with which.
    pub(super) fn each<T, E: Display>(
        &self,
        key: &str,
        mut parse: impl FnMut(&'a str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let Value::List(items) = &self.take(key)?.value else {
            self.fail(key, "must be a list of texts");
            return None;
        };
        let parsed: Vec<Option<T>> = items
            .iter()
            .map(|item| match &item.value {
                Value::Text(text) => parse(text).map_err(|error| self.fail_at(&item.origin, key, error)).ok(),
                // Noted when the layers were merged.
                Value::Integer(_) | Value::Boolean(_) | Value::List(_) | Value::Table(_) | Value::Other(_) => None,
            })
            .collect();
        parsed.into_iter().collect()
    }

    /// One of a few words.
    pub(super) fn one_of<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        self.parse(key, |text| {
            words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
                let words: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                format!("must be {}", words.join(" or "))
            })
        })
    }

    /// Yes or no.
    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        match self.take(key)?.value {
            Value::Boolean(value) => Some(value),
            Value::Text(_) | Value::Integer(_) | Value::List(_) | Value::Table(_) | Value::Other(_) => {
                self.fail(key, "must be true or false");
                None
            }
        }
    }

    /// A whole number within a range.
    pub(super) fn integer<T: TryFrom<i64>>(&self, key: &str, range: RangeInclusive<i64>) -> Option<T> {
        let number = match self.take(key)?.value {
            Value::Integer(number) if range.contains(&number) => T::try_from(number).ok(),
            Value::Integer(_) | Value::Text(_) | Value::Boolean(_) | Value::List(_) | Value::Table(_) => None,
            Value::Other(_) => None,
        };
        if number.is_none() {
            self.fail(key, format!("must be a whole number from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// A duration of at least `shortest` and at most `longest`; both in seconds.
    pub(super) fn duration(&self, key: &str, shortest: u64, longest: u64) -> Option<Duration> {
        self.parse(key, |text| {
            let duration = duration::parse(text).map_err(str::to_owned)?;
            if (shortest..=longest).contains(&duration.as_secs()) {
                return Ok(duration);
            }
            let [shortest, longest] = [shortest, longest].map(|s| duration::show(Duration::from_secs(s)));
            Err(format!("must be from \"{shortest}\" to \"{longest}\""))
        })
    }
}
