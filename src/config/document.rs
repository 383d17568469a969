//! A TOML document as a tree that remembers where each value was written.

use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// `default.toml`.
    Default,
    /// This line of the operator's file.
    Line(usize),
    /// This environment variable.
    Environment(String),
}

/// A value with its origin.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// What TOML can say, as far as settings need it. Does not implement `Debug`: it may hold a store's password.
#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// Something that no setting takes; what it is.
    Other(&'static str),
}

/// A key and its value.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the key was written.
    pub(super) origin: Origin,
    pub(super) node: Node,
}

impl Value {
    /// What it is, for a sentence.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

impl Node {
    /// The value of a key, if this is a table that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Table(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.node),
            Value::Text(_) | Value::Integer(_) | Value::Boolean(_) | Value::List(_) | Value::Other(_) => None,
        }
    }

    /// The value of a key, to change it.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.value {
            Value::Table(entries) => entries.iter_mut().find(|e| e.key == key).map(|e| &mut e.node),
            Value::Text(_) | Value::Integer(_) | Value::Boolean(_) | Value::List(_) | Value::Other(_) => None,
        }
    }

    /// If this is a list of tables in `default.toml`: the defaults of each of its tables.
    pub(super) fn template(&self) -> Option<&Self> {
        match &self.value {
            Value::List(items) => items.first().filter(|item| matches!(item.value, Value::Table(_))),
            Value::Text(_) | Value::Integer(_) | Value::Boolean(_) | Value::Table(_) | Value::Other(_) => None,
        }
    }
}

/// Reads a document; `file` is its name in messages.
pub(super) fn parse(file: &str, text: &str) -> Result<Node, Problem> {
    let lines = Lines::of(text);
    let table = DeTable::parse(text).map_err(|error| Problem {
        place: match error.span() {
            Some(span) => Place::Line(file.to_owned(), lines.at(span.start)),
            None => Place::File(file.to_owned()),
        },
        message: error.message().to_owned(),
    })?;
    // What a document lacks is nowhere in it: the root has no line.
    Ok(Node { value: Value::Table(entries(table.into_inner(), &lines)), origin: Origin::Default })
}

fn entries(table: DeTable<'_>, lines: &Lines) -> Vec<Entry> {
    let mut entries: Vec<(usize, Entry)> = table
        .into_iter()
        .map(|(key, value)| {
            let at = key.span().start;
            let line = lines.at(value.span().start);
            let node = Node { value: convert(value.into_inner(), lines), origin: Origin::Line(line) };
            (at, Entry { key: key.into_inner().into_owned(), origin: Origin::Line(lines.at(at)), node })
        })
        .collect();
    // In the order of the file: messages and `config show` follow it.
    entries.sort_by_key(|(at, _)| *at);
    entries.into_iter().map(|(_, entry)| entry).collect()
}

fn convert(value: DeValue<'_>, lines: &Lines) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other("a number that is too large"),
        },
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| {
                    let origin = Origin::Line(lines.at(item.span().start));
                    Node { value: convert(item.into_inner(), lines), origin }
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(entries(table, lines)),
    }
}

/// Where lines end.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at).collect())
    }

    /// The number of the line, from 1, that a byte is in.
    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_remember_their_lines() {
        let root = parse("x.toml", "a = 1\n\n[b]\nc = [\n  \"x\",\n  \"y\",\n]\n[[d]]\n[[d]]\ne = true\n").unwrap();
        let line = |node: Option<&Node>| node.map(|n| n.origin.clone());
        assert_eq!(line(root.get("a")), Some(Origin::Line(1)));
        let Some(Value::List(items)) = root.get("b").and_then(|b| b.get("c")).map(|n| &n.value) else { panic!() };
        assert_eq!(items[1].origin, Origin::Line(6));
        let Some(Value::List(tables)) = root.get("d").map(|n| &n.value) else { panic!() };
        assert_eq!(line(tables[1].get("e")), Some(Origin::Line(10)));
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        let problem = parse("x.toml", "a = 1\nb = = 2\n").err().unwrap();
        assert_eq!(problem.place, Place::Line("x.toml".into(), 2));
    }
}
