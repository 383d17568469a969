//! `gateward audit`.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{compose::Assembly, failure::Failure, output};
use crate::{
    config::parse_duration,
    domain::{
        account::Username,
        audit::{Action, Entry, Filter, Outcome},
        identifier::{ClientId, GrantId, UserId},
        time::Timestamp,
    },
    port::store::Page,
};

/// How many entries are read at a time.
const PAGE: u32 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List what happened, the newest last. A server writes its entries a moment later.
    List(Arguments),
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Not before this: 2026-11-30, 2026-11-30T09:15:00Z, or as long ago as 90m, 12h, 7d.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only what this client did, or what was done to it.
    #[arg(long, value_name = "CLIENT_ID")]
    client: Option<String>,
    /// Only what this human did, or what was done to them.
    #[arg(long, value_name = "USERNAME")]
    user: Option<String>,
    /// Only what happened under this grant.
    #[arg(long, value_name = "GRANT_ID")]
    grant: Option<String>,
    /// Only this event, such as token.revoke, or this group, such as token. Repeatable.
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<String>,
    /// Only what ended so: success, refused or failed.
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// Only what happened in this request or authorization attempt, as error pages and the log name it.
    #[arg(long, value_name = "ID")]
    reference: Option<String>,
    /// At most so many, the newest.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// An entry with all that it says.
#[derive(Serialize)]
struct Whole<'e> {
    #[serde(flatten)]
    entry: &'e Entry,
    time: String,
    username: Option<&'e str>,
}

/// An entry in a table.
#[derive(Serialize)]
struct Row<'e> {
    time: String,
    event: &'e str,
    outcome: &'e str,
    reason: Option<&'e str>,
    client: Option<&'e str>,
    user: Option<&'e str>,
    grant: Option<&'e str>,
    address: Option<IpAddr>,
    request: Option<&'e str>,
    times: u64,
}

pub(super) async fn run(verb: Verb, assembly: &Assembly) -> Result<(), Failure> {
    let Verb::List(arguments) = verb;
    let (limit, json) = (arguments.limit, arguments.json);
    let filter = arguments.filter(assembly).await?;
    let mut entries = read(assembly, &filter, limit).await?;
    entries.reverse();
    let names = usernames(assembly, &entries).await?;
    let name = |entry: &Entry| entry.user_id.as_ref().and_then(|id| names.get(id)).map(Username::as_str);
    if json {
        let whole = |entry| Whole { entry, time: output::rfc3339(entry.at), username: name(entry) };
        return output::many(&entries.iter().map(whole).collect::<Vec<_>>(), true);
    }
    let row = |entry| row(entry, name(entry));
    output::many(&entries.iter().map(row).collect::<Vec<_>>(), false)
}

fn row<'e>(entry: &'e Entry, username: Option<&'e str>) -> Row<'e> {
    Row {
        time: output::rfc3339(entry.at),
        event: &entry.event,
        outcome: &entry.outcome,
        reason: entry.reason.as_deref(),
        client: entry.client_id.as_ref().map(ClientId::as_str),
        user: username.or(entry.user_id.as_ref().map(UserId::as_str)),
        grant: entry.grant_id.as_ref().map(GrantId::as_str),
        address: entry.address,
        request: entry.request_id.as_deref().or(entry.attempt_id.as_deref()),
        times: entry.times,
    }
}

/// The newest entries, the newest first.
async fn read(assembly: &Assembly, filter: &Filter, limit: u32) -> Result<Vec<Entry>, Failure> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let left = limit.saturating_sub(u32::try_from(entries.len()).unwrap_or(u32::MAX)).min(PAGE);
        if left == 0 {
            return Ok(entries);
        }
        let after = entries.last().map(|entry| entry.id.clone());
        let page = assembly.stores.audit.list(filter, Page { after, limit: left }).await?;
        if page.is_empty() {
            return Ok(entries);
        }
        entries.extend(page);
    }
}

/// The login names of those whom entries are about.
async fn usernames(assembly: &Assembly, entries: &[Entry]) -> Result<BTreeMap<UserId, Username>, Failure> {
    let mut names = BTreeMap::new();
    for id in entries.iter().filter_map(|entry| entry.user_id.as_ref()) {
        if !names.contains_key(id)
            && let Some(user) = assembly.stores.accounts.find_user(id).await?
        {
            names.insert(id.clone(), user.username);
        }
    }
    Ok(names)
}

impl Arguments {
    async fn filter(self, assembly: &Assembly) -> Result<Filter, Failure> {
        let now = assembly.now();
        let time = |name: &str, text: Option<String>| {
            let time = text.map(|text| {
                parse_time(&text, now).ok_or_else(|| {
                    Failure::usage(format!("--{name} {text}: neither 2026-11-30, 2026-11-30T09:15:00Z nor 12h"))
                })
            });
            time.transpose()
        };
        let user = match self.user.map(|name| Username::parse(&name)).transpose().map_err(Failure::usage)? {
            Some(name) => Some(assembly.authority.user(&name).await?.id),
            None => None,
        };
        Ok(Filter {
            since: time("since", self.since)?,
            until: time("until", self.until)?,
            events: events(&self.events)?,
            outcome: self.outcome.map(|word| outcome(&word)).transpose()?,
            client: self.client.map(|id| ClientId::parse(&id)).transpose().map_err(Failure::usage)?,
            user,
            grant: self.grant.map(|id| GrantId::parse(&id)).transpose().map_err(Failure::usage)?,
            reference: self.reference,
        })
    }
}

fn events(words: &[String]) -> Result<Vec<&'static str>, Failure> {
    let mut events = Vec::new();
    for word in words {
        let named = Action::named(word);
        if named.is_empty() {
            let known: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
            return Err(Failure::usage(format!(
                "--event {word}: there is no such event; there are {}",
                known.join(", ")
            )));
        }
        events.extend(named.into_iter().map(Action::as_str));
    }
    Ok(events)
}

fn outcome(word: &str) -> Result<&'static str, Failure> {
    let known = Outcome::ALL.iter().map(|outcome| outcome.as_str()).find(|known| *known == word);
    known.ok_or_else(|| Failure::usage(format!("--outcome {word}: one of success, refused, failed")))
}

/// A date, a date and time in UTC, or a duration before `now`.
fn parse_time(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(ago) = parse_duration(text) {
        return Some(now.minus(ago));
    }
    let text =
        if text.len() == "2026-11-30".len() { Cow::Owned(format!("{text}T00:00:00Z")) } else { Cow::Borrowed(text) };
    if text.len() != "2026-11-30T09:15:00Z".len() {
        return None;
    }
    let mut numbers = text.split(['-', 'T', ':', 'Z']).map_while(|part| part.parse::<i64>().ok());
    let mut next = || numbers.next();
    let (year, month, day) = (next()?, next()?, next()?);
    let (hour, minute, second) = (next()?, next()?, next()?);
    // Days since 1970 in the proleptic Gregorian calendar; years begin in March here, so that a leap day is the last one.
    let years = year - i64::from(month <= 2);
    let (era, year_of_era) = (years.div_euclid(400), years.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    let time = Timestamp::from_unix(((days * 24 + hour) * 60 + minute) * 60 + second);
    // What is no date, or is written otherwise, does not come back as it was.
    (output::rfc3339(time) == text).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_moments_or_so_long_ago() {
        let now = Timestamp::from_unix(1_795_200_900);
        for (text, unix) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2026-11-20T18:55:00Z", 1_795_200_900),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("90m", 1_795_200_900 - 5_400),
        ] {
            assert_eq!(parse_time(text, now), Some(Timestamp::from_unix(unix)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-02-30",
            "2026-13-01",
            "2026-11-30T24:00:00Z",
            "2026-11-30T09:15:00",
            "99999999999-01-01",
        ] {
            assert_eq!(parse_time(text, Timestamp::EPOCH), None, "{text}");
        }
    }
}
