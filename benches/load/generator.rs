//! The load: HTTP/1.1 over connections that stay open, one request at a time on each.
//!
//! Written out over a socket, because a real HTTP client would cost more than what is measured.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

/// How many connections ask at the same time.
pub(crate) const CONNECTIONS: usize = 32;

/// What an answer that never comes may cost.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long asking may take where the number of questions is what ends it.
const LONGEST: Duration = Duration::from_secs(120);

/// More than any answer that is measured here.
const LARGEST_ANSWER: usize = 64 * 1024;

/// One side of the conversation on one connection.
pub(crate) trait Talk: Send {
    /// The next request, whole; `None` when there is nothing left to ask.
    fn next(&mut self) -> Option<&[u8]>;

    /// The answer to it, head and body.
    fn hear(&mut self, _answer: &str) {}
}

/// What an answer must be, or the bench stops.
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) status: &'static str,
    /// Somewhere in it.
    pub(crate) marker: &'static str,
}

/// A 200 with `marker` in it.
pub(crate) const fn ok(marker: &'static str) -> Expected {
    Expected { status: "HTTP/1.1 200 ", marker }
}

/// How long to ask.
#[derive(Clone, Copy)]
pub(crate) struct Timing {
    /// Before anything counts.
    pub(crate) warm_up: Duration,
    /// While it counts.
    pub(crate) window: Duration,
}

/// What was measured.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    /// Answers per second.
    pub(crate) rate: f64,
    /// Half of the answers took no longer.
    pub(crate) p50: Duration,
    /// 99 of 100 answers took no longer.
    pub(crate) p99: Duration,
}

/// A `POST` of a form to the server, as bytes.
pub(crate) fn post(path: &str, authorization: Option<&str>, form: &str) -> Vec<u8> {
    let authorization = authorization.map(|value| format!("authorization: {value}\r\n")).unwrap_or_default();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost:3000\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         {authorization}content-length: {}\r\n\r\n{form}",
        form.len()
    )
    .into_bytes()
}

/// A `GET`, as bytes.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost:3000\r\n\r\n").into_bytes()
}

/// The text of a member of a JSON object. Good for what this server writes about tokens: no escapes in there.
pub(crate) fn member<'a>(answer: &'a str, name: &str) -> &'a str {
    let (_, rest) = answer.split_once(&format!("\"{name}\":\"")).unwrap_or_else(|| panic!("no {name} in {answer}"));
    rest.split('"').next().unwrap()
}

/// A connection that stays open.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    /// How long head and answer were the last time: usually the same again, and then nothing has to be read in it.
    last: (usize, usize),
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: Vec::with_capacity(8 * 1024), last: (0, 0) }
    }

    /// Asks, and returns the answer.
    pub(crate) async fn exchange(&mut self, request: &[u8], expected: Expected) -> &str {
        self.stream.write_all(request).await.unwrap();
        self.received.clear();
        loop {
            self.receive().await;
            if self.is_whole() {
                break;
            }
        }
        // What is measured here answers in ASCII.
        let answer = std::str::from_utf8(&self.received).unwrap();
        assert!(answer.starts_with(expected.status), "an answer that was not expected:\n{answer}");
        assert!(answer.contains(expected.marker), "no {} in\n{answer}", expected.marker);
        answer
    }

    async fn receive(&mut self) {
        let count = self.stream.read_buf(&mut self.received).await.unwrap();
        let seen = || String::from_utf8_lossy(&self.received);
        assert!(count > 0, "the server hung up after:\n{}", seen());
        assert!(self.received.len() <= LARGEST_ANSWER, "an answer without end:\n{}", seen());
    }

    fn is_whole(&mut self) -> bool {
        let (head, whole) = self.last;
        if self.received.len() == whole && self.received[..head].ends_with(b"\r\n\r\n") {
            return true;
        }
        let Some(at) = self.received.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
        let head = at + 4;
        let whole = head + content_length(std::str::from_utf8(&self.received[..head]).unwrap());
        assert!(self.received.len() <= whole, "more than one answer:\n{}", String::from_utf8_lossy(&self.received));
        self.last = (head, whole);
        self.received.len() == whole
    }
}

fn content_length(head: &str) -> usize {
    let named = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = named.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, length) = lengths.next().unwrap_or_else(|| panic!("an answer without a length:\n{head}"));
    length.trim().parse().unwrap()
}

/// When an answer was there and how long it took, in microseconds since the start.
struct Answered {
    at: u32,
    took: u32,
}

/// What one connection saw.
struct Seen {
    answers: Vec<Answered>,
    /// When there was nothing left to ask.
    ran_dry: Option<u32>,
}

/// Who asks one server: somebody on each of its connections, all at once. Stops the bench at any answer that is not as expected.
pub(crate) struct Asking {
    expected: Expected,
    conversations: Vec<(Connection, Box<dyn Talk>)>,
}

/// What was answered while it counted.
#[derive(Clone)]
pub(crate) struct Turn {
    /// How long each answer took, in microseconds.
    pub(crate) took: Vec<u32>,
    pub(crate) whole: Duration,
}

impl Asking {
    /// Opens a connection for each of `talks`.
    pub(crate) async fn open(address: SocketAddr, expected: Expected, talks: Vec<Box<dyn Talk>>) -> Self {
        let mut conversations = Vec::new();
        for talk in talks {
            conversations.push((Connection::open(address).await, talk));
        }
        Self { expected, conversations }
    }

    /// Asks for as long as `timing` says; `None` if there was nothing left to ask before anything counted.
    pub(crate) async fn turn(&mut self, timing: Timing) -> Option<Turn> {
        let (start, whole) = (now(), timing.warm_up + timing.window);
        let mut tasks = JoinSet::new();
        for (connection, talk) in self.conversations.drain(..) {
            tasks.spawn(converse(connection, talk, self.expected, start, whole));
        }
        let ended = timeout(whole + PATIENCE, tasks.join_all()).await.expect("every connection gets its answers");
        let (conversations, seen): (_, Vec<_>) = ended.into_iter().unzip();
        self.conversations = conversations;
        counted(&seen, timing)
    }
}

/// Asks until there is nothing left to ask; every answer counts.
pub(crate) async fn exhaust(address: SocketAddr, expected: Expected, talks: Vec<Box<dyn Talk>>) -> Figure {
    let mut tasks = JoinSet::new();
    let start = now();
    for talk in talks {
        let connection = Connection::open(address).await;
        tasks.spawn(converse(connection, talk, expected, start, LONGEST));
    }
    let ended = timeout(LONGEST + PATIENCE, tasks.join_all()).await.expect("every connection gets its answers");
    let seen: Vec<Seen> = ended.into_iter().map(|(_, seen)| seen).collect();
    assert!(seen.iter().all(|seen| seen.ran_dry.is_some()), "there was more to ask than there was time for");
    let took = seen.iter().flat_map(|seen| &seen.answers).map(|answered| answered.took).collect();
    rated(took, start.elapsed())
}

async fn converse(
    mut connection: Connection,
    mut talk: Box<dyn Talk>,
    expected: Expected,
    start: Instant,
    whole: Duration,
) -> ((Connection, Box<dyn Talk>), Seen) {
    let mut seen = Seen { answers: Vec::new(), ran_dry: None };
    let mut asked = micros(start);
    while u128::from(asked) < whole.as_micros() {
        let Some(request) = talk.next() else {
            seen.ran_dry = Some(asked);
            break;
        };
        let answer = connection.exchange(request, expected).await;
        let at = micros(start);
        talk.hear(answer);
        seen.answers.push(Answered { at, took: at - asked });
        asked = at;
    }
    ((connection, talk), seen)
}

/// What was answered in the window, which ends early if there was nothing left to ask.
fn counted(seen: &[Seen], timing: Timing) -> Option<Turn> {
    let from = timing.warm_up.as_micros() as u32;
    let end = from + timing.window.as_micros() as u32;
    let end = seen.iter().filter_map(|seen| seen.ran_dry).fold(end, u32::min);
    let whole = Duration::from_micros(end.checked_sub(from).filter(|&whole| whole > 0)?.into());
    let answers = seen.iter().flat_map(|seen| &seen.answers);
    Some(Turn { took: answers.filter(|a| (from..end).contains(&a.at)).map(|a| a.took).collect(), whole })
}

/// From how long each answer took, in microseconds, and how long all of them together.
pub(crate) fn rated(mut took: Vec<u32>, whole: Duration) -> Figure {
    took.sort_unstable();
    assert!(!took.is_empty(), "no answer in the whole window");
    let share = |hundredth: usize| Duration::from_micros(took[(took.len() - 1) * hundredth / 100].into());
    Figure { rate: took.len() as f64 / whole.as_secs_f64(), p50: share(50), p99: share(99) }
}

fn micros(start: Instant) -> u32 {
    u32::try_from((now() - start).as_micros()).expect("less than an hour")
}

#[expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
