//! Markdown tables that can be pasted.

use std::{fmt, time::Duration};

use crate::{
    Figures, ROWS,
    generator::{CONNECTIONS, Figure, Timing},
};

/// Everything that one run found.
pub(crate) struct Report {
    pub(crate) timing: Timing,
    pub(crate) columns: Vec<Column>,
}

/// One store.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// `Err` says why there are none.
    pub(crate) figures: Result<Figures, String>,
    pub(crate) limits: Vec<Limit>,
    /// How the engine was set up, as far as durability goes.
    pub(crate) settings: Option<String>,
}

impl Column {
    /// A store that is not there.
    pub(crate) fn not_measured(name: &'static str, why: String) -> Self {
        Self { name, figures: Err(why), limits: Vec::new(), settings: None }
    }

    fn cell(&self, row: usize, show: impl Fn(&Figure) -> String) -> String {
        self.figures.as_ref().map_or_else(|_| "not measured".to_owned(), |figures| show(&figures[row]))
    }
}

/// What the engine does by itself.
pub(crate) struct Limit {
    pub(crate) what: &'static str,
    /// The rows whose work it does, once for each request.
    pub(crate) rows: &'static [usize],
    /// Per second; `Err` says why there is none.
    pub(crate) rate: Result<f64, String>,
}

/// The rows that are compared with some limit: client_credentials in both forms, refresh and code exchange.
const COMPARED: std::ops::RangeInclusive<usize> = 1..=4;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let Timing { warm_up, window } = self.timing;
        writeln!(
            f,
            "{CONNECTIONS} connections over loopback, {window:?} for each figure after {warm_up:?} of warm-up; {cores} cores \
             for generator, server and database together.\n"
        )?;
        self.rows(f, "requests/s", |figure| count(figure.rate))?;
        self.rows(f, "p50 / p99, ms", |figure| format!("{} / {}", millis(figure.p50), millis(figure.p99)))?;
        self.limits(f)?;
        self.notes(f)
    }
}

impl Report {
    fn rows(&self, f: &mut fmt::Formatter<'_>, title: &str, show: impl Fn(&Figure) -> String) -> fmt::Result {
        let names = self.columns.iter().map(|column| column.name.to_owned());
        line(f, title, names)?;
        line(f, "---", self.columns.iter().map(|_| "---:".to_owned()))?;
        for (row, name) in ROWS.iter().enumerate() {
            line(f, name, self.columns.iter().map(|column| column.cell(row, &show)))?;
        }
        writeln!(f)
    }

    fn limits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compared = COMPARED.map(|row| format!("{} / limit", ROWS[row].trim_end_matches(" (1 write)")));
        line(f, "the engine alone", ["per second".to_owned()].into_iter().chain(compared))?;
        line(f, "---", (0..=COMPARED.count()).map(|_| "---:".to_owned()))?;
        for column in &self.columns {
            for limit in &column.limits {
                let rate = limit.rate.as_ref().map_or_else(|_| "not measured".to_owned(), |rate| count(*rate));
                let ratios = COMPARED.map(|row| match &limit.rate {
                    Ok(rate) if limit.rows.contains(&row) => {
                        column.cell(row, |figure| format!("{:.2}", figure.rate / rate))
                    }
                    Ok(_) | Err(_) => String::new(),
                });
                line(f, &format!("{}: {}", column.name, limit.what), [rate].into_iter().chain(ratios))?;
            }
        }
        writeln!(f)
    }

    fn notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for column in &self.columns {
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
