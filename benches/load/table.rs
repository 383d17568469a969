//! Markdown tables that can be pasted.

use std::{fmt, time::Duration};

use crate::{
    generator::{CONNECTIONS, Timing},
    rows::{self, Figures, ROWS, Row},
    turns::Measured,
};

/// Everything that one run found.
pub(crate) struct Report {
    pub(crate) timing: Timing,
    pub(crate) limits: Limits,
    /// Memory is the first.
    pub(crate) columns: Vec<Column>,
}

/// One store that holds more and more.
pub(crate) struct Growth {
    pub(crate) timing: Timing,
    pub(crate) columns: Vec<Column>,
}

/// What can be had at the most on one core.
pub(crate) struct Limits {
    pub(crate) bare: Figures,
    pub(crate) layered: Figures,
    /// ES256 signatures per second.
    pub(crate) signatures: f64,
}

/// One store.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// `Err` says why there are none.
    pub(crate) figures: Result<Figures, String>,
    pub(crate) limits: Vec<Limit>,
    /// What else to know, e.g. how the engine was set up as far as durability goes.
    pub(crate) settings: Option<String>,
}

/// What an engine does by itself.
pub(crate) struct Limit {
    pub(crate) what: &'static str,
    /// Per second; `Err` says why there is none.
    pub(crate) rate: Result<f64, String>,
}

impl Column {
    /// A store that is not there.
    pub(crate) fn not_measured(name: &'static str, why: String) -> Self {
        Self { name, figures: Err(why), limits: Vec::new(), settings: None }
    }

    fn at(&self, row: usize) -> Option<&Measured> {
        self.figures.as_ref().ok().and_then(|figures| figures[row].as_ref())
    }

    fn cell(&self, row: usize, show: impl Fn(&Measured) -> String) -> String {
        self.at(row).map_or_else(|| "not measured".to_owned(), show)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Timing { warm_up, window } = self.timing;
        writeln!(
            f,
            "{CONNECTIONS} connections over loopback, {window:?} for each figure after {warm_up:?} of warm-up; the server has one core, \
             the generator another. ES256 signatures alone: {}/s on that core.\n",
            count(self.limits.signatures)
        )?;
        self.ratios(f)?;
        if self.columns.len() > 1 {
            stores(f, &self.columns)?;
            self.engines(f)?;
        }
        notes(f, &self.columns)
    }
}

impl Report {
    /// Memory beside the limits.
    fn ratios(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = [
            "requests/s",
            "core used",
            "p50 / p99, ms",
            "limit: bare",
            "/ bare",
            "limit: layered",
            "/ layered",
            "target",
        ];
        line(f, "memory, one core", titles.iter().map(|&title| title.to_owned()))?;
        line(f, "---", titles.iter().map(|_| "---:".to_owned()))?;
        for (at, row) in ROWS.iter().enumerate() {
            let Some(found) = self.columns[0].at(at) else { continue };
            let limit = |figures: &Figures| {
                let limit = figures[at].as_ref();
                limit.map_or_else(Default::default, |limit| [count(limit.figure.rate), found.of(limit).to_string()])
            };
            let ([bare, of_bare], [layered, of_layered]) = (limit(&self.limits.bare), limit(&self.limits.layered));
            let cells = [
                count(found.figure.rate),
                found.busy.map(|busy| format!("{:.0} %", busy * 100.0)).unwrap_or_default(),
                latency(found),
                bare,
                of_bare,
                layered,
                of_layered,
                self.verdict(at, row, found),
            ];
            line(f, row.name, cells.into_iter())?;
        }
        writeln!(f)
    }

    fn verdict(&self, at: usize, row: &Row, found: &Measured) -> String {
        let Some((limit, share)) = row.target else { return String::new() };
        let (name, figures) = match limit {
            rows::Limit::Bare => ("bare", &self.limits.bare),
            rows::Limit::Layered => ("layered", &self.limits.layered),
        };
        let met = figures[at].as_ref().is_some_and(|limit| found.of(limit).median >= share);
        format!("{share} of {name}: {}", if met { "met" } else { "missed" })
    }

    fn engines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writing = || ROWS.iter().enumerate().filter(|(_, row)| row.writes);
        let titles = writing().map(|(_, row)| format!("{} / limit", row.name));
        line(f, "the engine alone", ["per second".to_owned()].into_iter().chain(titles))?;
        line(f, "---", (0..=writing().count()).map(|_| "---:".to_owned()))?;
        for column in &self.columns {
            for limit in &column.limits {
                let rate = limit.rate.as_ref().map_or_else(|_| "not measured".to_owned(), |rate| count(*rate));
                let ratios = writing().map(|(at, _)| match (&limit.rate, column.at(at)) {
                    (Ok(rate), Some(found)) => format!("{:.2}", found.figure.rate / rate),
                    _ => String::new(),
                });
                line(f, &format!("{}: {}", column.name, limit.what), [rate].into_iter().chain(ratios))?;
            }
        }
        writeln!(f)
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Timing { warm_up, window } = self.timing;
        writeln!(f, "{CONNECTIONS} connections, {window:?} for each figure after {warm_up:?} of warm-up.\n")?;
        stores(f, &self.columns)?;
        notes(f, &self.columns)
    }
}

/// Every row, a column for each store.
fn stores(f: &mut fmt::Formatter<'_>, columns: &[Column]) -> fmt::Result {
    let mut table = |title: &str, show: fn(&Measured) -> String| {
        line(f, title, columns.iter().map(|column| column.name.to_owned()))?;
        line(f, "---", columns.iter().map(|_| "---:".to_owned()))?;
        for (at, row) in ROWS.iter().enumerate() {
            line(f, row.name, columns.iter().map(|column| column.cell(at, show)))?;
        }
        writeln!(f)
    };
    table("requests/s", |found| count(found.figure.rate))?;
    table("p50 / p99, ms", latency)
}

fn notes(f: &mut fmt::Formatter<'_>, columns: &[Column]) -> fmt::Result {
    for column in columns {
        if let Some(settings) = &column.settings {
            writeln!(f, "- {}: {settings}.", column.name)?;
        }
        if let Err(why) = &column.figures {
            writeln!(f, "- {}: not measured: {why}.", column.name)?;
        }
        for limit in &column.limits {
            if let Err(why) = &limit.rate {
                writeln!(f, "- {}: the limit was not measured: {why}.", column.name)?;
            }
        }
    }
    Ok(())
}

fn latency(found: &Measured) -> String {
    format!("{} / {}", millis(found.figure.p50), millis(found.figure.p99))
}

pub(crate) fn line(f: &mut fmt::Formatter<'_>, first: &str, others: impl Iterator<Item = String>) -> fmt::Result {
    write!(f, "| {first} |")?;
    for cell in others {
        write!(f, " {cell} |")?;
    }
    writeln!(f)
}

/// Three digits: no more of them are the same in the next run.
pub(crate) fn count(rate: f64) -> String {
    let unit = 10f64.powf((rate.max(1.0).log10().floor() - 2.0).max(0.0));
    let digits = format!("{:.0}", (rate / unit).round() * unit);
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).unwrap()).collect();
    groups.join(",")
}

pub(crate) fn millis(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}
