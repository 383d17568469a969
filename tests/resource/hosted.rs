//! A server on a loopback socket, with a runtime of its own: its time runs on while that of a test stands still, and when it is
//! stopped, everything of it is gone, open connections too.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use tokio::runtime::{Builder, Runtime};

/// A free port of this machine.
pub(crate) fn listen() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")
}

/// A running server. Dropping it stops it.
pub(crate) struct Hosted {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Hosted {
    /// Serves on a socket that listens already.
    pub(crate) fn start<F>(listener: TcpListener, serve: impl FnOnce(tokio::net::TcpListener) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a socket");
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).expect("a listener")
        };
        runtime.spawn(serve(listener));
        Self { address, runtime: Some(runtime) }
    }

    /// The port again, after it was stopped.
    pub(crate) fn listen_again(&self) -> TcpListener {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("a socket");
        socket.bind(self.address).expect("the port");
        socket.listen(64).expect("a listener").into_std().expect("a listener")
    }

    /// Cuts every connection, and waits until nobody listens.
    pub(crate) fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime cannot be waited for inside another one.
            let gone = std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(30)));
            gone.join().expect("the server ends");
        }
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        self.stop();
    }
}
