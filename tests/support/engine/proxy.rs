//! A way between a server and an engine, or a client and a server, that a test can cut.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::poll;
use crate::support::own_address;

/// It has a thread of its own, so it goes on while the test waits for something. Dropping it cuts every connection.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    to: SocketAddr,
    rules: watch::Sender<Rules>,
    faults: Arc<Faults>,
}

/// What holds for every connection.
#[derive(Debug, Clone, Copy, Default)]
struct Rules {
    refuse: bool,
    delay: Duration,
}

/// What happens once, and how often it has.
#[derive(Debug, Default)]
struct Faults {
    /// Connections that saw another number when they began are cut.
    epoch: watch::Sender<u64>,
    /// So many bytes of replies may still pass.
    replies_left: Mutex<Option<u64>>,
    /// The reply to a request with these bytes is lost.
    lost: Mutex<Option<Vec<u8>>>,
    happened: AtomicU64,
    listens: AtomicBool,
}

impl Proxy {
    /// Starts one to an address, and waits until it listens.
    pub(crate) fn start(to: SocketAddr) -> Self {
        let address = own_address();
        let (rules, watched) = watch::channel(Rules::default());
        let faults = Arc::<Faults>::default();
        let shared = faults.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(listen(address, to, watched, shared));
        });
        let proxy = Self { address, to, rules, faults };
        proxy.until_it_listens(true);
        proxy
    }

    /// The URL of what is behind it, by way of it.
    pub(crate) fn url(&self, behind: &str) -> String {
        assert!(behind.contains(&self.to.to_string()), "it leads somewhere else");
        behind.replace(&self.to.to_string(), &self.address.to_string())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection (RST). New ones go through.
    pub(crate) fn cut(&self) {
        self.faults.cut();
    }

    /// Lets so many more bytes of replies pass, on all connections together, and then cuts every connection, once.
    pub(crate) fn cut_after(&self, bytes: u64) {
        *self.faults.replies_left.lock().unwrap() = Some(bytes);
    }

    /// The next request that has these bytes in it reaches its destination and is carried out; then the connection is cut, before
    /// the client has seen anything of the reply, once. The destination sees that the client sends nothing more.
    pub(crate) fn lose_reply_to(&self, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "every request has nothing in it");
        *self.faults.lost.lock().unwrap() = Some(bytes.to_vec());
    }

    /// How often [`Proxy::cut_after`] or [`Proxy::lose_reply_to`] has come true.
    pub(crate) fn happened(&self) -> u64 {
        self.faults.happened.load(Ordering::SeqCst)
    }

    /// Nobody listens any more; connections that are there stay.
    pub(crate) fn refuse(&self) {
        self.rules.send_modify(|rules| rules.refuse = true);
        self.until_it_listens(false);
    }

    /// Somebody listens again.
    pub(crate) fn accept(&self) {
        self.rules.send_modify(|rules| rules.refuse = false);
        self.until_it_listens(true);
    }

    /// Each piece of a reply takes so long, on every connection.
    pub(crate) fn delay(&self, delay: Duration) {
        self.rules.send_modify(|rules| rules.delay = delay);
    }

    fn until_it_listens(&self, listens: bool) {
        poll("the proxy begins or ends to listen", || self.faults.listens.load(Ordering::SeqCst) == listens);
    }
}

impl Faults {
    fn cut(&self) {
        self.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// How many of so many bytes of a reply may pass, and whether everything is cut then.
    fn allow(&self, count: usize) -> (usize, bool) {
        let mut replies_left = self.replies_left.lock().unwrap();
        let Some(left) = *replies_left else { return (count, false) };
        let allowed = usize::try_from(left).map_or(count, |left| left.min(count));
        let is_last = allowed as u64 == left;
        *replies_left = (!is_last).then(|| left - allowed as u64);
        (allowed, is_last)
    }

    /// Whether this is the request whose reply is to be lost.
    fn is_lost(&self, request: &[u8]) -> bool {
        let mut lost = self.lost.lock().unwrap();
        lost.take_if(|lost| request.windows(lost.len()).any(|window| window == lost)).is_some()
    }
}

/// Until the [`Proxy`] is dropped; the connections go with the runtime.
async fn listen(address: SocketAddr, to: SocketAddr, mut rules: watch::Receiver<Rules>, faults: Arc<Faults>) {
    while rules.wait_for(|rules| !rules.refuse).await.is_ok() {
        let listener = TcpListener::bind(address).await.unwrap();
        faults.listens.store(true, Ordering::SeqCst);
        let mut refused = rules.clone();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((client, _)) = accepted {
                        tokio::spawn(carry(client, to, rules.clone(), faults.clone()));
                    }
                }
                refused = refused.wait_for(|rules| rules.refuse) => {
                    if refused.is_err() {
                        return;
                    }
                    break;
                }
            }
        }
        drop(listener);
        faults.listens.store(false, Ordering::SeqCst);
    }
}

/// One connection.
async fn carry(mut client: TcpStream, to: SocketAddr, rules: watch::Receiver<Rules>, faults: Arc<Faults>) {
    let mut epoch = faults.epoch.subscribe();
    let begun = *epoch.borrow();
    let Ok(mut server) = TcpStream::connect(to).await else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let lost = AtomicBool::new(false);
    let is_cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let both = async {
            tokio::try_join!(
                requests(from_client, to_server, &faults, &lost),
                replies(from_server, to_client, &rules, &faults, &lost)
            )
        };
        tokio::select! {
            biased;
            _ = epoch.wait_for(|epoch| *epoch != begun) => true,
            _ = both => lost.load(Ordering::SeqCst),
        }
    };
    if is_cut {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

async fn requests(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    faults: &Faults,
    lost: &AtomicBool,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        // The end of what came before stays, for what is looked for may come in two pieces.
        let wanted = faults.lost.lock().unwrap().as_ref().map_or(0, Vec::len);
        bytes.drain(..bytes.len().saturating_sub(wanted.saturating_sub(1)));
        let known = bytes.len();
        if from.read_buf(&mut bytes).await? == 0 {
            return to.shutdown().await;
        }
        let is_lost = faults.is_lost(&bytes);
        if is_lost {
            // Before it is sent: the reply comes at once.
            lost.store(true, Ordering::SeqCst);
        }
        to.write_all(&bytes[known..]).await?;
        if is_lost {
            // Whoever reads to the end has carried out what came before it.
            return to.shutdown().await;
        }
    }
}

async fn replies(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    rules: &watch::Receiver<Rules>,
    faults: &Faults,
    lost: &AtomicBool,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        if lost.load(Ordering::SeqCst) {
            if count == 0 {
                faults.happened.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
            continue;
        }
        if count == 0 {
            return to.shutdown().await;
        }
        let delay = rules.borrow().delay;
        if !delay.is_zero() {
            wait(delay).await;
        }
        let (allowed, is_last) = faults.allow(count);
        to.write_all(&bytes[..allowed]).await?;
        if is_last {
            // The client reads what has passed, and then the end of it.
            faults.happened.fetch_add(1, Ordering::SeqCst);
            faults.cut();
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a slow network is what is wanted here")]
async fn wait(delay: Duration) {
    tokio::time::sleep(delay).await;
}
