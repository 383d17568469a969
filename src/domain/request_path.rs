//! The path of a request, in the one form that rules compare.
//!
//! A rule for `/admin` is worth nothing if `//admin`, `/x/../admin` or `/%61dmin` lead to the same place behind it. Servers
//! differ in what they make of such paths, so what can be read in two ways is not read at all, and escapes that change nothing
//! are undone (RFC 3986 6.2.2.2).

use std::{borrow::Cow, fmt};

use thiserror::Error;

/// The path could mean different things to different servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the path can be read in more than one way")]
pub struct AmbiguousPath;

/// A path that means the same to every server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPath<'a>(Cow<'a, str>);

impl<'a> RequestPath<'a> {
    /// Reads the path of a request target, without its query.
    ///
    /// Refused are dot segments, empty segments (but for a slash at the end), escaped slashes, backslashes and control characters in
    /// any spelling, parameters of segments (`;`), escaped percent signs, malformed escapes, and what does not belong to a path
    /// (`?`, `#`, what is not ASCII).
    pub fn parse(path: &'a str) -> Result<Self, AmbiguousPath> {
        let canonical = if path.contains('%') { Cow::Owned(unescape(path)?) } else { Cow::Borrowed(path) };
        let below = canonical.strip_prefix('/').ok_or(AmbiguousPath)?;
        let odd = |b: u8| matches!(b, b'\\' | b';' | b'?' | b'#') || !b.is_ascii_graphic();
        if canonical.bytes().any(odd) {
            return Err(AmbiguousPath);
        }
        let mut segments = below.split('/').peekable();
        while let Some(segment) = segments.next() {
            let last = segments.peek().is_none();
            if matches!(segment, "." | "..") || (segment.is_empty() && !last) {
                return Err(AmbiguousPath);
            }
        }
        Ok(Self(canonical))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the prefix or lies below it.
    pub fn is_below(&self, prefix: &PathPrefix) -> bool {
        self.0.strip_prefix(&*prefix.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The same to a server that does not tell `/Admin` from `/admin`.
    pub fn is_below_in_any_case(&self, prefix: &PathPrefix) -> bool {
        let parts = self.0.split_at_checked(prefix.0.len());
        parts.is_some_and(|(start, rest)| {
            start.eq_ignore_ascii_case(&prefix.0) && (rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// Undoes the escapes of characters that need none.
fn unescape(path: &str) -> Result<String, AmbiguousPath> {
    let mut text = String::with_capacity(path.len());
    let mut parts = path.split('%');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let hex = part.get(..2).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())).ok_or(AmbiguousPath)?;
        let byte = u8::from_str_radix(hex, 16).map_err(|_| AmbiguousPath)?;
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            // `%25` is a second escape to whoever decodes twice.
            b'/' | b'\\' | b';' | b'%' | 0..=0x1f | 0x7f => return Err(AmbiguousPath),
            _ => {
                text.push('%');
                text.push_str(&hex.to_ascii_uppercase());
            }
        }
        text.push_str(&part[2..]);
    }
    Ok(text)
}

/// A path and everything below it. Without a slash at the end; empty for everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPrefix(Box<str>);

impl PathPrefix {
    /// Reads a prefix; a slash at the end makes no difference.
    pub fn parse(text: &str) -> Result<Self, AmbiguousPath> {
        let path = RequestPath::parse(text)?;
        Ok(Self(path.as_str().trim_end_matches('/').into()))
    }

    /// The text: without a slash at the end, empty for everything.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_below(path: &str, prefix: &str) -> Result<bool, AmbiguousPath> {
        Ok(RequestPath::parse(path)?.is_below(&PathPrefix::parse(prefix).unwrap()))
    }

    #[test]
    fn a_prefix_covers_itself_and_what_lies_below_it_in_every_spelling() {
        for path in ["/mcp", "/mcp/", "/mcp/x", "/%6dcp", "/%6Dcp/x", "/mcp/%20"] {
            assert_eq!(is_below(path, "/mcp"), Ok(true), "{path}");
            assert_eq!(is_below(path, "/mcp/"), Ok(true), "{path}");
            assert_eq!(is_below(path, "/"), Ok(true), "{path}");
        }
        for path in ["/", "/mcpx", "/x/mcp", "/MCP"] {
            assert_eq!(is_below(path, "/mcp"), Ok(false), "{path}");
        }
    }

    #[test]
    fn a_path_that_servers_read_differently_is_refused() {
        for path in [
            "",
            "mcp",
            "*",
            "//mcp",
            "/x//mcp",
            "/x/../mcp",
            "/x/./mcp",
            "/..",
            "/%2e%2e/mcp",
            "/x/%2E./mcp",
            "/x%2fmcp",
            "/x%5cmcp",
            "/x\\mcp",
            "/mcp;x=1",
            "/mcp#x",
            "/mcp?x",
            "/mcp%3bx",
            "/mcp%00",
            "/mcp%0a",
            "/%252e%252e/mcp",
            "/mcp%",
            "/mcp%4",
            "/mcp%zz",
            "/mcp%é",
            "/m cp",
        ] {
            assert_eq!(RequestPath::parse(path), Err(AmbiguousPath), "{path}");
        }
    }

    proptest! {
        #[test]
        fn reading_a_path_again_changes_nothing(path in "/[a-z%0-9A-F./]{0,20}") {
            if let Ok(read) = RequestPath::parse(&path) {
                prop_assert_eq!(RequestPath::parse(read.as_str()), Ok(read.clone()));
            }
        }

        #[test]
        fn no_path_makes_the_reader_panic(path in "\\PC{0,60}") {
            let _ = RequestPath::parse(&path);
        }
    }
}
