//! An MCP client on the human's own machine: a port that waits for the code.

use std::collections::BTreeMap;

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use url::Url;

use crate::support::DEADLINE;

/// What its page says.
pub(crate) const HEADING: &str = "Back in the app";

/// Listens at `http://127.0.0.1:PORT/callback`.
pub(crate) struct LoopbackClient {
    pub(crate) redirect_uri: String,
    arrivals: UnboundedReceiver<BTreeMap<String, String>>,
}

impl LoopbackClient {
    pub(crate) async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let redirect_uri = format!("http://{}/callback", listener.local_addr().unwrap());
        let (send, arrivals) = unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, send.clone()));
            }
        });
        Self { redirect_uri, arrivals }
    }

    /// The parameters that a browser brings.
    pub(crate) async fn arrival(&mut self) -> BTreeMap<String, String> {
        let arrival = tokio::time::timeout(DEADLINE, self.arrivals.recv()).await;
        arrival.expect("nobody came back to the client").expect("it listens")
    }

    /// Whether nobody has come since.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.arrivals.try_recv().is_err()
    }
}

async fn answer(stream: TcpStream, arrivals: UnboundedSender<BTreeMap<String, String>>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    // Browsers open connections ahead and leave them unused.
    if stream.read_line(&mut line).await.unwrap_or_default() == 0 {
        return;
    }
    let target = line.split(' ').nth(1).unwrap_or_default();
    let url = Url::parse("http://127.0.0.1").and_then(|base| base.join(target)).expect("a request target");
    loop {
        let mut header = String::new();
        if stream.read_line(&mut header).await.unwrap_or_default() <= 2 {
            break;
        }
    }
    if url.path() == "/callback" {
        let _ = arrivals.send(url.query_pairs().into_owned().collect());
    }
    let body = format!("<!doctype html><title>app</title><link rel=icon href='data:,'><h1>{HEADING}</h1>");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n", body.len());
    let _ = stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).await;
}
