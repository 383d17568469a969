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
pub(crate) const CONNECTIONS: usize = 64;

/// What an answer that never comes may cost.
const PATIENCE: Duration = Duration::from_secs(30);

/// More than any answer that is measured here.
const LARGEST_ANSWER: usize = 64 * 1024;

/// One side of the conversation on one connection.
pub(crate) trait Talk: Send {
    /// The next request, whole; `None` when there is nothing left to ask.
    fn next(&mut self) -> Option<&[u8]>;

    /// The body of the answer to it.
    fn hear(&mut self, _body: &[u8]) {}
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
pub(crate) fn member<'a>(body: &'a [u8], name: &str) -> &'a str {
    let text = std::str::from_utf8(body).unwrap();
    let (_, rest) = text.split_once(&format!("\"{name}\":\"")).unwrap_or_else(|| panic!("no {name} in {text}"));
    rest.split('"').next().unwrap()
}

/// A connection that stays open.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: Vec::with_capacity(8 * 1024) }
    }

    /// Asks, and returns the body of the answer, which must be a 200 with `marker` in it.
    pub(crate) async fn exchange(&mut self, request: &[u8], marker: &str) -> &[u8] {
        self.stream.write_all(request).await.unwrap();
        self.received.clear();
        let head = loop {
            self.receive().await;
            if let Some(at) = self.text().find("\r\n\r\n") {
                break at + 4;
            }
        };
        let whole = head + content_length(&self.text()[..head]);
        while self.received.len() < whole {
            self.receive().await;
        }
        let answer = self.text();
        assert!(answer.starts_with("HTTP/1.1 200 "), "an answer that was not expected:\n{answer}");
        assert!(answer[head..].contains(marker), "no {marker} in\n{answer}");
        assert_eq!(answer.len(), whole, "more than one answer:\n{answer}");
        &self.received[head..]
    }

    async fn receive(&mut self) {
        let count = self.stream.read_buf(&mut self.received).await.unwrap();
        assert!(count > 0, "the server hung up after:\n{}", self.text());
        assert!(self.received.len() <= LARGEST_ANSWER, "an answer without end:\n{}", self.text());
    }

    /// What is measured here answers in ASCII.
    fn text(&self) -> &str {
        std::str::from_utf8(&self.received).unwrap()
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

/// Asks on one connection for each of `talks`, all at once. Stops the bench at any other answer than a 200 with `marker` in it.
pub(crate) async fn run(
    address: SocketAddr,
    marker: &'static str,
    talks: Vec<Box<dyn Talk>>,
    timing: Timing,
) -> Figure {
    let mut connections = Vec::new();
    for talk in talks {
        connections.push((Connection::open(address).await, talk));
    }
    let (start, whole) = (now(), timing.warm_up + timing.window);
    let mut tasks = JoinSet::new();
    for (connection, talk) in connections {
        tasks.spawn(converse(connection, talk, marker, start, whole));
    }
    let seen = timeout(whole + PATIENCE, tasks.join_all()).await.expect("every connection gets its answers");
    figure(&seen, timing)
}

async fn converse(
    mut connection: Connection,
    mut talk: Box<dyn Talk>,
    marker: &str,
    start: Instant,
    whole: Duration,
) -> Seen {
    let mut answers = Vec::new();
    let mut asked = micros(start);
    while u128::from(asked) < whole.as_micros() {
        let Some(request) = talk.next() else { return Seen { answers, ran_dry: Some(asked) } };
        let body = connection.exchange(request, marker).await;
        let at = micros(start);
        talk.hear(body);
        answers.push(Answered { at, took: at - asked });
        asked = at;
    }
    Seen { answers, ran_dry: None }
}

/// Counts what was answered in the window, which ends early if there was nothing left to ask.
fn figure(seen: &[Seen], timing: Timing) -> Figure {
    let from = timing.warm_up.as_micros() as u32;
    let end = from + timing.window.as_micros() as u32;
    let end = seen.iter().filter_map(|seen| seen.ran_dry).fold(end, u32::min);
    assert!(end > from, "there was nothing left to ask before the warm-up was over");
    let answers = seen.iter().flat_map(|seen| &seen.answers);
    let mut took: Vec<u32> = answers.filter(|a| (from..end).contains(&a.at)).map(|a| a.took).collect();
    took.sort_unstable();
    assert!(!took.is_empty(), "no answer in the whole window");
    let share = |hundredth: usize| Duration::from_micros(took[(took.len() - 1) * hundredth / 100].into());
    Figure { rate: took.len() as f64 / (f64::from(end - from) / 1e6), p50: share(50), p99: share(99) }
}

fn micros(start: Instant) -> u32 {
    u32::try_from((now() - start).as_micros()).expect("less than an hour")
}

#[expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
