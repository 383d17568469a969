//! Behaviours of the account store.

use std::time::Duration;

use crate::{
    domain::{
        account::{Consent, PasswordHash, Session, SessionLifetime, User, UserStatus},
        assertion::ReplayId,
        credential::Digest,
    },
    port::store::{Creation, Page},
    store::Stores,
    testing::fixture::{NOW, RESOURCE, at, client_id, consent, resource, session, user, user_id, username},
};

async fn create(stores: &Stores, name: &str) -> User {
    let user = user(name);
    assert_eq!(stores.accounts.create_user(&user).await.unwrap(), Creation::Created);
    user
}

async fn open(stores: &Stores, name: &str, user: &str) -> Session {
    let session = session(name, user);
    assert!(stores.accounts.open_session(&session, None).await.unwrap());
    session
}

async fn lives(stores: &Stores, session: &Session) -> bool {
    stores.accounts.find_session(&session.digest).await.unwrap().is_some()
}

/// By both, and not by anything else.
pub async fn an_account_is_found_by_identifier_and_name(stores: &Stores) {
    let disabled = User { status: UserStatus::Disabled, username: username("Grace@Example"), ..user("grace") };
    assert_eq!(stores.accounts.create_user(&disabled).await.unwrap(), Creation::Created);
    let ada = create(stores, "ada").await;
    for made in [ada, disabled] {
        assert_eq!(stores.accounts.find_user(&made.id).await.unwrap().as_ref(), Some(&made));
        assert_eq!(stores.accounts.find_user_by_name(&made.username).await.unwrap(), Some(made));
    }
    assert_eq!(stores.accounts.find_user(&user_id("nobody")).await.unwrap(), None);
    assert_eq!(stores.accounts.find_user_by_name(&username("grace")).await.unwrap(), None);
}

/// The second account of a name is refused and changes nothing.
pub async fn a_login_name_is_taken_once(stores: &Stores) {
    let ada = create(stores, "ada").await;
    let other = User { id: user_id("other"), ..user("ada") };
    assert_eq!(stores.accounts.create_user(&other).await.unwrap(), Creation::Taken);
    assert_eq!(stores.accounts.find_user(&other.id).await.unwrap(), None);
    assert_eq!(stores.accounts.find_user_by_name(&ada.username).await.unwrap(), Some(ada));
}

/// By login name.
pub async fn accounts_are_listed_in_pages_in_order(stores: &Stores) {
    for (id, name) in [("1", "cy"), ("2", "ada"), ("3", "bo")] {
        let user = User { username: username(name), ..user(id) };
        stores.accounts.create_user(&user).await.unwrap();
    }
    let page = async |after: Option<&str>, limit| {
        let found = stores.accounts.list_users(Page { after: after.map(username), limit }).await.unwrap();
        found.iter().map(|user| user.username.as_str().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(page(None, 2).await, "ada bo");
    assert_eq!(page(Some("bo"), 2).await, "cy");
    assert_eq!(page(Some("cy"), 2).await, "");
    assert_eq!(page(None, 0).await, "");
}

/// Whoever knew the old one is out; other accounts are not.
pub async fn a_new_password_ends_every_session_of_its_account(stores: &Stores) {
    for name in ["ada", "bo"] {
        create(stores, name).await;
    }
    let one = open(stores, "one", "ada").await;
    let two = open(stores, "two", "ada").await;
    let other = open(stores, "other", "bo").await;
    let password = PasswordHash::new("$argon2id$new");
    assert!(stores.accounts.set_password(&user_id("ada"), &password).await.unwrap());
    assert!(!lives(stores, &one).await && !lives(stores, &two).await && lives(stores, &other).await);
    assert_eq!(stores.accounts.find_user(&user_id("ada")).await.unwrap(), Some(User { password, ..user("ada") }));
    open(stores, "one", "ada").await;
}

/// Other accounts are left alone, and an unknown one is none.
pub async fn sessions_end_together_and_the_account_stays_as_it_is(stores: &Stores) {
    for name in ["ada", "bo"] {
        create(stores, name).await;
    }
    let one = open(stores, "one", "ada").await;
    let two = open(stores, "two", "ada").await;
    let other = open(stores, "other", "bo").await;
    assert!(stores.accounts.end_sessions(&user_id("ada")).await.unwrap());
    assert!(!lives(stores, &one).await && !lives(stores, &two).await && lives(stores, &other).await);
    assert_eq!(stores.accounts.find_user(&user_id("ada")).await.unwrap(), Some(user("ada")));
    open(stores, "one", "ada").await;
    assert!(!stores.accounts.end_sessions(&user_id("nobody")).await.unwrap());
    assert_eq!(stores.accounts.find_user(&user_id("nobody")).await.unwrap(), None);
}

/// Enabling ends nothing either.
pub async fn disabling_an_account_ends_its_sessions_and_enabling_brings_none_back(stores: &Stores) {
    create(stores, "ada").await;
    let session = open(stores, "one", "ada").await;
    let set = async |status| {
        assert!(stores.accounts.set_status(&user_id("ada"), status).await.unwrap());
        let found = stores.accounts.find_user(&user_id("ada")).await.unwrap().unwrap();
        assert_eq!(found, User { status, ..user("ada") });
    };
    set(UserStatus::Active).await;
    assert!(lives(stores, &session).await);
    set(UserStatus::Disabled).await;
    assert!(!lives(stores, &session).await);
    set(UserStatus::Active).await;
    assert!(!lives(stores, &session).await);
}

/// From the first moment on, as far as whoever changes it can see; and nobody is no account that may act.
pub async fn an_account_may_act_while_it_is_active(stores: &Stores) {
    let ada = create(stores, "ada").await;
    let name = async || stores.accounts.active_user(&user_id("ada")).await.unwrap();
    for status in [UserStatus::Active, UserStatus::Disabled, UserStatus::Active, UserStatus::Disabled] {
        assert!(stores.accounts.set_status(&user_id("ada"), status).await.unwrap());
        for _ in 0..2 {
            assert_eq!(name().await, (status == UserStatus::Active).then(|| ada.username.clone()));
        }
    }
    assert_eq!(stores.accounts.active_user(&user_id("nobody")).await.unwrap(), None);
}

/// The answer says so.
pub async fn an_unknown_account_is_not_changed(stores: &Stores) {
    let nobody = user_id("nobody");
    assert!(!stores.accounts.set_password(&nobody, &PasswordHash::new("x")).await.unwrap());
    assert!(!stores.accounts.set_status(&nobody, UserStatus::Disabled).await.unwrap());
    assert_eq!(stores.accounts.find_user(&nobody).await.unwrap(), None);
}

/// Expired or not is for the rules to say.
pub async fn a_session_is_found_with_its_account(stores: &Stores) {
    let ada = create(stores, "ada").await;
    let old = Session { auth_time: at(-1_000_000), last_seen_at: at(-999_999), ..session("old", "ada") };
    for session in [session("new", "ada"), old] {
        assert!(stores.accounts.open_session(&session, None).await.unwrap());
        let found = stores.accounts.find_session(&session.digest).await.unwrap();
        assert_eq!(found, Some((session, ada.clone())));
    }
    assert_eq!(stores.accounts.find_session(&session("unknown", "ada").digest).await.unwrap(), None);
}

/// Neither a disabled one nor an unknown one.
pub async fn only_an_active_account_gets_a_session(stores: &Stores) {
    create(stores, "ada").await;
    stores.accounts.set_status(&user_id("ada"), UserStatus::Disabled).await.unwrap();
    for name in ["ada", "nobody"] {
        let session = session("one", name);
        assert!(!stores.accounts.open_session(&session, None).await.unwrap());
        assert!(!lives(stores, &session).await);
    }
}

/// Its own account's, another account's, or one that is gone already.
pub async fn a_session_replaces_another(stores: &Stores) {
    for name in ["ada", "bo"] {
        create(stores, name).await;
    }
    let mut last = open(stores, "first", "ada").await;
    for (name, user) in [("second", "ada"), ("third", "bo")] {
        let next = session(name, user);
        assert!(stores.accounts.open_session(&next, Some(&last.digest)).await.unwrap());
        assert!(!lives(stores, &last).await && lives(stores, &next).await);
        last = next;
    }
    let next = session("fourth", "ada");
    assert!(stores.accounts.open_session(&next, Some(&session("gone", "ada").digest)).await.unwrap());
    assert!(lives(stores, &last).await && lives(stores, &next).await);
}

/// Nothing is recorded, and nothing ends.
pub async fn a_refused_session_replaces_nothing(stores: &Stores) {
    create(stores, "ada").await;
    let old = open(stores, "old", "ada").await;
    assert!(!stores.accounts.open_session(&session("new", "nobody"), Some(&old.digest)).await.unwrap());
    assert!(lives(stores, &old).await);
}

/// Two requests may arrive in any order; an unknown session is no error.
pub async fn a_session_is_seen_later_and_never_earlier(stores: &Stores) {
    create(stores, "ada").await;
    let session = open(stores, "one", "ada").await;
    for (now, seen) in [(10, 10), (5, 10), (20, 20)] {
        stores.accounts.touch_session(&session.digest, at(now)).await.unwrap();
        let (found, _) = stores.accounts.find_session(&session.digest).await.unwrap().unwrap();
        assert_eq!(found, Session { last_seen_at: at(seen), ..session.clone() });
    }
    let unknown = Session { digest: Digest::of("unknown"), ..session };
    stores.accounts.touch_session(&unknown.digest, at(1)).await.unwrap();
    assert!(!lives(stores, &unknown).await);
}

/// The others stay.
pub async fn a_session_is_closed_once(stores: &Stores) {
    create(stores, "ada").await;
    let [one, two] = [open(stores, "one", "ada").await, open(stores, "two", "ada").await];
    assert!(stores.accounts.close_session(&one.digest).await.unwrap());
    assert!(!stores.accounts.close_session(&one.digest).await.unwrap());
    assert!(!lives(stores, &one).await && lives(stores, &two).await);
}

async fn consented(stores: &Stores, user: &str, client: &str, uri: &str) -> String {
    let found = stores.accounts.consented(&user_id(user), &client_id(client), &resource(uri)).await.unwrap();
    found.to_string()
}

/// What was agreed to for one client at one resource says nothing about another.
pub async fn consent_adds_up_per_client_and_resource(stores: &Stores) {
    assert_eq!(consented(stores, "user", "client", RESOURCE).await, "");
    for text in ["b", "a c", "b"] {
        stores.accounts.add_consent(&consent(text)).await.unwrap();
    }
    assert_eq!(consented(stores, "user", "client", RESOURCE).await, "a b c");
    for (user, client, uri) in
        [("other", "client", RESOURCE), ("user", "other", RESOURCE), ("user", "client", "https://other.example/")]
    {
        assert_eq!(consented(stores, user, client, uri).await, "");
    }
}

/// Two texts of one resource are one resource.
pub async fn consent_is_found_by_any_name_of_its_resource(stores: &Stores) {
    for (uri, text) in [("https://mcp.example", "a"), ("HTTPS://MCP.example/", "b")] {
        let consent = Consent { resource: resource(uri), ..consent(text) };
        stores.accounts.add_consent(&consent).await.unwrap();
    }
    assert_eq!(consented(stores, "user", "client", "https://mcp.example/").await, "a b");
    assert_eq!(stores.accounts.forget_consents(&user_id("user"), None).await.unwrap(), 1);
}

/// How many is how many resources of how many clients.
pub async fn consent_is_forgotten_for_one_client_or_for_all(stores: &Stores) {
    let forget = async |user: &str, client: Option<&str>| {
        stores.accounts.forget_consents(&user_id(user), client.map(client_id).as_ref()).await.unwrap()
    };
    for (user, client, uri) in [
        ("user", "a", RESOURCE),
        ("user", "a", "https://other.example/"),
        ("user", "b", RESOURCE),
        ("user", "c", RESOURCE),
        ("other", "a", RESOURCE),
    ] {
        let (user_id, client_id, resource) = (user_id(user), client_id(client), resource(uri));
        stores.accounts.add_consent(&Consent { user_id, client_id, resource, ..consent("x") }).await.unwrap();
    }
    assert_eq!(forget("user", Some("a")).await, 2);
    assert_eq!(forget("user", Some("a")).await, 0);
    assert_eq!(consented(stores, "user", "a", RESOURCE).await, "");
    assert_eq!(consented(stores, "user", "b", RESOURCE).await, "x");
    assert_eq!(forget("user", None).await, 2);
    assert_eq!(consented(stores, "other", "a", RESOURCE).await, "x");
    stores.accounts.add_consent(&Consent { client_id: client_id("a"), ..consent("y") }).await.unwrap();
    assert_eq!(consented(stores, "user", "a", RESOURCE).await, "y");
}

/// And no other client's; what is agreed to afterwards counts.
pub async fn the_consents_of_a_client_are_forgotten_for_every_human(stores: &Stores) {
    let agree = async |user: &str, client: &str, uri: &str| {
        let (user_id, client_id, resource) = (user_id(user), client_id(client), resource(uri));
        stores.accounts.add_consent(&Consent { user_id, client_id, resource, ..consent("x") }).await.unwrap();
    };
    let forget = async |client: &str| stores.accounts.forget_consents_of_client(&client_id(client)).await.unwrap();
    assert_eq!(forget("gone").await, 0);
    for i in 0..20 {
        let user = i.to_string();
        agree(&user, "gone", RESOURCE).await;
        agree(&user, "stays", RESOURCE).await;
    }
    agree("0", "gone", "https://other.example/").await;
    agree("alone", "gone", RESOURCE).await;
    assert_eq!(forget("gone").await, 22);
    assert_eq!(forget("gone").await, 0);
    for i in 0..20 {
        let user = i.to_string();
        assert_eq!(consented(stores, &user, "gone", RESOURCE).await, "");
        assert_eq!(consented(stores, &user, "stays", RESOURCE).await, "x");
    }
    assert_eq!(consented(stores, "0", "gone", "https://other.example/").await, "");
    agree("alone", "gone", RESOURCE).await;
    assert_eq!(consented(stores, "alone", "gone", RESOURCE).await, "x");
}

fn failure_key(name: &str) -> ReplayId {
    ReplayId::of(&[b"failures", name.as_bytes()])
}

/// The window ends where the first failure in it said; then it starts again at one.
pub async fn failures_are_counted_in_a_window_that_ends(stores: &Stores) {
    let key = failure_key("ada");
    let count = async |until, now| stores.accounts.count_failure(&key, at(until), at(now)).await.unwrap();
    let failures = async |now| stores.accounts.failures(&key, at(now)).await.unwrap();
    assert_eq!(failures(0).await, None);
    assert_eq!(count(10, 0).await, 1);
    assert_eq!(count(15, 5).await, 2);
    assert_eq!(failures(9).await, Some((2, at(10))));
    assert_eq!(failures(10).await, None);
    assert_eq!(count(20, 10).await, 1);
    assert_eq!(failures(19).await, Some((1, at(20))));
    assert_eq!(stores.accounts.failures(&failure_key("bo"), at(0)).await.unwrap(), None);
}

/// A good login starts anew; other keys stay.
pub async fn failures_are_cleared(stores: &Stores) {
    let [ada, bo] = ["ada", "bo"].map(failure_key);
    for key in [&ada, &bo] {
        stores.accounts.count_failure(key, at(10), at(0)).await.unwrap();
    }
    stores.accounts.clear_failures(&ada).await.unwrap();
    assert_eq!(stores.accounts.failures(&ada, at(0)).await.unwrap(), None);
    assert_eq!(stores.accounts.failures(&bo, at(0)).await.unwrap(), Some((1, at(10))));
    stores.accounts.clear_failures(&failure_key("nobody")).await.unwrap();
}

const LIFETIME: SessionLifetime = SessionLifetime { idle: Duration::from_secs(10), absolute: Duration::from_secs(25) };

/// When idle, and in any case at their absolute end.
pub async fn a_purge_forgets_sessions_and_windows_that_are_over(stores: &Stores) {
    create(stores, "ada").await;
    let [idle, busy] = [open(stores, "idle", "ada").await, open(stores, "busy", "ada").await];
    stores.accounts.count_failure(&failure_key("ada"), at(12), at(0)).await.unwrap();
    let purge = async |now| stores.accounts.purge(LIFETIME, at(now), 100).await.unwrap();
    assert_eq!(purge(9).await, 0);
    stores.accounts.touch_session(&busy.digest, at(9)).await.unwrap();
    assert_eq!(purge(10).await, 1);
    assert!(!lives(stores, &idle).await && lives(stores, &busy).await);
    assert_eq!(purge(12).await, 1);
    stores.accounts.touch_session(&busy.digest, at(18)).await.unwrap();
    stores.accounts.touch_session(&busy.digest, at(24)).await.unwrap();
    assert_eq!(purge(24).await, 0);
    assert_eq!(purge(25).await, 1);
    assert!(!lives(stores, &busy).await);
    assert_eq!(purge(25).await, 0);
}

/// At most as many of each as asked for.
pub async fn a_purge_of_accounts_works_in_batches(stores: &Stores) {
    create(stores, "ada").await;
    for i in 0..5 {
        open(stores, &i.to_string(), "ada").await;
        stores.accounts.count_failure(&failure_key(&i.to_string()), at(10), NOW).await.unwrap();
    }
    let purge = async || stores.accounts.purge(LIFETIME, at(10), 2).await.unwrap();
    assert_eq!([purge().await, purge().await, purge().await, purge().await], [4, 4, 2, 0]);
    for i in 0..5 {
        assert!(!lives(stores, &session(&i.to_string(), "ada")).await);
    }
}
