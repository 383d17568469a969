//! A report for people: what is wrong first in the eye, at 80 columns.

use std::fmt::Write;

use super::{
    check::Verdict,
    report::{Finding, Report, Section},
};

const WIDTH: usize = 80;
/// How far what belongs to a finding is indented.
const INDENT: usize = 8;

/// The whole report. Colours are for terminals.
pub fn text(report: &Report, in_colour: bool) -> String {
    let mut out = String::new();
    for section in &report.sections {
        write_section(&mut out, section, in_colour);
    }
    let summary = report.summary;
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let _ = writeln!(
        out,
        "{} passed, {}, {}, {} skipped",
        summary.passed,
        count(summary.warnings, "warning"),
        count(summary.failures, "failure"),
        summary.skipped
    );
    out
}

fn write_section(out: &mut String, section: &Section, in_colour: bool) {
    let _ = writeln!(out, "{} ({})", section.url, section.kind.as_str());
    let mut group = "";
    let mut findings = section.findings.as_slice();
    while let Some(finding) = findings.first() {
        let own = finding.check.split('.').next().unwrap_or_default();
        if own != group {
            let _ = writeln!(out, "\n{own}");
            group = own;
        }
        // What was skipped for one reason is one line.
        let alike = findings.iter().take_while(|next| {
            next.verdict == Verdict::Skipped && next.saw == finding.saw && next.check.split('.').next() == Some(own)
        });
        let alike = alike.count().max(1);
        if alike > 1 {
            write_wrapped(out, &mark(Verdict::Skipped, in_colour), &format!("{alike} checks: {}", finding.saw));
        } else {
            write_finding(out, finding, in_colour);
        }
        findings = &findings[alike..];
    }
    out.push('\n');
}

fn write_finding(out: &mut String, finding: &Finding, in_colour: bool) {
    let mark = mark(finding.verdict, in_colour);
    match finding.verdict {
        Verdict::Pass => write_wrapped(out, &mark, finding.title),
        Verdict::Skipped => write_wrapped(out, &mark, &format!("{}: {}", finding.title, finding.saw)),
        Verdict::Warning | Verdict::Failure => {
            write_wrapped(out, &mark, &format!("{} [{}]", finding.title, finding.check));
            let indent = " ".repeat(INDENT);
            for (label, said) in
                [("saw: ", Some(finding.saw.as_str())), ("breaks: ", finding.breaks), ("remedy: ", finding.remedy)]
            {
                if let Some(said) = said {
                    write_wrapped(out, &indent, &format!("{label}{said}"));
                }
            }
        }
    }
}

/// Eight columns wide, whatever is in it.
fn mark(verdict: Verdict, in_colour: bool) -> String {
    let (word, colour) = match verdict {
        Verdict::Pass => ("ok", "32"),
        Verdict::Skipped => ("skip", "2"),
        Verdict::Warning => ("warn", "33"),
        Verdict::Failure => ("FAIL", "31"),
    };
    let padding = " ".repeat(INDENT - 2 - word.len());
    if in_colour { format!("  \u{1b}[{colour}m{word}\u{1b}[0m{padding}") } else { format!("  {word}{padding}") }
}

/// Lines of at most [`WIDTH`] columns, unless a word is longer. The first begins with `lead`, which is [`INDENT`] wide.
fn write_wrapped(out: &mut String, lead: &str, text: &str) {
    out.push_str(lead);
    let mut column = INDENT;
    for (i, word) in text.split(' ').enumerate() {
        if i > 0 && column + 1 + word.len() > WIDTH {
            let _ = write!(out, "\n{:INDENT$}", "");
            column = INDENT;
        } else if i > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{check::Check, report::Kind};

    const SOME: Check = Check {
        name: "a.some",
        title: "Something holds",
        breaks: "whoever needs it, which may be many",
        remedy: "mend it",
    };
    const OTHER: Check = Check { name: "a.other", title: "Something else holds", breaks: "b", remedy: "r" };
    const LAST: Check = Check { name: "b.last", title: "The last thing", breaks: "b", remedy: "r" };

    fn report() -> Report {
        let mut section = Section::new(Kind::McpServer, "https://a.example/mcp");
        section.fail(&SOME, "x ".repeat(60));
        section.skip(&OTHER, "why");
        section.skip(&SOME, "why");
        section.pass(&LAST, "fine");
        Report::new(vec![section])
    }

    #[test]
    fn a_report_is_readable_at_eighty_columns() {
        let told = text(&report(), false);
        assert!(told.lines().all(|line| line.len() <= WIDTH), "{told}");
        assert!(
            told.starts_with(
                "https://a.example/mcp (MCP server)\n\na\n  FAIL  Something holds [a.some]\n        saw: x x"
            ),
            "{told}"
        );
        assert!(
            told.contains("\n        remedy: mend it\n  skip  2 checks: why\n\nb\n  ok    The last thing\n"),
            "{told}"
        );
        assert!(told.ends_with("1 passed, 0 warnings, 1 failure, 2 skipped\n"), "{told}");
    }

    #[test]
    fn colour_is_for_terminals_and_changes_no_word() {
        let plain = text(&report(), false);
        let coloured = text(&report(), true);
        assert!(!plain.contains('\u{1b}') && coloured.contains("\u{1b}[31mFAIL\u{1b}[0m"));
        let mut stripped = coloured;
        for code in ["\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[2m", "\u{1b}[0m"] {
            stripped = stripped.replace(code, "");
        }
        assert_eq!(stripped, plain);
    }
}
