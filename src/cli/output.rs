//! What commands print: a table for people, or JSON for programs.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::failure::Failure;
use crate::domain::time::Timestamp;

/// Prints one line.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Prints a value as JSON, or as `key: value` lines.
pub(super) fn one(value: &impl Serialize, json: bool) -> Result<(), Failure> {
    let value = to_value(value)?;
    if json {
        return line(&pretty(&value));
    }
    let Value::Object(members) = value else { return line(&plain(&value)) };
    let width = members.keys().map(String::len).max().unwrap_or_default();
    members.iter().try_for_each(|(key, value)| line(&format!("{key:width$}  {}", plain(value))))
}

/// Prints rows as a JSON array, or as a table whose columns are the members of the first row.
pub(super) fn many(rows: &[impl Serialize], json: bool) -> Result<(), Failure> {
    let rows: Vec<Value> = rows.iter().map(to_value).collect::<Result<_, _>>()?;
    if json {
        return line(&pretty(&Value::Array(rows)));
    }
    let Some(Value::Object(first)) = rows.first() else { return line("(none)") };
    let columns: Vec<String> = first.keys().cloned().collect();
    let mut table = vec![columns.iter().map(|c| c.to_uppercase()).collect::<Vec<_>>()];
    table.extend(rows.iter().map(|row| columns.iter().map(|c| plain(&row[c.as_str()])).collect()));
    let widths: Vec<usize> =
        (0..columns.len()).map(|i| table.iter().map(|row| row[i].chars().count()).max().unwrap_or_default()).collect();
    table.iter().try_for_each(|row| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        line(cells.join("  ").trim_end())
    })
}

fn to_value(value: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::failed(&error))
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// A value in a table. Control characters that a stranger put into a name do not reach the terminal.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) if text.is_empty() => "-".into(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        Value::Array(values) if values.is_empty() => "-".into(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(" "),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_)) => other.to_string(),
    }
}

/// `2026-11-20T18:55:00Z`.
pub(super) fn rfc3339(time: Timestamp) -> String {
    let (days, second) = (time.unix().div_euclid(86_400), time.unix().rem_euclid(86_400));
    // Days to a civil date in the proleptic Gregorian calendar, in eras of 400 years that begin in March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_prints_as_its_date_in_utc() {
        for (unix, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_200_900, "2026-11-20T18:55:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(Timestamp::from_unix(unix)), text);
        }
    }

    #[test]
    fn a_name_cannot_send_control_characters_to_the_terminal() {
        assert_eq!(plain(&Value::String("a\u{1b}[31mb".into())), "a?[31mb");
    }
}
