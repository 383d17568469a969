//! What is kept of an event.

use std::{borrow::Cow, fmt, net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use super::Event;
use crate::domain::{
    credential::base62,
    identifier::{ClientId, GrantId, KeyId, TokenId, UserId},
    time::Timestamp,
};

/// The text cannot be the name of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the name of an entry is 1 to 64 letters, digits and dashes")]
pub struct InvalidEntryId;

/// One process writing to the trail, from its start to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run(Box<str>);

impl Run {
    /// A run of this random name.
    pub fn from_entropy(random: [u8; 16]) -> Self {
        Self(base62(&random).into())
    }
}

/// The name of an entry: its time, its run and its place in that run, so that names sort by time, and an entry that is handed to
/// a store twice is there once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct EntryId(Arc<str>);

impl EntryId {
    /// Names the entry with this number in a run.
    pub fn new(at: Timestamp, run: &Run, number: u64) -> Self {
        let (seconds, number) = (digits(seconds(at)), digits(number));
        Self([text(&seconds), &run.0, text(&number)].join("-").into())
    }

    /// What sorts before every name of this second or a later one, and behind every earlier one.
    pub fn begin(at: Timestamp) -> String {
        text(&digits(seconds(at))).to_owned()
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Result<Self, InvalidEntryId> {
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if fits { Ok(Self(text.into())) } else { Err(InvalidEntryId) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both were written by the same run.
    pub fn is_of_run_of(&self, other: &Self) -> bool {
        let run = |id: &Self| id.0.split('-').nth(1).map(str::to_owned);
        run(self).is_some_and(|mine| run(other) == Some(mine))
    }
}

/// Before 1970 there was no trail; ten digits last until the year 36812.
fn seconds(at: Timestamp) -> u64 {
    at.unix().clamp(0, 0xff_ffff_ffff).unsigned_abs()
}

/// Hexadecimal, as wide as every other number in a name; a run has fewer than 2^40 entries.
fn digits(number: u64) -> [u8; 10] {
    std::array::from_fn(|at| b"0123456789abcdef"[(number >> (4 * (9 - at)) & 0xf) as usize])
}

fn text(digits: &[u8; 10]) -> &str {
    std::str::from_utf8(digits).unwrap_or_default()
}

impl TryFrom<String> for EntryId {
    type Error = InvalidEntryId;
    fn try_from(text: String) -> Result<Self, InvalidEntryId> {
        Self::parse(&text)
    }
}

impl Serialize for EntryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryId({})", self.0)
    }
}

/// An event as it is kept. Its words are text, because a newer version may have written others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub id: EntryId,
    pub at: Timestamp,
    pub event: Cow<'static, str>,
    pub outcome: Cow<'static, str>,
    pub reason: Option<Cow<'static, str>>,
    pub client_id: Option<ClientId>,
    pub user_id: Option<UserId>,
    pub grant_id: Option<GrantId>,
    pub token_id: Option<TokenId>,
    pub key_id: Option<KeyId>,
    pub address: Option<IpAddr>,
    pub request_id: Option<Arc<str>>,
    pub attempt_id: Option<Arc<str>>,
    /// Which instance, or which machine's command line, wrote it.
    pub instance: Arc<str>,
    /// How many events it stands for: refusals that are alike but for their time.
    pub times: u64,
}

impl Entry {
    /// What is kept of `event`.
    pub fn new(id: EntryId, event: Event, instance: &Arc<str>) -> Self {
        Self {
            id,
            at: event.at,
            event: event.action.as_str().into(),
            outcome: event.outcome.as_str().into(),
            reason: event.reason.map(|reason| reason.as_str().into()),
            client_id: event.client,
            user_id: event.user,
            grant_id: event.grant,
            token_id: event.token,
            key_id: event.key,
            address: event.address,
            request_id: event.request.map(Arc::from),
            attempt_id: event.attempt.map(|id| id.to_string().into()),
            instance: instance.clone(),
            times: event.times,
        }
    }
}

/// Which entries are wanted; what is not said does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Not before this.
    pub since: Option<Timestamp>,
    /// Before this.
    pub until: Option<Timestamp>,
    /// Any of these words; empty: every event.
    pub events: Vec<&'static str>,
    pub outcome: Option<&'static str>,
    pub client: Option<ClientId>,
    pub user: Option<UserId>,
    pub grant: Option<GrantId>,
    /// The name of a request or of an authorization attempt.
    pub reference: Option<String>,
}

impl Filter {
    /// Whether an entry is wanted.
    pub fn admits(&self, entry: &Entry) -> bool {
        fn fits<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted == found
        }
        let referred = |name: &String| {
            [&entry.request_id, &entry.attempt_id].into_iter().any(|id| id.as_deref() == Some(name.as_str()))
        };
        self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at < until)
            && (self.events.is_empty() || self.events.contains(&&*entry.event))
            && self.outcome.is_none_or(|outcome| entry.outcome == outcome)
            && fits(self.client.as_ref(), entry.client_id.as_ref())
            && fits(self.user.as_ref(), entry.user_id.as_ref())
            && fits(self.grant.as_ref(), entry.grant_id.as_ref())
            && self.reference.as_ref().is_none_or(referred)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(at: i64, run: u8, number: u64) -> EntryId {
        EntryId::new(Timestamp::from_unix(at), &Run::from_entropy([run; 16]), number)
    }

    #[test]
    fn names_sort_by_time_and_then_by_their_place_in_the_run() {
        let sorted = [id(0, 9, 7), id(1, 1, 9), id(1, 1, 10), id(255, 1, 0), id(256, 1, 0), id(1_795_200_900, 1, 0)];
        assert!(sorted.is_sorted(), "{sorted:?}");
        assert!(EntryId::begin(Timestamp::from_unix(256)).as_str() < id(256, 1, 0).as_str());
        assert!(EntryId::begin(Timestamp::from_unix(256)).as_str() > id(255, 255, u64::MAX >> 24).as_str());
    }

    #[test]
    fn a_name_reads_back_and_tells_its_run() {
        let one = id(5, 1, 0);
        assert_eq!(EntryId::parse(one.as_str()), Ok(one.clone()));
        assert!(one.is_of_run_of(&id(900, 1, 44)));
        assert!(!one.is_of_run_of(&id(5, 2, 0)));
        for bad in ["", "a b", "a\n", &"x".repeat(65)] {
            assert_eq!(EntryId::parse(bad), Err(InvalidEntryId));
        }
    }
}
