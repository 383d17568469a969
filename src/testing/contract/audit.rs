//! Behaviours of the store of the audit trail.

use crate::{
    domain::audit::{Action, Entry, EntryId, Event, Filter, Reason},
    port::store::Page,
    store::Stores,
    testing::fixture::{at, audit_entry, client_id, full_event, grant_id, user_id},
};

/// A client that authenticates badly, `seconds` after the beginning.
fn failure(number: u64, seconds: i64) -> Entry {
    audit_entry(number, Event::refused(at(seconds), Action::ClientAuthenticate, Reason::WrongSecret))
}

async fn page(stores: &Stores, filter: &Filter, after: Option<&EntryId>, limit: u32) -> Vec<Entry> {
    stores.audit.list(filter, Page { after: after.cloned(), limit }).await.unwrap()
}

async fn list(stores: &Stores, filter: Filter) -> Vec<Entry> {
    page(stores, &filter, None, 1_000).await
}

/// With everything that an entry can say, and with as little as it must.
pub async fn entries_are_listed_as_they_were_appended_the_newest_first(stores: &Stores) {
    assert_eq!(list(stores, Filter::default()).await, []);
    stores.audit.append(&[]).await.unwrap();
    let whole = audit_entry(1, full_event(at(0)));
    let bare = audit_entry(2, Event::success(at(9), Action::UserLogin));
    let over_v6 = audit_entry(3, Event { address: "2001:db8::1".parse().ok(), ..full_event(at(9)) });
    stores.audit.append(&[over_v6.clone(), whole.clone()]).await.unwrap();
    stores.audit.append(std::slice::from_ref(&bare)).await.unwrap();
    assert_eq!(list(stores, Filter::default()).await, [over_v6, bare, whole]);
}

/// Whoever heard nothing of the first time does it again, perhaps with more.
pub async fn an_entry_that_is_appended_again_is_there_once(stores: &Stores) {
    let [one, two] = [failure(1, 0), failure(2, 0)];
    stores.audit.append(std::slice::from_ref(&one)).await.unwrap();
    stores.audit.append(&[one.clone(), two.clone()]).await.unwrap();
    assert_eq!(list(stores, Filter::default()).await, [two, one]);
}

/// A page begins behind the last entry of the one before, whether that is still there or not.
pub async fn entries_are_listed_in_pages(stores: &Stores) {
    let mut all: Vec<Entry> = (0..1_203).map(|number| failure(number, i64::try_from(number / 100).unwrap())).collect();
    for part in all.chunks(500) {
        stores.audit.append(part).await.unwrap();
    }
    all.reverse();
    let mut listed: Vec<Entry> = Vec::new();
    loop {
        let after = listed.last().map(|entry| entry.id.clone());
        let next = page(stores, &Filter::default(), after.as_ref(), 400).await;
        if next.is_empty() {
            break;
        }
        listed.extend(next);
    }
    assert_eq!(listed, all);
}

/// As a person means it who asks for an hour.
pub async fn a_period_begins_with_its_first_second_and_ends_before_its_last(stores: &Stores) {
    let all = [failure(1, 9), failure(2, 10), failure(3, 19), failure(4, 20)];
    stores.audit.append(&all).await.unwrap();
    let period = |since: Option<i64>, until: Option<i64>| Filter {
        since: since.map(at),
        until: until.map(at),
        ..Filter::default()
    };
    let [nine, ten, nineteen, twenty] = all;
    let found = list(stores, period(Some(10), Some(20))).await;
    assert_eq!(found, [nineteen.clone(), ten.clone()]);
    assert_eq!(list(stores, period(None, Some(10))).await, [nine]);
    assert_eq!(list(stores, period(Some(20), None)).await, [twenty]);
    assert_eq!(list(stores, period(Some(21), None)).await, []);
    // The end of the period and the end of the page before: whichever comes first.
    assert_eq!(page(stores, &period(None, Some(20)), Some(&nineteen.id), 1).await, [ten]);
}

/// Each condition by itself finds the one entry that it is about.
pub async fn entries_are_found_by_what_they_say(stores: &Stores) {
    let other = Event { client: Some(client_id("other")), times: 1, ..Event::success(at(1), Action::UserLogin) };
    let other = Event { user: Some(user_id("other")), grant: Some(grant_id("other")), ..other };
    let [wanted, other] = [audit_entry(1, full_event(at(1))), audit_entry(2, other)];
    stores.audit.append(&[wanted.clone(), other, failure(3, 1)]).await.unwrap();
    let any = Filter::default;
    for filter in [
        Filter { client: Some(client_id("client")), ..any() },
        Filter { user: Some(user_id("user")), ..any() },
        Filter { grant: Some(grant_id("grant")), ..any() },
        Filter { reference: Some("request".to_owned()), ..any() },
        Filter { reference: wanted.attempt_id.as_deref().map(str::to_owned), ..any() },
        Filter { events: vec!["token.refresh_token", "token.revoke"], ..any() },
        Filter { outcome: Some("refused"), events: vec!["user.login", "token.refresh_token"], ..any() },
    ] {
        assert_eq!(list(stores, filter.clone()).await, std::slice::from_ref(&wanted), "{filter:?}");
    }
    let nobody = Filter { client: Some(client_id("client")), user: Some(user_id("other")), ..any() };
    assert_eq!(list(stores, nobody).await, []);
}

/// Two versions write to one trail during an upgrade.
pub async fn words_of_a_newer_version_are_read_as_they_are(stores: &Stores) {
    let newer = Entry {
        event: "device.approve".into(),
        outcome: "postponed".into(),
        reason: Some("who_knows".into()),
        ..failure(1, 0)
    };
    stores.audit.append(std::slice::from_ref(&newer)).await.unwrap();
    assert_eq!(list(stores, Filter::default()).await, [newer]);
}

/// However much else there is in between.
pub async fn the_turns_of_an_instance_are_told_from_those_of_others(stores: &Stores) {
    let turn = |number, seconds, action| audit_entry(number, Event::success(at(seconds), action));
    let [start, stop, again] =
        [turn(1, 0, Action::ServerStart), turn(2, 5, Action::ServerStop), turn(3, 9, Action::ServerStart)];
    let elsewhere = Entry { instance: "elsewhere".into(), ..turn(4, 10, Action::ServerStart) };
    stores.audit.append(&[start.clone(), failure(5, 6)]).await.unwrap();
    stores.audit.append(&[stop.clone(), again.clone(), elsewhere, failure(6, 20)]).await.unwrap();
    assert_eq!(stores.audit.turns("here", 10).await.unwrap(), [again.clone(), stop, start]);
    assert_eq!(stores.audit.turns("here", 1).await.unwrap(), [again]);
    assert_eq!(stores.audit.turns("nowhere", 10).await.unwrap(), []);
}

/// What is exactly as old as the limit stays.
pub async fn a_purge_takes_the_oldest_entries_in_batches(stores: &Stores) {
    let start = audit_entry(0, Event::success(at(0), Action::ServerStart));
    let all = [start, failure(1, 1), failure(2, 2), failure(3, 3)];
    stores.audit.append(&all).await.unwrap();
    let [.., third, last] = all;
    assert_eq!(stores.audit.purge(at(3), 2).await.unwrap(), 2);
    assert_eq!(list(stores, Filter::default()).await, [last.clone(), third]);
    assert_eq!(stores.audit.turns("here", 10).await.unwrap(), []);
    assert_eq!(stores.audit.purge(at(3), 2).await.unwrap(), 1);
    assert_eq!(stores.audit.purge(at(3), 2).await.unwrap(), 0);
    assert_eq!(list(stores, Filter::default()).await, [last]);
}
