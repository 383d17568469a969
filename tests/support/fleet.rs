//! Several instances of one issuer behind a load balancer.

use std::thread;

use tempfile::TempDir;

use super::{Options, Server, engine::haproxy::Haproxy, make_master_key, own_address};

/// Instances with one store, one master key and one issuer, which is where the load balancer listens. Each has a data directory of
/// its own.
#[derive(Debug)]
pub(crate) struct Fleet {
    balancer: Haproxy,
    instances: Vec<Server>,
    password: String,
    /// Where the master key is, and a store in a file if there is one.
    _room: TempDir,
}

impl Fleet {
    /// Starts the first instance, then the others at once, and waits until all of them get requests. Without a store in the
    /// options (see [`Options::with_store`]) they share a file of SQLite.
    pub(crate) async fn start(count: usize, options: Options) -> Self {
        Self::start_with(count, options, |_, options| options).await
    }

    /// The same; what is special about some of them is said by their number.
    pub(crate) async fn start_with(
        count: usize,
        options: Options,
        special: impl Fn(usize, Options) -> Options,
    ) -> Self {
        let room = tempfile::Builder::new().prefix("gateward-fleet-").tempdir().unwrap();
        let address = own_address();
        let master_key = room.path().join("master.key");
        make_master_key(&master_key);
        let mut common = options
            .with_issuer(&format!("http://{address}"))
            .with_master_key(&master_key)
            .set("GATEWARD_SERVER__TRUSTED_PROXIES", "127.0.0.1");
        if !common.has("GATEWARD_STORES__URL") {
            common = common.with_store(&format!("sqlite:{}", room.path().join("gateward.db").display()));
        }
        let mut options = (0..count).map(|number| special(number, common.clone()));
        let first = Server::start(options.next().expect("at least one instance"));
        let password = first.password().to_owned();
        let others: Vec<_> =
            options.map(|options| thread::spawn(move || Server::start_on_used_store(options))).collect();
        let others = others.into_iter().map(|starting| starting.join().expect("it starts"));
        let instances: Vec<Server> = [first].into_iter().chain(others).collect();
        let addresses: Vec<_> = instances.iter().map(Server::address).collect();
        let balancer = Haproxy::start(address, &addresses).await;
        for number in 0..count {
            balancer.until_in(number).await;
        }
        Self { balancer, instances, password, _room: room }
    }

    /// One of them, e.g. for commands beside it; its issuer is the one of all. For requests past the load balancer see
    /// [`Wire::past_the_balancer`](super::oauth::Wire::past_the_balancer).
    pub(crate) fn instance(&self, number: usize) -> &Server {
        &self.instances[number]
    }

    /// One of them, to be killed or started again.
    pub(crate) fn instance_mut(&mut self, number: usize) -> &mut Server {
        &mut self.instances[number]
    }

    /// Where the load balancer listens: the issuer.
    pub(crate) fn url(&self) -> &str {
        self.instances[0].issuer()
    }

    /// Whom the load balancer asks.
    pub(crate) fn balancer(&self) -> &Haproxy {
        &self.balancer
    }

    /// The password of the user `admin`.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }
}
