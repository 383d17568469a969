//! Refusals that are alike are one entry a minute.
//!
//! Anybody can be refused as often as they like, and must not fill the store with it. The first refusal of its kind is written at
//! once and opens a window of a minute; those that are like it until then are counted, and written as one entry when the window
//! ends. So whoever hammers at the door costs two entries a minute, and a flood from everywhere costs [`MOST`] times that.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use crate::domain::{
    address::AddressBlock,
    audit::{Action, Event, Outcome, Reason},
    identifier::{ClientId, GrantId, UserId},
    time::Timestamp,
};

/// How long refusals are counted before they are written.
const WINDOW: Duration = Duration::from_secs(60);

/// How many windows are open at the same time. What would need another one is counted by its kind alone, whoever it came from.
pub(super) const MOST: usize = 1024;

/// What makes refusals alike.
#[derive(PartialEq, Eq, Hash)]
struct Kind {
    action: Action,
    reason: Option<Reason>,
    client: Option<ClientId>,
    user: Option<UserId>,
    grant: Option<GrantId>,
    /// A whole block, as limits count senders.
    sender: Option<AddressBlock>,
}

struct Window {
    ends_at: Timestamp,
    /// The first of those that were not written, which stands for all of them.
    held: Option<Event>,
}

/// The windows that are open.
#[derive(Default)]
pub(super) struct Folding {
    windows: HashMap<Kind, Window>,
}

impl Folding {
    /// Gives the event back if it is to be written now.
    pub(super) fn admit(&mut self, event: Event) -> Option<Event> {
        match event.outcome {
            Outcome::Success | Outcome::Failed => return Some(event),
            Outcome::Refused => {}
        }
        let mut kind = Kind {
            action: event.action,
            reason: event.reason,
            client: event.client.clone(),
            user: event.user.clone(),
            grant: event.grant.clone(),
            sender: event.address.map(AddressBlock::of),
        };
        let mut event = event;
        if self.windows.len() >= MOST && !self.windows.contains_key(&kind) {
            kind = Kind { client: None, user: None, grant: None, sender: None, ..kind };
            event = Event { times: event.times, ..Event::new(event.at, event.action, event.outcome, event.reason) };
        }
        match self.windows.entry(kind) {
            Entry::Vacant(place) => {
                place.insert(Window { ends_at: event.at.plus(WINDOW), held: None });
                Some(event)
            }
            Entry::Occupied(window) => {
                match &mut window.into_mut().held {
                    Some(held) => held.times = held.times.saturating_add(event.times),
                    held @ None => *held = Some(event),
                }
                None
            }
        }
    }

    /// Closes the windows that are over at `now`.
    pub(super) fn over(&mut self, now: Timestamp) -> Vec<Event> {
        let over = self.windows.extract_if(|_, window| window.ends_at.is_over(now));
        over.filter_map(|(_, window)| window.held).collect()
    }

    /// Closes every window.
    pub(super) fn all(&mut self) -> Vec<Event> {
        self.windows.drain().filter_map(|(_, window)| window.held).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(at: i64, address: [u8; 4]) -> Event {
        let event = Event::refused(Timestamp::from_unix(at), Action::ClientAuthenticate, Reason::UnknownClient);
        Event { address: Some(address.into()), ..event }
    }

    #[test]
    fn the_first_refusal_is_written_at_once_and_those_like_it_are_counted() {
        let mut folding = Folding::default();
        let one = refused(0, [192, 0, 2, 1]);
        assert_eq!(folding.admit(one.clone()), Some(one));
        assert!((1..60).all(|second| folding.admit(refused(second, [192, 0, 2, 1])).is_none()));
        assert_eq!(folding.over(Timestamp::from_unix(59)), []);
        let over = folding.over(Timestamp::from_unix(60));
        assert_eq!(over, [Event { times: 59, ..refused(1, [192, 0, 2, 1]) }]);
        assert!(folding.admit(refused(61, [192, 0, 2, 1])).is_some());
    }

    #[test]
    fn what_differs_in_more_than_time_is_told_apart() {
        let mut folding = Folding::default();
        let one = refused(0, [192, 0, 2, 1]);
        let other = refused(0, [192, 0, 2, 2]);
        let of_a_client = Event { client: ClientId::parse("app").ok(), ..one.clone() };
        for event in [one.clone(), other, of_a_client, one.because(Reason::WrongSecret)] {
            assert_eq!(folding.admit(event.clone()), Some(event));
        }
    }

    #[test]
    fn successes_are_never_folded() {
        let mut folding = Folding::default();
        let success = Event::success(Timestamp::EPOCH, Action::TokenClientCredentials);
        assert!((0..9).all(|_| folding.admit(success.clone()).is_some()));
        assert_eq!(folding.all(), []);
    }

    #[test]
    fn a_flood_from_everywhere_is_counted_by_its_kind() {
        let mut folding = Folding::default();
        let from = |number: u32| refused(0, number.to_be_bytes());
        let number = u32::try_from(MOST).unwrap();
        let written = (0..3 * number).filter(|number| folding.admit(from(*number)).is_some()).count();
        assert_eq!(written, MOST + 1);
        let all = folding.all();
        let anonymous = Event { address: None, times: u64::from(2 * number) - 1, ..from(0) };
        assert_eq!(all, [anonymous]);
    }
}
