use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;
use tokio::time::advance;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::{
    domain::{audit::Filter, identifier::ClientId},
    port::store::{Page, StoreError, StoreResult},
};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Up,
    /// Takes nothing.
    Down,
    /// Takes everything, and its answer is lost.
    Silent,
    /// Never answers.
    Stuck,
    /// Refuses entries about this event.
    Refusing(Action),
}

/// A store that fails as a test says.
#[derive(Default)]
struct Scripted {
    mode: Mutex<Mode>,
    kept: Mutex<BTreeMap<EntryId, Entry>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl Scripted {
    fn set(&self, mode: Mode) {
        *lock(&self.mode) = mode;
    }

    /// What is kept, as words.
    fn events(&self) -> Vec<String> {
        lock(&self.kept).values().map(|entry| entry.event.to_string()).collect()
    }

    fn last(&self) -> Entry {
        lock(&self.kept).values().last().unwrap().clone()
    }
}

#[async_trait]
impl AuditStore for Scripted {
    async fn append(&self, entries: &[Entry]) -> StoreResult<()> {
        let mode = *lock(&self.mode);
        match mode {
            Mode::Up | Mode::Silent => {}
            Mode::Down => return Err(StoreError::Unavailable("the test says so".into())),
            Mode::Stuck => std::future::pending().await,
            Mode::Refusing(action) if entries.iter().any(|entry| entry.event == action.as_str()) => {
                return Err(StoreError::Corrupt("the test says so".into()));
            }
            Mode::Refusing(_) => {}
        }
        lock(&self.kept).extend(entries.iter().map(|entry| (entry.id.clone(), entry.clone())));
        if mode == Mode::Silent { Err(StoreError::Unavailable("the test says so".into())) } else { Ok(()) }
    }

    async fn list(&self, _: &Filter, _: Page<EntryId>) -> StoreResult<Vec<Entry>> {
        Ok(Vec::new())
    }

    async fn turns(&self, instance: &str, _: u32) -> StoreResult<Vec<Entry>> {
        let turns = [Action::ServerStart, Action::ServerStop].map(Action::as_str);
        let wanted = |entry: &&Entry| *entry.instance == *instance && turns.contains(&&*entry.event);
        Ok(lock(&self.kept).values().rev().filter(wanted).cloned().collect())
    }

    async fn purge(&self, _: Timestamp, _: u32) -> StoreResult<u64> {
        Ok(0)
    }

    async fn ping(&self) -> StoreResult<()> {
        Ok(())
    }
}

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        at(43_200)
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

fn login() -> Event {
    Event::success(at(0), Action::UserLogin)
}

fn trail(store: &Arc<Scripted>, run: u8) -> Arc<Trail> {
    Trail::start(store.clone(), Arc::new(Noon), Run::from_entropy([run; 16]), "here", vec![Action::TokenRefresh])
}

/// What is logged in this thread, as long as the guard lives.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(log.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The entries that were given up.
    fn given_up(&self) -> Vec<serde_json::Value> {
        let text = String::from_utf8(lock(&self.0).clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter(|line| line["target"] == "gateward::audit" && line["event"].is_string()).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_recorded_is_in_the_store_a_moment_later() {
    let store = Arc::new(Scripted::default());
    let trail = trail(&store, 1);
    trail.record(login());
    assert_eq!(store.events(), [""; 0]);
    tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_millis(200)).await;
    assert_eq!(store.events(), ["user.login"]);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_down_events_wait_and_are_written_in_their_order_when_it_is_back() {
    let store = Arc::new(Scripted::default());
    let trail = trail(&store, 1);
    store.set(Mode::Down);
    trail.record(login());
    assert!(!trail.flush().await);
    trail.record(Event::success(at(0), Action::UserLogout));
    assert!(!trail.flush().await);
    store.set(Mode::Up);
    // By itself, within a second and a little.
    tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_millis(1_500)).await;
    assert_eq!(store.events(), ["user.login", "user.logout"]);
}

#[tokio::test(start_paused = true)]
async fn an_entry_whose_answer_was_lost_is_written_again_under_the_same_name() {
    let store = Arc::new(Scripted::default());
    let trail = trail(&store, 1);
    store.set(Mode::Silent);
    trail.record(login());
    assert!(!trail.flush().await);
    assert!(!trail.flush().await);
    store.set(Mode::Up);
    assert!(trail.flush().await);
    assert_eq!(store.events(), ["user.login"]);
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_room_is_in_the_log_whole_and_the_trail_says_how_much_that_was() {
    let (log, _guard) = Log::listen();
    let store = Arc::new(Scripted::default());
    let trail = trail(&store, 1);
    store.set(Mode::Down);
    for _ in 0..writer::MOST / 1_024 {
        (0..1_024).for_each(|_| trail.record(login()));
        assert!(!trail.flush().await);
    }
    assert_eq!(log.given_up(), Vec::<serde_json::Value>::new());
    trail.record(Event { client: ClientId::parse("app").ok(), address: Some([192, 0, 2, 1].into()), ..login() });
    trail.record(login());
    assert!(!trail.flush().await);
    let [told, _] = &log.given_up()[..] else { panic!("not two: {:?}", log.given_up()) };
    assert_eq!((&told["client_id"], &told["address"]), (&"app".into(), &"192.0.2.1".into()));
    assert_eq!(trail.given_up(), 2);
    store.set(Mode::Up);
    assert!(trail.flush().await);
    let gap = store.last();
    assert_eq!((&*gap.event, gap.reason.as_deref(), gap.times), ("audit.gap", Some("unwritten"), 2));
    assert_eq!(store.events().len(), writer::MOST + 1);
    assert!(trail.flush().await);
    assert_eq!(store.events().len(), writer::MOST + 1, "a gap is told once");
}

/// The task does not run before the test waits for something.
#[tokio::test(start_paused = true)]
async fn recording_never_waits_even_if_nobody_empties_the_queue() {
    let (log, _guard) = Log::listen();
    let store = Arc::new(Scripted::default());
    let trail = trail(&store, 1);
    (0..QUEUE + 3).for_each(|_| trail.record(login()));
    assert_eq!(log.given_up().len(), 3);
    assert!(trail.flush().await);
    assert_eq!(store.last().times, 3);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_does_not_keep_the_queue_from_being_emptied() {
    let (log, _guard) = Log::listen();
    let store = Arc::new(Scripted::default());
    let trail = trail(&store, 1);
    store.set(Mode::Stuck);
    for _ in 0..3 {
        (0..5_000).for_each(|_| trail.record(login()));
        advance(Duration::from_millis(300)).await;
        tokio::task::yield_now().await;
    }
    store.set(Mode::Up);
    assert!(trail.flush().await);
    assert_eq!(store.events().len(), 15_000);
    assert_eq!(log.given_up(), Vec::<serde_json::Value>::new());
}

#[tokio::test(start_paused = true)]
async fn at_the_end_everything_is_written() {
    let store = Arc::new(Scripted::default());
    let trail = trail(&store, 1);
    (0..1_700).for_each(|_| trail.record(login()));
    let refused = || Event::refused(at(0), Action::UserLogin, Reason::WrongPassword);
    (0..5).for_each(|_| trail.record(refused()));
    trail.close(Duration::from_secs(5)).await;
    assert_eq!(store.events().len(), 1_702);
    assert_eq!(store.last().times, 4, "those that were being counted");
}

#[tokio::test(start_paused = true)]
async fn at_the_end_what_the_store_does_not_take_in_time_is_in_the_log() {
    for mode in [Mode::Down, Mode::Stuck] {
        let (log, _guard) = Log::listen();
        let store = Arc::new(Scripted::default());
        let trail = trail(&store, 1);
        store.set(mode);
        (0..700).for_each(|_| trail.record(login()));
        trail.close(Duration::from_secs(5)).await;
        assert_eq!(log.given_up().len(), 700, "{mode:?}");
        trail.record(login());
        assert_eq!(log.given_up().len(), 701, "what comes too late is, too");
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_the_store_refuses_keeps_no_other_from_being_written() {
    let (log, _guard) = Log::listen();
    let store = Arc::new(Scripted::default());
    let trail = trail(&store, 1);
    store.set(Mode::Refusing(Action::UserLogout));
    (0..300).for_each(|_| trail.record(login()));
    trail.record(Event::success(at(0), Action::UserLogout));
    (0..300).for_each(|_| trail.record(login()));
    assert!(trail.flush().await);
    assert_eq!(store.events().iter().filter(|event| *event == "user.login").count(), 600);
    assert_eq!(log.given_up().len(), 1);
    assert_eq!(&*store.last().event, "audit.gap");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_did_not_stop_in_order_is_found_by_the_next_start_and_told_once() {
    let store = Arc::new(Scripted::default());
    let killed = trail(&store, 1);
    killed.begin(at(10)).await;
    assert!(killed.flush().await);
    drop(killed);
    let next = trail(&store, 2);
    next.begin(at(20)).await;
    next.record(Event::success(at(30), Action::ServerStop));
    next.close(Duration::from_secs(1)).await;
    assert_eq!(store.events(), ["server.start", "audit.gap", "server.start", "server.stop"]);
    let third = trail(&store, 3);
    third.begin(at(40)).await;
    assert!(third.flush().await);
    assert_eq!(store.events().len(), 5, "the run before this one stopped in order");
}

#[tokio::test(start_paused = true)]
async fn another_instance_that_is_still_running_is_no_run_of_this_one() {
    let store = Arc::new(Scripted::default());
    let other = Trail::start(store.clone(), Arc::new(Noon), Run::from_entropy([1; 16]), "elsewhere", Vec::new());
    other.begin(at(10)).await;
    assert!(other.flush().await);
    let this = trail(&store, 2);
    this.begin(at(20)).await;
    assert!(this.flush().await);
    assert_eq!(store.events(), ["server.start", "server.start"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_out_is_left_out_only_when_it_succeeds() {
    let store = Arc::new(Scripted::default());
    let trail = trail(&store, 1);
    trail.record(Event::success(at(0), Action::TokenRefresh));
    trail.record(Event::refused(at(0), Action::TokenRefresh, Reason::RefreshReplayed));
    assert!(trail.flush().await);
    assert_eq!(store.events(), ["token.refresh_token"]);
    assert_eq!(store.last().outcome, "refused");
}
