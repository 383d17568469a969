//! What was found: for programs as it is serialised here, for people as [`text`](super::text) prints it.
//!
//! ```json
//! {
//!   "sections": [{
//!     "kind": "authorization server",
//!     "url": "https://auth.example.com",
//!     "findings": [{
//!       "check": "metadata.pkce",
//!       "verdict": "failure",
//!       "title": "PKCE with S256 is advertised",
//!       "saw": "code_challenge_methods_supported is missing",
//!       "breaks": "the official SDKs refuse to go on ..",
//!       "remedy": "advertise code_challenge_methods_supported: [\"S256\"] .."
//!     }]
//!   }],
//!   "summary": { "passed": 41, "warnings": 2, "failures": 1, "skipped": 3 }
//! }
//! ```
//!
//! `verdict` is `pass`, `warning`, `failure` or `skipped`; `breaks` and `remedy` are there for warnings and failures only. What servers said is
//! untrusted: it is shortened, and everything that is not printable ASCII is escaped, here and not where it is printed.

use serde::Serialize;

use super::check::{Check, Verdict};

/// The longest text about what was seen, in characters.
const MAX_SAW: usize = 500;

/// Everything that was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub sections: Vec<Section>,
    pub summary: Summary,
}

/// How many findings of each kind there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub passed: usize,
    pub warnings: usize,
    pub failures: usize,
    pub skipped: usize,
}

/// What was examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Kind {
    #[serde(rename = "authorization server")]
    AuthorizationServer,
    #[serde(rename = "MCP server")]
    McpServer,
}

impl Kind {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationServer => "authorization server",
            Self::McpServer => "MCP server",
        }
    }
}

/// What was found at one URL.
#[derive(Debug, Clone, Serialize)]
pub struct Section {
    pub kind: Kind,
    pub url: String,
    pub findings: Vec<Finding>,
}

/// What came of one check.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub verdict: Verdict,
    pub title: &'static str,
    /// What was seen; of a check that was skipped, why.
    pub saw: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaks: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<&'static str>,
}

impl Report {
    pub(super) fn new(sections: Vec<Section>) -> Self {
        let count = |verdict| sections.iter().flat_map(|s| &s.findings).filter(|f| f.verdict == verdict).count();
        let summary = Summary {
            passed: count(Verdict::Pass),
            warnings: count(Verdict::Warning),
            failures: count(Verdict::Failure),
            skipped: count(Verdict::Skipped),
        };
        Self { sections, summary }
    }
}

impl Section {
    pub(super) fn new(kind: Kind, url: &str) -> Self {
        Self { kind, url: legible(url, MAX_SAW), findings: Vec::new() }
    }

    pub(super) fn note(&mut self, check: &'static Check, verdict: Verdict, saw: impl AsRef<str>) {
        let needs_advice = matches!(verdict, Verdict::Warning | Verdict::Failure);
        self.findings.push(Finding {
            check: check.name,
            verdict,
            title: check.title,
            saw: legible(saw.as_ref(), MAX_SAW),
            breaks: needs_advice.then_some(check.breaks),
            remedy: needs_advice.then_some(check.remedy),
        });
    }

    pub(super) fn pass(&mut self, check: &'static Check, saw: impl AsRef<str>) {
        self.note(check, Verdict::Pass, saw);
    }

    pub(super) fn warn(&mut self, check: &'static Check, saw: impl AsRef<str>) {
        self.note(check, Verdict::Warning, saw);
    }

    pub(super) fn fail(&mut self, check: &'static Check, saw: impl AsRef<str>) {
        self.note(check, Verdict::Failure, saw);
    }

    pub(super) fn skip(&mut self, check: &'static Check, why: impl AsRef<str>) {
        self.note(check, Verdict::Skipped, why);
    }

    /// A pass without problems, and `otherwise` with some.
    pub(super) fn judge(&mut self, check: &'static Check, otherwise: Verdict, problems: &[String], fine: &str) {
        if problems.is_empty() {
            self.pass(check, fine);
        } else {
            self.note(check, otherwise, problems.join("; "));
        }
    }

    /// Whatever of these was not looked at was skipped for this reason.
    pub(super) fn skip_rest(&mut self, checks: &[&'static Check], why: &str) {
        for check in checks {
            if !self.findings.iter().any(|finding| finding.check == check.name) {
                self.skip(check, why);
            }
        }
    }
}

/// A stranger's text, in quotes and not too long.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", legible(text, 200))
}

/// A text that can neither write to a terminal what it likes, nor look like another one, nor fill the screen.
pub(super) fn legible(text: &str, limit: usize) -> String {
    let mut legible = String::new();
    for c in text.chars() {
        if legible.len() >= limit {
            legible.push_str("..");
            break;
        }
        if c == ' ' || c.is_ascii_graphic() {
            legible.push(c);
        } else {
            legible.extend(c.escape_unicode());
        }
    }
    legible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_cannot_move_the_cursor_nor_turn_the_text_around() {
        assert_eq!(legible("a\u{1b}[2Jb\u{202e}\r\n", 500), "a\\u{1b}[2Jb\\u{202e}\\u{d}\\u{a}");
    }

    #[test]
    fn what_a_server_says_does_not_fill_the_screen() {
        assert_eq!(legible(&"x".repeat(10_000), 500).len(), 502);
        assert!(legible(&"\u{1b}".repeat(10_000), 500).len() < 520);
    }

    const SOME: Check = Check { name: "a.b", title: "t", breaks: "b", remedy: "r" };
    const OTHER: Check = Check { name: "a.c", title: "t", breaks: "b", remedy: "r" };

    #[test]
    fn every_check_that_was_not_made_says_why() {
        let mut section = Section::new(Kind::McpServer, "https://a.example");
        section.fail(&SOME, "it");
        section.skip_rest(&[&SOME, &OTHER], "because");
        let report = Report::new(vec![section]);
        assert_eq!(report.summary, Summary { failures: 1, skipped: 1, ..Summary::default() });
        let told: Vec<_> = report.sections[0].findings.iter().map(|f| (f.check, f.saw.as_str(), f.remedy)).collect();
        assert_eq!(told, [("a.b", "it", Some("r")), ("a.c", "because", None)]);
    }
}
